// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_OPTIONS_HPP
#define ERRGROUP_OPTIONS_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/error.hpp>  // npos

#include <tbb/task_arena.h>  // task_arena

#include <chrono>       // nanoseconds
#include <cstddef>      // size_t
#include <optional>     // optional
#include <stop_token>   // stop_token
#include <string_view>  // string_view

namespace errgroup {

/// No limit to the tasks running at once.
inline constexpr int unlimited = -1;

/// What a group does when one of its tasks fails.
enum class on_error {
  cancel,      ///< cancels itself: running tasks are told, waiting ones are skipped
  keep_going,  ///< runs every task; `wait` tells the first error
};

/// Which errors a group keeps.
enum class keep {
  first,  ///< the first one
  all,    ///< all of them: the first one has the rest as `error::others()`
};

/// What a group does when a task throws.
enum class on_exception {
  /// It is an error like one that was returned.
  as_error,
  /// Nothing: the exception leaves the task, which terminates the process. The stack of the place
  /// that threw is as it was, for a debugger or a crash dump to show. Go's errgroup leaves panics
  /// alone for that reason, after it had passed them on to `Wait` for a while (x/sync, 2025).
  terminate,
};

/// How a group behaves. To be written with designated initializers: `group g{{.limit = 8}}`. New
/// options are appended, never inserted.
struct options {
  /// Tasks running at once, from 1; or `unlimited`.
  int limit = unlimited;
  /// Tasks accepted beyond those that hold a slot. With a bound, at most `limit + queue` tasks are
  /// accepted and unfinished; a `run` beyond that makes room first. Without a limit the slots are
  /// the arena's `max_concurrency()`.
  std::size_t queue = npos;
  /// What happens when a task fails.
  on_error policy = on_error::cancel;
  /// Which errors `wait` tells.
  keep errors = keep::first;
  /// So many of them are kept under `keep::all`, from 1; the others are counted. They take memory
  /// when they occur.
  std::size_t max_errors = 64;
  /// Stopping it cancels the group.
  std::stop_token stop = {};
  /// So long after it was made, or reset, the group is cancelled with `errc::deadline_exceeded`.
  std::optional<std::chrono::nanoseconds> timeout = {};
  /// A wait inside a task runs only this group's work: a task that holds a mutex while it waits
  /// never meets a task that wants it, and the stack stays shallow.
  bool isolated = false;
  /// Stands before the message of an error of this group. Copied.
  std::string_view name = {};
  /// Run the tasks here: a NUMA node, a priority, the host's own arena. It has to outlive the
  /// group. A `limit` then only counts tasks; threads are the arena's own affair.
  tbb::task_arena* arena = nullptr;
  /// What happens when a task throws.
  on_exception exceptions = on_exception::as_error;
  /// The group belongs to no task, even if it is made in one: it is not cancelled with the task,
  /// the end of the task does not wait for it, and it may outlive the task while it is busy. It is
  /// as if the group had been made outside of any task. Suppose a task of group A waits for a
  /// detached group D, and a task of D waits for A. That is a deadlock, which errgroup does not
  /// detect, because D has no parent.
  bool detached = false;
};

}  // namespace errgroup

#endif  // ERRGROUP_OPTIONS_HPP
