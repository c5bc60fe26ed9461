// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_GROUP_HPP
#define ERRGROUP_GROUP_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/cancel_node.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/detail/first_error.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/thread_state.hpp>
#include <errgroup/error.hpp>
#include <errgroup/fwd.hpp>
#include <errgroup/options.hpp>
#include <errgroup/task.hpp>

#include <tbb/task.h>        // current_context
#include <tbb/task_arena.h>  // task_arena
#include <tbb/task_group.h>  // task_group, task_group_context, task_group_status, task_handle
#include <tbb/version.h>     // TBB_INTERFACE_VERSION

#include <atomic>           // atomic
#include <chrono>           // duration, nanoseconds, time_point
#include <cstddef>          // nullptr_t, size_t
#include <cstdint>          // uint32_t, uint64_t
#include <memory>           // construct_at, destroy_at, unique_ptr
#include <new>              // launder
#include <optional>         // optional
#include <source_location>  // source_location
#include <stop_token>       // stop_callback, stop_token
#include <string>           // string
#include <string_view>      // string_view
#include <type_traits>      // decay_t, is_nothrow_destructible_v
#include <utility>          // exchange, forward, in_place, move

namespace errgroup {
namespace detail {

class sleeper;
class wake_list;
struct timed_task;

}  // namespace detail

/// Runs tasks on oneTBB, keeps the first error, cancels the rest, holds the number of running tasks
/// to a limit, and joins.
///
///     errgroup::group g{{.limit = 8}};
///     for (auto const& path : paths)
///       g.run([&path]() -> std::error_code { return convert(path); });
///     if (auto err = g.wait())
///       std::cerr << err << '\n';
///
/// A group is used any number of times: `run` and `wait`, again and again. It fails once: the first
/// error is published before the cancellation that follows from it, is the same for everybody who
/// waits, and stays until `reset`. Cancelled is never success: if a task did not run, `wait` says
/// so.
///
/// Cancelling a group cancels what its tasks started: groups made inside them, oneTBB algorithms
/// called inside them. A group made inside a task belongs to that task, whoever uses it first, and
/// is cancelled with it. It may outlive the task, which waits for it at its end if it is busy then.
/// A group made outside of any task belongs to none. (Of a group made in a raw oneTBB task more is
/// asked; see docs/guarantees.md.) With `options::detached` it belongs to none in either case.
///
/// A callable belongs to its task until it is destroyed: its destructor runs inside the task, on
/// the task's slot, before the task counts as finished. So the destructor may submit tasks and make
/// groups.
///
/// Threads: every member function may be called from any thread at any time, also from tasks of the
/// group, unless it says otherwise; of course not beside the destructor.
///
/// Ordering: what happened before `run` is visible to the task; what the tasks did is visible after
/// `wait`. So each task may fill its own element of a plain vector.
///
/// The destructor cancels and joins a group that was not waited for; it neither throws nor
/// terminates. A group may be destroyed by anybody whose `wait` has returned, even while others are
/// about to return from theirs; destroying it inside one of its own tasks terminates, with a word,
/// and beside a `run` that has not returned is the caller's bug.
///
/// Cost: about that of `tbb::task_group`; see docs/design.md and perf/.
class group {
 public:
  /// A group without a limit that cancels itself at the first error.
  ///
  /// Throws `std::bad_alloc`, if this thread uses the library for the first time. So does every
  /// other function that is not `noexcept`; one that is terminates the process then.
  ERRGROUP_API group();

  /// Throws `std::invalid_argument`, in words, for a limit of 0 or below -1 and for a `max_errors`
  /// of 0; `std::bad_alloc`. (What a limit needs of oneTBB is made at the first use.)
  ERRGROUP_API explicit group(options const& opts);

  group(group const&) = delete;
  group& operator=(group const&) = delete;

  ERRGROUP_API ~group() noexcept;  // although a member's destructor is declared to throw

  /// Runs `f` as a task of this group, possibly before `run` returns.
  ///
  /// `f` is called at most once, with the group's stop token if it takes one; it is skipped, and
  /// counted, if the group was cancelled first. What it throws or returns as a failure is kept for
  /// `wait` and never seen here.
  ///
  /// A task of a limited group starts as soon as a slot and a thread are free, without anybody
  /// waiting; so does one from outside in a group without a limit, if its arena has workers. Tasks
  /// of a limited group start in the order of their submission if they come from one thread. If
  /// there is no room in a bounded queue, a caller inside a task of this group runs the next
  /// waiting task (or `f`, if none waits) itself, so that `run` never waits for a slot there; a
  /// caller outside helps the group until there is room, or the group is cancelled. So do not hold
  /// a lock that tasks of the group take.
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
  void run(F&& f, std::source_location where = std::source_location::current());

  /// The same for a task with a name, which `error::origin` and `error::message` tell if `f` fails.
  /// It is copied. Cost: one allocation more, and another if the name has more than 15 characters.
  template <class F>
  void run(std::string_view name, F&& f,
           std::source_location where = std::source_location::current());

  /// Runs `f` if a slot is free for it, or if there is room in a bounded queue.
  ///
  /// Returns false if the group is cancelled. With `options::limit` alone, it returns false if as
  /// many tasks as the limit are unfinished. With `options::queue`, it returns false if `run` would
  /// have to make room. If it returns false, `f` was not touched, and nothing is counted. Without a
  /// limit and a queue, a group is never full. If a task calls `try_run` on its own group, that
  /// task is one of the unfinished ones. So `while (g.try_run(worker)) {}` starts as many workers
  /// as there are slots.
  ///
  /// Throws what `run` throws.
  template <class F>
  [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      F&& f, std::source_location where = std::source_location::current());
  /// The same for a task with a name.
  template <class F>
  [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      std::string_view name, F&& f, std::source_location where = std::source_location::current());

