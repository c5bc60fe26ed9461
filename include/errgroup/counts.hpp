// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_COUNTS_HPP
#define ERRGROUP_COUNTS_HPP

#include <cstddef>  // size_t

namespace errgroup::inline v1 {

/// How many tasks of a group are in which state, at one moment: `group::counts`.
///
/// `running`, `timed`, `failed` and `skipped` are counted in every group. `submitted` and `waiting`
/// are counted in full for groups with a limit, a bounded queue or an arena, and for groups that an
/// observer is told of (observer.hpp). In other groups, a task that is submitted from inside a task
/// goes straight to oneTBB, which counts it for nobody: `submitted` leaves out what tasks of the
/// group have submitted to their own group, and `waiting` counts only the tasks in the group's own
/// queue, where tasks from outside go. The numbers need not add up: `skipped` counts refused
/// submissions, and `submitted` does not.
struct group_counts {
  /// Tasks that were accepted since the group was made; `reset` does not take them back. A task
  /// that is submitted to a cancelled group is not accepted. A periodic task counts once for each
  /// run.
  std::size_t submitted = 0;
  /// Tasks that have begun and not ended. A task that waits for something, such as a group made in
  /// it, runs.
  std::size_t running = 0;
  /// Tasks that could run now, and wait for a slot or a thread.
  std::size_t waiting = 0;
  /// Tasks of `run_at`, `run_after` and `run_every` whose time has not come.
  std::size_t timed = 0;
  /// Tasks that have failed, also those whose error came too late to be kept. A pipeline counts
  /// items here. `reset` sets this number to 0.
  std::size_t failed = 0;
  /// Tasks that will never run because the group was cancelled: `error::skipped`. `reset` sets this
  /// number to 0.
  std::size_t skipped = 0;
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_COUNTS_HPP
