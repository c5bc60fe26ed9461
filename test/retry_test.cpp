// SPDX-License-Identifier: Apache-2.0

// retry and retrying: how often, after which pauses, and what is told in the end.

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/all.hpp>
#include <errgroup/any.hpp>
#include <errgroup/group.hpp>
#include <errgroup/retry.hpp>
#include <errgroup/take.hpp>
#include <errgroup/testing.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // max_concurrency
#include <tbb/task_group.h>      // task_group

#include <algorithm>        // max, min
#include <chrono>           // duration_cast, hours, milliseconds, minutes, nanoseconds
#include <cstddef>          // size_t
#include <cstdio>           // fputs, stderr
#include <functional>       // function
#include <limits>           // numeric_limits
#include <memory>           // make_unique, unique_ptr
#include <mutex>            // mutex, scoped_lock
#include <source_location>  // source_location
#include <stdexcept>        // invalid_argument, runtime_error
#include <stop_token>       // stop_source, stop_token
#include <string>           // string
#include <system_error>     // errc, error_code, make_error_code, system_error
#include <thread>           // thread, this_thread
#include <tuple>            // get
#include <type_traits>      // is_same_v
#include <utility>          // move
#include <vector>           // vector

namespace {

using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::on_exception;
using errgroup::options;
using errgroup::result;
using errgroup::retry;
using errgroup::retry_policy;
using errgroup::retrying;
using errgroup::unlimited;
using errgroup::testing::test_clock;
using errgroup::testing::time_moves;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using support::await;
using support::counted;
using support::gate;
using support::on_every_way;
using support::watchdog;
using tbb::global_control;
using testing::ElementsAre;
using testing::HasSubstr;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code other() { return std::make_error_code(std::errc::interrupted); }

constexpr nanoseconds no_pause{0};

/// Runs until it is told to stop.
void until_stopped(std::stop_token const& token) {
  await([&] { return token.stop_requested(); }, "a stop token to be stopped");
}

/// The times of its calls, since it was made; fails until the n-th.
class fails_until {
 public:
  explicit fails_until(int n) : n_(n) {}

  result<int> operator()() {
    times.push_back(std::chrono::duration_cast<minutes>(clock::now() - begin_));
    if (static_cast<int>(times.size()) < n_) {
      return cause();
    }
    return static_cast<int>(times.size());
  }

  std::vector<minutes> times;

 private:
  int n_;
  clock::time_point begin_ = clock::now();
};

constexpr int never = std::numeric_limits<int>::max();

class Retry : public support::no_leaks {};

// --- how often -------------------------------------------------------------------------------

TEST_F(Retry, a_success_is_not_tried_again) {
  fails_until f(1);
  auto const r = retry(retry_policy{}, f);
  static_assert(std::is_same_v<decltype(r), result<int> const>);
  EXPECT_EQ(r.value(), 1);
  EXPECT_EQ(f.times.size(), 1U);
}

TEST_F(Retry, it_is_tried_as_often_as_the_policy_says) {
  for (int const attempts : {1, 2, 3, 17}) {
    SCOPED_TRACE(attempts);
    {
      fails_until f(attempts);
      EXPECT_EQ(retry({.attempts = attempts, .delay = no_pause}, f).value(), attempts);
    }
    {
      fails_until f(attempts + 1);
      auto const r = retry({.attempts = attempts, .delay = no_pause}, f);
      ASSERT_FALSE(r);
      EXPECT_EQ(r.error(), cause());
      EXPECT_TRUE(r.error().others().empty());
      EXPECT_EQ(r.error().attempts(), static_cast<std::size_t>(attempts));
      EXPECT_EQ(f.times.size(), static_cast<std::size_t>(attempts));
    }
  }
}

TEST_F(Retry, none_stands_for_any_number) {
  fails_until f(1000);
  EXPECT_EQ(retry({.attempts = 0, .delay = no_pause}, f).value(), 1000);
}

TEST_F(Retry, the_default_is_three_with_pauses_that_double) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  std::vector<nanoseconds> times;
  auto const begin = clock::now();
  auto const r = retry(retry_policy{}, [&]() -> error {
    times.push_back(clock::now() - begin);
    return cause();
  });
  static_assert(std::is_same_v<decltype(r), result<void> const>);
  EXPECT_EQ(r.error().attempts(), 3U);
  using std::chrono::milliseconds;
  EXPECT_THAT(times, ElementsAre(nanoseconds(0), milliseconds(100), milliseconds(300)));
}

// --- pauses ----------------------------------------------------------------------------------

