// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/submit.hpp>

#include <tbb/task_group.h>  // task_group_context

#include <atomic>  // memory_order

// The time of a single task: `task_options::timeout`.
//
// The task makes a group in its frame, with a deadline, and calls the callable in a second frame,
// which belongs to that group. So whatever the callable starts is below the group, and is cancelled
// with it. The group never has a task of its own, is told to no observer, and the second frame
// shows no task (`task_frame::no_task`): counts and dumps show one task.

namespace errgroup::inline v1::detail {

// True if the deadline was the first event that stopped the group.
bool group_core::has_expired() const noexcept {
  return is_stopped() && first_.get() == errc::deadline_exceeded;
}

error group_core::run_in_time(std::chrono::nanoseconds time, timed_function call, void* f) {
  thread_state& self = this_worker();
  task_frame const& mine = *self.top;
  auto const& task_of = static_cast<group_core const&>(*mine.owner.load(std::memory_order_relaxed));
  bool const is_guarded = task_of.exceptions() == on_exception::as_error;
  group_core own(true);
  own.attach_to_task();
  own.set_deadline_at(after(clock::now(), time));  // binds the context, too, if it has to be bound
  error failure;
  bool is_late = true;
  auto const run_with = [&](tbb::task_group_context* context) noexcept {
    task_scope const inside(self, own, context, mine.pool,
                            mine.label.load(std::memory_order_relaxed), task_frame::no_task);
    if (!own.has_expired()) {
      failure = call(f, own, is_guarded);
      is_late = own.has_expired();
    }
  };
  auto const run = [&]() noexcept { run_with(&own.engine_.context); };
  if (!run_in(own.engine_.context, run)) {
    // The time has passed, or the group of the task is cancelled, and the callable will see it.
    run_with(mine.context.load(std::memory_order_relaxed));
  }
  // The end of the frame has waited for the groups that the callable has left busy.
  if (own.has_expired() && (is_late || !failure)) {
    failure = errc::deadline_exceeded;
  }
  (void)own.outcome();  // the caller is told: no error is lost
  return failure;
}

}  // namespace errgroup::inline v1::detail
