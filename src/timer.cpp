// SPDX-License-Identifier: Apache-2.0
#include "timer.hpp"

#include "cleanup.hpp"
#include "test_time.hpp"
#include <errgroup/testing.hpp>

#include <csignal>  // pthread_sigmask, sigfillset, sigset_t
#if defined(__linux__)
#include <sys/prctl.h>  // prctl
#endif

#include <algorithm>           // max
#include <atomic>              // atomic
#include <chrono>              // microseconds, milliseconds, steady_clock
#include <condition_variable>  // condition_variable, cv_status
#include <mutex>               // mutex, unique_lock
#include <stdexcept>           // logic_error
#include <thread>              // thread
#include <utility>             // exchange, swap
#include <vector>              // vector

namespace errgroup::inline v1 {
namespace detail {

namespace {

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

// An idle thread stays for this time: starting a thread takes some 50 us.
constexpr std::chrono::milliseconds timer_lingers{100};
constexpr std::chrono::microseconds poll_period{250};

}  // namespace

// `lock` guards everything except for the time of a test's clock.
struct timer {
  std::mutex lock;
  std::condition_variable changed;  // wakes the timer's thread
  std::condition_variable rung;     // wakes the threads that wait for an alarm
  std::vector<alarm*> heap;         // the earliest first
  std::size_t alarms = 0;
  alarm* ringing = nullptr;
  bool runs = false;
  polled* pollers = nullptr;
  clock::time_point sleeps_until{};  // an earlier alarm must wake the thread
  sigset_t all_signals;
  sigset_t signals;  // blocked by the thread when it was started

  static timer& the() {
    static timer& instance = *new timer;  // the thread may outlive static destructors
    return instance;
  }

  [[nodiscard]] static clock::time_point due(alarm const& a) noexcept { return a.due_; }

  void put(std::size_t at, alarm* a) noexcept {
    heap[at] = a;
    a->place_ = at;
  }

  void rise(std::size_t at, alarm* a) noexcept {
    for (; at != 0 && a->due_ < heap[(at - 1) / 2]->due_; at = (at - 1) / 2) {
      put(at, heap[(at - 1) / 2]);
    }
    put(at, a);
  }

  void sink(std::size_t at, alarm* a) noexcept {
    for (std::size_t child = 2 * at + 1; child < heap.size(); child = 2 * at + 1) {
      if (child + 1 < heap.size() && heap[child + 1]->due_ < heap[child]->due_) {
        ++child;
      }
      if (a->due_ <= heap[child]->due_) {
        break;
      }
      put(at, heap[child]);
      at = child;
    }
    put(at, a);
  }

  [[gnu::noinline]] void place(std::size_t at, alarm* a) noexcept {
    if (at != 0 && a->due_ < heap[(at - 1) / 2]->due_) {
      rise(at, a);
    } else {
      sink(at, a);
    }
  }

  void remove(alarm& a) noexcept {
    std::size_t const at = std::exchange(a.place_, nowhere);
    if (at != nowhere) {
      alarm* const last = heap.back();
      heap.pop_back();
      if (last != &a) {
        place(at, last);
      }
    }
  }

  [[gnu::noinline]] void unset(alarm& a) noexcept {
    remove(a);
    rung.notify_all();  // a thread may wait for this alarm to ring
    // If no alarm is left, the thread may be asleep for long: wake it, so that it ends soon.
    if (heap.empty() && sleeps_until > std::chrono::steady_clock::now() + timer_lingers) {
      changed.notify_one();
    }
  }

  void set(alarm& a, clock::time_point due) {
    if (!runs) {
      start();
    }
    a.due_ = due;
    if (a.place_ == nowhere) {
      heap.push_back(&a);  // the constructor has reserved room
      a.place_ = heap.size() - 1;
    }
    place(a.place_, &a);
    if (heap.front() == &a &&
        (due < sleeps_until || test_time::replaces.load(std::memory_order_relaxed))) {
      changed.notify_one();
    }
  }

  [[gnu::noinline, gnu::cold]] void start() {
    std::thread([this] { run(); }).detach();
    runs = true;
  }

  void run() {
    is_timer_thread = true;
    sigfillset(&all_signals);
    pthread_sigmask(SIG_SETMASK, &all_signals, &signals);  // signals are left to other threads
#if defined(__linux__)
    // Linux rounds sleeps up by 50 us unless asked not to.
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
#endif
    std::unique_lock held(lock);
    while (runs) {
      if (!heap.empty() && heap.front()->due_ <= clock::now()) {
        ring_first(held);
        continue;
      }
      bool jump = false;
      for (polled* p = pollers; p != nullptr; p = p->next_) {
        jump = p->look() || jump;
      }
      if (jump && !heap.empty() && test_time::jumps.load(std::memory_order_relaxed)) {
        test_time::now.store(heap.front()->due_.time_since_epoch().count(),
                             std::memory_order_release);
        continue;
      }
      if (needs_cleanup_thread(std::chrono::steady_clock::now())) {
        held.unlock();
        with_signals([] { start_cleanup_thread(); });
        held.lock();
        continue;
      }
      bool const idle = heap.empty() && pollers == nullptr && !cleanup_waits();
      sleeps_until = wakes_at();
      bool const is_over = changed.wait_until(held, sleeps_until) == std::cv_status::timeout;
      sleeps_until = clock::time_point::min();
      runs = !(idle && is_over) || !heap.empty() || pollers != nullptr;
    }
  }

