// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_RESULT_HPP
#define ERRGROUP_RESULT_HPP

#include <errgroup/error.hpp>
#include <errgroup/task.hpp>

#include <concepts>      // constructible_from, convertible_to, default_initializable, same_as
#include <functional>    // invoke
#include <optional>      // optional
#include <system_error>  // error_code, is_error_code_enum_v
#include <type_traits>   // conditional_t, invoke_result_t, is_object_v, is_void_v, remove_cvref_t
#include <utility>       // forward, in_place_t, move
#include <version>       // __cpp_lib_expected
#if defined(__cpp_lib_expected)
#include <expected>  // expected, unexpected
#endif

namespace errgroup::inline v1 {

template <class T = void>
class result;

namespace detail {

template <class R>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

#if defined(__cpp_lib_expected)
template <class R>
inline constexpr bool is_unexpected = false;
template <class E>
inline constexpr bool is_unexpected<std::unexpected<E>> = true;
#else
template <class R>
inline constexpr bool is_unexpected = false;
#endif

/// A type that a `result` takes for a failure.
template <class E>
concept failure = plain_error<std::remove_cvref_t<E>> || is_unexpected<std::remove_cvref_t<E>>;

template <class E>
error as_failure(E&& e) {
  if constexpr (is_unexpected<std::remove_cvref_t<E>>) {
    return kept_whole(std::forward<E>(e).error());
  } else {
    return error(std::forward<E>(e));
  }
}

/// A type of `std::expected`'s shape, with or without a value, but not `result<T>` itself.
template <class R, class T>
concept other_expected =
    expected_like<std::remove_cvref_t<R>> && !std::same_as<std::remove_cvref_t<R>, result<T>> &&
    !std::same_as<std::remove_cvref_t<R>, T>;

template <class R>
concept has_star =
    requires(R&& r) { *std::forward<R>(r); } && !std::is_void_v<decltype(*std::declval<R>())>;

/// A type of `std::expected`'s shape with a value: `*r`, or `r.value()` if the type has no `*`, as
/// in Boost.Outcome.
template <class R>
concept holds_value = has_star<R> || (requires(R&& r) { std::forward<R>(r).value(); } &&
                                      !std::is_void_v<decltype(std::declval<R>().value())>);

/// An argument of `error::with_context`.
template <class C>
concept context_of_error =
    requires(error const& e, C&& context) { e.with_context(std::forward<C>(context)); };

template <holds_value R>
decltype(auto) held_value(R&& r) {
  if constexpr (has_star<R>) {
    return *std::forward<R>(r);
  } else {
    return std::forward<R>(r).value();
  }
}

}  // namespace detail

/// A value or an error: `std::expected<T, error>`, for C++20, with the same members.
///
///     errgroup::result<image> load(path const& p) {
///       if (!exists(p)) return std::make_error_code(std::errc::no_such_file_or_directory);
///       return image(p);
///     }
///
/// A value converts to a result. So does a failure: an `error`, a `std::error_code` or an enum of
/// error codes, an exception. So does every type of `std::expected`'s shape. A result converts to
/// `std::expected<T, error>`, if the standard library has this type. A failure that says "no error"
/// becomes `errc::failed`.
///
/// `T` is an object type, and no error. `T` may be move-only, and needs no default constructor.
template <class T>
class [[ERRGROUP_NODISCARD_RESULT]] result {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>,
                "errgroup: a result holds an object; return a pointer or a std::reference_wrapper "
                "for a reference");
  static_assert(!detail::plain_error<T>,
                "errgroup: a result's value is no error: use errgroup::result<> for what has none");

 public:
  /// The type of the value.
  using value_type = T;
  /// The type of the error.
  using error_type = errgroup::error;
  /// The result with another type of value.
  template <class U>
  using rebind = result<U>;

  /// The value is `T()`.
  result() noexcept(std::is_nothrow_default_constructible_v<T>)
    requires std::default_initializable<T>
      : value_(std::in_place) {}

