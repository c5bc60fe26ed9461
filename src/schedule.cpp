// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "timed.hpp"

#include <tbb/enumerable_thread_specific.h>  // enumerable_thread_specific, ets_suspend_aware
#include <tbb/global_control.h>              // global_control
#include <tbb/task.h>                        // current_context
#include <tbb/task_arena.h>                  // enqueue, isolate, max_concurrency, task_arena

#include <algorithm>  // max, min
#include <cstdint>    // uint64_t
#include <exception>  // exception
#include <memory>     // allocator, construct_at
#include <new>        // launder
#include <optional>   // optional
#include <thread>     // yield
#include <utility>    // exchange, move

// How a task gets to a thread.
//
// Inside a task, a group spawns: one oneTBB task each, in the worker's own deque
// (group_core::spawn). From outside, and always if the group counts its tasks, it queues: the task
// is a node in the group's queue, and threads come to take nodes from there, one after the other or
// a page of them (a session). These threads are
//   - whoever waits for the group, or needs room in its queue;
//   - runners: oneTBB tasks that stand for nobody's task, only for "come to this queue". One that
//     has not started yet is the queue's ticket. There is at most one; a thread that takes a task
//     and leaves others sends the next.
// A ticket is no task of the group and holds nothing of it but the life of its queue: one that
// comes too late finds that life over and goes away. So nobody has to wait for a ticket that sits
// in the deque of a thread that does something else.

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

