// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_WORKER_HPP
#define ERRGROUP_SRC_WORKER_HPP

#include "group_parts.hpp"
#include "helpers.hpp"
#include "runner.hpp"
#include "timer.hpp"
#include "waiting.hpp"
#include <errgroup/detail/submit.hpp>
#include <errgroup/detail/thread_state.hpp>

#include <atomic>     // memory_order
#include <cstdint>    // uint64_t, uint8_t
#include <exception>  // exception
#include <optional>   // optional
#include <thread>     // yield

namespace errgroup::inline v1::detail {

/// A thread that takes a group's tasks, or waits for the group: the group's side of runner.hpp,
/// helpers.hpp and waiting.hpp, where the functions are explained.
class group_core::worker {
 public:
  class nap;

  /// The tasks that a thread runs while it waits.
  enum class share : std::uint8_t {
    all,
    stranded,  // those for which maybe no other thread comes
    none
  };

  /// The share of a thread that leaves the tasks to others if it can.
  [[nodiscard]] static share share_beside_others(group_core const& g, thread_state& self) noexcept;

  /// The share of a thread that waits for room. The threads of a group with `options::blocking`
  /// need no help, and a task that this thread took might wait for this very thread.
  [[nodiscard]] static share share_of_submitter(group_core const& g) noexcept {
    return has_threads(g) ? share::none : share::all;
  }

  explicit worker(queue_owner& o, share mine = share::all) noexcept
      : g_(static_cast<group_core&>(o)), share_(mine) {}

  /// True if `g` has threads of its own, which come for each of its tasks (`options::blocking`).
  [[nodiscard]] static bool has_threads(group_core const& g) noexcept {
    return g.extras_ != nullptr && g.extras_->places.threads() != nullptr;
  }

  /// Runs `n`, which was taken from the queue, on the slot that the caller holds. The queue's lock
  /// is held before and afterwards.
  static void run_here(group_core& g, task_queue& q, lock_type& lock, node& n) noexcept {
    lock.release();
    g.run_inline(n);
    if (g.is_placed()) {
      g.extras_->shared->settle(g);
    }
    lock.acquire(q.lock);
    g.finish_here(q, lock, &n);
  }

  // --- runner.hpp ---

  template <class Work>
  void enter(session const& s, Work& work) noexcept {
    if (ends_in_context(s)) {
      g_.engine_run_and_wait(work);  // cheaper; a waiter also waits for spawned tasks
      return;
    }
    auto inside = [&]() noexcept {
      run_in(g_.engine_.context, [&]() noexcept { g_.in_isolation(work); });
    };
    if (g_.extras_ != nullptr) {
      g_.extras_->places.enter(inside);
    } else {
      inside();
    }
  }
  // A waiter without a limit leaves the queue there: it stays in the group. Every other session has
  // to leave the context first.
  [[nodiscard]] bool ends_in_context(session const& s) const noexcept {
    return s.of_kind() == session::waiter && !g_.counts();
  }
  void begin_task() noexcept {
    if (!g_.is_stopped() && g_.engine_.context.is_group_execution_cancelled()) {
      g_.record_inside();
    }
  }
  void run(node& n) noexcept { n.consume(n, &g_); }
  [[nodiscard, gnu::noinline, gnu::cold]] bool refuse(node& n) noexcept {
    if (!g_.is_canceling()) {
      return false;
    }
    g_.record_inside();
    g_.drop(n);
    g_.skip(n.is_task() ? 1U : 0U);
    return true;
  }
  [[nodiscard]] bool has_news() const noexcept {
    return (g_.state.load(std::memory_order_relaxed) & (due_waits | over_limit)) != 0;
  }
  [[nodiscard]] bool is_over_limit(task_queue& q) noexcept { return g_.leaves_slot(q); }
  void run_due() noexcept { g_.run_due(); }
  void send_request(task_queue& q) noexcept { g_.send_request(q); }

  // --- helpers.hpp ---

  void answer(task_queue& q, session& s) noexcept {
    // This may be a thread that waits for another event, and goes away when the event has come.
    thread_state& self = this_worker();
    queue_life const& pool = self.top->pool;
    passing_by const guest(self, pool.of != nullptr && !(pool == g_.origin_.pool));
    run_session(q, s, *this);
  }

  // --- waiting.hpp ---

