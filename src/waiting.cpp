// SPDX-License-Identifier: Apache-2.0
#include "deadline.hpp"

#include <tbb/task.h>  // current_context

#include <atomic>     // atomic, memory_order
#include <cstdint>    // uint64_t
#include <exception>  // exception
#include <optional>   // optional
#include <thread>     // yield
#include <utility>    // move

// How a thread waits: for the end of all tasks, until a time, or for a flag.
//
// A waiter runs the group's tasks until it finds none that it may run, and then sleeps
// (sleeper.hpp). A new task, a cancellation or the end of the last task wakes it. Then it waits for
// spawned tasks in oneTBB.
//
// A thread in `wait_until` or `help_until` leaves the tasks to workers: a task that it runs might
// last beyond the end time, or might wait for this very thread. It takes part only where no worker
// may come (`is_needed`, `task_queue::stranded`).
//
// Three events do not wake a sleeper by themselves: the end of spawned tasks, if the wait has an
// end time; a cancellation by oneTBB; the moment at which a test's clock may jump. The timer's
// thread polls for these events (`watched`).
//
// Locks: the timer's lock comes before the queue's lock.

namespace errgroup::detail {

namespace {

/// Wakes a thread that sleeps in a queue.
void wake(task_queue& q, sleeper& s) noexcept {
  wake_list awake;
  lock_type lock(q.lock);
  q.wake(awake, s);
  lock.release();
}

/// Wakes a thread that sleeps in a queue, when its end time has come.
class wakes_at final : public alarm {
 public:
  wakes_at(task_queue& q, sleeper& s, clock::time_point due) : q_(q), s_(s) {
    if (due != clock::time_point::max()) {
      set(due);
    }
  }
  wakes_at(wakes_at const&) = delete;
  wakes_at& operator=(wakes_at const&) = delete;
  ~wakes_at() override { stop(); }

 private:
  void ring(clock::time_point /*now*/) noexcept override { wake(q_, s_); }