  /// The value is `T(value)`. Implicit if `value` converts to a `T`.
  template <class U = T>
    requires(!detail::is_result<std::remove_cvref_t<U>> && std::constructible_from<T, U> &&
             !detail::failure<U> && !std::same_as<std::remove_cvref_t<U>, std::in_place_t> &&
             (!detail::other_expected<U, T> || std::convertible_to<U, T>))
  explicit(!std::convertible_to<U, T>) result(U&& value)
      : value_(std::in_place, std::forward<U>(value)) {}

  /// The value is `T(args...)`.
  template <class... Args>
    requires std::constructible_from<T, Args...>
  explicit result(std::in_place_t /*unused*/, Args&&... args)
      : value_(std::in_place, std::forward<Args>(args)...) {}

  /// A failure: an `error`, a `std::error_code`, an enum of error codes, a `std::exception_ptr`, a
  /// `std::unexpected`. If it says "no error", the error is `errc::failed`.
  template <detail::failure E>
  result(E&& e) : error_(detail::certainly(detail::as_failure(std::forward<E>(e)))) {}

  /// From another result, a `std::expected` or the like.
  template <class R>
    requires(detail::other_expected<R, T> && detail::holds_value<R> && !std::convertible_to<R, T> &&
             std::constructible_from<T, decltype(detail::held_value(std::declval<R>()))>)
  explicit(!std::convertible_to<decltype(detail::held_value(std::declval<R>())), T>)
      result(R&& other) {
    if (other.has_value()) {
      value_.emplace(detail::held_value(std::forward<R>(other)));
    } else {
      error_ = detail::kept_whole(std::forward<R>(other).error());
    }
  }

  /// True if the result has a value, and no error.
  [[ERRGROUP_NODISCARD_ANSWER]] bool has_value() const noexcept { return value_.has_value(); }
  /// The same as `has_value`.
  explicit operator bool() const noexcept { return has_value(); }

  /// The value. The result must have a value.
  [[ERRGROUP_NODISCARD_ANSWER]] T& operator*() & noexcept { return *value_; }
  /// The value of a const result.
  [[ERRGROUP_NODISCARD_ANSWER]] T const& operator*() const& noexcept { return *value_; }
  /// The value of a temporary result, as an rvalue.
  [[ERRGROUP_NODISCARD_ANSWER]] T&& operator*() && noexcept { return *std::move(value_); }
  /// The value of a const temporary result, as an rvalue.
  [[ERRGROUP_NODISCARD_ANSWER]] T const&& operator*() const&& noexcept {
    return *std::move(value_);
  }
  /// A member of the value. The result must have a value.
  [[ERRGROUP_NODISCARD_ANSWER]] T* operator->() noexcept { return value_.operator->(); }
  /// The same for a const result.
  [[ERRGROUP_NODISCARD_ANSWER]] T const* operator->() const noexcept { return value_.operator->(); }

  /// The value. Throws `error().exception()` if the result has no value.
  T& value() & {
    require_value();
    return *value_;
  }
  /// The same for a const result.
  T const& value() const& {
    require_value();
    return *value_;
  }
  /// The same for a temporary result: the value is an rvalue.
  T&& value() && {
    require_value();
    return *std::move(value_);
  }

  /// The error; success if the result has a value. A temporary result returns the error by value,
  /// so `auto const& err = f().error();` is fine. (`std::expected` returns a reference there. So do
  /// `*` and `value()` of a temporary result.)
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error& error() & noexcept { return error_; }
  /// The same for a const result.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error const& error() const& noexcept { return error_; }
  /// The same by value, for a temporary result.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error error() && noexcept { return std::move(error_); }
  /// The same by value, for a const temporary result.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error error() const&& noexcept { return error_; }

