// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_LISTENERS_HPP
#define ERRGROUP_SRC_LISTENERS_HPP

#include <errgroup/detail/group_core.hpp>
#include <errgroup/fwd.hpp>

#include <atomic>  // atomic

namespace errgroup::inline v1::detail {

/// The functions behind `group::on_failure`, for code that is in every program. The program
/// contains them if it calls `on_failure`.
struct listener_functions {
  /// Calls the functions that are registered for the failures of `g`, the oldest first. The caller
  /// is in the task that has failed.
  void (*tell)(group_core const& g, error const& e) noexcept;
  /// `g` is about to be gone.
  void (*forget)(group_core const& g) noexcept;

  /// Not null once a group has the bit `heard`.
  static inline constinit std::atomic<listener_functions const*> used{nullptr};
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_LISTENERS_HPP
