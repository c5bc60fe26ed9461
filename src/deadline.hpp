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

/// What a group has that has to do with time: its deadline, and the tasks that are not due yet.
struct group_core::deadlines final : alarm {
  /// The groups that a passed deadline has stopped, and the user code that they leave. The groups
  /// are pinned until a cleanup thread has run it.
  struct leftover : cleanup {
    leftover() noexcept
        : cleanup([](cleanup& c) noexcept {
            // This object goes with the first group that is unpinned.
            stopped_nodes mine = std::move(static_cast<leftover&>(c).nodes);
            mine.clean_up();
          }) {}

    stopped_nodes nodes;
  };

  explicit deadlines(group_core& g) noexcept(false) : owner(g) {}

  void ring(clock::time_point now) noexcept override { owner.dispatch(*this, now); }

  /// Under `lock`: sets the alarm to what comes first, if that is not what it is set to. Throws
  /// what `set` throws, and is as it was then.
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
  std::mutex lock;                                    // before the queue's
  std::vector<timed_task> pending;                    // a heap, the earliest on top
  clock::time_point next = clock::time_point::max();  // when it rings
  std::atomic<clock::time_point> deadline{clock::time_point::max()};
  bool expired = false;
  bool ended = false;  // the group is being destroyed: the alarm is not set any more
};

/// What the timer's thread looks at for a thread that waits for a group: what oneTBB does not tell
/// of the group, and whether a test's clock that moves on by itself may do so.
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
