// SPDX-License-Identifier: Apache-2.0
#include "deadline.hpp"

#include "insist.hpp"

#include <algorithm>  // max, min, pop_heap, push_heap
#include <cstddef>    // size_t
#include <mutex>      // scoped_lock, unique_lock
#include <utility>    // exchange
#include <vector>     // vector

namespace errgroup::inline v1::detail {

bool timetable::set_to(clock::time_point at) {
  std::scoped_lock const held(lock_);
  bool const passed = at <= clock::now();
  clock::time_point const before = deadline_.exchange(at, std::memory_order_relaxed);
  bool const was_expired = std::exchange(expired_, passed);
  try {
    arm();
  } catch (...) {
    deadline_.store(before, std::memory_order_relaxed);
    expired_ = was_expired;
    throw;
  }
  return passed;
}

// Under the lock: memory for one more task, and an alarm that rings when the task is due.
void timetable::prepare(clock::time_point due) {
  if (pending_.size() == pending_.capacity()) {
    pending_.reserve(std::max<std::size_t>(16, 2 * pending_.size()));
  }
  if (due < next_) {
    set(due);
    next_ = due;
  }
}

void timetable::push(timed_task const& task) noexcept {
  pending_.push_back(task);
  std::push_heap(pending_.begin(), pending_.end());
}

std::vector<timed_task> timetable::take_all() noexcept {
  std::vector<timed_task> all;
  std::scoped_lock const held(lock_);
  all.swap(pending_);
  insist([this] { arm(); });
  return all;
}

void timetable::reset() noexcept {
  stop();
  std::scoped_lock const held(lock_);
  next_ = clock::time_point::max();
  deadline_.store(clock::time_point::max(), std::memory_order_relaxed);
  expired_ = false;
}

void timetable::end() noexcept {
  {
    // A canceller may still be about to set the alarm again.
    std::scoped_lock const held(lock_);
    ended_ = true;
  }
  stop();
}

// Under the lock: sets the alarm to the next event, unless it is set to that time. Throws what
// `set` throws, and has changed nothing then.
void timetable::arm() {
  clock::time_point earliest = expired_ || ended_ ? clock::time_point::max() : get();
  if (!pending_.empty() && !ended_) {
    earliest = std::min(earliest, pending_.front().due);
  }
  if (earliest != next_) {
    if (earliest != clock::time_point::max()) {
      set(earliest);
    } else {
      unset();
    }
    next_ = earliest;
  }
}

// On the timer's thread: queues the tasks that are due, and acts on the deadline.
void timetable::ring(clock::time_point now) noexcept {
  task_queue* const q = queue();
  bool expires = false;
  std::vector<timed_task> spare;
  for (;;) {
    std::unique_lock held(lock_);
    spin_mutex::scoped_lock lock;
    bool const is_due = !pending_.empty() && pending_.front().due <= now;
    if (is_due) {
      insist([&] { q->acquire_for_due(lock, spare); });
    } else if (q != nullptr) {
      lock.acquire(q->lock);
    }
    bool const is_closed = q != nullptr && q->closed;
    if (is_due && !is_closed) {
      std::pop_heap(pending_.begin(), pending_.end());
      timed_task const task = pending_.back();
      pending_.pop_back();
      held.unlock();
      --q->due.later;
      ++q->unfinished;
      append_due(*q, lock, task);
      continue;
    }
    if (q != nullptr) {
      lock.release();
    }
    expires = !expired_ && get() <= now;
    expired_ = expired_ || expires;
    next_ = clock::time_point::max();  // the alarm has rung
    if (!is_closed) {
      arm();  // the thread that has closed a queue drops its tasks, and sets the alarm
    }
    break;
  }
  if (expires) {
    expire();
  }
}

}  // namespace errgroup::inline v1::detail
