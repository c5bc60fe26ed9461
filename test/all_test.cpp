// SPDX-License-Identifier: Apache-2.0

// all: every value, or the first failure. all_settled: what became of each.

#include "support/callables.hpp"
#include "support/calls.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include <errgroup/all.hpp>

#include <gtest/gtest.h>

#include <atomic>        // atomic
#include <chrono>        // milliseconds
#include <cstddef>       // size_t
#include <functional>    // function
#include <list>          // list
#include <memory>        // make_unique, unique_ptr
#include <new>           // bad_alloc
#include <ranges>        // views::iota, views::transform
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_source, stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <tuple>         // get, tuple
#include <type_traits>   // is_same_v
#include <utility>       // move
#include <variant>       // monostate
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::keep;
using errgroup::on_error;
using errgroup::options;
using errgroup::result;
using support::await;
using support::just_moved;
using support::watchdog;

std::error_code code(std::errc e) { return std::make_error_code(e); }
std::error_code cause() { return code(std::errc::no_space_on_device); }
std::error_code echo() { return code(std::errc::interrupted); }

class All : public support::no_leaks {};
class AllSettled : public support::no_leaks {};

/// n callables that return their index, but for those that fail.
std::vector<std::function<result<int>()>> numbers(int n, std::vector<int> const& failing = {}) {
  std::vector<std::function<result<int>()>> calls;
  for (int i = 0; i != n; ++i) {
    calls.emplace_back([i]() -> result<int> { return i; });
  }
  for (int const i : failing) {
    calls[static_cast<std::size_t>(i)] = [i]() -> result<int> {
      return std::error_code(i + 1, std::generic_category());
    };
  }
  return calls;
}
std::error_code of(int i) { return {i + 1, std::generic_category()}; }

std::vector<int> up_to(int n) {
  std::vector<int> all;
  for (int i = 0; i != n; ++i) {
    all.push_back(i);
  }
  return all;
}

// --- all: values -----------------------------------------------------------------------------

TEST_F(All, of_nothing_is_nothing) {
  static_assert(std::is_same_v<decltype(errgroup::all()), result<std::tuple<>>>);
  EXPECT_TRUE(errgroup::all());
  EXPECT_TRUE(errgroup::all({.limit = 1}));
  std::vector<std::function<int()>> none;
  auto const r = errgroup::all(none);
  static_assert(std::is_same_v<decltype(r), result<std::vector<int>> const>);
  ASSERT_TRUE(r);
  EXPECT_TRUE(r->empty());
  EXPECT_TRUE(errgroup::all({.limit = 1}, std::list<int (*)()>()));
}

TEST_F(All, E3_of_nothing_is_no_success_either_once_cancelled) {
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(errgroup::all({.stop = source.get_token()}).error(), errc::canceled);
}

TEST_F(All, of_a_pack_gives_a_tuple_in_the_order_of_its_arguments) {
  auto const r = errgroup::all([] { return 1; }, [] { return std::string("two"); },
                               [] { return std::make_unique<double>(3.5); });
  static_assert(
      std::is_same_v<decltype(r),
                     result<std::tuple<int, std::string, std::unique_ptr<double>>> const>);
  ASSERT_TRUE(r) << r.error();
  auto const& [one, two, three] = *r;
  EXPECT_EQ(one, 1);
  EXPECT_EQ(two, "two");
  EXPECT_EQ(*three, 3.5);
}

TEST_F(All, of_a_pack_of_one_type_keeps_them_apart) {
  auto const r = errgroup::all([] { return 1; }, [] { return 2; }, [] { return 3; });
  EXPECT_EQ(r, std::tuple(1, 2, 3));
  EXPECT_EQ(errgroup::all([] { return std::tuple(1); }), std::make_tuple(std::tuple(1)));
  EXPECT_EQ(errgroup::all([] { return 1; }), std::tuple(1));
}

TEST_F(All, of_a_range_gives_a_vector_in_its_order) {
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    auto calls = numbers(200);
    EXPECT_EQ(errgroup::all({.limit = limit}, calls), up_to(200));
    EXPECT_EQ(errgroup::all({.limit = limit}, numbers(200)), up_to(200));
    std::list<std::function<result<int>()>> const list(calls.begin(), calls.end());
    EXPECT_EQ(errgroup::all({.limit = limit}, list), up_to(200));
    support::single_pass<std::function<result<int>()>> once(calls);
    EXPECT_EQ(errgroup::all({.limit = limit}, once), up_to(200));
    auto made =
        std::views::iota(0, 200) | std::views::transform([](int i) { return [i] { return i; }; });
    EXPECT_EQ(errgroup::all({.limit = limit}, made), up_to(200));
  }
}