  /// A copy of the value; `other` if the result has no value.
  template <class U>
  [[ERRGROUP_NODISCARD_ANSWER]] T value_or(U&& other) const& {
    return value_.value_or(std::forward<U>(other));
  }
  /// The same for a temporary result: the value is moved, not copied.
  template <class U>
  [[ERRGROUP_NODISCARD_ANSWER]] T value_or(U&& other) && {
    return std::move(value_).value_or(std::forward<U>(other));
  }
  /// The error; `other` if the result has a value.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error error_or(errgroup::error other) const {
    if (!has_value()) {
      return error_;
    }
    return other;
  }

  /// Makes the value `T(args...)` in place of the value or the error. If that throws, the result is
  /// a failure: its old error, or `errc::failed`.
  template <class... Args>
  T& emplace(Args&&... args) {
    error_ = detail::certainly(std::move(error_));  // until the value is made, which may throw
    T& made = value_.emplace(std::forward<Args>(args)...);
    error_ = {};
    return made;
  }

  /// If the result has a value, returns `f(value)`, which is a result. Otherwise returns the
  /// failure.
  template <class F>
  auto and_then(F&& f) & {
    return chain(*this, std::forward<F>(f));
  }
  /// The same for a const result.
  template <class F>
  auto and_then(F&& f) const& {
    return chain(*this, std::forward<F>(f));
  }
  /// The same for a temporary result: the value is moved into the call.
  template <class F>
  auto and_then(F&& f) && {
    return chain(std::move(*this), std::forward<F>(f));
  }

  /// If the result has a value, returns a result with `f(value)`. Otherwise returns the failure.
  template <class F>
  auto transform(F&& f) & {
    return map(*this, std::forward<F>(f));
  }
  /// The same for a const result.
  template <class F>
  auto transform(F&& f) const& {
    return map(*this, std::forward<F>(f));
  }
  /// The same for a temporary result: the value is moved into the call.
  template <class F>
  auto transform(F&& f) && {
    return map(std::move(*this), std::forward<F>(f));
  }

  /// If the result has no value, returns `f(error)`, which is a result of the same type. Otherwise
  /// returns this result.
  template <class F>
  [[ERRGROUP_NODISCARD_COPY]] result or_else(F&& f) const& {
    return has_value() ? *this : result(std::invoke(std::forward<F>(f), error_));
  }
  /// The same for a temporary result: the value or the error is moved.
  template <class F>
  [[ERRGROUP_NODISCARD_COPY]] result or_else(F&& f) && {
    return has_value() ? std::move(*this)
                       : result(std::invoke(std::forward<F>(f), std::move(error_)));
  }

  /// If the result has no value, returns a result with the error `f(error)`. Otherwise returns this
  /// result.
  template <class F>
  [[ERRGROUP_NODISCARD_COPY]] result transform_error(F&& f) const& {
    return has_value() ? *this : result(errgroup::error(std::invoke(std::forward<F>(f), error_)));
  }
  /// The same for a temporary result: the value or the error is moved.
  template <class F>
  [[ERRGROUP_NODISCARD_COPY]] result transform_error(F&& f) && {
    return has_value()
               ? std::move(*this)
               : result(errgroup::error(std::invoke(std::forward<F>(f), std::move(error_))));
  }

  /// If the result has no value, returns a result with `context` before the error's text. Otherwise
  /// returns this result. `context` is a text, or a callable that makes a text: see
  /// `error::with_context`.
  template <detail::context_of_error C>
  [[ERRGROUP_NODISCARD_COPY]] result with_context(C&& context) const& {
    return has_value() ? *this : result(error_.with_context(std::forward<C>(context)));
  }
  /// The same for a temporary result: the value is moved.
  template <detail::context_of_error C>
  [[ERRGROUP_NODISCARD_COPY]] result with_context(C&& context) && {
    return has_value() ? std::move(*this) : result(error_.with_context(std::forward<C>(context)));
  }

#if defined(__cpp_lib_expected)
  /// The same value or error as a `std::expected`, if the standard library has this type.
  template <class E>
    requires std::constructible_from<E, errgroup::error>
  operator std::expected<T, E>() const& {
    return has_value() ? std::expected<T, E>(*value_) : std::expected<T, E>(std::unexpect, error_);
  }
  /// The same for a temporary result: the value or the error is moved.
  template <class E>
    requires std::constructible_from<E, errgroup::error>
  operator std::expected<T, E>() && {
    return has_value() ? std::expected<T, E>(*std::move(value_))
                       : std::expected<T, E>(std::unexpect, std::move(error_));
  }
