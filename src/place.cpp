// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "helpers.hpp"
#include "queue_pool.hpp"
#include <errgroup/detail/config.hpp>

#include <tbb/task.h>        // current_context
#include <tbb/task_arena.h>  // isolate_within_arena, task_arena
#include <tbb/task_group.h>  // task_group_context

#include <cstdint>  // intptr_t
#include <thread>   // yield

// The place in which a group is made, and the group's oneTBB context.
//
// A group that is made in an errgroup task is a child of that task. A group that is made outside of
// any task is a root. The contexts of both are isolated: the tree of cancel_node.hpp cancels them.
//
// A group that is made in a raw oneTBB task, or in the body of an algorithm, has a bound context,
// which oneTBB cancels. oneTBB binds a context once, at its first use, to the context of the task
// that runs there. If the first use is in the task that made the group, this binding is right.
// Otherwise errgroup binds the context to no parent.

namespace errgroup::inline v1::detail {

namespace {

/// A oneTBB task on the stack of the thread that executes it.
class call_here final : public tbb::detail::d1::task {
 public:
  call_here(void (*call)(void const*) noexcept, void const* body) noexcept
      : call_(call), body_(body) {}

  // The count is needed although oneTBB runs the task here first: before that, oneTBB may run a
  // task of a flow graph with priorities, and then spawns this task.
  void execute_in(tbb::task_group_context& context) {
    tbb::detail::d1::execute_and_wait(*this, context, unfinished_, context);
  }
  [[nodiscard]] bool has_run() const noexcept { return has_run_; }

 private:
  task* execute(tbb::detail::d1::execution_data& how) override {
    has_run_ = true;
    call_(body_);
    return cancel(how);
  }
  task* cancel(tbb::detail::d1::execution_data& /*how*/) override {
    unfinished_.release();
    return nullptr;
  }

  void (*call_)(void const*) noexcept;
  void const* body_;
  bool has_run_ = false;
  tbb::detail::d1::wait_context unfinished_{1};
};

/// A function that oneTBB calls in an isolation region.
class isolated_call final : public tbb::detail::d1::delegate_base {
 public:
  isolated_call(void (*call)(void const*), void const* f) noexcept : call_(call), f_(f) {}
  bool operator()() const override {
    call_(f_);
    return true;
  }

