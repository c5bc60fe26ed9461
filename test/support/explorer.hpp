// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_EXPLORER_HPP
#define ERRGROUP_TEST_SUPPORT_EXPLORER_HPP

// Runs a scenario of a few threads in every order of their atomic accesses, up to a bound.
//
// The scenario's threads are fibers of one real thread. Each access to an `explored::atomic` and
// each operation on an `explored::mutex` is a point at which the explorer may switch to another
// fiber. So is the moment after a store or a read-modify-write: plain data that is written too late
// is found. The explorer runs the scenario again and again, each time with the next sequence of
// choices, until it has tried them all (depth first, as CHESS, loom and Relacy do). A sequence that
// fails is reported as a string, with which `replay` runs it once more.
//
// The bounds:
// - A *preemption* is a switch away from a thread that could go on. `limits::preemptions` of them
//   may happen in one run. Most races need one or two (Musuvathi and Qadeer, "Iterative context
//   bounding for systematic testing of multithreaded programs", PLDI 2007).
// - A *delayed store* becomes visible to the other threads only at the next fence,
// read-modify-write
//   or seq_cst store of its thread, or at the thread's end: a store buffer, as x86 processors have
//   one. Only stores weaker than seq_cst are delayed. `limits::delays` of them may be in one run.
//   Weaker orders than x86's are not explored.
// - `limits::runs` ends the exploration with a failure: the scenario is too large.
//
// What a run finds: a failed `check`, a deadlock, a loop of yields that no thread can end, an
// access to an atomic or a mutex after its destructor, a mutex that is destroyed while it is held.

#include <ucontext.h>  // getcontext, makecontext, swapcontext, ucontext_t

#include <algorithm>      // min
#include <array>          // array
#include <atomic>         // memory_order
#include <cstddef>        // size_t
#include <cstdint>        // uint32_t, uint64_t
#include <cstdio>         // snprintf
#include <cstdlib>        // abort
#include <deque>          // deque
#include <functional>     // function
#include <memory>         // make_unique, unique_ptr
#include <string>         // string, to_string
#include <type_traits>    // is_trivially_copyable_v
#include <unordered_set>  // unordered_set
#include <utility>        // exchange, move, swap
#include <vector>         // vector

namespace explored {

/// How far an exploration goes.
struct limits {
  int preemptions = 3;
  int delays = 1;
  std::uint64_t runs = 5'000'000;
};

/// What an exploration has found.
struct outcome {
  bool ok = true;
  std::uint64_t runs = 0;
  std::string what;      // the failure
  std::string schedule;  // the choices that led to it, for `replay`

  explicit operator bool() const noexcept { return ok; }
};

class scenario;

namespace detail {

/// A store that only its own thread can see.
struct delayed_store {
  void const* where;
  std::function<void()> commit;
};

struct fiber {
  std::function<void()> body;
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  std::deque<delayed_store> delayed;
  std::function<bool()> may_go_on;  // empty: it can run
  bool yields = false;              // until another thread has changed something
  std::uint64_t own_changes = 0;    // what this thread has changed
  std::uint64_t seen = 0;           // others' changes when it went on after its last yield
  bool ended = false;
};

/// One exploration. There is at most one at a time in the process.
class engine {
 public:
  explicit engine(limits const& bounds) : bounds_(bounds) { current() = this; }
  engine(engine const&) = delete;
  engine& operator=(engine const&) = delete;
  ~engine() {
    forget_last_run();
    current() = nullptr;
  }

  static engine*& current() {
    static engine* one = nullptr;
    return one;
  }

  // --- the search ---

  outcome explore(std::function<void(scenario&)> const& set_up);
  outcome replay(std::function<void(scenario&)> const& set_up, std::string const& schedule);

  // --- what the scenario's threads call ---

  [[nodiscard]] bool in_thread() const noexcept { return running_ != none; }

  /// A point at which another thread may come before what the caller is about to do.
  void point() {
    if (in_thread()) {
      switch_to_next(false);
    }
  }

  /// Returns when another thread has changed something.
  void yield() {
    if (!in_thread()) {
      fail("a loop of yields outside of the scenario's threads");
      return;
    }
    drain(running());
    running().yields = true;
    switch_to_next(true);
  }

