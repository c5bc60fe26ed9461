// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_GROUP_HPP
#define ERRGROUP_GROUP_HPP

#include <errgroup/admission.hpp>
#include <errgroup/clock.hpp>
#include <errgroup/counts.hpp>
#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/periodic.hpp>
#include <errgroup/detail/submit.hpp>
#include <errgroup/detail/task_start.hpp>
#include <errgroup/detail/timed_call.hpp>
#include <errgroup/error.hpp>
#include <errgroup/failure_callback.hpp>
#include <errgroup/fwd.hpp>
#include <errgroup/options.hpp>
#include <errgroup/task.hpp>
#include <errgroup/task_options.hpp>

#include <tbb/task_group.h>  // task_group_context

#include <chrono>           // duration, time_point
#include <concepts>         // invocable, same_as
#include <source_location>  // source_location
#include <stop_token>       // stop_callback, stop_token
#include <string_view>      // string_view
#include <type_traits>      // decay_t, is_nothrow_destructible_v
#include <utility>          // forward

namespace errgroup::inline v1 {

/// Runs tasks on oneTBB, keeps the first error, cancels the rest, holds the number of running tasks
/// to a limit, and joins.
///
///     errgroup::group g{{.limit = 8}};
///     for (auto const& path : paths)
///       g.run([&path]() -> std::error_code { return convert(path); });
///     if (auto err = g.wait())
///       std::cerr << err << '\n';
///
/// A group may be used any number of times: `run` and `wait`, again and again. A group fails once.
/// The first error is published before the cancellation that follows from it, is the same for every
/// waiter, and stays until `reset`. Cancelled is never success: if a task did not run, `wait`
/// returns an error.
///
/// Cancelling a group cancels all that its tasks started: groups made inside them, oneTBB
/// algorithms called inside them. A group that is made inside a task belongs to that task, and is
/// cancelled with it. The group may outlive the task; if the group is busy when the task ends, the
/// task waits for it. A group that is made outside of any task, or with `options::detached`,
/// belongs to no task. A group that is made in a raw oneTBB task, or in the body of a oneTBB
/// algorithm, has to be destroyed before that task ends (docs/guarantees.md).
///
/// A callable belongs to its task until it is destroyed: its destructor runs inside the task, on
/// the task's slot, before the task counts as finished. So the destructor may submit tasks and make
/// groups.
///
/// Threads: every member function may be called from any thread at any time, also from tasks of the
/// group, unless it says otherwise; but not at the same time as the destructor.
///
/// Ordering: all that happened before `run` is visible to the task; all that the tasks did is
/// visible after `wait`. So each task may fill its own element of a plain vector.
///
/// The destructor cancels and joins a group that was not waited for; it neither throws nor
/// terminates. A thread whose `wait` has returned may destroy the group, even while other threads
/// are about to return from theirs. Destroying a group inside one of its own tasks terminates the
/// process with a message. Destroying it beside a `run` that has not returned is the caller's bug.
///
/// Cost: about that of `tbb::task_group`; see docs/design.md and perf/.
class group {
 public:
  /// A group without a limit that cancels itself at the first error.
  ///
  /// Throws `std::bad_alloc`, if this thread uses the library for the first time. So does every
  /// other function that is not `noexcept`; a `noexcept` function terminates the process then.
  ///
  /// `where` is the place of the group for an observer; leave it, or pass the caller's on.
  group(detail::place where = std::source_location::current()) : core_(where.is) {}

  /// Throws `std::invalid_argument`, in words, for options that no group can have; what starting
  /// the threads of `blocking` throws; `std::bad_alloc`. (The first use makes a limit's arena.)
  explicit group(options const& opts, std::source_location where = std::source_location::current())
      : core_(opts, where, detail::group_core::time_for(opts)) {
    if (opts.blocking) {
      core_.start_threads(opts.limit);
    }
  }