namespace {

/// A ticket that was spawned from some place: a slot of an arena. If it is still there when another
/// is wanted, and its own group is gone, it is sent to the next group instead: a thread that makes
/// one short-lived group after the other does not fill its deque with tickets that nobody has come
/// to take.
struct alignas(64) spawned_ticket {
  spin_mutex lock;
  bool pending = false;
  bool has_takers = false;  // it was spawned where there are workers
  queue_life life;
  spawned_ticket* next = this;  // of the same place, in a ring
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
using spawned_tickets =
    tbb::enumerable_thread_specific<spawned_ticket*, std::allocator<spawned_ticket*>,
                                    tbb::ets_suspend_aware>;

spawned_tickets& tickets_of_places() {
  static auto& all = *new spawned_tickets;  // oneTBB may be gone before static destructors run
  return all;
}

/// Takes the tickets back that a thread leaves in its deque when it ends, if there are no workers
/// to come for them: oneTBB would keep all that it has for that thread as long as they are there.
class last_call {
 public:
  last_call() = default;
  last_call(last_call const&) = delete;
  last_call& operator=(last_call const&) = delete;
  ~last_call() {
    // A worker ends together with oneTBB, of which nothing can be asked then.
    if (tbb::this_task_arena::current_thread_index() == tbb::task_arena::not_initialized ||
        !has_no_workers()) {
      return;
    }
    spawned_ticket* const last = tickets_of_places().local();
    for (spawned_ticket* t = last; t != nullptr; t = t->next != last ? t->next : nullptr) {
      lock_type lock(t->lock);
      if (!t->pending) {
        continue;
      }
      queue_life const life = std::exchange(t->life, {});
      lock.release();
      if (life.of != nullptr) {
        lock.acquire(life.of->lock);
        if (life.of->serial.load(std::memory_order_relaxed) == life.serial) {
          life.of->ticket.store(false, std::memory_order_relaxed);
        }
        lock.release();
      }
      t->tasks.wait();
    }
  }
};

// How often a thread with a ticket looks at the queue, and after how many looks at an empty one it
// leaves: one to ten microseconds, and four times that. oneTBB's own workers stay for longer.
constexpr int watch_pauses = 64;
constexpr int watch_looks = 4;
// So many tasks taken between two looks are short ones.
constexpr std::uint32_t watch_short = 2;

// How long, at most, a thread that takes tasks waits before it tries the queue's lock again.
constexpr int most_lock_pauses = 128;

/// Takes the lock for one that takes tasks, and has waited `pauses` for it lately. Where tasks are
/// so short that those who take them meet at the lock, fewer of them are faster: each that fails
/// stays away for longer, and the next time, too.
void acquire_politely(lock_type& lock, queue& q, int& pauses) noexcept {
  if (lock.try_acquire(q.lock)) {
    pauses /= 2;
    return;
  }
  do {
    pauses = std::min(2 * pauses + 2, most_lock_pauses);
    pause(pauses);
    if (pauses == most_lock_pauses) {
      std::this_thread::yield();  // whoever has the lock may have no processor
    }
  } while (!lock.try_acquire(q.lock));
}

}  // namespace

tbb::task_arena& default_arena() {
  static auto& arena = *new tbb::task_arena;
  return arena;
}

// --- where a task goes ---

group_core::path group_core::route(thread_state& self) {
  task_frame const& top = *self.top;
  bool const binds = is_unbound();
  bool in_task = top.owner.load(std::memory_order_relaxed) != nullptr;
  tbb::task_group_context* here = nullptr;
  if (!in_task || binds) {
    here = tbb::task::current_context();
    in_task = in_task || here != nullptr;
  }
  // In a limited group's arena, only what was made there is spawned: the arena has no threads but
  // those that come through that group, so another group's task could stay there for ever.
  // If that one is done, nobody comes for what is left in its arena. Nor for what is left in the
  // deque of a thread that goes away, if there are no workers.
  bool const direct = !counted_ && in_task && top.pool == origin_.pool &&
                      (origin_.pool.of == nullptr || is_pool_alive()) && !self.is_alone &&
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
  queue& q = take_queue(self, *this);
  if (counted_) {
    try {
      set_limits(self, q);
    } catch (...) {
      put_queue(self, q);
      throw;
    }
  }
  // seq_cst: with interrupt. Either that finds the queue, or this thread finds the group
  // stopped.
  queue_.store(&q, std::memory_order_seq_cst);
  if ((state.load(std::memory_order_seq_cst) & stopped) != 0) {
    lock_type lock(q.lock);
    q.closed = true;
  }
}

void group_core::set_limits(thread_state& self, queue& q) {
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
    q.slots = std::min(x.limit, queue::many - 1);
    if (x.arena == nullptr) {
      // All slots are reserved, so the arena asks oneTBB for no threads of its own: those come as
      // runners, from where the group was first used, and with a slot of the limit in hand. (An
      // arena that has workers runs two tasks at once for a limit of 1, and prints a warning for a
      // limit above the machine.) Beyond this size more slots would cost memory and change nothing.
      q.slots = std::min(x.limit, std::max(64, 4 * threads));
      // One slot is for a thread that waits from outside for what runs inside (engine_wait); with a
      // single one, oneTBB adds that by itself.
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

// --- submission ---

void group_core::submit(thread_state& self, node* n) noexcept {
  queue& q = *queue_.load(std::memory_order_acquire);
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
  queue& q = *queue_.load(std::memory_order_acquire);
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
  queue& q = *queue_.load(std::memory_order_acquire);
  wake_list awake;
  lock_type lock(q.lock);
  --q.unfinished;
  q.wake_one(awake, sleeper::room);
  if (q.is_idle()) {
    q.wake_all(awake);
  }
}

void group_core::submit_reserved(thread_state& self, node* n) noexcept {
  queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  number(q, *n);
  append(self, q, lock, n);
}

// Wakes sleepers now, with the lock before and after.
void group_core::awake_now(wake_list& awake, lock_type& lock, queue& q) noexcept {
  if (!awake.empty()) {
    lock.release();
    awake.now();
    lock.acquire(q.lock);
  }
}

std::size_t group_core::queued(queue const& q) noexcept {
  return q.pushed.load(std::memory_order_relaxed);
}

// Under the lock: counts a task.
void group_core::number(queue& q, node& n) const noexcept {
  std::uint64_t const pushed = q.pushed.load(std::memory_order_relaxed);
  n.index = spawns_.all() + pushed;
  q.pushed.store(pushed + 1, std::memory_order_relaxed);
}

// Puts a task that is counted in `unfinished` into the queue, and has somebody come for it.
void group_core::append(thread_state& self, queue& q, lock_type& lock, node* n) noexcept {
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
  bool const call = q.take_ticket();
  if (q.sleepers != nullptr && q.may_start()) {
    q.wake_one(awake, sleeper::work);
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(q.spare);
  }
  lock.release();
  if (call) {
    launch_ticket(q);
  }
}

// Returns, with the lock, when there is room or the queue is closed; or false, without it, when it
// has run the task itself.
bool group_core::make_room(thread_state& self, queue& q, lock_type& lock, node* n) noexcept {
  bool const inside = is_inside(self);
  for (;;) {
    if (q.unfinished < q.room || q.closed) {
      if (!self.nodes.is_empty()) [[likely]] {
        return true;
      }
      // The tasks that ran here have used it up. Others may take the room meanwhile.
      lock.release();
      insist([&] { reserve_node(self); });
      lock.acquire(q.lock);
    } else if (inside) {
      // Waiting here could park every slot behind tasks that only those slots can run, so the
      // caller runs one on the slot that it has.
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
      session s(helper::submitter);
      begin_session(q, s);
      lock.release();
      run_session(q, s);
      lock.acquire(q.lock);
    } else if (!is_stopped() && is_canceling()) {
      lock.release();
      record(errc::canceled, true);  // which closes the queue
      lock.acquire(q.lock);
    } else {
      lock.release();
      sleeper s(helps(), sleeper::room);
      lock.acquire(q.lock);
      if (q.unfinished >= q.room && !q.closed && !q.may_start()) {
        // A cancellation wakes this thread, unless oneTBB cancels the context: it has no callback
        // for that, so the timer's thread polls.
        sleep(q, lock, s, origin_.is_bound || is_context_given());
      }
    }
  }
}

// Sleeps in the queue until a thread wakes `s`, with the lock before and after. If `is_watched`,
// the timer's thread polls for a cancellation from above, and wakes `s` when it finds one.
void group_core::sleep(queue& q, lock_type& lock, sleeper& s, bool is_watched) noexcept {
  q.enlist(s);
  lock.release();
  std::optional<watched> watch;
  if (is_watched) {
    try {
      watch.emplace(*this, q, s);
    } catch (std::exception const&) {
      // Without a timer thread the caller polls: wake `s` at once.
      wake_list awake;
      lock.acquire(q.lock);
      q.wake(awake, s);
      lock.release();
      awake.now();
      std::this_thread::yield();
    }
  }
  s.sleep();
  watch.reset();  // the timer's lock comes before the queue's
  lock.acquire(q.lock);
}

void group_core::help_until(std::atomic<bool> const& done) {
  thread_state& self = this_thread();
  if (queue_.load(std::memory_order_acquire) == nullptr) {
    make_queue(self);
  }
  queue& q = *queue_.load(std::memory_order_acquire);
  bool const is_outside = !is_inside(self);
  bool const is_needed_here = is_outside && is_needed(self);
  auto takes_part = [&] {
    return is_needed_here || (is_outside && q.stranded.load(std::memory_order_relaxed));
  };
  auto has_work = [&] { return takes_part() && q.may_start(); };
  wake_list awake;
  lock_type lock(q.lock);
  while (!done.load(std::memory_order_acquire)) {
    if (has_work()) {
      session s(helper::timed);
      s.end = &done;
      begin_session(q, s);
      lock.release();
      {
        passing_by const passer_by(self);
        run_session(q, s);
      }
      lock.acquire(q.lock);
    } else {
      bool const works = takes_part();
      lock.release();
      sleeper s(helps() && works, works ? sleeper::work : sleeper::nothing);
      lock.acquire(q.lock);
      if (!done.load(std::memory_order_acquire) && !has_work() && works == takes_part()) {
        q.enlist(s);
        lock.release();
        s.sleep();
        lock.acquire(q.lock);
      }
    }
  }
  if (has_work()) {
    q.wake_one(awake, sleeper::work);  // this one may have been called instead
  }
  lock.release();
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
    run();  // it is cancelled, which `call` will see
  }
}

void group_core::notify() noexcept {
  if (queue* const q = queue_.load(std::memory_order_acquire)) {
    wake_list awake;
    lock_type lock(q->lock);
    q->wake_all(awake);
    lock.release();
  }
}

// Empties the queue. Tasks that were waiting in it are skipped.
void group_core::close(queue& q) noexcept {
  drop_waiting(q);
  drop_timed(q);
}

void group_core::drop_waiting(queue& q) noexcept {
  queue::contents rest;
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

// --- tickets ---

struct group_core::ticket {
  queue_life life;

  void operator()() const noexcept { use_ticket(life); }
};

bool group_core::is_task(node const& n) noexcept { return n.consume != &consume_ticket; }

// Has somebody come to the queue, for which the caller took the ticket. The group must have an
// unfinished task, or be in use by the caller.
void group_core::launch_ticket(queue& q) noexcept {
  ticket const t{q.life()};
  try {
    if (extras_ && extras_->arena != nullptr) {
      extras_->arena->enqueue(t);
    } else if (origin_.pool.of != nullptr && queue_ticket(t)) {
    } else if (extras_ && extras_->home) {
      extras_->home->enqueue(t);
    } else if (this_thread().top->pool.of != nullptr || is_timer_thread()) {
      default_arena().enqueue(t);
    } else {
      spawn_ticket(t, q);
    }
  } catch (...) {
    // No memory for it. Nothing is lost: the task is in the queue, where the next ticket or whoever
    // waits for the group finds it.
    lock_type lock(q.lock);
    q.ticket.store(false, std::memory_order_relaxed);
  }
}

// Under the lock: sends a ticket that waits in the queue, of a group that is gone, to another. A
// task that makes one short-lived group after the other, while all slots are taken, would fill the
// queue otherwise.
bool group_core::resend_ticket(queue& outer, ticket const& t) noexcept {
  for (node* n : outer.latest()) {
    if (is_task(*n)) {
      continue;
    }
    ticket& waits = *std::launder(reinterpret_cast<ticket*>(n->storage));
    if (waits.life.of->serial.load(std::memory_order_acquire) != waits.life.serial) {
      waits = t;
      return true;
    }
  }
  return false;
}

// A group that was made inside a limited group has that group's threads: its ticket waits in that
// group's queue for a slot. False if that group is done, or this one outlived the task there that
// it was made in.
bool group_core::queue_ticket(ticket const& t) {
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
  std::construct_at(reinterpret_cast<ticket*>(n->storage), t);
  n->consume = &consume_ticket;
  wake_list awake;
  lock_type lock(outer->lock);
  if (outer->closed || resend_ticket(*outer, t)) {
    bool const sent = !outer->closed;
    lock.release();
    put_node(self, n);
    return sent;
  }
  if (outer->is_page_full()) {
    outer->add_page(self.nodes.pop());
  }
  outer->push(n);
  bool const call = outer->take_ticket();
  if (outer->may_start()) {
    outer->wake_one(awake, sleeper::work);
  }
  if (self.nodes.is_low()) {
    self.nodes.take_all(outer->spare);
  }
  lock.release();
  if (call) {
    outer->owner->launch_ticket(*outer);
  }
  return true;
}

// There are tasks to which nobody may come: those who wait for a time or a single task, and leave
// the work to others, are to take part.
void group_core::strand(queue& q) noexcept {
  wake_list awake;
  lock_type lock(q.lock);
  if (!q.stranded.exchange(true, std::memory_order_relaxed)) {
    q.wake_all(awake);
  }
  lock.release();
}

void group_core::spawn_ticket(ticket const& t, queue& q) {
  thread_state& self = this_thread();
  spawned_ticket*& last = tickets_of_places().local();
  lock_type lock;
  spawned_ticket* mine = last;
  // Of many that others are waiting for a few are looked at each time.
  for (int looks = mine != nullptr ? 4 : 0;; mine = mine->next) {
    if (looks-- == 0) {
      auto* const fresh = new spawned_ticket;
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
    [[maybe_unused]] thread_local last_call const at_end;
  }
  try {
    mine->tasks.run([mine]() noexcept {
      lock_type here(mine->lock);
      mine->pending = false;
      queue_life const life = mine->life;
      here.release();
      if (life.of != nullptr) {
        use_ticket(life);
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

void group_core::consume_ticket(node& n, group_core* runner) noexcept {
  ticket const t = *std::launder(reinterpret_cast<ticket*>(n.storage));
  if (runner != nullptr) {
    // What runs here is inside the runner, as the task is that the ticket's group was made in.
    thread_state& self = this_thread();
    task_scope inside(self, *runner, runner->engine_.context,
                      runner->pool_ != nullptr ? *runner->pool_ : self.top->pool);
    use_ticket(t.life);
    return;
  }
  lock_type lock(t.life.of->lock);
  if (t.life.of->serial.load(std::memory_order_relaxed) == t.life.serial) {
    t.life.of->ticket.store(false, std::memory_order_relaxed);
  }
}

// A thread with the ticket takes tasks if nobody else does. Where others do it watches them, and
// joins when they have taken few tasks between two looks: so a task that takes its time strands
// nobody, and very short tasks are left to one thread, which is faster with those than several that
// pass the queue's cache line to and fro. False if the group is gone.
bool group_core::watch(queue& q, queue_life life, int& looks) noexcept {
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

void group_core::use_ticket(queue_life life) noexcept {
  queue& q = *life.of;
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
      q.ticket.store(false, std::memory_order_relaxed);
      return;
    }
    q.ticket.store(false, std::memory_order_relaxed);
    session s(helper::runner);
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

// --- sessions ---

// Under the lock: takes a task, and maybe others with it.
void group_core::take(queue& q, session& s) noexcept {
  if (s.who != helper::timed && q.pop(s.taken)) {
    s.next = s.taken.next();
    s.taken.prefetch();
  } else {
    s.next = q.pop();
  }
}

// Under the lock: a thread comes to take tasks.
void group_core::begin_session(queue& q, session& s) noexcept {
  q.running.store(q.running.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  take(q, s);
  s.call = q.take_ticket();
}

// Under the lock: a thread goes.
void group_core::end_session(queue& q, session& s, wake_list& awake) noexcept {
  q.running.store(q.running.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  s.over = true;
  s.idle = q.is_idle();
  s.pushed = q.pushed.load(std::memory_order_relaxed);
  if (s.idle && s.who == helper::waiter) {
    q.joined.store(s.pushed, std::memory_order_relaxed);
  }
  if (s.call) {
    // The context let no task in, before which the ticket would have been sent. Nobody else has it.
    q.ticket.store(false, std::memory_order_relaxed);
  }
  // A runner that leaves stays near the queue, as its ticket.
  s.stays =
      s.who == helper::runner && !q.closed && !q.ticket.exchange(true, std::memory_order_relaxed);
  // Of a closed queue, only batches are left, for those who have them. (A runner could not call
  // anybody: the group may be gone as soon as they are done.)
  s.call = !q.closed && q.take_ticket();
  if (q.sleepers != nullptr) {
    if (s.idle) {
      q.wake_all(awake);
    } else if (q.may_start()) {
      q.wake_one(awake, sleeper::work);
    }
  }
}

// Runs tasks from the queue in this thread.
void group_core::run_session(queue& q, session& s) noexcept {
  auto work = [&]() noexcept { drain(q, s); };
  for (;;) {
    if (counted_) {
      auto enter = [&]() noexcept {
        run_in(engine_.context, [&]() noexcept {
          if (extras_->isolated) {
            tbb::this_task_arena::isolate(work);
          } else {
            work();
          }
        });
      };
      if (extras_->slots) {
        insist([&] { extras_->slots->execute(enter); });
      } else {
        enter();
      }
    } else if (s.who == helper::waiter) {
      engine_run_and_wait(work);  // cheaper, and this thread waits for what the tasks spawn anyway
    } else {
      run_in(engine_.context, work);
    }
    if (s.over) {
      return;
    }
    wake_list awake;
    node* const refused = std::exchange(s.next, nullptr);
    if (refused != nullptr) {
      // The context did not let it in.
      if (!is_canceling()) {
        s.next = refused;
        std::this_thread::yield();  // oneTBB has no memory: try again
        continue;
      }
      record(errc::canceled, true);
      drop(*refused);
      std::size_t const task = is_task(*refused) ? 1U : 0U;
      skip(task);
      s.done += task;
      s.next = s.taken.next();
      if (s.next != nullptr) {
        continue;
      }
    }
    lock_type lock(q.lock);
    if (refused != nullptr) {
      finish(q, s, refused, awake);
    }
    if (wants_more(q, s)) {
      take(q, s);
    }
    if (s.next == nullptr) {
      end_session(q, s, awake);
      // Without a call, releasing the lock is the last access to the group. A call is left only by
      // one who is inside run(), or who waits.
      lock.release();
      if (s.call) {
        launch_ticket(q);
      }
      return;
    }
    s.call = s.call || q.take_ticket();
  }
}

// Runs tasks until the queue is empty or, for a submitter, has room.
void group_core::drain(queue& q, session& s) noexcept {
  wake_list awake;
  lock_type lock;
  while (s.next != nullptr) {
    if (std::exchange(s.call, false)) {
      launch_ticket(q);  // before the task, which may take its time
    }
    if (!is_stopped() && engine_.context.is_group_execution_cancelled()) {
      record(errc::canceled, true);
    }
    node* const n = std::exchange(s.next, nullptr);
    n->consume(*n, this);
    s.done += is_task(*n) ? 1U : 0U;
    if (has_due() && s.taken) [[unlikely]] {
      run_due();  // first: a due task may block, and a task that this thread has taken would wait
    }
    s.next = s.taken.next();
    if (s.next != nullptr) {
      continue;
    }
    acquire_politely(lock, q, s.pauses);
    finish(q, s, n, awake);
    // Too many for tasks that are so short.
    s.retires = s.pauses == most_lock_pauses && s.who == helper::runner && q.running > 1;
    if (wants_more(q, s)) {
      take(q, s);
    }
    if (s.next != nullptr) {
      s.call = q.take_ticket();
    } else if (s.who == helper::waiter && !counted_) {
      // It stays inside the group when it leaves the queue; others have to leave the context first.
      end_session(q, s, awake);
    }
    lock.release();
    awake.now();
  }
}

// Under the lock: whether a thread that has finished what it had is to take more.
bool group_core::wants_more(queue const& q, session const& s) noexcept {
  return !s.retires && (s.who != helper::submitter || q.unfinished >= q.room) &&
         (s.who != helper::timed || has_time(s));
}

bool group_core::has_time(session const& s) noexcept {
  return s.end != nullptr ? !s.end->load(std::memory_order_acquire) : clock::now() < s.until;
}

// Under the lock: a task is done, and its batch with it, if it was taken with one.
void group_core::finish(queue& q, session& s, node* n, wake_list& awake) noexcept {
  std::size_t const done = std::exchange(s.done, 0);
  if (s.taken) {
    q.unfinished -= done;
    q.give_back(s.taken);
  } else {
    finish(q, n, awake);
  }
}

// Under the lock: a task is done.
void group_core::finish(queue& q, node* n, wake_list& awake) noexcept {
  if (is_task(*n)) {
    --q.unfinished;
    if (q.sleepers != nullptr && q.unfinished < q.room) {
      q.wake_one(awake, sleeper::room);
    }
  }
  q.give_back(n);
}

// Destroys a task that does not run. The destructor of its callable belongs to the task, as in
// `execute`.
void group_core::drop(node& n) noexcept {
  discard_inside([&n]() noexcept { n.consume(n, nullptr); });
}

// Runs a task on the slot that the caller, who is inside the group, holds already.
void group_core::run_inline(node& n) noexcept {
  if (!run_in(engine_.context, [&]() noexcept { n.consume(n, this); })) {
    if (is_canceling()) {
      record(errc::canceled, true);
    }
    n.consume(n, this);  // skips it, if the group is cancelled
  }
}

// --- the end ---

// Runs tasks until none is unfinished, and tells how many there have been.
std::uint64_t group_core::drain_and_sleep(queue& q) noexcept {
  thread_state& self = this_worker();
  wake_list awake;
  lock_type lock(q.lock);
  for (;;) {
    if (q.may_start()) {
      session s(helper::waiter);
      begin_session(q, s);
      lock.release();
      run_session(q, s);
      if (s.idle) {
        return s.pushed;
      }
      lock.acquire(q.lock);
    } else if (q.is_idle()) {
      break;
    } else if (q.timed != 0 && !is_stopped() && is_canceling()) {
      lock.release();
      record(errc::canceled, true);  // by who was given context()
      lock.acquire(q.lock);
    } else {
      // Who waits for time alone need not be in oneTBB's loop, which is busy for a while each time;
      // unless there may be something in this thread's deque that nobody else would take.
      bool const helps_now =
          helps() && (!(q.only_time_is_left() && engine_is_idle()) || is_needed(self));
      lock.release();
      sleeper s(helps_now, sleeper::work);
      lock.acquire(q.lock);
      if (!q.may_start() && !q.is_idle()) {
        sleep(q, lock, s, is_to_be_watched(q));
      }
    }
  }
  std::uint64_t const pushed = q.pushed.load(std::memory_order_relaxed);
  q.joined.store(pushed, std::memory_order_relaxed);
  return pushed;
}

bool group_core::helps() const noexcept { return !extras_ || !extras_->isolated; }

}  // namespace errgroup::detail
