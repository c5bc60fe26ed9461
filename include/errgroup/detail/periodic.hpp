// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_PERIODIC_HPP
#define ERRGROUP_DETAIL_PERIODIC_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/submit.hpp>
#include <errgroup/detail/weighed.hpp>
#include <errgroup/error.hpp>
#include <errgroup/task.hpp>
#include <errgroup/task_options.hpp>

#include <cstddef>          // size_t
#include <memory>           // unique_ptr
#include <source_location>  // source_location
#include <string_view>      // string_view
#include <type_traits>      // decay_t, is_void_v, remove_cvref_t
#include <utility>          // forward, move

// Tasks that run again and again: each run submits the next one.

namespace errgroup::inline v1::detail {

/// A task that submits itself again. Its note is with the rest of its state: only the last run can
/// fail, so all runs share the note.
template <class F>
struct periodic {
  using callable = F;

  [[nodiscard]] submission as(std::size_t index) const noexcept { return {where, f.note(), index}; }
  [[nodiscard]] void const* label() const noexcept {
    return f.note() != nullptr ? label_of(f.note()) : label_of(where);
  }

  std::source_location where;
  F f;
};

/// The arguments of `start_every`: the task's name or nothing, its rank, and the callable.
template <class F>
struct periodic_call {
  using callable = std::decay_t<F>;

  std::string_view name;
  task_rank rank;
  F&& f;
};

/// The callable of a periodic task.
template <class F>
class group_core::repeated {
 public:
  template <class G>
  repeated(group_core& g, clock::time_point due, clock::duration period, std::source_location where,
           note_ptr note, task_rank rank, G&& f)
      : state_(new state{g, due, period, where, std::move(note), rank, std::forward<G>(f)}) {}

  /// Null for a task without a name, and after the next run was submitted.
  [[nodiscard]] error_note* note() const noexcept {
    return state_ != nullptr ? state_->note.get() : nullptr;
  }

  error operator()() {
    using R = typename task_call<F>::result;
    state& s = *state_;
    auto token = [&s] { return s.g.get_stop_token(); };
    if constexpr (std::is_void_v<R>) {
      invoke_task(s.f, token);
    } else if (error e = to_error(invoke_task(s.f, token))) {
      return e == stop_repeating ? error() : e;
    }
    // The next multiple of `period` after `s.due` that has not passed.
    clock::duration const late = clock::now() - s.due;
    clock::duration const steps =
        late < clock::duration::zero() ? s.period : late - late % s.period + s.period;
    s.due = after(s.due, steps);
    // Defers the next run even if its time has passed meanwhile: this run has not ended.
    start_next(s);
    return {};
  }

  /// Starts the first run, which is due after the period.
  void start() { start_next(*state_); }

 private:
  struct state {
    group_core& g;
    clock::time_point due;
    clock::duration period;
    std::source_location where;
    note_ptr note;
    task_rank rank;
    F f;
  };

  void start_next(state& s) {
    if (s.rank.is_usual()) {
      s.g.template defer_until<periodic<repeated>>(s.due, s.where, std::move(*this));
    } else {
      s.g.template defer_until<weighed<periodic<repeated>>>(
          s.due, weighed_label<std::source_location>{s.rank, s.where}, std::move(*this));
    }
  }

  std::unique_ptr<state> state_;
};

// `Call` is a `periodic_call`.
template <class Call>
void group_core::start_every(clock::duration period, std::source_location where, Call&& call) {
  if (period <= clock::duration::zero()) {
    refuse_period();
  }
  if (!call.rank.is_usual()) {
    check_rank(call.rank);
  }
  if (refuse()) {
    return;
  }
  using kept = repeated<typename std::remove_cvref_t<Call>::callable>;
  clock::time_point const due = after(clock::now(), period);
  note_ptr note = call.name.empty() ? note_ptr(nullptr) : make_note(call.name, where);
  kept first(*this, due, period, where, std::move(note), call.rank,
             std::forward<decltype(call.f)>(call.f));
  first.start();
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_PERIODIC_HPP