TEST_F(Retry, pauses_are_constant) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  fails_until f(5);
  EXPECT_EQ(retry({.attempts = 0, .delay = hours(1), .factor = 1}, f).value(), 5);
  EXPECT_THAT(f.times, ElementsAre(minutes(0), hours(1), hours(2), hours(3), hours(4)));
}

TEST_F(Retry, pauses_grow_up_to_a_cap) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  fails_until f(6);
  EXPECT_EQ(
      retry({.attempts = 6, .delay = hours(1), .factor = 2, .max_delay = hours(5)}, f).value(), 6);
  EXPECT_THAT(f.times, ElementsAre(hours(0), hours(1), hours(3), hours(7), hours(12), hours(17)));
}

TEST_F(Retry, pauses_grow_by_any_factor) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  fails_until f(4);
  EXPECT_EQ(retry({.attempts = 4, .delay = minutes(100), .factor = 1.5}, f).value(), 4);
  EXPECT_THAT(f.times, ElementsAre(minutes(0), minutes(100), minutes(250), minutes(475)));
}

TEST_F(Retry, a_cap_below_the_first_pause_is_one) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  fails_until f(3);
  EXPECT_EQ(retry({.delay = hours(9), .max_delay = hours(1)}, f).value(), 3);
  EXPECT_THAT(f.times, ElementsAre(hours(0), hours(1), hours(2)));
}

TEST_F(Retry, pauses_that_no_number_holds_are_the_cap) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  fails_until f(4);
  EXPECT_EQ(
      retry({.attempts = 0, .delay = hours(1), .factor = 1e300, .max_delay = hours(2)}, f).value(),
      4);
  EXPECT_THAT(f.times, ElementsAre(hours(0), hours(1), hours(3), hours(5)));
  // Without a pause it never grows.
  fails_until g(3000);
  EXPECT_EQ(retry({.attempts = 0, .delay = no_pause, .factor = 1e300}, g).value(), 3000);
  EXPECT_EQ(g.times.back(), minutes(0));
}

TEST_F(Retry, jitter_shortens_a_pause_by_up_to_its_part) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  for (double const jitter : {0.25, 1.0}) {
    std::vector<clock::time_point> times;
    auto const r =
        retry({.attempts = 101, .delay = hours(1), .factor = 1, .jitter = jitter}, [&]() -> error {
          times.push_back(clock::now());
          return cause();
        });
    EXPECT_EQ(r.error().attempts(), 101U);
    auto shortest = clock::duration::max();
    auto longest = clock::duration::min();
    for (std::size_t i = 1; i != times.size(); ++i) {
      auto const pause = times[i] - times[i - 1];
      shortest = std::min(shortest, pause);
      longest = std::max(longest, pause);
    }
    EXPECT_GE(shortest, std::chrono::duration_cast<clock::duration>(hours(1) * (1 - jitter)));
    EXPECT_LE(longest, hours(1));
    // Of a hundred of them, all in one half of that range: once in 10^30.
    auto const middle = std::chrono::duration_cast<clock::duration>(hours(1) * (1 - jitter / 2));
    EXPECT_LT(shortest, middle);
    EXPECT_GT(longest, middle);
  }
}

// --- which errors ----------------------------------------------------------------------------

TEST_F(Retry, a_predicate_says_after_which_errors) {
  std::vector<std::size_t> asked;
  retry_policy const policy{.attempts = 5, .delay = no_pause, .retry_if = [&](error const& e) {
                              asked.push_back(e.attempts());
                              return e == cause();
                            }};
  int n = 0;
  auto const r = retry(policy, [&]() -> error { return ++n < 3 ? cause() : other(); });
  EXPECT_EQ(r.error(), other());
  EXPECT_EQ(r.error().attempts(), 3U);
  EXPECT_EQ(n, 3);
  EXPECT_THAT(asked, ElementsAre(1U, 2U, 3U));
}

TEST_F(Retry, a_predicate_is_not_asked_after_the_last_attempt_nor_a_success) {
  int asked = 0;
  retry_policy const policy{.attempts = 2, .delay = no_pause, .retry_if = [&](error const&) {
                              ++asked;
                              return true;
                            }};
  EXPECT_FALSE(retry(policy, [] { return cause(); }));
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(retry(policy, [] {}));
  EXPECT_EQ(asked, 1);
}

