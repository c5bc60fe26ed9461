// SPDX-License-Identifier: Apache-2.0
#include "check_options.hpp"
#include "observation.hpp"
#include "queue_pool.hpp"
#include "worker.hpp"

#include <tbb/task.h>  // current_context

#include <atomic>   // memory_order
#include <cstddef>  // size_t
#include <cstdint>  // int64_t, uint32_t, uint64_t

// The ways of a submitted task: `route` decides between two.
//
// Spawn: inside a task, a group hands each task to oneTBB, in the worker's own deque
// (group_core::spawn). Queue: from outside, and always if the group counts its tasks, the task is a
// node in the group's queue, and a request brings a thread to the queue (helpers.hpp).
//
// Invariant: a task that is counted in `unfinished` is about to enter the queue, is in the queue or
// in a batch, runs, or is about to be dropped by the thread that closed the queue.
//
// Locks: the queue's lock guards each submission. `cold_` guards the making of the queue.

namespace errgroup::inline v1::detail {

group_core::path group_core::route(thread_state& self) {
  if (is_observed() && !counts() && is_at_home(self) && (!is_unbound() || binds_here())) {
    return path::spawn_observed;
  }
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
      !counts() && in_task && top.pool == origin_.pool &&
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
    return is_observed() ? path::spawn_observed : path::spawn;
  }
  (void)queue(self);
  return path::queue;
}

// The queue, which is made at its first use. Throws `std::bad_alloc`, and what oneTBB throws.
task_queue& group_core::queue(thread_state& self) {
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
  return *queue_.load(std::memory_order_acquire);
}

void group_core::make_queue(thread_state& self) {
  lock_type once(cold_);
  if (queue_.load(std::memory_order_relaxed) != nullptr) {
    return;
  }
  task_queue& q = take_queue(self, *this);
  if (counts()) {
    try {
      if (is_placed()) {
        extras_->shared->open(*this, self, q);
      } else {
        extras_->places.open(q, self.top->pool.of != nullptr);
        pool_ = extras_->places.pool();
      }
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
  (void)queue(self);
}

void group_core::submit(thread_state& self, node* n) noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  if (q.is_full() && !make_room(self, q, lock, n)) {
    return;
  }
  ++q.unfinished;
  if ((state.load(std::memory_order_relaxed) & (observed | placed)) != 0) [[unlikely]] {
    submit_unusual(self, q, lock, n, 0);
    return;
  }
  number(q, *n);
  append(self, q, lock, n);
}

void group_core::submit_weighed(thread_state& self, node* n) noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  if (q.is_full() && !make_room(self, q, lock, n)) {
    return;
  }
  ++q.unfinished;
  submit_unusual(self, q, lock, n, node::has_rank);
}

// The rest of `submit`, for a group that is observed or has a limiter. Releases the lock.
[[gnu::noinline, gnu::cold]] void group_core::submit_unusual(thread_state& self, task_queue& q,
                                                             lock_type& lock, node* n,
                                                             std::size_t mark) noexcept {
  if (is_observed()) {
    // Once there is room, so that tasks get room in the order of their indices: a stream relies on
    // that. Not under the lock: the observer is told.
    lock.release();
    n->index = next_index();
    lock.acquire(q.lock);
  }
  append_unusual(self, q, lock, n, mark, false);
}

// Numbers a task, puts it into the queue, and asks for its places, if the group has a limiter.
// `has_places`: they are reserved. Releases the lock.
[[gnu::noinline, gnu::cold]] void group_core::append_unusual(thread_state& self, task_queue& q,
                                                             lock_type& lock, node* n,
                                                             std::size_t mark,
                                                             bool has_places) noexcept {
  number(q, *n);
  n->index |= mark;
  std::int64_t const weight = n->weight();
  if (n->level() != 0 && !q.closed) {
    append_ranked(self, q, lock, n);
  } else {
    append(self, q, lock, n);
  }
  if (is_placed()) {
    extras_->shared->ask(*this, weight, has_places);
  }
}

// `weight` counts in a group with a limiter.
bool group_core::reserve(thread_state& self, std::int64_t weight) {
  bool const is_unusual = (state.load(std::memory_order_acquire) & (unbound | placed)) != 0;
  if (is_unusual || queue_.load(std::memory_order_acquire) == nullptr) {
    (void)route(self);
    if (needs_places()) {
      return reserve_places(weight);
    }
  }
  return reserve_slot();
}

