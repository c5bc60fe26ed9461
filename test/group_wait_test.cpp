// Waiting, and the end of a group: W1 to W4, and what may outlive what.

#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include <errgroup/errgroup.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_group.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using support::gate;
using support::rendezvous;
using support::watchdog;

long fib(int n) {
  if (n < 2) {
    return n;
  }
  long a = 0;
  group g;
  g.run([&] { a = fib(n - 1); });
  long const b = fib(n - 2);
  EXPECT_FALSE(g.wait());
  return a + b;
}

TEST(GroupWait, W1_what_tasks_wrote_is_visible_and_every_callable_is_destroyed) {
  auto token = std::make_shared<int>(0);
  std::vector<int> squares(5000);
  group g;
  for (int i = 0; i != 5000; ++i) {
    g.run([token, &squares, i] { squares[static_cast<std::size_t>(i)] = i * i; });
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(token.use_count(), 1);
  for (int i = 0; i != 5000; ++i) {
    ASSERT_EQ(squares[static_cast<std::size_t>(i)], i * i);
  }
}

TEST(GroupWait, W1_a_waiter_may_destroy_the_group_while_another_is_on_its_way_out) {
  for (int round = 0; round != 200; ++round) {
    auto g = std::make_unique<group>();
    support::gate other_waits;
    support::gate done;
    // The other waiter is certainly inside: it runs this task there, or waits for who does.
    std::thread other([&, raw = g.get()] {
      raw->run([&] {
        other_waits.open();
        done.wait();
      });
      (void)raw->wait();
    });
    other_waits.wait();
    std::thread opener([&] { done.open(); });
    EXPECT_FALSE(g->wait());
    opener.join();
    other.join();
    g.reset();
  }
}

TEST(GroupWait, W2_run_on_one_thread_and_waited_for_on_another_without_workers) {
  tbb::global_control one(tbb::global_control::max_allowed_parallelism, 1);
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    group g{{.limit = limit}};
    std::atomic<int> ran{0};
    std::thread submitter([&] {
      for (int i = 0; i != 200; ++i) {
        g.run([&] {
          ++ran;
          g.run([&] { ++ran; });
        });
      }
    });
    submitter.join();
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 400);
  }
}

TEST(GroupWait, W1_a_stop_callback_may_wait) {
  watchdog const guard("a wait in a stop callback");
  auto cancel_and_wait = [] {
    group g;
    error seen;
    std::stop_callback const callback(g.get_stop_token(), [&] { seen = g.wait(); });
    g.cancel();
    EXPECT_EQ(seen, errc::canceled);
    EXPECT_EQ(g.wait(), errc::canceled);
    g.reset();
    g.run([] {});
    EXPECT_FALSE(g.wait());
  };
  cancel_and_wait();
  group outer;
  outer.run(cancel_and_wait);
  EXPECT_FALSE(outer.wait());
  tbb::task_group raw;
  raw.run_and_wait(cancel_and_wait);
}