TEST_F(Retry, what_a_predicate_throws_ends_the_attempts_as_their_failure) {
  retry_policy const policy{
      .attempts = 5, .delay = no_pause, .retry_if = [](error const& e) -> bool {
        if (e.attempts() == 2) {
          throw std::runtime_error("undecided");
        }
        return true;
      }};
  int n = 0;
  auto const r = retry(policy, [&]() -> error {
    ++n;
    return cause();
  });
  EXPECT_EQ(n, 2);
  ASSERT_NE(r.error().get_if<std::runtime_error>(), nullptr) << r.error();
  EXPECT_EQ(r.error().attempts(), 2U);
  ASSERT_EQ(r.error().others().size(), 1U);
  EXPECT_EQ(r.error().others()[0], cause());
}

TEST_F(Retry, what_a_predicate_throws_leaves_the_others_of_a_join_alone) {
  retry_policy const policy{.attempts = 5, .delay = no_pause, .retry_if = [](error const&) -> bool {
                              throw std::runtime_error("undecided");
                            }};
  for (int const limit : {1, unlimited}) {
    gate asked("the predicate to be asked");
    auto undecided = retrying(policy, [&]() -> result<int> { return cause(); });
    auto const r = errgroup::any(options{.limit = limit}, undecided, [] { return 7; });
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(*r, 7);
    auto [first, second] =
        errgroup::all_settled(options{.limit = limit}, undecided, [] { return 7; });
    EXPECT_NE(first.error().get_if<std::runtime_error>(), nullptr) << first.error();
    ASSERT_TRUE(second) << second.error();
    EXPECT_EQ(*second, 7);
  }
}

// --- what it may be --------------------------------------------------------------------------

struct no_default {
  explicit no_default(int v) : value(v) {}
  int value;
};

using expected_number = tl::expected<int, std::string>;

TEST_F(Retry, takes_whatever_a_callable_may_return) {
  on_every_way([](group&) {
    retry_policy const policy{.attempts = 2, .delay = no_pause};
    int n = 0;
    auto const second_time = [&n] { return ++n % 2 == 0; };
    EXPECT_TRUE(retry(policy, [&] {
      if (!second_time()) {
        throw std::runtime_error("first");
      }
    }));
    EXPECT_TRUE(retry(
        policy, [&]() -> std::error_code { return second_time() ? std::error_code() : cause(); }));
    EXPECT_EQ(retry(policy,
                    [&]() -> result<no_default> {
                      if (!second_time()) {
                        return cause();
                      }
                      return no_default(4);
                    })
                  .value()
                  .value,
              4);
    EXPECT_EQ(retry(policy,
                    [&]() -> expected_number {
                      if (!second_time()) {
                        return tl::unexpected<std::string>("words");
                      }
                      return 5;
                    })
                  .value(),
              5);
    EXPECT_EQ(*retry(policy,
                     [&]() -> std::unique_ptr<int> {
                       if (!second_time()) {
                         throw std::system_error(cause());
                       }
                       return std::make_unique<int>(6);
                     })
                   .value(),
              6);
    EXPECT_EQ(retry(policy, support::move_only([&]() -> result<int> {
                      return second_time() ? result<int>(7) : result<int>(cause());
                    }))
                  .value(),
              7);
    EXPECT_EQ(retry(policy,
                    [&](std::stop_token t) -> result<int> {
                      EXPECT_TRUE(t.stop_possible());
                      EXPECT_FALSE(t.stop_requested());
                      return second_time() ? result<int>(8) : result<int>(cause());
                    })
                  .value(),
              8);
    std::function<int()> const f = [] { return 9; };
    EXPECT_EQ(retry(policy, f).value(), 9);
    auto const failed =
        retry(policy, []() -> expected_number { return tl::unexpected<std::string>("words"); });
    ASSERT_NE(failed.error().get_if<std::string>(), nullptr);
    EXPECT_EQ(*failed.error().get_if<std::string>(), "words");
    EXPECT_EQ(failed.error().attempts(), 2U);
  });
}

TEST_F(Retry, a_callable_is_neither_moved_nor_copied) {
  support::throws_on_copy f([] { return 1; });
  EXPECT_EQ(retry(retry_policy{}, f).value(), 1);
  support::throws_on_move g([] { return 1; });
  EXPECT_EQ(retry(retry_policy{}, g).value(), 1);
}

// --- what is told ----------------------------------------------------------------------------

TEST_F(Retry, the_error_is_that_of_the_last_attempt) {
  int n = 0;
  auto const r =
      retry({.delay = no_pause}, [&]() -> error { return ++n == 3 ? other() : cause(); });
  EXPECT_EQ(r.error(), other());
  EXPECT_TRUE(r.error().others().empty());
}