  /// Returns when `condition` holds. Nothing happens between that and the caller's next point.
  void block(std::function<bool()> condition) {
    if (condition()) {
      return;
    }
    if (!in_thread()) {
      fail("the scenario's main thread would wait for ever");
      return;
    }
    drain(running());
    running().may_go_on = std::move(condition);
    switch_to_next(true);
    running().may_go_on = nullptr;
  }

  /// Something has changed: threads that yield may look again.
  void changed() {
    ++changes_;
    if (in_thread()) {
      ++running().own_changes;
    }
    for (fiber& f : fibers_) {
      f.yields = false;
    }
  }

  void store(void const* where, bool may_delay, std::function<void()> commit) {
    if (in_thread() && may_delay && delays_left_ > 0 && choose(2) == 1) {
      --delays_left_;
      running().delayed.push_back({where, std::move(commit)});
      point();
      return;
    }
    if (in_thread()) {
      // Stores of one thread become visible in their order.
      drain(running());
    }
    commit();
    changed();
    point();
  }

  /// What the running thread has stored there, and no other thread can see yet.
  [[nodiscard]] bool has_delayed(void const* where) const {
    if (!in_thread()) {
      return false;
    }
    for (delayed_store const& s : fibers_[running_].delayed) {
      if (s.where == where) {
        return true;
      }
    }
    return false;
  }

  void fence() {
    if (in_thread()) {
      drain(running());
    }
  }

  void fail(std::string what) {
    if (failure_.empty()) {
      failure_ = std::move(what);
    }
    if (in_thread()) {
      // The run is over. Its stacks are dropped as they are.
      setcontext(&main_);
    }
  }

  // --- life of atomics and mutexes ---

  void born(void const* object) { live_.insert(object); }
  void died(void const* object) {
    fence();  // what this thread has stored there comes before
    if (live_.erase(object) == 0) {
      fail("an atomic or a mutex was destroyed twice");
    }
  }
  void touch(void const* object) {
    if (!live_.contains(object)) {
      fail("an access to an atomic or a mutex after its end");
    }
  }

  struct thread {
    std::function<void()> body;
    std::function<bool()> may_begin;
  };
  std::vector<thread> threads;
  std::vector<std::function<void()>> at_end;

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  static constexpr int unknown = -1;
  static constexpr std::size_t stack_size = std::size_t{128} * 1024;

  struct choice {
    int taken;
    int of;
  };

  fiber& running() { return fibers_[running_]; }

  void drain(fiber& f) {
    while (!f.delayed.empty()) {
      delayed_store s = std::move(f.delayed.front());
      f.delayed.pop_front();
      s.commit();
      changed();
    }
  }

  /// One of 0 … n - 1: all of them, one run after the other.
  int choose(int n) {
    if (n <= 1) {
      return 0;
    }
    if (position_ == choices_.size()) {
      choices_.push_back({0, n});
    }
    choice& c = choices_[position_++];
    if (c.of == unknown && c.taken < n) {
      c.of = n;
    } else if (c.of != n) {
      failure_ = "the scenario is not deterministic: a replayed choice has other alternatives";
      c.of = n;
      c.taken = std::min(c.taken, n - 1);
    }
    return c.taken;
  }

  [[nodiscard]] static bool can_run(fiber const& f) {
    return !f.ended && !f.yields && (!f.may_go_on || f.may_go_on());
  }