// As `reserve`, if a task needs places of the limiter to be accepted.
[[gnu::noinline, gnu::cold]] bool group_core::reserve_places(std::int64_t weight) noexcept {
  if (!reserve_slot()) {
    return false;
  }
  if (!extras_->shared->reserve(weight)) {
    give_room();
    return false;
  }
  return true;
}

bool group_core::reserve_slot() noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type const lock(q.lock);
  if (q.closed || !extras_->places.has_slot(q)) {
    return false;
  }
  ++q.unfinished;
  return true;
}

// True if `try_run` and `try_run_for` need free places: the group has a limiter, and no bounded
// queue. (A bounded queue accepts tasks that wait for their places.)
bool group_core::needs_places() const noexcept {
  return is_placed() && !extras_->places.is_bounded();
}

// No task comes for what `reserve` has reserved.
void group_core::unreserve(std::int64_t weight) noexcept {
  if (needs_places()) {
    extras_->shared->unreserve(weight);
  }
  give_room();
}

void group_core::keep_room() noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type const lock(q.lock);
  ++q.unfinished;
}

void group_core::give_room() noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  wake_list awake;
  lock_type lock(q.lock);
  --q.unfinished;
  q.sleepers.wake_one(awake, sleeper::room);
  q.tell_sleepers(awake);
}

void group_core::submit_reserved(thread_state& self, node* n, std::size_t mark,
                                 bool has_places) noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock;
  if (mark != 0 || (state.load(std::memory_order_relaxed) & (observed | placed)) != 0)
      [[unlikely]] {
    number_observed(*n);
    lock.acquire(q.lock);
    append_unusual(self, q, lock, n, mark, has_places && needs_places());
    return;
  }
  lock.acquire(q.lock);
  number(q, *n);
  append(self, q, lock, n);
}

// Puts a task that `unfinished` counts into the queue. Releases the lock.
void group_core::append(thread_state& self, task_queue& q, lock_type& lock, node* n) noexcept {
  if (q.closed) {
    lock.release();
    drop(*n);
    put_node(self, n);
    skip(1);
    wake_list awake;
    lock.acquire(q.lock);
    --q.unfinished;
    q.tell_sleepers(awake);
    lock.release();
    return;
  }
  if (q.tasks.is_page_full()) [[unlikely]] {
    q.tasks.add_page(self.nodes.pop());
  }
  q.tasks.push(n);
  if (self.nodes.is_low()) {
    self.nodes.take_all(q.tasks.spare);
  }
  announce(q, lock);
}

// As `append`, for a task with a level, and an open queue.
[[gnu::noinline, gnu::cold]] void group_core::append_ranked(thread_state& self, task_queue& q,
                                                            lock_type& lock, node* n) noexcept {
  q.due.push(n);
  // A thread with a batch looks there between two tasks. Not without a limit: a spawned task, which
  // looks there, too, would not start before all tasks of a high level.
  if (counts() && q.due.ranked().has_high() && !q.batches.is_empty()) {
    state.fetch_or(due_waits, std::memory_order_relaxed);
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(q.tasks.spare);
  }
  announce(q, lock);
}

// Tells of a task that was put into the queue: wakes a thread that sleeps for a task, and sends a
// request if no request is open. Releases the lock.
void group_core::announce(task_queue& q, lock_type& lock) noexcept {
  wake_list awake;
  bool const call = q.take_request();
  q.tell_sleepers(awake);
  lock.release();
  if (call) {
    send_request(q);
  }
}

// Under the lock: counts the task in `pushed`, and gives it its index.
void group_core::number(task_queue& q, node& n) const noexcept {
  std::uint64_t const pushed = q.pushed.load(std::memory_order_relaxed);
  if (!is_observed()) {
    n.index = spawns_.all() + pushed;
  }
  q.pushed.store(pushed + 1, std::memory_order_relaxed);
}

std::size_t group_core::queued(task_queue const& q) noexcept {
  return q.pushed.load(std::memory_order_relaxed);
}

