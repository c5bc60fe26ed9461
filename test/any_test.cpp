// SPDX-License-Identifier: Apache-2.0

// any: the first that succeeds. race: the first that finishes.

#include "support/callables.hpp"
#include "support/calls.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include <errgroup/any.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <functional>    // function
#include <list>          // list
#include <memory>        // make_unique, shared_ptr, unique_ptr
#include <stdexcept>     // invalid_argument, runtime_error
#include <stop_token>    // stop_source, stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <type_traits>   // is_same_v
#include <utility>       // move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::keep;
using errgroup::on_error;
using errgroup::result;
using support::await;
using support::gate;
using support::just_moved;
using support::watchdog;
using testing::HasSubstr;

std::error_code code(std::errc e) { return std::make_error_code(e); }
std::error_code cause() { return code(std::errc::no_space_on_device); }
std::error_code echo() { return code(std::errc::interrupted); }
result<int> fails() { return cause(); }

class Any : public support::no_leaks {};
class Race : public support::no_leaks {};

template <class F>
std::string told(F const& f) {
  try {
    f();
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "nothing";
}

// --- any -------------------------------------------------------------------------------------

TEST_F(Any, of_no_callables_is_refused_in_words) {
  std::vector<std::function<int()>> none;
  EXPECT_THAT(told([&] { (void)errgroup::any(none); }), HasSubstr("any() of no callables"));
  EXPECT_THAT(told([&] { (void)errgroup::any({.limit = 1}, std::list<int (*)()>()); }),
              HasSubstr("any() of no callables"));
}

TEST_F(Any, gives_the_first_that_succeeds_and_runs_no_more) {
  std::atomic<int> ran{0};
  auto counts = [&] { return ++ran; };
  EXPECT_EQ(errgroup::any({.limit = 1}, fails, counts, counts, counts), 1);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(errgroup::any(fails, [] { return 3; }), 3);
  EXPECT_EQ(errgroup::any([] { return 3; }, fails), 3) << "one that fails later is not told";
}

TEST_F(Any, has_the_common_type_of_what_is_returned) {
  auto const r = errgroup::any({.limit = 1}, fails, [] { return 2.5; });
  static_assert(std::is_same_v<decltype(r), result<double> const>);
  EXPECT_EQ(r, 2.5);
  struct base {
    virtual ~base() = default;
  };
  struct derived : base {};
  auto const p = errgroup::any([] { return std::make_unique<derived>(); },
                               [] { return std::make_unique<base>(); });
  static_assert(std::is_same_v<decltype(p), result<std::unique_ptr<base>> const>);
  EXPECT_TRUE(p);
  auto const text = errgroup::any([] { return "one"; }, [] { return std::string("one"); });
  static_assert(std::is_same_v<decltype(text), result<std::string> const>);
  EXPECT_EQ(text, "one");
}

TEST_F(Any, of_what_has_no_value_says_that_one_succeeded) {
  auto const r = errgroup::any([] { return cause(); }, [] {}, [] { return error(); });
  static_assert(std::is_same_v<decltype(r), result<> const>);
  EXPECT_TRUE(r);
  EXPECT_EQ(errgroup::any([] { return cause(); }, [] { return cause(); }).error(), cause());
}

TEST_F(Any, false_is_a_success) {
  auto const r = errgroup::any({.limit = 1}, [] { return false; }, [] { return true; });
  ASSERT_TRUE(r.has_value());
  EXPECT_FALSE(*r);
}

TEST_F(Any, a_value_needs_no_default_no_copy_and_no_assignment) {
  std::vector<std::function<just_moved()>> calls(3, [] { return just_moved(3); });
  EXPECT_EQ(errgroup::any(calls)->get(), 3);
}

TEST_F(Any, if_all_fail_all_are_told_the_first_one_first) {
  for (auto const errors : {keep::first, keep::all}) {
    for (auto const policy : {on_error::cancel, on_error::keep_going}) {
      auto const r = errgroup::any(
          {.limit = 1, .policy = policy, .errors = errors}, fails, []() -> result<int> { throw 1; },
          []() -> result<int> { return echo(); });
      ASSERT_FALSE(r);
      EXPECT_EQ(r.error(), cause());
      EXPECT_EQ(r.error().origin().index, 0U);
      ASSERT_EQ(r.error().others().size(), 2U);
      EXPECT_EQ(r.error().others()[0], errc::exception);
      EXPECT_EQ(r.error().others()[0].origin().index, 1U);
      EXPECT_EQ(r.error().others()[1], echo());
      EXPECT_EQ(r.error().skipped(), 0U);
    }
  }
}

TEST_F(Any, as_many_failures_are_told_as_was_asked_for) {
  std::vector<std::function<result<int>()>> calls(100, fails);
  auto const all = errgroup::any(calls);
  EXPECT_EQ(all.error().others().size(), 99U);
  auto const some = errgroup::any({.errors = keep::all, .max_errors = 10}, calls);
  EXPECT_EQ(some.error().others().size(), 9U);
  EXPECT_EQ(some.error().dropped(), 90U);
}

TEST_F(Any, E3_stopped_before_one_has_succeeded_it_tells_why_and_what_had_failed) {
  std::stop_source source;
  auto const r = errgroup::any(
      {.limit = 1, .stop = source.get_token()}, fails,
      [&] {
        source.request_stop();
        return 2;
      },
      [] { return 3; });
  ASSERT_FALSE(r) << "a success that comes after is none";
  EXPECT_EQ(r.error(), errc::canceled);
  ASSERT_EQ(r.error().others().size(), 1U);
  EXPECT_EQ(r.error().others()[0], cause());
  EXPECT_EQ(r.error().skipped(), 1U);
}

TEST_F(Any, stopped_it_tells_no_more_than_was_asked_for_either) {
  std::stop_source source;
  auto const r =
      errgroup::any({.limit = 1, .errors = keep::all, .max_errors = 2, .stop = source.get_token()},
                    fails, fails, fails, [&]() -> result<int> {
                      source.request_stop();
                      return echo();
                    });
  EXPECT_EQ(r.error(), errc::canceled);
  EXPECT_EQ(r.error().others().size(), 1U);
  EXPECT_EQ(r.error().dropped(), 2U);
}

TEST_F(Any, stopped_after_one_has_succeeded_it_has_succeeded) {
  watchdog const guard("a loser that asks to stop");
  tbb::global_control const some(tbb::global_control::max_allowed_parallelism, 3);
  for (int round = 0; round != 20; ++round) {
    std::stop_source source;
    gate loser_runs("the loser to run");
    auto const r = errgroup::any(
        {.limit = 2, .stop = source.get_token()},
        [&] {
          loser_runs.wait();
          return 3;
        },
        [&](std::stop_token const& token) -> result<int> {
          loser_runs.open();
          await([&] { return token.stop_requested(); }, "the loser to be stopped");
          source.request_stop();
          return cause();
        });
    EXPECT_EQ(r, 3);
  }
}

TEST_F(Any, W1_losers_have_ended_and_their_values_are_destroyed) {
  watchdog const guard("a loser that succeeds, too");
  tbb::global_control const some(tbb::global_control::max_allowed_parallelism, 3);
  gate loser_runs("the loser to run");
  std::atomic<bool> has_ended{false};
  auto const r = errgroup::any(
      {.limit = 2},
      [&] {
        loser_runs.wait();
        return just_moved(3);
      },
      [&](std::stop_token const& token) {
        loser_runs.open();
        await([&] { return token.stop_requested(); }, "the loser to be stopped");
        has_ended = true;
        return just_moved(4);
      });
  EXPECT_EQ(r->get(), 3);
  EXPECT_TRUE(has_ended);
  EXPECT_EQ(support::counted::live(), 1);
}

// --- race ------------------------------------------------------------------------------------

TEST_F(Race, of_no_callables_is_refused_in_words) {
  std::vector<std::function<int()>> none;
  EXPECT_THAT(told([&] { (void)errgroup::race(none); }), HasSubstr("race() of no callables"));
}

TEST_F(Race, gives_the_first_that_finishes_be_it_a_failure) {
  std::atomic<int> ran{0};
  auto counts = [&] { return ++ran; };
  auto const failed = errgroup::race({.limit = 1, .name = "job"}, fails, counts, counts);
  EXPECT_EQ(failed.error(), cause());
  EXPECT_EQ(failed.error().origin().index, 0U);
  EXPECT_EQ(failed.error().origin().path, "job");
  EXPECT_TRUE(failed.error().others().empty());
  EXPECT_EQ(failed.error().skipped(), 2U);
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(errgroup::race({.limit = 1}, counts, fails, counts), 1);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(errgroup::race(
                {.limit = 1}, [] { throw std::runtime_error("first"); }, [] {})
                .error()
                .what(),
            "first");
  EXPECT_TRUE(errgroup::race({.limit = 1}, [] {}, [] { return cause(); }));
}

TEST_F(Race, a_failure_stops_the_others_whatever_the_policy) {
  watchdog const guard("a race");
  for (auto const policy : {on_error::cancel, on_error::keep_going}) {
    for (auto const errors : {keep::first, keep::all}) {
      std::vector<std::function<result<int>(std::stop_token)>> calls(
          10, [](std::stop_token const& token) -> result<int> {
            await([&] { return token.stop_requested(); }, "the others to be stopped");
            return echo();
          });
      calls.insert(calls.begin(), [](std::stop_token const&) { return fails(); });
      auto const r = errgroup::race({.policy = policy, .errors = errors}, calls);
      EXPECT_EQ(r.error(), cause());
      EXPECT_TRUE(r.error().others().empty());
    }
  }
}

}  // namespace
