// SPDX-License-Identifier: Apache-2.0

// result<T>: a value, or why there is none; `std::expected<T, error>` in C++20.
//
// This file is two programs: with a library that has <expected> (C++23) it is about converting from
// and to std::expected, too.

#include "support/calls.hpp"
#include "support/tl_expected.hpp"
#include <errgroup/result.hpp>

#include <gtest/gtest.h>

#include <any>           // any
#include <exception>     // exception_ptr, make_exception_ptr
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <optional>      // nullopt, optional
#include <stdexcept>     // runtime_error
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // errc, error_code, make_error_code, system_error
#include <type_traits>   // is_constructible_v, is_convertible_v, ...
#include <utility>       // as_const, in_place, move, swap
#include <vector>        // vector
#include <version>       // __cpp_lib_expected
#if defined(__cpp_lib_expected)
#include <expected>  // expected, unexpected
#endif

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::result;
using support::just_moved;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

class Result : public support::no_leaks {};

// --- a value ---------------------------------------------------------------------------------

TEST_F(Result, without_an_argument_it_has_a_default_value) {
  result<int> const number;
  ASSERT_TRUE(number);
  EXPECT_EQ(*number, 0);
  result<std::string> const text;
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(*text, "");
  EXPECT_FALSE(number.error());
  static_assert(std::is_nothrow_default_constructible_v<result<int>>);
  static_assert(!std::is_default_constructible_v<result<just_moved>>);
}

TEST_F(Result, what_converts_to_a_value_converts_to_it) {
  result<std::string> const text = "three";
  EXPECT_EQ(*text, "three");
  result<long> const number = 3;
  EXPECT_EQ(*number, 3);
  result<std::unique_ptr<int>> const moved = std::make_unique<int>(3);
  EXPECT_EQ(**moved, 3);
  result<std::optional<int>> const some = 3;
  EXPECT_EQ(*some, std::optional(3));
  result<std::optional<int>> const none = std::nullopt;
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());
  result<bool> const no = false;
  ASSERT_TRUE(no.has_value());
  EXPECT_FALSE(*no);
}

TEST_F(Result, what_a_value_is_made_of_explicitly_makes_it_explicitly) {
  static_assert(std::is_constructible_v<result<std::vector<int>>, int>);
  static_assert(!std::is_convertible_v<int, result<std::vector<int>>>);
  static_assert(std::is_constructible_v<result<std::unique_ptr<int>>, int*>);
  static_assert(!std::is_convertible_v<int*, result<std::unique_ptr<int>>>);
  result<std::vector<int>> const three(std::in_place, 3U, 7);
  EXPECT_EQ(*three, std::vector<int>({7, 7, 7}));
  result<just_moved> const in_place(std::in_place, 3);
  EXPECT_EQ(in_place->get(), 3);
}

TEST_F(Result, a_value_may_be_of_a_type_that_takes_anything) {
  result<std::any> const number = std::any(3);
  EXPECT_EQ(std::any_cast<int>(*number), 3);
  result<std::any> const copied(number);  // NOLINT(performance-unnecessary-copy-initialization)
  ASSERT_TRUE(copied);
  EXPECT_EQ(std::any_cast<int>(*copied), 3);
  result<std::any> const failed = cause();
  EXPECT_FALSE(failed) << "an error is not a value";
  result<std::function<int()>> const call = [] { return 3; };
  EXPECT_EQ((*call)(), 3);
}

TEST_F(Result, a_value_that_is_only_moved_is_moved) {
  static_assert(!std::is_copy_constructible_v<result<just_moved>>);
  static_assert(!std::is_move_assignable_v<result<just_moved>>);
  static_assert(std::is_nothrow_move_constructible_v<result<just_moved>>);
  result<just_moved> r = just_moved(3);
  result<just_moved> moved = std::move(r);
  EXPECT_EQ(moved->get(), 3);
  just_moved const out = std::move(moved).value();
  EXPECT_EQ(out.get(), 3);
  result<just_moved> failed = cause();
  result<just_moved> const failed_too = std::move(failed);
  EXPECT_EQ(failed_too.error(), cause());
}

