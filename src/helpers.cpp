// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "timer.hpp"

#include <tbb/enumerable_thread_specific.h>  // enumerable_thread_specific, ets_suspend_aware
#include <tbb/global_control.h>              // global_control
#include <tbb/task.h>                        // current_context
#include <tbb/task_arena.h>                  // enqueue, max_concurrency, task_arena

#include <atomic>   // atomic_thread_fence, memory_order
#include <cstdint>  // uint32_t, uint64_t
#include <memory>   // allocator, construct_at
#include <new>      // bad_alloc, launder
#include <utility>  // exchange

// How a thread is brought to a group's queue.
//
// A *request* asks oneTBB for a thread that takes tasks from the queue. It holds the queue and the
// serial number of the queue's life, and nothing of the group. It stands for no particular task. A
// thread that runs a request *answers* it: it becomes a runner (runner.cpp), unless it comes too
// late.
//
// Invariants:
// - At most one request of a queue is open: `task_queue::request` is true. A runner that stays near
//   an empty queue is the open request meanwhile.
// - If tasks wait and a slot is free, a request is open, unless there was no memory for it. A
// thread that takes a task and leaves
//   tasks behind sends the next request, before it runs its task.
// - No thread waits for a request. A request that is answered after the queue's life finds another
//   serial number, and does nothing.
// - A thread that sends a request keeps the group alive, by an unfinished task or by its own use.
//
// A request goes to the first of these places that the group has:
// - `options::arena`;
// - the queue of the limited group inside which this group was made; there it waits for a slot;
// - the home arena of a group with a limit, a queue or `isolated`;
// - an arena of the library, if the sender is the timer's thread or is inside a limited group in
//   which this group was not made;
// - the slot of the arena in which the sender is: there the request is spawned.
//
// Locks: the lock of a `spawned_request` is innermost.
//
// Queues and spawned requests are recycled, and never freed.

namespace errgroup::detail {

bool has_no_workers() noexcept {
  return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism) == 1;
}

bool has_no_workers(thread_state& self) noexcept {
  if (self.top == &self.base || self.asked_at != self.tasks_begun) {
    self.asked_at = self.tasks_begun;
    self.lacks_workers = has_no_workers();
  }
  return self.lacks_workers;
}

bool nobody_comes(thread_state& self) noexcept {
  return tbb::this_task_arena::max_concurrency() == 1 || has_no_workers(self);
}

tbb::task_arena& default_arena() {
  static auto& arena = *new tbb::task_arena;
  return arena;
}

namespace {

/// A request that was spawned from a slot of an arena. If it is still pending when the slot spawns
/// the next request, and its own group is gone, it serves the next group instead. So a thread that
/// makes one short-lived group after the other does not fill its deque with pending requests.
struct alignas(64) spawned_request {
  spin_mutex lock;
  bool pending = false;
  bool has_takers = false;  // workers come to the arena from which it was spawned
  queue_life life;
  spawned_request* next = this;  // of the same slot, in a ring
  tbb::task_group_context context{tbb::task_group_context::isolated};
  tbb::task_group tasks{context};

  /// Under the lock. A request that was spawned where no worker comes may be gone with its arena,
  /// and another arena may have taken the address.
  [[nodiscard]] bool may_be_sent(thread_state& self) const noexcept {
    return !pending ||
           ((has_takers || nobody_comes(self)) &&
            (life.of == nullptr || life.of->serial.load(std::memory_order_acquire) != life.serial));
  }
};

/// The last request that each slot has spawned. "Suspend-aware" is oneTBB's word for one element
/// per slot. (oneTBB's own allocators hide the memory that is reached from there from
/// LeakSanitizer.)
using spawned_requests =
    tbb::enumerable_thread_specific<spawned_request*, std::allocator<spawned_request*>,
                                    tbb::ets_suspend_aware>;

spawned_requests& requests_of_slots() {
  static auto& all = *new spawned_requests;  // oneTBB may be gone before static destructors run
  return all;
}

/// Takes back the requests that a thread leaves in its deque when the thread ends, if there are no
/// workers to take them. oneTBB keeps all its data of that thread as long as the requests are
/// there.
class take_back_at_exit {
 public:
  take_back_at_exit() = default;
  take_back_at_exit(take_back_at_exit const&) = delete;
  take_back_at_exit& operator=(take_back_at_exit const&) = delete;
  ~take_back_at_exit() {
    // A worker ends together with oneTBB, and must not ask oneTBB for its settings then.
    if (tbb::this_task_arena::current_thread_index() == tbb::task_arena::not_initialized ||
        !has_no_workers()) {
      return;
    }
    spawned_request* const last = requests_of_slots().local();
    for (spawned_request* t = last; t != nullptr; t = t->next != last ? t->next : nullptr) {
      lock_type lock(t->lock);
      if (!t->pending) {
        continue;
      }
      queue_life const life = std::exchange(t->life, {});
      lock.release();
      if (life.of != nullptr) {
        lock.acquire(life.of->lock);
        if (life.of->serial.load(std::memory_order_relaxed) == life.serial) {
          life.of->request.store(false, std::memory_order_relaxed);
        }
        lock.release();
      }
      t->tasks.wait();
    }
  }
};

// A runner pauses so long between two looks at the queue, and leaves after so many looks at an
// empty queue: one to ten microseconds, and four times that. oneTBB's own workers stay for longer.
constexpr int watch_pauses = 64;
constexpr int watch_looks = 4;
// Tasks are short if so many were taken between two looks.
constexpr std::uint32_t watch_short = 2;

}  // namespace

