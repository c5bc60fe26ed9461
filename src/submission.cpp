// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "queue_pool.hpp"

#include <tbb/task.h>        // current_context
#include <tbb/task_arena.h>  // max_concurrency, task_arena

#include <algorithm>  // max, min
#include <atomic>     // memory_order
#include <cstddef>    // size_t
#include <cstdint>    // uint32_t, uint64_t

// The ways of a submitted task: `route` decides between two.
//
// Spawn: inside a task, a group hands each task to oneTBB, in the worker's own deque
// (group_core::spawn). Queue: from outside, and always if the group counts its tasks, the task is a
// node in the group's queue, and a request brings a thread to the queue (helpers.cpp).
//
// Invariant: a task that is counted in `unfinished` is about to enter the queue, is in the queue or
// in a batch, runs, or is about to be dropped by the thread that closed the queue.
//
// Locks: the queue's lock guards each submission. `cold_` guards the making of the queue.

namespace errgroup::detail {

group_core::path group_core::route(thread_state& self) {
  task_frame const& top = *self.top;
  bool const binds = is_unbound();
  bool in_task = top.owner.load(std::memory_order_relaxed) != nullptr;
  tbb::task_group_context* here = nullptr;
  if (!in_task || binds) {
    here = tbb::task::current_context();
    in_task = in_task || here != nullptr;
  }
  // A task is spawned only if a thread comes for it. In the arena of a limited group, all threads
  // come through that group. So only groups that were made in its tasks spawn there, and only while
  // it is alive: afterwards no thread comes to the arena. Without workers, no thread comes for the
  // deque of a thread that goes away (`is_alone`). A group that was made outside of any task also
  // needs an arena of more than one thread, since its waiter may be in another arena. In the region
  // of an isolated group, only groups that were made there spawn: oneTBB marks the spawned tasks,
  // and a wait in the region takes them.
  bool const direct =
      !counted_ && in_task && top.pool == origin_.pool &&
      (origin_.pool.of == nullptr || is_pool_alive()) && !self.is_alone &&
      ((state.load(std::memory_order_relaxed) & in_region) != 0 || !is_in_isolation(self)) &&
      !(origin_.under == nullptr ? nobody_comes(self) : has_no_workers(self));
  if (binds) {
    if (direct) {
      bind_unless_at_home(self, here);
    } else {
      bind(self, here);
    }
  }
  if (direct) {
    return path::spawn;
  }
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
  return path::queue;
}

void group_core::make_queue(thread_state& self) {
  lock_type once(cold_);
  if (queue_.load(std::memory_order_relaxed) != nullptr) {
    return;
  }
  task_queue& q = take_queue(self, *this);
  if (counted_) {
    try {
      set_limits(self, q);
    } catch (...) {
      put_queue(self, q);
      throw;
    }
  }
  // seq_cst, with `interrupt`: either the canceller finds the queue, or this thread finds the group
  // stopped.
  queue_.store(&q, std::memory_order_seq_cst);
  if ((state.load(std::memory_order_seq_cst) & stopped) != 0) {
    lock_type lock(q.lock);
    q.closed = true;
  }
}

// Makes the queue, and binds the context as it should be bound, unless that was done before.
void group_core::prepare_queue(thread_state& self) {
  if (is_unbound()) {
    bind(self, tbb::task::current_context());
  }
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
}

void group_core::set_limits(thread_state& self, task_queue& q) {
  extras& x = *extras_;
  if (x.arena == nullptr) {
    x.home.reset();
    if (self.top->pool.of == nullptr) {
      x.home.emplace(tbb::task_arena::attach{});
    } else {
      x.home.emplace();
    }
    x.home->initialize();
  }
  int const threads = std::max(
      1, x.arena != nullptr ? x.arena->max_concurrency() : tbb::this_task_arena::max_concurrency());
  if (x.limit != unlimited) {
    q.slots = std::min(x.limit, task_queue::many - 1);
    if (x.arena == nullptr) {
      // All slots are reserved, so the arena asks oneTBB for no workers of its own. Its threads
      // come as runners from the home arena, and each runner has a slot of the limit before it
      // enters. (An arena with workers runs two tasks at once for a limit of 1, and prints a
      // warning for a limit above the machine.) Beyond this size more slots would cost memory and
      // change nothing.
      q.slots = std::min(x.limit, std::max(64, 4 * threads));
      // One slot more is for a thread from outside that waits for tasks that were spawned inside
      // (engine_wait). If the arena has a single slot, oneTBB adds a second slot itself.
      int const places = q.slots == 1 ? 1 : q.slots + 1;
      x.slots.emplace(places, static_cast<unsigned>(places));
      x.pool = q.life();
      pool_ = &x.pool;
    }
  } else if (x.queue != npos) {
    q.slots = threads;
  }
  if (x.queue != npos) {
    auto const held = static_cast<std::size_t>(x.limit != unlimited ? x.limit : q.slots);
    q.room = x.queue > npos - held ? npos : x.queue + held;
  }
}

void group_core::submit(thread_state& self, node* n) noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  if (q.unfinished >= q.room && !q.closed && !make_room(self, q, lock, n)) {
    return;
  }
  ++q.unfinished;
  number(q, *n);
  append(self, q, lock, n);
}

