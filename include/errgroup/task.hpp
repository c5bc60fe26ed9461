// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TASK_HPP
#define ERRGROUP_TASK_HPP

#include <errgroup/detail/forced_unwind.hpp>
#include <errgroup/detail/outermost.hpp>
#include <errgroup/error.hpp>
#include <errgroup/exception_group.hpp>

#include <concepts>      // constructible_from, convertible_to, derived_from, invocable, same_as
#include <cstddef>       // size_t
#include <exception>     // current_exception, exception_ptr, make_exception_ptr
#include <optional>      // optional
#include <stop_token>    // stop_token
#include <system_error>  // error_code, is_error_code_enum_v, system_error
#include <type_traits>   // decay_t, invoke_result_t, is_void_v, remove_cvref_t
#include <utility>       // declval, forward, move

namespace errgroup::inline v1 {

/// How to read a task's result of a type that errgroup does not know. Specialise the template like
/// this:
///
///     template <>
///     struct errgroup::result_traits<my::status> {
///       static bool failed(my::status const& s) { return !s.ok(); }
///       static errgroup::error to_error(my::status&& s) { return s.code(); }
///     };
///
/// `to_error` is called only if `failed` returned true. A specialisation takes precedence over all
/// types that errgroup knows by itself.
template <class R>
struct result_traits;

/// An `errc` is an error, and 0 is success: `return errgroup::stop_repeating;`.
template <>
struct result_traits<errc> {
  /// True unless `e` is 0.
  static bool failed(errc e) noexcept { return e != errc{}; }
  /// The error with the code `e`.
  static error to_error(errc e) noexcept { return e; }
};

namespace detail {

template <class R>
concept has_traits = requires(R const& r, R&& moved) {
  { result_traits<R>::failed(r) } -> std::convertible_to<bool>;
  { result_traits<R>::to_error(std::move(moved)) } -> std::convertible_to<error>;
};

template <class R>
concept expected_like = requires(R const& r, R&& moved) {
  { r.has_value() } -> std::convertible_to<bool>;
  std::move(moved).error();
};

/// `e`, or `errc::failed` if the callee's own error says "no error": a failure is never turned into
/// success.
inline error certainly(error e) noexcept { return e ? std::move(e) : error(errc::failed); }

/// A type that is an error as it is. (A type derived from `std::error_code` would lose its
/// additions.)
template <class T>
concept plain_error = std::same_as<T, error> || std::same_as<T, std::error_code> ||
                      std::same_as<T, std::exception_ptr> || std::is_error_code_enum_v<T>;

template <class E>
error kept_whole(E&& value) {
  using T = std::remove_cvref_t<E>;
  if constexpr (plain_error<T>) {
    return certainly(std::forward<E>(value));
  } else if constexpr (std::derived_from<T, std::error_code>) {
    std::error_code const code = value;
    return make_whole<T>(std::forward<E>(value), code);
  } else if constexpr (std::is_error_condition_enum_v<T> &&
                       requires { std::error_code(make_error_code(value)); }) {
    std::error_code const code = make_error_code(value);  // std::errc
    return make_whole<T>(std::forward<E>(value), code);
  } else {
    return make_whole<T>(std::forward<E>(value));
  }
}

}  // namespace detail

/// A result that a group can read as success or failure: void, a `std::error_code`, an
/// `errgroup::error`, any type of `std::expected`'s shape, or a type with `result_traits`.
template <class R>
concept task_result =
    std::is_void_v<R> || detail::has_traits<std::remove_cvref_t<R>> ||
    std::same_as<std::remove_cvref_t<R>, std::error_code> ||
    std::same_as<std::remove_cvref_t<R>, error> || detail::expected_like<std::remove_cvref_t<R>>;

namespace detail {

/// Whether a return value is a failure. `to_error` makes the error of it.
template <class R>
bool is_failure(R const& returned) {
  if constexpr (has_traits<R>) {
    return result_traits<R>::failed(returned);
  } else if constexpr (std::same_as<R, std::error_code> || std::same_as<R, error>) {
    return static_cast<bool>(returned);
  } else if constexpr (expected_like<R>) {
    return !returned.has_value();
  } else {
    return false;  // a value
  }
}

template <class R>
error to_error(R&& result) {
  using T = std::remove_cvref_t<R>;
  if constexpr (has_traits<T>) {
    if (!result_traits<T>::failed(result)) {
      return {};
    }
    T mine(std::forward<R>(result));
    return certainly(result_traits<T>::to_error(std::move(mine)));
  } else if constexpr (std::same_as<T, std::error_code> || std::same_as<T, error>) {
    return std::forward<R>(result);
  } else {
    return result.has_value() ? error() : kept_whole(std::forward<R>(result).error());
  }
}

/// A callable that gets the index of its task: see `extend::numbered_call`.
struct numbered_call {
  std::size_t number = npos;
};

// A callable is called as an lvalue, which is how it is kept. If it can only be called as an
// rvalue, it is called as an rvalue. It is called once in either case.
template <class F, class... Args>
using called_as = std::conditional_t<std::invocable<F&, Args...>, F&, F>;

template <class F>
concept takes_token = std::invocable<called_as<F, std::stop_token>, std::stop_token>;

template <class F>
concept takes_nothing = std::invocable<called_as<F>>;

template <class F>
struct task_call {};
template <takes_token F>
struct task_call<F> {
  using result = std::invoke_result_t<called_as<F, std::stop_token>, std::stop_token>;
};
template <class F>
  requires(!takes_token<F> && takes_nothing<F>)
struct task_call<F> {
  using result = std::invoke_result_t<called_as<F>>;
};

}  // namespace detail

/// A callable that a group can run: it is called without arguments, or with a `std::stop_token` if
/// it takes a token, and returns a `task_result`. The callable is moved or copied into the group
/// first. It may be move-only and mutable.
template <class F>
concept task = std::constructible_from<std::decay_t<F>, F> &&
               (detail::takes_token<std::decay_t<F>> || detail::takes_nothing<std::decay_t<F>>) &&
               task_result<typename detail::task_call<std::decay_t<F>>::result>;

namespace detail {

/// Refuses an `F` that is no task, with a message that gives the reason.
template <class F>
constexpr void require_task() {
  using D = std::decay_t<F>;
  static_assert(std::constructible_from<D, F>,
                "errgroup: the task is kept by value, so it has to be copied or moved in: pass a "
                "move-only callable with std::move");
  constexpr bool callable = takes_token<D> || takes_nothing<D>;
  static_assert(callable,
                "errgroup: a task is called with nothing, or with a std::stop_token if it takes "
                "one; capture what else it needs");
  if constexpr (callable) {
    using R = typename task_call<D>::result;
    static_assert(task_result<R>,
                  "errgroup: a task returns void, std::error_code, errgroup::error or a type of "
                  "std::expected's shape; for a std::errc, return std::make_error_code(...); for "
                  "an int, decide what it means and return std::make_error_code(...) or nothing; "
                  "for a type of your own, specialise errgroup::result_traits");
  }
}

/// True for an empty `std::function`, a null function pointer and the like.
template <class F>
bool is_null(F const& f) noexcept {
  if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) {
    return f == nullptr;
  } else if constexpr (std::constructible_from<F, std::nullptr_t> && requires {
                         { f == nullptr } -> std::convertible_to<bool>;
                       }) {
    return f == nullptr;
  } else {
    return false;
  }
}

/// The exception being handled, as an error. The code is stored now, while it is known: finding the
/// code later takes a rethrow.
inline error caught(std::error_code code = errc::exception) noexcept {
  return error_access::make(code ? code : errc::exception, std::current_exception());
}

/// Calls `invoke`, which returns an `R`, and hands its failure, if there is a failure, to `fail`.
/// Every exception is a failure. If the call ends its thread, the process terminates with a
/// message.
template <class R, class Invoke, class Fail>
void report(Invoke const& invoke, Fail const& fail) noexcept {
  try {
    if constexpr (std::is_void_v<R>) {
      invoke();
    } else if (error e = to_error(invoke())) {
      fail(std::move(e));
    }
  } catch (std::system_error const& e) {
    fail(caught(e.code()));
  } catch (std::error_code const& e) {
    fail(caught(e));
  } catch (exception_group const& e) {
    fail(certainly(e.error()));
  } catch (error const& e) {
    fail(certainly(e));
  } catch (forced_unwind const&) {
    refuse_end_of_thread();
  } catch (...) {
    fail(caught());
  }
}

/// Calls a task.
template <class F, class Token>
typename task_call<F>::result invoke_task(F& f, Token const& token) {
  if constexpr (takes_token<F>) {
    return static_cast<called_as<F, std::stop_token>&&>(f)(token());
  } else {
    return static_cast<called_as<F>&&>(f)();
  }
}

/// Like `report`, for a task.
template <class F, class Token, class Fail>
void call(F& f, Token const& token, Fail const& fail) noexcept {
  using R = typename task_call<F>::result;
  report<R>([&]() -> R { return invoke_task(f, token); }, fail);
}

/// Like `call`, but an exception of the task terminates the process. (Exceptions before the call,
/// and of reading the task's result, do not.)
template <class F, class Token, class Fail>
void call_unguarded(F& f, Token const& token, Fail const& fail) noexcept {
  using R = typename task_call<F>::result;
  auto call_with = [&](auto const& ready) {
    auto body = [&] {
      if constexpr (std::is_void_v<R>) {
        invoke_task(f, ready);
      } else {
        decltype(auto) result = invoke_task(f, ready);
        report<R>([&]() -> R&& { return std::forward<R>(result); }, fail);
      }
    };
    call_outermost(body);
  };
  if constexpr (takes_token<F>) {
    std::optional<std::stop_token> mine;
    report<void>([&] { mine = token(); }, fail);
    if (mine) {
      call_with([&mine] { return *mine; });
    }
  } else {
    call_with(token);
  }
}

}  // namespace detail
}  // namespace errgroup::inline v1

#endif  // ERRGROUP_TASK_HPP