struct group_core::request {
  queue_life life;

  void operator()() const noexcept { answer(life); }
};

bool group_core::is_task(node const& n) noexcept { return n.consume != &consume_request; }

// True if oneTBB marks the tasks that this thread spawns with the region of an isolated group.
bool group_core::is_in_isolation(thread_state const& self) noexcept {
  cancel_node const* const n = self.top->owner.load(std::memory_order_relaxed);
  return n != nullptr && (n->state.load(std::memory_order_relaxed) & in_region) != 0;
}

// Sends the request that the caller has taken (`take_request`). The group must have an unfinished
// task, or the caller must be using it.
void group_core::send_request(task_queue& q) noexcept {
  request const t{q.life()};
  try {
    if (extras_ && extras_->arena != nullptr) {
      extras_->arena->enqueue(t);
    } else if (origin_.pool.of != nullptr && queue_request(t)) {
    } else if (extras_ && extras_->home) {
      extras_->home->enqueue(t);
    } else if (this_thread().top->pool.of != nullptr || is_timer_thread()) {
      default_arena().enqueue(t);
    } else if (is_in_isolation(this_thread())) {
      // oneTBB would mark a spawned request with the region, and a wait in the region would take
      // it.
      tbb::task_arena(tbb::task_arena::attach{}).enqueue(t);
    } else {
      spawn_request(t, q);
    }
  } catch (...) {
    // No memory for the request. Nothing is lost: the task is in the queue, where the next request
    // or a waiter finds it.
    lock_type lock(q.lock);
    q.request.store(false, std::memory_order_relaxed);
  }
}

// Under the lock: if a request of a group that is gone waits in the outer queue, makes it a request
// of the group of `t`. Otherwise a task that makes one short-lived group after the other, while all
// slots are taken, would fill the queue.
bool group_core::reuse_request(task_queue& outer, request const& t) noexcept {
  for (node* n : outer.latest()) {
    if (is_task(*n)) {
      continue;
    }
    request& waits = *std::launder(reinterpret_cast<request*>(n->storage));
    if (waits.life.of->serial.load(std::memory_order_acquire) != waits.life.serial) {
      waits = t;
      return true;
    }
  }
  return false;
}

// A group that was made inside a limited group uses that group's threads: its request waits in that
// group's queue for a slot. Returns false if the limited group is done, or if this group has
// outlived the task that made it.
bool group_core::queue_request(request const& t) {
  queue_guest const outer(origin_.pool);
  if (!outer || !is_pool_alive()) {
    return false;
  }
  thread_state& self = this_thread();
  node* const n = take_node(self);
  try {
    reserve_node(self);
  } catch (...) {
    put_node(self, n);
    throw;
  }
  std::construct_at(reinterpret_cast<request*>(n->storage), t);
  n->consume = &consume_request;
  wake_list awake;
  lock_type lock(outer->lock);
  if (outer->closed || reuse_request(*outer, t)) {
    bool const sent = !outer->closed;
    lock.release();
    put_node(self, n);
    return sent;
  }
  if (outer->is_page_full()) {
    outer->add_page(self.nodes.pop());
  }
  outer->push(n);
  bool const call = outer->take_request();
  if (outer->may_start()) {
    outer->wake_one(awake, sleeper::work);
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(outer->spare);
  }
  lock.release();
  if (call) {
    outer->owner->send_request(*outer);
  }
  return true;
}

// No worker may answer this request. Threads in `wait_until` or `help_until`, which normally leave
// tasks to workers, must now run them.
void group_core::strand(task_queue& q) noexcept {
  wake_list awake;
  lock_type lock(q.lock);
  if (!q.stranded.exchange(true, std::memory_order_relaxed)) {
    q.wake_all(awake);
  }
  lock.release();
}

