// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_SLEEPER_HPP
#define ERRGROUP_SRC_SLEEPER_HPP

#include <errgroup/detail/sync.hpp>

#include <atomic>    // memory_order
#include <cstdint>   // uint8_t
#include <new>       // bad_alloc
#include <optional>  // optional
#include <utility>   // exchange, move

#ifndef ERRGROUP_EXPLORED
#include <tbb/task_group.h>  // task_group, task_handle
#endif

namespace errgroup::detail::inline ERRGROUP_PART {

#ifdef ERRGROUP_EXPLORED
namespace latches = explored;
#else
namespace latches = tbb;
#endif

struct task_queue;

/// A thread that waits for a queue: for the end of all its tasks, for something to do, or for room.
///
/// It waits in oneTBB's dispatch loop, where it runs whatever its arena has: what tasks started
/// may sit in this very thread's deque. A group that is isolated sleeps instead.
class sleeper {
 public:
  /// What it is woken for, beside the end.
  enum what : std::uint8_t { nothing, work, room };

  sleeper(bool helps, what wanted) noexcept : wanted_(wanted) {
    if (helps) {
      try {
        latch_.emplace();
        held_ = latch_->defer([] {});
      } catch (std::bad_alloc const&) {
        latch_.reset();
      }
    }
  }
  sleeper(sleeper const&) = delete;
  sleeper& operator=(sleeper const&) = delete;

  /// Returns when somebody let go of it.
  void sleep() noexcept {
    if (latch_) {
      latch_->wait();
    } else {
      woken_.wait(0, std::memory_order_acquire);
    }
  }

 private:
  friend struct task_queue;
  friend class wake_list;

  std::optional<latches::task_group> latch_;
  latches::task_handle held_;
  atomic<int> woken_{0};
  what wanted_;
  sleeper* next_ = nullptr;
};

/// Sleepers that are to be woken once the queue's lock is released: waking one takes oneTBB's
/// locks. Each stays where it is until it is woken, and may be gone right after.
class wake_list {
 public:
  wake_list() = default;
  wake_list(wake_list const&) = delete;
  wake_list& operator=(wake_list const&) = delete;
  ~wake_list() { now(); }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  /// Wakes them. Not under a lock.
  void now() noexcept {
    while (first_ != nullptr) {
      sleeper* s = std::exchange(first_, first_->next_);
      latches::task_handle{std::move(s->held_)};  // the latch opens
    }
  }

 private:
  friend struct task_queue;

  sleeper* first_ = nullptr;
};

}  // namespace errgroup::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_SLEEPER_HPP
