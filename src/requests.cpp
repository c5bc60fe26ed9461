// SPDX-License-Identifier: Apache-2.0
#include "worker.hpp"

#include <tbb/task_arena.h>  // task_arena

#include <atomic>  // memory_order
#include <memory>  // construct_at
#include <new>     // launder

// Where a group sends its requests (helpers.hpp). A request goes to the first of these places that
// the group has:
// - the group's own threads, with `options::blocking`;
// - `options::arena`;
// - the queue of the limited group inside which this group was made; there it waits for a slot;
// - the home arena of a group with a limit or a bounded queue (slots.hpp);
// - an arena of the library, if the sender is the timer's thread or is inside a limited group in
//   which this group was not made;
// - the arena in which the sender is: there the request is spawned, or enqueued if the sender is in
//   the region of an isolated group.

namespace errgroup::inline v1::detail {

struct group_core::request {
  queue_life life;

  void operator()() const noexcept { answer(life); }
};

void group_core::answer(queue_life const& life) noexcept { answer_request<worker>(life); }

// True if oneTBB marks the tasks that this thread spawns with the region of an isolated group.
bool group_core::is_in_isolation(thread_state const& self) noexcept {
  cancel_node const* const n = self.top->owner.load(std::memory_order_relaxed);
  return n != nullptr && (n->state.load(std::memory_order_relaxed) & in_region) != 0;
}

// Sends the request that the caller has taken (`take_request`). The group must have an unfinished
// task, or the caller must be using it.
void group_core::send_request(task_queue& q) noexcept {
  wake_list awake;
  lock_type lock;
  try {
    if (!send({q.life()}, this_thread())) {
      lock.acquire(q.lock);
      q.strand_request(awake);
      lock.release();
    }
  } catch (...) {
    // No memory for the request. Nothing is lost: the task is in the queue, where the next request
    // or a waiter finds it.
    lock.acquire(q.lock);
    q.close_request();
    lock.release();
  }
}

// Returns false if maybe no thread answers the request.
bool group_core::send(request const& r, thread_state& self) {
  if (worker::has_threads(*this)) {
    extras_->places.threads()->call(r.life);
  } else if (extras_ != nullptr && extras_->places.given() != nullptr) {
    extras_->places.given()->enqueue(r);
  } else if (origin_.pool.of != nullptr && queue_request(r, self)) {
    return true;
  } else if (extras_ != nullptr && extras_->places.home() != nullptr) {
    extras_->places.home()->enqueue(r);
  } else if (self.top->pool.of != nullptr || is_timer_thread) {
    default_arena().enqueue(r);
  } else if (is_in_isolation(self)) {
    // oneTBB would mark a spawned request with the region, and a wait in the region would take it.
    tbb::task_arena(tbb::task_arena::attach{}).enqueue(r);
  } else {
    return spawn_request(self, r.life, &group_core::answer);
  }
  return true;
}

// A group that was made inside a limited group uses that group's threads: its request waits in that
// group's queue for a slot. Returns false if the limited group is done, or if this group has
// outlived the task that made it.
bool group_core::queue_request(request const& r, thread_state& self) {
  queue_guest const outer(origin_.pool);
  if (!outer || !is_pool_alive()) {
    return false;
  }
  if (shared_places* const places = static_cast<group_core&>(*outer->current.owner).extras_->shared)
      [[unlikely]] {
    places->ask_request(r.life);
    return true;
  }
  auto request_in = [](node& n) -> request& {
    return *std::launder(reinterpret_cast<request*>(n.storage));
  };
  node* const n = take_node(self);
  try {
    reserve_node(self);
  } catch (...) {
    put_node(self, n);
    throw;
  }
  lock_type lock(outer->lock);
  bool is_sent = outer->closed;  // there is nothing to send then
  // If a request of a group that is gone waits there, it becomes the request of this group.
  // Otherwise a task that makes one short-lived group after the other, while all slots are taken,
  // would fill the queue.
  for (node* const waits : outer->tasks.latest()) {
    if (!is_sent && !waits->is_task() &&
        !request_in(*waits).life.of->serves(request_in(*waits).life.serial)) {
      request_in(*waits) = r;
      is_sent = true;
    }
  }
  if (is_sent) {
    bool const is_open = !outer->closed;
    lock.release();
    put_node(self, n);
    return is_open;
  }
  std::construct_at(reinterpret_cast<request*>(n->storage), r);
  n->index = node::request;
  n->consume = &consume_request;
  auto& above = static_cast<group_core&>(*outer->current.owner);
  above.append(self, *outer, lock, n);
  return true;
}

void group_core::consume_request(node& n, queue_owner* runner) noexcept {
  request const r = *std::launder(reinterpret_cast<request*>(n.storage));
  if (runner == nullptr) {
    revoke_request(r.life);
    return;
  }
  // The tasks that this thread will run are inside the group `runner`, as the task is that made the
  // request's group.
  auto& g = static_cast<group_core&>(*runner);
  thread_state& self = this_worker();
  task_scope inside(self, g, &g.engine_.context, g.pool_ != nullptr ? *g.pool_ : self.top->pool,
                    nullptr, task_frame::no_task);
  answer(r.life);
}

}  // namespace errgroup::inline v1::detail
