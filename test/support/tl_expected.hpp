// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_TL_EXPECTED_HPP
#define ERRGROUP_TEST_SUPPORT_TL_EXPECTED_HPP

// A stand-in for tl::expected, which Debian 12 has no package of: its interface, as far as it makes
// a result and reads it (https://github.com/TartanLlama/expected), and not its code. Unlike
// std::expected it is there in C++11, `value` throws tl::bad_expected_access<E>, and a
// tl::unexpected has no default.

#include <exception>    // exception
#include <type_traits>  // add_lvalue_reference_t, decay_t, is_constructible_v, ...
#include <utility>      // forward, in_place_index, move
#include <variant>      // get, get_if, monostate, variant

namespace tl {

template <class E>
class unexpected {
 public:
  unexpected() = delete;
  explicit unexpected(E const& e) : value_(e) {}
  explicit unexpected(E&& e) : value_(std::move(e)) {}

  [[nodiscard]] E const& value() const& { return value_; }
  [[nodiscard]] E& value() & { return value_; }
  [[nodiscard]] E&& value() && { return std::move(value_); }
  [[nodiscard]] E const&& value() const&& { return std::move(value_); }

 private:
  E value_;
};
template <class E>
unexpected(E) -> unexpected<E>;

template <class E>
unexpected<std::decay_t<E>> make_unexpected(E&& e) {
  return unexpected<std::decay_t<E>>(std::forward<E>(e));
}

struct unexpect_t {
  explicit unexpect_t() = default;
};
inline constexpr unexpect_t unexpect{};

template <class E>
class bad_expected_access : public std::exception {
 public:
  explicit bad_expected_access(E e) : value_(std::move(e)) {}
  [[nodiscard]] char const* what() const noexcept override { return "Bad expected access"; }
  [[nodiscard]] E const& error() const& { return value_; }

 private:
  E value_;
};

template <class T, class E>
class expected {
  using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

 public:
  using value_type = T;
  using error_type = E;
  using unexpected_type = unexpected<E>;

  expected()
    requires std::is_default_constructible_v<stored>
  = default;
  template <class U = T>
    requires(!std::is_void_v<T> && std::is_constructible_v<stored, U &&> &&
             !std::is_same_v<std::decay_t<U>, expected>)
  explicit(!std::is_convertible_v<U&&, stored>) expected(U&& value)
      : content_(std::in_place_index<0>, std::forward<U>(value)) {}
  template <class G>
    requires std::is_constructible_v<E, G const&>
  explicit(!std::is_convertible_v<G const&, E>) expected(unexpected<G> const& e)
      : content_(std::in_place_index<1>, e.value()) {}
  template <class G>
    requires std::is_constructible_v<E, G&&>
  explicit(!std::is_convertible_v<G&&, E>) expected(unexpected<G>&& e)
      : content_(std::in_place_index<1>, std::move(e).value()) {}
  template <class... Args>
    requires std::is_constructible_v<E, Args&&...>
  explicit expected(unexpect_t /*unused*/, Args&&... args)
      : content_(std::in_place_index<1>, std::forward<Args>(args)...) {}

  [[nodiscard]] bool has_value() const noexcept { return content_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  std::add_lvalue_reference_t<T const> value() const& {
    if (!has_value()) {
      throw bad_expected_access<E>(error());
    }
    if constexpr (!std::is_void_v<T>) {
      return std::get<0>(content_);
    }
  }

  [[nodiscard]] auto& operator*() & noexcept
    requires(!std::is_void_v<T>)
  {
    return *std::get_if<0>(&content_);
  }
  [[nodiscard]] auto const& operator*() const& noexcept
    requires(!std::is_void_v<T>)
  {
    return *std::get_if<0>(&content_);
  }
  [[nodiscard]] auto&& operator*() && noexcept
    requires(!std::is_void_v<T>)
  {
    return std::move(*std::get_if<0>(&content_));
  }

  [[nodiscard]] E const& error() const& { return *std::get_if<1>(&content_); }
  [[nodiscard]] E& error() & { return *std::get_if<1>(&content_); }
  [[nodiscard]] E const&& error() const&& { return std::move(*std::get_if<1>(&content_)); }
  [[nodiscard]] E&& error() && { return std::move(*std::get_if<1>(&content_)); }

 private:
  std::variant<stored, E> content_;
};

}  // namespace tl

#endif  // ERRGROUP_TEST_SUPPORT_TL_EXPECTED_HPP