  /// Has a thread run: the caller goes on when it is its turn again.
  void switch_to_next(bool must_leave) {
    std::size_t const me = running_;
    bool const can_stay = me != none && !must_leave && can_run(fibers_[me]);
    // The running thread comes first: the first choice is to go on.
    std::array<std::size_t, 8> next{};
    int n = 0;
    if (can_stay) {
      next[static_cast<std::size_t>(n++)] = me;
    }
    if (!can_stay || preemptions_left_ > 0) {
      for (std::size_t i = 0; i != fibers_.size(); ++i) {
        if (i != me && can_run(fibers_[i])) {
          next[static_cast<std::size_t>(n++)] = i;
        }
      }
      if (!can_stay && me != none && can_run(fibers_[me])) {
        next[static_cast<std::size_t>(n++)] = me;  // its condition holds already
      }
    }
    if (n == 0) {
      // A change may have come between the last look of a thread and its yield.
      for (fiber& f : fibers_) {
        std::uint64_t const others = changes_ - f.own_changes;
        if (f.yields && f.seen != others) {
          f.seen = others;
          f.yields = false;
          switch_to_next(must_leave);
          return;
        }
      }
      // What other processors still hold back becomes visible in the end.
      for (fiber& f : fibers_) {
        if (!f.delayed.empty()) {
          drain(f);
          switch_to_next(must_leave);
          return;
        }
      }
      std::string who;
      for (std::size_t i = 0; i != fibers_.size(); ++i) {
        if (!fibers_[i].ended) {
          who += (who.empty() ? "" : ", ") + std::to_string(i) +
                 (fibers_[i].yields ? " (yields)" : " (waits)");
        }
      }
      fail("a deadlock of threads " + who);
      return;
    }
    std::size_t const to = next[static_cast<std::size_t>(choose(n))];
    if (can_stay && to != me) {
      --preemptions_left_;
    }
    if (to == me) {
      return;
    }
    running_ = to;
    swapcontext(me != none ? &fibers_[me].context : &main_, &fibers_[to].context);
  }

  void end_thread() {
    if (!running().delayed.empty()) {
      point();  // other threads may come before what is held back becomes visible
    }
    drain(running());
    running().ended = true;
    changed();
    for (fiber const& f : fibers_) {
      if (!f.ended) {
        switch_to_next(true);  // never comes back
      }
    }
    running_ = none;
    setcontext(&main_);
  }

  static void enter() {
    engine& e = *current();
    e.running().may_go_on = nullptr;
    e.running().body();
    e.end_thread();
    std::abort();
  }

  /// Destroys what the threads of the last run shared, which goes with their functions.
  void forget_last_run() {
    running_ = none;
    threads.clear();
    at_end.clear();
    for (fiber& f : fibers_) {
      stacks_.push_back(std::move(f.stack));
    }
    fibers_.clear();
  }

  /// One run with the choices so far, and the first alternative for each further one.
  void run(std::function<void(scenario&)> const& set_up);

  [[nodiscard]] std::string schedule() const {
    std::string s;
    for (std::size_t i = 0; i != position_; ++i) {
      s += static_cast<char>('0' + choices_[i].taken);
    }
    // Trailing zeros are what happens without a choice.
    while (!s.empty() && s.back() == '0') {
      s.pop_back();
    }
    return s.empty() ? "0" : s;
  }

  [[nodiscard]] bool next_choices() {
    choices_.resize(position_);
    while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().of) {
      choices_.pop_back();
    }
    if (choices_.empty()) {
      return false;
    }
    ++choices_.back().taken;
    return true;
  }

  limits bounds_;
  std::vector<choice> choices_;
  std::size_t position_ = 0;
  int preemptions_left_ = 0;
  int delays_left_ = 0;
  std::deque<fiber> fibers_;
  std::size_t running_ = none;
  std::uint64_t changes_ = 0;  // in this run
  ucontext_t main_{};
  std::string failure_;
  std::unordered_set<void const*> live_;
  std::vector<std::unique_ptr<char[]>> stacks_;  // of earlier runs
};

}  // namespace detail

/// What one run does, as its setup function tells the explorer.
class scenario {
 public:
  explicit scenario(detail::engine& e) : engine_(e) {}

  /// A thread that runs beside the others. At most eight. It begins when `may_begin` holds; empty:
  /// at any time.
  void thread(std::function<void()> body, std::function<bool()> may_begin = {}) {
    engine_.threads.push_back({std::move(body), std::move(may_begin)});
  }
  /// Called when all threads have ended: for checks, and to destroy what they shared.
  void at_end(std::function<void()> f) { engine_.at_end.push_back(std::move(f)); }

 private:
  detail::engine& engine_;
};

/// The run has failed if `condition` does not hold.
inline void check(bool condition, char const* what) {
  if (!condition) {
    detail::engine::current()->fail(what);
  }
}