TEST_F(Result, it_is_copied_and_assigned_like_its_value) {
  result<std::string> a = "a";
  result<std::string> b = a;
  EXPECT_EQ(a, b);
  a = cause();
  EXPECT_EQ(a.error(), cause());
  b = a;
  EXPECT_FALSE(b);
  EXPECT_EQ(b.error(), cause());
  a = "again";
  ASSERT_TRUE(a);
  EXPECT_EQ(*a, "again");
  EXPECT_FALSE(a.error()) << "it has a value now";
  b = std::move(a);
  EXPECT_EQ(*b, "again");
  EXPECT_FALSE(b.error());
}

TEST_F(Result, its_value_has_the_reference_it_is_asked_for_with) {
  using R = result<std::string>;
  static_assert(std::is_same_v<decltype(*std::declval<R&>()), std::string&>);
  static_assert(std::is_same_v<decltype(*std::declval<R const&>()), std::string const&>);
  static_assert(std::is_same_v<decltype(*std::declval<R>()), std::string&&>);
  static_assert(std::is_same_v<decltype(*std::declval<R const>()), std::string const&&>);
  static_assert(std::is_same_v<decltype(std::declval<R&>().value()), std::string&>);
  static_assert(std::is_same_v<decltype(std::declval<R const&>().value()), std::string const&>);
  static_assert(std::is_same_v<decltype(std::declval<R>().value()), std::string&&>);
  static_assert(std::is_same_v<decltype(std::declval<R&>().error()), error&>);
  static_assert(std::is_same_v<decltype(std::declval<R const&>().error()), error const&>);
  static_assert(std::is_same_v<decltype(std::declval<R>().error()), error>);
  static_assert(std::is_same_v<R::value_type, std::string>);
  static_assert(std::is_same_v<R::error_type, error>);
  static_assert(std::is_same_v<R::rebind<int>, result<int>>);
  static_assert(std::is_same_v<result<>, result<void>>);
  R r = "one";
  r->append(" two");
  EXPECT_EQ(std::as_const(r)->size(), 7U);
  *r = "three";
  EXPECT_EQ(r.value(), "three");
}

// --- a failure -------------------------------------------------------------------------------

enum class fault { none, broken };

}  // namespace

template <>
struct std::is_error_code_enum<fault> : std::true_type {};

