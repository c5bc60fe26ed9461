// SPDX-License-Identifier: Apache-2.0
#include "queue_pool.hpp"

#include <cstddef>  // size_t
#include <memory>   // make_unique

namespace errgroup::inline v1::detail {
namespace {

spin_mutex free_queues_lock;
task_queue* free_queues = nullptr;

// Of a queue's nodes, so many are kept for the next groups, 64 KiB; the others go back to the heap.
constexpr std::size_t most_kept_nodes = 1024;

}  // namespace

task_queue& take_queue(thread_state& self, queue_owner& owner) {
  if (self.spare_queue == nullptr) {
    spin_mutex::scoped_lock guard(free_queues_lock);
    self.spare_queue = free_queues;
    if (free_queues != nullptr) {
      free_queues = free_queues->current.next_free;
    }
  }
  if (self.spare_queue == nullptr) {
    // Its first page comes with it.
    auto first = std::make_unique<node>();
    auto* const q = new task_queue;
    q->tasks.open(first.release());
    self.spare_queue = q;
  }
  return *try_take_queue(self, owner);
}

void put_queue(thread_state& self, task_queue& q) noexcept {
  q.end_life();
  // A thread that has some is not given more: it may be one that only destroys groups.
  std::size_t room = self.nodes.is_low() ? most_kept_nodes : 0;
  for (; !q.tasks.spare.is_empty(); room -= room != 0 ? 1 : 0) {
    if (room != 0) {
      self.nodes.push(q.tasks.spare.pop());
    } else {
      delete q.tasks.spare.pop();
    }
  }
  if (self.spare_queue == nullptr) {
    self.spare_queue = &q;
    return;
  }
  free_queue(&q);
}

void free_queue(task_queue* q) noexcept {
  spin_mutex::scoped_lock guard(free_queues_lock);
  q->current.next_free = free_queues;
  free_queues = q;
}

}  // namespace errgroup::inline v1::detail