  [[nodiscard]] bool is_reached(task_queue& q, goal const& g) noexcept {
    switch (g.what) {
      case goal::room:
        return !q.is_full();
      case goal::slot:
        return q.closed || g_.extras_->places.has_slot(q);
      case goal::places:
        return q.closed || g.is_granted->load(std::memory_order_acquire);
      case goal::flag:
        return g.has_ended();
      case goal::idle:
        break;
    }
    if (!q.is_idle()) {
      return false;
    }
    if (g.leaves_tasks) {  // it does not wait in oneTBB afterwards
      std::uint64_t const spawned = g_.spawns_.all();
      if (!g_.engine_is_idle() || spawned != g_.spawns_.all()) {
        return false;
      }
      g_.spawns_.join(spawned);
    }
    q.join();
    return true;
  }
  [[nodiscard]] bool takes_part(task_queue const& q) const noexcept {
    return share_ == share::all || (share_ == share::stranded && q.is_stranded());
  }
  [[nodiscard]] bool cancellation_is_due() const noexcept { return g_.is_canceled_unseen(); }
  void note_cancellation() noexcept { g_.record(errc::canceled, true); }
  void drop_timed(task_queue& q) noexcept { g_.drop_timed(q); }
  [[nodiscard]] session session_for(goal const& g) const noexcept {
    if (g.leaves_tasks) {
      return session(g);
    }
    return g.what == goal::room ? session(session::submitter, g) : session(session::waiter);
  }
  [[gnu::noinline]] void serve(goal const& g, task_queue& q, session& s) noexcept {
    if (g.leaves_tasks) {
      answer(q, s);
    } else {
      run_session(q, s, *this);
    }
  }
  [[nodiscard]] bool waits_in_line() const noexcept { return g_.is_placed(); }
  [[nodiscard]] bool wait_in_line(goal const& g) {
    return g_.extras_->shared->wait_for(*this, g_, g);
  }
  [[nodiscard]] sleep_mode mode(task_queue const& q, goal const& g, bool takes_part) noexcept;

  /// Waits until `g` is reached, as this worker. Returns false at the end time.
  [[nodiscard]] bool wait_for(task_queue& q, goal const& g);

 private:
  group_core& g_;
  share share_;
};

/// A sleeper, and what wakes it.
class group_core::worker::nap {
 public:
  [[gnu::noinline]] nap(worker& w, task_queue& q, goal const& g, sleep_mode const& mode)
      : mode_(mode), sleeper_(mode.helps, mode.wanted), owner_(w.g_), q_(q) {
    if (g.is_timed()) {
      end_.emplace(*this, g.until);
    }
    if (mode.is_watched) {
      try {
        watch_.emplace(*this);
      } catch (std::exception const&) {
        // Without a timer thread the sleeper polls.
      }
    }
  }
  nap(nap const&) = delete;
  nap& operator=(nap const&) = delete;
  [[gnu::noinline]] ~nap() noexcept = default;

  [[nodiscard]] sleep_mode const& mode() const noexcept { return mode_; }

  /// Sleeps until another thread wakes this thread. The caller holds the lock before and after.
  [[gnu::noinline]] void sleep(lock_type& lock) noexcept {
    if (mode_.is_watched && !watch_) {
      lock.release();
      std::this_thread::yield();
    } else {
      q_.sleepers.add(sleeper_);
      lock.release();
      // A sleeper may help in oneTBB's loop: in the isolation region, it takes the group's tasks
      // only.
      auto sleep = [this] { sleeper_.sleep(); };
      owner_.in_isolation(sleep);
    }
    lock.acquire(q_.lock);  // the waking thread has left the sleeper alone by then
  }

 private:
  /// Wakes the sleeper when its end time has come.
  class wakes_at final : public alarm {
   public:
    wakes_at(nap& of, clock::time_point due) : alarm(used_timer()), of_(of) { set(due); }
    wakes_at(wakes_at const&) = delete;
    wakes_at& operator=(wakes_at const&) = delete;
    ~wakes_at() override { stop(); }

   private:
    void ring(clock::time_point /*now*/) noexcept override {
      wake_list awake;
      lock_type lock(of_.q_.lock);
      of_.q_.sleepers.wake(awake, of_.sleeper_);
      lock.release();
    }

    nap& of_;
  };

  /// Has the timer's thread look for events in oneTBB that wake no sleeper. The thread also learns
  /// here whether a test's clock that moves by itself may jump.
  class watch final : public polled {
   public:
    explicit watch(nap& of) : of_(of) { join(); }
    watch(watch const&) = delete;
    watch& operator=(watch const&) = delete;
    ~watch() override { leave(); }

   private:
    bool look() noexcept override;

    nap& of_;
  };

  sleep_mode mode_;
  sleeper sleeper_;
  group_core& owner_;
  task_queue& q_;
  std::optional<wakes_at> end_;
  std::optional<watch> watch_;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_WORKER_HPP
