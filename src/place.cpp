// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"

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

namespace errgroup {

// If the current context is the top frame's, oneTBB runs the top frame's task here. Otherwise it
// runs the body of an algorithm or a raw task, perhaps an unrelated one that this thread took on
// while it waited. If a skipped callable is destroyed outside of any task, both contexts are null.
group::place::place(bool belongs)
    : self(detail::this_thread()),
      context(belongs ? tbb::task::current_context() : nullptr),
      is_child(false),
      is_bound(context != nullptr),
      is_stopped(false) {
  detail::cancel_node const* const owner = self.top->owner.load(std::memory_order_relaxed);
  if (belongs && owner != nullptr && context == self.top->context.load(std::memory_order_relaxed)) {
    is_child = context != nullptr;
    is_bound = is_child && static_cast<tree_node const*>(owner)->owner().is_bound_;
    is_stopped = owner->is_stopped();
  }
}

group::group(place const& here, std::nullptr_t)
    : maker_(&here.self),
      made_under_(here.context),
      made_pool_(here.context != nullptr ? here.self.top->pool : queue_life{}),
      is_child_(here.is_child),
      is_bound_(here.is_bound),
      unbound_(here.is_bound),
      engine_(here.is_bound ? tbb::task_group_context::bound : tbb::task_group_context::isolated) {
  if (made_under_ == nullptr) {
    // It will be used from outside.
    queue_.store(detail::try_take_queue(here.self, *this), std::memory_order_relaxed);
  }
  if (is_child_ && !is_bound_) {
    // A bound context inherits the FPU settings of its parent's, an isolated one does not. Only
    // the user gives a context settings, so only where it was handed out.
    detail::cancel_node const& owner = *here.self.top->owner.load(std::memory_order_relaxed);
    if ((owner.state.load(std::memory_order_relaxed) & has_settings) != 0) {
      engine_.context.capture_fp_settings();
      node_.state.fetch_or(has_settings, std::memory_order_relaxed);
    }
  }
  if (is_bound_ && is_child_) {
    // A canceller finds the owner's context cancelled, and has to stop this group, too.
    detail::cancel_node const& owner = *here.self.top->owner.load(std::memory_order_relaxed);
    (void)static_cast<tree_node const&>(owner).owner().get_stop_token();
  }
  if (here.is_stopped && !is_child_) {
    record(errc::canceled, true);
  }
}

// The last step of a constructor: from here on, other threads may stop the group.
void group::attach() noexcept {
  if (is_child_ && node_.attach(*maker_->top)) {
    record(errc::canceled, true);
  }
}

// The group of the task that this one was made in. See cancel_node::above.
group* group::above() const noexcept {
  detail::cancel_node* const n = node_.above();
  return n != nullptr ? &static_cast<tree_node*>(n)->owner() : nullptr;
}

// True if a group above is cancelled, although that group may not know it yet: the user may have
// cancelled its context directly.
bool group::is_canceled_above() const noexcept {
  detail::parent_pin const parent(node_);
  group const* g = above();
  while (g != nullptr && !g->is_canceled_itself()) {
    g = g->above();
  }
  return g != nullptr;
}

// True if the limited group in whose arena this one was made is alive. (The group of a raw task has
// to be destroyed before that task ends.)
bool group::is_pool_alive() const noexcept {
  return made_pool_.of != nullptr && (!is_child_ || node_.parent() != nullptr);
}

bool group::is_inside(thread_state const& self) const noexcept {
  if (is_at_home(self)) {
    return false;  // in the very task that made the group
  }
  auto is_below = [this](detail::cancel_node const* n) noexcept {
    while (n != nullptr && n != &node_) {
      n = n->above();
    }
    return n != nullptr;
  };
  // The tasks on this thread's stack do not end before the caller does, nor do the tasks in which
  // their groups were made.
  for (detail::task_frame const* f = self.top; f != &self.base; f = f->below) {
    if (is_below(f->owner.load(std::memory_order_relaxed))) {
      return true;
    }
  }
  // A thread that waits from outside, in the arena of a limited group, runs any task of the arena.
  queue const* const pool = self.top->pool.of;
  return pool != nullptr && is_below(&pool->owner->node_);
}

bool group::is_inside() const { return is_inside(detail::this_thread()); }

void group::bind(thread_state& self, tbb::task_group_context* here) noexcept {
  {
    lock_type once(cold_);
    if (!is_unbound()) {
      return;
    }
    auto bind_here = [this]() noexcept { detail::run_in(engine_.context, []() noexcept {}); };
    if (&self == maker_ && here != nullptr && here == made_under_) {
      bind_here();
    } else {
      // No parent: an arena's own context is none.
      detail::insist([&] { detail::default_arena().execute(bind_here); });
    }
  }
  note_bound();
}

// Binds the context, unless the caller is about to do that where the group was made: the first task
// that oneTBB runs in a context binds it to the context of the task that runs there.
void group::bind_unless_at_home(thread_state& self, tbb::task_group_context* here) noexcept {
  if (&self != maker_ || here != made_under_) {
    bind(self, here);
  }
}

tbb::task_group_context& group::context() noexcept {
  if (is_unbound()) {
    bind(detail::this_thread(), tbb::task::current_context());
  }
  if (!context_given_.exchange(true, std::memory_order_relaxed)) {
    node_.state.fetch_or(has_settings, std::memory_order_relaxed);
    if (queue* const q = queue_.load(std::memory_order_acquire)) {
      // Sleepers that no poller watches for a cancellation of the context.
      detail::wake_list awake;
      lock_type lock(q->lock);
      q->wake_all(awake);
      lock.release();
    }
  }
  return engine_.context;
}

}  // namespace errgroup
