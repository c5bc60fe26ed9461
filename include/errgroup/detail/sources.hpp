// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_SOURCES_HPP
#define ERRGROUP_DETAIL_SOURCES_HPP

#include <errgroup/detail/outcome.hpp>
#include <errgroup/group.hpp>
#include <errgroup/task.hpp>

#include <concepts>     // same_as
#include <cstddef>      // size_t
#include <deque>        // deque
#include <memory>       // addressof
#include <ranges>       // begin, end, forward_range, input_range, range_reference_t, range_value_t
#include <tuple>        // get, tuple
#include <type_traits>  // common_type_t, is_lvalue_reference_v, remove_cvref_t, ...
#include <utility>      // forward, index_sequence, index_sequence_for
#include <vector>       // vector

namespace errgroup::inline v1::detail {

/// A callable for the functions that return results, such as `join` and `spawn`. It is called
/// without arguments, or with a `std::stop_token`.
template <class F>
concept result_call =
    takes_token<std::remove_reference_t<F>> || takes_nothing<std::remove_reference_t<F>>;

template <class R>
concept range_of_calls = !result_call<R> && std::ranges::input_range<R> &&
                         result_call<std::ranges::range_value_t<std::remove_reference_t<R>>>;

/// The arguments of `all` and the like: callables, or a single range of callables.
template <class... A>
concept calls = (result_call<A> && ...) || (sizeof...(A) == 1 && (range_of_calls<A> && ...));

/// Refuses an empty `std::function` and the like.
template <class F>
void refuse_null_call(F const& f) {
  if (is_null(f)) {
    refuse_argument("errgroup: a callable is empty: an empty std::function or a null pointer");
  }
}

/// The common type of several value types; void if all of them are void.
template <class... T>
struct common_value {
  static_assert(sizeof...(T) != 0, "errgroup: there are no tasks to have a result of");
  static_assert(
      requires { typename std::common_type<non_void<T>...>::type; },
      "errgroup: the results of these tasks have no common type");
  using type = typename std::common_type<non_void<T>...>::type;
};
template <class... T>
  requires(sizeof...(T) != 0 && (std::is_void_v<T> && ...))
struct common_value<T...> {
  using type = void;
};

/// Callables, each with a type of its own. The caller owns the callables, and waits.
template <class... F>
class pack_of_calls {
 public:
  template <template <class...> class Template>
  using with_values = Template<value_of_call<F>...>;
  using value = common_value<value_of_call<F>...>;

  explicit pack_of_calls(F&... f) : calls_(std::addressof(f)...) { (refuse_null_call(f), ...); }

  [[nodiscard]] static constexpr std::size_t size() noexcept { return sizeof...(F); }

  /// Calls `start(index, callable)` for each callable.
  template <class Start>
  void each(Start const& start) const {
    [&]<std::size_t... I>(std::index_sequence<I...> /*unused*/) {
      (start(I, *std::get<I>(calls_)), ...);
    }(std::index_sequence_for<F...>());
  }

 private:
  std::tuple<F*...> calls_;
};

/// A range of callables: the caller's callables, if the range stores them, or copies.
template <class R>
class range_of {
  using iterator = std::ranges::iterator_t<R>;
  using reference = std::ranges::range_reference_t<R>;
  static constexpr bool borrows =
      std::ranges::forward_range<R> && std::is_lvalue_reference_v<reference>;
  using call = std::conditional_t<borrows, std::remove_reference_t<reference>,
                                  std::ranges::range_value_t<R>>;

 public:
  using value = std::type_identity<value_of_call<call>>;

  explicit range_of(R& range) {
    if constexpr (borrows && std::ranges::sized_range<R>) {
      calls_.reserve(static_cast<std::size_t>(std::ranges::size(range)));
    }
    auto const last = std::ranges::end(range);
    for (auto i = std::ranges::begin(range); i != last; ++i) {
      if constexpr (borrows) {
        calls_.push_back(std::addressof(*i));
      } else {
        calls_.emplace_back(*i);
      }
      refuse_null_call(get(calls_.back()));
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return calls_.size(); }

  template <class Start>
  void each(Start const& start) {
    for (std::size_t i = 0; i != calls_.size(); ++i) {
      start(i, get(calls_[i]));
    }
  }

 private:
  static call& get(call* f) noexcept { return *f; }
  static call& get(call& f) noexcept
    requires(!borrows)
  {
    return f;
  }

  // A deque neither moves nor copies its elements when it grows.
  std::conditional_t<borrows, std::vector<call*>, std::deque<call>> calls_;
};

/// Excludes options as the first argument from the overloads without options, which would take the
/// options for a callable.
template <class... A>
inline constexpr bool begins_with_options = false;
template <class First, class... Rest>
inline constexpr bool begins_with_options<First, Rest...> =
    std::same_as<std::remove_cvref_t<First>, options>;

template <class... A>
auto source_of(A&... a) {
  static_assert(
      calls<A...>,
      "errgroup: these are callables, or one range of them. Each is called with nothing, or with a "
      "std::stop_token if it takes one, and not as a const object if it is mutable: capture "
      "what else it needs");
  if constexpr (!calls<A...>) {
    // Any valid source: so the compiler reports no error but the assertion above.
    static int (*none)() = nullptr;
    return pack_of_calls<int (*)()>(none);
  } else if constexpr ((result_call<A> && ...)) {
    return pack_of_calls<A...>(a...);
  } else {
    return range_of<A...>(a...);
  }
}

template <class... A>
using source_type = decltype(source_of(std::declval<std::remove_reference_t<A>&>()...));

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_SOURCES_HPP