  /// Runs `f`, and waits. In this thread, unless the group has a limit, a queue or an arena, or is
  /// isolated: then `f` queues like any other task.
  ///
  /// From inside the group it is answered `errc::would_deadlock`, and `f` is not run. Throws what
  /// `run` throws.
  template <class F>
  [[ERRGROUP_NODISCARD_ERROR]] error run_and_wait(
      F&& f, std::source_location where = std::source_location::current());
  /// The same for a task with a name.
  template <class F>
  [[ERRGROUP_NODISCARD_ERROR]] error run_and_wait(
      std::string_view name, F&& f, std::source_location where = std::source_location::current());

  /// Helps to run the group's tasks until none is unfinished, and tells the first error.
  ///
  /// When it returns, no task runs, every callable is destroyed and everything that tasks wrote is
  /// visible. Beside a concurrent `run` it returns once nothing was unfinished at some moment
  /// during the call. It may be called by many threads and many times: all get the same error.
  /// Without workers, a thread does not get at what a task submitted to a group without a limit on
  /// another thread that is blocked; see docs/guarantees.md.
  ///
  /// Waiting for a group from inside one of its own tasks would never end: it is answered
  /// `errc::would_deadlock` at once, which is not an error of the group.
  [[ERRGROUP_NODISCARD_ERROR]] ERRGROUP_API error wait();

  /// As `wait`, but for a while at most: false if a task is unfinished at `until`. Nothing is
  /// cancelled or left behind then; wait again. True if none is: `wait` returns at once then, with
  /// the error.
  ///
  /// Unlike in `wait`, this thread leaves the tasks to others: one that it took might take longer
  /// than it has time, or wait for what comes after this call. Only where nobody else may come to
  /// run them, without workers, after a submission from an arena of one thread, and inside a task,
  /// does it help, and looks at the clock before each task; it may be late by the length of one
  /// then. Of the end of what was spawned, which oneTBB does not tell, it knows up to 0.25 ms late.
  ///
  /// `until` is of the steady clock, `errgroup::clock`, or the system's clock. From inside one of
  /// the group's own tasks the answer is false, at once.
  ///
  /// Throws `std::bad_alloc`, and `std::system_error` if there is no thread to be had.
  template <class Clock, class Duration>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_until(
      std::chrono::time_point<Clock, Duration> const& until) {
    return wait_until_at(detail::to_clock(until));
  }
  /// The same, for as long as `time`.
  template <class Rep, class Period>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_for(std::chrono::duration<Rep, Period> const& time) {
    return wait_until_at(detail::after(clock::now(), detail::saturated(time)));
  }

  /// True in a task of this group (in its call, and in the destructor of its callable), in what the
  /// task calls on the same thread, and in the tasks of groups that were made in such a task.
  ///
  /// If the task calls a oneTBB algorithm, and another thread runs its body: true with
  /// `options::limit` and without `options::arena`, false otherwise, because oneTBB does not tell
  /// which task called the algorithm. In the latter case it is also false in the tasks of a group
  /// that was made in such a body. docs/guarantees.md lists all cases.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API bool is_inside() const;

  /// Inside the group: runs `f` now, in this thread, as a task of it, on the slot that the caller
  /// holds. For those who make handles to single tasks, as `spawn` does, and wait for one that has
  /// not started: so a task may wait for another at any limit. `f` returns an `error`, and does not
  /// throw.
  template <class F>
  void run_inside(F&& f, std::source_location where = std::source_location::current()) {
    run_inside_now([](void* p) noexcept { return (*static_cast<std::remove_cvref_t<F>*>(p))(); },
                   &f, where);
  }

  /// Runs `f` in this thread, inside the group, as part of a task that was cancelled before it ran.
  /// A handle uses this to destroy the callable of its task. `f` must not throw. The task must stay
  /// unfinished until this call returns. Threads: any.
  template <class F>
  void discard_inside(F&& f) noexcept {
    detail::thread_state& self = detail::this_worker();
    // With the current context, a group that `f` makes belongs to this frame (group::group).
    detail::task_scope inside(self, node_, tbb::task::current_context(), self.top->pool);
    std::forward<F>(f)();
  }

  /// Waits until `done` is true; whoever sets it calls `wake` then. Meanwhile this thread takes
  /// part where it would in `wait_until`. Not inside the group: a task that it took on there might
  /// wait, as well it may, for the very task that this call is in, and that could not go on below
  /// it.
  ///
  /// What was done before `done` was set is visible. Throws `std::bad_alloc`.
  ERRGROUP_API void help_until(std::atomic<bool> const& done);
  /// Has those in `help_until` look again. Threads: a task of the group, or one that keeps it.
  ERRGROUP_API void wake() noexcept;

  /// Runs `f` as a task of this group, at `time` or as soon afterwards as there is a thread and a
  /// slot. `wait` waits for it, and cancelling drops and counts it.
  ///
  /// A task that is due goes before all tasks of the group that wait. If all threads of the group
  /// are busy, it starts when the first of them has finished its task. Of several tasks that are
  /// due, the one with the earliest time starts first; ties start in the order of their submission.
  /// A task with a time in the past is due at once.
  ///
  /// `time` is of the steady clock, `errgroup::clock`, or the system's clock. Of the latter it is
  /// how far away it is now that counts, whatever is done to that clock later.
  ///
  /// A task that is not due does not count against `options::queue`. When it becomes due it is
  /// admitted, even if the queue is full. A task that is due when it is submitted needs room, as in
  /// `run`.
  ///
  /// Throws what `run` throws, and `std::system_error` if the process's timer has no thread yet and
  ///     there is none to be had.
  /// Threads: any.
  /// Cost: logarithmic; a node of 64 bytes and 24 bytes more until it starts. See perf/timed.
  template <class Clock, class Duration, class F>
  void run_at(std::chrono::time_point<Clock, Duration> const& time, F&& f,
              std::source_location where = std::source_location::current());
  /// The same, after `delay`. A negative one means now.
  template <class Rep, class Period, class F>
  void run_after(std::chrono::duration<Rep, Period> const& delay, F&& f,
                 std::source_location where = std::source_location::current());

