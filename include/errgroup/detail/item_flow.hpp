// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_ITEM_FLOW_HPP
#define ERRGROUP_DETAIL_ITEM_FLOW_HPP

/// The items of a pipeline, as they lie in the slots between two stages.

#include <errgroup/detail/slot.hpp>

#include <memory>       // addressof, construct_at, destroy_at
#include <type_traits>  // conditional_t
#include <utility>      // exchange, forward, in_place_t, move
#include <vector>       // vector

namespace errgroup::inline v1::detail {

/// An item in a slot. It is moved, never copied, also by a vector that grows.
template <class T>
class kept {
 public:
  template <class V>
  explicit kept(std::in_place_t, V&& v) : value_(std::forward<V>(v)) {}
  kept(kept&&) = default;
  kept(kept const&) = delete;
  kept& operator=(kept const&) = delete;
  kept& operator=(kept&&) = delete;
  ~kept() = default;

  [[nodiscard]] T&& get() noexcept { return std::move(value_); }

 private:
  T value_;
};
/// A reference to an element of a range.
template <class T>
class kept<T&> {
 public:
  explicit kept(std::in_place_t, T& v) noexcept : at_(std::addressof(v)) {}

  [[nodiscard]] T& get() noexcept { return *at_; }

 private:
  T* at_;
};

/// What a slot holds between two stages: a `T`, or the parts of an item, which are `T`s.
template <class T, bool Parts>
struct flow {
  using item = T;
  static constexpr bool is_parts = Parts;
  using stored = std::conditional_t<Parts, std::vector<kept<T>>, kept<T>>;

  static stored& in(slot& s) noexcept { return *static_cast<stored*>(s.item); }
  template <class... A>
  static void put(slot& s, A&&... a) {
    std::construct_at(static_cast<stored*>(s.item), std::forward<A>(a)...);
  }
  static void destroy(slot& s) noexcept { std::destroy_at(&in(s)); }
};

/// Destroys the item in a slot, at the latest at its own end.
template <class Flow>
class input_of {
 public:
  explicit input_of(slot& s) noexcept : slot_(&s) {}
  input_of(input_of const&) = delete;
  input_of& operator=(input_of const&) = delete;
  ~input_of() { destroy(); }

  [[nodiscard]] typename Flow::stored& operator*() const noexcept { return Flow::in(*slot_); }
  void destroy() noexcept {
    if (slot_ != nullptr) {
      Flow::destroy(*std::exchange(slot_, nullptr));
    }
  }

 private:
  slot* slot_;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_ITEM_FLOW_HPP
