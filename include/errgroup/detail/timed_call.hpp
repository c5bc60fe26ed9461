// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_TIMED_CALL_HPP
#define ERRGROUP_DETAIL_TIMED_CALL_HPP

#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/submit.hpp>
#include <errgroup/error.hpp>
#include <errgroup/task.hpp>

#include <chrono>   // nanoseconds
#include <utility>  // forward, move

// Tasks with a time of their own: `task_options::timeout`. A task without a time has no trace of
// this.

namespace errgroup::inline v1::detail {

/// A callable that is called within a time: `group_core::run_in_time`.
template <class F>
struct timed_call {
  error operator()() {
    auto const call_it = [](void* it, group_core const& own, bool is_guarded) noexcept {
      auto const token = [&own] { return own.get_stop_token(); };
      error failure;
      auto const keep = [&failure](error e) noexcept { failure = std::move(e); };
      F& callable = *static_cast<F*>(it);
      if (is_guarded) {
        call(callable, token, keep);
      } else {
        call_unguarded(callable, token, keep);
      }
      return failure;
    };
    return group_core::run_in_time(time, call_it, &f);
  }

  F f;
  std::chrono::nanoseconds time;
};

/// The label of a task with a time. The note has no name if the task has none.
struct timed_label {
  note_ptr note;
  std::chrono::nanoseconds time;
};

/// A task with a time.
template <class F>
struct in_time : named<timed_call<F>> {
  template <class G>
  in_time(timed_label&& label, G&& g)
      : named<timed_call<F>>{std::move(label.note), {std::forward<G>(g), label.time}} {}
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_TIMED_CALL_HPP