  /// Runs `f` as a task of this group again and again: after `period` and whenever that has passed
  /// once more, until it returns `errgroup::stop_repeating`, it fails, or the group is cancelled.
  /// It never runs beside itself. A run that comes late, or takes longer than `period`, is not
  /// followed by others to make up for it: the times that have passed meanwhile are left out.
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
                 std::source_location where = std::source_location::current());

  /// Cancels the group at `time` with `errc::deadline_exceeded`, unless that is changed before:
  /// replaces the deadline it had, be it from `options::timeout`. A time in the past cancels at
  /// once; `time_point::max()` is no deadline. Groups made in its tasks are cancelled with it.
  ///
  /// Throws `std::bad_alloc`, and `std::system_error` if there is no thread to be had.
  template <class Clock, class Duration>
  void set_deadline(std::chrono::time_point<Clock, Duration> const& time) {
    set_deadline_at(detail::to_clock(time));
  }

  /// The earliest deadline of the group and of those above; `clock::time_point::max()` if there is
  /// none.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API clock::time_point deadline() const noexcept;

  /// Cancels the group: waiting tasks are skipped, running ones see it through `is_canceling`,
  /// their `std::stop_token` and `tbb::is_current_task_group_canceling`, and so does everything
  /// that they started. Returns without waiting for them.
  ///
  /// It is an error like any other: the first one wins, so `wait` tells `errc::canceled` unless
  /// something failed before.
  ERRGROUP_API void cancel() noexcept;
  /// The same with a cause that `wait` tells instead. An empty cause is `errc::canceled`.
  ERRGROUP_API void cancel(error cause) noexcept;

  /// True if the group, or what it was made in, was cancelled.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API bool is_canceling() const noexcept;

  /// A token that is stopped when the group is cancelled, by whomever. Callbacks registered with it
  /// run in the thread that cancels.
  ///
  /// Below a raw oneTBB task it is stopped only where an errgroup is cancelled; `is_canceling` and
  /// `wait` are right there, too. After `reset` the group has a new token.
  ///
  /// Throws `std::bad_alloc` at the first call.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::stop_token get_stop_token() const;

  /// The first error so far: what `wait` would tell now if it returned; success if there is none
  /// yet.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API error first_error() const noexcept;

  /// What happens when a task throws: `options::exceptions`.
  [[ERRGROUP_NODISCARD_ANSWER]] on_exception exceptions() const noexcept {
    bool const ends = (node_.state.load(std::memory_order_relaxed) & unguarded) != 0;
    return ends ? on_exception::terminate : on_exception::as_error;
  }

  /// Why the group is cancelled: the failure under `on_error::cancel`, what was given to `cancel`,
  /// `errc::deadline_exceeded`; the cause of the group above, if that was cancelled; success, if it
  /// is not cancelled. (`wait` tells the first error, which may be an earlier one with
  /// `keep_going`.)
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API error cause() const noexcept;

  /// `e` as a task of this group has it that fails with it: with the names of the group and of
  /// those above, an index and a place as its `origin`, unless it has one. For those who hand
  /// results on by themselves, as `join` does. `where` of line 0: not known.
  [[ERRGROUP_NODISCARD_COPY]] ERRGROUP_API error
  describe(error e, std::size_t index, std::source_location where = {}) const noexcept;

  /// Has `f` called when the group is cancelled, in the thread that cancels it; at once if it is
  /// cancelled already. To wake a queue, or close a socket, that a task is blocked on. When a
  /// deadline passes, a thread of the library calls `f`, and `wait` does not wait for that call.
  /// All deadlines share such threads.
  ///
  /// It is a `std::stop_callback` of `get_stop_token()`: `f` is not called any more when it is
  /// destroyed, whose destructor waits for a call in another thread.
  template <class F>
  [[ERRGROUP_NODISCARD_CALLBACK]] std::stop_callback<std::decay_t<F>> on_cancel(F&& f) const {
    return std::stop_callback<std::decay_t<F>>(get_stop_token(), std::forward<F>(f));
  }

  /// A fresh start after a failure: no error, not cancelled, nothing skipped. `options::timeout`
  /// begins anew; a deadline from `set_deadline` is forgotten.
  ///
  /// Throws `std::logic_error` unless every task was waited for, in whichever thread;
  /// `std::bad_alloc`, if there is a stop token to replace. Calling it beside a `run` or a `wait`
  /// is the caller's bug.
  ERRGROUP_API void reset();

  /// What oneTBB cancels: for `tbb::parallel_for(…, g.context())` and the like. Valid as long as
  /// the group.
  ///
  /// Cancelling it directly, or a throw in an algorithm that it was given to, counts as `cancel()`.
  /// The group notices that when one of its tasks starts or ends, in `wait`, and in `is_canceling`.
  ERRGROUP_API tbb::task_group_context& context() noexcept;

 private:
  struct place;  // where it is made
  // Takes two parameters: a single `place` could be made from the braces of a user's options.
  group(place const& here, std::nullptr_t);

