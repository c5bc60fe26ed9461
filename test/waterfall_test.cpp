// SPDX-License-Identifier: Apache-2.0

// waterfall: steps, each with what the one before gave.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/retry.hpp>
#include <errgroup/testing.hpp>
#include <errgroup/waterfall.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // max_concurrency, task_arena

#include <chrono>        // hours
#include <cstddef>       // size_t
#include <cstdio>        // fputs, stderr
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <stdexcept>     // invalid_argument, runtime_error
#include <stop_token>    // stop_source, stop_token
#include <string>        // string, to_string
#include <system_error>  // errc, error_code, make_error_code, system_error
#include <thread>        // thread
#include <type_traits>   // is_same_v
#include <utility>       // move

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::on_error;
using errgroup::on_exception;
using errgroup::options;
using errgroup::result;
using errgroup::unlimited;
using errgroup::waterfall;
using errgroup::testing::test_clock;
using std::chrono::hours;
using support::await;
using support::counted;
using support::gate;
using support::on_every_way;
using support::watchdog;
using tbb::global_control;
using testing::HasSubstr;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code other() { return std::make_error_code(std::errc::interrupted); }

/// Runs until it is told to stop.
void until_stopped(std::stop_token const& token) {
  await([&] { return token.stop_requested(); }, "a stop token to be stopped");
}

int twice(int n) { return 2 * n; }

/// Calls `body` with options of all kinds that a waterfall must not mind.
template <class Body>
void with_any_options(Body body) {
  on_every_way([&](group&) {
    body(options{});
    body(options{.limit = 1});
    body(options{.limit = 2, .queue = 0});
    body(options{.policy = on_error::keep_going, .errors = errgroup::keep::all});
    body(options{.isolated = true});
    body(options{.name = "job"});
  });
}

class Waterfall : public support::no_leaks {};

// --- what it gives ---------------------------------------------------------------------------

TEST_F(Waterfall, no_step_gives_what_there_was) {
  with_any_options([](options const& o) {
    auto const r = waterfall(o, 5);
    static_assert(std::is_same_v<decltype(r), result<int> const>);
    EXPECT_EQ(r.value(), 5);
    EXPECT_EQ(*waterfall(o, std::make_unique<int>(6)).value(), 6);
    std::string const kept = "kept";
    EXPECT_EQ(waterfall(o, kept).value(), "kept");
  });
  EXPECT_EQ(waterfall(5).value(), 5);
}

TEST_F(Waterfall, each_step_takes_what_the_one_before_gave) {
  with_any_options([](options const& o) {
    EXPECT_EQ(waterfall(o, 5, twice).value(), 10);
    auto const r = waterfall(
        o, 5, twice, [a = counted()](int n) { return std::to_string(n); },
        [](std::string s) { return s + s; }, [](std::string const& s) { return s.size(); });
    static_assert(std::is_same_v<decltype(r), result<std::size_t> const>);
    EXPECT_EQ(r.value(), 4U);
  });
  EXPECT_EQ(waterfall(1, twice, twice, twice, twice, twice, twice, twice, twice, twice, twice,
                      twice, twice, twice, twice, twice, twice)
                .value(),
            65536);
}

TEST_F(Waterfall, the_steps_follow_one_another) {
  on_every_way([](group&) {
    std::string order;
    EXPECT_TRUE(waterfall(
        0,
        [&](int) {
          order += 'a';
          return 1;
        },
        [&](int) { order += 'b'; }, [&] { order += 'c'; }, [&](std::stop_token) { order += 'd'; }));
    EXPECT_EQ(order, "abcd");
  });
}

struct no_default {
  explicit no_default(int v) : value(v) {}
  no_default(no_default&&) = default;
  no_default& operator=(no_default&&) = delete;
  int value;
};

using expected_number = tl::expected<int, std::string>;

TEST_F(Waterfall, a_step_returns_whatever_a_callable_may) {
  with_any_options([](options const& o) {
    auto const r = waterfall(
        o, std::make_unique<int>(1), [](std::unique_ptr<int> p) { return no_default(*p + 1); },
        [](no_default&& n) -> result<no_default> { return no_default(n.value + 1); },
        [](no_default n) -> expected_number { return n.value + 1; },
        [](int n, std::stop_token t) {
          EXPECT_TRUE(t.stop_possible());
          EXPECT_FALSE(t.stop_requested());
          return n + 1;
        });
    EXPECT_EQ(r.value(), 5);
  });
}

