// SPDX-License-Identifier: Apache-2.0

// The clock for tests.

#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include <errgroup/group.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>
#include <tbb/task_arena.h>  // max_concurrency

#include <atomic>     // atomic
#include <chrono>     // hours, milliseconds, nanoseconds, seconds, steady_clock
#include <mutex>      // mutex, scoped_lock
#include <stdexcept>  // logic_error
#include <string>     // string
#include <thread>     // thread, yield
#include <vector>     // vector

namespace {

using errgroup::clock;
using errgroup::error;
using errgroup::group;
using errgroup::stop_repeating;
using errgroup::testing::test_clock;
using errgroup::testing::time_moves;
using std::chrono::hours;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using support::gate;

TEST(TestClock, begins_at_the_present_and_stands_still) {
  auto const before = steady_clock::now();
  test_clock const still;
  auto const now = clock::now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, steady_clock::now());
  support::await([&] { return steady_clock::now() > now; }, "the steady clock to move");
  EXPECT_EQ(clock::now(), now);
}

TEST(TestClock, moves_by_hand_and_never_back) {
  test_clock c;
  auto const begin = clock::now();
  c.advance(hours(2));
  EXPECT_EQ(clock::now(), begin + hours(2));
  c.advance_to(begin + hours(3));
  EXPECT_EQ(clock::now(), begin + hours(3));
  c.advance_to(begin);
  EXPECT_EQ(clock::now(), begin + hours(3));
  c.advance(hours(-1));
  EXPECT_EQ(clock::now(), begin + hours(3));
  c.advance(clock::duration::zero());
  EXPECT_EQ(clock::now(), begin + hours(3));
}

TEST(TestClock, may_be_at_the_end_of_all_time) {
  test_clock c;
  c.advance(clock::duration::max());
  c.advance(clock::duration::max());
  EXPECT_EQ(clock::now(), clock::time_point::max());
}

TEST(TestClock, a_second_one_is_refused_in_words_and_the_first_goes_on) {
  test_clock c;
  auto const begin = clock::now();
  try {
    test_clock const second;
    FAIL() << "a second one";
  } catch (std::logic_error const& e) {
    EXPECT_NE(std::string(e.what()).find("there is one already"), std::string::npos);
  }
  c.advance(hours(1));
  EXPECT_EQ(clock::now(), begin + hours(1));
}

TEST(TestClock, the_steady_clock_is_back_afterwards) {
  for (int i = 0; i != 3; ++i) {
    {
      test_clock c;
      c.advance(hours(1));
    }
    auto const before = steady_clock::now();
    auto const now = clock::now();
    EXPECT_LE(before, now);
    EXPECT_LE(now, steady_clock::now());
  }
  group g{{.timeout = std::chrono::milliseconds(1)}};
  support::await([&] { return g.is_canceling(); }, "a deadline of the steady clock");
  EXPECT_EQ(g.wait(), errgroup::errc::deadline_exceeded);
}

TEST(TestClock, a_deadline_is_noticed_when_advance_returns) {
  test_clock c;
  for (int i = 0; i != 200; ++i) {
    group g{{.timeout = seconds(1)}};
    c.advance(seconds(1) - nanoseconds(1));
    ASSERT_FALSE(g.is_canceling());
    c.advance(nanoseconds(1));
    ASSERT_TRUE(g.is_canceling());
    ASSERT_EQ(g.wait(), errgroup::errc::deadline_exceeded);
  }
}

TEST(TestClock, what_is_due_was_handed_over_when_advance_returns) {
  test_clock c;
  for (int i = 0; i != 200; ++i) {
    std::atomic<int> ran{0};
    group g;
    g.run_after(seconds(1), [&] { ++ran; });
    g.run_after(seconds(2), [&] { ++ran; });
    c.advance(seconds(2));
    // Not only time is left: a wait that may not take time finds both.
    ASSERT_FALSE(g.wait());
    ASSERT_EQ(ran, 2);
  }
}

