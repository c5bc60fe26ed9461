// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_QUEUE_POOL_HPP
#define ERRGROUP_SRC_QUEUE_POOL_HPP

#include "task_queue.hpp"
#include <errgroup/detail/thread_state.hpp>

#include <utility>  // exchange

// Queues are recycled and never freed: a request that is answered too late still finds its queue.

namespace errgroup::inline v1::detail {

/// A queue for `owner`, from those that are free. Throws `std::bad_alloc`.
[[nodiscard]] task_queue& take_queue(thread_state& self, queue_owner& owner);

/// The same, from what this thread has at hand; null if it has nothing.
[[nodiscard]] inline task_queue* try_take_queue(thread_state& self, queue_owner& owner) noexcept {
  task_queue* const q = std::exchange(self.spare_queue, nullptr);
  if (q != nullptr) {
    q->begin_life(owner);
  }
  return q;
}

/// Ends the life of a queue that is idle.
void put_queue(thread_state& self, task_queue& q) noexcept;

/// Gives a free queue to all threads.
void free_queue(task_queue* q) noexcept;

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_QUEUE_POOL_HPP
