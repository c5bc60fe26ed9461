// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_ENGINE_HPP
#define ERRGROUP_DETAIL_ENGINE_HPP

#include <tbb/task_arena.h>  // isolate_within_arena
#include <tbb/task_group.h>  // task_group, task_group_context

#include <cstdint>  // intptr_t

namespace errgroup::detail {

/// The oneTBB side of a group: the context that oneTBB cancels, and the count of spawned tasks.
struct engine {
  explicit engine(tbb::task_group_context::kind_type kind) noexcept
      : context(kind,
                tbb::task_group_context::default_traits | tbb::task_group_context::concurrent_wait),
        tasks(context) {}

  /// Gives access to the count of the tasks. oneTBB does not tell whether a task is unfinished, and
  /// oneTBB's own `wait` takes back the cancellation of the context.
  struct task_group : tbb::task_group {
    using tbb::task_group::task_group;

    template <class Self>
    static auto& count_of(Self& self) noexcept {
      if constexpr (requires { self.m_wait_ctx; }) {
        return self.m_wait_ctx;
      } else {
        return self.m_wait_vertex.get_context();  // from version 2022.0
      }
    }
  };

  tbb::task_group_context context;
  task_group tasks;
};

/// A function that oneTBB calls in an isolation region.
template <class F>
class isolated_call final : public tbb::detail::d1::delegate_base {
 public:
  explicit isolated_call(F& f) noexcept : f_(f) {}
  bool operator()() const override {
    f_();
    return true;
  }

 private:
  F& f_;
};

/// Calls `f` in the isolation region that is named by an address, as `tbb::isolated_task_group`
/// does. (`tbb::this_task_arena::isolate` makes a region of its own for each call.)
template <class F>
void isolate_as(void const* region, F& f) {
  isolated_call<F> call(f);
  tbb::detail::r1::isolate_within_arena(call, reinterpret_cast<std::intptr_t>(region));
}

}  // namespace errgroup::detail

#endif  // ERRGROUP_DETAIL_ENGINE_HPP
