// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_LIMITER_HPP
#define ERRGROUP_LIMITER_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/detail/group_core.hpp>

#include <cstdint>  // int64_t

namespace errgroup::inline v1 {

/// A number of places that the tasks of any number of groups share.
///
///     errgroup::limiter places(64);
///     errgroup::group a{{.limiter = &places}};
///     errgroup::group b{{.limit = 8, .limiter = &places}};
///     a.run({.name = "big", .weight = 4}, f);  // takes four places while it runs
///
/// A task of a group with `options::limiter` takes its places when it starts, and gives them back
/// when it is finished: one place, or as many as `task_options::weight` says. The weights of the
/// tasks that run add up to the capacity at most. A place may stand for anything that is scarce: a
/// thread, a connection, a megabyte.
///
/// Order: places are given in the order in which the tasks were submitted, over all groups. If the
/// task at the head needs more places than are free, all tasks behind it wait: so a heavy task
/// starts although light tasks keep coming. There are three exceptions:
///
/// - Within a group the group's own order decides. For example, a task that is due
///   (`group::run_at`) starts before older tasks of its group, when the oldest of them would have
///   started.
/// - A group with a limit of its own enters a task into the order when the group has a slot for the
///   task. So a task that waits for a slot of its group holds up no other group.
/// - A waiter of a group with `options::isolated` runs no task of another group. If no places are
///   in use, it may take a task of its own group out of turn.
///
/// Nesting: a task that holds places may make groups with the same limiter, submit to them, and
/// wait for them. The waiting thread runs their tasks on the places of its own task, whatever they
/// weigh: a wait for more places could deadlock. Other threads run them when they get places. If
/// the task makes a limited group without the limiter, each other thread that comes to that group
/// takes one place.
/// The threads of a group with `options::blocking` or `options::arena` take no places. If such a
/// group was made in a task that holds places, its tasks use the places of that task: they run the
/// tasks of their own nested groups with this limiter as a waiter does that holds places.
///
/// A task that holds places must not wait for a task that needs places of the same limiter and
/// belongs to a group that was made elsewhere: the places that are missing might be its own, and it
/// would wait for ever.
///
/// Threads: the tasks run in an arena of the limiter, on threads that come from the arena of the
/// first submission. What the tasks start inside (algorithms, nested groups) uses no more threads
/// than the limiter has places. A group with a limiter that is made in a task of a limited group
/// uses the threads of the limiter, too, and not those of the limited group.
///
/// A thread that waits for a group with a limiter runs tasks of every group of the limiter, in
/// their order, until its own group is done. So do not hold a lock that tasks of these groups take.
/// While the thread holds places, it runs no tasks of other groups.
///
/// Tasks that wait for each other, or block for long, do not belong in a group with a limiter: its
/// threads are oneTBB's, which may be fewer than its places. A group with `options::blocking` has
/// threads of its own, and cannot have a limiter. To share a limit among several groups of such
/// tasks, use a `std::counting_semaphore` in the tasks.
///
/// Giving up: `group::try_run` accepts a task if its places are free and no task waits for places.
/// `group::try_run_for` and `try_run_until` wait until that is so. Threads that wait get places in
/// the order of their calls, and before any `try_run`. In a task that holds places of the limiter,
/// these calls do not wait for places: the missing places might be the task's own. In a group with
/// `options::queue`, these calls need room in the queue, and no places.
///
/// A limiter outlives its groups. Its destructor terminates the process with a message if a group
/// still uses it. All member functions may be called from any thread, also in tasks, but not at the
/// same time as the destructor.
///
/// Cost: one or two kilobytes, and an arena of oneTBB from the first task on. A task takes two
/// short locks when it is submitted, and two when it is finished; see perf/limited. Where tasks of
/// different groups follow each other, each task costs some 300 instructions more, and 64 bytes
/// while it waits. A group without a limiter costs nothing for it.
class limiter {
 public:
  /// A limiter with `capacity` places.
  ///
  /// Throws `std::invalid_argument` for a capacity below 1; `std::bad_alloc`.
  ERRGROUP_API explicit limiter(std::int64_t capacity);
  limiter(limiter const&) = delete;
  limiter& operator=(limiter const&) = delete;
  ERRGROUP_API ~limiter();

  /// Changes the number of places. If there are more, waiting tasks start at once, as far as there
  /// are threads. If there are fewer, no running task is interrupted, and no task starts until
  /// enough tasks have ended. A waiting task that weighs more than the new capacity runs alone:
  /// when no other task holds places.
  ///
  /// Throws `std::invalid_argument` for a capacity below 1; `std::bad_alloc`, and then the capacity
  /// is as it was before.
  ERRGROUP_API void resize(std::int64_t capacity);

  /// The number of places.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::int64_t capacity() const noexcept;
  /// The number of places that tasks hold now. It is greater than the capacity in two cases: after
  /// `resize` has lowered the capacity, and while a task runs alone that weighs more. Nested tasks
  /// that their waiter runs on its own places are not counted.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::int64_t in_use() const noexcept;
  /// The number of tasks that wait for their places, or whose places are free and that wait for a
  /// thread. A task that waits for a slot of its group's own limit is not counted.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::int64_t waiting() const noexcept;

 private:
  friend class detail::group_core;

  detail::group_core::shared_places* places_;
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_LIMITER_HPP