TEST_F(Waterfall, a_step_without_a_value_is_followed_by_one_that_takes_none) {
  with_any_options([](options const& o) {
    int seen = 0;
    auto const r = waterfall(
        o, 1, [&](int n) { seen = n; }, []() -> std::error_code { return {}; },
        [](std::stop_token t) -> error { return t.stop_requested() ? errc::failed : error(); },
        [] { return 7; }, [](int n) -> error { return n == 7 ? error() : error(errc::failed); });
    static_assert(std::is_same_v<decltype(r), result<void> const>);
    EXPECT_TRUE(r) << r.error();
    EXPECT_EQ(seen, 1);
  });
}

TEST_F(Waterfall, it_begins_with_any_kind_of_result) {
  auto const plus_one = [](int n) { return n + 1; };
  EXPECT_EQ(waterfall(result<int>(1), plus_one).value(), 2);
  EXPECT_EQ(waterfall(expected_number(2), plus_one).value(), 3);
  EXPECT_EQ(waterfall(result<void>(), [] { return 4; }).value(), 4);
  EXPECT_EQ(waterfall(error(), [] { return 5; }).value(), 5);
  EXPECT_EQ(waterfall(std::error_code(), [] { return 6; }).value(), 6);
}

TEST_F(Waterfall, a_first_failure_given_is_told_and_no_step_is_blamed) {
  with_any_options([](options const& o) {
    int called = 0;
    auto const r = waterfall(o, result<int>(cause()), [&](int n) {
      ++called;
      return n;
    });
    EXPECT_EQ(r.error(), cause());
    EXPECT_EQ(r.error().origin().index, errgroup::npos);
    EXPECT_THAT(r.error().message(), testing::Not(HasSubstr("waterfall.hpp")));
    EXPECT_FALSE(waterfall(o, expected_number(tl::unexpect, "words"), twice));
    EXPECT_FALSE(waterfall(o, error(cause())));
    EXPECT_EQ(called, 0);
  });
}

TEST_F(Waterfall, values_are_moved_and_steps_are_not) {
  support::throws_on_copy f([] {});
  support::throws_on_move g([] {});
  EXPECT_TRUE(waterfall(result<void>(), f, g));
  EXPECT_TRUE(
      waterfall(result<void>(), support::throws_on_copy([] {}), support::throws_on_move([] {})));
  std::function<int(int)> const h = twice;
  EXPECT_EQ(waterfall(1, h, &twice).value(), 4);
  auto only = [n = std::make_unique<int>(1)](int by) mutable { return *n += by; };
  EXPECT_EQ(waterfall(1, only, std::move(only)).value(), 4);
}

// --- failures --------------------------------------------------------------------------------

TEST_F(Waterfall, the_first_failure_ends_it_and_tells_the_step) {
  with_any_options([](options const& o) {
    for (int bad = 0; bad != 3; ++bad) {
      SCOPED_TRACE(bad);
      int called = 0;
      auto const step = [&](int n) -> result<int> {
        if (called++ == bad) {
          return cause();
        }
        return n + 1;
      };
      auto const r = waterfall(o, 0, step, step, step);
      ASSERT_FALSE(r);
      EXPECT_EQ(r.error(), cause());
      EXPECT_EQ(r.error().origin().index, static_cast<std::size_t>(bad));
      EXPECT_THAT(r.error().message(), HasSubstr("task " + std::to_string(bad)));
      EXPECT_THAT(r.error().message(), testing::Not(HasSubstr("waterfall.hpp")));
      EXPECT_EQ(r.error().origin().path.ends_with("job"), o.name == "job");
      EXPECT_TRUE(r.error().others().empty());
      EXPECT_EQ(called, bad + 1);
    }
  });
}

