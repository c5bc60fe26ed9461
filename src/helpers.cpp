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
// A *request* asks oneTBB for a thread that takes tasks from the queue. It is a oneTBB task that
// belongs to no group: it holds the queue and the serial number of the queue's life, so a request
// that is answered too late finds that life over. At most one request of a group is open: a thread
// that takes a task and leaves others sends the next request.
//
// A request goes to `options::arena`; or, for a group that was made inside a limited group, into
// that group's queue, where it waits for a slot; or to the home arena of a limited group. Without a
// limit it is spawned, from the slot of the arena that the submitter is in.

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

/// A request that was spawned from some place: a slot of an arena. If it is still there when
/// another is wanted, and its own group is gone, it is sent to the next group instead: a thread
/// that makes one short-lived group after the other does not fill its deque with requests that
/// nobody has come to take.
struct alignas(64) spawned_request {
  spin_mutex lock;
  bool pending = false;
  bool has_takers = false;  // it was spawned where there are workers
  queue_life life;
  spawned_request* next = this;  // of the same place, in a ring
  tbb::task_group_context context{tbb::task_group_context::isolated};
  tbb::task_group tasks{context};

  /// Under the lock. What was spawned where nobody comes may be gone with its arena, and another
  /// arena in that one's place.
  [[nodiscard]] bool may_be_sent(thread_state& self) const noexcept {
    return !pending ||
           ((has_takers || nobody_comes(self)) &&
            (life.of == nullptr || life.of->serial.load(std::memory_order_acquire) != life.serial));
  }
};

/// The last one that a place used. "Suspend-aware" is oneTBB's word for one element per place. (Its
/// own allocators hide from LeakSanitizer what is reached from there.)
using spawned_requests =
    tbb::enumerable_thread_specific<spawned_request*, std::allocator<spawned_request*>,
                                    tbb::ets_suspend_aware>;

spawned_requests& requests_of_slots() {
  static auto& all = *new spawned_requests;  // oneTBB may be gone before static destructors run
  return all;
}

/// Takes the requests back that a thread leaves in its deque when it ends, if there are no workers
/// to come for them: oneTBB would keep all that it has for that thread as long as they are there.
class take_back_at_exit {
 public:
  take_back_at_exit() = default;
  take_back_at_exit(take_back_at_exit const&) = delete;
  take_back_at_exit& operator=(take_back_at_exit const&) = delete;
  ~take_back_at_exit() {
    // A worker ends together with oneTBB, of which nothing can be asked then.
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

// How often a thread with a request looks at the queue, and after how many looks at an empty one it
// leaves: one to ten microseconds, and four times that. oneTBB's own workers stay for longer.
constexpr int watch_pauses = 64;
constexpr int watch_looks = 4;
// So many tasks taken between two looks are short ones.
constexpr std::uint32_t watch_short = 2;

}  // namespace

struct group_core::request {
  queue_life life;

  void operator()() const noexcept { answer(life); }
};

bool group_core::is_task(node const& n) noexcept { return n.consume != &consume_request; }

// True in a task of an isolated group, and in the tasks of groups below it.
bool group_core::is_in_isolation(thread_state const& self) noexcept {
  for (task_frame const* f = self.top; f != &self.base; f = f->below) {
    for (cancel_node const* n = f->owner.load(std::memory_order_relaxed); n != nullptr;
         n = n->above()) {
      if ((n->state.load(std::memory_order_relaxed) & isolated) != 0) {
        return true;
      }
    }
  }
  return false;
}

// Has somebody come to the queue, for which the caller took the request. The group must have an
// unfinished task, or be in use by the caller.
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
    // No memory for it. Nothing is lost: the task is in the queue, where the next request or
    // whoever waits for the group finds it.
    lock_type lock(q.lock);
    q.request.store(false, std::memory_order_relaxed);
  }
}

// Under the lock: sends a request that waits in the queue, of a group that is gone, to another. A
// task that makes one short-lived group after the other, while all slots are taken, would fill the
// queue otherwise.
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

// A group that was made inside a limited group has that group's threads: its request waits in that
// group's queue for a slot. False if that group is done, or this one outlived the task there that
// it was made in.
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

// There are tasks to which nobody may come: those who wait for a time or a single task, and leave
// the work to others, are to take part.
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
  // Of many that others are waiting for a few are looked at each time.
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
  // oneTBB may overlook what is spawned while the last worker turns away: it does not fence there,
  // since it never promises that a worker comes. It looks again when more is spawned.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  try {
    mine->tasks.run([]() noexcept {});
  } catch (std::bad_alloc const&) {
    // Most likely it was not overlooked.
  }
}

void group_core::consume_request(node& n, group_core* runner) noexcept {
  request const t = *std::launder(reinterpret_cast<request*>(n.storage));
  if (runner != nullptr) {
    // What runs here is inside the runner, as the task is that the request's group was made in.
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

// A thread with the request takes tasks if nobody else does. Where others do it watches them, and
// joins when they have taken few tasks between two looks: so a task that takes its time strands
// nobody, and very short tasks are left to one thread, which is faster with those than several that
// pass the queue's cache line to and fro. False if the group is gone.
bool group_core::watch(task_queue& q, queue_life life, int& looks) noexcept {
  for (;;) {
    bool const has_work = q.waiting.load(std::memory_order_relaxed) != 0;
    std::uint32_t const taken = q.taken();
    if (has_work && q.running.load(std::memory_order_relaxed) == 0) {
      return true;
    }
    pause(watch_pauses);
    if (q.serial.load(std::memory_order_acquire) != life.serial) {
      return false;  // do not disturb the queue's next one
    }
    if (!has_work) {
      if (--looks <= 0 || q.batches.load(std::memory_order_relaxed) != nullptr) {
        return true;  // there may be tasks in a batch
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
    // It may be a thread that waits for something else, and goes away when it has got that.
    passing_by const guest(this_worker());
    g.run_session(q, s);
    if (!s.stays) {
      return;  // the group may be gone, the queue is not
    }
    looks = watch_looks;
  }
}

}  // namespace errgroup::detail
