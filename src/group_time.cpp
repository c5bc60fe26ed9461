// SPDX-License-Identifier: Apache-2.0
#include "group_time.hpp"

#include <algorithm>  // min
#include <cstddef>    // size_t
#include <cstdint>    // int64_t
#include <memory>     // make_unique
#include <utility>    // move
#include <vector>     // vector

// The deadline of a group, and its tasks that are not due yet: the group's side of deadline.hpp.
//
// User code does not run on the timer's thread: when a deadline passes, a cleanup thread
// (cleanup.hpp) runs the destructors of callables and the callbacks of stop tokens.

namespace errgroup::inline v1::detail {

group_core::timed& group_core::timetable() {
  times* t = times_.load(std::memory_order_acquire);
  if (t == nullptr) {
    if (origin_.is_bound) {
      (void)get_stop_token();  // through the token, a canceller above finds the group
    }
    auto fresh = std::make_unique<timed>(*this);
    lock_type once(cold_);
    t = times_.load(std::memory_order_relaxed);
    if (t == nullptr) {
      note_event();
      t = fresh.release();
      times_.store(t, std::memory_order_release);
    }
  }
  return static_cast<timed&>(*t);
}

// Keeps a task until it is due. Drops the task if the queue is closed.
void group_core::defer(thread_state& self, node* n, clock::time_point due, std::size_t mark) {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  number_observed(*n);
  wake_list awake;
  auto admit = [&](timed_task& task) noexcept {
    if (q.closed) {
      return false;
    }
    number(q, *n);
    n->index |= mark;
    task.order = q.pushed.load(std::memory_order_relaxed);
    if (is_context_given()) {
      q.sleepers.wake_all(awake);  // from now on a poller has to look for its cancellation
    }
    if (self.nodes.is_low()) {
      self.nodes.take_all(q.tasks.spare);  // as append() does, for a thread that only defers tasks
    }
    return true;
  };
  bool is_kept = false;
  try {
    is_kept = timetable().keep(q, {due, 0, n}, admit);
  } catch (...) {
    n->consume(*n, nullptr);
    put_node(self, n);
    take_back();
    throw;
  }
  awake.now();
  if (is_kept) {
    notice_cancellation();
    return;
  }
  drop(*n);
  put_node(self, n);
  skip(1);
}

// Submits a task that is due already. In a bounded queue the task needs room, as in submit().
void group_core::submit_due(thread_state& self, node* n, clock::time_point due, std::size_t mark) {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  number_observed(*n);
  std::vector<timed_task> spare;
  lock_type lock;
  try {
    q.acquire_for_due(lock, spare);
    while (q.is_full()) {
      if (!make_room(self, q, lock, n)) {
        return;
      }
      lock.release();
      q.acquire_for_due(lock, spare);  // another thread may have used up the memory
    }
  } catch (...) {
    n->consume(*n, nullptr);
    put_node(self, n);
    take_back();
    throw;
  }
  ++q.unfinished;
  number(q, *n);
  n->index |= mark;
  if (q.closed) {
    append(self, q, lock, n);  // append() drops the task
    return;
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(q.tasks.spare);
  }
  append_due(q, lock, {due, q.pushed.load(std::memory_order_relaxed), n});
}

// Puts a task that `unfinished` counts already before the tasks that wait. Releases the lock.
void group_core::append_due(task_queue& q, lock_type& lock, timed_task const& task) noexcept {
  q.due.push(task);
  state.fetch_or(due_waits, std::memory_order_relaxed);
  std::int64_t const weight = is_placed() ? task.task->weight() : 1;
  announce(q, lock);
  if (is_placed()) {
    extras_->shared->ask(*this, weight, false);
  }
}

// For a closed queue: destroys the tasks that are not due yet.
[[gnu::noinline, gnu::cold]] void group_core::drop_pending(timed& t, task_queue& q) noexcept {
  std::vector<timed_task> const rest = t.take_all();
  for (timed_task const& e : rest) {
    drop(*e.task);
  }
  count_skipped(rest.size());
  wake_list awake;
  lock_type lock(q.lock);
  q.due.later -= rest.size();
  for (timed_task const& e : rest) {
    q.give_back(e.task);
  }
  if (q.is_idle()) {
    q.sleepers.wake_all(awake);
  }
  lock.release();
}

void group_core::start_time(group_core& g) {
  (void)use_timer();
  if (g.extras_->timeout) {
    g.set_deadline_at(after(clock::now(), saturated(*g.extras_->timeout)));
  }
}

void group_core::set_deadline_at(clock::time_point at) {
  if (timetable().set_to(at)) {
    cancel(errc::deadline_exceeded);
  }
}

// On the timer's thread: cancels the group. If the cancellation leaves user code to run, a cleanup
// thread runs it. The destructor and `reset` wait until `ring` has returned.
void group_core::expire(timed& t) noexcept {
  stopped_nodes nodes;
  if (!cancel_into(nodes, errc::deadline_exceeded, true)) {
    return;
  }
  if (nodes.any_of(
          [](cancel_node& n) noexcept { return static_cast<group_core&>(n).needs_clean_up(); })) {
    t.rest.nodes = std::move(nodes);
    t.rest.hand_over();
  } else {
    nodes.clean_up();
  }
}

bool group_core::wait_until_at(clock::time_point until) {
  (void)use_timer();  // `wait_in_time` is in every program, and has alarms
  return wait_in_time(until);
}

clock::time_point group_core::deadline() const noexcept {
  parent_pin const parent(*this);
  clock::time_point earliest = clock::time_point::max();
  for (group_core const* g = this; g != nullptr; g = g->outer()) {
    if (times const* const t = g->times_.load(std::memory_order_acquire)) {
      earliest = std::min(earliest, static_cast<timed const&>(*t).get());
    }
  }
  return earliest;
}

}  // namespace errgroup::inline v1::detail