namespace {

std::error_code make_error_code(fault f) { return f == fault::none ? std::error_code() : cause(); }

TEST_F(Result, a_failure_converts_to_it) {
  result<int> const code = cause();
  EXPECT_FALSE(code);
  EXPECT_EQ(code.error(), cause());
  result<int> const ours = errc::canceled;
  EXPECT_EQ(ours.error(), errc::canceled);
  result<int> const of_an_enum = fault::broken;
  EXPECT_EQ(of_an_enum.error(), cause());
  result<int> const whole = error(cause());
  EXPECT_EQ(whole.error(), cause());
  result<int> const thrown = std::make_exception_ptr(std::runtime_error("thrown"));
  EXPECT_EQ(thrown.error().what(), "thrown");
}

TEST_F(Result, a_failure_is_none_of_its_values_although_it_would_convert) {
  result<bool> const code = cause();
  EXPECT_FALSE(code.has_value());
  result<bool> const whole = error(cause());
  EXPECT_FALSE(whole.has_value());
  result<bool> const exception = std::make_exception_ptr(1);
  EXPECT_FALSE(exception.has_value());
  struct from_code {
    from_code(std::error_code /*unused*/) {}  // NOLINT(google-explicit-constructor)
  };
  result<from_code> const r = cause();
  EXPECT_FALSE(r.has_value());
}

TEST_F(Result, E2_a_failure_without_an_error_is_a_failure) {
  EXPECT_EQ(result<int>(error()).error(), errc::failed);
  EXPECT_EQ(result<int>(std::error_code()).error(), errc::failed);
  EXPECT_EQ(result<int>(std::exception_ptr()).error(), errc::failed);
  EXPECT_EQ(result<int>(fault::none).error(), errc::failed);
  EXPECT_FALSE(result<int>(error()).has_value());
}

TEST_F(Result, without_a_value_value_throws_the_error) {
  result<int> code = cause();
  EXPECT_THROW((void)code.value(), std::system_error);
  EXPECT_THROW((void)std::as_const(code).value(), std::system_error);
  EXPECT_THROW((void)std::move(code).value(), std::system_error);
  result<int> const thrown = std::make_exception_ptr(std::runtime_error("thrown"));
  EXPECT_THROW((void)thrown.value(), std::runtime_error);
}

TEST_F(Result, E2_without_a_value_and_an_error_value_throws_all_the_same) {
  result<int> r = cause();
  error const taken = std::move(r).error();
  EXPECT_EQ(taken, cause());
  EXPECT_FALSE(r.has_value());
  EXPECT_THROW((void)r.value(), std::system_error);
  EXPECT_THROW((void)std::as_const(r).value(), std::system_error);
  EXPECT_THROW((void)std::move(r).value(), std::system_error);
}

// --- what is made of it ----------------------------------------------------------------------

TEST_F(Result, value_or_and_error_or) {
  result<std::string> const good = "good";
  result<std::string> const bad = cause();
  EXPECT_EQ(good.value_or("other"), "good");
  EXPECT_EQ(bad.value_or("other"), "other");
  EXPECT_EQ(good.error_or(errc::canceled), errc::canceled);
  EXPECT_EQ(bad.error_or(errc::canceled), cause());
  EXPECT_EQ(result<just_moved>(just_moved(3)).value_or(just_moved(4)).get(), 3);
  EXPECT_EQ(result<just_moved>(cause()).value_or(just_moved(4)).get(), 4);
  EXPECT_EQ(result<>().error_or(errc::canceled), errc::canceled);
  EXPECT_EQ(result<>(cause()).error_or(errc::canceled), cause());
}

TEST_F(Result, emplace_makes_a_value_of_whatever_it_was) {
  result<just_moved> r = cause();
  EXPECT_EQ(r.emplace(3).get(), 3);
  EXPECT_TRUE(r);
  EXPECT_FALSE(r.error());
  EXPECT_EQ(r.emplace(4).get(), 4);
  result<> v = cause();
  v.emplace();
  EXPECT_TRUE(v);
}

TEST_F(Result, E2_an_emplace_that_throws_leaves_a_failure) {
  struct throws {
    explicit throws(bool does) {
      if (does) {
        throw std::runtime_error("in emplace");
      }
    }
  };
  result<throws> r(std::in_place, false);
  EXPECT_THROW(r.emplace(true), std::runtime_error);
  EXPECT_FALSE(r.has_value());
  EXPECT_TRUE(r.error());
  EXPECT_THROW((void)r.value(), std::system_error);
  result<throws> failed = cause();
  EXPECT_THROW(failed.emplace(true), std::runtime_error);
  EXPECT_EQ(failed.error(), cause());
}

TEST_F(Result, and_then_goes_on_with_a_value) {
  auto half = [](int n) -> result<double> {
    if (n % 2 != 0) {
      return cause();
    }
    return n / 2.0;
  };
  result<int> six = 6;
  EXPECT_EQ(six.and_then(half), 3.0);
  EXPECT_EQ(std::as_const(six).and_then(half), 3.0);
  EXPECT_EQ(result<int>(7).and_then(half).error(), cause());
  bool called = false;
  auto const skipped = result<int>(errc::canceled).and_then([&](int) -> result<> {
    called = true;
    return {};
  });
  EXPECT_FALSE(called);
  EXPECT_EQ(skipped.error(), errc::canceled);
  EXPECT_EQ(result<just_moved>(just_moved(3))
                .and_then([](just_moved&& v) { return result<int>(v.get()); })
                .value(),
            3);
  EXPECT_EQ(result<>().and_then([] { return result<int>(3); }), 3);
  EXPECT_EQ(result<>(cause()).and_then([] { return result<int>(3); }).error(), cause());
}

TEST_F(Result, transform_makes_another_value) {
  result<int> three = 3;
  EXPECT_EQ(three.transform([](int& n) { return std::to_string(n); }), "3");
  EXPECT_EQ(std::as_const(three).transform([](int const& n) { return n + 1; }), 4);
  EXPECT_EQ(result<just_moved>(just_moved(3))
                .transform([](just_moved&& v) { return just_moved(v.get() + 1); })
                ->get(),
            4);
  EXPECT_EQ(result<int>(cause()).transform([](int) { return 1; }).error(), cause());
  int seen = 0;
  result<> const none = three.transform([&](int n) { seen = n; });
  EXPECT_TRUE(none);
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(result<>().transform([] { return 3; }), 3);
  EXPECT_TRUE(result<>().transform([] {}));
  EXPECT_EQ(result<>(cause()).transform([] { return 3; }).error(), cause());
}

TEST_F(Result, or_else_goes_on_with_a_failure) {
  auto ignore = [](error const& e) -> result<int> {
    if (e == errc::canceled) {
      return 0;
    }
    return e;
  };
  EXPECT_EQ(result<int>(3).or_else(ignore), 3);
  EXPECT_EQ(result<int>(errc::canceled).or_else(ignore), 0);
  EXPECT_EQ(result<int>(cause()).or_else(ignore).error(), cause());
  result<int> const failed = errc::canceled;
  EXPECT_EQ(failed.or_else(ignore), 0);
  EXPECT_EQ(result<just_moved>(cause())
                .or_else([](error&&) { return result<just_moved>(just_moved(3)); })
                ->get(),
            3);
  EXPECT_TRUE(result<>(cause()).or_else([](error const&) { return result<>(); }));
  EXPECT_EQ(result<>(cause()).or_else([](error const& e) { return result<>(e); }).error(), cause());
  EXPECT_TRUE(result<>().or_else([](error const&) { return result<>(cause()); }));
}

TEST_F(Result, transform_error_makes_another_error) {
  auto other = [](error const&) { return errc::canceled; };
  EXPECT_EQ(result<int>(cause()).transform_error(other).error(), errc::canceled);
  EXPECT_EQ(result<int>(3).transform_error(other), 3);
  result<int> const failed = cause();
  EXPECT_EQ(failed.transform_error(other).error(), errc::canceled);
  EXPECT_EQ(result<>(cause()).transform_error(other).error(), errc::canceled);
  EXPECT_TRUE(result<>().transform_error(other));
  auto none = [](error const&) { return error(); };
  EXPECT_EQ(result<int>(cause()).transform_error(none).error(), errc::failed) << "E2";
  EXPECT_EQ(result<>(cause()).transform_error(none).error(), errc::failed) << "E2";
}

TEST_F(Result, it_is_compared_as_a_value_or_as_an_error) {
  EXPECT_EQ(result<int>(3), result<int>(3));
  EXPECT_NE(result<int>(3), result<int>(4));
  EXPECT_NE(result<int>(3), result<int>(cause()));
  EXPECT_EQ(result<int>(cause()), result<int>(cause()));
  EXPECT_NE(result<int>(cause()), result<int>(errc::canceled));
  EXPECT_EQ(result<int>(3), result<long>(3));
  EXPECT_EQ(result<int>(3), 3);
  EXPECT_EQ(3, result<int>(3));
  EXPECT_NE(result<int>(cause()), 0);
  EXPECT_EQ(result<std::string>("three"), "three");
  EXPECT_EQ(result<std::optional<int>>(std::nullopt), std::nullopt);
  EXPECT_EQ(result<>(), result<>());
  EXPECT_NE(result<>(), result<>(cause()));
  EXPECT_EQ(result<>(cause()), result<>(cause()));
}

TEST_F(Result, nothing_else_is_compared_as_it) {
  // Its operators are looked up for whatever has it among its template's arguments.
  std::vector<std::function<result<int>()>> calls;
  EXPECT_TRUE(calls.begin() == calls.end());
  std::vector<result<std::function<int()>>> results(2);
  EXPECT_NE(results.begin(), results.end());
}

TEST_F(Result, it_is_swapped_whatever_is_in_it) {
  using std::swap;
  result<std::string> a = "a";
  result<std::string> b = cause();
  swap(a, b);
  EXPECT_EQ(a.error(), cause());
  EXPECT_EQ(b, "a");
  EXPECT_FALSE(b.error());
  a.swap(b);
  EXPECT_EQ(a, "a");
  EXPECT_EQ(b.error(), cause());
  result<> x;
  result<> y = cause();
  swap(x, y);
  EXPECT_FALSE(x);
  EXPECT_TRUE(y);
  x.swap(y);
  EXPECT_TRUE(x);
  static_assert(std::is_nothrow_swappable_v<result<std::string>>);
}

// --- void ------------------------------------------------------------------------------------

TEST_F(Result, of_nothing_is_success_or_a_failure) {
  result<> const good;
  EXPECT_TRUE(good.has_value());
  EXPECT_NO_THROW(good.value());
  *good;
  EXPECT_TRUE(result<>(std::in_place));
  result<> const bad = cause();
  EXPECT_FALSE(bad);
  EXPECT_THROW(bad.value(), std::system_error);
}

TEST_F(Result, of_nothing_reads_an_empty_error_as_success) {
  EXPECT_TRUE(result<>(error()));
  EXPECT_TRUE(result<>(std::error_code()));
  EXPECT_TRUE(result<>(fault::none));
  EXPECT_FALSE(result<>(fault::broken));
}

TEST_F(Result, of_nothing_forgets_a_value) {
  EXPECT_TRUE(result<>(result<int>(3)));
  EXPECT_EQ(result<>(result<int>(cause())).error(), cause());
}

// --- other results ---------------------------------------------------------------------------

TEST_F(Result, converts_to_a_result_of_what_its_value_converts_to) {
  result<int> const three = 3;
  result<long> const wide = three;
  EXPECT_EQ(wide, 3);
  result<long> const failed = result<int>(cause());
  EXPECT_EQ(failed.error(), cause());
  result<std::unique_ptr<void, void (*)(void*)>> moved(std::in_place, nullptr, [](void*) {});
  static_assert(std::is_convertible_v<result<std::unique_ptr<int>>, result<std::shared_ptr<int>>>);
  static_assert(!std::is_constructible_v<result<std::string>, result<int>>);
}

TEST_F(Result, does_not_convert_silently_where_its_value_does_not) {
  static_assert(std::is_constructible_v<result<std::vector<int>>, result<int>>);
  static_assert(!std::is_convertible_v<result<int>, result<std::vector<int>>>);
  static_assert(!std::is_convertible_v<result<int*>, result<std::unique_ptr<int>>>);
  static_assert(!std::is_convertible_v<result<std::string_view>, result<std::string>>);
}

TEST_F(Result, of_bool_is_that_of_a_value_and_not_that_there_is_one) {
  result<bool> const from_zero = result<int>(0);
  ASSERT_TRUE(from_zero.has_value());
  EXPECT_FALSE(*from_zero);
  result<bool> const failed = result<int>(cause());
  EXPECT_FALSE(failed.has_value());
  result<std::optional<bool>> const inner = result<bool>(false);
  ASSERT_TRUE(inner.has_value());
  EXPECT_EQ(*inner, std::optional(false));
}

TEST_F(Result, of_a_result_keeps_the_two_apart) {
  using nested = result<result<int>>;
  nested const good(std::in_place, 3);
  EXPECT_EQ(**good, 3);
  nested const inner(std::in_place, cause());
  ASSERT_TRUE(inner.has_value());
  EXPECT_EQ(inner->error(), cause());
  nested const outer = cause();
  EXPECT_FALSE(outer.has_value());
}

struct parse_error {
  int line;
};

TEST_F(Result, comes_from_whatever_has_the_shape_of_an_expected) {
  result<> const good = tl::expected<void, parse_error>();
  EXPECT_TRUE(good);
  result<> const bad = tl::expected<void, parse_error>(tl::unexpect, parse_error{3});
  ASSERT_FALSE(bad);
  ASSERT_NE(bad.error().get_if<parse_error>(), nullptr);
  EXPECT_EQ(bad.error().get_if<parse_error>()->line, 3);
  // It has no operator*.
  result<int> const three = tl::expected<int, parse_error>(3);
  EXPECT_EQ(three, 3);
  result<int> const failed = tl::expected<int, parse_error>(tl::unexpect, parse_error{4});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().get_if<parse_error>()->line, 4);
  EXPECT_EQ(result<int>(tl::expected<int, std::error_code>(tl::unexpect)).error(), errc::failed)
      << "E2: a failure that says success";
}

