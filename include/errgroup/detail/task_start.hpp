// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_TASK_START_HPP
#define ERRGROUP_DETAIL_TASK_START_HPP

#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/submit.hpp>
#include <errgroup/detail/weighed.hpp>
#include <errgroup/task_options.hpp>

#include <concepts>         // same_as
#include <cstdint>          // int64_t
#include <source_location>  // source_location
#include <string_view>      // string_view

namespace errgroup::inline v1::detail {

/// From the options of a task to the kind of the task in the engine: calls `go<K>(label)`, where
/// `label()` makes the label of the task. `D` is the type of the callable.
///
/// Throws `std::invalid_argument` for a weight that the group does not allow.
template <class D, class Options, class Go>
auto with_kind(group_core const& g, Options const& opts, std::source_location where, Go const& go) {
  std::string_view const name = name_of(opts);
  auto const here = [&] { return where; };
  auto const note = [&] { return make_note(name, where); };
  if constexpr (std::same_as<Options, task_options>) {
    std::int64_t const weight = opts.weight;
    if (weight != 1) [[unlikely]] {
      g.check_weight(weight);
      if (name.empty()) {
        auto const label = [&] { return weighed_label<std::source_location>{weight, where}; };
        return go.template operator()<weighed<located<D>>>(label);
      }
      auto const label = [&] { return weighed_label<note_ptr>{weight, note()}; };
      return go.template operator()<weighed<named<D>>>(label);
    }
  }
  return name.empty() ? go.template operator()<located<D>>(here)
                      : go.template operator()<named<D>>(note);
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_TASK_START_HPP