TEST_F(Retry, it_tells_where_how_often_and_through_groups_above) {
  std::source_location where;
  auto const fails = [&]() -> error {
    where = std::source_location::current();
    return retry({.limit = 1, .name = "fetch"}, {.delay = no_pause},
                 [] { throw std::runtime_error("down"); })
        .error();
  };
  error const alone = fails();
  EXPECT_EQ(alone.attempts(), 3U);
  EXPECT_EQ(alone.origin().path, "fetch");
  EXPECT_EQ(alone.origin().index, 0U);
  EXPECT_EQ(alone.origin().where.line(), where.line() + 1);
  EXPECT_THAT(alone.origin().where.file_name(), HasSubstr("retry_test.cpp"));
  EXPECT_THAT(alone.message(), HasSubstr("after 3 attempts"));
  EXPECT_THAT(alone.message(), HasSubstr("down"));

  group outer{{.errors = keep::all, .name = "job"}};
  outer.run([&] {
    group middle{{.name = "part"}};
    middle.run("named", fails);
    return middle.wait();
  });
  error const e = outer.wait();
  EXPECT_EQ(e.attempts(), 3U);
  EXPECT_EQ(e.origin().path, "job/part/fetch");
  EXPECT_THAT(e.message(), HasSubstr("after 3 attempts"));

  auto const once = retry({.attempts = 1}, [] { return cause(); });
  EXPECT_EQ(once.error().attempts(), 1U);
  EXPECT_THAT(once.error().message(), HasSubstr("after 1 attempt"));
}

// --- a time limit for each attempt -----------------------------------------------------------

TEST_F(Retry, an_attempt_that_takes_too_long_is_cancelled_and_tried_again) {
  watchdog const guard("an attempt that takes too long");
  for (int const limit : {1, unlimited}) {
    test_clock c;
    gate running("the first attempt to run");
    result<int> r(0);
    int n = 0;
    std::thread other_thread([&] {
      r = retry(options{.limit = limit}, {.attempts = 2, .delay = no_pause, .timeout = hours(1)},
                [&](std::stop_token t) {
                  if (++n == 1) {
                    running.open();
                    until_stopped(t);
                    EXPECT_TRUE(errgroup::check());
                  }
                  return n;  // the first one comes too late
                });
    });
    running.wait();
    c.advance(hours(1));
    other_thread.join();
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(*r, 2);
  }
}

TEST_F(Retry, a_value_that_comes_too_late_is_none) {
  watchdog const guard("a value that comes too late");
  test_clock c;
  for (bool const fails_too : {false, true}) {
    gate running("the attempt to run");
    result<int> r(0);
    std::thread other_thread([&] {
      r = retry({.attempts = 1, .timeout = hours(1)}, [&](std::stop_token t) -> result<int> {
        running.open();
        until_stopped(t);
        if (fails_too) {
          return other();  // because it was cancelled
        }
        return 1;
      });
    });
    running.wait();
    c.advance(hours(1));
    other_thread.join();
    EXPECT_EQ(r.error(), errc::deadline_exceeded);
    EXPECT_EQ(r.error().attempts(), 1U);
    EXPECT_NE(r.error().origin().where.line(), 0U);
    EXPECT_THAT(r.error().origin().where.file_name(), HasSubstr("retry_test.cpp"));
  }
}

TEST_F(Retry, an_attempt_that_fails_by_itself_in_time_tells_that) {
  test_clock const c;
  auto const r = retry({.attempts = 1, .timeout = hours(1)}, [] { return cause(); });
  EXPECT_EQ(r.error(), cause());
}

TEST_F(Retry, the_time_of_an_attempt_begins_with_it) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  fails_until f(4);
  // Pauses do not count.
  EXPECT_EQ(retry({.attempts = 4, .delay = hours(5), .factor = 1, .timeout = hours(1)}, f).value(),
            4);
}

TEST_F(Retry, what_an_attempt_started_is_cancelled_with_it) {
  watchdog const guard("what an attempt started");
  test_clock c;
  gate running("the innermost task to run");
  result<int> r(0);
  error inner;
  std::thread other_thread([&] {
    r = retry({.attempts = 1, .timeout = hours(1)}, [&] {
      group g;
      g.run([&](std::stop_token t) {
        running.open();
        until_stopped(t);
      });
      inner = g.wait();
      return 1;
    });
  });
  running.wait();
  c.advance(hours(1));
  other_thread.join();
  EXPECT_EQ(r.error(), errc::deadline_exceeded);
  EXPECT_TRUE(inner);
}

// --- cancelled -------------------------------------------------------------------------------

