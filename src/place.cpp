// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "queue_pool.hpp"

#include <tbb/task.h>        // current_context
#include <tbb/task_arena.h>  // task_arena

#include <cstddef>  // nullptr_t

// Where a group is made, and its oneTBB context.
//
// A group that is made in a task of ours is a child of that task, and one that is made outside of
// any task is a root. The contexts of both are isolated: the tree of cancel_node.hpp cancels them.
// Below a raw oneTBB task, or in the body of an algorithm, the context is bound, and oneTBB cancels
// it. oneTBB binds a context once, by its first use, to the context of the task that runs there.
// Where the first use is where the group was made, that is right. Otherwise the context is bound
// to nothing.

namespace errgroup::detail {

// If the current context is the top frame's, oneTBB runs the top frame's task here. Otherwise it
// runs the body of an algorithm or a raw task, perhaps an unrelated one that this thread took on
// while it waited. If a skipped callable is destroyed outside of any task, both contexts are null.
origin origin::here(bool belongs) {
  thread_state& self = this_thread();
  tbb::task_group_context* const under = belongs ? tbb::task::current_context() : nullptr;
  if (under == nullptr) {
    return {&self, nullptr, {}, false, false, !belongs};
  }
  cancel_node const* const owner = self.top->owner.load(std::memory_order_relaxed);
  bool const is_child =
      owner != nullptr && self.top->context.load(std::memory_order_relaxed) == under;
  bool const is_bound =
      !is_child || (owner->state.load(std::memory_order_relaxed) & group_core::bound) != 0;
  return {&self, under, self.top->pool, is_child, is_bound, false};
}

group_core::group_core(bool belongs)
    : origin_(origin::here(belongs)),
      engine_(origin_.is_bound ? tbb::task_group_context::bound
                               : tbb::task_group_context::isolated) {
  if (origin_.under == nullptr) {
    // It will be used from outside.
    queue_.store(try_take_queue(*origin_.maker, *this), std::memory_order_relaxed);
  }
  if (origin_.is_bound) {
    state.store(bound | unbound, std::memory_order_relaxed);
  }
}

// The last step of a constructor: from here on, other threads may stop the group.
void group_core::attach_to_task() {
  task_frame const& top = *origin_.maker->top;
  cancel_node* const n = top.owner.load(std::memory_order_relaxed);
  if (!origin_.is_child) {
    // In the destructor of a skipped callable, outside of any oneTBB task.
    if (n != nullptr && top.context.load(std::memory_order_relaxed) == nullptr &&
        origin_.under == nullptr && n->is_stopped() && !origin_.is_detached) {
      record(errc::canceled, true);
    }
    return;
  }
  auto& owner = static_cast<group_core&>(*n);
  if (origin_.is_bound) {
    (void)owner.get_stop_token();  // by which a canceller of the groups above finds the owner
  } else if (owner.is_context_given()) {
    // A bound context inherits the FPU settings of its parent's, an isolated one does not. Only
    // the user gives a context settings.
    engine_.context.capture_fp_settings();
    state.fetch_or(context_given, std::memory_order_relaxed);
  }
  if (attach(*origin_.maker->top)) {
    record(errc::canceled, true);
  }
}

// The group of the task that this one was made in. See cancel_node::above.
group_core* group_core::outer() const noexcept {
  cancel_node* const n = above();
  return n != nullptr ? static_cast<group_core*>(n) : nullptr;
}

// True if a group above is cancelled, although that group may not know it yet: the user may have
// cancelled its context directly.
bool group_core::is_canceled_above() const noexcept {
  parent_pin const parent(*this);
  group_core const* g = outer();
  while (g != nullptr && !g->is_canceling()) {
    g = g->outer();
  }
  return g != nullptr;
}

// True if the limited group in whose arena this one was made is alive. (The group of a raw task has
// to be destroyed before that task ends.)
bool group_core::is_pool_alive() const noexcept {
  return origin_.pool.of != nullptr && (!origin_.is_child || parent() != nullptr);
}

bool group_core::is_inside(thread_state const& self) const noexcept {
  if (is_at_home(self)) {
    return false;  // in the very task that made the group
  }
  auto is_below = [this](cancel_node const* n) noexcept {
    while (n != nullptr && n != this) {
      n = n->above();
    }
    return n != nullptr;
  };
  // The tasks on this thread's stack do not end before the caller does, nor do the tasks in which
  // their groups were made.
  for (task_frame const* f = self.top; f != &self.base; f = f->below) {
    if (is_below(f->owner.load(std::memory_order_relaxed))) {
      return true;
    }
  }
  // A thread that waits from outside, in the arena of a limited group, runs any task of the arena.
  task_queue const* const pool = self.top->pool.of;
  return pool != nullptr && is_below(pool->owner);
}

bool group_core::is_inside() const { return is_inside(this_thread()); }

void group_core::bind(thread_state& self, tbb::task_group_context* here) noexcept {
  {
    lock_type once(cold_);
    if (!is_unbound()) {
      return;
    }
    auto bind_here = [this]() noexcept { run_in(engine_.context, []() noexcept {}); };
    if (&self == origin_.maker && here != nullptr && here == origin_.under) {
      bind_here();
    } else {
      // No parent: an arena's own context is none.
      insist([&] { default_arena().execute(bind_here); });
    }
  }
  note_bound();
}

// The context was just bound, by the first task that oneTBB ran in it.
void group_core::note_bound() noexcept {
  state.fetch_and(~unbound, std::memory_order_release);
  // A cancellation that came before this was overwritten by the parent's state. (If a cancellation
  // comes unseen right now, nothing is lost: a task that starts later finds the group stopped.)
  if (is_stopped()) {
    engine_.context.cancel_group_execution();
  }
}

// Binds the context, unless the caller is about to do that where the group was made: the first task
// that oneTBB runs in a context binds it to the context of the task that runs there.
void group_core::bind_unless_at_home(thread_state& self, tbb::task_group_context* here) noexcept {
  if (&self != origin_.maker || here != origin_.under) {
    bind(self, here);
  }
}

tbb::task_group_context& group_core::context() noexcept {
  if (is_unbound()) {
    bind(this_thread(), tbb::task::current_context());
  }
  if ((state.fetch_or(context_given, std::memory_order_relaxed) & context_given) == 0) {
    if (task_queue* const q = queue_.load(std::memory_order_acquire)) {
      // Sleepers that no poller watches for a cancellation of the context.
      wake_list awake;
      lock_type lock(q->lock);
      q->wake_all(awake);
      lock.release();
    }
  }
  return engine_.context;
}

}  // namespace errgroup::detail