#endif

  /// Exchanges the two results.
  void swap(result& other) noexcept(std::is_nothrow_swappable_v<T> &&
                                    std::is_nothrow_move_constructible_v<T>) {
    value_.swap(other.value_);
    std::swap(error_, other.error_);
  }
  /// Exchanges the two results.
  friend void swap(result& a, result& b) noexcept(noexcept(a.swap(b))) { a.swap(b); }

  /// Equal if both have values and the values are equal, or if both have errors and the errors are
  /// equal.
  template <class U>
  friend bool operator==(result const& a, result<U> const& b)
    requires requires(T const& x, U const& y) {
      { x == y } -> std::convertible_to<bool>;
    }
  {
    return a.has_value() == b.has_value() && (a.has_value() ? *a == *b : a.error() == b.error());
  }
  // R is this very type. Argument-dependent lookup also finds this function for types that merely
  // have `result` among their template arguments. For such types, the constraint asks nothing else.
  template <std::same_as<result> R, class U>
    requires(!detail::is_result<U> &&
             requires(T const& x, U const& y) {
               { x == y } -> std::convertible_to<bool>;
             })
  /// Equal if `a` has a value, and the value is equal to `value`.
  friend bool operator==(R const& a, U const& value) {
    return a.has_value() && *a == value;
  }

 private:
  // A result that was moved from may have neither a value nor an error.
  void require_value() const {
    if (!has_value()) {
      detail::certainly(error_).raise();
    }
  }

  template <class Self, class F>
  static auto chain(Self&& self, F&& f) {
    static_assert(std::invocable<F, decltype(*std::forward<Self>(self))>,
                  "errgroup: and_then calls its argument with the value");
    using R = std::remove_cvref_t<std::invoke_result_t<F, decltype(*std::forward<Self>(self))>>;
    static_assert(detail::is_result<R>, "errgroup: and_then takes what returns a result");
    return self.has_value() ? R(std::invoke(std::forward<F>(f), *std::forward<Self>(self)))
                            : R(std::forward<Self>(self).error());
  }

  template <class Self, class F>
  static auto map(Self&& self, F&& f) {
    static_assert(std::invocable<F, decltype(*std::forward<Self>(self))>,
                  "errgroup: transform calls its argument with the value");
    using U = std::remove_cv_t<std::invoke_result_t<F, decltype(*std::forward<Self>(self))>>;
    if (!self.has_value()) {
      return result<U>(std::forward<Self>(self).error());
    }
    if constexpr (std::is_void_v<U>) {
      std::invoke(std::forward<F>(f), *std::forward<Self>(self));
      return result<U>();
    } else {
      return result<U>(std::in_place, std::invoke(std::forward<F>(f), *std::forward<Self>(self)));
    }
  }

  std::optional<T> value_;
  errgroup::error error_;
};

/// Equal if `a` has a value, and the value is equal to `value`.
//
// Not a friend: overload resolution would try a friend for every type that converts to a result,
// and the test for the conversion would ask for the operator again. So a
// `std::vector<std::function<result<int>()>>` could not even be iterated over.
template <class T, class U>
  requires(!detail::is_result<U> &&
           requires(T const& x, U const& y) {
             { x == y } -> std::convertible_to<bool>;
           })
bool operator==(result<T> const& a, U const& value) {
  return a.has_value() && *a == value;
}

/// Success or an error. A function that returns an `error` can return a `result<>` as well, and the
/// other way round.
template <>
class [[ERRGROUP_NODISCARD_RESULT]] result<void> {
 public:
  /// No value.
  using value_type = void;
  /// The type of the error.
  using error_type = errgroup::error;
  /// The result with another type of value.
  template <class U>
  using rebind = result<U>;

  /// Success.
  result() noexcept = default;
  /// Success.
  explicit result(std::in_place_t /*unused*/) noexcept {}