TEST_F(Retry, E3_cancelled_before_it_begins_it_is_not_called) {
  std::stop_source source;
  source.request_stop();
  int n = 0;
  auto const r = retry(options{.stop = source.get_token()}, {}, [&] { return ++n; });
  EXPECT_EQ(r.error(), errc::canceled);
  EXPECT_EQ(r.error().attempts(), 0U);
  EXPECT_EQ(r.error().skipped(), 1U);
  EXPECT_EQ(n, 0);

  group outer;
  outer.run([&]() -> error {
    outer.cancel(cause());
    return retry(retry_policy{}, [&] { return ++n; }).error();
  });
  EXPECT_EQ(outer.wait(), cause());
  EXPECT_EQ(n, 0);
}

TEST_F(Retry, E1_cancelled_during_a_pause_it_ends_at_once_and_tells_why_and_the_last_failure) {
  watchdog const guard("a pause that is cancelled");
  for (int const limit : {1, unlimited}) {
    test_clock const c;
    std::stop_source source;
    gate failed("the second attempt to have failed");
    result<void> r;
    int n = 0;
    std::thread other_thread([&] {
      r = retry(options{.limit = limit, .stop = source.get_token()},
                {.attempts = 0,
                 .delay = no_pause,
                 .retry_if =
                     [&](error const& e) {
                       if (e.attempts() == 2) {
                         failed.open();
                       }
                       return true;
                     }},
                [&]() -> error {
                  ++n;
                  return cause();
                });
    });
    failed.wait();
    source.request_stop();
    other_thread.join();
    EXPECT_EQ(r.error(), errc::canceled);
    ASSERT_EQ(r.error().others().size(), 1U);
    EXPECT_EQ(r.error().others()[0], cause());
    EXPECT_GE(r.error().attempts(), 2U);
    EXPECT_EQ(r.error().attempts(), static_cast<std::size_t>(n));
  }
  for (int const limit : {1, unlimited}) {
    test_clock const c;  // which stands still: the pause of an hour would never end
    std::stop_source source;
    gate asked("the first attempt to have failed");
    result<void> r;
    std::thread other_thread([&] {
      r = retry(options{.limit = limit, .stop = source.get_token()},
                {.attempts = 0,
                 .delay = hours(1),
                 .retry_if =
                     [&](error const&) {
                       asked.open();
                       return true;
                     }},
                [] { return cause(); });
    });
    asked.wait();
    support::let_others_work();
    source.request_stop();
    other_thread.join();
    EXPECT_EQ(r.error(), errc::canceled);
    ASSERT_EQ(r.error().others().size(), 1U);
    EXPECT_EQ(r.error().others()[0], cause());
    EXPECT_EQ(r.error().attempts(), 1U);
    EXPECT_THAT(r.error().message(), HasSubstr("after 1 attempt"));
  }
}

TEST_F(Retry, E1_a_deadline_ends_it_and_tells_the_last_failure) {
  for (int const limit : {1, unlimited}) {
    test_clock const c(time_moves::when_nothing_else_is_left);
    fails_until f(never);
    auto const r = retry(options{.limit = limit, .timeout = minutes(150)},
                         {.attempts = 0, .delay = hours(1), .factor = 1}, f);
    EXPECT_EQ(r.error(), errc::deadline_exceeded);
    ASSERT_EQ(r.error().others().size(), 1U);
    EXPECT_EQ(r.error().others()[0], cause());
    EXPECT_EQ(r.error().attempts(), 3U);
    EXPECT_THAT(f.times, ElementsAre(minutes(0), minutes(60), minutes(120)));
  }
}

TEST_F(Retry, E1_cancelled_from_above_during_a_pause_or_an_attempt) {
  watchdog const guard("a retry that is cancelled from above");
  for (bool const in_pause : {false, true}) {
    SCOPED_TRACE(in_pause);
    test_clock const c;
    gate there("the pause, or the second attempt");
    group outer{{.limit = 2}};
    result<void> r;
    int n = 0;
    outer.run([&] {
      r = retry({.attempts = 0, .delay = in_pause ? nanoseconds(hours(1)) : no_pause},
                [&](std::stop_token t) -> error {
                  if (++n == (in_pause ? 1 : 2)) {
                    there.open();
                    if (!in_pause) {
                      until_stopped(t);
                      return errc::canceled;  // it says no more than the cause does
                    }
                  }
                  return cause();
                });
      return r.error();
    });
    there.wait();
    support::let_others_work();
    outer.cancel(other());
    EXPECT_EQ(outer.wait(), other());
    EXPECT_EQ(r.error(), errc::canceled);
    ASSERT_EQ(r.error().others().size(), 1U) << r.error();
    EXPECT_EQ(r.error().others()[0], cause()) << "the last failure that is not an echo";
    EXPECT_EQ(r.error().attempts(), static_cast<std::size_t>(n));
  }
}