TEST_F(All, what_has_no_value_gives_a_monostate) {
  auto const r = errgroup::all([] {}, [] { return 2; }, [] { return std::error_code(); },
                               [] { return error(); }, [] { return result<>(); });
  static_assert(
      std::is_same_v<decltype(r), result<std::tuple<std::monostate, int, std::monostate,
                                                    std::monostate, std::monostate>> const>);
  ASSERT_TRUE(r);
  EXPECT_EQ(std::get<1>(*r), 2);
  std::vector<std::function<void()>> calls(3, [] {});
  auto const v = errgroup::all(calls);
  static_assert(std::is_same_v<decltype(v), result<std::vector<std::monostate>> const>);
  EXPECT_EQ(v->size(), 3U);
}

TEST_F(All, a_value_may_be_a_bool_or_a_pointer_that_is_null) {
  std::vector<std::function<bool()>> calls = {[] { return true; }, [] { return false; },
                                              [] { return true; }};
  EXPECT_EQ(errgroup::all(calls), std::vector<bool>({true, false, true}));
  EXPECT_EQ(errgroup::all([] { return static_cast<int*>(nullptr); }),
            std::tuple(static_cast<int*>(nullptr)));
}

TEST_F(All, a_value_needs_no_default_no_copy_and_no_assignment) {
  std::vector<std::function<just_moved()>> calls = {[] { return just_moved(1); },
                                                    [] { return just_moved(2); }};
  auto const v = errgroup::all(calls);
  ASSERT_TRUE(v);
  EXPECT_EQ(v->at(1).get(), 2);
  auto const t = errgroup::all(calls[0], calls[1]);
  ASSERT_TRUE(t);
  EXPECT_EQ(std::get<1>(*t).get(), 2);
}

TEST_F(All, the_value_of_what_only_has_value_is_kept) {
  auto const r = errgroup::all([] { return tl::expected<int, std::error_code>(3); });
  static_assert(std::is_same_v<decltype(r), result<std::tuple<int>> const>);
  EXPECT_EQ(r, std::tuple(3));
}

TEST_F(All, what_is_returned_by_reference_is_copied) {
  int n = 3;
  auto const r = errgroup::all([&]() -> int& { return n; }, [&]() -> int const& { return n; });
  static_assert(std::is_same_v<decltype(r), result<std::tuple<int, int>> const>);
  EXPECT_EQ(r, std::tuple(3, 3));
}

// --- all: failures ---------------------------------------------------------------------------

TEST_F(All, whichever_fails_is_the_error) {
  for (int const failing : {0, 1, 99}) {
    for (int const limit : {errgroup::unlimited, 1, 3}) {
      auto const r = errgroup::all({.limit = limit}, numbers(100, {failing}));
      EXPECT_EQ(r.error(), of(failing));
      EXPECT_EQ(r.error().origin().index, static_cast<std::size_t>(failing));
      EXPECT_TRUE(r.error().others().empty());
    }
  }
  EXPECT_EQ(errgroup::all([] { return 1; }, [] { return cause(); }).error(), cause());
  EXPECT_EQ(errgroup::all([]() -> int { throw cause(); }, [] {}).error(), cause());
}

TEST_F(All, E1_the_first_failure_is_the_error_and_skips_the_rest) {
  std::atomic<int> ran{0};
  std::vector<std::function<result<int>()>> calls(10, [&]() -> result<int> { return ++ran; });
  calls[3] = []() -> result<int> { return cause(); };
  calls[4] = []() -> result<int> { return echo(); };
  auto const r = errgroup::all({.limit = 1}, calls);
  EXPECT_EQ(r.error(), cause());
  EXPECT_EQ(r.error().skipped(), 6U);
  EXPECT_EQ(ran, 3);
}

TEST_F(All, E1_C1_a_failure_stops_the_others_whose_echoes_are_not_told) {
  watchdog const guard("all of which one fails");
  for (auto const errors : {keep::first, keep::all}) {
    for (int round = 0; round != 20; ++round) {
      std::atomic<int> running{0};
      std::vector<std::function<result<>(std::stop_token)>> calls(
          10, [&](std::stop_token const& token) -> result<> {
            ++running;
            await([&] { return token.stop_requested(); }, "the others to be stopped");
            --running;
            return errc::canceled;
          });
      calls.insert(calls.begin(), [](std::stop_token const&) -> result<> { return cause(); });
      auto const r = errgroup::all({.errors = errors}, calls);
      EXPECT_EQ(r.error(), cause());
      EXPECT_TRUE(r.error().others().empty());
      EXPECT_EQ(running, 0);
    }
  }
}