  friend error check() noexcept;

  struct timed;  // its deadline, and tasks that are not due
  class watched;
  struct extras;        // what only some groups have: limit, name, arena, a stop token's callback
  struct token_link;    // the stop token, from the first call of `get_stop_token` on
  struct bound_groups;  // all groups with a bound context and a token
  class waiting;
  struct ticket;
  struct session;

  // oneTBB's side of the group.
  struct engine {
    explicit engine(tbb::task_group_context::kind_type kind) noexcept
        : context(kind, tbb::task_group_context::default_traits |
                            tbb::task_group_context::concurrent_wait),
          tasks(context) {}

    /// Lets us at what counts the tasks: oneTBB itself does not say whether any is unfinished.
    struct task_group : tbb::task_group {
      using tbb::task_group::task_group;

      template <class Self>
      static auto& count_of(Self& self) noexcept {
        if constexpr (requires { self.m_wait_ctx; }) {
          return self.m_wait_ctx;
        } else {
          return self.m_wait_vertex.get_context();  // from version 2022.0
        }
      }
    };

    tbb::task_group_context context;
    task_group tasks;
  };

  /// The group in the cancellation tree.
  class tree_node final : public detail::cancel_node {
   public:
    explicit tree_node(group& g) noexcept : g_(g) {}

    [[nodiscard]] group& owner() const noexcept { return g_; }

    void interrupt() noexcept override;
    void clean_up() noexcept override;

   private:
    void mark() noexcept override;
    [[nodiscard]] bool is_busy() const noexcept override;
    void join() noexcept override;

    group& g_;
  };

  enum class path : std::uint8_t { queue, spawn };

  // node_.state, beside cancel_node::stopped
  static constexpr std::uint32_t told = 8;           // a caller was told of the error
  static constexpr std::uint32_t unguarded = 16;     // on_exception::terminate
  static constexpr std::uint32_t due_waits = 32;     // a due task waits, or has just been taken
  static constexpr std::uint32_t has_settings = 64;  // the context may have FPU settings

  /// What is known of a task in case it fails.
  struct submission {
    std::source_location where;
    detail::error_note* note;  // of a task with a name
    std::size_t index;
  };

  /// A callable, and where it was submitted.
  template <class F>
  struct located {
    using callable = F;

    [[nodiscard]] submission as(std::size_t index) const noexcept {
      return {where, nullptr, index};
    }

    std::source_location where;
    F f;
  };

  /// A callable with a name. What its error shares is there before it fails.
  template <class F>
  struct named {
    using callable = F;

    [[nodiscard]] submission as(std::size_t index) const noexcept {
      return {note->origin.where, note.get(), index};
    }

    detail::note_ptr note;
    F f;
  };

  template <class F>
  class repeated;

  /// A task as oneTBB gets it: small, moved without throwing, called as const, dropped without a
  /// call if the group was cancelled.
  /// `Waits`: the caller waits for it, so it runs at once, also before tasks that are due.
  template <class K, bool Waits = false>
  class spawned {
   public:
    template <class Label, class F>
    spawned(group& g, std::size_t index, Label&& label, F&& f)
        : group_(&g),
          index_(index),
          kept_(std::in_place, std::forward<Label>(label), std::forward<F>(f)) {}
    spawned(spawned&& other) noexcept
        : group_(std::exchange(other.group_, nullptr)),
          index_(other.index_),
          kept_(std::move(other.kept_)) {
      std::destroy_at(&other.kept_);
    }
    spawned(spawned const&) = delete;
    spawned& operator=(spawned const&) = delete;
    spawned& operator=(spawned&&) = delete;
    ~spawned() {
      if (group_ != nullptr) [[unlikely]] {
        skip();
      }
    }

    void operator()() const noexcept {
      if constexpr (!Waits) {
        if (group_->has_due()) [[unlikely]] {
          run_after_due();
          return;
        }
      }
      group& g = *std::exchange(group_, nullptr);
      if constexpr (Waits) {
        // By running this task, oneTBB has bound the context. Say so before the task submits
        // others, which would bind it by hand.
        if (g.is_unbound()) {
          g.note_bound();
        }
      }
      g.execute(kept_, nullptr, index_);
    }

    void skip() noexcept { std::exchange(group_, nullptr)->discard(kept_); }

    /// oneTBB refused the task. Destroys the callable outside of any task; `run` throws.
    void drop() noexcept {
      if (std::exchange(group_, nullptr) != nullptr) {
        std::destroy_at(&kept_);
      }
    }

   private:
    // Puts this task back into the deque first: a task that is due may block, and another thread
    // may run this task meanwhile.
    [[gnu::noinline, gnu::cold]] void run_after_due() const noexcept {
      group& g = *group_;
      try {
        g.spawn_again(std::move(const_cast<spawned&>(*this)));  // moves mutable members only
      } catch (std::bad_alloc const&) {
        g.run_due();
        std::exchange(group_, nullptr)->execute(kept_, nullptr, index_);
        return;
      }
      g.run_due();
    }

    mutable group* group_;  // null: `kept_` was destroyed or moved out
    std::size_t index_;
    union {
      mutable detail::held<K> kept_;
    };
  };

  template <class F>
  static void require_callable(F&& f) {
    detail::require_task<F>();
    if (detail::is_null(f)) {
      refuse_null();
    }
  }