TEST_F(Retry, E3_a_value_that_comes_after_it_was_cancelled_is_none) {
  std::stop_source source;
  auto const r = retry(options{.stop = source.get_token()}, {}, [&] {
    source.request_stop();
    return 1;
  });
  EXPECT_EQ(r.error(), errc::canceled);
  EXPECT_EQ(r.error().attempts(), 1U);
}

TEST_F(Retry, E2_what_was_cut_off_in_a_pause_is_told_by_any_and_take) {
  using errgroup::retrying;
  auto fails = []() -> result<int> { return cause(); };
  auto refuses = []() -> result<int> { return other(); };
  for (bool const of_take : {false, true}) {
    test_clock const c(errgroup::testing::time_moves::when_nothing_else_is_left);
    retrying again(retry_policy{.attempts = 0, .delay = hours(2), .factor = 1}, fails);
    options const opts{.timeout = hours(3)};
    error const e = of_take ? errgroup::take(opts, 2, again, refuses, [] { return 1; }).error()
                            : errgroup::any(opts, again, refuses).error();
    EXPECT_EQ(e, errc::deadline_exceeded);
    ASSERT_EQ(e.others().size(), 2U) << e;
    EXPECT_EQ(e.others()[0], other());
    EXPECT_EQ(e.others()[1], cause());
    EXPECT_EQ(e.others()[1].attempts(), 2U);
    EXPECT_EQ(e.others()[1].origin().index, 0U);
  }
}

TEST_F(Retry, What_succeeds_or_fails_in_the_end_is_told_once) {
  int n = 0;
  auto twice = [&]() -> result<int> {
    return ++n < 3 ? result<int>(cause()) : result<int>(other());
  };
  errgroup::retrying again(retry_policy{.delay = no_pause}, twice);
  auto const r = errgroup::any(again, []() -> result<int> { return other(); });
  EXPECT_EQ(r.error().all().size(), 2U) << r.error();
  EXPECT_EQ(r.error().find_if([](error const& e) { return e == cause(); }), nullptr);
}

// --- what a pause holds ----------------------------------------------------------------------

TEST_F(Retry, a_pause_of_retrying_holds_no_slot) {
  watchdog const guard("a pause that holds the only slot");
  for (int const limit : {1, unlimited}) {
    test_clock const c(time_moves::when_nothing_else_is_left);
    std::vector<int> order;
    std::mutex m;
    auto const note = [&](int n) {
      std::scoped_lock const held(m);
      order.push_back(n);
    };
    int n = 0;
    auto const r = errgroup::all(options{.limit = limit},
                                 retrying({.attempts = 3, .delay = hours(1)},
                                          [&]() -> result<int> {
                                            note(++n);
                                            if (n < 3) {
                                              return cause();
                                            }
                                            return n;
                                          }),
                                 [&] {
                                   note(10);
                                   return std::string("ran");
                                 });
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(std::get<0>(*r), 3);
    EXPECT_EQ(std::get<1>(*r), "ran");
    if (limit == 1) {
      EXPECT_THAT(order, ElementsAre(1, 10, 2, 3));
    }
  }
}

TEST_F(Retry, any_cancels_those_that_pause) {
  watchdog const guard("any() of those that pause");
  for (int const limit : {1, unlimited}) {
    test_clock const c;  // it stands still
    auto const r = errgroup::any(
        options{.limit = limit},
        retrying({.attempts = 0, .delay = hours(1)}, []() -> result<int> { return cause(); }),
        [] { return 7; });
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(*r, 7);
  }
}

TEST_F(Retry, any_of_those_that_all_fail_tells_all) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  auto const fails = [](int n) {
    return retrying({.attempts = n, .delay = hours(1)}, []() -> result<int> { return cause(); });
  };
  auto const r = errgroup::any(options{.limit = 1}, fails(1), fails(2), fails(4));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().attempts(), 1U);
  ASSERT_EQ(r.error().others().size(), 2U);
  EXPECT_EQ(r.error().others()[0].attempts(), 2U);
  EXPECT_EQ(r.error().others()[0].origin().index, 1U);
  EXPECT_EQ(r.error().others()[1].attempts(), 4U);
}

