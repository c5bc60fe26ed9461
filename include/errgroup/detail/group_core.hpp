// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_GROUP_CORE_HPP
#define ERRGROUP_DETAIL_GROUP_CORE_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/cancel_node.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/detail/first_error.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/task_frame.hpp>
#include <errgroup/detail/thread_state.hpp>
#include <errgroup/error.hpp>
#include <errgroup/options.hpp>
#include <errgroup/task.hpp>

#include <tbb/task.h>        // current_context
#include <tbb/task_group.h>  // task_group, task_group_context, task_handle
#include <tbb/version.h>     // TBB_INTERFACE_VERSION

#include <atomic>           // atomic
#include <cstddef>          // size_t
#include <cstdint>          // uint32_t, uint64_t
#include <memory>           // destroy_at
#include <source_location>  // source_location
#include <stop_token>       // stop_source, stop_token
#include <string>           // string
#include <utility>          // forward, move

namespace errgroup::detail {

inline namespace ERRGROUP_PART {
class sleeper;
class wake_list;
struct timed_task;
}  // namespace ERRGROUP_PART

/// The place of a task's submission, the note of a task with a name, and the task's number: all
/// that is known of a task in case it fails.
struct submission {
  std::source_location where;
  error_note* note;
  std::size_t index;
};

/// oneTBB's side of a group: the context that it cancels, and the count of its tasks.
struct engine {
  explicit engine(tbb::task_group_context::kind_type kind) noexcept
      : context(kind,
                tbb::task_group_context::default_traits | tbb::task_group_context::concurrent_wait),
        tasks(context) {}

  /// Gives access to the count of the tasks. oneTBB does not say whether a task is unfinished, and
  /// its own `wait` takes the cancellation of the context back.
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

/// Where a group was made.
struct origin {
  /// Of a group that the caller makes. `belongs`: to the task in which it is made, if there is one.
  [[nodiscard]] static origin here(bool belongs);

