// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"

#include <tbb/task.h>        // current_context
#include <tbb/task_arena.h>  // task_arena

#include <cstddef>  // nullptr_t, size_t
#include <memory>   // construct_at, destroy_at
#include <mutex>    // defer_lock, mutex, unique_lock
#include <new>      // nothrow
#include <thread>   // yield
#include <utility>  // exchange

// What a group was made in, and its oneTBB context, which has to be the child of that and of
// nothing else, whoever uses it first.
//
// oneTBB binds a context once, to whatever the thread runs that uses it first, and keeps raw
// pointers to parents, which it follows in any cancellation in the process. So
//   - where the first use is where the group was made, oneTBB's own binding is right; otherwise the
//     context is bound by hand, by a task that does nothing, run where it belongs (bind);
//   - the bond is cut before what the group was made in is gone. A task of ours does that when it
//     ends, and waits for the group if that is busy (leave_home); what is not ours does not tell,
//     and there the last waiter does (leave_as_waiter).

namespace errgroup {

group::group() : group(parentage{.belongs = true}, nullptr) {}

group::group(parentage place, std::nullptr_t) {
  thread_state& self = detail::this_thread();
  maker_ = &self;
  made_in_ = self.top;
  std::uint64_t const task = self.top->task.load(std::memory_order_relaxed);
  made_task_.store(task, std::memory_order_relaxed);
  made_under_ = place.belongs ? tbb::task::current_context() : nullptr;
  bool const is_root = made_under_ == nullptr;
  // If the current context is the top frame's, oneTBB runs the top frame's task here. Otherwise it
  // runs the body of an algorithm or a raw task, perhaps an unrelated one that this thread took on
  // while it waited. If a skipped callable is destroyed outside of any task, both contexts are
  // null.
  bool const belongs = place.belongs && task != 0 &&
                       made_under_ == self.top->context.load(std::memory_order_relaxed);
  is_child_ = belongs && !is_root;
  made_pool_ = is_root ? queue_life{} : self.top->pool;
  tie_.store(is_root ? tie::bound : tie::none, std::memory_order_relaxed);
  unlinks_at_wait_ = !is_root;
  if (is_child_) {
    if (self.tethers == nullptr) [[unlikely]] {
      detail::find_tethers(self, *self.top);
    }
    detail::tether* const t = self.tethers;
    if (t != nullptr) {
      self.tethers = t->next;
      t->of.store(this, std::memory_order_relaxed);
      t->next = std::exchange(self.top->tethers, t);
      tether_.store(t, std::memory_order_relaxed);
      unlinks_at_wait_ = false;
    }
  }
  home_ = is_root || unlinks_at_wait_ ? 0 : task;
  if (is_root) {
    // It will be used from outside.
    queue_.store(detail::try_take_queue(self, *this), std::memory_order_relaxed);
  }
  std::construct_at(&engine_,
                    is_root ? tbb::task_group_context::isolated : tbb::task_group_context::bound);
  if (belongs && self.top->owner.load(std::memory_order_relaxed)->is_stopped()) {
    // oneTBB's context need not be cancelled in the destructor of a skipped callable, so the owner
    // of the frame is asked.
    record(errc::canceled, true);
  }
}

bool group::made_in_lives() const noexcept {
  std::uint64_t const task = made_task_.load(std::memory_order_relaxed);
  return task != 0 && made_in_->task.load(std::memory_order_acquire) == task;
}

// The group of the task that this one was made in, if that lives.
group* group::above() const noexcept {
  return is_child_ && made_in_lives() ? made_in_->owner.load(std::memory_order_relaxed) : nullptr;
}

bool group::is_inside(thread_state const& self) const noexcept {
  if (is_at_home(self)) {
    return false;  // in the very task that made the group
  }
  auto is_below = [this](group const* g) noexcept {
    while (g != nullptr && g != this) {
      g = g->above();
    }
    return g != nullptr;
  };
  // Everything on this thread's stack, and what made that: none of it ends before the caller does.
  for (detail::frame const* f = self.top; f != &self.base; f = f->below) {
    if (is_below(f->owner.load(std::memory_order_relaxed))) {
      return true;
    }
  }
  // A thread that waits from outside, in the arena of a limited group, runs whatever is there.
  queue const* const pool = self.top->pool.of;
  return pool != nullptr && is_below(pool->owner);
}

bool group::is_inside() const { return is_inside(detail::this_thread()); }

void group::enter(std::uint64_t as) const noexcept {
  eventful_.store(true, std::memory_order_relaxed);
  while ((visitors_.fetch_add(as, std::memory_order_acquire) & closing) != 0) {
    leave(as, false);
    std::this_thread::yield();
  }
}

// The same for a visitor who must not wait for whoever has closed the door.
bool group::try_enter() const noexcept {
  eventful_.store(true, std::memory_order_relaxed);
  if ((visitors_.fetch_add(one_visitor, std::memory_order_acquire) & closing) == 0) {
    return true;
  }
  leave(one_visitor, false);
  return false;
}

// The last one inside ends the bond to what the group was made in, if somebody wanted that on the
// way out. (Nobody waits for the others: they may be further down on the same stack.)
void group::leave(std::uint64_t as, bool unlink) const noexcept {
  std::uint64_t inside = visitors_.load(std::memory_order_relaxed);
  std::uint64_t left = 0;
  bool last = false;
  do {
    left = (inside - as) | (unlink ? unlinking : 0);
    last = left == unlinking;
    if (last) {
      left = closing;
    }
  } while (!visitors_.compare_exchange_weak(inside, left, std::memory_order_acq_rel,
                                            std::memory_order_relaxed));
  if (last) {
    if (is_joined()) {
      const_cast<group*>(this)->destroy_engine();
    }
    open_door();
  }
}

void group::leave_as_waiter() noexcept { leave(one_waiter, unlinks_at_wait_ && is_joined()); }

namespace {

// In a tether: its group is being destroyed. An address that no group has.
group* being_destroyed(detail::tether& t) noexcept { return reinterpret_cast<group*>(&t); }

}  // namespace

// For the destructor, on another thread than that of the task: that task does not end from now on
// before the group is gone. False if it has ended.
bool group::hold_tether(detail::tether& t) noexcept {
  group* me = this;
  if (t.of.compare_exchange_strong(me, being_destroyed(t), std::memory_order_acq_rel)) {
    return true;
  }
  while (tether_.load(std::memory_order_acquire) != nullptr) {
    std::this_thread::yield();  // it is ending right now, and is cutting this very tether
  }
  return false;
}

// Tethers go in the order in which they came; those on top that are held by nobody are free.
void detail::drop_loose_ends(thread_state& self, frame& f) noexcept {
  while (f.tethers != nullptr && f.tethers->of.load(std::memory_order_acquire) == nullptr) {
    tether* const t = std::exchange(f.tethers, f.tethers->next);
    t->next = std::exchange(self.tethers, t);
  }
}

// Gathers those that are held by nobody, wherever they are, and makes new ones if there are few:
// half as many as are held, so that this does not happen often.
void detail::find_tethers(thread_state& self, frame& f) noexcept {
  std::size_t held = 0;
  std::size_t found = 0;
  for (tether** p = &f.tethers; *p != nullptr;) {
    tether* const t = *p;
    if (t->of.load(std::memory_order_acquire) != nullptr) {
      p = &t->next;
      ++held;
    } else {
      *p = t->next;
      t->next = std::exchange(self.tethers, t);
      ++found;
    }
  }
  for (; found <= held / 2; ++found) {
    auto* const t = new (std::nothrow) tether;
    if (t == nullptr) {
      return;
    }
    t->next = std::exchange(self.tethers, t);
  }
}

void detail::cut_tethers(thread_state& self, frame& f) noexcept {
  while (tether* t = f.tethers) {
    f.tethers = t->next;
    for (group* g = t->of.load(std::memory_order_acquire); g != nullptr;) {
      if (g == being_destroyed(*t)) {
        std::this_thread::yield();
        g = t->of.load(std::memory_order_acquire);
      } else if (t->of.compare_exchange_weak(g, nullptr, std::memory_order_acq_rel)) {
        g->leave_home();
        g->tether_.store(nullptr, std::memory_order_release);  // the last access to the group
        g = nullptr;
      }
    }
    t->next = std::exchange(self.tethers, t);
  }
}

// Keeps all others out: one thread at a time can. False if there is something to wait for; the door
// is open then.
bool group::close_door() noexcept {
  while ((visitors_.fetch_or(closing, std::memory_order_acquire) & closing) != 0) {
    std::this_thread::yield();
  }
  while (is_joined()) {
    // Who waits has nothing to wait for, and what else there is takes no time.
    if ((visitors_.load(std::memory_order_acquire) & ~(closing | unlinking)) == 0) {
      return true;
    }
    std::this_thread::yield();
  }
  open_door();
  return false;
}

void group::open_door() const noexcept {
  visitors_.fetch_and(~(closing | unlinking), std::memory_order_release);
}

// The task that the group was made in ends.
void group::leave_home() noexcept {
  do {
    if (!is_joined()) {
      enter(one_visitor);
      join();
      leave(one_visitor, false);
    }
  } while (!close_door());
  destroy_engine();
  // The task goes on ending the bonds of other groups, and may still be seen for a while: nobody
  // who comes in from now on follows this one.
  made_task_.store(no_task, std::memory_order_relaxed);
  open_door();
}

void group::destroy_engine() noexcept {
  if (tie_.load(std::memory_order_acquire) != tie::bound) {
    return;
  }
  std::unique_lock<std::mutex> others(tokens::lock, std::defer_lock);
  if (token_.load(std::memory_order_acquire) != nullptr) {
    others.lock();  // who looks for cancelled groups reads the engine
  }
  std::destroy_at(&engine_);
  spawned_.store(false, std::memory_order_relaxed);
  tie_.store(tie::gone, std::memory_order_release);
}

void group::rebuild() noexcept {
  lock_type once(cold_);
  if (tie_.load(std::memory_order_relaxed) == tie::gone) {
    std::construct_at(&engine_, tbb::task_group_context::bound);
    tie_.store(tie::none, std::memory_order_release);
  }
}

void group::bind(thread_state& self, tbb::task_group_context* here) noexcept {
  bool canceled_above = false;
  {
    lock_type once(cold_);
    if (tie_.load(std::memory_order_relaxed) == tie::bound) {
      return;
    }
    auto bind_here = [this]() noexcept { detail::run_in(engine_.context, []() noexcept {}); };
    bool const at_home = &self == maker_ && here != nullptr && here == made_under_ &&
                         self.top->task.load(std::memory_order_relaxed) ==
                             made_task_.load(std::memory_order_relaxed);
    bool bound = false;
    if (at_home) {
      bind_here();
      bound = true;
    } else if (is_child_ && made_in_lives()) {
      // Somebody else uses it first: go to where it was made, if that was not cancelled.
      bound = detail::run_in(*made_in_->context.load(std::memory_order_relaxed), bind_here);
      canceled_above = !bound;
    }
    if (!bound) {
      // What it was made in is over, or cancelled, or unknown to us: no parent. An arena's own
      // context is none.
      detail::insist([&] { detail::default_arena().execute(bind_here); });
    }
    tie_.store(tie::bound, std::memory_order_seq_cst);
  }
  if (canceled_above) {
    record(errc::canceled, true);
  }
  if ((state_.load(std::memory_order_seq_cst) & stopped) != 0) {
    engine_.context.cancel_group_execution();
  }
}

// Sees to it that the engine is there, and has the parent it should have, or gets it from what the
// caller is about to do: the first thing that oneTBB runs in a context binds it to what runs there.
void group::prepare_engine(thread_state& self, tbb::task_group_context* here,
                           bool runs_at_once) noexcept {
  if (tie_.load(std::memory_order_acquire) == tie::gone) {
    rebuild();
  }
  bool const at_home =
      &self == maker_ && here == made_under_ &&
      self.top->task.load(std::memory_order_relaxed) == made_task_.load(std::memory_order_relaxed);
  if (!runs_at_once || !at_home) {
    bind(self, here);
  }
}

tbb::task_group_context& group::context() noexcept {
  thread_state& self = detail::this_thread();
  visit guest(*this, self);
  if (tie_.load(std::memory_order_acquire) != tie::bound) {
    rebuild();
    bind(self, tbb::task::current_context());
  }
  if (!context_given_.exchange(true, std::memory_order_relaxed)) {
    if (queue* const q = queue_.load(std::memory_order_acquire)) {
      // Those who sleep with nobody to look for a cancellation of it.
      detail::wake_list awake;
      lock_type lock(q->lock);
      q->wake_all(awake);
      lock.release();
    }
  }
  return engine_.context;
}

}  // namespace errgroup