// Makes room for `n` in a full queue. Returns true, with the lock, when there is room or the queue
// is closed. Returns false, without the lock, if this thread has run the task itself.
bool group_core::make_room(thread_state& self, task_queue& q, lock_type& lock, node* n) noexcept {
  bool const inside = is_inside(self);
  while (q.is_full()) {
    if (inside) {
      // Waiting here could park every slot behind tasks that only the threads of those slots can
      // run. So the caller runs a task on the slot that it holds.
      node* const oldest = q.pop();
      if (oldest == nullptr) {
        lock.release();
        run_unreserved(self, n);
        return false;
      }
      worker::run_here(*this, q, lock, *oldest);
    } else {
      lock.release();
      {
        observed_wait const seen(*this, wait_kind::room);
        worker me(*this, worker::share_of_submitter(*this));
        (void)me.wait_for(q, {.what = goal::room});
      }
      lock.acquire(q.lock);
    }
    while (self.nodes.is_empty()) [[unlikely]] {
      // The tasks that ran in this thread have used up the node for a page. While this thread gets
      // a new node, other threads may take the room.
      lock.release();
      insist([&] { reserve_node(self); });
      lock.acquire(q.lock);
    }
  }
  return true;
}

// Runs a task for which the queue has no room, on the slot of the caller.
void group_core::run_unreserved(thread_state& self, node* n) noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  {
    lock_type const lock(q.lock);
    number(q, *n);
  }
  number_observed(*n);
  run_inline(*n);
  put_node(self, n);
}

// A task is finished that this thread has taken without a session. The caller holds the lock before
// and after.
void group_core::finish_here(task_queue& q, lock_type& lock, node* n) noexcept {
  wake_list awake;
  session::finish_one(q, n, awake);
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
    task_scope inside(self, *this, &engine_.context, pool_ != nullptr ? *pool_ : self.top->pool,
                      label_of(where), task_frame::no_task);
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

[[gnu::noinline, gnu::cold]] void group_core::drop_timed(task_queue& q) noexcept {
  if (times* const t = times_.load(std::memory_order_acquire)) {
    t->drop_pending(q);
  }
}

[[gnu::noinline, gnu::cold]] void group_core::drop_waiting(task_queue& q) noexcept {
  task_queue::contents rest;
  {
    lock_type lock(q.lock);
    q.closed = true;
    rest = q.empty();
  }
  std::size_t n = 0;
  auto skip_one = [this, &n](node& w) noexcept {
    n += w.is_task() ? 1U : 0U;
    drop(w);
  };
  rest.tasks.for_each(skip_one);
  for (timed_task const& t : rest.due) {
    skip_one(*t.task);
  }
  for (node* w = rest.ranked; w != nullptr; w = w->get_rank().next) {
    skip_one(*w);  // leaves the rank of the node as it is
  }
  count_skipped(n);
  if (is_placed()) {
    extras_->shared->settle(*this);
  }
  wake_list awake;
  lock_type lock(q.lock);
  q.unfinished -= n;
  q.give_back(rest);
  q.sleepers.wake_all(awake);
}

void group_core::check_rank(task_rank const& rank) const {
  if (rank.level < priority::low || rank.level > priority::high) {
    refuse_priority(static_cast<int>(rank.level));
  }
  if (rank.weight == 1) {
    return;
  }
  if (!is_placed()) {
    refuse_weight(rank.weight);
  }
  extras_->shared->check(rank.weight);
}

// Destroys a task that does not run. The destructor of its callable belongs to the task, as in
// `execute`.
void group_core::drop(node& n) noexcept {
  discard_inside([&n]() noexcept { n.consume(n, nullptr); });
}

// A thread that has tasks of the group has found it cancelled. Callbacks of the stop token, which
// may run here, are inside the group: a wait for it would wait for those tasks.
[[gnu::noinline, gnu::cold]] void group_core::record_inside() noexcept {
  discard_inside([this]() noexcept { record(errc::canceled, true); });
}

// Runs a task on the slot of the caller, which is inside the group.
void group_core::run_inline(node& n) noexcept {
  if (!run_in(engine_.context, [&]() noexcept { n.consume(n, this); })) {
    if (is_canceling()) {
      record_inside();
    }
    n.consume(n, this);  // skips it, if the group is cancelled
  }
}

// Runs the tasks that are due, and, in a group with a limit, those of a high level whose turn it
// is, on the slot of the caller. A thread calls this before it runs a task that it took without
// asking the queue.
void group_core::run_due() noexcept {
  task_queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  bool const has_levels = counts();
  while (node* const n = has_levels ? q.pop_before_batch() : q.due.pop()) {
    lock.release();
    n->consume(*n, this);
    lock.acquire(q.lock);
    finish_here(q, lock, n);
  }
  if (!has_levels || !q.has_urgent()) {
    state.fetch_and(~due_waits, std::memory_order_relaxed);
  }
  wake_list awake;
  q.tell_sleepers(awake);  // the queue may not count the caller's own task
  lock.release();
}

}  // namespace errgroup::inline v1::detail