void group_core::spawn_request(request const& t, task_queue& q) {
  thread_state& self = this_thread();
  spawned_request*& last = requests_of_slots().local();
  lock_type lock;
  spawned_request* mine = last;
  // Look at a few pending requests each time; there may be many.
  for (int looks = mine != nullptr ? 4 : 0;; mine = mine->next) {
    if (looks-- == 0) {
      auto* const fresh = new spawned_request;
      if (mine != nullptr) {
        fresh->next = std::exchange(mine->next, fresh);
      }
      mine = fresh;
      lock.acquire(mine->lock);
      break;
    }
    lock.acquire(mine->lock);
    if (mine->may_be_sent(self)) {
      break;
    }
    lock.release();
  }
  last = mine;
  mine->life = t.life;
  bool const is_there = std::exchange(mine->pending, true);
  bool const has_takers = is_there ? mine->has_takers : !nobody_comes(self);
  mine->has_takers = has_takers;
  lock.release();
  if (!has_takers) {
    strand(q);
  }
  if (is_there) {
    return;
  }
  bool const in_task = tbb::task::current_context() != nullptr;  // maybe of a worker
  if (!has_takers && !in_task && has_no_workers()) {
    [[maybe_unused]] thread_local take_back_at_exit const at_end;
  }
  try {
    mine->tasks.run([mine]() noexcept {
      lock_type here(mine->lock);
      mine->pending = false;
      queue_life const life = mine->life;
      here.release();
      if (life.of != nullptr) {
        answer(life);
      }
    });
  } catch (...) {
    lock.acquire(mine->lock);
    mine->pending = false;
    throw;
  }
  if (!has_takers) {
    return;
  }
  // oneTBB may overlook a task that is spawned while the last worker goes to sleep: oneTBB has no
  // fence there, since it never promises that a worker comes. The next spawn makes oneTBB look
  // again.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  try {
    mine->tasks.run([]() noexcept {});
  } catch (std::bad_alloc const&) {
    // Without the second task, oneTBB has most likely seen the request.
  }
}

void group_core::consume_request(node& n, group_core* runner) noexcept {
  request const t = *std::launder(reinterpret_cast<request*>(n.storage));
  if (runner != nullptr) {
    // The tasks that this thread will run are inside the group `runner`, as the task is that made
    // the request's group.
    thread_state& self = this_thread();
    task_scope inside(self, *runner, runner->engine_.context,
                      runner->pool_ != nullptr ? *runner->pool_ : self.top->pool);
    answer(t.life);
    return;
  }
  lock_type lock(t.life.of->lock);
  if (t.life.of->serial.load(std::memory_order_relaxed) == t.life.serial) {
    t.life.of->request.store(false, std::memory_order_relaxed);
  }
}

// A thread that answers a request takes tasks if no other thread takes tasks from the queue.
// Otherwise it watches, and joins when few tasks were taken between two looks. So a long task
// strands no other task. Very short tasks are left to one thread: several threads would pass the
// queue's cache line to and fro, which is slower. Returns false if the group is gone.
bool group_core::watch(task_queue& q, queue_life life, int& looks) noexcept {
  for (;;) {
    bool const has_work = q.waiting.load(std::memory_order_relaxed) != 0;
    std::uint32_t const taken = q.taken();
    if (has_work && q.running.load(std::memory_order_relaxed) == 0) {
      return true;
    }
    pause(watch_pauses);
    if (q.serial.load(std::memory_order_acquire) != life.serial) {
      return false;  // the queue serves another group now
    }
    if (!has_work) {
      if (--looks <= 0 || q.batches.load(std::memory_order_relaxed) != nullptr) {
        return true;  // a batch may have tasks
      }
    } else if (q.taken() - taken < watch_short) {
      return true;
    }
  }
}

void group_core::answer(queue_life life) noexcept {
  task_queue& q = *life.of;
  if (q.serial.load(std::memory_order_acquire) != life.serial) {
    return;
  }
  int looks = watch_looks;
  while (watch(q, life, looks)) {
    lock_type lock(q.lock);
    if (q.serial.load(std::memory_order_relaxed) != life.serial) {
      return;
    }
    q.stranded.store(false, std::memory_order_relaxed);
    if (!q.may_start()) {
      if (looks > 0 && q.waiting.load(std::memory_order_relaxed) == 0) {
        continue;
      }
      q.request.store(false, std::memory_order_relaxed);
      return;
    }
    q.request.store(false, std::memory_order_relaxed);
    session s(session_kind::runner);
    begin_session(q, s);  // from here on the group cannot end
    group_core& g = *q.owner;
    lock.release();
    // This may be a thread that waits for another event, and goes away when the event has come.
    passing_by const guest(this_worker());
    g.run_session(q, s);
    if (!s.stays) {
      return;  // the group may be gone, the queue is not
    }
    looks = watch_looks;
  }
}

}  // namespace errgroup::detail