inline void detail::engine::run(std::function<void(scenario&)> const& set_up) {
  forget_last_run();
  live_.clear();
  failure_.clear();
  position_ = 0;
  preemptions_left_ = bounds_.preemptions;
  delays_left_ = bounds_.delays;
  changes_ = 0;

  scenario s(*this);
  set_up(s);
  if (!failure_.empty()) {
    return;
  }
  for (thread& t : threads) {
    fiber& f = fibers_.emplace_back();
    f.body = std::move(t.body);
    f.may_go_on = std::move(t.may_begin);
    if (stacks_.empty()) {
      f.stack = std::make_unique<char[]>(stack_size);
    } else {
      f.stack = std::move(stacks_.back());
      stacks_.pop_back();
    }
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get();
    f.context.uc_stack.ss_size = stack_size;
    f.context.uc_link = nullptr;
    makecontext(&f.context, &engine::enter, 0);
  }
  if (!fibers_.empty()) {
    switch_to_next(true);
  }
  running_ = none;
  if (failure_.empty()) {
    for (auto& f : at_end) {
      f();
    }
  }
}

inline outcome detail::engine::explore(std::function<void(scenario&)> const& set_up) {
  outcome found;
  do {
    ++found.runs;
    run(set_up);
    if (!failure_.empty()) {
      found.ok = false;
      found.what = failure_;
      found.schedule = schedule();
      return found;
    }
    if (found.runs == bounds_.runs) {
      found.ok = false;
      found.what = "the scenario has more schedules than limits::runs";
      return found;
    }
  } while (next_choices());
  return found;
}

inline outcome detail::engine::replay(std::function<void(scenario&)> const& set_up,
                                      std::string const& schedule) {
  choices_.clear();
  outcome found;
  found.runs = 1;
  // The number of alternatives is found on the way.
  for (char const c : schedule) {
    choices_.push_back({c - '0', unknown});
  }
  run(set_up);
  found.ok = failure_.empty();
  found.what = failure_;
  found.schedule = schedule;
  return found;
}

/// Runs every schedule of the scenario that `set_up` describes. `set_up` is called before each run,
/// and makes everything anew; it has to do the same each time.
inline outcome explore(std::function<void(scenario&)> const& set_up, limits const& bounds = {}) {
  return detail::engine(bounds).explore(set_up);
}

/// Runs one schedule, which a failure has told.
inline outcome replay(std::function<void(scenario&)> const& set_up, std::string const& schedule,
                      limits const& bounds = {}) {
  return detail::engine(bounds).replay(set_up, schedule);
}

/// `std::atomic` under the explorer. Outside of an exploration it is a plain variable.
template <class T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  atomic() noexcept : atomic(T{}) {}
  atomic(T value) noexcept : value_(value) {  // NOLINT(google-explicit-constructor): as std's
    if (auto* e = detail::engine::current()) {
      e->born(this);
    }
  }
  atomic(atomic const&) = delete;
  atomic& operator=(atomic const&) = delete;
  ~atomic() {
    if (auto* e = detail::engine::current()) {
      e->died(this);
    }
  }

  [[nodiscard]] T load(std::memory_order = std::memory_order_seq_cst) const {
    detail::engine& e = at_point();
    return e.has_delayed(this) ? delayed_ : value_;
  }
  operator T() const { return load(); }  // NOLINT(google-explicit-constructor): as std's

  void store(T value, std::memory_order order = std::memory_order_seq_cst) {
    detail::engine& e = at_point();
    if (order == std::memory_order_seq_cst) {
      e.fence();
    }
    delayed_ = value;
    e.store(this, order != std::memory_order_seq_cst, [this, &e, value] {
      e.touch(this);
      value_ = value;
    });
  }
  T operator=(T value) {
    store(value);
    return value;
  }

  T exchange(T value, std::memory_order = std::memory_order_seq_cst) {
    return modify([value](T) { return value; });
  }
  bool compare_exchange_strong(T& expected, T desired,
                               std::memory_order = std::memory_order_seq_cst,
                               std::memory_order = std::memory_order_seq_cst) {
    detail::engine& e = at_point();
    e.fence();
    if (value_ != expected) {
      expected = value_;
      return false;
    }
    value_ = desired;
    e.changed();
    e.point();
    return true;
  }
  bool compare_exchange_weak(T& expected, T desired,
                             std::memory_order success = std::memory_order_seq_cst,
                             std::memory_order failure = std::memory_order_seq_cst) {
    return compare_exchange_strong(expected, desired, success, failure);
  }
  T fetch_add(T n, std::memory_order = std::memory_order_seq_cst) {
    return modify([n](T v) { return static_cast<T>(v + n); });
  }
  T fetch_sub(T n, std::memory_order = std::memory_order_seq_cst) {
    return modify([n](T v) { return static_cast<T>(v - n); });
  }
  T fetch_or(T bits, std::memory_order = std::memory_order_seq_cst) {
    return modify([bits](T v) { return static_cast<T>(v | bits); });
  }
  T fetch_and(T bits, std::memory_order = std::memory_order_seq_cst) {
    return modify([bits](T v) { return static_cast<T>(v & bits); });
  }

  /// Returns when the value is not `old`. A thread that sleeps here looks again only when it is
  /// notified: a notification that is missing is a deadlock.
  void wait(T old, std::memory_order = std::memory_order_seq_cst) const {
    detail::engine& e = at_point();
    while (value_ == old) {
      std::uint64_t const seen = notified_;
      e.block([this, seen] { return notified_ != seen; });
    }
  }
  void notify_all() {
    detail::engine& e = at_point();
    e.fence();
    ++notified_;
    e.changed();
  }
  void notify_one() { notify_all(); }

 private:
  detail::engine& at_point() const {
    detail::engine& e = *detail::engine::current();
    e.point();
    e.touch(this);
    return e;
  }
  template <class F>
  T modify(F const& f) {
    detail::engine& e = at_point();
    e.fence();
    T const before = value_;
    value_ = f(before);
    e.changed();
    e.point();
    return before;
  }

  T value_;
  T delayed_{};  // what a delayed store will write; its own thread reads this
  std::uint64_t notified_ = 0;
};

