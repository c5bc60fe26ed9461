// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_GROUP_CORE_HPP
#define ERRGROUP_DETAIL_GROUP_CORE_HPP

#include <errgroup/admission.hpp>
#include <errgroup/clock.hpp>
#include <errgroup/counts.hpp>
#include <errgroup/detail/cancel_node.hpp>
#include <errgroup/detail/engine.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/detail/first_error.hpp>
#include <errgroup/detail/group_bits.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/tallies.hpp>
#include <errgroup/detail/task_frame.hpp>
#include <errgroup/detail/task_label.hpp>
#include <errgroup/detail/thread_state.hpp>
#include <errgroup/error.hpp>
#include <errgroup/fwd.hpp>
#include <errgroup/options.hpp>
#include <errgroup/task.hpp>
#include <errgroup/task_options.hpp>

#include <tbb/task.h>        // current_context
#include <tbb/task_group.h>  // task_group_context, task_handle

#include <atomic>           // atomic
#include <chrono>           // nanoseconds
#include <cstddef>          // size_t
#include <cstdint>          // uint32_t, uint64_t, uint8_t
#include <source_location>  // source_location
#include <stop_token>       // stop_source, stop_token
#include <string>           // string

namespace errgroup::inline v1::detail {

inline namespace ERRGROUP_PART {
class wake_list;
struct timed_task;
}  // namespace ERRGROUP_PART

/// The place in which a group was made.
struct origin {
  /// The origin of a group that the caller makes now. `belongs`: if a task makes the group, the
  /// group belongs to that task.
  [[nodiscard]] static origin here(bool belongs);

  thread_state* maker;
  tbb::task_group_context* under;  // null: in no task, or detached
  queue_life pool;                 // the limited group in whose arena it was made
  bool is_child;                   // of an errgroup task, which may have ended
  bool is_bound;                   // below a raw oneTBB task: oneTBB cancels the context
  bool is_detached;
};

/// The engine of a group: puts the parts together. Its functions are in several files; the private
/// part below names the file of each.
///
/// Invariants:
/// - The first error is published before `stopped` is set.
/// - A task that was accepted is counted by oneTBB (`engine_`), by the queue, or as skipped.
/// - The core is busy (`is_joined` is false) from the submission of a task until a waiter has seen
///   the end of all tasks.
/// - A context without the bit `bound` is isolated: oneTBB propagates no cancellation to it.
///
/// Lock order: `cold_`, then the lock of the timetable, then the timer's lock, then the queue's
/// lock. The queue of an outer limited group comes before the queue of a group that was made inside
/// it. The lock of `bound_groups` comes before the lock of a frame. No other lock is taken under a
/// frame's lock, and no lock is held while user code runs.
///
/// May be destroyed by a thread whose `wait` has returned: the destructor waits for other waiters
/// and for cancellers.
class group_core final : public cancel_node, public queue_owner, public group_bits {
 public:
  /// How a task begins: it does not run; it runs; it runs without a handler for exceptions.
  enum class start_as : std::uint8_t { skipped, usual, unguarded };
  struct layout;        // for debuggers: layout.cpp
  class shared_places;  // a limiter, as its groups see it
  class limiter_core;

  ERRGROUP_API explicit group_core(std::source_location where);
  /// `use_time` comes from `time_for`.
  ERRGROUP_API group_core(options const& opts, std::source_location where,
                          void (*use_time)(group_core&));
  group_core(group_core const&) = delete;
  group_core& operator=(group_core const&) = delete;
  ERRGROUP_API ~group_core() noexcept;

  // --- submission: submit.hpp. `Label` is the place of a task or its note, `F` the callable, `K` a
  // type that keeps both ---

  template <class K, class Label, class F>
  void start(Label&& label, F&& f);
  template <class K, class Label, class F>
  bool try_start(Label&& label, F&& f);
  template <class K, class Label, class F>
  admission start_within(patience const& p, Label&& label, F&& f);
  template <class K, class Label, class F>
  error start_and_wait(Label&& label, F&& f);
  template <class K, class Label, class F>
  void start_at(clock::time_point due, Label&& label, F&& f);
  template <class K, class Label, class F>
  void defer_until(clock::time_point due, Label&& label, F&& f);
  template <class F>
  void start_every(clock::duration period, std::source_location where, F&& f);
  /// Throws `std::invalid_argument`, in words, if no task of this group can have such a rank.
  ERRGROUP_API void check_rank(task_rank const& rank) const;