  // Each has the label of a task, where it was submitted or its note, the callable, and a type `K`
  // that keeps both.
  template <class K, class Label, class F>
  void start(Label&& label, F&& f);
  template <class K, class Label, class F>
  void start_at(clock::time_point due, Label&& label, F&& f);
  template <class K, class Label, class F>
  void defer_until(clock::time_point due, Label&& label, F&& f);
  template <class K, class Label, class F>
  bool try_start(Label&& label, F&& f);
  template <class K, class Label, class F>
  error start_and_wait(Label&& label, F&& f);
  template <class K, class Label, class F>
  void spawn(std::size_t index, Label&& label, F&& f);
  template <class K>
  void spawn_again(spawned<K>&& task);
  template <class K, class Label, class F>
  static detail::node* make_node(detail::thread_state& self, Label&& label, F&& f);
  template <class K>
  static void reserve_again(detail::thread_state& self, K& k);

  /// Runs a task of this group, in this thread, now, and destroys `holder`, which keeps the
  /// callable. The callable's destructor belongs to the task, as its call does: what the destructor
  /// submits, waits for or destroys counts as done by the task. `pool`: the queue whose arena this
  /// thread has entered for the task, if any.
  template <class Holder>
  [[gnu::always_inline]] void execute(Holder& holder, detail::queue_life const* pool,
                                      std::size_t index) noexcept {
    detail::thread_state& self = detail::this_worker();
    detail::task_scope running(self, node_, engine_.context,
                               pool != nullptr ? *pool : self.top->pool);
    auto& k = holder.get();
    if ((node_.state.load(std::memory_order_acquire) & (node_.stopped | unguarded)) != 0)
        [[unlikely]] {
      skip_or_execute(k, index);
    } else {
      detail::call(
          k.f, [this] { return get_stop_token(); },
          [this, &k, index](error e) noexcept { fail(std::move(e), k.as(index)); });
    }
    std::destroy_at(&holder);
  }

  /// Skips it if the group is stopped; else nothing catches what it throws.
  template <class K>
  [[gnu::noinline, gnu::cold]] void skip_or_execute(K& k, std::size_t index) noexcept {
    if (is_stopped()) {
      skip(1);
      return;
    }
    detail::call_unguarded(
        k.f, [this] { return get_stop_token(); },
        [this, &k, index](error e) noexcept { fail(std::move(e), k.as(index)); });
  }

  /// Skips a task of this group, and destroys `holder` with the callable, as a part of the task.
  template <class Holder>
  [[gnu::noinline, gnu::cold]] void discard(Holder& holder) noexcept {
    skip(1);
    discard_inside([&holder]() noexcept { std::destroy_at(&holder); });
  }