  // The time on the steady clock at which the thread looks next, unless it is woken before. A call
  // that moves a test's clock wakes the thread.
  [[nodiscard]] clock::time_point wakes_at() const noexcept {
    auto const now = std::chrono::steady_clock::now();
    if (pollers != nullptr || cleanup_waits()) {
      return now + poll_period;
    }
    if (heap.empty()) {
      return now + timer_lingers;
    }
    // The system's calls cannot take times in the far future.
    clock::time_point const latest = now + std::chrono::hours(1);
    return test_time::replaces.load(std::memory_order_relaxed)
               ? latest
               : std::min(latest, heap.front()->due_);
  }

  // Calls `f` with the signal mask of the thread that started this thread. Threads that `f` starts,
  // such as oneTBB's workers, inherit the mask.
  template <class F>
  void with_signals(F const& f) {
    pthread_sigmask(SIG_SETMASK, &signals, nullptr);
    f();
    pthread_sigmask(SIG_SETMASK, &all_signals, nullptr);
  }

  void ring_first(std::unique_lock<std::mutex>& held) {
    ringing = heap.front();
    clock::time_point const now = clock::now();
    remove(*ringing);
    held.unlock();
    with_signals([&] { ringing->ring(now); });
    held.lock();
    ringing = nullptr;
    rung.notify_all();
  }

  // --- timer_functions ---

  static void add_alarm(alarm& /*a*/) {
    timer& t = the();
    std::scoped_lock const held(t.lock);
    if (t.alarms == t.heap.capacity()) {
      t.heap.reserve(std::max<std::size_t>(16, 2 * t.alarms));
    }
    ++t.alarms;
  }
  static void remove_alarm(alarm& /*a*/) noexcept {
    timer& t = the();
    std::scoped_lock const held(t.lock);
    --t.alarms;
  }
  static void set_alarm(alarm& a, clock::time_point due) {
    timer& t = the();
    std::scoped_lock const held(t.lock);
    t.set(a, due);
  }
  static void unset_alarm(alarm& a) noexcept {
    timer& t = the();
    std::scoped_lock const held(t.lock);
    t.unset(a);
  }
  static void stop_alarm(alarm& a) noexcept {
    timer& t = the();
    std::unique_lock held(t.lock);
    t.unset(a);
    t.rung.wait(held, [&] { return t.ringing != &a; });
    t.unset(a);  // `ring` may have set the alarm again
  }
  static void add_polled(polled& p) {
    timer& t = the();
    std::scoped_lock const held(t.lock);
    if (!t.runs) {
      t.start();
    }
    p.next_ = std::exchange(t.pollers, &p);
    t.changed.notify_one();
  }
  static void remove_polled(polled& gone) noexcept {
    timer& t = the();
    std::scoped_lock const held(t.lock);
    for (polled** p = &t.pollers; *p != nullptr; p = &(*p)->next_) {
      if (*p == &gone) {
        *p = gone.next_;
        return;
      }
    }
  }
};

namespace {

constexpr timer_functions functions{
    .add = &timer::add_alarm,
    .remove = &timer::remove_alarm,
    .set = &timer::set_alarm,
    .unset = &timer::unset_alarm,
    .stop = &timer::stop_alarm,
    .join = &timer::add_polled,
    .leave = &timer::remove_polled,
};

}  // namespace

timer_functions const& use_timer() noexcept {
  timer_functions::used.store(&functions, std::memory_order_release);
  return functions;
}

}  // namespace detail

namespace testing {

test_clock::test_clock(time_moves moves) {
  (void)detail::use_timer();  // waiters use it while a test's clock jumps
  detail::timer& t = detail::timer::the();
  auto const now = std::chrono::steady_clock::now();
  std::scoped_lock const held(t.lock);
  if (detail::test_time::replaces.load(std::memory_order_relaxed)) {
    throw std::logic_error("errgroup::testing::test_clock: there is one already");
  }
  detail::test_time::now.store(now.time_since_epoch().count(), std::memory_order_release);
  detail::test_time::replaces.store(true, std::memory_order_release);
  detail::test_time::jumps.store(moves == time_moves::when_nothing_else_is_left,
                                 std::memory_order_release);
  t.changed.notify_one();
}

test_clock::~test_clock() {
  detail::timer& t = detail::timer::the();
  std::scoped_lock const held(t.lock);
  detail::test_time::replaces.store(false, std::memory_order_release);
  detail::test_time::jumps.store(false, std::memory_order_relaxed);
  t.changed.notify_one();
}

void test_clock::advance_to(clock::time_point time) {
  detail::timer& t = detail::timer::the();
  std::unique_lock held(t.lock);
  // From alarm to alarm: if an alarm sets another alarm, that alarm rings at its own time.
  for (;;) {
    bool const rings = !t.heap.empty() && detail::timer::due(*t.heap.front()) <= time;
    auto const next = rings ? detail::timer::due(*t.heap.front()) : time;
    if (next.time_since_epoch().count() > detail::test_time::now.load(std::memory_order_relaxed)) {
      detail::test_time::now.store(next.time_since_epoch().count(), std::memory_order_release);
    }
    if (!rings) {
      break;
    }
    t.changed.notify_one();
    t.rung.wait(held, [&] {
      return t.ringing == nullptr &&
             (t.heap.empty() || detail::timer::due(*t.heap.front()) > clock::now());
    });
  }
  t.rung.wait(held, [&] { return t.ringing == nullptr; });
}

void test_clock::advance(clock::duration d) { advance_to(detail::after(clock::now(), d)); }

bool test_clock::advance_to_next() {
  detail::timer& t = detail::timer::the();
  std::unique_lock held(t.lock);
  if (t.heap.empty()) {
    return false;
  }
  clock::time_point const next = detail::timer::due(*t.heap.front());
  held.unlock();
  advance_to(std::max(next, clock::now()));
  return true;
}

}  // namespace testing
}  // namespace errgroup::inline v1