  /// An empty error is success here; an empty `std::unexpected` is not.
  template <class E>
    requires(detail::failure<E>)
  result(E&& e) : error_(detail::as_failure(std::forward<E>(e))) {}

  /// From a `std::expected` or the like. If it has a value, the value is dropped.
  template <detail::other_expected<void> R>
  result(R&& other) {
    if (!other.has_value()) {
      error_ = detail::kept_whole(std::forward<R>(other).error());
    }
  }

  /// True for success.
  [[ERRGROUP_NODISCARD_ANSWER]] bool has_value() const noexcept { return !error_; }
  /// The same as `has_value`.
  explicit operator bool() const noexcept { return has_value(); }
  /// Nothing: for code that treats every `result<T>` alike.
  void operator*() const noexcept {}

  /// Throws `error().exception()` unless the result is success.
  void value() const { error_.raise(); }

  /// The error; success if the result is success. A temporary result returns the error by value.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error& error() & noexcept { return error_; }
  /// The same for a const result.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error const& error() const& noexcept { return error_; }
  /// The same by value, for a temporary result.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error error() && noexcept { return std::move(error_); }
  /// The same by value, for a const temporary result.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error error() const&& noexcept { return error_; }
  /// The error; `other` if the result is success.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error error_or(errgroup::error other) const {
    if (!has_value()) {
      return error_;
    }
    return other;
  }

  /// The result is success afterwards.
  void emplace() noexcept { error_ = {}; }

  /// If the result is success, returns `f()`, which is a result. Otherwise returns the failure.
  template <class F>
  auto and_then(F&& f) const {
    using R = std::remove_cvref_t<std::invoke_result_t<F>>;
    static_assert(detail::is_result<R>, "errgroup: and_then takes what returns a result");
    return has_value() ? R(std::invoke(std::forward<F>(f))) : R(error_);
  }

  /// If the result is success, returns a result with `f()`. Otherwise returns the failure.
  template <class F>
  auto transform(F&& f) const {
    using U = std::remove_cv_t<std::invoke_result_t<F>>;
    if (!has_value()) {
      return result<U>(error_);
    }
    if constexpr (std::is_void_v<U>) {
      std::invoke(std::forward<F>(f));
      return result<U>();
    } else {
      return result<U>(std::in_place, std::invoke(std::forward<F>(f)));
    }
  }

  /// If the result is a failure, returns `f(error)`, which is a result without a value. Otherwise
  /// returns this result.
  template <class F>
  [[ERRGROUP_NODISCARD_COPY]] result or_else(F&& f) const {
    return has_value() ? *this : result(std::invoke(std::forward<F>(f), error_));
  }

  /// If the result is a failure, returns a result with the error `f(error)`. Otherwise returns this
  /// result.
  template <class F>
  [[ERRGROUP_NODISCARD_COPY]] result transform_error(F&& f) const {
    return has_value() ? *this
                       : result(detail::certainly(
                             errgroup::error(std::invoke(std::forward<F>(f), error_))));
  }

  /// If the result is a failure, returns a result with `context` before the error's text. Otherwise
  /// returns this result. `context` is a text, or a callable that makes a text: see
  /// `error::with_context`.
  template <detail::context_of_error C>
  [[ERRGROUP_NODISCARD_COPY]] result with_context(C&& context) const noexcept {
    return result(error_.with_context(std::forward<C>(context)));
  }

#if defined(__cpp_lib_expected)
  /// The same success or error as a `std::expected`, if the standard library has this type.
  template <class E>
    requires std::constructible_from<E, errgroup::error>
  operator std::expected<void, E>() const {
    return has_value() ? std::expected<void, E>() : std::expected<void, E>(std::unexpect, error_);
  }
#endif

  /// Exchanges the two results.
  void swap(result& other) noexcept { std::swap(error_, other.error_); }
  /// Exchanges the two results.
  friend void swap(result& a, result& b) noexcept { a.swap(b); }
  /// Equal if both are success, or if their errors are equal.
  friend bool operator==(result const& a, result const& b) noexcept { return a.error_ == b.error_; }

 private:
  errgroup::error error_;
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_RESULT_HPP