TEST_F(All, E5_with_keep_going_everything_runs) {
  std::atomic<int> ran{0};
  std::vector<std::function<result<int>()>> calls(10, [&]() -> result<int> { return ++ran; });
  calls[3] = []() -> result<int> { return cause(); };
  calls[4] = []() -> result<int> { return echo(); };
  options opts{.limit = 1, .policy = on_error::keep_going};
  auto const first = errgroup::all(opts, calls);
  EXPECT_EQ(first.error(), cause());
  EXPECT_TRUE(first.error().others().empty());
  EXPECT_EQ(first.error().dropped(), 0U) << "as in a group";
  EXPECT_EQ(first.error().skipped(), 0U);
  EXPECT_EQ(ran, 8);
  opts.errors = keep::all;
  auto const all = errgroup::all(opts, calls);
  EXPECT_EQ(all.error(), cause());
  ASSERT_EQ(all.error().others().size(), 1U);
  EXPECT_EQ(all.error().others()[0], echo());
  EXPECT_EQ(all.error().others()[0].origin().index, 4U);
  EXPECT_EQ(ran, 16);
  opts.max_errors = 1;
  auto const one = errgroup::all(opts, calls);
  EXPECT_TRUE(one.error().others().empty());
  EXPECT_EQ(one.error().dropped(), 1U);
}

TEST_F(All, E1_a_deadline_comes_before_what_fails_because_of_it_under_keep_all) {
  watchdog const guard("all with a deadline");
  std::vector<std::function<result<>(std::stop_token)>> calls(
      5, [&](std::stop_token const& token) -> result<> {
        await([&] { return token.stop_requested(); }, "the deadline");
        return echo();
      });
  for (auto const policy : {on_error::cancel, on_error::keep_going}) {
    auto const r = errgroup::all(
        {.policy = policy, .errors = keep::all, .timeout = std::chrono::milliseconds(1)}, calls);
    EXPECT_EQ(r.error(), errc::deadline_exceeded);
  }
}

TEST_F(All, values_of_a_failure_are_destroyed) {
  // no_leaks looks after it.
  std::vector<std::function<result<just_moved>()>> calls(
      10, [] { return result<just_moved>(std::in_place, 3); });
  calls.emplace_back([]() -> result<just_moved> { return cause(); });
  EXPECT_EQ(errgroup::all({.limit = 1}, calls).error(), cause());
}

TEST_F(All, a_million_callables_take_no_more_than_a_few_words_each) {
  constexpr int n = 1'000'000;
  auto made =
      std::views::iota(0, n) | std::views::transform([](int i) { return [i] { return i; }; });
  long const before = support::live_allocations;
  long const calls_before = support::allocations;
  auto const r = errgroup::all({.limit = 2, .queue = 64}, made);
  ASSERT_TRUE(r);
  ASSERT_EQ(r->size(), static_cast<std::size_t>(n));
  EXPECT_EQ(r->back(), n - 1);
  EXPECT_LT(support::allocations - calls_before, n / 4) << "none for each";
  EXPECT_LT(support::live_allocations - before, 5000);
}

TEST_F(All, E6_without_memory_it_throws_and_nothing_runs_on) {
  std::atomic<int> inside{0};
  auto call = [&] {
    ++inside;
    --inside;
    return just_moved(3);
  };
  std::vector<decltype(call)> calls(20, call);
  ASSERT_TRUE(errgroup::all(calls));  // oneTBB does not get over it while it starts
  bool failed = true;
  for (long n = 0; failed; ++n) {
    ASSERT_LT(n, 1000);
    bool told = false;
    try {
      support::failing_new const strike(n);
      told = !errgroup::all({.limit = 1}, calls);
    } catch (std::bad_alloc const&) {
      told = true;
    }
    failed = support::failing_new::has_failed();
    EXPECT_TRUE(failed || !told) << "an allocation";
    EXPECT_EQ(inside, 0);
  }
}

// --- all_settled -----------------------------------------------------------------------------

