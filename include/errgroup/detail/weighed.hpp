// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_WEIGHED_HPP
#define ERRGROUP_DETAIL_WEIGHED_HPP

#include <errgroup/detail/node.hpp>
#include <errgroup/task_options.hpp>

#include <cstddef>  // size_t
#include <cstdint>  // int64_t
#include <utility>  // forward, move

// Tasks that take several places of a limiter, or have another priority than `normal`. A node keeps
// the weight and the level before the callable. A usual task has no trace of this.

namespace errgroup::inline v1::detail {

/// A task with a weight or a level of its own, and otherwise a `K`.
template <class K>
struct weighed {
  using inner = K;
};

template <class K>
struct unweighed_kind {
  using type = K;
};
template <class K>
struct unweighed_kind<weighed<K>> {
  using type = K;
};
template <class K>
using unweighed = typename unweighed_kind<K>::type;

template <class K>
inline constexpr bool is_weighed = false;
template <class K>
inline constexpr bool is_weighed<weighed<K>> = true;

/// The bit in `node::index` of such a task.
template <class K>
inline constexpr std::size_t weight_mark = is_weighed<K> ? node::has_rank : 0;

/// The label of such a task: its weight and level, and the label that it would have otherwise.
template <class Label>
struct weighed_label {
  task_rank rank;
  Label label;
};

template <class Label>
[[nodiscard]] constexpr std::int64_t weight_in(Label const& /*label*/) noexcept {
  return 1;
}
template <class Label>
[[nodiscard]] constexpr std::int64_t weight_in(weighed_label<Label> const& label) noexcept {
  return label.rank.weight;
}

template <class Label>
[[nodiscard]] constexpr Label&& label_in(Label&& label) noexcept {
  return std::forward<Label>(label);
}
template <class Label>
[[nodiscard]] constexpr Label&& label_in(weighed_label<Label>&& label) noexcept {
  return std::move(label.label);
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_WEIGHED_HPP
