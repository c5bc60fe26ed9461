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

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

#ifdef ERRGROUP_EXPLORED
namespace latches = explored;
#else
namespace latches = tbb;
#endif

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
  enum what : std::uint8_t {
    nothing = 0,
    work = 1,
    room = 2,
    any = work | room,
    own = 4,     // as `work`, for a thread that can run tasks of this queue only (place_loops.hpp)
    places = 8,  // places of a limiter (place_loops.hpp)
    work_or_places = work | places
  };

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

  [[nodiscard]] bool wants(what event) const noexcept { return (wanted_ & event) != 0; }

  /// Returns when a thread has woken this sleeper.
  void sleep() noexcept {
    if (latch_) {
      latch_->wait();
    } else {
      woken_.wait(0, std::memory_order_acquire);
    }
  }

 private:
  friend class sleeper_list;
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
    if (first_ != nullptr) {
      wake(std::exchange(first_, nullptr));
    }
  }

 private:
  friend class sleeper_list;

  [[gnu::noinline]] static void wake(sleeper* first) noexcept {
    while (first != nullptr) {
      sleeper* s = std::exchange(first, first->next_);
      latches::task_handle{std::move(s->held_)};  // the latch opens
    }
  }

  sleeper* first_ = nullptr;
};

/// The threads that sleep in one queue. The queue's lock guards the list.
class sleeper_list {
 public:
  [[nodiscard]] bool is_empty() const noexcept { return first_ == nullptr; }

  void add(sleeper& s) noexcept {
    s.next_ = first_;
    first_ = &s;
  }

  /// Wakes one sleeper that sleeps for `wanted`. Returns false if there is none.
  bool wake_one(wake_list& list, sleeper::what wanted) noexcept {
    sleeper** p = &first_;
    while (*p != nullptr && !(*p)->wants(wanted)) {
      p = &(*p)->next_;
    }
    if (*p == nullptr) {
      return false;
    }
    wake(list, p);
    return true;
  }
  /// Wakes `s`, if it sleeps.
  void wake(wake_list& list, sleeper const& s) noexcept {
    if (sleeper** const p = find(s)) {
      wake(list, p);
    }
  }
  void wake_all(wake_list& list) noexcept {
    while (first_ != nullptr) {
      wake(list, &first_);
    }
  }

  [[nodiscard]] bool contains(sleeper const& s) noexcept { return find(s) != nullptr; }

 private:
  [[nodiscard]] sleeper** find(sleeper const& s) noexcept {
    sleeper** p = &first_;
    while (*p != nullptr && *p != &s) {
      p = &(*p)->next_;
    }
    return *p != nullptr ? p : nullptr;
  }

  [[gnu::noinline]] static void wake(wake_list& list, sleeper** p) noexcept {
    sleeper* s = std::exchange(*p, (*p)->next_);
    if (s->latch_) {
      s->next_ = list.first_;
      list.first_ = s;
    } else {
      // The sleeper takes the queue's lock before it leaves, so it is still there.
      s->woken_.store(1, std::memory_order_release);
      s->woken_.notify_one();
    }
  }

  sleeper* first_ = nullptr;
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_SLEEPER_HPP
