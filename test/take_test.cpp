// SPDX-License-Identifier: Apache-2.0

// take: the first k that succeed. last: the last k. quorum: k that agree.

#include "support/callables.hpp"
#include "support/calls.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include <errgroup/take.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>        // atomic
#include <cstddef>       // ptrdiff_t, size_t
#include <functional>    // function
#include <list>          // list
#include <memory>        // make_unique, unique_ptr
#include <stdexcept>     // invalid_argument, runtime_error
#include <stop_token>    // stop_source, stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <type_traits>   // is_same_v
#include <variant>       // monostate
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::keep;
using errgroup::result;
using support::await;
using support::just_moved;
using support::watchdog;
using testing::HasSubstr;

std::error_code code(std::errc e) { return std::make_error_code(e); }
std::error_code cause() { return code(std::errc::no_space_on_device); }
std::error_code echo() { return code(std::errc::interrupted); }

using call = std::function<result<int>()>;

/// A callable that gives `n`, counted.
class calls_of : public support::no_leaks {
 protected:
  call gives(int n) {
    return [this, n]() -> result<int> {
      ++ran;
      return n;
    };
  }
  call fails(std::error_code with = cause()) {
    return [this, with]() -> result<int> {
      ++ran;
      return with;
    };
  }

  std::atomic<int> ran{0};
};

class Take : public calls_of {};
class Last : public calls_of {};
class Quorum : public calls_of {};