bool group_core::reserve(thread_state& self) {
  if (is_unbound() || queue_.load(std::memory_order_acquire) == nullptr) {
    (void)route(self);
  }
  task_queue& q = *queue_.load(std::memory_order_acquire);
  // If the queue is unbounded, `try_run` needs a free slot, not room in the queue.
  bool const needs_slot = extras_->queue == npos && extras_->limit != unlimited;
  lock_type lock(q.lock);
  std::size_t const room =
      needs_slot ? static_cast<std::size_t>(extras_->limit) + q.finished_in_batches() : q.room;
  if (q.closed || q.unfinished >= room) {
    return false;
  }
  ++q.unfinished;
  return true;
}

void group_core::unreserve() noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  wake_list awake;
  lock_type lock(q.lock);
  --q.unfinished;
  q.wake_one(awake, sleeper::room);
  if (q.is_idle()) {
    q.wake_all(awake);
  }
}

void group_core::submit_reserved(thread_state& self, node* n) noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  number(q, *n);
  append(self, q, lock, n);
}

// Puts a task that `unfinished` counts into the queue, and sends a request if no request is open.
// Releases the lock.
void group_core::append(thread_state& self, task_queue& q, lock_type& lock, node* n) noexcept {
  wake_list awake;
  if (q.closed) {
    lock.release();
    drop(*n);
    put_node(self, n);
    skip(1);
    lock.acquire(q.lock);
    --q.unfinished;
    if (q.is_idle()) {
      q.wake_all(awake);
    }
    lock.release();
    return;
  }
  if (q.is_page_full()) [[unlikely]] {
    q.add_page(self.nodes.pop());
  }
  q.push(n);
  bool const call = q.take_request();
  if (q.sleepers != nullptr && q.may_start()) {
    q.wake_one(awake, sleeper::work);
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(q.spare);
  }
  lock.release();
  if (call) {
    send_request(q);
  }
}

// Under the lock: counts the task in `pushed`, and gives it its index.
void group_core::number(task_queue& q, node& n) const noexcept {
  std::uint64_t const pushed = q.pushed.load(std::memory_order_relaxed);
  n.index = spawns_.all() + pushed;
  q.pushed.store(pushed + 1, std::memory_order_relaxed);
}

std::size_t group_core::queued(task_queue const& q) noexcept {
  return q.pushed.load(std::memory_order_relaxed);
}

