// SPDX-License-Identifier: Apache-2.0
#include "support/callables.hpp"
#include "support/gate.hpp"
#include <errgroup/scope.hpp>

#include <gtest/gtest.h>

#include <atomic>        // atomic
#include <memory>        // make_unique
#include <stdexcept>     // invalid_argument, runtime_error
#include <stop_token>    // stop_token
#include <system_error>  // errc, error_code

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::scope;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code echo() { return std::make_error_code(std::errc::interrupted); }

class Scope : public support::no_leaks {};

TEST_F(Scope, runs_every_task_and_joins) {
  std::atomic<int> ran{0};
  auto const e = scope([&](group& g) {
    for (int i = 0; i < 100; ++i) {
      g.run([&ran, c = support::counted()] { ++ran; });
    }
  });
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(ran, 100);
  EXPECT_EQ(support::counted::live(), 0);
}

TEST_F(Scope, of_a_body_that_does_nothing_is_success) {
  EXPECT_FALSE(scope([](group&) {}));
}

TEST_F(Scope, tells_the_error_of_a_task) {
  EXPECT_EQ(scope([](group& g) { g.run([] { return cause(); }); }), cause());
}

TEST_F(Scope, tells_what_a_task_threw) {
  auto const e = scope([](group& g) { g.run([] { throw std::runtime_error("x"); }); });
  EXPECT_NE(e.get_if<std::runtime_error>(), nullptr);
}

TEST_F(Scope, a_body_that_returns_a_failure_cancels_and_is_told) {
  std::atomic<int> ran{0};
  support::gate started("the task to start");
  auto const e = scope({.limit = 1}, [&](group& g) {
    g.run([&](std::stop_token const& t) {
      started.open();
      support::await([&] { return t.stop_requested(); }, "the body's failure to cancel");
      return echo();
    });
    g.run([&ran, c = support::counted()] { ++ran; });
    started.wait();
    return cause();
  });
  EXPECT_EQ(e, cause());
  EXPECT_EQ(e.skipped(), 1U);
  EXPECT_EQ(ran, 0);
}

TEST_F(Scope, a_body_that_throws_cancels_joins_and_is_told) {
  support::gate started("the task to start");
  std::atomic<bool> ended{false};
  auto const e = scope({.limit = 1}, [&](group& g) {
    g.run([&](std::stop_token const& t) {
      started.open();
      support::await([&] { return t.stop_requested(); }, "the body's throw to cancel");
      ended = true;
    });
    started.wait();
    throw std::runtime_error("in the body");
  });
  EXPECT_TRUE(ended);
  EXPECT_EQ(e.what(), "in the body");
}

TEST_F(Scope, a_failing_body_cancels_whatever_the_policy) {
  std::atomic<bool> canceled{false};
  support::gate started("the task to start");
  auto const e =
      scope({.limit = 1, .policy = errgroup::on_error::keep_going}, [&](group& g) -> error {
        g.run([&] {
          started.open();
          support::await([&] { return g.is_canceling(); }, "the body's failure to cancel");
          canceled = true;
        });
        started.wait();
        return cause();
      });
  EXPECT_EQ(e, cause());
  EXPECT_TRUE(canceled);
}

TEST_F(Scope, E1_a_body_that_fails_because_a_task_did_is_not_the_cause) {
  auto const e = scope([](group& g) {
    g.run([] { return cause(); });
    EXPECT_EQ(g.wait(), cause());
    return echo();
  });
  EXPECT_EQ(e, cause());
}

TEST_F(Scope, a_body_may_return_success_in_any_way) {
  EXPECT_FALSE(scope([](group&) { return std::error_code(); }));
  EXPECT_FALSE(scope([](group&) { return error(); }));
}

TEST_F(Scope, a_body_may_hand_up_what_wait_tells) {
  EXPECT_EQ(scope([](group& g) {
              g.run([] { return cause(); });
              return g.wait();
            }),
            cause());
}

TEST_F(Scope, a_body_is_no_task_and_may_wait_for_the_group) {
  int ran = 0;
  auto const e = scope([&ran](group& g) {
    g.run([&ran] { ++ran; });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 1);
    g.run([&ran] { ++ran; });
  });
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(ran, 2);
}

TEST_F(Scope, a_body_that_cancels_is_cancelled) {
  EXPECT_EQ(scope([](group& g) { g.cancel(); }), errc::canceled);
  EXPECT_EQ(scope([](group& g) { g.cancel(cause()); }), cause());
}

TEST_F(Scope, a_body_may_be_move_only_and_callable_only_as_an_rvalue) {
  struct once {
    std::unique_ptr<int> p;
    std::error_code operator()(group& g) && {
      g.run([n = *p] { return n == 3 ? cause() : std::error_code(); });
      return {};
    }
  };
  EXPECT_EQ(scope(once{std::make_unique<int>(3)}), cause());
}

TEST_F(Scope, takes_the_options) {
  auto const e = scope({.limit = 2, .name = "loading"},
                       [](group& g) { g.run("maps", [] { return cause(); }); });
  EXPECT_EQ(e.origin().path, "loading/maps");
}

TEST_F(Scope, throws_for_options_that_no_group_can_be_made_with) {
  bool called = false;
  EXPECT_THROW((void)scope({.limit = 0}, [&called](group&) { called = true; }),
               std::invalid_argument);
  EXPECT_FALSE(called);
}

TEST_F(Scope, E1_an_inner_failure_reaches_the_outer_only_if_it_is_returned) {
  EXPECT_FALSE(scope([](group& g) {
    g.run([] {
      auto const e = scope([](group& inner) { inner.run([] { return cause(); }); });
      EXPECT_EQ(e, cause());
    });
  }));
  EXPECT_EQ(scope([](group& g) {
              g.run([] { return scope([](group& inner) { inner.run([] { return cause(); }); }); });
            }),
            cause());
}

TEST_F(Scope, C2_a_nested_scope_is_cancelled_with_what_it_is_in) {
  error inner;
  auto const outer = scope([&inner](group& g) {
    g.run([&] {
      inner = scope([&g](group& below) {
        g.cancel(cause());
        below.run([] {});
      });
    });
  });
  EXPECT_EQ(outer, cause());
  EXPECT_EQ(inner, errc::canceled);
  EXPECT_EQ(inner.skipped(), 1U);
}

}  // namespace