template <class F>
std::string told(F const& f) {
  try {
    f();
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "nothing";
}

// --- take ------------------------------------------------------------------------------------

TEST_F(Take, gives_the_first_k_in_the_order_in_which_they_finished_and_runs_no_more) {
  std::vector<call> calls = {gives(1), gives(2), gives(3), gives(4)};
  EXPECT_EQ(errgroup::take({.limit = 1}, 2, calls), std::vector<int>({1, 2}));
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(errgroup::take({.limit = 1}, 4, calls), std::vector<int>({1, 2, 3, 4}));
  EXPECT_EQ(errgroup::take(1, [] { return 3; }), std::vector<int>({3}));
  EXPECT_EQ(errgroup::take(
                {.limit = 1}, 2, [] { return 1; }, [] { return 2.5; }),
            std::vector<double>({1, 2.5}));
}

TEST_F(Take, bears_failures_as_long_as_there_may_be_k) {
  std::vector<call> calls = {fails(), gives(2), fails(), gives(4), gives(5)};
  EXPECT_EQ(errgroup::take({.limit = 1}, 2, calls), std::vector<int>({2, 4}));
  EXPECT_EQ(ran, 4);
  EXPECT_EQ(errgroup::take({.limit = 1}, 3, calls), std::vector<int>({2, 4, 5}));
}

TEST_F(Take, fails_as_soon_as_there_cannot_be_k) {
  std::vector<call> calls = {fails(), gives(2), fails(echo()), gives(4), gives(5)};
  auto const r = errgroup::take({.limit = 1, .name = "job"}, 4, calls);
  ASSERT_FALSE(r);
  EXPECT_EQ(ran, 3);
  EXPECT_EQ(r.error(), cause());
  EXPECT_EQ(r.error().origin().index, 0U);
  EXPECT_EQ(r.error().origin().path, "job");
  ASSERT_EQ(r.error().others().size(), 1U);
  EXPECT_EQ(r.error().others()[0], echo());
  EXPECT_EQ(r.error().others()[0].origin().index, 2U);
  EXPECT_EQ(r.error().skipped(), 2U);
  auto const last_fails = errgroup::take({.limit = 1}, 2, gives(1), fails());
  EXPECT_EQ(last_fails.error(), cause());
}

TEST_F(Take, as_many_failures_are_told_as_was_asked_for) {
  std::vector<call> calls(10, fails());
  auto const all = errgroup::take({.limit = 1}, 1, calls);
  EXPECT_EQ(all.error().others().size(), 9U);
  auto const some = errgroup::take({.errors = keep::all, .max_errors = 3}, 1, calls);
  EXPECT_EQ(some.error().others().size(), 2U);
  EXPECT_EQ(some.error().dropped(), 7U);
}

TEST_F(Take, none_runs_nothing) {
  std::vector<call> calls = {gives(1), fails()};
  auto const r = errgroup::take(0, calls);
  ASSERT_TRUE(r);
  EXPECT_TRUE(r->empty());
  EXPECT_TRUE(errgroup::take({.limit = 1}, 0, std::vector<call>()));
  EXPECT_TRUE(errgroup::last(0, calls));
  EXPECT_EQ(ran, 0);
}

TEST_F(Take, more_than_there_are_runs_nothing_and_is_too_few) {
  std::vector<call> calls = {gives(1), gives(2)};
  EXPECT_EQ(errgroup::take(3, calls).error(), errc::too_few);
  EXPECT_EQ(errgroup::take(1, std::vector<call>()).error(), errc::too_few);
  EXPECT_EQ(errgroup::last(3, calls).error(), errc::too_few);
  EXPECT_EQ(errgroup::quorum(3, calls).error(), errc::too_few);
  EXPECT_EQ(ran, 0);
}

TEST_F(Take, fewer_than_none_are_refused_in_words) {
  std::vector<call> calls = {gives(1)};
  for (std::ptrdiff_t const k : {std::ptrdiff_t{-1}, PTRDIFF_MIN}) {
    EXPECT_THAT(told([&] { (void)errgroup::take(k, calls); }), HasSubstr("a negative number"));
    EXPECT_THAT(told([&] { (void)errgroup::last(k, calls); }), HasSubstr("a negative number"));
    EXPECT_THAT(told([&] { (void)errgroup::quorum(k, calls); }), HasSubstr("a negative number"));
  }
  EXPECT_EQ(ran, 0);
}

TEST_F(Take, what_cannot_be_run_is_refused_even_where_nothing_would) {
  std::vector<call> calls = {gives(1), nullptr};
  for (std::ptrdiff_t const k : {0, 5}) {
    EXPECT_THAT(told([&] { (void)errgroup::take(k, calls); }), HasSubstr("a callable is empty"));
    EXPECT_THAT(told([&] { (void)errgroup::take({.limit = 0}, k, gives(1)); }),
                HasSubstr("limit is 0"));
    EXPECT_THAT(told([&] { (void)errgroup::last({.limit = 0}, k, gives(1)); }),
                HasSubstr("limit is 0"));
  }
  EXPECT_THAT(told([&] { (void)errgroup::quorum({.limit = 0}, 5, gives(1)); }),
              HasSubstr("limit is 0"));
}

TEST_F(Take, of_what_has_no_value_or_a_bool) {
  auto const none = errgroup::take(2, [] {}, [] { return error(); });
  static_assert(std::is_same_v<decltype(none), result<std::vector<std::monostate>> const>);
  EXPECT_EQ(none->size(), 2U);
  auto const bools = errgroup::take({.limit = 1}, 2, [] { return true; }, [] { return false; });
  EXPECT_EQ(bools, std::vector<bool>({true, false}));
}

TEST_F(Take, a_value_needs_no_default_no_copy_and_no_assignment) {
  std::vector<std::function<just_moved()>> calls(3, [] { return just_moved(3); });
  EXPECT_EQ(errgroup::take(2, calls)->size(), 2U);
  EXPECT_EQ(errgroup::last(2, calls)->back().get(), 3);
  EXPECT_EQ(errgroup::quorum(2, calls)->get(), 3);
  auto const p = errgroup::take(1, [] { return std::make_unique<int>(3); });
  EXPECT_EQ(*p->front(), 3);
}

TEST_F(Take, E3_stopped_before_there_are_k_it_tells_why_and_what_had_failed) {
  std::stop_source source;
  auto stops = [&]() -> result<int> {
    source.request_stop();
    return 2;
  };
  std::vector<call> calls = {fails(), gives(1), stops, gives(3)};
  auto const r = errgroup::take({.limit = 1, .stop = source.get_token()}, 2, calls);
  ASSERT_FALSE(r) << "a success that comes after does not count";
  EXPECT_EQ(r.error(), errc::canceled);
  ASSERT_EQ(r.error().others().size(), 1U);
  EXPECT_EQ(r.error().others()[0], cause());
  EXPECT_EQ(r.error().skipped(), 1U);
}

TEST_F(Take, E1_stopped_it_is_not_a_shortage_that_is_told) {
  // What fails after it would make k unreachable.
  for (std::ptrdiff_t const k : {1, 2, 3}) {
    std::stop_source source;
    auto stops = [&]() -> result<int> {
      source.request_stop();
      return echo();
    };
    std::vector<call> calls = {stops, gives(1), gives(2)};
    auto const first = errgroup::take({.limit = 1, .stop = source.get_token()}, k, calls);
    EXPECT_EQ(first.error(), errc::canceled);
    EXPECT_TRUE(first.error().others().empty());
    source = std::stop_source();
    EXPECT_EQ(errgroup::last({.limit = 1, .stop = source.get_token()}, k, calls).error(),
              errc::canceled);
    source = std::stop_source();
    EXPECT_EQ(errgroup::quorum({.limit = 1, .stop = source.get_token()}, k, calls).error(),
              errc::canceled);
  }
}

// --- last ------------------------------------------------------------------------------------

TEST_F(Last, runs_all_and_gives_the_last_k_that_succeeded) {
  std::vector<call> calls = {gives(1), gives(2), fails(), gives(4), gives(5), fails()};
  EXPECT_EQ(errgroup::last({.limit = 1}, 2, calls), std::vector<int>({4, 5}));
  EXPECT_EQ(ran, 6);
  EXPECT_EQ(errgroup::last({.limit = 1}, 4, calls), std::vector<int>({1, 2, 4, 5}));
  EXPECT_EQ(
      errgroup::last({.limit = 1}, 1, [] { return 1; }, [] { return 2; }), std::vector<int>({2}));
}

TEST_F(Last, fails_as_soon_as_there_cannot_be_k) {
  std::vector<call> calls = {fails(), gives(2), fails(echo()), gives(4), gives(5)};
  auto const r = errgroup::last({.limit = 1}, 4, calls);
  ASSERT_FALSE(r);
  EXPECT_EQ(ran, 3);
  EXPECT_EQ(r.error(), cause());
  ASSERT_EQ(r.error().others().size(), 1U);
  EXPECT_EQ(r.error().others()[0], echo());
}

TEST_F(Last, E3_stopped_with_k_that_are_not_the_last_it_tells_why) {
  std::stop_source source;
  auto stops = [&]() -> result<int> {
    source.request_stop();
    return 3;
  };
  std::vector<call> calls = {gives(1), gives(2), stops, gives(4)};
  auto const r = errgroup::last({.limit = 1, .stop = source.get_token()}, 2, calls);
  EXPECT_EQ(r.error(), errc::canceled);
  EXPECT_EQ(r.error().skipped(), 1U);
}

// --- quorum ----------------------------------------------------------------------------------

TEST_F(Quorum, gives_what_k_agree_on_and_runs_no_more) {
  std::vector<call> calls = {gives(7), gives(8), fails(), gives(8), gives(7), gives(8)};
  EXPECT_EQ(errgroup::quorum({.limit = 1}, 2, calls), 8);
  EXPECT_EQ(ran, 4);
  EXPECT_EQ(errgroup::quorum({.limit = 1}, 1, calls), 7);
  EXPECT_EQ(errgroup::quorum({.limit = 1}, 3, calls), 8);
  EXPECT_EQ(errgroup::quorum(
                {.limit = 1}, 2, [] { return 1; }, [] { return 2L; }, [] { return 1.0; }),
            1.0);
}

TEST_F(Quorum, of_none_is_refused_in_words) {
  EXPECT_THAT(told([&] { (void)errgroup::quorum(0, gives(1)); }), HasSubstr("a quorum of none"));
  EXPECT_EQ(ran, 0);
}

TEST_F(Quorum, fails_as_soon_as_no_k_can_agree) {
  std::vector<call> calls = {gives(1), gives(2), gives(3), gives(1), gives(1)};
  auto const r = errgroup::quorum({.limit = 1}, 4, calls);
  EXPECT_EQ(r.error(), errc::too_few) << "nothing has failed";
  EXPECT_EQ(ran, 3);
  EXPECT_EQ(r.error().skipped(), 2U);
  EXPECT_EQ(errgroup::quorum({.limit = 1}, 3, calls), 1);
}

TEST_F(Quorum, a_failure_is_why_no_k_agreed) {
  std::vector<call> calls = {gives(1), fails(), gives(2), fails(echo()), gives(1)};
  auto const r = errgroup::quorum({.limit = 1}, 3, calls);
  EXPECT_EQ(r.error(), cause());
  EXPECT_EQ(r.error().origin().index, 1U);
  ASSERT_EQ(r.error().others().size(), 1U);
  EXPECT_EQ(r.error().others()[0], echo());
  EXPECT_EQ(ran, 4);
}

TEST_F(Quorum, of_what_has_no_value_counts_successes) {
  auto const r = errgroup::quorum({.limit = 1}, 2, [] { return cause(); }, [] {}, [] {});
  static_assert(std::is_same_v<decltype(r), result<> const>);
  EXPECT_TRUE(r);
  EXPECT_EQ(errgroup::quorum({.limit = 1}, 2, [] { return cause(); }, [] {}).error(), cause());
}

TEST_F(Quorum, of_bools) {
  auto yes = [] { return true; };
  auto no = [] { return false; };
  auto const r = errgroup::quorum({.limit = 1}, 2, yes, no, no);
  ASSERT_TRUE(r.has_value());
  EXPECT_FALSE(*r);
}

TEST_F(Quorum, what_a_comparison_throws_is_a_failure) {
  struct incomparable {
    bool operator==(incomparable const& /*other*/) const { throw std::runtime_error("compared"); }
  };
  auto gives_one = [] { return incomparable(); };
  EXPECT_EQ(errgroup::quorum({.limit = 1}, 2, gives_one, gives_one, gives_one).error().what(),
            "compared");
}

TEST_F(Quorum, W1_losers_are_stopped) {
  watchdog const guard("a quorum with losers");
  std::atomic<int> running{0};
  std::vector<std::function<int(std::stop_token)>> calls(10, [&](std::stop_token const& token) {
    ++running;
    await([&] { return token.stop_requested(); }, "the losers to be stopped");
    --running;
    return 4;
  });
  calls.insert(calls.begin(), 2, [](std::stop_token const&) { return 3; });
  EXPECT_EQ(errgroup::quorum(2, calls), 3);
  EXPECT_EQ(running, 0);
}

}  // namespace