 private:
  void (*call_)(void const*);
  void const* f_;
};

}  // namespace

void isolate_as(void const* region, void (*call)(void const*), void const* f) {
  isolated_call inside(call, f);
  tbb::detail::r1::isolate_within_arena(inside, reinterpret_cast<std::intptr_t>(region));
}

// The implementation is that of oneTBB's algorithms. task_group::run_and_wait would wait for other
// tasks of the context, and would take back the cancellation of the context at the end.
bool run_in(tbb::task_group_context& context, void (*call)(void const*) noexcept,
            void const* body) noexcept {
  for (;;) {
    call_here task(call, body);
    try {
      task.execute_in(context);
    } catch (...) {
      // `call` does not throw. Either oneTBB has no memory, or a user's algorithm has left an
      // exception in the context (which it has thrown to its caller, too).
    }
    if (task.has_run() || context.is_group_execution_cancelled()) {
      return task.has_run();
    }
    std::this_thread::yield();
  }
}

// If the current context is the top frame's, oneTBB runs the top frame's task in this thread.
// Otherwise it runs the body of an algorithm, or a raw task, which this thread may have taken on
// while it waited for something unrelated. If a skipped callable is destroyed outside of any oneTBB
// task, both contexts are null.
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

// Here and not in group_core.cpp: recursion makes a group in each task, so this constructor is one
// function. `flatten` has the compiler insert the steps.
[[gnu::flatten]] group_core::group_core(std::source_location where) : group_core(true) {
  begin_observed(where);
  attach_to_task();
  ERRGROUP_PROBE(group_begin, this, "", unlimited);
}

group_core::group_core(bool belongs)
    : origin_(origin::here(belongs)),
      engine_(origin_.is_bound ? tbb::task_group_context::bound
                               : tbb::task_group_context::isolated) {
  if (origin_.under == nullptr) {
    // Threads outside of any task will use the group: give it a queue now, if one is at hand.
    queue_.store(try_take_queue(*origin_.maker, *this), std::memory_order_relaxed);
  }
  if (origin_.is_bound) {
    state.store(bound | unbound, std::memory_order_relaxed);
  }
}

// The last step of a constructor: from now on, other threads may stop the group.
void group_core::attach_to_task() {
  task_frame& top = *origin_.maker->top;
  auto* const owner = static_cast<group_core*>(top.owner.load(std::memory_order_relaxed));
  if (owner != nullptr && (owner->state.load(std::memory_order_relaxed) &
                           (in_region | bound | context_given)) != 0) [[unlikely]] {
    inherit_from(*owner);
  }
  if (origin_.is_child ? attach(top) : owner != nullptr && is_made_by_skipped(top)) [[unlikely]] {
    record(errc::canceled, true);
  }
}

// Takes over what a group has from the group of the task that made it. `attach_to_task` knows from
// the owner's state whether there is anything.
[[gnu::noinline, gnu::cold]] void group_core::inherit_from(group_core& owner) {
  if (is_in_isolation(*origin_.maker)) {
    state.fetch_or(in_region, std::memory_order_relaxed);
  }
  if (!origin_.is_child) {
    return;
  }
  if (origin_.is_bound) {
    (void)owner.get_stop_token();  // through the token, a canceller above finds the owner
  } else if (owner.is_context_given()) {
    // A bound context inherits the floating-point settings of its parent's context. An isolated
    // context does not, so they are copied here. Only the user gives settings to a context.
    // In the owner's context: its task may have set the FPU otherwise, for itself.
    auto capture = [this]() noexcept { engine_.context.capture_fp_settings(); };
    if (!run_in(owner.engine_.context, capture)) {
      capture();  // no task will run
    }
    state.fetch_or(context_given, std::memory_order_relaxed);
  }
}

// True if the group was made in the destructor of a skipped callable, outside of any oneTBB task:
// the group is stopped from the beginning, as a child of the skipped task would be.
bool group_core::is_made_by_skipped(task_frame const& top) const noexcept {
  return top.context.load(std::memory_order_relaxed) == nullptr && origin_.under == nullptr &&
         top.owner.load(std::memory_order_relaxed)->is_stopped() && !origin_.is_detached;
}

// The parent group: the group of the task that made this group. See cancel_node::above.
group_core* group_core::outer() const noexcept {
  cancel_node* const n = above();
  return n != nullptr ? static_cast<group_core*>(n) : nullptr;
}

// True if a group above is cancelled. That group may not know it yet, because the user may have
// cancelled its context directly.
bool group_core::is_canceled_above() const noexcept {
  parent_pin const parent(*this);
  group_core const* g = outer();
  while (g != nullptr && !g->is_canceling()) {
    g = g->outer();
  }
  return g != nullptr;
}

// True if oneTBB has cancelled the group or a group above it. oneTBB has no callback for that.
bool group_core::is_canceled_unseen() const noexcept {
  return !is_stopped() && (is_canceling() || is_canceled_above());
}

// True if the raw task that the context is bound to is cancelled. oneTBB tells the context once,
// and `reset` takes that back. (The group has to be destroyed before that task ends.)
bool group_core::is_raw_parent_canceled() const noexcept {
  return (state.load(std::memory_order_acquire) & (bound | unbound | orphan)) == bound &&
         origin_.under->is_group_execution_cancelled();
}

// True if the limited group in whose arena this group was made is alive. (A group that was made in
// a raw task has to be destroyed before that task ends.)
bool group_core::is_pool_alive() const noexcept {
  return origin_.pool.of != nullptr && (!origin_.is_child || parent() != nullptr);
}

bool group_core::is_inside(thread_state const& self) const noexcept {
  if (is_at_home(self)) {
    return false;  // in the task that made the group
  }
  auto is_below = [this](cancel_node const* n) noexcept {
    while (n != nullptr && n != this) {
      n = n->above();
    }
    return n != nullptr;
  };
  // The tasks on this thread's stack end after the caller. So do the tasks that made their groups.
  for (task_frame const* f = self.top; f != &self.base; f = f->below) {
    if (is_below(f->owner.load(std::memory_order_relaxed))) {
      return true;
    }
  }
  // A thread from outside that waits in the arena of a limited group runs any task of the arena.
  task_queue const* const pool = self.top->pool.of;
  return pool != nullptr && is_below(static_cast<group_core const*>(pool->current.owner));
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
      // In a task_arena, outside of its tasks, oneTBB binds to no parent.
      state.fetch_or(orphan, std::memory_order_relaxed);
      insist([&] { default_arena().execute(bind_here); });
    }
  }
  note_bound();
}

// The first task that oneTBB ran in the context has just bound it.
void group_core::note_bound() noexcept {
  state.fetch_and(~unbound, std::memory_order_release);
  // The binding has overwritten an earlier cancellation with the parent's state. (If a cancellation
  // comes right now and is not seen here, nothing is lost: a task that starts later finds the group
  // stopped.)
  if (is_stopped()) {
    engine_.context.cancel_group_execution();
  }
}

// Binds the context, unless the first task that the caller runs in the context will bind it to the
// right parent. oneTBB binds a context to the context of the task in which that first task runs.
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
    any_context_given.store(true, std::memory_order_relaxed);
    notify();  // sleepers that no poller watches for a cancellation of the context
  }
  return engine_.context;
}

}  // namespace errgroup::inline v1::detail
