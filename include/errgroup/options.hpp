// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_OPTIONS_HPP
#define ERRGROUP_OPTIONS_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/error.hpp>  // npos

#include <tbb/task_arena.h>  // task_arena

#include <chrono>           // nanoseconds
#include <cstddef>          // size_t
#include <optional>         // optional
#include <source_location>  // source_location
#include <stop_token>       // stop_token
#include <string_view>      // string_view

namespace errgroup::inline v1 {
namespace detail {

/// A `std::source_location`, but empty braces are none: in `group g{{}}` they are options.
struct place {
  place(std::source_location const& where) noexcept : is(where) {}

  std::source_location is;
};

}  // namespace detail

class limiter;
class progress;

/// No limit to the tasks running at once.
inline constexpr int unlimited = -1;

/// How a group reacts to a task that fails.
enum class on_error {
  cancel,      ///< cancels itself: running tasks are told, waiting tasks are skipped
  keep_going,  ///< runs every task; `wait` returns the first error
};

/// Which errors a group keeps.
enum class keep {
  first,  ///< the first error
  all,    ///< all errors: the first error has the rest as `error::others()`
};

/// How a group reacts to a task that throws.
enum class on_exception {
  /// The exception is an error, like an error that the task returns.
  as_error,
  /// Nothing: the exception leaves the task, and the process terminates. The stack of the throw is
  /// intact, so a debugger or a crash dump can show it. Go's errgroup leaves panics alone for the
  /// same reason, after it had passed panics on to `Wait` for a while (x/sync, 2025).
  terminate,
};

/// How a group behaves. Write options with designated initializers: `group g{{.limit = 8}}`. New
/// options are appended, never inserted.
struct options {
  /// Tasks running at once, from 1; or `unlimited`.
  int limit = unlimited;
  /// Tasks accepted in addition to the tasks that hold a slot. With a bound, at most
  /// `limit + queue` tasks are accepted and unfinished; a further `run` makes room first. Without a
  /// limit the number of slots is the arena's `max_concurrency()`; with a limiter, the limiter's
  /// capacity at the group's first task.
  std::size_t queue = npos;
  /// The group's reaction to a task that fails.
  on_error policy = on_error::cancel;
  /// Which errors `wait` returns.
  keep errors = keep::first;
  /// How many errors are kept under `keep::all`, from 1; further errors are only counted. Errors
  /// take memory when they occur.
  std::size_t max_errors = 64;
  /// A stop request to this token cancels the group.
  std::stop_token stop = {};
  /// The time after which the group is cancelled with `errc::deadline_exceeded`. The time begins
  /// when the group is made or reset.
  std::optional<std::chrono::nanoseconds> timeout = {};
  /// A wait inside a task runs only tasks of this group: a task that holds a mutex while it waits
  /// never meets a task that wants the same mutex, and the stack stays shallow.
  bool isolated = false;
  /// Stands before the message of this group's errors, and in dumps, traces and debuggers. The text
  /// is copied.
  std::string_view name = {};
  /// The arena that runs the tasks: the arena of a NUMA node, of a priority, or of the host
  /// program. The arena has to outlive the group. A `limit` then only counts tasks; the arena
  /// decides on its threads.
  tbb::task_arena* arena = nullptr;
  /// The group's reaction to a task that throws.
  on_exception exceptions = on_exception::as_error;
  /// The group belongs to no task, even if a task makes the group: the group is not cancelled with
  /// the task, the end of the task does not wait for the group, and a busy group may outlive the
  /// task. The group behaves as if it had been made outside of any task. Suppose a task of group A
  /// waits for a detached group D, and a task of D waits for A. errgroup does not detect this
  /// deadlock, because D has no parent.
  bool detached = false;
  /// Where `for_each`, `transform` and `reduce` count their elements, and `pipeline` its items.
  /// The progress has to outlive the call. A group by itself counts nothing, and refuses this
  /// option: call `progress::add` in its tasks.
  errgroup::progress* progress = nullptr;
  /// With `on_error::keep_going`: the number of failures that cancels the group, from 1. `npos`: no
  /// number of failures cancels it. The first failure is the error of the group; with `keep::all`
  /// the other failures are `error::others`, with `keep::first` they are counted, and not kept.
  /// `group::cause` is the failure that cancelled the group. Tasks that run at that moment may
  /// fail, too, so there may be more failures. `reset` begins to count anew.
  std::size_t max_failures = npos;
  /// The group has threads of its own, one for each place of `limit`: up to `limit` tasks run at
  /// once, however many CPUs and oneTBB threads there are. For tasks that wait for each other, for
  /// files or for sockets. It needs a `limit` from 1 to 10000, and excludes an `arena` and a
  /// `limiter`. If more tasks than `limit` wait for each other, they wait for ever.
  ///
  /// The threads start when the group is made, sleep while they have no task, and end with the
  /// group. If the system starts no more threads, making the group throws `std::system_error`. The
  /// threads are none of oneTBB's: a `tbb::global_control` does not count them. A thread in `wait`
  /// runs tasks, too, on one of the places. A thread in `wait_for`, in `wait_until`, in
  /// `try_run_for`, or from outside in `run` at a full queue leaves all tasks to the group's
  /// threads. What the tasks start inside, such as algorithms, uses these threads only. In a task
  /// of a limited group, the threads come on top of the threads of that group.
  ///
  /// With this option, `for_each`, `transform`, `reduce` and `pipeline` treat `limit` elements at
  /// once, however many threads oneTBB has. An element may still wait behind another element of its
  /// block.
  ///
  /// Cost: some 20 us and a stack for each thread. Tasks that compute do not want it: they run
  /// beside oneTBB's threads, more at a time than there are CPUs.
  bool blocking = false;
  /// The limiter whose places the tasks take. With a `limit` as well, a task starts when it has a
  /// slot of the group and its places. The limiter has to outlive the group. It decides on the
  /// threads, so the group can have neither an `arena` nor `blocking`. See limiter.hpp.
  errgroup::limiter* limiter = nullptr;
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_OPTIONS_HPP
