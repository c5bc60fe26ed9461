// SPDX-License-Identifier: Apache-2.0

// Many rounds of what has to do with time: a timer that fires during the last instruction of a
// wait, of a cancellation, of the group itself.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <atomic>      // atomic
#include <chrono>      // hours, microseconds, nanoseconds
#include <cstddef>     // size_t
#include <memory>      // make_unique, unique_ptr
#include <random>      // mt19937
#include <stop_token>  // stop_token
#include <thread>      // thread
#include <vector>      // vector

namespace {

using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using errgroup::stop_repeating;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::nanoseconds;
using support::counted;

class TimedStress : public support::no_leaks {
 protected:
  static constexpr int rounds = 2000;
  std::mt19937 random{42};

  /// A short time; about as long as a round.
  nanoseconds soon(unsigned most = 100'000) { return nanoseconds(random() % most); }
};

TEST_F(TimedStress, A_deadline_passes_during_whatever_a_short_group_does) {
  for (int i = 0; i != rounds; ++i) {
    options opts{.limit = i % 3 == 0 ? 1 : errgroup::unlimited, .timeout = soon()};
    std::atomic<int> ran{0};
    std::size_t skipped = 0;
    {
      group g(opts);
      for (int k = 0; k != 5; ++k) {
        g.run([&, a = counted()] { ++ran; });
        g.run_after(soon(), [&, a = counted()] { ++ran; });
      }
      error const e = g.wait();
      skipped = e.skipped();
      ASSERT_TRUE(!e || e == errc::deadline_exceeded) << e;
      ASSERT_EQ(static_cast<std::size_t>(ran) + skipped, 10U);
      ASSERT_EQ(counted::live(), 0);
    }
  }
}

TEST_F(TimedStress, A_timed_task_is_due_while_the_group_ends) {
  for (int i = 0; i != rounds; ++i) {
    std::atomic<int> ran{0};
    group g{{.limit = i % 2 == 0 ? 2 : errgroup::unlimited}};
    for (int k = 0; k != 4; ++k) {
      g.run_after(soon(50'000), [&, a = counted()] { ++ran; });
    }
    auto const end = clock::now() + soon(50'000);
    while (clock::now() < end) {
    }
  }
  EXPECT_EQ(counted::live(), 0);
}

TEST_F(TimedStress, W1_a_group_ends_while_the_timer_goes_on_from_its_last_task_to_its_deadline) {
  for (int i = 0; i != 2 * rounds; ++i) {
    auto g = std::make_unique<group>(options{.timeout = hours(1)});
    g->run_after(soon(20'000), [] {});
    ASSERT_FALSE(g->wait());
    g.reset();
  }
  errgroup::testing::test_clock c;
  EXPECT_FALSE(c.advance_to_next()) << "an alarm of a group that is gone is still set";
}

TEST_F(TimedStress, Cancel_against_fire) {
  for (int i = 0; i != rounds; ++i) {
    std::atomic<int> ran{0};
    group g{{.limit = i % 2 == 0 ? 1 : errgroup::unlimited}};
    auto const at = clock::now() + soon();
    for (int k = 0; k != 10; ++k) {
      g.run_at(at, [&, a = counted()] { ++ran; });
    }
    while (clock::now() < at) {
    }
    g.cancel();
    error const e = g.wait();
    ASSERT_EQ(e, errc::canceled);
    ASSERT_EQ(counted::live(), 0);
    ASSERT_EQ(e.skipped() + static_cast<std::size_t>(ran), 10U);
  }
}

TEST_F(TimedStress, C1_a_cancel_beside_the_first_submission) {
  support::watchdog const guard("a task that was submitted beside a cancel");
  for (int i = 0; i != 4 * rounds; ++i) {
    group g{{.limit = 1}};
    std::atomic<bool> ready{false};
    std::thread other([&] {
      ready = true;
      g.cancel();
    });
    while (!ready) {
      std::this_thread::yield();
    }
    g.run_after(hours(1), [] {});
    ASSERT_EQ(g.wait().skipped(), 1U);
    other.join();
  }
}

TEST_F(TimedStress, Several_wait_with_limits_while_tasks_come) {
  for (int i = 0; i != rounds / 10; ++i) {
    group g{{.limit = i % 2 == 0 ? 2 : errgroup::unlimited}};
    std::atomic<int> ran{0};
    std::vector<std::thread> all;
    for (int t = 0; t != 3; ++t) {
      all.emplace_back([&, t] {
        for (int k = 0; k != 20; ++k) {
          g.run([&] {
            ++ran;
            g.run([&] { ++ran; });
          });
          g.run_after(microseconds(k), [&] { ++ran; });
          (void)g.wait_for(microseconds(k * t));
        }
      });
    }
    for (auto& t : all) {
      t.join();
    }
    ASSERT_TRUE(g.wait_for(hours(1)));
    ASSERT_EQ(ran, 180);
    ASSERT_FALSE(g.wait());
  }
}

TEST_F(TimedStress, W1_one_waiter_destroys_while_the_limit_of_another_passes) {
  for (int i = 0; i != rounds; ++i) {
    auto g = std::make_unique<group>();
    std::atomic<bool> out{false};
    g->run_after(soon(50'000), [] {});
    std::thread other([&, raw = g.get(), limit = soon(50'000)] {
      (void)raw->wait_for(limit);
      out = true;
    });
    (void)g->wait();
    while (!out) {  // wait_for may have returned false: only then has it left for sure
      std::this_thread::yield();
    }
    g.reset();
    other.join();
  }
}

TEST_F(TimedStress, A_deadline_beside_reset) {
  group g{{.timeout = microseconds(20)}};
  for (int i = 0; i != rounds; ++i) {
    {
      std::stop_token const token = g.get_stop_token();
      g.run([] {});
      error const e = g.wait();
      ASSERT_TRUE(!e || e == errc::deadline_exceeded) << e;
    }
    g.reset();
  }
  g.set_deadline(clock::time_point::max());
  (void)g.wait();
  g.reset();
}

TEST_F(TimedStress, C1_a_token_of_before_a_reset_is_stopped_all_the_same) {
  for (int i = 0; i != rounds / 4; ++i) {
    errgroup::testing::test_clock c;
    group g{{.timeout = hours(1)}};
    std::stop_token const token = g.get_stop_token();
    g.run_after(hours(2), [] {});
    c.advance(hours(1));
    ASSERT_EQ(g.wait(), errc::deadline_exceeded);
    g.reset();
    support::await([&] { return token.stop_requested(); }, "the token of before the reset");
  }
}

TEST_F(TimedStress, Nested_groups_with_deadlines_that_pass_on_all_levels) {
  for (int i = 0; i != rounds / 10; ++i) {
    group outer{{.limit = i % 2 == 0 ? 2 : errgroup::unlimited, .timeout = soon(2'000'000)}};
    std::vector<nanoseconds> times(40);
    for (auto& t : times) {
      t = soon(1'000'000);
    }
    for (std::size_t k = 0; k != 10; ++k) {
      outer.run([&, k] {
        group inner{{.limit = k % 2 == 0 ? 1 : errgroup::unlimited, .timeout = times[k]}};
        inner.run_after(times[10 + k], [a = counted()] {});
        inner.run([&, a = counted()] {
          group inmost;
          inmost.run_after(times[20 + k], [a = counted()] {});
          (void)inmost.wait();
        });
        (void)inner.wait_for(times[30 + k]);
        (void)inner.wait();
      });
    }
    error const e = outer.wait();
    ASSERT_TRUE(!e || e == errc::deadline_exceeded) << e;
    ASSERT_EQ(counted::live(), 0);
  }
}

TEST_F(TimedStress, C2_groups_with_deadlines_end_while_what_they_were_made_in_is_cancelled) {
  for (int i = 0; i != rounds; ++i) {
    group outer;
    std::atomic<int> made{0};
    for (int k = 0; k != 2; ++k) {
      outer.run([&] {
        while (!outer.is_canceling()) {
          auto inner = std::make_unique<group>(options{.timeout = hours(1)});
          inner->run([] {});
          (void)inner->wait();
          inner.reset();
          ++made;
        }
      });
    }
    std::thread waiter([&] { EXPECT_EQ(outer.wait(), errc::canceled); });
    support::await([&] { return made > 2 + i % 7; }, "some groups to end");
    outer.cancel();
    waiter.join();
  }
}

TEST_F(TimedStress, Repeated_tasks_beside_everything) {
  for (std::size_t const threads : {1U, 4U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, threads);
    for (int i = 0; i != rounds / 40; ++i) {
      group g{{.limit = i % 2 == 0 ? 1 : errgroup::unlimited, .timeout = microseconds(2000)}};
      std::atomic<int> n{0};
      for (int k = 0; k != 4; ++k) {
        g.run_every(microseconds(10 + k), [&, m = 0, a = counted()]() mutable -> error {
          ++n;
          return ++m == 30 ? error(stop_repeating) : error();
        });
      }
      error const e = g.wait();
      ASSERT_TRUE(!e || e == errc::deadline_exceeded) << e;
      ASSERT_TRUE(e || n == 120);
      ASSERT_EQ(counted::live(), 0);
    }
  }
}

TEST_F(TimedStress, Tasks_that_are_due_beside_tasks_that_wait_or_were_spawned) {
  for (std::size_t const threads : {1U, 4U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, threads);
    for (int i = 0; i != rounds / 4; ++i) {
      group g{{.limit = i % 2 == 0 ? 2 : errgroup::unlimited}};
      std::atomic<int> ran{0};
      nanoseconds const delay = soon(20'000);
      std::thread other([&] {
        for (int k = 0; k != 40; ++k) {
          g.run_after(k % 2 == 0 ? delay : nanoseconds(0), [&, a = counted()] { ++ran; });
        }
        (void)g.wait();
      });
      for (int k = 0; k != 20; ++k) {
        g.run([&, a = counted()] {
          ++ran;
          for (int n = 0; n != 4; ++n) {
            g.run([&, b = counted()] { ++ran; });
          }
          g.run_after(delay, [&, b = counted()] { ++ran; });
        });
      }
      bool const is_canceled = i % 5 == 0;
      if (is_canceled) {
        g.cancel();
      }
      error const e = g.wait();
      other.join();
      std::size_t const skipped = g.wait().skipped();
      ASSERT_EQ(static_cast<bool>(e), is_canceled) << e;
      ASSERT_EQ(counted::live(), 0);
      if (!is_canceled) {
        ASSERT_EQ(ran, 40 + 20 * 6);
        ASSERT_EQ(skipped, 0U);
      }
    }
  }
}

TEST_F(TimedStress, Many_deadlines_with_callbacks_pass_together) {
  for (int i = 0; i != rounds / 40; ++i) {
    auto const at = clock::now() + soon(200'000);
    std::vector<std::unique_ptr<group>> groups(50);
    std::vector<std::stop_token> tokens;
    for (std::size_t k = 0; k != groups.size(); ++k) {
      auto& g = groups[k];
      g = std::make_unique<group>();
      g->set_deadline(at);
      if (k % 2 == 0) {
        tokens.push_back(g->get_stop_token());
      }
      if (k % 3 == 0) {
        g->run_after(hours(1), [a = counted()] {});
      }
    }
    for (auto& g : groups) {
      if (random() % 2 == 0) {
        g.reset();  // maybe while its cleanup waits
      }
    }
    for (auto const& g : groups) {
      if (g != nullptr) {
        error const e = g->wait();
        ASSERT_TRUE(!e || e == errc::deadline_exceeded) << e;
      }
    }
    groups.clear();
    ASSERT_EQ(counted::live(), 0);
  }
}

TEST_F(TimedStress, Many_threads_set_and_change_many_alarms) {
  std::vector<std::thread> all;
  std::atomic<int> early{0};
  for (unsigned t = 0; t != 4; ++t) {
    all.emplace_back([&early, t] {
      std::mt19937 mine(t);
      std::vector<std::unique_ptr<group>> groups(50);
      for (int i = 0; i != 5000; ++i) {
        auto& g = groups[mine() % groups.size()];
        auto const at = clock::now() + nanoseconds(mine() % 1'000'000);
        if (g == nullptr) {
          g = std::make_unique<group>();
        }
        switch (mine() % 4) {
          case 0:
            g->set_deadline(at);
            break;
          case 1:
            g->run_at(at, [at, &early] { early += clock::now() < at ? 1 : 0; });
            break;
          case 2:
            g->set_deadline(clock::time_point::max());
            break;
          default:
            g.reset();
        }
      }
    });
  }
  for (auto& t : all) {
    t.join();
  }
  EXPECT_EQ(early, 0);
}

TEST_F(TimedStress, Two_who_cancel_and_a_deadline_leave_one_error) {
  for (int i = 0; i != rounds / 4; ++i) {
    auto const at = clock::now() + microseconds(100);
    group g;
    g.set_deadline(at);
    g.run_after(hours(1), [a = counted()] {});
    std::thread other([&] {
      while (clock::now() < at) {
      }
      g.cancel();
    });
    error const e = g.wait();
    other.join();
    ASSERT_TRUE(e == errc::canceled || e == errc::deadline_exceeded) << e;
    ASSERT_EQ(g.wait(), e);
    ASSERT_EQ(g.cause(), e);
    ASSERT_EQ(g.wait().skipped(), 1U);
  }
}

}  // namespace