// Makes room for `n` in a full queue. Returns true, with the lock, when there is room or the queue
// is closed. Returns false, without the lock, if this thread has run the task itself.
bool group_core::make_room(thread_state& self, task_queue& q, lock_type& lock, node* n) noexcept {
  bool const inside = is_inside(self);
  for (;;) {
    if (q.unfinished < q.room || q.closed) {
      if (!self.nodes.is_empty()) [[likely]] {
        return true;
      }
      // The tasks that ran in this thread have used up the node for a page. While this thread gets
      // a new node, other threads may take the room.
      lock.release();
      insist([&] { reserve_node(self); });
      lock.acquire(q.lock);
    } else if (inside) {
      // Waiting here could park every slot behind tasks that only the threads of those slots can
      // run. So the caller runs a task on the slot that it holds.
      node* oldest = q.pop();
      if (oldest == nullptr) {
        number(q, *n);
      }
      lock.release();
      run_inline(oldest != nullptr ? *oldest : *n);
      if (oldest == nullptr) {
        put_node(self, n);
        return false;
      }
      lock.acquire(q.lock);
      wake_list awake;
      finish(q, oldest, awake);
      awake_now(awake, lock, q);
    } else if (q.may_start()) {
      session s(session_kind::submitter);
      begin_session(q, s);
      lock.release();
      run_session(q, s);
      lock.acquire(q.lock);
    } else if (is_canceled_unseen()) {
      lock.release();
      record(errc::canceled, true);  // which closes the queue
      lock.acquire(q.lock);
    } else {
      lock.release();
      sleeper s(true, sleeper::room);
      lock.acquire(q.lock);
      if (q.unfinished >= q.room && !q.closed && !q.may_start()) {
        // A cancellation wakes this thread, unless oneTBB cancels the context: oneTBB has no
        // callback, so the timer's thread polls.
        sleep(q, lock, s, origin_.is_bound || is_context_given());
      }
    }
  }
}

// Wakes the sleepers in the list. The caller holds the lock before and after.
void group_core::awake_now(wake_list& awake, lock_type& lock, task_queue& q) noexcept {
  if (!awake.empty()) {
    lock.release();
    awake.now();
    lock.acquire(q.lock);
  }
}

void group_core::run_inside_now(error (*call)(void*) noexcept, void* argument,
                                std::source_location where) noexcept {
  auto const run = [&]() noexcept {
    thread_state& self = this_worker();
    task_scope inside(self, *this, engine_.context, pool_ != nullptr ? *pool_ : self.top->pool);
    if (error e = call(argument)) {
      fail(std::move(e), {where, nullptr, npos});
    }
  };
  if (!run_in(engine_.context, run)) {
    run();  // the context is cancelled, and `call` will see it
  }
}

// Empties the queue. The tasks that waited in it are skipped.
void group_core::close(task_queue& q) noexcept {
  drop_waiting(q);
  drop_timed(q);
}

void group_core::drop_waiting(task_queue& q) noexcept {
  task_queue::contents rest;
  {
    lock_type lock(q.lock);
    q.closed = true;
    rest = q.empty();
  }
  std::size_t n = 0;
  auto skip_one = [this, &n](node& w) noexcept {
    n += is_task(w) ? 1U : 0U;
    drop(w);
  };
  for (page* p = rest.first; p != rest.last && p != nullptr; p = p->next) {
    for (std::uint32_t i = p == rest.first ? rest.first_at : 0; i != page::capacity; ++i) {
      skip_one(*p->of[i]);
    }
  }
  for (std::uint32_t i = 0; i != rest.number_of_others; ++i) {
    skip_one(*rest.others[i]);
  }
  for (timed_task const& t : rest.due) {
    skip_one(*t.task);
  }
  skipped_.fetch_add(n, std::memory_order_relaxed);
  wake_list awake;
  lock_type lock(q.lock);
  q.unfinished -= n;
  q.give_back(rest);
  q.wake_all(awake);
}

}  // namespace errgroup::detail
