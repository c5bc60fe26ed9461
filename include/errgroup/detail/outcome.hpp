// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_OUTCOME_HPP
#define ERRGROUP_DETAIL_OUTCOME_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/result.hpp>
#include <errgroup/task.hpp>

#include <optional>      // optional
#include <system_error>  // error_code, error_condition, is_error_code_enum_v
#include <type_traits>   // conditional_t, is_void_v, remove_cvref_t, type_identity
#include <utility>       // forward, move
#include <variant>       // monostate

namespace errgroup::inline v1::detail {

/// Throws `std::invalid_argument` with the message `words`.
[[noreturn]] ERRGROUP_API void refuse_argument(char const* words);

/// `T`, or `std::monostate` for void, which no container can hold.
template <class T>
using non_void = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class R>
consteval auto find_value_of() {
  if constexpr (std::is_void_v<R> || has_traits<R> || std::same_as<R, std::error_code> ||
                std::same_as<R, error>) {
    return std::type_identity<void>();
  } else if constexpr (expected_like<R> && holds_value<R&>) {
    return std::type_identity<std::remove_cvref_t<decltype(held_value(std::declval<R&>()))>>();
  } else if constexpr (expected_like<R>) {
    return std::type_identity<void>();
  } else {
    static_assert(!plain_error<R> && !std::is_error_condition_enum_v<R> &&
                      !std::same_as<R, std::error_condition>,
                  "errgroup: nobody can tell whether this is a value or a failure: return a "
                  "std::error_code, an errgroup::error or an errgroup::result");
    return std::type_identity<R>();
  }
}

/// The `T` of the `result<T>` that `read` makes of an `R`: the value type of a result or a
/// `std::expected`; void for a type that tells only success or failure; any other `R` itself.
template <class R>
using value_of = typename decltype(find_value_of<std::remove_cvref_t<R>>())::type;

/// The same for the result of a callable. The callable is like a task, but its result need not be a
/// `task_result`.
template <class F>
using value_of_call = value_of<typename task_call<std::remove_reference_t<F>>::result>;

/// Reads the return value of a callable as a result.
template <class R>
result<value_of<R>> read(R&& returned) {
  using T = value_of<R>;
  if constexpr (task_result<R>) {
    if (error e = to_error(std::forward<R>(returned))) {
      return result<T>(std::move(e));
    }
    if constexpr (std::is_void_v<T>) {
      return {};
    } else {
      return result<T>(std::in_place, held_value(std::forward<R>(returned)));
    }
  } else {
    return result<T>(std::in_place, std::forward<R>(returned));
  }
}

/// Calls `invoke()`, and returns its value or its failure as a result. An exception is a failure.
/// Throws exceptions of moving a value.
template <class Invoke>
auto outcome_of(Invoke const& invoke) {
  using R = decltype(invoke());
  using T = value_of<R>;
  std::optional<result<T>> got;
  report<void>(
      [&] {
        if constexpr (std::is_void_v<R>) {
          invoke();
          got.emplace();
        } else {
          got.emplace(read(invoke()));
        }
      },
      [&](error e) noexcept { got.emplace(std::move(e)); });
  return *std::move(got);
}

/// The same, but exceptions of `invoke()` leave the function.
template <class Invoke>
auto outcome_unguarded(Invoke const& invoke) {
  using R = decltype(invoke());
  if constexpr (std::is_void_v<R>) {
    invoke();
    return result<void>();
  } else {
    return read(invoke());
  }
}

/// The result of `invoke()` in a task of `g`, by one of the two functions above:
/// `options::exceptions` of `g` decides.
template <class Invoke>
auto outcome_in(group const& g, Invoke const& invoke) {
  return extend::exceptions(g) == on_exception::as_error ? outcome_of(invoke)
                                                         : outcome_unguarded(invoke);
}

/// The result of `f` in a task of `g`. `f` gets the stop token of `g` if it takes a token.
template <class F>
auto call_in(group const& g, F& f) {
  return outcome_in(
      g, [&]() -> decltype(auto) { return invoke_task(f, [&g] { return g.get_stop_token(); }); });
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_OUTCOME_HPP
