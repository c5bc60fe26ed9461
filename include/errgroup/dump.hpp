// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DUMP_HPP
#define ERRGROUP_DUMP_HPP

#include <errgroup/detail/export.hpp>

#include <cstdint>  // uint8_t
#include <iosfwd>   // ostream

namespace errgroup::inline v1 {

/// The form in which `dump` writes.
enum class dump_format : std::uint8_t {
  text,  ///< for people: a tree, one line for each group, task and waiting thread
  json,  ///< for programs: one object; see docs/observing.md
};

/// Writes what is alive now: each observed group (observer.hpp), with its name, its counts and its
/// place; each of its running tasks, with name, time and thread, and with the event that the task
/// waits for; below a task, the groups that were made in it. Waits that are not part of an
/// observed task come last.
///
///     import              2 of 2 running, 4 waiting, 0 failed                            made at
///     ...
///       task 0 "cities"   12.3 s, thread 2 (LWP 14427), waits for the group "parse"      run at
///       ...
///         parse           1 running, 2 waiting, 0 failed                     no limit, made at ...
///           task 0 "row"  12.3 s, thread 1 (LWP 14407)                                   run at
///           ...
///       task 1 "roads"    12.3 s, thread 3 (LWP 14428)                                   run at
///       ...
///
/// A group with a limiter has the places of the limiter that are in use, instead of "no limit".
///
/// Running groups are not stopped for it, so the parts of the picture may be some microseconds
/// apart: a task that is just beginning or ending may be missing. Times are real, also under a
/// test's clock, and correct to some milliseconds. A task's name is cut after 47 bytes. Only
/// observed groups are known: set an observer before they are made.
///
/// Throws what `out` throws, and `std::bad_alloc`.
/// Threads: any; not in a function of an observer, and not in a signal handler (the target
/// `errgroup::trace` has `dump_on` for that).
/// Cost: a look at every observed group and at every thread that has run tasks.
ERRGROUP_API void dump(std::ostream& out, dump_format format = dump_format::text);

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_DUMP_HPP
