// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_PLACE_TURNS_HPP
#define ERRGROUP_SRC_PLACE_TURNS_HPP

#include "task_queue.hpp"
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/sync.hpp>

#include <algorithm>  // min
#include <array>      // array
#include <atomic>     // memory_order
#include <cstddef>    // size_t
#include <cstdint>    // int64_t, uint32_t

// What waits for the places of a limiter: groups, with their turns in the line, and threads.

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

struct turn;

/// A group that asks for places. The lock of the line guards it.
struct place_asker {
  place_asker(bool has_limit, int own_limit) noexcept : is_limited(has_limit), limit(own_limit) {}
  place_asker(place_asker const&) = delete;
  place_asker& operator=(place_asker const&) = delete;

  bool const is_limited;        // the group has a limit of its own
  int limit;                    // that limit; without one, task_queue::many
  task_queue* queue = nullptr;  // of the group
  bool has_weights = false;     // it has, or had, a task with another weight than 1
  bool is_isolated = false;     // its waiters run no tasks of other groups
  bool is_helper = false;       // it is in the list of the askers with a sleeping waiter
  bool has_holder = false;      // a waiter that holds places sleeps, and would run its tasks
  std::uint32_t turns = 0;      // the number of its tasks in the line
  turn* oldest = nullptr;
  turn* latest = nullptr;
  place_asker* next_helper = nullptr;

  /// The number of turns that the group should have: one for each task that waits, and that the
  /// group's own limit has a slot for.
  [[nodiscard]] std::uint32_t wanted() const noexcept {
    int const free = limit - queue->running.load(std::memory_order_relaxed);
    return free > 0 ? std::min(queue->waiting(), static_cast<std::uint32_t>(free)) : 0;
  }
};

/// Some tasks of one group that stand in the line one behind the other, or the request of a group
/// without the limiter that was made in a task that holds places.
struct turn {
  place_asker* of = nullptr;  // null: a request
  queue_life request = {};
  std::int64_t weight = 1;  // of each task, when it was submitted
  std::uint32_t tasks = 0;
  turn* before = nullptr;
  turn* behind = nullptr;
  turn* next = nullptr;  // the next turn of the same group; or in the list of spare turns
};

/// Turns that are allocated together. Groups that submit in turns need a turn for each task.
struct turn_block {
#ifdef ERRGROUP_EXPLORED
  static constexpr std::size_t size = 1;  // the tests also need lines without a spare turn
#else
  static constexpr std::size_t size = 16;
#endif
  std::array<turn, size> turns;
  turn_block* next = nullptr;
};

/// A sum of weights. It may exceed every number: each weight may be the greatest number.
class weight_sum {
 public:
  void add(std::int64_t weight) noexcept { change(weight >> bits, weight & mask); }
  void subtract(std::int64_t weight) noexcept { change(-(weight >> bits), -(weight & mask)); }
  /// True if the sum is `n` or less. `n` is not negative.
  [[nodiscard]] bool is_at_most(std::int64_t n) const noexcept {
    return high_ < n >> bits || (high_ == n >> bits && low_ <= (n & mask));
  }

 private:
  static constexpr int bits = 32;
  static constexpr std::int64_t mask = (std::int64_t{1} << bits) - 1;

  void change(std::int64_t high, std::int64_t low) noexcept {
    low_ += low;
    high_ += high + (low_ >> bits);  // rounded down, so the carry may be -1
    low_ &= mask;
  }

  std::int64_t high_ = 0;  // the sum is high_ * 2^32 + low_
  std::int64_t low_ = 0;
};

/// A thread that waits for places before it submits its task (`try_run_for`).
struct place_request {
  place_asker* of;
  std::int64_t weight;
  atomic<bool> is_granted{false};  // the places are reserved
  place_request* next = nullptr;
};

/// What a thread has taken from the line: a task or a request, and its places.
struct started {
  place_asker* of = nullptr;  // null: a request
  node* task = nullptr;
  queue_life request = {};
  std::int64_t places = 0;
  bool is_borrowed = false;  // the thread runs the task on places that it holds already
  bool call = false;         // a request of the limiter is to be sent, before the task is run
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_PLACE_TURNS_HPP