TEST_F(Retry, during_a_pause_in_a_task_its_thread_does_other_work) {
  watchdog const guard("other work during a pause");
  support::with_workers(1, [&] {
    test_clock c;
    gate paused("the first attempt to have failed");
    gate ran("other work to run");
    std::thread::id mine;
    std::thread::id others;
    result<int> r(0);
    int n = 0;
    group outer;
    // This thread only looks on, so there is one other.
    outer.run([&] {
      mine = std::this_thread::get_id();
      r = retry({.attempts = 2, .delay = hours(1)}, [&]() -> result<int> {
        if (++n == 1) {
          paused.open();
          return cause();
        }
        return 5;
      });
    });
    paused.wait();
    tbb::task_group raw;
    raw.run([&] {
      others = std::this_thread::get_id();
      ran.open();
    });
    ran.wait();
    c.advance(hours(1));
    EXPECT_FALSE(outer.wait());
    raw.wait();
    EXPECT_EQ(r.value(), 5);
    EXPECT_EQ(mine, others);
    EXPECT_NE(mine, std::this_thread::get_id());
  });
}

// --- retrying --------------------------------------------------------------------------------

TEST_F(Retry, retrying_called_by_itself_is_retry) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  int n = 0;
  auto turns = retrying({.attempts = 3, .delay = hours(1)}, [&, a = counted()]() -> result<int> {
    return ++n % 3 == 0 ? result<int>(n) : result<int>(cause());
  });
  EXPECT_EQ(turns().value(), 3);
  EXPECT_EQ(turns().value(), 6);
  n = 1000;
  auto once = retrying({.attempts = 1}, [&]() -> error { return cause(); });
  EXPECT_EQ(once().error().attempts(), 1U);
  // As a task, it is one that waits.
  group g;
  g.run([&turns, &n] {
    n = 0;
    return turns().error();
  });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(n, 3);
}

TEST_F(Retry, retrying_is_moved_and_copied) {
  int n = 0;
  auto f = [&n, a = counted()]() -> result<int> {
    return ++n % 2 == 0 ? result<int>(n) : result<int>(cause());
  };
  auto first = retrying({.delay = no_pause}, f);
  auto second = first;
  auto third = std::move(first);
  EXPECT_EQ(second().value(), 2);
  EXPECT_EQ(third().value(), 4);
  auto const r = errgroup::all(options{.limit = 1}, second, std::move(third));
  EXPECT_EQ(std::get<0>(r.value()) + std::get<1>(r.value()), 6 + 8);
  auto only = retrying({.delay = no_pause}, support::move_only([&n] { return ++n; }));
  auto moved = std::move(only);
  EXPECT_EQ(moved().value(), 9);
  retrying<decltype(f)&> refers({.delay = no_pause}, f);
  EXPECT_EQ(refers().value(), 10);
}

TEST_F(Retry, retrying_in_a_range) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  auto const make = [](int i) {
    return retrying({.attempts = i + 1, .delay = hours(1)}, [i, n = 0]() mutable -> result<int> {
      return ++n <= i ? result<int>(cause()) : result<int>(10 * i);
    });
  };
  std::vector<decltype(make(0))> all;
  for (int i = 0; i != 5; ++i) {
    all.push_back(make(i));
  }
  auto again = all;
  auto const r = errgroup::all(options{.limit = 1}, all);
  ASSERT_TRUE(r) << r.error();
  EXPECT_THAT(*r, ElementsAre(0, 10, 20, 30, 40));
  auto const s = errgroup::all(std::move(again));
  ASSERT_TRUE(s) << s.error();
  EXPECT_THAT(*s, ElementsAre(0, 10, 20, 30, 40));
  EXPECT_TRUE(errgroup::all(std::vector<decltype(make(0))>()).value().empty());
}

TEST_F(Retry, the_first_failure_of_several_cancels_the_pauses_of_the_others) {
  watchdog const guard("all() of those that pause");
  for (int const limit : {1, unlimited}) {
    test_clock const c;  // it stands still
    auto const r = errgroup::all(
        options{.limit = limit},
        retrying({.attempts = 0, .delay = hours(1)}, []() -> error { return cause(); }),
        retrying({.attempts = 2, .delay = no_pause}, []() -> error { return other(); }));
    EXPECT_EQ(r.error(), other());
    EXPECT_EQ(r.error().attempts(), 2U);
  }
}

// --- everywhere ------------------------------------------------------------------------------

TEST_F(Retry, nested_in_itself) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  on_every_way([](group&) {
    int inner = 0;
    int outer = 0;
    auto const r = retry(options{.limit = 1}, {.attempts = 3, .delay = hours(10)}, [&] {
      ++outer;
      return retry(options{.limit = 1}, {.attempts = 2, .delay = hours(1)},
                   [&]() -> result<int> { return ++inner == 6 ? result<int>(1) : cause(); });
    });
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(outer, 3);
    EXPECT_EQ(inner, 6);
    auto const failed = retry({.attempts = 3, .delay = no_pause}, [&] {
      return retry({.attempts = 2, .delay = no_pause}, [] { return cause(); });
    });
    EXPECT_EQ(failed.error().attempts(), 3U) << "its own";
  });
}