TEST_F(Result, may_have_an_expected_for_its_value) {
  using expected = tl::expected<int, parse_error>;
  result<expected> const good = expected(3);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->value(), 3);
  result<expected> const inner = expected(tl::unexpect, parse_error{3});
  ASSERT_TRUE(inner.has_value()) << "that is a value here";
  EXPECT_FALSE(inner->has_value());
}

#if defined(__cpp_lib_expected)

TEST_F(Result, comes_from_a_std_expected) {
  result<int> const three = std::expected<int, parse_error>(3);
  EXPECT_EQ(three, 3);
  result<int> const failed = std::expected<int, parse_error>(std::unexpect, parse_error{4});
  EXPECT_EQ(failed.error().get_if<parse_error>()->line, 4);
  result<long> const wide = std::expected<int, std::error_code>(3);
  EXPECT_EQ(wide, 3);
  result<std::unique_ptr<int>> const moved =
      std::expected<std::unique_ptr<int>, error>(std::make_unique<int>(3));
  EXPECT_EQ(**moved, 3);
  result<bool> const no = std::expected<bool, int>(false);
  ASSERT_TRUE(no.has_value());
  EXPECT_FALSE(*no);
  result<bool> const failed_bool = std::expected<bool, std::error_code>(std::unexpect, cause());
  EXPECT_FALSE(failed_bool.has_value());
  result<> const none = std::expected<void, std::error_code>();
  EXPECT_TRUE(none);
}

TEST_F(Result, comes_from_a_std_unexpected) {
  result<int> const r = std::unexpected(parse_error{4});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().get_if<parse_error>()->line, 4);
  result<int> const code = std::unexpected(cause());
  EXPECT_EQ(code.error(), cause());
  result<> const none = std::unexpected(std::error_code());
  EXPECT_EQ(none.error(), errc::failed) << "E2";
}

TEST_F(Result, converts_to_a_std_expected) {
  std::expected<int, error> const three = result<int>(3);
  ASSERT_TRUE(three);
  EXPECT_EQ(*three, 3);
  result<int> const r = cause();
  std::expected<int, error> const failed = r;
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), cause());
  std::expected<void, error> const none = result<>(cause());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), cause());
  std::expected<void, error> const good = result<>();
  EXPECT_TRUE(good);
  std::expected<std::unique_ptr<int>, error> const moved =
      result<std::unique_ptr<int>>(std::make_unique<int>(3));
  EXPECT_EQ(**moved, 3);
  auto back = [](result<bool> b) -> std::expected<bool, error> { return b; };
  EXPECT_FALSE(back(false).value());
  EXPECT_FALSE(back(cause()).has_value());
}

#endif

}  // namespace