TEST_F(Waterfall, E2_whatever_way_a_step_fails) {
  with_any_options([](options const& o) {
    int after = 0;
    auto const next = [&] { ++after; };
    EXPECT_EQ(
        waterfall(o, 1, [](int) -> std::error_code { return cause(); }, next).error(), cause());
    EXPECT_EQ(waterfall(o, 1, [](int) -> error { return cause(); }, next).error(), cause());
    EXPECT_EQ(waterfall(o, 1, [](int) -> result<void> { return cause(); }, next).error(), cause());
    EXPECT_EQ(
        waterfall(o, 1, [](int) { throw std::system_error(cause()); }, next).error(), cause());
    auto const thrown = waterfall(o, 1, [](int) { throw std::runtime_error("words"); }, next);
    EXPECT_NE(thrown.error().get_if<std::runtime_error>(), nullptr);
    EXPECT_EQ(thrown.error().origin().index, 0U);
    auto const own =
        waterfall(o, 1, [](int) { return expected_number(tl::unexpect, "words"); }, twice);
    ASSERT_NE(own.error().get_if<std::string>(), nullptr);
    EXPECT_EQ(*own.error().get_if<std::string>(), "words");
    EXPECT_EQ(after, 0);
  });
}

struct throws_when_moved {
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved const&) = delete;
  throws_when_moved(throws_when_moved&&) { throw std::runtime_error("moved"); }
  throws_when_moved& operator=(throws_when_moved const&) = delete;
  throws_when_moved& operator=(throws_when_moved&&) = delete;
  ~throws_when_moved() = default;
};

TEST_F(Waterfall, E2_a_value_that_cannot_be_moved_on_is_a_failure) {
  auto const r =
      waterfall(1, [](int) { return throws_when_moved(); }, [](throws_when_moved&&) { return 1; });
  EXPECT_NE(r.error().get_if<std::runtime_error>(), nullptr);
}

TEST_F(Waterfall, tells_how_often_a_step_was_tried) {
  auto const r = waterfall(1, [](int) {
    return errgroup::retry({.attempts = 2, .delay = std::chrono::nanoseconds(0)},
                           [] { return cause(); });
  });
  EXPECT_EQ(r.error(), cause());
  EXPECT_EQ(r.error().attempts(), 2U);
}

// --- cancelled -------------------------------------------------------------------------------

TEST_F(Waterfall, E3_cancelled_before_it_begins_no_step_runs) {
  std::stop_source source;
  source.request_stop();
  for (int const limit : {1, unlimited}) {
    options const o{.limit = limit, .stop = source.get_token()};
    int called = 0;
    EXPECT_EQ(waterfall(o, 1, [&](int) { ++called; }).error(), errc::canceled);
    EXPECT_EQ(waterfall(o, 1).error(), errc::canceled);
    EXPECT_EQ(called, 0);
  }
}

TEST_F(Waterfall, E3_cancelled_in_a_step_the_next_one_does_not_run) {
  with_any_options([](options o) {
    for (bool const is_last : {false, true}) {
      std::stop_source source;
      o.stop = source.get_token();
      int called = 0;
      auto const stops = [&](int n, std::stop_token t) {
        source.request_stop();
        EXPECT_TRUE(t.stop_requested());
        EXPECT_TRUE(errgroup::check());
        return n;
      };
      auto const next = [&](int) { ++called; };
      error const e =
          is_last ? waterfall(o, 1, stops).error() : waterfall(o, 1, twice, stops, next).error();
      EXPECT_EQ(e, errc::canceled);
      EXPECT_EQ(called, 0);
    }
  });
}

TEST_F(Waterfall, E3_a_deadline_ends_it) {
  watchdog const guard("a waterfall whose time is over");
  for (int const limit : {1, unlimited}) {
    test_clock c;
    gate running("the first step to run");
    result<int> r(0);
    int called = 0;
    std::thread other_thread([&] {
      r = waterfall(
          options{.limit = limit, .timeout = hours(1)}, 1,
          [&](int n, std::stop_token t) {
            running.open();
            until_stopped(t);
            return n;
          },
          [&](int n) {
            ++called;
            return n;
          });
    });
    running.wait();
    c.advance(hours(1));
    other_thread.join();
    EXPECT_EQ(r.error(), errc::deadline_exceeded);
    EXPECT_EQ(called, 0);
  }
}

TEST_F(Waterfall, E1_cancelled_from_above_it_tells_so) {
  for (bool const fails_too : {false, true}) {
    group outer;
    result<int> r(0);
    int called = 0;
    outer.run([&] {
      r = waterfall(
          1,
          [&](int n) -> result<int> {
            outer.cancel(cause());
            if (fails_too) {
              return other();
            }
            return n;
          },
          [&](int n) {
            ++called;
            return n;
          });
      return r.error();
    });
    EXPECT_EQ(outer.wait(), cause());
    EXPECT_EQ(r.error(), errc::canceled);
    EXPECT_EQ(called, 0);
  }
}

