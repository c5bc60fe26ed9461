// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_ENGINE_HPP
#define ERRGROUP_DETAIL_ENGINE_HPP

#include <errgroup/detail/export.hpp>

#include <tbb/task_group.h>  // task_group, task_group_context

namespace errgroup::inline v1::detail {

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

/// Calls `call(f)` in the isolation region that is named by an address, as
/// `tbb::isolated_task_group` does. (`tbb::this_task_arena::isolate` makes a region of its own for
/// each call.)
ERRGROUP_API void isolate_as(void const* region, void (*call)(void const* f), void const* f);

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_ENGINE_HPP