  /// Counts a task as skipped, and returns true, if the group is stopped.
  [[nodiscard]] bool refuse() noexcept {
    if (!is_stopped()) [[likely]] {
      return false;
    }
    count_refused();
    return true;
  }

  /// The number of submitted tasks. Tasks that a task of the group has spawned are not counted.
  [[nodiscard]] std::size_t submitted() const noexcept {
    task_queue const* const q = queue_.load(std::memory_order_acquire);
    return spawns_.all() + (q != nullptr ? queued(*q) : 0);
  }
  /// As `submitted`; in an observed group, with all tasks that tasks have submitted.
  [[nodiscard]] ERRGROUP_API std::size_t accepted() const noexcept;
  /// A task ends, but keeps its place in the bounded queue until `give_room`.
  ERRGROUP_API void keep_room() noexcept;
  ERRGROUP_API void give_room() noexcept;

  // --- tasks: submit.hpp ---

  /// Runs a task of this group now. Then destroys `holder`, which keeps the callable.
  template <class Holder>
  void execute(Holder& holder, queue_life const* pool, std::size_t index) noexcept;
  /// Skips a task of this group, and destroys `holder` with the callable, as part of the task.
  template <class Holder>
  void discard(Holder& holder) noexcept;
  /// Runs `f` in a task frame of this group.
  template <class F>
  void discard_inside(F&& f) noexcept;
  ERRGROUP_API void run_inside_now(error (*call)(void*) noexcept, void* argument,
                                   std::source_location where) noexcept;
  /// Calls `call(f, own, …)` in the running task, as if it were a task of a group `own` with the
  /// timeout `time`. `call` returns its failure, and does not throw if it is guarded.
  using timed_function = error (*)(void* f, group_core const& own, bool is_guarded) noexcept;
  ERRGROUP_API static error run_in_time(std::chrono::nanoseconds time, timed_function call,
                                        void* f);
  template <class K>
  void spawn_again(K&& task);
  ERRGROUP_API void run_due() noexcept;
  /// What a task does first that is not like most: skips it, or tells an observer of its begin.
  ERRGROUP_API start_as begin_unusual() noexcept;
  /// Tells the observer of the end of the task in `frame`.
  static void end_observed(task_frame& frame) noexcept;
  ERRGROUP_API void skip(std::size_t n) noexcept;
  ERRGROUP_API void fail(error e, submission const& from) noexcept;
  /// True if `run_due` may have a task to run. The bit is written under the queue's lock.
  [[nodiscard]] bool has_due() const noexcept {
    return (state.load(std::memory_order_relaxed) & due_waits) != 0;
  }

  // --- waiting ---

  error wait() {
    short_wait const so_far = wait_at_home();
    // The compiler of the caller sees here that success is an empty error, and need not make it.
    return so_far == short_wait::succeeded ? error() : wait_on(so_far);
  }
  ERRGROUP_API bool wait_until_at(clock::time_point until);
  ERRGROUP_API bool wait_until_at(clock::time_point until, std::stop_token const& stop);
  ERRGROUP_API void help_until(std::atomic<bool> const& done);
  ERRGROUP_API void notify() noexcept;

  // --- errors, cancellation, time ---

  ERRGROUP_API void cancel(error cause) noexcept;
  /// From now on the listeners of `listener_functions` are told of failures.
  void note_heard() noexcept {
    note_event();
    state.fetch_or(heard, std::memory_order_seq_cst);
  }
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
  /// `start_time`, if a group with these options may use the timer: for its timeout, or because a
  /// thread that waits for room in its bounded queue may have to poll (`worker::mode`).
  [[nodiscard]] static auto time_for(options const& opts) noexcept {
    return opts.timeout || opts.queue != npos ? &start_time : nullptr;
  }
  ERRGROUP_API static void start_time(group_core& g);
  ERRGROUP_API void start_threads(int n);  // options::blocking
  ERRGROUP_API void set_deadline_at(clock::time_point at);
  [[nodiscard]] ERRGROUP_API clock::time_point deadline() const noexcept;
  ERRGROUP_API void reset();
  ERRGROUP_API void set_limit(int limit);
  ERRGROUP_API tbb::task_group_context& context() noexcept;
  [[nodiscard]] ERRGROUP_API bool is_inside() const;
  [[nodiscard]] ERRGROUP_API group_counts count_tasks() const noexcept;
  /// The places of the group's limiter. A group without a limiter has a capacity of 0.
  struct place_use {
    std::int64_t in_use = 0;
    std::int64_t capacity = 0;
  };
  [[nodiscard]] ERRGROUP_API place_use places_now() const noexcept;
  static error check_here() noexcept;
  static observer* observe(observer* o) noexcept { return current_observer.exchange(o); }

