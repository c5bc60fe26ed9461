// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TRACE_HPP
#define ERRGROUP_TRACE_HPP

// Part of the library errgroup::trace, which a program links beside errgroup.

#include <errgroup/detail/compiler.hpp>
#include <errgroup/dump.hpp>

#include <cstddef>  // size_t
#include <memory>   // unique_ptr
#include <string>   // string

namespace errgroup::inline v1 {

/// How a trace records. New options are appended, never inserted.
struct trace_options {
  /// How many events the session keeps, of all threads together; at 128 bytes each: 32 MiB. A task
  /// is two events, its submission and its run; a wait, an error and a cancellation are one event
  /// each. Rounded up to a multiple of 32, and to 512 at least. The memory is taken from the system
  /// as the events come.
  std::size_t events = std::size_t{1} << 18U;
};

/// Records what groups do, and writes it as a timeline that https://ui.perfetto.dev and
/// chrome://tracing open.
///
///     errgroup::trace session("run.json");
///     import_everything();  // the groups that are made in here are recorded
///
/// A program that links errgroup::trace can record without any code: with `ERRGROUP_TRACE=run.json`
/// in its environment a session begins before `main`, and ends when the process exits: after `main`
/// or in `std::exit`, after the destructors of static objects; not in `_exit`, and not if a
/// signal kills the process: then the file is empty.
/// If the file cannot be opened, a line on the standard error stream says so, and the program runs
/// without a trace.
///
/// The file has, for each thread, its tasks and waits as nested slices; an arrow from each
/// submission to its task; instants for the first error of a group, for its cancellation, and for
/// tasks that were skipped; the number of running tasks of each group as a counter (of the 100
/// groups with the most tasks). A slice has the name of its task, or else of its group, or else the
/// place of its submission. Names are cut after 47 bytes (tasks) and 32 bytes (groups), messages
/// after 400. Times are those of `std::chrono::steady_clock`, from the begin of the session. A
/// task or wait that has not ended is in the file with `"unfinished":true`.
///
/// Memory is bounded. When there is no room, the oldest events are dropped, 32 at a time: the file
/// keeps the newest events. A slice is one event, so it is in the file as a whole or not at all,
/// and slices nest whatever was dropped. The file says how many events were dropped, in its
/// `otherData` and in an instant at its begin. A slice that is more than 256 deep on its thread is
/// dropped and counted, too.
///
/// The session is the observer of the process (observer.hpp) until it is destroyed: groups that are
/// made meanwhile tell it, and not the observer that was set before. That observer is set again at
/// the end, unless the program has set another one meanwhile. Groups that were made before the
/// session are not recorded. Groups may outlive the session.
///
/// Threads: `flush` and `dropped` may be called by any thread while other threads run tasks. A
/// process has one session at a time. A child process after `fork` writes nothing.
///
/// Cost: of the time of tasks of 1 us about 7 %, of tasks of 10 us about 1 %, the cost of an
/// observer included; see perf/trace. Recording takes no lock and no memory, but for the first
/// event of a thread and the text of an error. After the end of a session its memory is kept for
/// the next session.
class trace {
 public:
  /// Opens the file, empties it, and begins to record.
  ///
  /// The path is used once: later changes of the working folder do not matter. Pipes and devices
  /// may be named, too.
  ///
  /// Throws `std::system_error` if the file cannot be opened for writing; `std::logic_error` if
  /// another session records, also that of `ERRGROUP_TRACE`; `std::invalid_argument` if
  /// `events` is 0; `std::bad_alloc`.
  explicit trace(std::string const& path, trace_options const& how = {});
  trace(trace const&) = delete;
  trace& operator=(trace const&) = delete;
  /// Ends the session, and writes the file. If that fails, a line on the standard error stream says
  /// so: call `flush` before, to learn of it in the program.
  ~trace();

  /// Writes all that is recorded so far, in place of the file's content. Tasks go on meanwhile, and
  /// are recorded.
  ///
  /// Throws `std::system_error` if the file cannot be written: it is incomplete then. Throws
  /// `std::bad_alloc`. In both cases the session goes on.
  /// Threads: any; not in a function of an observer, and not in a signal handler.
  /// Cost: a copy of all events, and some 700 bytes of text for each task.
  void flush();

  /// The number of events that were dropped so far. Threads: any.
  [[ERRGROUP_NODISCARD_ANSWER]] std::size_t dropped() const noexcept;

 private:
  struct session;
  std::unique_ptr<session> session_;
};

/// Installs a handler: when `signal` comes, a thread writes what groups do (`dump`). To look into a
/// process that seems to hang:
///
///     errgroup::dump_on(SIGUSR1);      // in the program, before it makes groups
///     kill -USR1 <process>             # in a shell
///
/// The text goes to the file descriptor `file`, which has to stay open. Only observed groups are
/// known; if there is no observer, this call sets an observer that does nothing, so that groups
/// which are made from now on are known.
///
/// The handler stays until the process ends; `sigaction` with another handler ends it. A second
/// call for the same signal changes `file` and `format`. The handler only wakes a thread, which the
/// first call starts, and which has all signals blocked. Signals that come while a dump is written
/// lead to one more dump. A child process after `fork` writes nothing. Failures to write are
/// ignored.
///
/// Throws `std::system_error` if the signal cannot be caught (`SIGKILL`, `SIGSTOP`, a number that
/// is none), or reports a fault after which the program cannot go on (`SIGSEGV`, `SIGABRT` and
/// others); if `file` is not open; if the thread cannot be started. Threads: any.
void dump_on(int signal, int file = 2, dump_format format = dump_format::text);

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_TRACE_HPP