TEST(TestClock, whatever_happens_on_the_way_happens_at_its_own_time_in_its_order) {
  test_clock c;
  auto const begin = clock::now();
  // What a deadline is set to while time moves comes in its turn.
  group a{{.timeout = hours(1)}};
  group b{{.timeout = hours(2)}};
  group late{{.timeout = hours(4)}};
  std::mutex lock;
  std::vector<std::string> seen;
  group watcher{{.limit = 1}};
  auto const look = [&] {
    std::scoped_lock const held(lock);
    seen.push_back(std::string(a.is_canceling() ? "a" : "-") + (b.is_canceling() ? "b" : "-"));
  };
  watcher.run_after(hours(3), look);
  c.advance(hours(1) - nanoseconds(1));
  look();
  c.advance_to(begin + hours(1));
  look();
  c.advance(hours(2));
  EXPECT_FALSE(watcher.wait());
  EXPECT_EQ(seen, (std::vector<std::string>{"--", "a-", "ab"}));
  EXPECT_FALSE(late.is_canceling());
}

TEST(TestClock, goes_to_what_is_next_and_no_further) {
  test_clock c;
  EXPECT_FALSE(c.advance_to_next());
  auto const begin = clock::now();
  EXPECT_EQ(clock::now(), begin);
  group a{{.timeout = hours(2)}};
  group b{{.timeout = hours(1)}};
  group never{{.timeout = nanoseconds::max()}};
  EXPECT_TRUE(c.advance_to_next());
  EXPECT_EQ(clock::now(), begin + hours(1));
  EXPECT_TRUE(b.is_canceling());
  EXPECT_FALSE(a.is_canceling());
  EXPECT_TRUE(c.advance_to_next());
  EXPECT_EQ(clock::now(), begin + hours(2));
  EXPECT_TRUE(a.is_canceling());
  EXPECT_FALSE(c.advance_to_next());
  EXPECT_FALSE(never.is_canceling());
}

TEST(TestClock, a_group_that_is_gone_or_cancelled_is_not_next) {
  test_clock c;
  auto const begin = clock::now();
  {
    group const gone{{.timeout = hours(1)}};
  }
  group g;
  g.run_after(hours(2), [] {});
  g.cancel();
  EXPECT_EQ(g.wait().skipped(), 1U);
  EXPECT_FALSE(c.advance_to_next());
  EXPECT_EQ(clock::now(), begin);
}

TEST(TestClock, advance_does_not_wait_for_a_deadline_of_a_group_that_goes_meanwhile) {
  support::watchdog const guard("a clock that is advanced while groups with deadlines come and go");
  test_clock c;
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i != 3; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        group const g{{.timeout = std::chrono::microseconds(1)}};
      }
    });
  }
  for (int i = 0; i != 20'000; ++i) {
    c.advance(std::chrono::microseconds(1));
  }
  over = true;
  for (auto& t : threads) {
    t.join();
  }
}

// --- by itself -------------------------------------------------------------------------------

TEST(TestClock, hours_pass_at_once_when_nothing_else_is_left) {
  for (int const limit : {errgroup::unlimited, 1, 4}) {
    test_clock const c(time_moves::when_nothing_else_is_left);
    auto const begin = clock::now();
    group g{{.limit = limit}};
    int n = 0;
    g.run_every(hours(1), [&]() -> error {
      if (++n == 1000) {
        return stop_repeating;
      }
      return {};
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(n, 1000);
    EXPECT_EQ(clock::now(), begin + hours(1000));
  }
}

TEST(TestClock, it_jumps_for_who_waits_with_a_limit_and_no_further_than_that) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  auto const begin = clock::now();
  group g;
  bool ran = false;
  g.run_after(hours(2), [&] { ran = true; });
  EXPECT_FALSE(g.wait_for(hours(1)));
  EXPECT_EQ(clock::now(), begin + hours(1));
  EXPECT_TRUE(g.wait_for(hours(3)));
  EXPECT_TRUE(ran);
  EXPECT_EQ(clock::now(), begin + hours(2));
  EXPECT_FALSE(g.wait());
}

TEST(TestClock, it_jumps_to_a_deadline_that_comes_first) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  auto const begin = clock::now();
  group g{{.timeout = hours(1)}};
  g.run_after(hours(2), [] {});
  error const e = g.wait();
  EXPECT_EQ(e, errgroup::errc::deadline_exceeded);
  EXPECT_EQ(e.skipped(), 1U);
  EXPECT_EQ(clock::now(), begin + hours(1));
}

