// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_DEADLINE_HPP
#define ERRGROUP_SRC_DEADLINE_HPP

#include "cleanup.hpp"
#include "group_parts.hpp"
#include "timer.hpp"

#include <algorithm>  // min
#include <atomic>     // atomic
#include <mutex>      // mutex
#include <vector>     // vector

namespace errgroup::detail {

/// The time of a group: its deadline, and its tasks that are not due yet. A group makes this object
/// at the first use of time. It has one alarm in the process's timer, for the next event.
///
/// Invariants:
/// - A task in `pending` is counted in `task_queue::timed`, so the group does not end before the
///   task.
/// - `next` is the time for which the alarm is set; `time_point::max()` if it is not set.
/// - After `ended`, the alarm is not set again.
///
/// Lock order: `lock`, then the timer's lock or the queue's lock.
///
/// May be destroyed after `ended` was set and `stop` has returned.
struct group_core::deadlines final : alarm {
  /// The groups that a passed deadline has stopped, and the user code that they leave. The groups
  /// are pinned until a cleanup thread has run that code.
  struct leftover : cleanup {
    leftover() noexcept
        : cleanup([](cleanup& c) noexcept {
            // This object may be gone as soon as the first group is unpinned.
            stopped_nodes mine = std::move(static_cast<leftover&>(c).nodes);
            mine.clean_up();
          }) {}

    stopped_nodes nodes;
  };

  explicit deadlines(group_core& g) noexcept(false) : owner(g) {}

  void ring(clock::time_point now) noexcept override { owner.dispatch(*this, now); }

  /// Under `lock`: sets the alarm to the next event, unless it is set to that time. Throws what
  /// `set` throws, and has changed nothing then.
  void arm() {
    clock::time_point earliest =
        expired || ended ? clock::time_point::max() : deadline.load(std::memory_order_relaxed);
    if (!pending.empty() && !ended) {
      earliest = std::min(earliest, pending.front().due);
    }
    if (earliest != next) {
      if (earliest != clock::time_point::max()) {
        set(earliest);
      } else {
        unset();
      }
      next = earliest;
    }
  }

  group_core& owner;
  leftover rest;
  std::mutex lock;                                    // comes before the queue's lock
  std::vector<timed_task> pending;                    // a heap, the earliest on top
  clock::time_point next = clock::time_point::max();  // the time of the alarm
  std::atomic<clock::time_point> deadline{clock::time_point::max()};
  bool expired = false;
  bool ended = false;  // the group is being destroyed: the alarm is not set again
};

/// A sleeper for which the timer's thread polls. The thread looks for events in oneTBB that wake no
/// sleeper: the end of spawned tasks and a cancellation. It also learns here whether a test's clock
/// that moves by itself may jump.
class group_core::watched final : public polled {
 public:
  watched(group_core& g, task_queue& q, sleeper& s) : g_(g), q_(q), s_(s) { join(); }
  watched(watched const&) = delete;
  watched& operator=(watched const&) = delete;
  ~watched() override { leave(); }

 private:
  bool look() noexcept override;

  group_core& g_;
  task_queue& q_;
  sleeper& s_;
};

}  // namespace errgroup::detail

#endif  // ERRGROUP_SRC_DEADLINE_HPP