  // --- cancel_node ---

  void interrupt() noexcept override;
  void clean_up() noexcept override;

 private:
  class worker;         // a thread that takes tasks or waits, as the other parts see it
  class times;          // the deadline, and the tasks that are not due
  class timed;          // the same, in a program that uses time
  struct extras;        // for some groups only: limit, name, arena, a stop token's callback
  struct token_link;    // the stop token, from the first call of `get_stop_token` on
  struct bound_groups;  // all groups with a bound context and a token
  struct forgotten;
  struct request;
  class waiting;
  class observation;
  class observed_wait;
  template <class F>
  class repeated;
  template <class K, bool Waits = false>
  class spawned;

  explicit group_core(bool belongs);             // to the task that makes it
  group_core(shared_places& places, int limit);  // the host of a limiter

  // submit.hpp
  template <class K, class Label, class F>
  void start_light(thread_state& self, Label&& label, F&& f);
  template <class K, class Label, class F>
  error start_here(thread_state& self, Label&& label, F&& f);
  template <class K, class Label, class F>
  void spawn(path way, Label&& label, F&& f);
  template <class K, class Label, class F>
  static node* make_node(thread_state& self, Label&& label, F&& f);
  template <class K>
  static void reserve_again(thread_state& self, K& k);
  template <class K>
  bool begins(K& k, std::size_t index) noexcept;

  // Defined in src/, for the templates in submit.hpp.
  ERRGROUP_API path route(thread_state& self);
  [[nodiscard]] ERRGROUP_API static std::size_t queued(task_queue const& q) noexcept;
  ERRGROUP_API void submit(thread_state& self, node* n) noexcept;
  ERRGROUP_API void submit_weighed(thread_state& self, node* n) noexcept;
  ERRGROUP_API void prepare_queue(thread_state& self);
  // `mark`: `node::has_rank`, or 0.
  ERRGROUP_API void defer(thread_state& self, node* n, clock::time_point due, std::size_t mark);
  ERRGROUP_API void submit_due(thread_state& self, node* n, clock::time_point due,
                               std::size_t mark);
  [[noreturn]] ERRGROUP_API static void refuse_period();
  [[nodiscard]] ERRGROUP_API bool reserve(thread_state& self, std::int64_t weight = 1);
  ERRGROUP_API void unreserve(std::int64_t weight = 1) noexcept;
  ERRGROUP_API void submit_reserved(thread_state& self, node* n, std::size_t mark = 0,
                                    bool has_places = true) noexcept;
  [[nodiscard]] ERRGROUP_API admission reserve_within(thread_state& self, patience const& p,
                                                      std::int64_t weight, bool& runs_here);
  [[nodiscard]] admission await_places(thread_state& self, patience const& p, std::int64_t weight,
                                       bool inside);
  ERRGROUP_API void run_unreserved(thread_state& self, node* n) noexcept;
  [[nodiscard]] ERRGROUP_API bool is_inside(thread_state const& self) const noexcept;
  ERRGROUP_API error run_here_and_wait(thread_state& self,
                                       tbb::task_handle (*make)(group_core&, void*), void* task);
  ERRGROUP_API void note_bound() noexcept;
  [[nodiscard]] ERRGROUP_API short_wait wait_at_home();
  [[nodiscard]] ERRGROUP_API error wait_on(short_wait so_far);
  ERRGROUP_API void count_refused() noexcept;
  [[nodiscard]] ERRGROUP_API std::size_t next_index() noexcept;
  ERRGROUP_API void take_back() noexcept;