TEST(TestClock, it_does_not_jump_to_what_never_comes) {
  test_clock const c(time_moves::when_nothing_else_is_left);
  auto const begin = clock::now();
  group g;
  g.run_after(hours::max(), [] {});
  std::thread waiter([&] { EXPECT_EQ(g.wait(), errgroup::errc::canceled); });
  for (int i = 0; i != 10'000; ++i) {
    std::this_thread::yield();
  }
  g.cancel();
  waiter.join();
  EXPECT_EQ(clock::now(), begin);
}

TEST(TestClock, it_jumps_for_a_wait_inside_a_task) {
  for (int const limit : {errgroup::unlimited, 1}) {
    test_clock const c(time_moves::when_nothing_else_is_left);
    group outer{{.limit = limit}};
    bool ran = false;
    outer.run([&] {
      group inner;
      inner.run_after(hours(1), [&] { ran = true; });
      EXPECT_FALSE(inner.wait());
    });
    EXPECT_FALSE(outer.wait());
    EXPECT_TRUE(ran);
  }
}

TEST(TestClock, it_does_not_jump_while_a_task_runs_however_that_came_to_its_thread) {
  for (bool const spawned : {false, true}) {
    for (int round = 0; round != 50; ++round) {
      test_clock const c(time_moves::when_nothing_else_is_left);
      auto const begin = clock::now();
      group g;
      gate started("the task to start");
      std::atomic<bool> waits{false};
      bool moved = false;
      auto const task = [&] {
        started.open();
        support::await([&] { return waits.load(); }, "the wait to begin");
        for (int i = 0; i != 1000; ++i) {
          std::this_thread::yield();
        }
        moved = clock::now() != begin;
      };
      if (spawned) {
        g.run([&] { g.run(task); });
      } else {
        g.run(task);
      }
      g.run_after(hours(1), [] {});
      std::thread waiter([&] {
        if (tbb::this_task_arena::max_concurrency() != 1) {
          started.wait();  // a worker has it
        }
        waits = true;
        EXPECT_FALSE(g.wait());
      });
      waiter.join();
      ASSERT_FALSE(moved) << "round " << round << (spawned ? ", spawned" : "");
    }
  }
}

TEST(TestClock, it_jumps_once_however_many_wait) {
  for (int round = 0; round != 10; ++round) {
    test_clock const c(time_moves::when_nothing_else_is_left);
    group const other{{.timeout = hours(1)}};
    group g;
    int n = 0;
    g.run_every(seconds(1), [&]() -> error {
      std::this_thread::yield();
      if (++n == 1000) {
        return stop_repeating;
      }
      return {};
    });
    std::vector<std::thread> waiters;
    for (int i = 0; i != 3; ++i) {
      waiters.emplace_back([&] { EXPECT_FALSE(g.wait()); });
    }
    for (auto& t : waiters) {
      t.join();
    }
    ASSERT_EQ(n, 1000);
    ASSERT_FALSE(other.is_canceling()) << "it jumped to something else";
  }
}

TEST(TestClock, by_hand_it_does_not_jump) {
  test_clock c;
  auto const begin = clock::now();
  group g;
  g.run_after(hours(1), [] {});
  std::thread waiter([&] { EXPECT_FALSE(g.wait()); });
  EXPECT_FALSE(g.wait_for(nanoseconds(0)));
  EXPECT_EQ(clock::now(), begin);
  EXPECT_TRUE(c.advance_to_next());
  waiter.join();
}

}  // namespace