/// A mutex under the explorer.
class mutex {
 public:
  mutex() {
    if (auto* e = detail::engine::current()) {
      e->born(this);
    }
  }
  mutex(mutex const&) = delete;
  mutex& operator=(mutex const&) = delete;
  ~mutex() {
    if (auto* e = detail::engine::current()) {
      if (locked_) {
        e->fail("a mutex was destroyed while it was held");
      }
      e->died(this);
    }
  }

  void lock() {
    detail::engine& e = at_point();
    e.fence();
    e.block([this] { return !locked_; });
    locked_ = true;
  }
  bool try_lock() {
    detail::engine& e = at_point();
    e.fence();
    if (locked_) {
      return false;
    }
    locked_ = true;
    return true;
  }
  void unlock() {
    detail::engine& e = at_point();
    e.store(this, true, [this, &e] {
      e.touch(this);
      locked_ = false;
    });
  }

 private:
  detail::engine& at_point() const {
    detail::engine& e = *detail::engine::current();
    e.point();
    e.touch(this);
    return e;
  }

  bool locked_ = false;
};

class task_group;

/// A task of oneTBB that has not begun, under the explorer.
class task_handle {
 public:
  task_handle() = default;
  explicit task_handle(task_group& of) : of_(&of) {}
  task_handle(task_handle&& from) noexcept : of_(std::exchange(from.of_, nullptr)) {}
  task_handle& operator=(task_handle&& from) noexcept {
    task_handle(std::move(from)).swap(*this);
    return *this;
  }
  ~task_handle();

  void swap(task_handle& other) noexcept { std::swap(of_, other.of_); }

 private:
  task_group* of_ = nullptr;
};

/// oneTBB's task group under the explorer, used as a latch: it counts the handles.
class task_group {
 public:
  template <class F>
  task_handle defer(F const& /*f*/) {
    handles_.fetch_add(1);
    return task_handle(*this);
  }
  void wait() {
    while (handles_.load() != 0) {
      detail::engine::current()->yield();
    }
  }

 private:
  friend class task_handle;

  atomic<int> handles_{0};
};

inline task_handle::~task_handle() {
  if (of_ != nullptr) {
    of_->handles_.fetch_sub(1);
  }
}

inline void fence() {
  detail::engine& e = *detail::engine::current();
  e.point();
  e.fence();
}

/// In a loop that waits for another thread: returns when another thread has changed something.
inline void yield() { detail::engine::current()->yield(); }

}  // namespace explored

#endif  // ERRGROUP_TEST_SUPPORT_EXPLORER_HPP
