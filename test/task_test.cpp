// SPDX-License-Identifier: Apache-2.0
#include "support/callables.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/task.hpp>

#include <gtest/gtest.h>

#include <array>         // array
#include <atomic>        // atomic
#include <cstdint>       // uintptr_t
#include <exception>     // make_exception_ptr
#include <functional>    // function
#include <memory>        // make_shared, make_unique, unique_ptr
#include <optional>      // optional
#include <stdexcept>     // invalid_argument, runtime_error
#include <stop_token>    // stop_token
#include <system_error>  // errc, error_code
#include <utility>       // move

namespace {

using errgroup::errc;
using errgroup::error;
using support::on_every_way;

std::error_code not_found() { return std::make_error_code(std::errc::no_such_file_or_directory); }

std::atomic<int> called{0};
void a_function() { ++called; }
void a_noexcept_function() noexcept { ++called; }
std::error_code a_failing_function(std::stop_token) { return not_found(); }

class Callables : public support::no_leaks {};
class Results : public support::no_leaks {};

/// What `wait` tells of one task that is `f`.
template <class F>
error outcome_of(F f) {
  errgroup::group g;
  g.run(std::move(f));
  return g.wait();
}

// --- callables -------------------------------------------------------------------------------

TEST_F(Callables, that_take_nothing_are_called_once) {
  on_every_way([](errgroup::group& g) {
    std::atomic<int> calls{0};
    g.run([&calls] { ++calls; });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(calls, 1);
  });
}

TEST_F(Callables, that_take_a_stop_token_get_the_group_s) {
  on_every_way([](errgroup::group& g) {
    bool same = false;
    bool stopped = true;
    bool stopped_after = false;
    std::stop_token const mine = g.get_stop_token();
    g.run([&](std::stop_token const& token) {
      same = token == mine;
      stopped = token.stop_requested();
      g.cancel();
      stopped_after = token.stop_requested();
    });
    EXPECT_EQ(g.wait(), errc::canceled);
    EXPECT_TRUE(same);
    EXPECT_FALSE(stopped);
    EXPECT_TRUE(stopped_after);
  });
}

TEST_F(Callables, that_could_be_called_either_way_get_the_token) {
  struct either {
    bool* with_token;
    void operator()() const { *with_token = false; }
    void operator()(std::stop_token const&) const { *with_token = true; }
  };
  bool with_token = false;
  EXPECT_FALSE(outcome_of(either{&with_token}));
  EXPECT_TRUE(with_token);
}

TEST_F(Callables, may_be_move_only) {
  on_every_way([](errgroup::group& g) {
    int got = 0;
    g.run(support::move_only([&got, p = std::make_unique<int>(5)] { got = *p; }));
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(got, 5);
  });
}

TEST_F(Callables, T16_may_be_mutable) {
  on_every_way([](errgroup::group& g) {
    int got = 0;
    g.run([&got, n = 1]() mutable { got = ++n; });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(got, 2);
  });
}

TEST_F(Callables, may_be_function_pointers_and_functions) {
  on_every_way([](errgroup::group& g) {
    called = 0;
    g.run(a_function);
    g.run(&a_function);
    g.run(&a_noexcept_function);
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(called, 3);
    g.run(a_failing_function);
    EXPECT_EQ(g.wait(), not_found());
  });
}

TEST_F(Callables, may_be_callable_only_as_an_rvalue) {
  struct once {
    std::unique_ptr<int> p;
    int* got;
    void operator()() && { *got = *std::move(p); }
  };
  on_every_way([](errgroup::group& g) {
    int got = 0;
    g.run(once{std::make_unique<int>(9), &got});
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(got, 9);
  });
}

TEST_F(Callables, an_lvalue_is_copied_and_left_alone) {
  on_every_way([](errgroup::group& g) {
    auto n = std::make_shared<std::atomic<int>>(0);
    auto f = [n] { ++*n; };
    g.run(f);
    g.run(f);
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(*n, 2);
    EXPECT_EQ(n.use_count(), 2);
  });
}

TEST_F(Callables, may_be_big) {
  on_every_way([](errgroup::group& g) {
    std::array<int, 1000> numbers{};
    numbers[0] = 1;
    numbers[999] = 2;
    int sum = 0;
    g.run([numbers, &sum, c = support::counted()] { sum = numbers[0] + numbers[999]; });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(sum, 3);
  });
}

TEST_F(Callables, may_be_over_aligned) {
  struct alignas(256) wide {
    std::uintptr_t* address;
    support::counted alive;
    void operator()() const { *address = reinterpret_cast<std::uintptr_t>(this); }
  };
  on_every_way([](errgroup::group& g) {
    std::uintptr_t address = 1;
    g.run(wide{&address, {}});
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(address % 256, 0U);
    address = 1;
    g.run("with a name", wide{&address, {}});
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(address % 256, 0U);
    address = 1;
    EXPECT_FALSE(g.run_and_wait(wide{&address, {}}));
    EXPECT_EQ(address % 256, 0U);
  });
}

TEST_F(Callables, may_throw_when_moved_as_long_as_they_do_not) {
  on_every_way([](errgroup::group& g) {
    bool ran = false;
    g.run(support::throws_on_move([&ran] { ran = true; }, 10));
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(ran);
  });
}

template <class Null>
void refuses(Null const& null) {
  on_every_way([&null](errgroup::group& g) {
    EXPECT_THROW(g.run(null), std::invalid_argument);
    EXPECT_THROW(g.run("named", null), std::invalid_argument);
    EXPECT_THROW((void)g.try_run(null), std::invalid_argument);
    EXPECT_THROW((void)g.run_and_wait(null), std::invalid_argument);
    EXPECT_FALSE(g.is_canceling());
    bool ran = false;
    g.run([&ran] { ran = true; });
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(e.skipped(), 0U);
    EXPECT_TRUE(ran);
  });
}

TEST_F(Callables, an_empty_function_is_refused_and_nothing_has_changed) {
  refuses(std::function<void()>());
  refuses(std::function<std::error_code(std::stop_token)>());
}

TEST_F(Callables, a_null_pointer_is_refused_and_nothing_has_changed) {
  refuses(static_cast<void (*)()>(nullptr));
  refuses(static_cast<void (*)() noexcept>(nullptr));
}

TEST_F(Callables, a_full_function_runs) {
  on_every_way([](errgroup::group& g) {
    int calls = 0;
    std::function<void()> const f = [&calls] { ++calls; };
    g.run(f);
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(calls, 1);
  });
}

TEST_F(Callables, run_and_wait_takes_all_of_them) {
  on_every_way([](errgroup::group& g) {
    int n = 0;
    EXPECT_FALSE(g.run_and_wait(support::move_only([&n] { ++n; })));
    EXPECT_FALSE(g.run_and_wait([&n, m = 1]() mutable { n += m++; }));
    EXPECT_FALSE(
        g.run_and_wait([&n](std::stop_token const& t) { n += t.stop_requested() ? 0 : 1; }));
    EXPECT_EQ(n, 3);
    EXPECT_EQ(g.run_and_wait([] { return not_found(); }), not_found());
  });
}

TEST_F(Callables, try_run_takes_all_of_them) {
  on_every_way([](errgroup::group& g) {
    std::atomic<int> n{0};
    EXPECT_TRUE(g.try_run(support::move_only([&n] { ++n; })));
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(g.try_run([&n, m = 1]() mutable { n += m++; }));
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(g.try_run([&n](std::stop_token const&) { ++n; }));
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(n, 3);
  });
}

TEST_F(Callables, what_is_a_task_is_known_at_compile_time) {
  using ok = decltype([] {});
  using with_token = decltype([](std::stop_token const&) {});
  using takes_int = decltype([](int) {});
  using returns_int = decltype([] { return 0; });
  using returns_errc = decltype([] { return std::errc(); });
  static_assert(errgroup::task<ok>);
  static_assert(errgroup::task<ok&>);
  static_assert(errgroup::task<with_token>);
  static_assert(errgroup::task<void (*)()>);
  static_assert(!errgroup::task<takes_int>);
  static_assert(!errgroup::task<returns_int>);
  static_assert(!errgroup::task<returns_errc>);
  static_assert(errgroup::task_result<void>);
  static_assert(errgroup::task_result<error>);
  static_assert(errgroup::task_result<std::error_code const&>);
  static_assert(!errgroup::task_result<int>);
  static_assert(!errgroup::task_result<bool>);
  static_assert(!errgroup::task_result<std::errc>);
  static_assert(!errgroup::task_result<std::optional<int>>);
}

// --- results ---------------------------------------------------------------------------------

// Others are in expected_test.cpp and result_traits_test.cpp.

TEST_F(Results, void_is_success) {
  EXPECT_FALSE(outcome_of([] {}));
}

TEST_F(Results, an_error_code_is_what_it_says) {
  on_every_way([](errgroup::group& g) {
    g.run([] { return std::error_code(); });
    EXPECT_FALSE(g.wait());
    g.run([] { return not_found(); });
    error const e = g.wait();
    EXPECT_EQ(e, not_found());
    ASSERT_NE(e.get_if<std::error_code>(), nullptr);
  });
}

TEST_F(Results, a_code_by_reference_is_read_and_left_alone) {
  std::error_code const code = not_found();
  EXPECT_EQ(outcome_of([&code]() -> std::error_code const& { return code; }), code);
  error const kept = errc::failed;
  EXPECT_EQ(outcome_of([&kept]() -> error const& { return kept; }), errc::failed);
  EXPECT_TRUE(kept);
  error kept_too = errc::failed;
  EXPECT_EQ(outcome_of([&kept_too]() -> error& { return kept_too; }), errc::failed);
  EXPECT_TRUE(kept_too);
}

TEST_F(Results, an_error_is_what_it_says) {
  EXPECT_FALSE(outcome_of([] { return error(); }));
  auto const p = std::make_exception_ptr(std::runtime_error("x"));
  error const e = outcome_of([p]() -> error { return p; });
  EXPECT_EQ(e.exception(), p);
  EXPECT_EQ(outcome_of([]() -> error { return errc::canceled; }), errc::canceled);
}

TEST_F(Results, what_is_thrown_is_the_error_whatever_the_task_returns) {
  on_every_way([](errgroup::group& g) {
    g.run([]() -> std::error_code { throw std::runtime_error("thrown"); });
    error const e = g.wait();
    EXPECT_EQ(e, errc::exception);
    ASSERT_NE(e.get_if<std::runtime_error>(), nullptr);
    EXPECT_STREQ(e.get_if<std::runtime_error>()->what(), "thrown");
  });
  error const number = outcome_of([] { throw 7; });
  EXPECT_TRUE(number);
  ASSERT_NE(number.get_if<int>(), nullptr);
  EXPECT_EQ(*number.get_if<int>(), 7);
}

TEST_F(Results, an_error_that_is_thrown_is_that_error) {
  on_every_way([](errgroup::group& g) {
    g.run([] { throw error(not_found()); });
    error e = g.wait();
    EXPECT_EQ(e, error(not_found()));
    EXPECT_EQ(e.what(), not_found().message());
    ASSERT_NE(e.get_if<std::error_code>(), nullptr);
    EXPECT_EQ(e.get_if<error>(), nullptr);
    g.reset();
    auto const p = std::make_exception_ptr(std::runtime_error("x"));
    e = g.run_and_wait([&p]() -> std::error_code { throw error(p); });
    EXPECT_EQ(e.exception(), p);
    g.reset();
    g.run([] {
      errgroup::group inner{{.name = "inner"}};
      inner.run("part", [] { return not_found(); });
      throw inner.wait();
    });
    EXPECT_EQ(g.wait().origin().name, "part");
  });
}

TEST_F(Results, E2_an_empty_error_that_is_thrown_is_a_failure) {
  on_every_way([](errgroup::group& g) {
    g.run([] { throw error(); });
    EXPECT_EQ(g.wait(), errc::failed);
  });
}

TEST_F(Results, a_code_that_is_thrown_has_its_code_and_its_words) {
  on_every_way([](errgroup::group& g) {
    g.run([] { throw not_found(); });
    error const e = g.wait();
    EXPECT_EQ(e, not_found());
    EXPECT_NE(e, error(not_found())) << "it is an exception with that code";
    EXPECT_EQ(e.what(), not_found().message());
    ASSERT_NE(e.get_if<std::error_code>(), nullptr);
    EXPECT_EQ(*e.get_if<std::error_code>(), not_found());
    EXPECT_THROW(e.raise(), std::error_code);
  });
}

TEST_F(Results, E2_a_zero_code_that_is_thrown_is_a_failure) {
  on_every_way([](errgroup::group& g) {
    g.run([] { throw std::error_code(); });
    EXPECT_EQ(g.wait(), errc::exception);
  });
}

}  // namespace
