// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_SLOTS_HPP
#define ERRGROUP_SRC_SLOTS_HPP

#include "insist.hpp"
#include "task_queue.hpp"
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/options.hpp>

#include <tbb/task_arena.h>  // task_arena

#include <cstddef>   // size_t
#include <optional>  // optional

namespace errgroup::detail {

/// At most N tasks at once: the limits of a group, and the arenas that follow from them.
///
/// A group with `options::limit` and without `options::arena` has an arena of its own, in which its
/// tasks run. All slots of that arena are reserved, so the arena asks oneTBB for no workers of its
/// own. Its threads come as runners from the *home* arena, and each runner has a slot of the limit
/// (`task_queue::running`) before it enters. (An arena with workers runs two tasks at once for a
/// limit of 1, and prints a warning for a limit above the machine.)
///
/// Invariant: a thread enters the group's arena only as a runner of the group, or as a waiter. So a
/// task that is spawned there is found by a thread of the group.
///
/// Lock order: none. `open` comes before the first task.
///
/// May be destroyed when the group has ended.
class slots {
 public:
  explicit slots(options const& opts) noexcept
      : limit_(opts.limit), queue_(opts.queue), arena_(opts.arena) {}

  /// Sets the limits of `q`, and makes the arenas. `is_nested`: inside another limited group.
  /// Throws `std::bad_alloc`, and what oneTBB throws.
  void open(task_queue& q, bool is_nested);

  /// The number of unfinished tasks at which `try_run` refuses a task. Under the queue's lock.
  [[nodiscard]] std::size_t most_unfinished(task_queue const& q) const noexcept {
    // If the queue is unbounded, `try_run` needs a free slot, not room in the queue.
    bool const needs_slot = queue_ == npos && limit_ != unlimited;
    return needs_slot ? static_cast<std::size_t>(limit_) + q.batches.finished() : q.limits.room;
  }

  /// The queue of the group, if the group has an arena of its own; null otherwise.
  [[nodiscard]] queue_life const* pool() const noexcept { return own_ ? &pool_ : nullptr; }

  /// Calls `f` in the arena of the group, if it has one.
  template <class F>
  void enter(F& f) noexcept {
    if (own_) {
      insist([&] { own_->execute(f); });
    } else {
      f();
    }
  }

  /// The arena in which the user wants the tasks; null if the user does not mind.
  [[nodiscard]] tbb::task_arena* given() const noexcept { return arena_; }
  /// The arena from which the runners come; null if that is `given()`.
  [[nodiscard]] tbb::task_arena* home() noexcept { return home_ ? &*home_ : nullptr; }

 private:
  int limit_;
  std::size_t queue_;
  tbb::task_arena* arena_;
  queue_life pool_;
  std::optional<tbb::task_arena> own_;
  std::optional<tbb::task_arena> home_;
};

}  // namespace errgroup::detail

#endif  // ERRGROUP_SRC_SLOTS_HPP