TEST_F(Waterfall, C2_what_a_step_started_is_cancelled_with_it) {
  watchdog const guard("what a step started");
  std::stop_source source;
  gate running("the innermost task to run");
  error inner;
  result<int> r(0);
  std::thread other_thread([&] {
    r = waterfall(options{.stop = source.get_token()}, 1, [&](int n) {
      group g;
      g.run([&](std::stop_token t) {
        running.open();
        until_stopped(t);
      });
      inner = g.wait();
      return n;
    });
  });
  running.wait();
  source.request_stop();
  other_thread.join();
  EXPECT_EQ(r.error(), errc::canceled);
  EXPECT_EQ(inner, errc::canceled);
}

// --- everywhere ------------------------------------------------------------------------------

TEST_F(Waterfall, nested_in_itself) {
  with_any_options([](options const& o) {
    auto const inner = [&](int n) { return waterfall(o, n, twice, twice); };
    auto const r = waterfall(o, 1, inner, inner, [&](int n) {
      return waterfall(o, n, inner, [&](int m) { return waterfall(o, m); });
    });
    EXPECT_EQ(r.value(), 64);
    auto const failed = waterfall(o, 1, inner, [&](int) {
      return waterfall(o, 1, twice, twice, [](int) -> result<int> { return cause(); });
    });
    EXPECT_EQ(failed.error(), cause());
    EXPECT_EQ(failed.error().origin().index, 2U) << "the step that failed";
  });
}

TEST_F(Waterfall, W2_without_workers) {
  watchdog const guard("a waterfall without workers");
  global_control const one(global_control::max_allowed_parallelism, 1);
  with_any_options([](options const& o) { EXPECT_EQ(waterfall(o, 1, twice, twice).value(), 4); });
}

TEST_F(Waterfall, L7_in_an_arena_of_the_options) {
  tbb::task_arena arena(2);
  arena.execute([&] {  // who waits works where it waits
    auto const r = waterfall(options{.arena = &arena}, 1,
                             [](int) { return tbb::this_task_arena::max_concurrency(); });
    EXPECT_EQ(r.value(), 2);
  });
}

// --- misuse ----------------------------------------------------------------------------------

TEST_F(Waterfall, misuse_is_refused_in_words) {
  int called = 0;
  auto const step = [&](int n) {
    ++called;
    return n;
  };
  auto const refused = [](auto call, char const* words) {
    try {
      call();
      ADD_FAILURE() << "not refused: " << words;
    } catch (std::invalid_argument const& e) {
      EXPECT_THAT(e.what(), HasSubstr(words));
    }
  };
  refused([&] { (void)waterfall(options{.limit = 0}, 1, step); }, "limit");
  refused([&] { (void)waterfall(1, step, std::function<int(int)>()); }, "empty");
  refused([&] { (void)waterfall(1, step, static_cast<int (*)(int)>(nullptr)); }, "empty");
  EXPECT_EQ(called, 0) << "before anything runs";
}

// --- on_exception::terminate -----------------------------------------------------------------

struct says_unwound {
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

void throw_in_a_step(options opts) {
  watchdog const guard("a step that throws");
  opts.exceptions = on_exception::terminate;
  (void)waterfall(opts, 1, twice, [](int) -> int {
    says_unwound const on_the_stack;
    throw std::runtime_error("the disk is full");
  });
}

TEST(WaterfallDeathTest, an_exception_ends_the_process_where_it_was_thrown) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto const words =
      testing::AllOf(HasSubstr("the disk is full"), testing::Not(HasSubstr("unwound")));
  EXPECT_DEATH(throw_in_a_step({}), words);
  EXPECT_DEATH(throw_in_a_step({.limit = 1}), words);
}

TEST_F(Waterfall, what_is_returned_ends_no_process) {
  EXPECT_EQ(waterfall(options{.exceptions = on_exception::terminate}, 1,
                      [](int) -> result<int> { return cause(); })
                .error(),
            cause());
}

}  // namespace
