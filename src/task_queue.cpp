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
    if (due.has_room() || due.grow(memory)) {
      return;
    }
    held.release();
    memory.clear();
    memory.reserve(std::max<std::size_t>(16, 2 * capacity));
  }
}

[[gnu::noinline]] node* task_queue::pop_out_of_order() noexcept {
  if (node* const n = due.pop()) {
    return n;
  }
  bool has_usual = tasks.size() != 0 || batches.has_work();
  int level = due.ranked().next(has_usual);
  if (level == ranked_tasks::usual) {
    if (node* const n = pop_in_order()) {
      due.note_start(level, true);
      return n;
    }
    has_usual = false;  // the thread of a batch has just taken the last task
    level = due.ranked().next(has_usual);
  }
  due.note_start(level, has_usual);
  return due.pop(level);
}

// If it is the turn of level 0, the batch goes on: its next task is the start of that level.
node* task_queue::pop_before_batch() noexcept {
  if (node* const n = due.pop()) {
    return n;
  }
  if (!due.ranked().has_high()) {
    return nullptr;
  }
  int const level = due.ranked().next(true);
  due.note_start(level, true);
  return level != ranked_tasks::usual ? due.pop(level) : nullptr;
}

// Exact for 0: a limiter gives places for the task that `pop` returns next. The order of the others
// is about right.
node const* task_queue::peek_out_of_order(std::uint32_t i) const noexcept {
  std::uint32_t const number_of_due = due.number_of_due();
  if (i < number_of_due) {
    return due.peek(i);
  }
  i -= number_of_due;
  ranked_tasks const& ranked = due.ranked();
  if (i == 0 && number_of_due == 0 && ranked.size() != 0) {
    int const level = ranked.next(tasks.size() != 0);
    return level == ranked_tasks::usual ? tasks.peek(0) : ranked.peek(level, 0);
  }
  if (i < ranked.number_of_high()) {
    return ranked.peek(ranked_tasks::high, i);
  }
  i -= ranked.number_of_high();
  return i < tasks.size() ? tasks.peek(i) : ranked.peek(ranked_tasks::low, i - tasks.size());
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
