// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_OBSERVER_HPP
#define ERRGROUP_OBSERVER_HPP

#include <errgroup/counts.hpp>
#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/fwd.hpp>

#include <cstddef>          // size_t
#include <cstdint>          // uint64_t, uint8_t
#include <source_location>  // source_location
#include <string_view>      // string_view

namespace errgroup::inline v1 {
namespace detail {

struct observed_group;
struct observed_task;

}  // namespace detail

/// The event that a thread waits for.
enum class wait_kind : std::uint8_t {
  end,         ///< the end of the group's tasks: `wait`, `wait_until`, `run_and_wait`
  room,        ///< room in the bounded queue: `run`
  handle,      ///< the result of one task: the handle of a `spawn`
  destructor,  ///< the end of the group's tasks, in the destructor
};

/// What an observer is told of a group. Valid during the call.
class group_view {
 public:
  /// The number of the group in this process, from 1. Only observed groups have numbers.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::uint64_t id() const noexcept;
  /// `options::name`; may be empty.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::string_view name() const noexcept;
  /// The `id` of the group in whose task this group was made; 0 if there is none, or if that group
  /// is not observed.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::uint64_t parent() const noexcept;
  /// The index of that task. `npos` if there is none.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::size_t parent_task() const noexcept;
  /// `options::limit`, or the limit of the last `group::set_limit`.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API int limit() const noexcept;
  /// As `group::counts`. Cost: a look at each thread that has run tasks.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API group_counts counts() const noexcept;
  /// Where the group was made. Line 0: not known.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::source_location where() const noexcept;

  /// For errgroup.
  explicit group_view(detail::observed_group const& of) noexcept : of_(&of) {}

 private:
  detail::observed_group const* of_;
};

/// What an observer is told of a task. Valid during the call.
class task_view {
 public:
  /// The group of the task.
  [[ERRGROUP_NODISCARD_ANSWER]] group_view group() const noexcept { return group_; }
  /// In the order of submission, from 0. No two tasks of an observed group have the same index.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::size_t index() const noexcept;
  /// `task_options::name`; may be empty.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::string_view name() const noexcept;
  /// The place of the submission. Line 0: not known.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::source_location where() const noexcept;

  /// For errgroup.
  task_view(group_view g, detail::observed_task const& of) noexcept : group_(g), of_(&of) {}

 private:
  group_view group_;
  detail::observed_task const* of_;
};

/// Is told what groups and tasks do, on the thread that does it. Derive from it, and set one with
/// `observe`.
///
/// A group asks for the observer once, when it is made, and keeps to it: each begin of a group, a
/// task and a wait has its end. The two calls of a task come on the same thread, and so do those of
/// a wait. Groups that were made before `observe`, or while there was no observer, are not
/// observed.
///
/// Order: `group_begin` comes first and `group_end` last. `task_submitted` comes before
/// `task_begin` of the task. Of the reaction to a failure, `first_error` comes first, then
/// `cancelled`, then `tasks_skipped`; other threads may begin and end tasks meanwhile. After
/// `reset` the three may come again.
///
/// The functions are called by several threads at a time, but `first_error`, `cancelled` and
/// `tasks_skipped` of one group one at a time. They may read the views and take locks of their own.
/// They must not use groups: no `run`, no `wait`, no `cancel`, no oneTBB algorithm. An exception
/// terminates the process, since they are `noexcept`. The thread that cancels a group calls them
/// for all groups below; if a deadline has passed, that is the library's timer thread. So a
/// function that blocks delays the cancellation, and other deadlines.
///
/// An observer may be destroyed when it is not set any more, and every group that was made while it
/// was set is destroyed. An observer with static storage duration is safe, if no group outlives it.
///
/// Cost: without an observer, a task tests one bit more in a test that it makes anyway, and a group
/// reads one global variable. With an observer whose functions do nothing, see perf/README.md; a
/// group takes one or two allocations.
struct ERRGROUP_API observer {
  observer() = default;
  observer(observer const&) = delete;
  observer& operator=(observer const&) = delete;
  virtual ~observer() = default;

  /// A group was made. Its `counts` are 0.
  virtual void group_begin(group_view g) noexcept;
  /// A group is about to be destroyed. None of its tasks runs.
  virtual void group_end(group_view g) noexcept;

  /// The calling thread has given the task `index` to `g`. The task might never run: see
  /// `tasks_skipped`. If `run` throws for lack of memory, no further event is about this task.
  virtual void task_submitted(group_view g, std::size_t index) noexcept;
  /// The task is about to be called.
  virtual void task_begin(task_view t) noexcept;
  /// The task has returned, its callable is destroyed, and the groups that were made in it are
  /// idle. `failure` is the error that it returned or threw; null if it succeeded.
  virtual void task_end(task_view t, error const* failure) noexcept;

  /// `n` tasks were skipped: they will not run. `cause` is why the group was cancelled. Includes
  /// tasks that were submitted to the cancelled group.
  virtual void tasks_skipped(group_view g, std::size_t n, error const& cause) noexcept;
  /// The group has got the error that `wait` will return: of a task, or of a cancellation.
  virtual void first_error(group_view g, error const& e) noexcept;
  /// The group is cancelled from now on. `cause` is the reason: under `on_error::keep_going` not
  /// always the first error.
  virtual void cancelled(group_view g, error const& cause) noexcept;

  /// The calling thread waits. It may run tasks meanwhile.
  virtual void wait_begin(group_view g, wait_kind kind) noexcept;
  /// The wait of the calling thread has ended; `kind` is that of its `wait_begin`.
  virtual void wait_end(group_view g, wait_kind kind) noexcept;
};

/// Sets the observer of the process: groups that are made from now on tell it. Returns the observer
/// that was set before; null stands for none.
///
/// To make groups visible to `dump` alone, set an observer that does nothing:
/// `static errgroup::observer visible; errgroup::observe(&visible);`
///
/// Threads: any.
ERRGROUP_API observer* observe(observer* o) noexcept;

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_OBSERVER_HPP
