// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_DEADLINE_HPP
#define ERRGROUP_SRC_DEADLINE_HPP

#include "task_queue.hpp"
#include "timer.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/spin_mutex.hpp>

#include <atomic>  // atomic
#include <mutex>   // mutex
#include <vector>  // vector

namespace errgroup::inline v1::detail {

/// The time of a group: its deadline, and its tasks that are not due yet. A group makes this object
/// at the first use of time. It has one alarm in the process's timer, for the next event.
///
/// When a task is due, the timer's thread puts it into the group's queue, before the tasks that
/// wait there. User code does not run on the timer's thread.
///
/// Invariants:
/// - A task in `pending_` is counted in `due_list::later`, so the group does not end before the
///   task.
/// - `next_` is the time for which the alarm is set; `time_point::max()` if it is not set.
/// - After `end`, the alarm is not set again.
///
/// Lock order: the lock of this object, then the timer's lock or the queue's lock.
///
/// May be destroyed after `end`.
class timetable : public alarm {
 public:
  timetable() : alarm(use_timer()) {}

  /// The time; `time_point::max()` if there is none. Threads: any.
  [[nodiscard]] clock::time_point get() const noexcept {
    return deadline_.load(std::memory_order_relaxed);
  }

  /// Sets the deadline, and returns true if the time has passed: then the caller acts on it.
  /// Throws what `alarm::set` throws, and has changed nothing then.
  [[nodiscard]] bool set_to(clock::time_point at);

  /// Keeps `task` until it is due, unless `admit(lock)` returns false. That function counts the
  /// task and gives it its order, under the queue's lock. Returns what `admit` returns. Throws
  /// `std::bad_alloc` and what `alarm::set` throws, before it calls `admit`.
  template <class Admit>
  bool keep(task_queue& q, timed_task task, Admit const& admit) {
    std::scoped_lock const held(lock_);
    prepare(task.due);
    spin_mutex::scoped_lock lock(q.lock);
    if (!admit(task)) {
      return false;
    }
    ++q.due.later;
    lock.release();
    push(task);
    return true;
  }

  /// Takes all tasks that are not due. They stay counted in `due_list::later`.
  [[nodiscard]] std::vector<timed_task> take_all() noexcept;

  /// Takes the deadline back. No task is kept.
  void reset() noexcept;

  /// The group is being destroyed: waits until `ring` has returned.
  void end() noexcept;

 private:
  /// The group's queue; null if the group has none.
  [[nodiscard]] virtual task_queue* queue() const noexcept = 0;
  /// Puts a task that is due into the queue, and releases the lock.
  virtual void append_due(task_queue& q, spin_mutex::scoped_lock& lock,
                          timed_task const& task) noexcept = 0;
  /// The deadline has passed. On the timer's thread.
  virtual void expire() noexcept = 0;

  void ring(clock::time_point now) noexcept final;
  void prepare(clock::time_point due);
  void push(timed_task const& task) noexcept;
  void arm();

  std::mutex lock_;
  std::vector<timed_task> pending_;                    // a heap, the earliest on top
  clock::time_point next_ = clock::time_point::max();  // the time of the alarm
  std::atomic<clock::time_point> deadline_{clock::time_point::max()};
  bool expired_ = false;
  bool ended_ = false;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_DEADLINE_HPP
