// SPDX-License-Identifier: Apache-2.0
#include "task_queue.hpp"

#include <algorithm>  // max, pop_heap, push_heap
#include <memory>     // make_unique
#include <vector>     // vector

namespace errgroup::detail {
namespace {

spin_mutex free_queues_lock;
task_queue* free_queues = nullptr;

// A thread keeps so many nodes of a queue for its next groups, 64 KiB. The rest goes back to the
// heap.
constexpr std::size_t most_kept_nodes = 1024;
// A free queue keeps memory for at most so many due tasks, 1.5 KiB.
constexpr std::size_t most_kept_due = 64;

}  // namespace

task_queue& take_queue(thread_state& self, group_core& owner) {
  if (self.spare_queue == nullptr) {
    spin_mutex::scoped_lock guard(free_queues_lock);
    self.spare_queue = free_queues;
    if (free_queues != nullptr) {
      free_queues = free_queues->next_free;
    }
  }
  if (self.spare_queue == nullptr) {
    // A new queue needs its first page.
    auto first = std::make_unique<node>();
    auto* const q = new task_queue;
    q->head = q->tail = page::make(first.release());
    self.spare_queue = q;
  }
  return *try_take_queue(self, owner);
}

void task_queue::acquire_for_due(spin_mutex::scoped_lock& held, std::vector<timed_task>& memory) {
  for (;;) {
    held.acquire(lock);
    std::size_t const capacity = due_tasks.capacity();
    if (due_tasks.size() != capacity) {
      return;
    }
    if (memory.capacity() > capacity) {
      memory.assign(due_tasks.begin(), due_tasks.end());
      due_tasks.swap(memory);
      return;
    }
    held.release();
    memory.clear();
    memory.reserve(std::max<std::size_t>(16, 2 * capacity));
  }
}

void task_queue::push_due(timed_task const& t) noexcept {
  due_tasks.push_back(t);
  std::push_heap(due_tasks.begin(), due_tasks.end());
  due.store(due.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  count(1);
}

node* task_queue::pop_due() noexcept {
  if (due_tasks.empty()) {
    return nullptr;
  }
  std::pop_heap(due_tasks.begin(), due_tasks.end());
  node* const n = due_tasks.back().task;
  due_tasks.pop_back();
  due.store(due.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  take(1);
  return n;
}

namespace {

[[gnu::noinline, gnu::cold]] void give_memory_back(task_queue& q) noexcept {
  std::vector<timed_task>().swap(q.due_tasks);
}

}  // namespace

void put_queue(thread_state& self, task_queue& q) noexcept {
  // A thread with a late request may have the lock right now. It finds no task, and touches only
  // atomics. All other threads have left the queue.
  q.serial.store(q.serial.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  q.request.store(false, std::memory_order_relaxed);
  q.stranded.store(false, std::memory_order_relaxed);
  if (q.slots != task_queue::many || q.room != static_cast<std::size_t>(-1) || q.closed ||
      q.has_work()) {
    spin_mutex::scoped_lock guard(q.lock);
    q.closed = false;
    q.slots = task_queue::many;
    q.room = static_cast<std::size_t>(-1);
    // Requests that came too late, of groups that were made in this group.
    while (node* late = q.pop()) {
      late->consume(*late, nullptr);
      q.spare.push(late);
    }
  }
  if (q.due_tasks.capacity() > most_kept_due) {
    give_memory_back(q);
  }
  // A thread that has nodes gets no more: it may only destroy groups, and never submit.
  std::size_t room = self.nodes.is_low() ? most_kept_nodes : 0;
  for (; !q.spare.is_empty(); room -= room != 0 ? 1 : 0) {
    if (room != 0) {
      self.nodes.push(q.spare.pop());
    } else {
      delete q.spare.pop();
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
  q->next_free = free_queues;
  free_queues = q;
}

}  // namespace errgroup::detail
