// SPDX-License-Identifier: Apache-2.0
#include "task_queue.hpp"

#include <algorithm>  // max, pop_heap, push_heap
#include <utility>    // exchange
#include <vector>     // vector

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {
namespace {

// A free queue keeps memory for at most so many due tasks, 1.5 KiB.
constexpr std::size_t most_kept_due = 64;

}  // namespace

bool due_list::grow(std::vector<timed_task>& memory) {
  if (memory.capacity() <= heap_.capacity()) {
    return false;
  }
  memory.assign(heap_.begin(), heap_.end());
  heap_.swap(memory);
  return true;
}

void due_list::push(timed_task const& t) noexcept {
  heap_.push_back(t);
  std::push_heap(heap_.begin(), heap_.end());
  size_.store(size() + 1, std::memory_order_relaxed);
}

node* due_list::pop() noexcept {
  if (heap_.empty()) {
    return nullptr;
  }
  std::pop_heap(heap_.begin(), heap_.end());
  node* const n = heap_.back().task;
  heap_.pop_back();
  size_.store(size() - 1, std::memory_order_relaxed);
  return n;
}

std::vector<timed_task> due_list::empty() noexcept {
  size_.store(0, std::memory_order_relaxed);
  return std::exchange(heap_, {});
}

void due_list::give_memory_back() noexcept {
  if (heap_.capacity() > most_kept_due) {
    std::vector<timed_task>().swap(heap_);
  }
}

void task_queue::acquire_for_due(spin_mutex::scoped_lock& held, std::vector<timed_task>& memory) {
  for (;;) {
    held.acquire(lock);
    std::size_t const capacity = due.capacity();
    if (due.size() != capacity || due.grow(memory)) {
      return;
    }
    held.release();
    memory.clear();
    memory.reserve(std::max<std::size_t>(16, 2 * capacity));
  }
}

void task_queue::end_life() noexcept {
  // A thread with a late request may have the lock right now. It finds no task, and touches only
  // atomics. All other threads have left the queue.
  current.serial.store(current.serial.load(std::memory_order_relaxed) + 1,
                       std::memory_order_release);
  close_request();
  if (limits.slots != many || limits.room != unbounded || closed || has_work()) {
    spin_mutex::scoped_lock guard(lock);
    closed = false;
    limits.slots = many;
    limits.room = unbounded;
    // Requests that came too late, of groups that were made in this group.
    while (node* late = pop()) {
      late->consume(*late, nullptr);
      give_back(late);
    }
  }
  due.give_memory_back();
}

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART
