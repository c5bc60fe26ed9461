// SPDX-License-Identifier: Apache-2.0
#include "task_queue.hpp"

#include <algorithm>  // max, pop_heap, push_heap
#include <vector>     // vector

namespace errgroup::detail::inline ERRGROUP_PART {
namespace {

// A free queue keeps memory for at most so many due tasks, 1.5 KiB.
constexpr std::size_t most_kept_due = 64;

}  // namespace

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

void task_queue::end_life() noexcept {
  // A thread with a late request may have the lock right now. It finds no task, and touches only
  // atomics. All other threads have left the queue.
  serial.store(serial.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  request.store(false, std::memory_order_relaxed);
  stranded.store(false, std::memory_order_relaxed);
  if (slots != many || room != static_cast<std::size_t>(-1) || closed || has_work()) {
    spin_mutex::scoped_lock guard(lock);
    closed = false;
    slots = many;
    room = static_cast<std::size_t>(-1);
    // Requests that came too late, of groups that were made in this group.
    while (node* late = pop()) {
      late->consume(*late, nullptr);
      spare.push(late);
    }
  }
  if (due_tasks.capacity() > most_kept_due) {
    give_memory_back(*this);
  }
}

}  // namespace errgroup::detail::inline ERRGROUP_PART