  group(group const&) = delete;
  group& operator=(group const&) = delete;
  ~group() noexcept = default;

  /// Runs `f` as a task of this group, possibly before `run` returns.
  ///
  /// `f` is called at most once, with the group's stop token if it takes one; it is skipped, and
  /// counted, if the group was cancelled first. A failure that it throws or returns is kept for
  /// `wait` and never seen here.
  ///
  /// A task of a limited group starts as soon as a slot and a thread are free, although no thread
  /// waits; so does a task from outside in a group without a limit, if its arena has workers. Tasks
  /// of a limited group start in the order of their submission if they come from one thread. If
  /// there is no room in a bounded queue, a caller inside a task of this group runs the next
  /// waiting task (or `f`, if none waits) itself, so that `run` never waits for a slot there; a
  /// caller outside helps the group until there is room, or the group is cancelled (with
  /// `options::blocking`, it waits and does not help). So do not hold a lock that tasks of the
  /// group take.
  ///
  /// Throws: `std::invalid_argument` for an empty `std::function` or a null pointer; what moving or
  ///     copying `f` throws; `std::bad_alloc`. The group is then as it was before.
  /// Threads: any.
  /// Ordering: everything before this call happens before `f` starts.
  /// Cost: one recycled node of 64 bytes from outside, and one more for every six that wait; one
  ///     oneTBB task from inside a task; see perf/flat and perf/nested. On a cancelled group, one
  ///     atomic increment.
  ///
  /// `where` is the place of the call, for `error::origin`; leave it, or pass the caller's on.
  template <class F>
  void run(F&& f, std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    core_.start<detail::located<std::decay_t<F>>>(where, std::forward<F>(f));
  }
  /// The same for a task with options, or with a name: `run({.name = "row 7"}, f)`, or
  /// `run("row 7", f)`. `error::origin` and `error::message` tell the name if `f` fails. The name
  /// is copied. Cost: see `task_options`.
  template <class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] void run(Label const& label, F&& f,
                                  std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    detail::with_kind<std::decay_t<F>>(core_, label, where, [&]<class K>(auto const& as) {
      if (!core_.refuse()) {
        core_.start<K>(as(), std::forward<F>(f));
      }
    });
  }