  /// As `route`. Two submitters put their task straight into the worker's own deque: tasks of this
  /// group, and the task that made the group.
  [[nodiscard]] path direct_path(thread_state& self) {
    if ((state.load(std::memory_order_relaxed) & (counted | observed)) == 0) {
      bool const has_parent = !is_unbound();
      if (has_parent && self.top->owner.load(std::memory_order_relaxed) == this && !self.is_alone) {
        return path::spawn_inside;
      }
      if (is_at_home(self) && (has_parent || binds_here())) {
        return path::spawn;
      }
    }
    return route(self);
  }
  /// True if the caller runs in the task that made the group, and errgroup runs that task.
  [[nodiscard]] bool is_at_home(thread_state const& self) const noexcept {
    return parent() == self.top;
  }
  /// The index of a task that is about to be spawned.
  [[nodiscard]] std::size_t index_on(path way) noexcept {
    if (way == path::spawn) {
      return submitted();
    }
    return way == path::spawn_inside ? npos : next_index();
  }
  /// True if an observer is told of the group.
  [[nodiscard]] bool is_observed() const noexcept {
    return (state.load(std::memory_order_relaxed) & observed) != 0;
  }
  /// True if the group counts its tasks: each task goes through the queue.
  [[nodiscard]] bool counts() const noexcept {
    return (state.load(std::memory_order_relaxed) & counted) != 0;
  }
  /// True if the group has a limiter.
  [[nodiscard]] bool is_placed() const noexcept {
    return (state.load(std::memory_order_relaxed) & placed) != 0;
  }
  [[nodiscard]] bool goes_on() const noexcept {
    return (state.load(std::memory_order_relaxed) & keeps_going) != 0;
  }
  /// True if the context is to be bound to a parent by its first use.
  [[nodiscard]] bool is_unbound() const noexcept {
    return (state.load(std::memory_order_acquire) & unbound) != 0;
  }
  /// At home: a task that is spawned now binds the context to the right parent.
  [[nodiscard]] bool binds_here() const noexcept {
    return tbb::task::current_context() == origin_.under;
  }
  /// True if the thread that made the group alone has submitted tasks, and all of them to oneTBB.
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
  void join_and_unpin() noexcept override;

  // cancellation.cpp, group_core.cpp: errors, cancellation, the end of the group
  bool record(error const& e, bool stop_too) noexcept;
  void count_skipped(std::size_t n) noexcept;
  void describe(error& e, submission const& from) const noexcept;
  void add_other(error const& e, bool was_stopped) noexcept;
  void add_names(std::string& names) const;
  void hand_over_lost_error() noexcept;
  void note_cause(error const& e) noexcept;
  bool cancel_into(stopped_nodes& nodes, error cause, bool is_told_if_idle) noexcept;
  void stop_all() noexcept;
  static void interrupt_all(stopped_nodes& nodes) noexcept;
  [[nodiscard]] bool needs_clean_up() const noexcept;
  [[nodiscard]] std::stop_source token_source() const noexcept;
  void forget_errors(forgotten& into) noexcept;
  void pin_against_reset() noexcept;
  void begin_reset() noexcept;
  void end(thread_state& self) noexcept;
  void tidy_up() noexcept;
  // observation.cpp
  static inline std::atomic<observer*> current_observer{nullptr};
  void begin_observed(std::source_location where, int limit = unlimited) {
    if (observer* const o = current_observer.load(std::memory_order_acquire)) [[unlikely]] {
      observe_with(*o, where, limit);
    }
  }
  void observe_with(observer& o, std::source_location where, int limit);
  void note_failure(error& e, submission const& from) noexcept;
  [[nodiscard]] bool is_joined() const noexcept;
  [[nodiscard]] bool is_isolated() const noexcept {
    return (state.load(std::memory_order_relaxed) & isolated) != 0;
  }
  /// Calls `f` in the group's isolation region, if the group is isolated: oneTBB marks the tasks
  /// that `f` spawns, and a wait in `f` takes marked tasks only.
  template <class F>
  void in_isolation(F const& f);
  static inline std::atomic<bool> any_context_given{false};  // to the user, in the process
  [[nodiscard]] bool is_context_given() const noexcept {
    return (state.load(std::memory_order_relaxed) & context_given) != 0;
  }

  // group_wait.cpp; the templates and `engine_wait`: group_parts.hpp
  void join() noexcept;
  void await_tasks() noexcept;
  void leave_arena(task_queue& q) noexcept;
  void notice_cancellation() noexcept;
  void engine_wait() noexcept;
  template <class Body>
  void engine_run_and_wait(Body& body) noexcept;
  template <class Wait>
  void in_pool(Wait const& wait_there) noexcept;
  void enter_pool(void (*call)(void const*) noexcept, void const* wait_there) noexcept;
  void await_waiters(thread_state const& self) const noexcept;
  [[nodiscard]] error outcome() noexcept;
  [[nodiscard]] bool engine_is_idle() noexcept;
  [[nodiscard]] bool wait_in_time(clock::time_point until, std::atomic<bool> const* ends = nullptr);