  task_queue& q_;
  sleeper& s_;
};

}  // namespace

// Whether a task is counted is a private question of oneTBB's class. An explicit instantiation may
// name private members.
namespace {

bool is_counting(tbb::detail::d1::wait_context const& count) noexcept;

template <bool (tbb::detail::d1::wait_context::*Question)() const>
struct opened {
  friend bool is_counting(tbb::detail::d1::wait_context const& count) noexcept {
    return (count.*Question)();
  }
};
template struct opened<&tbb::detail::d1::wait_context::continue_execution>;

}  // namespace

bool group_core::watched::look() noexcept {
  wake_list awake;
  lock_type lock(q_.lock);
  if (!q_.sleeps(s_)) {
    return false;
  }
  bool const is_done = g_.engine_is_idle();
  bool const is_over = g_.is_canceled_unseen();
  if ((is_done && q_.is_idle()) || is_over) {
    q_.wake(awake, s_);
    lock.release();
    return false;
  }
  return is_done && q_.only_time_is_left() && !g_.is_stopped();
}

bool group_core::engine_is_idle() noexcept {
  return !spawns_.any() || !is_counting(engine::task_group::count_of(engine_.tasks));
}

// True if a thread that waits until a time has to run tasks, because no other thread may come for
// them: without workers, in an arena of one thread, and in a task, since all oneTBB threads may be
// in tasks that wait in this way.
bool group_core::is_needed(thread_state& self) noexcept {
  return tbb::task::current_context() != nullptr || nobody_comes(self);
}

// Under the queue's lock. True if the timer's thread has to poll for a sleeper: for a cancellation
// of `context()`, if all remaining tasks wait for a time and so no thread would notice it; or
// because a test's clock may jump.
bool group_core::is_to_be_watched(task_queue const& q) const noexcept {
  return time_jumps() || (q.timed != 0 && (origin_.is_bound || is_context_given()));
}

// A sleeper may help in oneTBB's loop: in the isolation region, it takes the group's tasks only.
void group_core::sleep_in_isolation(sleeper& s) noexcept {
  auto sleep = [&s] { s.sleep(); };
  in_isolation(sleep);
}

// Sleeps in the queue until a thread wakes `s`. The caller holds the lock before and after. If
// `is_watched`, the timer's thread polls for a cancellation from above, and wakes `s` when it finds
// one.
void group_core::sleep(task_queue& q, lock_type& lock, sleeper& s, bool is_watched) noexcept {
  q.enlist(s);
  lock.release();
  std::optional<watched> watch;
  if (is_watched) {
    try {
      watch.emplace(*this, q, s);
    } catch (std::exception const&) {
      // Without a timer thread the caller polls: wake `s` at once.
      wake_list awake;
      lock.acquire(q.lock);
      q.wake(awake, s);
      lock.release();
      awake.now();
      std::this_thread::yield();
    }
  }
  sleep_in_isolation(s);
  watch.reset();  // the timer's lock comes before the queue's
  lock.acquire(q.lock);
}

// Waits until no other thread is in `wait`. Threads that have their answer may still be about to
// return.
void group_core::await_waiters(thread_state const& self) const noexcept {
  while (waiters_.any(&self == origin_.maker)) {
    std::this_thread::yield();
  }
}

error group_core::wait() {
  thread_state& self = this_thread();
  if (is_at_home(self) && is_private()) [[likely]] {
    // A group that one task makes, uses and waits for. No other thread has submitted tasks.
    waiters_.enter(true);
    if (spawns_.any()) {
      engine_wait();
    }
    if (is_private()) [[likely]] {  // a task may have had another thread submit tasks
      spawns_.join_alone();
      if ((state.load(std::memory_order_acquire) & (stopped | bound)) != 0 ||
          any_context_given.load(std::memory_order_relaxed)) [[unlikely]] {
        notice_cancellation();
      }
      if (!first_.is_taken()) [[likely]] {
        waiters_.leave(true);
        return {};
      }
    } else {
      join();  // this thread stays counted: another waiter may destroy the group otherwise
    }
    error e = outcome();
    waiters_.leave(true);
    return e;
  }
  if (is_inside(self)) {
    return errc::would_deadlock;
  }
  waiting here(*this, self);
  join();
  return outcome();
}

// If oneTBB has cancelled the context, or a context above, records `errc::canceled` and stops the
// group.
void group_core::notice_cancellation() noexcept {
  if (is_canceled_unseen()) {
    record(errc::canceled, true);
  }
}

error group_core::run_here_and_wait(thread_state& self,
                                    tbb::task_handle (*make)(group_core&, void*), void* task) {
  waiting here(*this, self);
  if (is_unbound()) {
    bind_unless_at_home(self, tbb::task::current_context());
  }
  auto is_unqueued = [this]() noexcept {
    task_queue const* const q = queue_.load(std::memory_order_acquire);
    return q == nullptr || queued(*q) == 0;
  };
  bool const was_unqueued = is_unqueued();
  // From here on oneTBB counts the task, until its callable is destroyed, whether the task runs or
  // not. `note_any` makes other waiters ask oneTBB.
  tbb::task_handle handle = make(*this, task);
  spawns_.note_any();
  note_spawn(self);
  std::uint64_t const before = spawns_.all();
  engine_run_and_wait(handle);
  if (is_unbound()) {
    note_bound();
  }
  spawns_.join(before);
  // A task of the queue may have spawned a task just after oneTBB's count was zero. oneTBB alone
  // counts that spawned task, so a group with queued tasks waits again, in `join`.
  if (was_unqueued && is_unqueued() && is_joined()) {
    notice_cancellation();
  } else {
    join();
  }
  return outcome();
}

void group_core::join() noexcept {
  await_tasks();
  notice_cancellation();
}

void group_core::join_and_unpin() noexcept {
  await_tasks();
  stopped_nodes nodes;
  bool const is_first = is_canceled_unseen() && (record(errc::canceled, false), stop(nodes));
  unpin();  // first: a callback may destroy the group
  if (is_first) {
    interrupt_all(nodes);
    nodes.clean_up();
  }
}

void group_core::await_tasks() noexcept {
  for (;;) {
    task_queue* const q = queue_.load(std::memory_order_acquire);
    std::uint64_t const pushed = q != nullptr ? drain_and_sleep(*q) : 0;
    if (!spawns_.any()) {
      break;
    }
    std::uint64_t const before = spawns_.all();
    engine_wait();
    spawns_.join(before);
    // When the spawned tasks were done, the queued tasks were done, too, unless there are new
    // tasks.
    if (before == spawns_.all() && queue_.load(std::memory_order_acquire) == q &&
        (q == nullptr || q->pushed.load(std::memory_order_acquire) == pushed)) {
      break;
    }
  }
}

// Runs tasks until no queued task is unfinished. Returns the number of tasks that were queued so
// far.
std::uint64_t group_core::drain_and_sleep(task_queue& q) noexcept {
  thread_state& self = this_worker();
  bool has_dropped = false;
  wake_list awake;
  lock_type lock(q.lock);
  for (;;) {
    if (q.may_start()) {
      session s(session_kind::waiter);
      begin_session(q, s);
      lock.release();
      run_session(q, s);
      if (s.idle) {
        return s.pushed;
      }
      lock.acquire(q.lock);
    } else if (q.is_idle()) {
      break;
    } else if (is_canceled_unseen()) {
      lock.release();
      record(errc::canceled, true);
      lock.acquire(q.lock);
    } else if (q.timed != 0 && q.closed && !has_dropped) {
      // The canceller may be in user code for another group first. That code may be what waits
      // here, or it may wait for this thread.
      lock.release();
      drop_timed(q);
      has_dropped = true;  // once: another thread may still be dropping the tasks it has taken out
      lock.acquire(q.lock);
    } else {
      // If all remaining tasks wait for a time, this thread sleeps outside of oneTBB's dispatch
      // loop, which is busy for a while each time. It sleeps in the loop if its deque may hold
      // tasks that no other thread would take.
      bool const helps_now = !(q.only_time_is_left() && engine_is_idle()) || is_needed(self);
      lock.release();
      sleeper s(helps_now, sleeper::work);
      lock.acquire(q.lock);
      if (!q.may_start() && !q.is_idle()) {
        sleep(q, lock, s, is_to_be_watched(q));
      }
    }
  }
  std::uint64_t const pushed = q.pushed.load(std::memory_order_relaxed);
  q.joined.store(pushed, std::memory_order_relaxed);
  return pushed;
}

bool group_core::wait_until_at(clock::time_point until) {
  thread_state& self = this_thread();
  if (is_inside(self)) {
    return false;  // the wait would never end
  }
  waiting here(*this, self);
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
  task_queue& q = *queue_.load(std::memory_order_acquire);
  bool const is_needed_here = is_needed(self);
  auto is_to_help = [&] { return is_needed_here || q.stranded.load(std::memory_order_relaxed); };
  bool has_dropped = false;  // as in drain_and_sleep
  for (;;) {
    std::uint64_t const before = spawns_.all();
    lock_type lock(q.lock);
    bool const takes_part = is_to_help();
    bool const has_time = clock::now() < until;
    if (takes_part && q.may_start() && has_time) {
      session s(session_kind::timed);
      s.until = until;
      begin_session(q, s);
      lock.release();
      passing_by const guest(self);
      run_session(q, s);
      continue;
    }
    if (is_canceled_unseen()) {
      lock.release();
      record(errc::canceled, true);
      continue;
    }
    if (q.timed != 0 && q.closed && !has_dropped) {
      lock.release();
      drop_timed(q);
      has_dropped = true;
      continue;
    }
    bool const is_idle = q.is_idle();
    if (is_idle && engine_is_idle() && before == spawns_.all()) {
      q.joined.store(q.pushed.load(std::memory_order_relaxed), std::memory_order_relaxed);
      spawns_.join(before);
      break;
    }
    if (!has_time) {
      wake_list awake;
      if (takes_part && q.may_start()) {
        q.wake_one(awake, sleeper::work);  // this thread may have been woken in its place
      }
      lock.release();
      return false;
    }
    bool const is_watched = is_to_be_watched(q);
    lock.release();
    sleeper s(takes_part, takes_part ? sleeper::work : sleeper::nothing);
    wakes_at const end(q, s, until);
    std::optional<watched> done;
    if (spawns_.any() || is_watched) {
      done.emplace(*this, q, s);
    }
    lock.acquire(q.lock);
    bool const has_work = takes_part && q.may_start();
    if (!has_work && takes_part == is_to_help() && q.is_idle() == is_idle &&
        is_to_be_watched(q) == is_watched && clock::now() < until) {
      q.enlist(s);
      lock.release();
      sleep_in_isolation(s);
      lock.acquire(q.lock);  // the waking thread has left `s` alone by then
    }
    lock.release();
  }
  notice_cancellation();
  return true;
}

void group_core::help_until(std::atomic<bool> const& done) {
  thread_state& self = this_thread();
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
  task_queue& q = *queue_.load(std::memory_order_acquire);
  bool const is_outside = !is_inside(self);
  bool const is_needed_here = is_outside && is_needed(self);
  auto takes_part = [&] {
    return is_needed_here || (is_outside && q.stranded.load(std::memory_order_relaxed));
  };
  auto has_work = [&] { return takes_part() && q.may_start(); };
  wake_list awake;
  lock_type lock(q.lock);
  while (!done.load(std::memory_order_acquire)) {
    if (has_work()) {
      session s(session_kind::timed);
      s.end = &done;
      begin_session(q, s);
      lock.release();
      {
        passing_by const passer_by(self);
        run_session(q, s);
      }
      lock.acquire(q.lock);
    } else {
      bool const works = takes_part();
      lock.release();
      sleeper s(works, works ? sleeper::work : sleeper::nothing);
      lock.acquire(q.lock);
      if (!done.load(std::memory_order_acquire) && !has_work() && works == takes_part()) {
        q.enlist(s);
        lock.release();
        sleep_in_isolation(s);
        lock.acquire(q.lock);
      }
    }
  }
  if (has_work()) {
    q.wake_one(awake, sleeper::work);  // this thread may have been woken in its place
  }
  lock.release();
}

void group_core::notify() noexcept {
  if (task_queue* const q = queue_.load(std::memory_order_acquire)) {
    wake_list awake;
    lock_type lock(q->lock);
    q->wake_all(awake);
    lock.release();
  }
}

}  // namespace errgroup::detail