TEST_F(Retry, W2_without_workers) {
  watchdog const guard("a retry without workers");
  global_control const one(global_control::max_allowed_parallelism, 1);
  test_clock const c(time_moves::when_nothing_else_is_left);
  on_every_way([](group&) {
    for (int const limit : {1, unlimited}) {
      fails_until f(3);
      EXPECT_EQ(retry(options{.limit = limit}, {.delay = hours(1), .timeout = hours(1)}, f).value(),
                3);
    }
    auto const r = errgroup::all(retrying({.delay = hours(1)}, fails_until(3)),
                                 retrying({.delay = hours(1)}, fails_until(2)));
    EXPECT_EQ(std::get<0>(r.value()), 3);
  });
}

TEST_F(Retry, W4_isolated) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  on_every_way([](group&) {
    fails_until f(3);
    EXPECT_EQ(retry(options{.isolated = true}, {.delay = hours(1)}, f).value(), 3);
  });
}

// --- misuse ----------------------------------------------------------------------------------

template <class Call>
void expect_refused(Call call, char const* words) {
  try {
    call();
    ADD_FAILURE() << "not refused: " << words;
  } catch (std::invalid_argument const& e) {
    EXPECT_THAT(e.what(), HasSubstr(words));
  }
}

TEST_F(Retry, a_policy_that_makes_no_sense_is_refused_in_words) {
  int called = 0;
  auto const f = [&] { return ++called; };
  double const nan = std::numeric_limits<double>::quiet_NaN();
  auto const refused = [&](retry_policy const& policy, char const* words) {
    expect_refused([&] { (void)retry(policy, f); }, words);
    expect_refused([&] { (void)retrying(policy, f); }, words);
  };
  refused({.attempts = -1}, "attempts");
  refused({.attempts = std::numeric_limits<int>::min()}, "attempts");
  refused({.delay = nanoseconds(-1)}, "negative");
  refused({.max_delay = nanoseconds(-1)}, "negative");
  refused({.factor = 0.5}, "factor");
  refused({.factor = -2}, "factor");
  refused({.factor = nan}, "factor");
  refused({.jitter = -0.1}, "jitter");
  refused({.jitter = 1.1}, "jitter");
  refused({.jitter = nan}, "jitter");
  EXPECT_EQ(called, 0);
  expect_refused([&] { (void)retry(options{.limit = 0}, {}, f); }, "limit");
  EXPECT_EQ(called, 0);
}

TEST_F(Retry, a_negative_time_limit_is_refused_or_passes_at_once) {
  auto const r = retry({.attempts = 1, .timeout = nanoseconds(0)}, [] { return 1; });
  EXPECT_EQ(r.error(), errc::deadline_exceeded);
}

TEST_F(Retry, an_empty_callable_is_refused_in_words) {
  expect_refused([] { (void)retry(retry_policy{}, std::function<int()>()); }, "empty");
  expect_refused([] { (void)retrying(retry_policy{}, std::function<int()>()); }, "empty");
  expect_refused([] { (void)retry(retry_policy{}, static_cast<int (*)()>(nullptr)); }, "empty");
}

// --- on_exception::terminate -----------------------------------------------------------------

struct says_unwound {
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

void throw_in_an_attempt(options opts, retry_policy const& policy) {
  watchdog const guard("an attempt that throws");
  opts.exceptions = on_exception::terminate;
  (void)retry(opts, policy, []() -> int {
    says_unwound const on_the_stack;
    throw std::runtime_error("the disk is full");
  });
}

TEST(RetryDeathTest, an_exception_ends_the_process_where_it_was_thrown) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto const words =
      testing::AllOf(HasSubstr("the disk is full"), testing::Not(HasSubstr("unwound")));
  EXPECT_DEATH(throw_in_an_attempt({}, {}), words);
  EXPECT_DEATH(throw_in_an_attempt({.limit = 1}, {}), words);
  EXPECT_DEATH(throw_in_an_attempt({}, {.timeout = hours(1)}), words);
}

TEST_F(Retry, what_is_returned_ends_no_process) {
  fails_until f(3);
  EXPECT_EQ(retry(options{.exceptions = on_exception::terminate},
                  {.delay = no_pause, .timeout = hours(1)}, f)
                .value(),
            3);
}

}  // namespace
