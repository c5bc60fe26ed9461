// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_WEIGHED_HPP
#define ERRGROUP_DETAIL_WEIGHED_HPP

#include <errgroup/detail/node.hpp>

#include <cstddef>  // size_t
#include <cstdint>  // int64_t
#include <utility>  // forward, move

// Tasks that take several places of a limiter. A node keeps the weight before the callable. A task
// of weight 1 has no trace of this.

namespace errgroup::inline v1::detail {

/// A task that takes several places of a limiter, and is otherwise a `K`.
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
inline constexpr std::size_t weight_mark = is_weighed<K> ? node::has_weight : 0;

/// The label of such a task: its weight, and the label that it would have otherwise.
template <class Label>
struct weighed_label {
  std::int64_t weight;
  Label label;
};

template <class Label>
[[nodiscard]] constexpr std::int64_t weight_in(Label const& /*label*/) noexcept {
  return 1;
}
template <class Label>
[[nodiscard]] constexpr std::int64_t weight_in(weighed_label<Label> const& label) noexcept {
  return label.weight;
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