  [[nodiscard]] bool is_stopped() const noexcept { return node_.is_stopped(); }
  /// True if `run_due` may have a task to run. The bit is written under the queue's lock.
  [[nodiscard]] bool has_due() const noexcept {
    return (node_.state.load(std::memory_order_relaxed) & due_waits) != 0;
  }
  /// In the very task that the group was made in, which is one of ours.
  [[nodiscard]] bool is_at_home(detail::thread_state const& self) const noexcept {
    return node_.parent() == self.top;
  }
  /// True if the context is to be bound to a parent by its first use.
  [[nodiscard]] bool is_unbound() const noexcept {
    return unbound_.load(std::memory_order_acquire);
  }
  /// At home: what is spawned now binds the context to the right parent.
  [[nodiscard]] bool binds_here() const noexcept {
    return tbb::task::current_context() == made_under_;
  }
  [[nodiscard]] bool refuse() noexcept {
    if (!is_stopped()) [[likely]] {
      return false;
    }
    skipped_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  /// The context was just bound by what the caller spawned.
  void note_bound() noexcept {
    unbound_.store(false, std::memory_order_release);
    // A cancellation that came before this was overwritten by the parent's state. (If a
    // cancellation comes unseen right now, nothing is lost: a task that starts later finds the
    // group stopped.)
    if (is_stopped()) {
      engine_.context.cancel_group_execution();
    }
  }

  /// So many tasks were submitted, but for those from tasks of a group without a limit.
  [[nodiscard]] std::size_t submitted() const noexcept {
    detail::queue const* const q = queue_.load(std::memory_order_acquire);
    return spawns() + (q != nullptr ? queued(*q) : 0);
  }
  /// So many tasks went to oneTBB, as far as that is noted.
  [[nodiscard]] std::uint64_t spawns() const noexcept {
    return maker_spawns_.load(std::memory_order_acquire) +
           other_spawns_.load(std::memory_order_acquire);
  }

  // Notes that a task went to oneTBB, so that it can be told whether all were waited for. (oneTBB
  // keeps the count of its tasks to itself.) A task that is spawned inside the group needs no note:
  // the one that spawns it is unfinished.
  void note_spawn_by_maker() noexcept {
    maker_spawns_.store(maker_spawns_.load(std::memory_order_relaxed) + 1,
                        std::memory_order_release);
  }
  void note_spawn(detail::thread_state& self) noexcept {
    if (&self == maker_) {
      note_spawn_by_maker();
    } else {
      eventful_.store(true, std::memory_order_relaxed);
      other_spawns_.fetch_add(1, std::memory_order_release);
    }
  }

  [[noreturn]] ERRGROUP_API static void refuse_null();

  // What the templates above need; see group.cpp.
  ERRGROUP_API path route(detail::thread_state& self);
  [[nodiscard]] ERRGROUP_API static std::size_t queued(detail::queue const& q) noexcept;
  ERRGROUP_API void submit(detail::thread_state& self, detail::node* n) noexcept;
  ERRGROUP_API void prepare_queue(detail::thread_state& self);
  ERRGROUP_API void defer(detail::thread_state& self, detail::node* n, clock::time_point due);
  ERRGROUP_API void submit_due(detail::thread_state& self, detail::node* n, clock::time_point due);
  ERRGROUP_API void run_due() noexcept;
  ERRGROUP_API void set_deadline_at(clock::time_point at);
  ERRGROUP_API bool wait_until_at(clock::time_point until);
  [[noreturn]] ERRGROUP_API static void refuse_period();
  [[nodiscard]] ERRGROUP_API bool reserve(detail::thread_state& self);
  ERRGROUP_API void unreserve() noexcept;
  ERRGROUP_API void submit_reserved(detail::thread_state& self, detail::node* n) noexcept;
  ERRGROUP_API void skip(std::size_t n) noexcept;
  ERRGROUP_API void fail(error e, submission const& from) noexcept;
  [[nodiscard]] ERRGROUP_API bool is_inside(detail::thread_state const& self) const noexcept;
  ERRGROUP_API void run_inside_now(error (*call)(void*) noexcept, void* argument,
                                   std::source_location where) noexcept;
  ERRGROUP_API error run_here_and_wait(detail::thread_state& self,
                                       tbb::task_handle (*make)(group&, void*), void* task);

  // group.cpp
  bool record(error const& e, bool stop_too) noexcept;
  void describe(error& e, submission const& from) const noexcept;
  void add_other(error const& e, bool was_stopped) noexcept;
  void add_names(std::string& names) const;
  void hand_over_lost_error() noexcept;
  void note_cause(error const& e) noexcept;
  void note_joined(std::uint64_t spawns) noexcept;
  void stop() noexcept;
  static void interrupt_all(detail::stopped_nodes& nodes) noexcept;
  [[nodiscard]] bool needs_clean_up() const noexcept;
  [[nodiscard]] std::stop_source token_source() const noexcept;

  // timed.cpp
  timed& time_part();
  void dispatch(timed& t, clock::time_point now) noexcept;
  void append_due(detail::queue& q, detail::spin_mutex::scoped_lock& lock,
                  detail::timed_task const& task) noexcept;
  void expire(timed& t) noexcept;
  void drop_timed(detail::queue& q) noexcept;
  [[nodiscard]] bool engine_is_idle() noexcept;
  [[nodiscard]] bool is_to_be_watched(detail::queue const& q) const noexcept;
  [[nodiscard]] static bool is_needed(detail::thread_state& self) noexcept;

  // group.cpp, again
  void end(detail::thread_state& self) noexcept;
  void tidy_up() noexcept;
  void join() noexcept;
  void notice_cancellation() noexcept;
  template <class Body>
  void engine_wait(Body* body) noexcept;
  template <class Body>
  bool engine_wait_in_pool(Body* body) noexcept;
  template <class Body>
  void engine_wait_here(Body* body) noexcept;
  void await_waiters(detail::thread_state const& self) const noexcept;
  [[nodiscard]] error outcome() noexcept;
  void start_timeout();
  [[nodiscard]] bool is_joined() const noexcept;
  [[nodiscard]] bool is_canceled_itself() const noexcept;

  // place.cpp
  void attach() noexcept;
  [[nodiscard]] bool is_canceled_above() const noexcept;
  [[nodiscard]] bool is_pool_alive() const noexcept;
  void bind(detail::thread_state& self, tbb::task_group_context* here) noexcept;
  void bind_unless_at_home(detail::thread_state& self, tbb::task_group_context* here) noexcept;
  [[nodiscard]] group* above() const noexcept;
  static error check_here() noexcept;
  struct forgotten;
  void forget_errors(forgotten& into) noexcept;

  // schedule.cpp
  enum class helper : std::uint8_t { runner, waiter, submitter, timed };
  void make_queue(detail::thread_state& self);
  void set_limits(detail::thread_state& self, detail::queue& q);
  void append(detail::thread_state& self, detail::queue& q, detail::spin_mutex::scoped_lock& lock,
              detail::node* n) noexcept;
  void number(detail::queue& q, detail::node& n) const noexcept;
  void sleep(detail::queue& q, detail::spin_mutex::scoped_lock& lock, detail::sleeper& s,
             bool is_watched) noexcept;
  bool make_room(detail::thread_state& self, detail::queue& q,
                 detail::spin_mutex::scoped_lock& lock, detail::node* n) noexcept;
  void close(detail::queue& q) noexcept;
  void drop_waiting(detail::queue& q) noexcept;
  [[nodiscard]] static bool wants_more(detail::queue const& q, session const& s) noexcept;
  [[nodiscard]] static bool has_time(session const& s) noexcept;
  void launch_ticket(detail::queue& q) noexcept;
  bool queue_ticket(ticket const& t);
  static bool resend_ticket(detail::queue& outer, ticket const& t) noexcept;
  static void strand(detail::queue& q) noexcept;
  static void spawn_ticket(ticket const& t, detail::queue& q);
  static bool watch(detail::queue& q, detail::queue_life life, int& looks) noexcept;
  static void use_ticket(detail::queue_life life) noexcept;
  static void consume_ticket(detail::node& n, group* runner) noexcept;
  static bool is_task(detail::node const& n) noexcept;
  static void take(detail::queue& q, session& s) noexcept;
  static void begin_session(detail::queue& q, session& s) noexcept;
  static void end_session(detail::queue& q, session& s, detail::wake_list& awake) noexcept;
  void run_session(detail::queue& q, session& s) noexcept;
  void drain(detail::queue& q, session& s) noexcept;
  static void awake_now(detail::wake_list& awake, detail::spin_mutex::scoped_lock& lock,
                        detail::queue& q) noexcept;
  static void finish(detail::queue& q, session& s, detail::node* n,
                     detail::wake_list& awake) noexcept;
  static void finish(detail::queue& q, detail::node* n, detail::wake_list& awake) noexcept;
  void drop(detail::node& n) noexcept;
  void run_inline(detail::node& n) noexcept;
  std::uint64_t drain_and_sleep(detail::queue& q) noexcept;
  [[nodiscard]] bool helps() const noexcept;

  // What it was made in.
  detail::thread_state* maker_;
  tbb::task_group_context* made_under_;  // null: in no task at all
  detail::queue_life made_pool_;
  bool is_child_;              // of one of our tasks, which may be over
  bool is_bound_;              // below a raw oneTBB task, by which oneTBB cancels the context
  std::atomic<bool> unbound_;  // … which its first use binds

  bool counted_ = false;  // every task goes through the queue, with slots or a place of its own
  on_error policy_ = on_error::cancel;
  mutable detail::spin_mutex
      cold_;  // guards what happens once: binding, making the queue, the token
  // False as long as the group is made, used and waited for by one thread, and succeeds: then there
  // is little to tidy up.
  mutable std::atomic<bool> eventful_{false};
  std::atomic<bool> spawned_{false};  // something went straight to oneTBB
  std::atomic<bool> context_given_{false};
  std::atomic<std::uint32_t> maker_waits_{0};    // only the maker writes it
  std::atomic<std::uint32_t> others_wait_{0};    // other threads in `wait`
  std::atomic<std::uint64_t> maker_spawns_{0};   // to oneTBB; only the maker writes it
  std::atomic<std::uint64_t> other_spawns_{0};   // … by others, not inside the group
  std::atomic<std::uint64_t> spawns_joined_{0};  // so many of both were waited for
  std::atomic<std::size_t> skipped_{0};
  std::atomic<detail::queue*> queue_{nullptr};
  mutable std::atomic<token_link*> token_{nullptr};
  std::atomic<timed*> timed_{nullptr};
  extras* extras_ = nullptr;
  detail::queue_life const* pool_ = nullptr;  // of a group with an arena of its own: its queue

  detail::first_error first_;
  engine engine_;
  tree_node node_{*this};
};

static_assert(std::is_nothrow_destructible_v<group>);

template <class F>
void group::run(F&& f, std::source_location where) {
  require_callable(std::forward<F>(f));
  start<located<std::decay_t<F>>>(where, std::forward<F>(f));
}

template <class F>
void group::run(std::string_view name, F&& f, std::source_location where) {
  require_callable(std::forward<F>(f));
  if (!refuse()) {
    start<named<std::decay_t<F>>>(detail::make_note(name, where), std::forward<F>(f));
  }
}

template <class F>
bool group::try_run(F&& f, std::source_location where) {
  require_callable(std::forward<F>(f));
  return try_start<located<std::decay_t<F>>>(where, std::forward<F>(f));
}

template <class F>
bool group::try_run(std::string_view name, F&& f, std::source_location where) {
  require_callable(std::forward<F>(f));
  return !is_stopped() &&
         try_start<named<std::decay_t<F>>>(detail::make_note(name, where), std::forward<F>(f));
}

template <class F>
error group::run_and_wait(F&& f, std::source_location where) {
  require_callable(std::forward<F>(f));
  return start_and_wait<located<std::decay_t<F>>>(where, std::forward<F>(f));
}

template <class F>
error group::run_and_wait(std::string_view name, F&& f, std::source_location where) {
  require_callable(std::forward<F>(f));
  return start_and_wait<named<std::decay_t<F>>>(detail::make_note(name, where), std::forward<F>(f));
}

template <class Clock, class Duration, class F>
void group::run_at(std::chrono::time_point<Clock, Duration> const& time, F&& f,
                   std::source_location where) {
  require_callable(std::forward<F>(f));
  start_at<located<std::decay_t<F>>>(detail::to_clock(time), where, std::forward<F>(f));
}

template <class Rep, class Period, class F>
void group::run_after(std::chrono::duration<Rep, Period> const& delay, F&& f,
                      std::source_location where) {
  require_callable(std::forward<F>(f));
  start_at<located<std::decay_t<F>>>(detail::after(clock::now(), detail::saturated(delay)), where,
                                     std::forward<F>(f));
}

/// A task that submits itself again.
template <class F>
class group::repeated {
 public:
  template <class G>
  repeated(group& g, clock::time_point due, clock::duration period, std::source_location where,
           G&& f)
      : state_(new state{g, due, period, where, std::forward<G>(f)}) {}

