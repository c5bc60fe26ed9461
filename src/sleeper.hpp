// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_SLEEPER_HPP
#define ERRGROUP_SRC_SLEEPER_HPP

#include <errgroup/detail/sync.hpp>

#include <atomic>    // memory_order
#include <cstdint>   // uint8_t
#include <new>       // bad_alloc
#include <optional>  // optional
#include <utility>   // exchange, move

#ifndef ERRGROUP_EXPLORED
#include <tbb/task_group.h>  // task_group, task_handle
#endif

namespace errgroup::detail::inline ERRGROUP_PART {

#ifdef ERRGROUP_EXPLORED
namespace latches = explored;
#else
namespace latches = tbb;
#endif

struct task_queue;

/// A thread that sleeps in a queue: until all tasks are finished, until it can take a task, or
/// until there is room.
///
/// It sleeps in oneTBB's dispatch loop, where it runs tasks of its arena: tasks that its own tasks
/// have started may sit in this very thread's deque. A waiter of an isolated group blocks instead.
/// So does a thread for which oneTBB has no memory.
///
/// Lock order: the queue's lock guards the list of sleepers, and so `next_`.
///
/// May be destroyed when `sleep` has returned, and the thread has taken the queue's lock after
/// that: the waking thread may use the sleeper under that lock.
class sleeper {
 public:
  /// The event for which the queue wakes the sleeper, in addition to the end of all tasks.
  enum what : std::uint8_t { nothing, work, room };

  sleeper(bool helps, what wanted) noexcept : wanted_(wanted) {
    if (helps) {
      try {
        latch_.emplace();
        held_ = latch_->defer([] {});
      } catch (std::bad_alloc const&) {
        latch_.reset();
      }
    }
  }
  sleeper(sleeper const&) = delete;
  sleeper& operator=(sleeper const&) = delete;

  /// Returns when a thread has woken this sleeper.
  void sleep() noexcept {
    if (latch_) {
      latch_->wait();
    } else {
      woken_.wait(0, std::memory_order_acquire);
    }
  }

 private:
  friend struct task_queue;
  friend class wake_list;

  std::optional<latches::task_group> latch_;
  latches::task_handle held_;
  atomic<int> woken_{0};
  what wanted_;
  sleeper* next_ = nullptr;
};

/// Sleepers that were taken from the queue's list, and are woken after the queue's lock was
/// released: to wake a sleeper takes locks of oneTBB. A sleeper may be gone right after it is
/// woken.
class wake_list {
 public:
  wake_list() = default;
  wake_list(wake_list const&) = delete;
  wake_list& operator=(wake_list const&) = delete;
  ~wake_list() { now(); }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  /// Wakes the sleepers. The caller holds no lock.
  void now() noexcept {
    while (first_ != nullptr) {
      sleeper* s = std::exchange(first_, first_->next_);
      latches::task_handle{std::move(s->held_)};  // the latch opens
    }
  }

 private:
  friend struct task_queue;

  sleeper* first_ = nullptr;
};

}  // namespace errgroup::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_SLEEPER_HPP
