// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_TASK_START_HPP
#define ERRGROUP_DETAIL_TASK_START_HPP

#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/submit.hpp>
#include <errgroup/detail/timed_call.hpp>
#include <errgroup/detail/weighed.hpp>
#include <errgroup/task_options.hpp>

#include <concepts>         // same_as
#include <source_location>  // source_location
#include <string_view>      // string_view

namespace errgroup::inline v1::detail {

/// As `with_kind`, for tasks of the kind `K` or `weighed<K>`: the rank decides.
template <class K, class Label, class Go>
auto with_rank(group_core const& g, task_rank const& rank, Label const& label, Go const& go) {
  if (rank.is_usual()) {
    return go.template operator()<K>(label);
  }
  g.check_rank(rank);
  auto const both = [&] { return weighed_label<decltype(label())>{rank, label()}; };
  return go.template operator()<weighed<K>>(both);
}

/// From the options of a task to the kind of the task in the engine: calls `go<K>(label)`, where
/// `label()` makes the label of the task. `D` is the type of the callable.
///
/// Throws `std::invalid_argument` for a weight that the group does not allow, and for an
/// unknown priority.
///
/// Always inlined, like the functions that call it: where the compiler sees that the options have
/// no timeout, the program contains nothing of it.
template <class D, class Options, class Go>
[[gnu::always_inline]] inline auto with_kind(group_core const& g, Options const& opts,
                                             std::source_location where, Go const& go) {
  std::string_view const name = name_of(opts);
  auto const here = [&] { return where; };
  auto const note = [&] { return make_note(name, where); };
  if constexpr (std::same_as<Options, task_options>) {
    if (opts.timeout) [[unlikely]] {
      auto const timed_note = [&] { return timed_label{note(), *opts.timeout}; };
      return with_rank<in_time<D>>(g, rank_of(opts), timed_note, go);
    }
    if (!rank_of(opts).is_usual()) [[unlikely]] {
      return name.empty() ? with_rank<located<D>>(g, rank_of(opts), here, go)
                          : with_rank<named<D>>(g, rank_of(opts), note, go);
    }
  }
  return name.empty() ? go.template operator()<located<D>>(here)
                      : go.template operator()<named<D>>(note);
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_TASK_START_HPP
