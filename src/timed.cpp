// SPDX-License-Identifier: Apache-2.0
#include "timed.hpp"

#include <tbb/task.h>  // current_context

#include <algorithm>  // max, min, pop_heap, push_heap
#include <cstdint>    // uint64_t
#include <memory>     // make_unique
#include <mutex>      // scoped_lock, unique_lock
#include <utility>    // exchange
#include <vector>     // vector

// Time: deadlines, tasks that wait for a time, and waits with a limit.
//
// A group that has to do with time has a `timed`: its tasks that are not due yet, in a heap, and
// one alarm in the process's timer for whatever happens next. When a task is due the timer's thread
// puts it into the group's queue, before the tasks that wait there. User's code does not run on
// the timer's thread: when a deadline passes, destructors of callables and callbacks of stop tokens
// run on a cleanup thread (cleanup.hpp).

namespace errgroup::detail {

group_core::timed& group_core::time_part() {
  timed* t = timed_.load(std::memory_order_acquire);
  if (t == nullptr) {
    if (origin_.is_bound) {
      (void)get_stop_token();  // by which a canceller of the groups above finds the group
    }
    auto fresh = std::make_unique<timed>(*this);
    lock_type once(cold_);
    t = timed_.load(std::memory_order_relaxed);
    if (t == nullptr) {
      note_event();
      t = fresh.release();
      timed_.store(t, std::memory_order_release);
    }
  }
  return *t;
}

// --- tasks ---

// Sees to it that there is a queue, and an engine that is bound as it should be.
void group_core::prepare_queue(thread_state& self) {
  if (is_unbound()) {
    bind(self, tbb::task::current_context());
  }
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
}

// Keeps a task until it is due.
void group_core::defer(thread_state& self, node* n, clock::time_point due) {
  queue& q = *queue_.load(std::memory_order_acquire);
  wake_list awake;
  try {
    timed& t = time_part();
    std::scoped_lock const held(t.lock);
    if (t.pending.size() == t.pending.capacity()) {
      t.pending.reserve(std::max<std::size_t>(16, 2 * t.pending.size()));
    }
    if (due < t.next) {
      t.set(due);  // may throw, so before the task is in
      t.next = due;
    }
    lock_type lock(q.lock);
    if (!q.closed) {
      number(q, *n);
      std::uint64_t const order = q.pushed.load(std::memory_order_relaxed);
      ++q.timed;
      if (is_context_given()) {
        q.wake_all(awake);  // from now on somebody has to look for a cancellation of it
      }
      if (self.nodes.is_low()) {
        self.nodes.take_all(q.spare);  // as append() does: else nobody takes what comes back
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

// Submits a task that is due already. In a bounded queue it needs room, as in submit().
void group_core::submit_due(thread_state& self, node* n, clock::time_point due) {
  queue& q = *queue_.load(std::memory_order_acquire);
  std::vector<timed_task> spare;
  lock_type lock;
  try {
    q.acquire_for_due(lock, spare);
    while (q.unfinished >= q.room && !q.closed) {
      if (!make_room(self, q, lock, n)) {
        return;
      }
      lock.release();
      q.acquire_for_due(lock, spare);  // another thread may have used the memory
    }
  } catch (...) {
    n->consume(*n, nullptr);
    put_node(self, n);
    throw;
  }
  ++q.unfinished;
  number(q, *n);
  if (q.closed) {
    append(self, q, lock, n);  // which drops it
    return;
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(q.spare);
  }
  append_due(q, lock, {due, q.pushed.load(std::memory_order_relaxed), n});
}

// Under the lock, which it releases: puts a task, which `unfinished` counts already, before the
// tasks that wait, and calls a thread for it.
void group_core::append_due(queue& q, lock_type& lock, timed_task const& task) noexcept {
  wake_list awake;
  q.push_due(task);
  state.fetch_or(due_waits, std::memory_order_relaxed);
  bool const call = q.take_ticket();
  if (q.sleepers != nullptr && q.may_start()) {
    q.wake_one(awake, sleeper::work);
  }
  lock.release();
  if (call) {
    launch_ticket(q);
  }
}

// Runs the tasks that are due, on the slot that the caller has. A thread calls this before it runs
// a task that it took without asking the queue.
void group_core::run_due() noexcept {
  queue& q = *queue_.load(std::memory_order_acquire);
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
    q.wake_all(awake);  // the caller's task may be one that the queue does not count
  }
  lock.release();
}

// On the timer's thread.
void group_core::dispatch(timed& t, clock::time_point now) noexcept {
  queue* const q = queue_.load(std::memory_order_acquire);
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
    // What a closed queue has left is dropped by whoever closed it.
    if (q == nullptr || q->closed || t.pending.empty() || t.pending.front().due > now) {
      bool const is_closed = q != nullptr && q->closed;
      if (q != nullptr) {
        lock.release();
      }
      expires = !t.expired && t.deadline.load(std::memory_order_relaxed) <= now;
      t.expired = t.expired || expires;
      t.next = clock::time_point::max();  // it has rung
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

// Destroys the tasks that are not due yet, of a queue that is closed.
void group_core::drop_timed(queue& q) noexcept {
  timed* const t = timed_.load(std::memory_order_acquire);
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

// --- deadlines ---

void group_core::set_deadline_at(clock::time_point at) {
  timed& t = time_part();
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

// On the timer's thread: cancels the group. If that leaves user code to run, a cleanup thread runs
// it. Until `ring` has returned, the destructor and `reset` wait for it.
void group_core::expire(timed& t) noexcept {
  error cause = errc::deadline_exceeded;
  describe(cause, {{}, nullptr, npos});
  if (!record(cause, false)) {
    note_cause(cause);
    if (extras_ && extras_->all) {
      add_other(cause, false);
    }
  } else if (is_joined()) {
    state.fetch_or(told, std::memory_order_relaxed);  // there was nothing to cancel
  }
  stopped_nodes nodes;
  if (!stop(nodes)) {
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
    if (timed const* const t = g->timed_.load(std::memory_order_acquire)) {
      earliest = std::min(earliest, t->deadline.load(std::memory_order_relaxed));
    }
  }
  return earliest;
}

// --- waiting ---

namespace {

/// Wakes a thread that waits for a queue.
void wake(queue& q, sleeper& s) noexcept {
  wake_list awake;
  lock_type lock(q.lock);
  q.wake(awake, s);
  lock.release();
}

/// … when its time is over.
class wakes_at final : public alarm {
 public:
  wakes_at(queue& q, sleeper& s, clock::time_point due) : q_(q), s_(s) {
    if (due != clock::time_point::max()) {
      set(due);
    }
  }
  wakes_at(wakes_at const&) = delete;
  wakes_at& operator=(wakes_at const&) = delete;
  ~wakes_at() override { stop(); }

 private:
  void ring(clock::time_point /*now*/) noexcept override { wake(q_, s_); }

  queue& q_;
  sleeper& s_;
};

}  // namespace

// The count's own question is private. An explicit instantiation may name what is.
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
  bool const is_over = !g_.is_stopped() && g_.is_canceling();
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

// A thread that waits with a limit keeps out of the way: a task that it took might take longer than
// it has time, and even wait for what this thread does afterwards. It takes part where nobody else
// may come to run the tasks: without workers, and in a task, since all of oneTBB's threads may be
// in tasks that wait like this one.
bool group_core::is_needed(thread_state& self) noexcept {
  return tbb::task::current_context() != nullptr || nobody_comes(self);
}

// Under the queue's lock. What a thread that sleeps for this group is not told otherwise: a
// cancellation of context() if nothing runs that would notice, and that a test's clock may move on.
bool group_core::is_to_be_watched(queue const& q) const noexcept {
  return time_jumps() || (q.timed != 0 && is_context_given());
}

bool group_core::wait_until_at(clock::time_point until) {
  thread_state& self = this_thread();
  if (is_inside(self)) {
    return false;  // it would never end
  }
  waiting here(*this, self);
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
  queue& q = *queue_.load(std::memory_order_acquire);
  bool const is_needed_here = is_needed(self);
  auto is_to_help = [&] { return is_needed_here || q.stranded.load(std::memory_order_relaxed); };
  for (;;) {
    std::uint64_t const before = spawns_.all();
    lock_type lock(q.lock);
    bool const takes_part = is_to_help();
    bool const has_time = clock::now() < until;
    if (takes_part && q.may_start() && has_time) {
      session s(helper::timed);
      s.until = until;
      begin_session(q, s);
      lock.release();
      passing_by const guest(self);
      run_session(q, s);
      continue;
    }
    if (!is_stopped() && q.timed != 0 && is_canceling()) {
      lock.release();
      record(errc::canceled, true);
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
        q.wake_one(awake, sleeper::work);  // this one may have been called instead
      }
      lock.release();
      return false;
    }
    bool const is_watched = is_to_be_watched(q);
    lock.release();
    sleeper s(takes_part && helps(), takes_part ? sleeper::work : sleeper::nothing);
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
      s.sleep();
      lock.acquire(q.lock);  // whoever woke this thread has let go of it
    }
    lock.release();
  }
  notice_cancellation();
  return true;
}

}  // namespace errgroup::detail