TEST_F(AllSettled, E1_what_only_tells_that_it_was_cancelled_has_the_cause) {
  auto const [echo, own, late, skipped] = errgroup::all_settled(
      {.limit = 1, .timeout = std::chrono::milliseconds(1)},
      [](std::stop_token const& t) -> result<int> {
        await([&] { return t.stop_requested(); }, "the deadline");
        return errc::canceled;
      },
      [] { return 1; }, [] { return 2; }, [] { return 3; });
  EXPECT_EQ(echo.error(), errc::deadline_exceeded);
  EXPECT_EQ(skipped.error(), errc::deadline_exceeded);
  (void)own;
  (void)late;
}

TEST_F(AllSettled, What_comes_in_spite_of_a_cancellation_is_kept) {
  std::stop_source first;
  auto const [value] = errgroup::all_settled({.stop = first.get_token()}, [&] {
    first.request_stop();
    return 1;
  });
  EXPECT_EQ(value, 1);
  std::stop_source second;
  auto const [failure] = errgroup::all_settled({.stop = second.get_token()}, [&]() -> result<int> {
    second.request_stop();
    return std::make_error_code(std::errc::io_error);
  });
  EXPECT_EQ(failure.error(), std::errc::io_error);
}

TEST_F(AllSettled, of_nothing_is_nothing) {
  static_assert(std::is_same_v<decltype(errgroup::all_settled()), std::tuple<>>);
  (void)errgroup::all_settled();
  std::vector<std::function<int()>> none;
  auto const r = errgroup::all_settled(none);
  static_assert(std::is_same_v<decltype(r), std::vector<result<int>> const>);
  EXPECT_TRUE(r.empty());
}

TEST_F(AllSettled, a_failure_in_the_middle_takes_nothing_away) {
  auto const [one, failed, three] = errgroup::all_settled(
      [] { return 1; }, []() -> result<int> { return cause(); }, [] { return 3; });
  EXPECT_EQ(one, 1);
  EXPECT_EQ(failed.error(), cause());
  EXPECT_EQ(failed.error().origin().index, 1U);
  EXPECT_EQ(three, 3);
}

TEST_F(AllSettled, everything_runs_and_has_its_own_place) {
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    for (auto const policy : {on_error::cancel, on_error::keep_going}) {
      auto const r =
          errgroup::all_settled({.limit = limit, .policy = policy}, numbers(100, {0, 50, 99}));
      ASSERT_EQ(r.size(), 100U);
      for (int i = 0; i != 100; ++i) {
        auto const& got = r[static_cast<std::size_t>(i)];
        if (i == 0 || i == 50 || i == 99) {
          EXPECT_EQ(got.error(), of(i));
          EXPECT_EQ(got.error().origin().index, static_cast<std::size_t>(i));
        } else {
          EXPECT_EQ(got, i);
        }
      }
    }
  }
}

TEST_F(AllSettled, of_several_types_is_a_tuple_of_results) {
  auto const r = errgroup::all_settled([] {}, [] { return std::string("two"); },
                                       []() -> just_moved { throw std::runtime_error("three"); },
                                       [] { return cause(); }, [] { return false; });
  static_assert(
      std::is_same_v<decltype(r), std::tuple<result<>, result<std::string>, result<just_moved>,
                                             result<>, result<bool>> const>);
  EXPECT_TRUE(std::get<0>(r));
  EXPECT_EQ(std::get<1>(r), "two");
  EXPECT_EQ(std::get<2>(r).error().what(), "three");
  EXPECT_EQ(std::get<3>(r).error(), cause());
  ASSERT_TRUE(std::get<4>(r).has_value());
  EXPECT_FALSE(*std::get<4>(r));
}

TEST_F(AllSettled, of_bools_is_a_vector_of_results) {
  std::vector<std::function<bool()>> calls = {[] { return true; }, [] { return false; }};
  auto const r = errgroup::all_settled(calls);
  EXPECT_EQ(r[0], true);
  EXPECT_EQ(r[1], false);
}

TEST_F(AllSettled, what_did_not_run_has_the_cause_and_what_did_its_own) {
  std::stop_source source;
  auto stops = [&]() -> result<int> {
    source.request_stop();
    return echo();
  };
  auto const [ran, stopped, skipped] = errgroup::all_settled(
      {.limit = 1, .stop = source.get_token()}, [] { return 1; }, stops, [] { return 3; });
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(stopped.error(), echo());
  EXPECT_EQ(skipped.error(), errc::canceled);
}

}  // namespace
