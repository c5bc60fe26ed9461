// SPDX-License-Identifier: Apache-2.0
#include "deadline.hpp"

#include <algorithm>  // max, min, pop_heap, push_heap
#include <cstdint>    // uint64_t
#include <memory>     // make_unique
#include <mutex>      // scoped_lock, unique_lock
#include <utility>    // exchange, move
#include <vector>     // vector

// The deadline of a group, and its tasks that are not due yet (deadline.hpp).
//
// When a task is due, the timer's thread puts it into the group's queue, before the tasks that wait
// there. User code does not run on the timer's thread: when a deadline passes, a cleanup thread
// (cleanup.hpp) runs the destructors of callables and the callbacks of stop tokens.

namespace errgroup::detail {

group_core::deadlines& group_core::deadline_part() {
  deadlines* t = deadline_.load(std::memory_order_acquire);
  if (t == nullptr) {
    if (origin_.is_bound) {
      (void)get_stop_token();  // through the token, a canceller above finds the group
    }
    auto fresh = std::make_unique<deadlines>(*this);
    lock_type once(cold_);
    t = deadline_.load(std::memory_order_relaxed);
    if (t == nullptr) {
      note_event();
      t = fresh.release();
      deadline_.store(t, std::memory_order_release);
    }
  }
  return *t;
}

// Keeps a task until it is due. Drops the task if the queue is closed.
void group_core::defer(thread_state& self, node* n, clock::time_point due) {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  wake_list awake;
  try {
    deadlines& t = deadline_part();
    std::scoped_lock const held(t.lock);
    if (t.pending.size() == t.pending.capacity()) {
      t.pending.reserve(std::max<std::size_t>(16, 2 * t.pending.size()));
    }
    if (due < t.next) {
      t.set(due);  // may throw, so it comes before the task is in the heap
      t.next = due;
    }
    lock_type lock(q.lock);
    if (!q.closed) {
      number(q, *n);
      std::uint64_t const order = q.pushed.load(std::memory_order_relaxed);
      ++q.timed;
      if (is_context_given()) {
        q.wake_all(awake);  // from now on a poller has to look for its cancellation
      }
      if (self.nodes.is_low()) {
        self.nodes.take_all(q.spare);  // as append() does, for a thread that only defers tasks
      }
      lock.release();
      t.pending.push_back({due, order, n});
      std::push_heap(t.pending.begin(), t.pending.end());
      n = nullptr;
    }
  } catch (...) {
    n->consume(*n, nullptr);
    put_node(self, n);
    throw;
  }
  if (n == nullptr) {
    notice_cancellation();
    return;
  }
  drop(*n);
  put_node(self, n);
  skip(1);
}

// Submits a task that is due already. In a bounded queue the task needs room, as in submit().
void group_core::submit_due(thread_state& self, node* n, clock::time_point due) {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  std::vector<timed_task> spare;
  lock_type lock;
  try {
    q.acquire_for_due(lock, spare);
    while (q.unfinished >= q.room && !q.closed) {
      if (!make_room(self, q, lock, n)) {
        return;
      }
      lock.release();
      q.acquire_for_due(lock, spare);  // another thread may have used up the memory
    }
  } catch (...) {
    n->consume(*n, nullptr);
    put_node(self, n);
    throw;
  }
  ++q.unfinished;
  number(q, *n);
  if (q.closed) {
    append(self, q, lock, n);  // append() drops the task
    return;
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(q.spare);
  }
  append_due(q, lock, {due, q.pushed.load(std::memory_order_relaxed), n});
}

// Puts a task that `unfinished` counts already before the tasks that wait, and sends a request if
// no request is open. Takes over the queue's lock from the caller, and releases it.
void group_core::append_due(task_queue& q, lock_type& lock, timed_task const& task) noexcept {
  wake_list awake;
  q.push_due(task);
  state.fetch_or(due_waits, std::memory_order_relaxed);
  bool const call = q.take_request();
  if (q.sleepers != nullptr && q.may_start()) {
    q.wake_one(awake, sleeper::work);
  }
  lock.release();
  if (call) {
    send_request(q);
  }
}

// Runs the tasks that are due, on the slot of the caller. A thread calls this before it runs a task
// that it took without asking the queue.
void group_core::run_due() noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  wake_list awake;
  lock_type lock(q.lock);
  while (node* const n = q.pop_due()) {
    lock.release();
    n->consume(*n, this);
    lock.acquire(q.lock);
    finish(q, n, awake);
    awake_now(awake, lock, q);
  }
  state.fetch_and(~due_waits, std::memory_order_relaxed);
  if (q.is_idle()) {
    q.wake_all(awake);  // the queue may not count the caller's own task
  }
  lock.release();
}