  error operator()() {
    using R = typename detail::task_call<F>::result;
    state& s = *state_;
    auto token = [&s] { return s.g.get_stop_token(); };
    if constexpr (std::is_void_v<R>) {
      detail::invoke_task(s.f, token);
    } else if (error e = detail::to_error(detail::invoke_task(s.f, token))) {
      return e == stop_repeating ? error() : e;
    }
    // The next time of those that are `period` apart which has not passed.
    clock::duration const late = clock::now() - s.due;
    clock::duration const steps =
        late < clock::duration::zero() ? s.period : late - late % s.period + s.period;
    s.due = detail::after(s.due, steps);
    // Later, even if that time has passed meanwhile: this run is not over.
    s.g.template defer_until<located<repeated>>(s.due, s.where, std::move(*this));
    return {};
  }

 private:
  struct state {
    group& g;
    clock::time_point due;
    clock::duration period;
    std::source_location where;
    F f;
  };

  std::unique_ptr<state> state_;
};

template <class Rep, class Period, class F>
void group::run_every(std::chrono::duration<Rep, Period> const& period, F&& f,
                      std::source_location where) {
  require_callable(std::forward<F>(f));
  clock::duration const ticks = detail::saturated(period);
  if (ticks <= clock::duration::zero()) {
    refuse_period();
  }
  using kept = repeated<std::decay_t<F>>;
  clock::time_point const due = detail::after(clock::now(), ticks);
  start_at<located<kept>>(due, where, kept(*this, due, ticks, where, std::forward<F>(f)));
}

template <class K, class Label, class F>
void group::start_at(clock::time_point due, Label&& label, F&& f) {
  if (due > clock::now()) {
    defer_until<K>(due, std::forward<Label>(label), std::forward<F>(f));
    return;
  }
  if (refuse()) {
    return;
  }
  detail::thread_state& self = detail::this_thread();
  prepare_queue(self);
  submit_due(self, make_node<K>(self, std::forward<Label>(label), std::forward<F>(f)), due);
}

template <class K, class Label, class F>
void group::defer_until(clock::time_point due, Label&& label, F&& f) {
  if (refuse()) {
    return;
  }
  detail::thread_state& self = detail::this_thread();
  prepare_queue(self);
  defer(self, make_node<K>(self, std::forward<Label>(label), std::forward<F>(f)), due);
}

template <class K, class Label, class F>
bool group::try_start(Label&& label, F&& f) {
  if (is_stopped()) {
    return false;
  }
  detail::thread_state& self = detail::this_thread();
  if (!counted_) {
    start<K>(std::forward<Label>(label), std::forward<F>(f));
    return true;
  }
  if (!reserve(self)) {
    return false;
  }
  detail::node* n = nullptr;
  try {
    n = make_node<K>(self, std::forward<Label>(label), std::forward<F>(f));
  } catch (...) {
    unreserve();
    throw;
  }
  submit_reserved(self, n);
  return true;
}

template <class K, class Label, class F>
error group::start_and_wait(Label&& label, F&& f) {
  detail::thread_state& self = detail::this_thread();
  if (is_inside(self)) {
    return errc::would_deadlock;
  }
  if (counted_) {
    start<K>(std::forward<Label>(label), std::forward<F>(f));
    return wait();
  }
  if (refuse()) {
    return wait();
  }
  using task_here = spawned<K, true>;
  task_here here(*this, submitted(), std::forward<Label>(label), std::forward<F>(f));
  return run_here_and_wait(
      self,
      [](group& g, void* task) {
        return g.engine_.tasks.defer(std::move(*static_cast<task_here*>(task)));
      },
      &here);
}

template <class K, class Label, class F>
void group::start(Label&& label, F&& f) {
  if (refuse()) {
    return;
  }
  detail::thread_state& self = detail::this_thread();
  // The two places where a task goes straight into the worker's own deque, without further ado:
  // tasks of this group, and the task that the group was made in.
  if (!counted_) {
    bool const bound = !is_unbound();
    if (bound && self.top->owner.load(std::memory_order_relaxed) == &node_ && !self.is_alone) {
      spawn<K>(npos, std::forward<Label>(label), std::forward<F>(f));
      return;
    }
    if (is_at_home(self) && (bound || binds_here())) {
      spawn<K>(submitted(), std::forward<Label>(label), std::forward<F>(f));
      note_spawn_by_maker();
      if (!bound) {
        note_bound();
      }
      return;
    }
  }
  if (route(self) == path::spawn) {
    spawn<K>(submitted(), std::forward<Label>(label), std::forward<F>(f));
    note_spawn(self);
    if (is_unbound()) {
      note_bound();
    }
  } else {
    submit(self, make_node<K>(self, std::forward<Label>(label), std::forward<F>(f)));
  }
}

template <class K, class Label, class F>
void group::spawn(std::size_t index, Label&& label, F&& f) {
  spawned<K> task(*this, index, std::forward<Label>(label), std::forward<F>(f));
  spawned_.store(true, std::memory_order_relaxed);
  try {
    spawn_again(std::move(task));
  } catch (...) {
    task.drop();
    throw;
  }
}

template <class K>
void group::spawn_again(spawned<K>&& task) {
  try {
    engine_.tasks.run(std::move(task));
  } catch (...) {
    // Only for want of memory. Before 2021.14 oneTBB has counted the task by then and cannot take
    // that back: the wait would never end.
    if constexpr (TBB_INTERFACE_VERSION < 12140) {
      detail::die("out of memory inside oneTBB, which cannot undo a task before version 2021.14");
    }
    throw;
  }
}

// Copying the callable has run tasks, or queued some, and used the node up.
template <class K>
void group::reserve_again(detail::thread_state& self, K& k) {
  try {
    detail::reserve_node(self);
  } catch (...) {
    std::destroy_at(&k);
    throw;
  }
}

template <class K, class Label, class F>
detail::node* group::make_node(detail::thread_state& self, Label&& label, F&& f) {
  using stored = detail::stored<K>;
  detail::node* n = detail::take_node(self);
  try {
    detail::reserve_node(self);
    std::construct_at(reinterpret_cast<stored*>(n->storage), std::in_place,
                      std::forward<Label>(label), std::forward<F>(f));
    if (self.nodes.is_empty()) [[unlikely]] {
      reserve_again(self, *std::launder(reinterpret_cast<stored*>(n->storage)));
    }
  } catch (...) {
    detail::put_node(self, n);
    throw;
  }
  n->consume = [](detail::node& me, group* runner) noexcept {
    stored& k = *std::launder(reinterpret_cast<stored*>(me.storage));
    if (runner != nullptr) {
      runner->execute(k, runner->pool_, me.index);
    } else {
      std::destroy_at(&k);
    }
  };
  return n;
}

}  // namespace errgroup

#endif  // ERRGROUP_GROUP_HPP