TEST(GroupWait, W3_waiting_from_inside_is_answered_at_once_and_is_no_error_of_the_group) {
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    group g{{.limit = limit}};
    error direct;
    error nested;
    error both;
    bool called = false;
    g.run([&] {
      direct = g.wait();
      both = g.run_and_wait([&] { called = true; });
      group inner;
      inner.run([&] { nested = g.wait(); });
      EXPECT_FALSE(inner.wait());
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(direct, errc::would_deadlock);
    EXPECT_EQ(nested, errc::would_deadlock);
    EXPECT_EQ(both, errc::would_deadlock);
    EXPECT_FALSE(called);
  }
}

TEST(GroupWait, W3_is_known_on_a_thread_that_came_from_outside_to_wait_there) {
  watchdog const guard("a thread that waits inside a limit");
  group outer{{.limit = 2}};
  std::atomic<int> right{0};
  outer.run([&] {
    group inner;
    gate go;
    inner.run([&] { go.wait(); });
    // One of these runs the inner task. The other has nothing of its own to do there, and there is
    // nobody else to run the other half of the loop.
    std::thread first([&] { EXPECT_FALSE(inner.wait()); });
    std::thread second([&] { EXPECT_FALSE(inner.wait()); });
    rendezvous both(2);
    tbb::parallel_for(
        0, 2,
        [&](int) {
          both.arrive_and_wait();
          right += outer.wait() == errc::would_deadlock ? 1 : 0;
        },
        tbb::simple_partitioner{});
    go.open();
    first.join();
    second.join();
  });
  EXPECT_FALSE(outer.wait());
  EXPECT_EQ(right, 2);
}

TEST(GroupWait, W3_is_known_on_every_thread_of_a_limited_group) {
  group g{{.limit = 3}};
  std::atomic<int> right{0};
  for (int i = 0; i != 6; ++i) {
    g.run([&] {
      tbb::parallel_for(0, 20, [&](int) { right += g.wait() == errc::would_deadlock ? 1 : 0; });
    });
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(right, 120);
}

TEST(GroupWait, W4_an_isolated_wait_never_meets_a_sibling) {
  group g{{.isolated = true}};
  for (int i = 0; i != 200; ++i) {
    g.run([&] {
      static thread_local int holding = 0;
      EXPECT_EQ(holding, 0);  // a sibling on top of this one would find it 1
      ++holding;
      group inner{{.isolated = true}};
      for (int j = 0; j != 4; ++j) {
        inner.run([] {});
      }
      EXPECT_FALSE(inner.wait());
      --holding;
    });
  }
  EXPECT_FALSE(g.wait());
}

TEST(GroupWait, run_and_wait_runs_its_task_and_the_others) {
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    group g{{.limit = limit}};
    std::atomic<int> ran{0};
    g.run([&] { ++ran; });
    EXPECT_FALSE(g.run_and_wait([&] { ++ran; }));
    EXPECT_EQ(ran, 2);
    EXPECT_EQ(g.run_and_wait([] { return std::make_error_code(std::errc::io_error); }),
              std::errc::io_error);
  }
}

TEST(GroupWait, a_million_tasks) {
  group g;
  std::atomic<long> sum{0};
  for (int i = 0; i != 1'000'000; ++i) {
    g.run([&] { sum.fetch_add(1, std::memory_order_relaxed); });
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(sum, 1'000'000);
}

TEST(GroupWait, a_group_per_node_of_a_recursion) {
  EXPECT_EQ(fib(16), 987);
  group g;
  long n = 0;
  g.run([&] { n = fib(18); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(n, 2584);
}

TEST(GroupWait, beside_a_concurrent_run_it_returns_and_loses_nothing) {
  group g;
  std::atomic<int> ran{0};
  std::thread submitter([&] {
    for (int i = 0; i != 5000; ++i) {
      g.run([&] { ++ran; });
    }
  });
  for (int i = 0; i != 50; ++i) {
    EXPECT_FALSE(g.wait());
  }
  submitter.join();
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 5000);
}

TEST(GroupEnd, a_group_that_was_not_waited_for_cancels_and_joins) {
  auto token = std::make_shared<int>(0);
  support::gate running;
  {
    group g{{.limit = 2}};  // so that it starts without a waiter, on one CPU, too
    g.run([&, token](std::stop_token stop) {
      running.open();
      support::await([&] { return stop.stop_requested(); }, "the destructor to cancel");
    });
    running.wait();
    for (int i = 0; i != 100; ++i) {
      g.run([token] {});
    }
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(GroupEnd, C3_a_group_may_outlive_the_task_it_was_made_and_used_in) {
  std::optional<group> used;
  std::optional<group> unused;
  {
    group g;
    g.run([&] {
      used.emplace();
      unused.emplace();
      used->run([] {});
      EXPECT_FALSE(used->wait());
    });
    EXPECT_FALSE(g.wait());
  }
  {
    group other;  // its cancellation walks all contexts that have a parent
    other.run([&] {
      group inner;
      inner.run([&] { other.cancel(); });
      (void)inner.wait();
    });
    EXPECT_EQ(other.wait(), errc::canceled);
  }
  for (auto* g : {&*used, &*unused}) {
    bool ran = false;
    g->run([&] { ran = true; });
    EXPECT_FALSE(g->wait());
    EXPECT_TRUE(ran);
  }
}

TEST(GroupEnd, E4_reset_is_a_fresh_start_for_a_group_that_was_cancelled_before_its_first_use) {
  for (int const limit : {errgroup::unlimited, 1}) {
    std::optional<group> made;
    {
      group g;
      g.run([&] {
        made.emplace(errgroup::options{.limit = limit});
        made->cancel();
      });
      EXPECT_FALSE(g.wait());
    }
    EXPECT_EQ(made->wait(), errc::canceled);
    made->reset();
    bool ran = false;
    made->run([&] { ran = true; });
    error const e = made->wait();
    EXPECT_FALSE(e) << e;
    EXPECT_TRUE(ran);
  }
}

TEST(GroupEnd, E4_reset_beside_a_request_to_stop_leaves_the_group_cancelled) {
  for (int round = 0; round != 2000; ++round) {
    std::stop_source source;
    group g{{.stop = source.get_token()}};
    support::rendezvous both(2);
    std::thread stops([&] {
      both.arrive_and_wait();
      source.request_stop();
    });
    both.arrive_and_wait();
    for (int i = 0; i != round % 8; ++i) {
      g.reset();
    }
    stops.join();
    EXPECT_TRUE(g.is_canceling());
    g.run([] { ADD_FAILURE() << "run in a cancelled group"; });
    error const e = g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 1U);
  }
}

TEST(GroupEnd, threads_may_end_before_what_they_submitted) {
  group g;
  std::atomic<int> ran{0};
  for (int i = 0; i != 50; ++i) {
    std::thread([&] {
      group own;
      own.run([&] { ++ran; });
      g.run([&] { ++ran; });
      EXPECT_FALSE(own.wait());
    }).join();
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 100);
}

TEST(GroupEndDeathTest, destroying_a_group_inside_its_own_task_terminates_in_words) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto g = std::make_unique<group>(errgroup::options{.limit = 1});
        g->run([&] { g.reset(); });
        support::await([] { return false; }, "the end");
      },
      "destroyed inside one of its own tasks");
}

}  // namespace
