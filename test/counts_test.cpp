// SPDX-License-Identifier: Apache-2.0

// Promise O5: the numbers of `group::counts`.

#include "support/gate.hpp"
#include "support/recorder.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/observer.hpp>

#include <gtest/gtest.h>

#include <chrono>        // hours
#include <optional>      // optional
#include <system_error>  // errc, make_error_code
#include <utility>       // exchange
#include <vector>        // vector

namespace {

using errgroup::group;
using errgroup::group_counts;
using errgroup::options;
using support::gate;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

void expect_counts(group_counts const& c, group_counts const& expected) {
  EXPECT_EQ(c.submitted, expected.submitted);
  EXPECT_EQ(c.running, expected.running);
  EXPECT_EQ(c.waiting, expected.waiting);
  EXPECT_EQ(c.timed, expected.timed);
  EXPECT_EQ(c.failed, expected.failed);
  EXPECT_EQ(c.skipped, expected.skipped);
}

/// Calls `body` for groups that are not observed, and for groups that are.
template <class Body>
void observed_and_not(Body body) {
  {
    SCOPED_TRACE("not observed");
    body();
  }
  SCOPED_TRACE("observed");
  support::recorder const seen;
  body();
}

TEST(Counts, O5_a_limited_group_counts_each_state) {
  observed_and_not([] {
    support::with_workers(1, [] {
      group g({.limit = 1, .policy = errgroup::on_error::keep_going});
      expect_counts(g.counts(), {});
      gate begun("the first task to begin");
      gate go("the counts to be read");
      g.run([&] {
        begun.open();
        go.wait();
        return cause();
      });
      begun.wait();
      gate last("the last task to run");
      g.run([] {});
      g.run([&last] { last.open(); });
      g.run_after(std::chrono::hours(1), [] {});
      expect_counts(g.counts(), {.submitted = 4, .running = 1, .waiting = 2, .timed = 1});
      go.open();
      last.wait();
      support::await([&g] { return g.counts().running == 0; }, "the last task to end");
      expect_counts(g.counts(), {.submitted = 4, .timed = 1, .failed = 1});
      g.cancel();
      EXPECT_EQ(g.wait(), cause());
      expect_counts(g.counts(), {.submitted = 4, .failed = 1, .skipped = 1});
      g.run([] {});
      expect_counts(g.counts(), {.submitted = 4, .failed = 1, .skipped = 2});
      g.reset();
      expect_counts(g.counts(), {.submitted = 4});
    });
  });
}

TEST(Counts, O5_a_task_that_waits_in_a_group_of_its_own_runs) {
  observed_and_not([] {
    group outer;
    EXPECT_FALSE(outer.run_and_wait([&outer] {
      group inner;
      EXPECT_FALSE(inner.run_and_wait([&] {
        EXPECT_EQ(outer.counts().running, 1U);
        EXPECT_EQ(inner.counts().running, 1U);
      }));
      EXPECT_EQ(inner.counts().running, 0U);
    }));
    EXPECT_EQ(outer.counts().running, 0U);
  });
}

TEST(Counts, O5_a_group_without_a_limit_counts_what_runs_on_every_thread) {
  observed_and_not([] {
    group g;
    support::rendezvous met(3, "two tasks and the reader to meet");
    support::rendezvous read(3, "the counts to be read");
    for (int i = 0; i != 2; ++i) {
      g.run([&] {
        met.arrive_and_wait();
        read.arrive_and_wait();
      });
    }
    support::waiters threads(g, 2);
    met.arrive_and_wait();
    group_counts const c = g.counts();
    read.arrive_and_wait();
    for (errgroup::error const& e : threads.errors()) {
      EXPECT_FALSE(e);
    }
    expect_counts(c, {.submitted = 2, .running = 2});
  });
}

TEST(Counts, O5_tasks_that_a_thread_has_taken_along_still_wait) {
  observed_and_not([] {
    constexpr std::size_t many = 20;
    group g({.limit = 1});
    gate submitted("all tasks to be submitted");
    g.run([&submitted] { submitted.wait(); });
    std::vector<std::size_t> waiting;
    for (std::size_t i = 0; i != many; ++i) {
      g.run([&] { waiting.push_back(g.counts().waiting); });
    }
    submitted.open();
    EXPECT_FALSE(g.wait());
    ASSERT_EQ(waiting.size(), many);
    for (std::size_t i = 0; i != many; ++i) {
      EXPECT_EQ(waiting[i], many - 1 - i);
    }
  });
}

TEST(Counts, O5_an_observed_group_counts_what_its_tasks_submit) {
  support::recorder const seen;
  group g;
  EXPECT_FALSE(g.run_and_wait([&g] {
    for (int i = 0; i != 3; ++i) {
      g.run([] {});
    }
    group_counts const c = g.counts();
    EXPECT_EQ(c.submitted, 4U);
    EXPECT_GE(c.running, 1U);
  }));
  expect_counts(g.counts(), {.submitted = 4});
}

TEST(Counts, O5_the_destruction_of_a_skipped_callable_is_no_running_task) {
  observed_and_not([] {
    group g({.limit = 1});
    std::optional<group_counts> seen;
    struct looks {
      group* g;
      std::optional<group_counts>* seen;
      looks(group& of, std::optional<group_counts>& to) : g(&of), seen(&to) {}
      looks(looks&& other) noexcept : g(std::exchange(other.g, nullptr)), seen(other.seen) {}
      ~looks() {
        if (g != nullptr) {
          *seen = g->counts();
        }
      }
      void operator()() const {}
    };
    g.run_after(std::chrono::hours(1), looks(g, seen));
    g.cancel();
    EXPECT_EQ(g.wait(), errgroup::errc::canceled);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->running, 0U);
  });
}

}  // namespace