  /// Runs `f` if a slot is free for it, or if there is room in a bounded queue.
  ///
  /// Returns false if the group is cancelled. With `options::limit` alone, it returns false if as
  /// many tasks as the limit are unfinished. With `options::queue`, it returns false if `run` would
  /// have to make room. If it returns false, `f` was not touched, and nothing is counted. A group
  /// without a limit, a queue and a limiter is never full. If a task calls `try_run` on its own
  /// group, that task is one of the unfinished ones. So `while (g.try_run(worker)) {}` starts as
  /// many workers as there are slots. With `options::limiter` and without a queue, it also returns
  /// false if the task would have to wait for its places. With a queue, the task waits for them in
  /// the queue.
  ///
  /// Throws what `run` throws.
  template <class F>
  [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      F&& f, std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    return core_.try_start<detail::located<std::decay_t<F>>>(where, std::forward<F>(f));
  }
  /// The same for a task with options, or with a name.
  template <class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      Label const& label, F&& f, std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    return detail::with_kind<std::decay_t<F>>(core_, label, where, [&]<class K>(auto const& as) {
      return !core_.is_stopped() && core_.try_start<K>(as(), std::forward<F>(f));
    });
  }

  /// As `try_run`, but waits until `time` if there is no room, and returns the reason if the task
  /// is refused. (`try_run_for(0s, f)` is a `try_run` that returns the reason.)
  ///
  /// Returns `admission::accepted` if the group has the task; `full` if `try_run` would have
  /// refused the task until `time`; `canceled` once the group is cancelled, which ends the wait.
  /// Unless it is `accepted`, `f` was not touched, and nothing is counted.
  ///
  /// While it waits, this thread leaves the tasks to others, and helps only where `wait_until`
  /// would: a task might take longer than the caller has time. In a task of the group the call does
  /// not wait: the slot that is missing may be the caller's own. In a task that holds places of the
  /// group's limiter, it does not wait for places. `time` is as in `wait_until`. From the first
  /// wait on, a group with a limit and without `options::queue` hands out its tasks singly, which
  /// costs a little for tasks below a microsecond.
  ///
  /// Throws what `run` and `wait_until` throw.
  template <class Clock, class Duration, class F>
  [[ERRGROUP_NODISCARD_ADMISSION]] admission try_run_until(
      std::chrono::time_point<Clock, Duration> const& time, F&& f,
      std::source_location where = std::source_location::current()) {
    return offer({detail::to_clock(time)}, task_options{}, std::forward<F>(f), where);
  }
  /// The same for a task with options, or with a name.
  template <class Clock, class Duration, class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] [[ERRGROUP_NODISCARD_ADMISSION]] admission try_run_until(
      std::chrono::time_point<Clock, Duration> const& time, Label const& label, F&& f,
      std::source_location where = std::source_location::current()) {
    return offer({detail::to_clock(time)}, label, std::forward<F>(f), where);
  }
  /// The same, for as long as `time`.
  template <class Rep, class Period, class F>
  [[ERRGROUP_NODISCARD_ADMISSION]] admission try_run_for(
      std::chrono::duration<Rep, Period> const& time, F&& f,
      std::source_location where = std::source_location::current()) {
    return try_run_for(time, task_options{}, std::forward<F>(f), where);
  }
  /// The same for a task with options, or with a name.
  template <class Rep, class Period, class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] [[ERRGROUP_NODISCARD_ADMISSION]] admission try_run_for(
      std::chrono::duration<Rep, Period> const& time, Label const& label, F&& f,
      std::source_location where = std::source_location::current()) {
    return offer({detail::after(clock::now(), detail::saturated(time))}, label, std::forward<F>(f),
                 where);
  }

  /// As `run`, but gives up its wait for room in a bounded queue when `stop` is stopped. `stop`
  /// belongs to the submitter: a stop cancels neither the group nor the task.
  ///
  /// Returns `admission::accepted` if the group has the task; `stopped` if `stop` was stopped
  /// before the call, even if there is room, or while there was no room; `canceled` once the group
  /// is cancelled. Unless it is `accepted`, `f` was not touched, and nothing is counted, not even
  /// in `error::skipped`.
  ///
  /// Meanwhile this thread helps the group as in `run`, and looks at `stop` between two tasks. In a
  /// task of the group it runs waiting tasks, then `f`, itself, as in `run`: it never waits there.
  ///
  /// Throws what `run` throws.
  template <std::same_as<std::stop_token> Stop, class F>
  [[ERRGROUP_NODISCARD_ADMISSION]] admission run(
      Stop const& stop, F&& f, std::source_location where = std::source_location::current()) {
    return run(stop, task_options{}, std::forward<F>(f), where);
  }
  /// The same for a task with options, or with a name.
  template <std::same_as<std::stop_token> Stop, class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] [[ERRGROUP_NODISCARD_ADMISSION]] admission run(
      Stop const& stop, Label const& label, F&& f,
      std::source_location where = std::source_location::current()) {
    return offer({clock::time_point::max(), &stop}, label, std::forward<F>(f), where);
  }

  /// Runs `f`, and waits. In this thread, unless the group has a limit, a queue, an arena or a
  /// limiter, or the task has a priority: then `f` queues like any other task.
  ///
  /// From inside the group it is answered `errc::would_deadlock`, and `f` is not run. Throws what
  /// `run` throws.
  template <class F>
  [[ERRGROUP_NODISCARD_ERROR]] error run_and_wait(
      F&& f, std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    return core_.start_and_wait<detail::located<std::decay_t<F>>>(where, std::forward<F>(f));
  }
  /// The same for a task with options, or with a name.
  template <class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] [[ERRGROUP_NODISCARD_ERROR]] error run_and_wait(
      Label const& label, F&& f, std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    return detail::with_kind<std::decay_t<F>>(core_, label, where, [&]<class K>(auto const& as) {
      return core_.start_and_wait<K>(as(), std::forward<F>(f));
    });
  }

  /// Helps to run the group's tasks until none is unfinished, and tells the first error.
  ///
  /// When it returns, no task runs, every callable is destroyed and everything that tasks wrote is
  /// visible. Beside a concurrent `run` it returns once nothing was unfinished at some moment
  /// during the call. It may be called by many threads and many times: all get the same error.
  /// Without workers, a thread cannot run a task that was submitted, to a group without a limit, by
  /// a task on another thread that is blocked; see docs/guarantees.md.
  ///
  /// Waiting for a group from inside one of its own tasks would never end: it is answered
  /// `errc::would_deadlock` at once, which is not an error of the group.
  [[ERRGROUP_NODISCARD_ERROR]] error wait() { return core_.wait(); }

  /// As `wait`, but not beyond `until`. Returns false if a task is unfinished at `until`. Nothing
  /// is cancelled or left behind then; wait again. Returns true if no task is unfinished: `wait`
  /// then returns the error at once.
  ///
  /// Unlike in `wait`, this thread leaves the tasks to other threads: a task that it took might
  /// take longer than it has time, or wait for this thread. It helps only where no other thread may
  /// come to run the tasks: without workers, after a submission from an arena of one thread, and
  /// inside a task. (A group with `options::blocking` needs no help.) Then it looks at the clock
  /// before each task, and may be late by the length of a task. It may notice the end of spawned
  /// tasks up to 0.25 ms late: oneTBB offers no notification, so they are polled.
  ///
  /// `until` is of the steady clock, `errgroup::clock`, or the system's clock. From inside one of
  /// the group's own tasks the answer is false, at once.
  ///
  /// Throws `std::bad_alloc`, and `std::system_error` if no thread can be started.
  template <class Clock, class Duration>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_until(
      std::chrono::time_point<Clock, Duration> const& until) {
    return core_.wait_until_at(detail::to_clock(until));
  }
  /// The same, for as long as `time`.
  template <class Rep, class Period>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_for(std::chrono::duration<Rep, Period> const& time) {
    return core_.wait_until_at(detail::after(clock::now(), detail::saturated(time)));
  }

  /// As `wait_until`, but ends when `stop` is stopped, too, and then returns false if a task is
  /// unfinished. Nothing is cancelled: `stop` ends this wait and nothing else. With
  /// `clock::time_point::max()`, only `stop` ends the wait.
  template <class Clock, class Duration>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_until(
      std::chrono::time_point<Clock, Duration> const& until, std::stop_token const& stop) {
    return core_.wait_until_at(detail::to_clock(until), stop);
  }
  /// The same, for as long as `time`.
  template <class Rep, class Period>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_for(std::chrono::duration<Rep, Period> const& time,
                                               std::stop_token const& stop) {
    return core_.wait_until_at(detail::after(clock::now(), detail::saturated(time)), stop);
  }

  /// Runs `f` as a task of this group, at `time` or as soon afterwards as there is a thread and a
  /// slot. `wait` waits for it, and cancelling drops and counts it.
  ///
  /// A task that is due goes before all tasks of the group that wait. If all threads of the group
  /// are busy, it starts when the first of them has finished its task. Of several tasks that are
  /// due, the task with the earliest time starts first; ties start in the order of submission.
  /// A task with a time in the past is due at once.
  ///
  /// `time` is of the steady clock, `errgroup::clock`, or the system's clock. A time of the
  /// system's clock is converted to a delay at the call; later changes of that clock do not count.
  ///
  /// A task that is not due does not count against `options::queue`. When it becomes due it is
  /// admitted, even if the queue is full. A task that is due when it is submitted needs room, as in
  /// `run`.
  ///
  /// Throws what `run` throws, and `std::system_error` if the process's timer has no thread yet and
  ///     no thread can be started.
  /// Threads: any.
  /// Cost: logarithmic; a node of 64 bytes and 24 bytes more until it starts. See perf/timed.
  template <class Clock, class Duration, class F>
  void run_at(std::chrono::time_point<Clock, Duration> const& time, F&& f,
              std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    core_.start_at<detail::located<std::decay_t<F>>>(detail::to_clock(time), where,
                                                     std::forward<F>(f));
  }
  /// The same for a task with options, or with a name.
  template <class Clock, class Duration, class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] void run_at(std::chrono::time_point<Clock, Duration> const& time,
                                     Label const& label, F&& f,
                                     std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    detail::with_kind<std::decay_t<F>>(core_, label, where, [&]<class K>(auto const& as) {
      if (!core_.refuse()) {
        core_.start_at<K>(detail::to_clock(time), as(), std::forward<F>(f));
      }
    });
  }
  /// The same, after `delay`. A negative one means now.
  template <class Rep, class Period, class F>
  void run_after(std::chrono::duration<Rep, Period> const& delay, F&& f,
                 std::source_location where = std::source_location::current()) {
    run_at(detail::after(clock::now(), detail::saturated(delay)), std::forward<F>(f), where);
  }
  /// The same for a task with options, or with a name.
  template <class Rep, class Period, class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] void run_after(
      std::chrono::duration<Rep, Period> const& delay, Label const& label, F&& f,
      std::source_location where = std::source_location::current()) {
    run_at(detail::after(clock::now(), detail::saturated(delay)), label, std::forward<F>(f), where);
  }

  /// Runs `f` as a task of this group again and again, once in each `period`. Ends when `f` returns
  /// `errgroup::stop_repeating`, when `f` fails, or when the group is cancelled. `f` never runs
  /// beside itself. If a run comes late, or takes longer than `period`, the times that have passed
  /// meanwhile are left out: no additional runs make up for them.
  ///
  /// A run goes before all tasks of the group that wait, but no running task is interrupted. If all
  /// threads of the group are busy, the run starts when the first of them has finished its task. So
  /// the number of tasks that wait does not make the run later. If the run comes later than the
  /// next time, that time is left out. If tasks block all threads of the group, no run starts.
  ///
  /// If the runs of a group's periodic tasks take all the time of its threads, its other tasks do
  /// not start: nothing but the length of the runs makes room for them.
  ///
  /// Until it ends, `wait` does not return. Throws what `run_at` throws, and
  /// `std::invalid_argument` for a period that is not positive.
  template <class Rep, class Period, class F>
  void run_every(std::chrono::duration<Rep, Period> const& period, F&& f,
                 std::source_location where = std::source_location::current()) {
    run_every(period, task_options{}, std::forward<F>(f), where);
  }
  /// The same for a task with options, or with a name. The task has the name in all its runs.
  template <class Rep, class Period, class F, detail::task_label Label = task_options>
  [[gnu::always_inline]] void run_every(
      std::chrono::duration<Rep, Period> const& period, Label const& label, F&& f,
      std::source_location where = std::source_location::current()) {
    detail::require_callable<F>(f);
    std::string_view const name = detail::name_of(label);
    detail::task_rank const rank = detail::rank_of(label);
    if constexpr (std::same_as<Label, task_options>) {
      if (label.timeout) {
        using call = detail::timed_call<std::decay_t<F>>;
        core_.start_every(
            detail::saturated(period), where,
            detail::periodic_call<call>{name, rank, call{std::forward<F>(f), *label.timeout}});
        return;
      }
    }
    core_.start_every(detail::saturated(period), where,
                      detail::periodic_call<F>{name, rank, std::forward<F>(f)});
  }

  /// Cancels the group at `time` with `errc::deadline_exceeded`, unless that is changed before.
  /// Replaces an earlier deadline, also that of `options::timeout`. A time in the past cancels at
  /// once; `time_point::max()` is no deadline. Groups made in its tasks are cancelled with it.
  ///
  /// Throws `std::bad_alloc`, and `std::system_error` if no thread can be started.
  template <class Clock, class Duration>
  void set_deadline(std::chrono::time_point<Clock, Duration> const& time) {
    core_.set_deadline_at(detail::to_clock(time));
  }

  /// The earliest deadline of the group and of the groups above; `clock::time_point::max()` if
  /// there is none.
  [[ERRGROUP_NODISCARD_ANSWER]] clock::time_point deadline() const noexcept {
    return core_.deadline();
  }

  /// Cancels the group: waiting tasks are skipped. Running tasks, and all that they have started,
  /// see the cancellation through `is_canceling`, their `std::stop_token` and
  /// `tbb::is_current_task_group_canceling`. Returns without waiting for the tasks.
  ///
  /// A cancellation is an error like any other: the first error wins, so `wait` returns
  /// `errc::canceled` unless a task has failed before. When the call that cancelled the group first
  /// returns, the groups below are cancelled, and the callbacks of the stop tokens have run.
  void cancel() noexcept { core_.cancel(errc::canceled); }
  /// The same with a cause that `wait` returns instead. An empty cause is `errc::canceled`.
  void cancel(error cause) noexcept { core_.cancel(std::move(cause)); }

  /// True if the group, or the task that made it, was cancelled.
  [[ERRGROUP_NODISCARD_ANSWER]] bool is_canceling() const noexcept { return core_.is_canceling(); }

  /// A token that is stopped when the group is cancelled, for whichever reason. Callbacks
  /// registered with it run in the thread that cancels.
  ///
  /// Below a raw oneTBB task it is stopped only where an errgroup is cancelled; `is_canceling` and
  /// `wait` are right there, too. After `reset` the group has a new token.
  ///
  /// Throws `std::bad_alloc` at the first call.
  [[ERRGROUP_NODISCARD_ANSWER]] std::stop_token get_stop_token() const {
    return core_.get_stop_token();
  }

  /// The first error so far: what `wait` would tell now if it returned; success if there is none
  /// yet.
  [[ERRGROUP_NODISCARD_ANSWER]] error first_error() const noexcept { return core_.first_error(); }

  /// The reason for which the group is cancelled: the failure under `on_error::cancel`, the cause
  /// that `cancel` was given, or `errc::deadline_exceeded`. If the group above was cancelled, its
  /// cause. If this group is not cancelled, success. (`wait` returns the first error; with
  /// `keep_going` that may be an earlier error.)
  [[ERRGROUP_NODISCARD_ANSWER]] error cause() const noexcept { return core_.cause(); }

  /// Registers `f` for a call when the group is cancelled, in the thread that cancels; if the group
  /// is cancelled already, `f` is called at once. Use it to wake a queue, or to close a socket, on
  /// which a task is blocked. When a deadline passes, a thread of the library calls `f`, and `wait`
  /// does not wait for that call. All deadlines share such threads.
  ///
  /// The result is a `std::stop_callback` of `get_stop_token()`: its destructor waits for a call of
  /// `f` in another thread, and `f` is not called afterwards.
  template <class F>
  [[ERRGROUP_NODISCARD_CALLBACK]] std::stop_callback<std::decay_t<F>> on_cancel(F&& f) const {
    return std::stop_callback<std::decay_t<F>>(get_stop_token(), std::forward<F>(f));
  }

  /// Registers `f(error const&)` for a call for each failure in the group, with the error that
  /// `wait` would return for it: with its origin. Use it to log failures while the work goes on.
  ///
  /// `f` is called in the thread of the task that has failed, as a part of that task, after the
  /// failure was kept and, if it cancels the group, after the cancellation. Failures after the
  /// first error are told, too, also with `keep::first`. A task that only echoes the group's own
  /// cancellation (`error::echoes`) is not told, nor are skipped tasks, `cancel` and the deadline:
  /// see `on_cancel`. Tasks that fail at the same time call `f` at the same time. Several functions
  /// are called in the order of their registration. An exception that leaves `f` terminates the
  /// process, as in a `std::stop_callback`.
  ///
  /// `f` may do what a task may do, such as `run`, `cancel` and `on_failure`; `wait` is answered
  /// `errc::would_deadlock`. The destructor of the result waits for a call of `f` in another
  /// thread, and `f` is not called afterwards; `f` itself may destroy the result.
  ///
  /// Throws what moving or copying `f` throws. Cost: nothing for tasks that succeed, and nothing in
  /// groups without such a function; for a failure, a lock for each function.
  template <class F>
    requires std::invocable<std::decay_t<F>&, error const&>
  [[ERRGROUP_NODISCARD_CALLBACK]] failure_callback<std::decay_t<F>> on_failure(F&& f) {
    return failure_callback<std::decay_t<F>>(core_, std::forward<F>(f));
  }

  /// Changes the limit of a group that was made with `options::limit`, from 1 on. A higher limit
  /// starts waiting tasks at once, as far as there are threads. A lower limit takes effect as tasks
  /// end: no task is interrupted, and no task starts until fewer than `limit` tasks run. (A thread
  /// that has taken several short tasks at once finishes those, at most six, on its own slot.) With
  /// `options::queue`, the group then accepts `limit + queue` tasks. A group that was made without
  /// a limit cannot get one, and a limit cannot be removed. With `options::blocking`, a higher
  /// limit starts more threads, up to 10000; they end with the group.
  ///
  /// Throws `std::invalid_argument` for a limit below 1, and above 10000 with `blocking`;
  ///     `std::logic_error` if the group was made without a limit; `std::bad_alloc`;
  ///     `std::system_error` if a thread cannot be started. The limit is then as it was before.
  /// Threads: any.
  void set_limit(int limit) { core_.set_limit(limit); }

  /// A fresh start after a failure: no error, not cancelled, nothing skipped. `options::timeout`
  /// begins anew; a deadline from `set_deadline` is forgotten.
  ///
  /// Throws `std::logic_error` unless every task was waited for, in whichever thread;
  /// `std::bad_alloc`, if there is a stop token to replace. Calling it beside a `run` or a `wait`
  /// is the caller's bug.
  void reset() { core_.reset(); }

  /// How many tasks are submitted, run, wait, and so on, now. A snapshot: by the time that the
  /// caller reads it, tasks may have begun and ended. What is counted: counts.hpp.
  ///
  /// Cost: a look at each thread that has run tasks; nothing for the tasks themselves.
  [[ERRGROUP_NODISCARD_ANSWER]] group_counts counts() const noexcept { return core_.count_tasks(); }

  /// The context that oneTBB cancels with the group, for `tbb::parallel_for(…, g.context())` and
  /// the like. Valid as long as the group.
  ///
  /// Cancelling it directly, or a throw in an algorithm that it was given to, counts as `cancel()`.
  /// The group notices that when one of its tasks starts or ends, in `wait`, and in `is_canceling`.
  tbb::task_group_context& context() noexcept { return core_.context(); }

 private:
  friend struct extend::access;

  template <class Label, class F>
  [[gnu::always_inline]] admission offer(detail::patience const& p, Label const& label, F&& f,
                                         std::source_location where) {
    detail::require_callable<F>(f);
    return detail::with_kind<std::decay_t<F>>(core_, label, where, [&]<class K>(auto const& as) {
      return core_.is_stopped() ? admission::canceled
                                : core_.start_within<K>(p, as(), std::forward<F>(f));
    });
  }

  detail::group_core core_;
};

static_assert(std::is_nothrow_destructible_v<group>);

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_GROUP_HPP
