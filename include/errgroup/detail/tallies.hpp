// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_TALLIES_HPP
#define ERRGROUP_DETAIL_TALLIES_HPP

// What a group counts.

#include <atomic>   // atomic, memory_order
#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t

namespace errgroup::inline v1::detail {

/// The number of tasks that a group has handed to oneTBB, and the number of these tasks that were
/// waited for. A task that is spawned inside the group is not counted: the task that spawns it is
/// unfinished.
class spawn_count {
 public:
  /// Threads: the thread that made the group.
  void add_by_maker() noexcept {
    by_maker_.store(by_maker_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  /// Threads: all but the thread that made the group.
  void add() noexcept { by_others_.fetch_add(1, std::memory_order_release); }

  /// As if another thread had added a task, and the task had been waited for: from now on the maker
  /// is not alone, and waits in the long way. Threads: the maker, before the first task.
  void begin_shared() noexcept {
    by_others_.store(1, std::memory_order_relaxed);
    joined_.store(1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t all() const noexcept {
    return by_maker_.load(std::memory_order_acquire) + by_others();
  }
  [[nodiscard]] std::uint64_t by_others() const noexcept {
    return by_others_.load(std::memory_order_acquire);
  }

  /// True if a task ever went to oneTBB.
  [[nodiscard]] bool any() const noexcept { return any_.load(std::memory_order_acquire); }
  void note_any() noexcept { any_.store(true, std::memory_order_relaxed); }

  /// True if all tasks were waited for. Then what they wrote is visible to the caller. (A task is
  /// counted after it was submitted, so a wait that starts after `all` includes it.)
  [[nodiscard]] bool is_joined() const noexcept {
    return all() == joined_.load(std::memory_order_acquire);
  }
  /// `spawned` tasks were waited for.
  void join(std::uint64_t spawned) noexcept {
    std::uint64_t joined = joined_.load(std::memory_order_relaxed);
    while (joined < spawned &&
           !joined_.compare_exchange_weak(joined, spawned, std::memory_order_release)) {
      // another waiter has joined other tasks
    }
  }
  /// As `join`, if the calling thread alone has spawned tasks and waits.
  void join_alone() noexcept {
    joined_.store(by_maker_.load(std::memory_order_relaxed), std::memory_order_release);
  }

 private:
  std::atomic<std::uint64_t> by_maker_{0};
  std::atomic<std::uint64_t> by_others_{0};
  std::atomic<std::uint64_t> joined_{0};
  std::atomic<bool> any_{false};
};

/// The number of threads inside `wait`. The thread that made the group usually waits; it uses plain
/// stores. Other threads use an atomic counter.
class waiter_count {
 public:
  void enter(bool is_maker) noexcept {
    if (is_maker) {
      maker_.store(maker_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      others_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  /// The last access of a waiter to the group: the destructor waits for it.
  void leave(bool is_maker) noexcept {
    if (is_maker) {
      maker_.store(maker_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
    } else {
      others_.fetch_sub(1, std::memory_order_release);
    }
  }
  /// True if a thread other than the caller waits.
  [[nodiscard]] bool any(bool caller_is_maker) const noexcept {
    return others_.load(std::memory_order_acquire) != 0 ||
           (!caller_is_maker && maker_.load(std::memory_order_acquire) != 0);
  }

 private:
  std::atomic<std::uint32_t> maker_{0};
  std::atomic<std::uint32_t> others_{0};
};

/// The number of tasks that failed, and of those that were skipped.
struct losses {
  std::atomic<std::size_t> skipped{0};
  std::atomic<std::size_t> failed{0};
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_TALLIES_HPP
