// SPDX-License-Identifier: Apache-2.0
#include "slots.hpp"

#include <algorithm>  // max, min

namespace errgroup::detail {

void slots::open(task_queue& q, bool is_nested) {
  if (arena_ == nullptr) {
    home_.reset();
    if (is_nested) {
      home_.emplace();
    } else {
      home_.emplace(tbb::task_arena::attach{});
    }
    home_->initialize();
  }
  int const threads = std::max(
      1, arena_ != nullptr ? arena_->max_concurrency() : tbb::this_task_arena::max_concurrency());
  if (limit_ != unlimited) {
    q.limits.slots = std::min(limit_, task_queue::many - 1);
    if (arena_ == nullptr) {
      // Beyond this size more slots would cost memory and change nothing.
      q.limits.slots = std::min(limit_, std::max(64, 4 * threads));
      // One slot more is for a thread from outside that waits for tasks that were spawned inside
      // (engine_wait). If the arena has a single slot, oneTBB adds a second slot itself.
      int const places = q.limits.slots == 1 ? 1 : q.limits.slots + 1;
      own_.emplace(places, static_cast<unsigned>(places));
      pool_ = q.life();
    }
  } else if (queue_ != npos) {
    q.limits.slots = threads;
  }
  if (queue_ != npos) {
    auto const held = static_cast<std::size_t>(limit_ != unlimited ? limit_ : q.limits.slots);
    q.limits.room = queue_ > npos - held ? task_queue::unbounded : queue_ + held;
  }
}

}  // namespace errgroup::detail