// On the timer's thread: queues the tasks that are due, and acts on the deadline.
void group_core::dispatch(deadlines& t, clock::time_point now) noexcept {
  task_queue* const q = queue_.load(std::memory_order_acquire);
  bool expires = false;
  std::vector<timed_task> spare;
  for (;;) {
    std::unique_lock held(t.lock);
    lock_type lock;
    if (!t.pending.empty() && t.pending.front().due <= now) {
      insist([&] { q->acquire_for_due(lock, spare); });
    } else if (q != nullptr) {
      lock.acquire(q->lock);
    }
    // The thread that has closed a queue drops its tasks.
    if (q == nullptr || q->closed || t.pending.empty() || t.pending.front().due > now) {
      bool const is_closed = q != nullptr && q->closed;
      if (q != nullptr) {
        lock.release();
      }
      expires = !t.expired && t.deadline.load(std::memory_order_relaxed) <= now;
      t.expired = t.expired || expires;
      t.next = clock::time_point::max();  // the alarm has rung
      if (!is_closed) {
        t.arm();
      }
      break;
    }
    std::pop_heap(t.pending.begin(), t.pending.end());
    timed_task const task = t.pending.back();
    t.pending.pop_back();
    held.unlock();
    --q->timed;
    ++q->unfinished;
    append_due(*q, lock, task);
  }
  if (expires) {
    expire(t);
  }
}

// For a closed queue: destroys the tasks that are not due yet.
void group_core::drop_timed(task_queue& q) noexcept {
  deadlines* const t = deadline_.load(std::memory_order_acquire);
  if (t == nullptr) {
    return;
  }
  std::vector<timed_task> rest;
  {
    std::scoped_lock const held(t->lock);
    rest.swap(t->pending);
    insist([&] { t->arm(); });
  }
  for (timed_task const& e : rest) {
    drop(*e.task);
  }
  skipped_.fetch_add(rest.size(), std::memory_order_relaxed);
  wake_list awake;
  lock_type lock(q.lock);
  q.timed -= rest.size();
  for (timed_task const& e : rest) {
    q.give_back(e.task);
  }
  if (q.is_idle()) {
    q.wake_all(awake);
  }
  lock.release();
}

void group_core::set_deadline_at(clock::time_point at) {
  deadlines& t = deadline_part();
  bool passed = false;
  {
    std::scoped_lock const held(t.lock);
    passed = at <= clock::now();
    clock::time_point const before = t.deadline.exchange(at, std::memory_order_relaxed);
    bool const was_expired = std::exchange(t.expired, passed);
    try {
      t.arm();
    } catch (...) {
      t.deadline.store(before, std::memory_order_relaxed);
      t.expired = was_expired;
      throw;
    }
  }
  if (passed) {
    cancel(errc::deadline_exceeded);
  }
}

// On the timer's thread: cancels the group. If the cancellation leaves user code to run, a cleanup
// thread runs it. The destructor and `reset` wait until `ring` has returned.
void group_core::expire(deadlines& t) noexcept {
  error cause = errc::deadline_exceeded;
  describe(cause, {{}, nullptr, npos});
  pin_against_reset();
  if (!record(cause, false)) {
    note_cause(cause);
    if (extras_ && extras_->all) {
      add_other(cause, false);
    }
  } else if (is_joined()) {
    state.fetch_or(told, std::memory_order_relaxed);  // there was nothing to cancel
  }
  stopped_nodes nodes;
  bool const is_first = stop(nodes);
  unpin();
  if (!is_first) {
    return;
  }
  interrupt_all(nodes);
  if (nodes.any_of(
          [](cancel_node& n) noexcept { return static_cast<group_core&>(n).needs_clean_up(); })) {
    t.rest.nodes = std::move(nodes);
    t.rest.hand_over();
  } else {
    nodes.clean_up();
  }
}

clock::time_point group_core::deadline() const noexcept {
  parent_pin const parent(*this);
  clock::time_point earliest = clock::time_point::max();
  for (group_core const* g = this; g != nullptr; g = g->outer()) {
    if (deadlines const* const t = g->deadline_.load(std::memory_order_acquire)) {
      earliest = std::min(earliest, t->deadline.load(std::memory_order_relaxed));
    }
  }
  return earliest;
}

}  // namespace errgroup::detail
