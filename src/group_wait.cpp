// SPDX-License-Identifier: Apache-2.0
#include "observation.hpp"
#include "test_time.hpp"
#include "worker.hpp"

#include <tbb/task.h>  // current_context

#include <atomic>   // atomic, memory_order
#include <cstdint>  // uint64_t
#include <thread>   // yield
#include <utility>  // exchange, move

// How a thread waits for a group: first for the tasks in the queue (waiting.hpp), then, in oneTBB,
// for the tasks that were spawned.
//
// Three events do not wake a sleeper by themselves: the end of spawned tasks, if the wait has an
// end time; a cancellation by oneTBB; the moment at which a test's clock may jump. The timer's
// thread polls for these events (`watch`).
//
// Locks: the timer's lock comes before the queue's lock.

namespace errgroup::inline v1::detail {

// Whether a task is counted is a private question of oneTBB's class. An explicit instantiation may
// name private members.
namespace {

bool is_counting(tbb::detail::d1::wait_context const& count) noexcept;

template <bool (tbb::detail::d1::wait_context::*Question)() const>
struct opened {
  friend bool is_counting(tbb::detail::d1::wait_context const& count) noexcept {
    return (count.*Question)();
  }
};
template struct opened<&tbb::detail::d1::wait_context::continue_execution>;

}  // namespace

bool group_core::engine_is_idle() noexcept {
  return !spawns_.any() || !is_counting(engine::task_group::count_of(engine_.tasks));
}

bool group_core::worker::nap::watch::look() noexcept {
  group_core& g = of_.owner_;
  task_queue& q = of_.q_;
  wake_list awake;
  lock_type lock(q.lock);
  if (!q.sleepers.contains(of_.sleeper_)) {
    return false;
  }
  bool const is_done = g.engine_is_idle();
  bool const is_over = g.is_canceled_unseen();
  bool const has_slot = of_.sleeper_.wants(sleeper::room) && g.extras_->places.has_slot(q);
  if ((is_done && q.is_idle()) || is_over || has_slot) {
    q.sleepers.wake(awake, of_.sleeper_);
    lock.release();
    return false;
  }
  return is_done && q.only_time_is_left() && !g.is_stopped();
}

namespace {

// True if a thread that leaves the tasks to others has to run them, because no other thread may
// come: without workers, in an arena of one thread, and in a task, since all oneTBB threads may be
// in tasks that wait in this way.
bool is_needed(thread_state& self) noexcept {
  return tbb::task::current_context() != nullptr || nobody_comes(self);
}

}  // namespace

group_core::worker::share group_core::worker::share_beside_others(group_core const& g,
                                                                  thread_state& self) noexcept {
  return !has_threads(g) && is_needed(self) ? share::all : share::stranded;
}

bool group_core::worker::wait_for(task_queue& q, goal const& g) {
  return detail::wait_for(q, g, *this);
}

sleep_mode group_core::worker::mode(task_queue const& q, goal const& g, bool takes_part) noexcept {
  // oneTBB may cancel the context, and tells nobody.
  bool const is_open = g_.origin_.is_bound || g_.is_context_given();
  if (g.what == goal::room) {
    return {true, sleeper::room, is_open};
  }
  if (g.what == goal::slot) {
    // The end of a task in a batch wakes nobody.
    return {takes_part, takes_part ? sleeper::any : sleeper::room,
            is_open || !q.batches.is_empty()};
  }
  if (g.what == goal::places) {
    return {takes_part, takes_part ? sleeper::work_or_places : sleeper::places, is_open};
  }
  // If all remaining tasks wait for a time, no other thread would notice a cancellation by oneTBB.
  bool const is_watched =
      g.what == goal::idle &&
      (test_time::jumps.load(std::memory_order_acquire) || (q.due.later != 0 && is_open));
  if (g.leaves_tasks) {
    return {takes_part, takes_part ? sleeper::work : sleeper::nothing,
            is_watched || (g.what == goal::idle && g_.spawns_.any())};
  }
  // If all remaining tasks wait for a time, this thread sleeps outside of oneTBB's dispatch loop,
  // which is busy for a while each time. It sleeps in the loop if its deque may hold tasks that no
  // other thread would take.
  bool const helps = !q.only_time_is_left() || !g_.engine_is_idle() || is_needed(this_thread());
  return {helps, sleeper::work, is_watched};
}

// Calls `call(wait_there)` in the arena of the limited group inside which this group was made.
[[gnu::noinline, gnu::cold]] void group_core::enter_pool(void (*call)(void const*) noexcept,
                                                         void const* wait_there) noexcept {
  queue_guest const guest(origin_.pool);
  if (!guest) {  // the limited group is done
    call(wait_there);
    return;
  }
  auto enter = [&]() noexcept {
    queue_life& where = this_thread().top->pool;  // oneTBB may have chosen another thread
    queue_life const before = std::exchange(where, origin_.pool);
    call(wait_there);
    where = before;
  };
  static_cast<group_core&>(*guest->current.owner).extras_->places.enter(enter);
}

// Waits until no other thread is in `wait`. Threads that have their answer may still be about to
// return.
void group_core::await_waiters(thread_state const& self) const noexcept {
  while (waiters_.any(&self == origin_.maker)) {
    std::this_thread::yield();
  }
}

// The short way to wait, for a group that one task makes, uses and waits for: no other thread has
// submitted tasks.
group_core::short_wait group_core::wait_at_home() {
  thread_state const& self = this_thread();
  if (!is_at_home(self) || !is_private()) [[unlikely]] {
    return short_wait::refused;
  }
  probed_wait const seen(*this);
  waiters_.enter(true);
  if (spawns_.any()) {
    engine_wait();
  }
  if (!is_private()) [[unlikely]] {  // a task has had another thread submit tasks
    join();
    return short_wait::undecided;
  }
  spawns_.join_alone();
  if ((state.load(std::memory_order_acquire) & (stopped | bound)) != 0 ||
      any_context_given.load(std::memory_order_relaxed)) [[unlikely]] {
    notice_cancellation();
  }
  if (first_.is_taken()) [[unlikely]] {
    return short_wait::undecided;
  }
  waiters_.leave(true);
  return short_wait::succeeded;
}

error group_core::wait_on(short_wait so_far) {
  if (so_far == short_wait::undecided) {
    error e = outcome();
    waiters_.leave(true);
    return e;
  }
  thread_state& self = this_thread();
  if (is_inside(self)) {
    return errc::would_deadlock;
  }
  waiting here(*this, self);
  observed_wait const seen(*this, wait_kind::end);
  join();
  return outcome();
}

// If oneTBB has cancelled the context, or a context above, records `errc::canceled` and stops the
// group.
void group_core::notice_cancellation() noexcept {
  if (is_canceled_unseen()) {
    record(errc::canceled, true);
  }
}

error group_core::run_here_and_wait(thread_state& self,
                                    tbb::task_handle (*make)(group_core&, void*), void* task) {
  waiting here(*this, self);
  observed_wait const seen(*this, wait_kind::end);
  if (is_unbound()) {
    bind_unless_at_home(self, tbb::task::current_context());
  }
  auto is_unqueued = [this]() noexcept {
    task_queue const* const q = queue_.load(std::memory_order_acquire);
    return q == nullptr || queued(*q) == 0;
  };
  bool const was_unqueued = is_unqueued();
  // From here on oneTBB counts the task, until its callable is destroyed, whether the task runs or
  // not. `note_any` makes other waiters ask oneTBB.
  tbb::task_handle handle = make(*this, task);
  spawns_.note_any();
  note_spawn(self);
  std::uint64_t const before = spawns_.all();
  engine_run_and_wait(handle);
  if (is_unbound()) {
    note_bound();
  }
  spawns_.join(before);
  // A task of the queue may have spawned a task just after oneTBB's count was zero. oneTBB alone
  // counts that spawned task, so a group with queued tasks waits again, in `join`.
  if (was_unqueued && is_unqueued() && is_joined()) {
    notice_cancellation();
  } else {
    join();
  }
  return outcome();
}

void group_core::join() noexcept {
  await_tasks();
  notice_cancellation();
}

void group_core::join_and_unpin() noexcept {
  {
    observed_wait const seen(*this, wait_kind::end);
    await_tasks();
  }
  stopped_nodes nodes;
  bool const is_first = is_canceled_unseen() && (record(errc::canceled, false), stop(nodes));
  unpin();  // first: a callback may destroy the group
  if (is_first) {
    interrupt_all(nodes);
    nodes.clean_up();
  }
}

void group_core::await_tasks() noexcept {
  for (;;) {
    task_queue* const q = queue_.load(std::memory_order_acquire);
    std::uint64_t pushed = 0;
    if (q != nullptr) {
      worker me(*this);
      (void)me.wait_for(*q, {});
      leave_arena(*q);
      pushed = q->current.joined.load(std::memory_order_relaxed);
    }
    if (!spawns_.any()) {
      break;
    }
    std::uint64_t const before = spawns_.all();
    engine_wait();
    spawns_.join(before);
    // When the spawned tasks were done, the queued tasks were done, too, unless there are new
    // tasks.
    if (before == spawns_.all() && queue_.load(std::memory_order_acquire) == q &&
        (q == nullptr || q->pushed.load(std::memory_order_acquire) == pushed)) {
      break;
    }
  }
}

// If the group is idle, gives back the arena of its tasks.
void group_core::leave_arena(task_queue& q) noexcept {
  if (pool_ == nullptr) {
    return;
  }
  reserved_arena* mine = nullptr;
  {
    lock_type const lock(q.lock);
    if (q.is_idle()) {
      mine = extras_->places.leave();
    }
  }
  if (mine != nullptr) {
    mine->give_back();
  }
}

bool group_core::wait_in_time(clock::time_point until, std::atomic<bool> const* ends) {
  thread_state& self = this_thread();
  if (is_inside(self)) {
    return false;  // the wait would never end
  }
  waiting here(*this, self);
  observed_wait const seen(*this, wait_kind::end);
  task_queue& q = queue(self);
  worker me(*this, worker::share_beside_others(*this, self));
  bool const is_done =
      me.wait_for(q, {.what = goal::idle, .leaves_tasks = true, .is_set = ends, .until = until});
  if (is_done) {
    leave_arena(q);
    notice_cancellation();
  }
  return is_done;
}

void group_core::help_until(std::atomic<bool> const& done) {
  thread_state& self = this_thread();
  task_queue& q = queue(self);
  auto share = worker::share::none;
  if (!is_inside(self)) {
    share = worker::share_beside_others(*this, self);
  }
  observed_wait const seen(*this, wait_kind::handle);
  worker me(*this, share);
  (void)me.wait_for(q, {.what = goal::flag, .leaves_tasks = true, .is_set = &done});
}

void group_core::notify() noexcept {
  if (task_queue* const q = queue_.load(std::memory_order_acquire)) {
    wake_list awake;
    lock_type lock(q->lock);
    q->sleepers.wake_all(awake);
    lock.release();
  }
}

}  // namespace errgroup::inline v1::detail