  // group_time.cpp
  timed& timetable();
  void expire(timed& t) noexcept;
  [[nodiscard]] bool has_expired() const noexcept;  // task_time.cpp
  void append_due(task_queue& q, spin_mutex::scoped_lock& lock, timed_task const& task) noexcept;
  void drop_pending(timed& t, task_queue& q) noexcept;

  // place.cpp
  void attach_to_task();
  void inherit_from(group_core& owner);
  [[nodiscard]] bool is_made_by_skipped(task_frame const& top) const noexcept;
  [[nodiscard]] bool is_canceled_above() const noexcept;
  [[nodiscard]] bool is_raw_parent_canceled() const noexcept;
  [[nodiscard]] bool is_canceled_unseen() const noexcept;
  [[nodiscard]] bool is_pool_alive() const noexcept;
  void bind(thread_state& self, tbb::task_group_context* here) noexcept;
  void bind_unless_at_home(thread_state& self, tbb::task_group_context* here) noexcept;
  [[nodiscard]] group_core* outer() const noexcept;

  // submission.cpp
  [[nodiscard]] task_queue& queue(thread_state& self);
  void make_queue(thread_state& self);
  void append(thread_state& self, task_queue& q, spin_mutex::scoped_lock& lock, node* n) noexcept;
  void append_ranked(thread_state& self, task_queue& q, spin_mutex::scoped_lock& lock,
                     node* n) noexcept;
  void submit_unusual(thread_state& self, task_queue& q, spin_mutex::scoped_lock& lock, node* n,
                      std::size_t mark) noexcept;
  void append_unusual(thread_state& self, task_queue& q, spin_mutex::scoped_lock& lock, node* n,
                      std::size_t mark, bool has_places) noexcept;
  [[nodiscard]] bool reserve_slot() noexcept;
  [[nodiscard]] bool leaves_slot(task_queue& q) noexcept;
  void change_limit(int limit);
  [[nodiscard]] bool reserve_places(std::int64_t weight) noexcept;
  [[nodiscard]] bool needs_places() const noexcept;
  void announce(task_queue& q, spin_mutex::scoped_lock& lock) noexcept;
  void number(task_queue& q, node& n) const noexcept;
  [[nodiscard]] std::size_t count_running() const noexcept;
  void number_observed(node& n) noexcept {
    if (is_observed()) [[unlikely]] {
      n.index = next_index();
    }
  }
  bool make_room(thread_state& self, task_queue& q, spin_mutex::scoped_lock& lock,
                 node* n) noexcept;
  void close(task_queue& q) noexcept;
  void drop_waiting(task_queue& q) noexcept;
  void drop_timed(task_queue& q) noexcept;
  void finish_here(task_queue& q, spin_mutex::scoped_lock& lock, node* n) noexcept;
  void drop(node& n) noexcept;
  void record_inside() noexcept;
  void run_inline(node& n) noexcept;
  // requests.cpp
  [[nodiscard]] static bool is_in_isolation(thread_state const& self) noexcept;
  void send_request(task_queue& q) noexcept;
  bool send(request const& r, thread_state& self);
  bool queue_request(request const& r, thread_state& self);
  static void answer(queue_life const& life) noexcept;
  static void consume_request(node& n, queue_owner* runner) noexcept;

  origin origin_;
  engine engine_;            // oneTBB initializes it with a full barrier: before the other members
  mutable spin_mutex cold_;  // binding; making queue, token, timetable; the token's source
  waiter_count waiters_;
  spawn_count spawns_;
  losses losses_;
  std::atomic<task_queue*> queue_{nullptr};
  mutable std::atomic<token_link*> token_{nullptr};
  std::atomic<times*> times_{nullptr};
  extras* extras_ = nullptr;
  queue_life const* pool_ = nullptr;  // its queue, if the group has an arena of its own
  detail::first_error first_;
};

template <class F>
[[gnu::always_inline]] inline void group_core::in_isolation(F const& f) {
  if (is_isolated()) [[unlikely]] {
    F const inside = f;  // oneTBB gets the address of the copy, so `f` can stay in registers
    isolate_as(this, [](void const* g) { (*static_cast<F const*>(g))(); }, &inside);
  } else {
    f();
  }
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_GROUP_CORE_HPP