  thread_state* maker;
  tbb::task_group_context* under;  // null: in no task, or detached
  queue_life pool;                 // limited group in whose arena it was made
  bool is_child;                   // of a task of ours, which may be over
  bool is_bound;                   // below a raw oneTBB task: oneTBB cancels the context
  bool is_detached;
};

/// How many tasks a group has handed to oneTBB, and how many of them were waited for. A task that
/// is spawned inside the group is not counted: the task that spawns it is unfinished.
class spawn_count {
 public:
  /// Threads: the thread that made the group.
  void add_by_maker() noexcept {
    by_maker_.store(by_maker_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  /// Threads: the other ones.
  void add() noexcept { by_others_.fetch_add(1, std::memory_order_release); }

  [[nodiscard]] std::uint64_t all() const noexcept {
    return by_maker_.load(std::memory_order_acquire) + by_others();
  }
  [[nodiscard]] std::uint64_t by_others() const noexcept {
    return by_others_.load(std::memory_order_acquire);
  }

  /// True if a task ever went to oneTBB.
  [[nodiscard]] bool any() const noexcept { return any_.load(std::memory_order_acquire); }
  void note_any() noexcept { any_.store(true, std::memory_order_relaxed); }

  /// A task is counted after it was submitted, so a wait that starts after `all` includes it.
  [[nodiscard]] bool is_joined() const noexcept {
    return all() == joined_.load(std::memory_order_relaxed);
  }
  /// So many tasks were waited for.
  void join(std::uint64_t spawned) noexcept {
    std::uint64_t joined = joined_.load(std::memory_order_relaxed);
    while (joined < spawned &&
           !joined_.compare_exchange_weak(joined, spawned, std::memory_order_relaxed)) {
      // another waiter has joined other tasks
    }
  }
  /// The same, for the only thread that has spawned and waits.
  void join_alone() noexcept {
    joined_.store(by_maker_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> by_maker_{0};
  std::atomic<std::uint64_t> by_others_{0};
  std::atomic<std::uint64_t> joined_{0};
  std::atomic<bool> any_{false};
};

/// Threads inside `wait`. The thread that made the group, which is the usual one, says so with
/// plain stores; other threads count themselves.
class waiter_count {
 public:
  void enter(bool is_maker) noexcept {
    if (is_maker) {
      maker_.store(maker_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      others_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  /// The last access of a waiter to the group: the destructor waits for it.
  void leave(bool is_maker) noexcept {
    if (is_maker) {
      maker_.store(maker_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
    } else {
      others_.fetch_sub(1, std::memory_order_release);
    }
  }
  /// True if a thread waits, other than the caller.
  [[nodiscard]] bool any(bool caller_is_maker) const noexcept {
    return others_.load(std::memory_order_acquire) != 0 ||
           (!caller_is_maker && maker_.load(std::memory_order_acquire) != 0);
  }

 private:
  std::atomic<std::uint32_t> maker_{0};
  std::atomic<std::uint32_t> others_{0};
};

/// The engine of a group: puts the parts together.
///
/// Invariants:
/// - The first error is published before `stopped` is set.
/// - A task that was accepted is counted by oneTBB (`engine_`), by the queue, or as skipped.
/// - The core is busy (`is_joined` is false) from the submission of a task until a waiter has seen
///   the end of all tasks.
///
/// Lock order: `cold_`, then the timer's and the deadline's locks, then the queue's lock, then the
/// lock of a frame. No lock is held while user code runs.
///
/// May be destroyed by a thread whose `wait` has returned: the destructor waits for other waiters
/// and for cancellers.
class group_core final : public cancel_node {
 public:
  // In `state`, beside cancel_node::stopped.
  static constexpr std::uint32_t told = 8;            // a caller was told of the error
  static constexpr std::uint32_t unguarded = 16;      // on_exception::terminate
  static constexpr std::uint32_t due_waits = 32;      // a due task waits, or has just been taken
  static constexpr std::uint32_t context_given = 64;  // the user has this context, or a parent's
  static constexpr std::uint32_t bound = 128;         // oneTBB cancels the context
  static constexpr std::uint32_t unbound = 256;       // … and the first use binds it
  // Other threads use the group, or it has failed: there is something to tidy up.
  static constexpr std::uint32_t eventful = 512;

  ERRGROUP_API group_core();
  ERRGROUP_API explicit group_core(options const& opts);
  group_core(group_core const&) = delete;
  group_core& operator=(group_core const&) = delete;
  ERRGROUP_API ~group_core() noexcept;

  // --- submission: submit.hpp; each has the label of a task (its place or its note), the callable,
  // and a type `K` that keeps both ---

  template <class K, class Label, class F>
  void start(Label&& label, F&& f);
  template <class K, class Label, class F>
  bool try_start(Label&& label, F&& f);
  template <class K, class Label, class F>
  error start_and_wait(Label&& label, F&& f);
  template <class K, class Label, class F>
  void start_at(clock::time_point due, Label&& label, F&& f);
  template <class K, class Label, class F>
  void defer_until(clock::time_point due, Label&& label, F&& f);
  template <class F>
  void start_every(clock::duration period, std::source_location where, F&& f);

  /// Counts a task as skipped, and returns true, if the group is stopped.
  [[nodiscard]] bool refuse() noexcept {
    if (!is_stopped()) [[likely]] {
      return false;
    }
    skipped_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  // --- tasks: submit.hpp ---

  /// Runs a task of this group, in this thread, now, and destroys `holder`, which keeps the
  /// callable.
  template <class Holder>
  void execute(Holder& holder, queue_life const* pool, std::size_t index) noexcept;
  /// Skips a task of this group, and destroys `holder` with the callable, as a part of the task.
  template <class Holder>
  void discard(Holder& holder) noexcept;
  /// Runs `f` in a task frame of this group.
  template <class F>
  void discard_inside(F&& f) noexcept;
  ERRGROUP_API void run_inside_now(error (*call)(void*) noexcept, void* argument,
                                   std::source_location where) noexcept;
  template <class K>
  void spawn_again(K&& task);
  ERRGROUP_API void run_due() noexcept;
  ERRGROUP_API void skip(std::size_t n) noexcept;
  ERRGROUP_API void fail(error e, submission const& from) noexcept;
  /// True if `run_due` may have a task to run. The bit is written under the queue's lock.
  [[nodiscard]] bool has_due() const noexcept {
    return (state.load(std::memory_order_relaxed) & due_waits) != 0;
  }

  // --- waiting ---

  ERRGROUP_API error wait();
  ERRGROUP_API bool wait_until_at(clock::time_point until);
  ERRGROUP_API void help_until(std::atomic<bool> const& done);
  ERRGROUP_API void notify() noexcept;

  // --- errors, cancellation, time ---

  ERRGROUP_API void cancel(error cause) noexcept;
  [[nodiscard]] bool is_canceling() const noexcept {
    return is_stopped() ||
           const_cast<tbb::task_group_context&>(engine_.context).is_group_execution_cancelled();
  }
  [[nodiscard]] ERRGROUP_API std::stop_token get_stop_token() const;
  [[nodiscard]] ERRGROUP_API error first_error() const noexcept;
  [[nodiscard]] ERRGROUP_API error cause() const noexcept;
  [[nodiscard]] ERRGROUP_API error described(error e, std::size_t index,
                                             std::source_location where) const noexcept;
  [[nodiscard]] on_exception exceptions() const noexcept {
    bool const ends = (state.load(std::memory_order_relaxed) & unguarded) != 0;
    return ends ? on_exception::terminate : on_exception::as_error;
  }
  ERRGROUP_API void set_deadline_at(clock::time_point at);
  [[nodiscard]] ERRGROUP_API clock::time_point deadline() const noexcept;
  ERRGROUP_API void reset();
  ERRGROUP_API tbb::task_group_context& context() noexcept;
  [[nodiscard]] ERRGROUP_API bool is_inside() const;
  static error check_here() noexcept;

  // --- cancel_node ---

  void interrupt() noexcept override;
  void clean_up() noexcept override;

 private:
  struct deadlines;     // its deadline, and tasks that are not due
  class watched;        // what the timer's thread looks at for a sleeping thread
  struct extras;        // what only some groups have: limit, name, arena, a stop token's callback
  struct token_link;    // the stop token, from the first call of `get_stop_token` on
  struct bound_groups;  // all groups with a bound context and a token
  struct forgotten;
  struct request;
  struct session;
  class waiting;
  template <class F>
  class repeated;
  template <class K, bool Waits = false>
  class spawned;

  enum class path : std::uint8_t { queue, spawn };
  enum class session_kind : std::uint8_t { runner, waiter, submitter, timed };

  explicit group_core(bool belongs);  // to the task in which it is made

  // submit.hpp
  template <class K, class Label, class F>
  void spawn(std::size_t index, Label&& label, F&& f);
  template <class K, class Label, class F>
  static node* make_node(thread_state& self, Label&& label, F&& f);
  template <class K>
  static void reserve_again(thread_state& self, K& k);
  template <class K>
  void skip_or_execute(K& k, std::size_t index) noexcept;

  // What the templates need of the sources.
  ERRGROUP_API path route(thread_state& self);
  [[nodiscard]] ERRGROUP_API static std::size_t queued(task_queue const& q) noexcept;
  ERRGROUP_API void submit(thread_state& self, node* n) noexcept;
  ERRGROUP_API void prepare_queue(thread_state& self);
  ERRGROUP_API void defer(thread_state& self, node* n, clock::time_point due);
  ERRGROUP_API void submit_due(thread_state& self, node* n, clock::time_point due);
  [[noreturn]] ERRGROUP_API static void refuse_period();
  [[nodiscard]] ERRGROUP_API bool reserve(thread_state& self);
  ERRGROUP_API void unreserve() noexcept;
  ERRGROUP_API void submit_reserved(thread_state& self, node* n) noexcept;
  [[nodiscard]] ERRGROUP_API bool is_inside(thread_state const& self) const noexcept;
  ERRGROUP_API error run_here_and_wait(thread_state& self,
                                       tbb::task_handle (*make)(group_core&, void*), void* task);
  ERRGROUP_API void note_bound() noexcept;

  /// In the very task that the group was made in, which is one of ours.
  [[nodiscard]] bool is_at_home(thread_state const& self) const noexcept {
    return parent() == self.top;
  }
  /// True if the context is to be bound to a parent by its first use.
  [[nodiscard]] bool is_unbound() const noexcept {
    return (state.load(std::memory_order_acquire) & unbound) != 0;
  }
  /// At home: what is spawned now binds the context to the right parent.
  [[nodiscard]] bool binds_here() const noexcept {
    return tbb::task::current_context() == origin_.under;
  }
  /// So many tasks were submitted, but for those from tasks of a group without a limit.
  [[nodiscard]] std::size_t submitted() const noexcept {
    task_queue const* const q = queue_.load(std::memory_order_acquire);
    return spawns_.all() + (q != nullptr ? queued(*q) : 0);
  }
  /// True if only the thread that made the group has submitted tasks, and all of them to oneTBB.
  [[nodiscard]] bool is_private() const noexcept {
    return queue_.load(std::memory_order_acquire) == nullptr && spawns_.by_others() == 0;
  }
  void note_event() const noexcept {
    auto& bits = const_cast<group_core&>(*this).state;
    if ((bits.load(std::memory_order_relaxed) & eventful) == 0) {
      bits.fetch_or(eventful, std::memory_order_relaxed);
    }
  }
  void note_spawn(thread_state& self) noexcept {
    if (&self == origin_.maker) {
      spawns_.add_by_maker();
    } else {
      note_event();
      spawns_.add();
    }
  }

  // cancel_node
  void mark() noexcept override;
  [[nodiscard]] bool is_busy() const noexcept override;
  void join() noexcept override;

  // group_core.cpp
  bool record(error const& e, bool stop_too) noexcept;
  void describe(error& e, submission const& from) const noexcept;
  void add_other(error const& e, bool was_stopped) noexcept;
  void add_names(std::string& names) const;
  void hand_over_lost_error() noexcept;
  void note_cause(error const& e) noexcept;
  void stop_all() noexcept;
  static void interrupt_all(stopped_nodes& nodes) noexcept;
  [[nodiscard]] bool needs_clean_up() const noexcept;
  [[nodiscard]] std::stop_source token_source() const noexcept;
  void forget_errors(forgotten& into) noexcept;
  void end(thread_state& self) noexcept;
  void tidy_up() noexcept;
  void start_timeout();
  [[nodiscard]] bool is_joined() const noexcept {
    task_queue const* const q = queue_.load(std::memory_order_acquire);
    return spawns_.is_joined() && (q == nullptr || is_joined(*q));
  }
  [[nodiscard]] static bool is_joined(task_queue const& q) noexcept;
  void notice_at_home() noexcept;
  [[nodiscard]] bool is_context_given() const noexcept {
    return (state.load(std::memory_order_relaxed) & context_given) != 0;
  }

  // waiting.cpp
  void notice_cancellation() noexcept;
  void engine_wait() noexcept;
  template <class Body>
  void engine_run_and_wait(Body& body) noexcept;
  template <class Wait>
  void in_pool(Wait const& wait_there) noexcept;
  template <class Wait>
  void enter_pool(Wait const& wait_there) noexcept;
  void await_waiters(thread_state const& self) const noexcept;
  [[nodiscard]] error outcome() noexcept;
  void sleep(task_queue& q, spin_mutex::scoped_lock& lock, sleeper& s, bool is_watched) noexcept;
  std::uint64_t drain_and_sleep(task_queue& q) noexcept;
  [[nodiscard]] bool helps() const noexcept;
  [[nodiscard]] bool engine_is_idle() noexcept;
  [[nodiscard]] bool is_to_be_watched(task_queue const& q) const noexcept;
  [[nodiscard]] static bool is_needed(thread_state& self) noexcept;

  // timed.cpp
  deadlines& deadline_part();
  void dispatch(deadlines& t, clock::time_point now) noexcept;
  void append_due(task_queue& q, spin_mutex::scoped_lock& lock, timed_task const& task) noexcept;
  void expire(deadlines& t) noexcept;
  void drop_timed(task_queue& q) noexcept;

  // place.cpp
  void attach_to_task();
  [[nodiscard]] bool is_canceled_above() const noexcept;
  [[nodiscard]] bool is_pool_alive() const noexcept;
  void bind(thread_state& self, tbb::task_group_context* here) noexcept;
  void bind_unless_at_home(thread_state& self, tbb::task_group_context* here) noexcept;
  [[nodiscard]] group_core* outer() const noexcept;

  // schedule.cpp
  void make_queue(thread_state& self);
  void set_limits(thread_state& self, task_queue& q);
  void append(thread_state& self, task_queue& q, spin_mutex::scoped_lock& lock, node* n) noexcept;
  void number(task_queue& q, node& n) const noexcept;
  bool make_room(thread_state& self, task_queue& q, spin_mutex::scoped_lock& lock,
                 node* n) noexcept;
  void close(task_queue& q) noexcept;
  void drop_waiting(task_queue& q) noexcept;
  [[nodiscard]] static bool wants_more(task_queue const& q, session const& s) noexcept;
  [[nodiscard]] static bool has_time(session const& s) noexcept;
  void send_request(task_queue& q) noexcept;
  bool queue_request(request const& t);
  static bool reuse_request(task_queue& outer, request const& t) noexcept;
  static void strand(task_queue& q) noexcept;
  static void spawn_request(request const& t, task_queue& q);
  static bool watch(task_queue& q, queue_life life, int& looks) noexcept;
  static void answer(queue_life life) noexcept;
  static void consume_request(node& n, group_core* runner) noexcept;
  static bool is_task(node const& n) noexcept;
  static void take(task_queue& q, session& s) noexcept;
  static void begin_session(task_queue& q, session& s) noexcept;
  static void end_session(task_queue& q, session& s, wake_list& awake) noexcept;
  void run_session(task_queue& q, session& s) noexcept;
  void drain(task_queue& q, session& s) noexcept;
  static void awake_now(wake_list& awake, spin_mutex::scoped_lock& lock, task_queue& q) noexcept;
  static void finish(task_queue& q, session& s, node* n, wake_list& awake) noexcept;
  static void finish(task_queue& q, node* n, wake_list& awake) noexcept;
  void drop(node& n) noexcept;
  void run_inline(node& n) noexcept;

  origin origin_;
  engine engine_;  // oneTBB initializes it with a full barrier, so it comes before other members
  bool counted_ = false;  // every task goes through the queue, with slots or a place of its own
  on_error policy_ = on_error::cancel;
  mutable spin_mutex cold_;  // guards binding, making the queue, the token's source
  waiter_count waiters_;
  spawn_count spawns_;
  std::atomic<std::size_t> skipped_{0};
  std::atomic<task_queue*> queue_{nullptr};
  mutable std::atomic<token_link*> token_{nullptr};
  std::atomic<deadlines*> deadline_{nullptr};
  extras* extras_ = nullptr;
  queue_life const* pool_ = nullptr;  // of a group with an arena of its own: its queue
  detail::first_error first_;
};

}  // namespace errgroup::detail

#endif  // ERRGROUP_DETAIL_GROUP_CORE_HPP
