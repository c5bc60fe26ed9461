// SPDX-License-Identifier: Apache-2.0

// The timer's thread: one for the process, there while somebody waits for a time, and nobody's code
// but ours on it. Each TEST is a process of its own.

#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/threads.hpp"
#include <errgroup/group.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <atomic>      // atomic
#include <chrono>      // hours, milliseconds
#include <csignal>     // pthread_sigmask, sigemptyset, sigismember, sigset_t
#include <cstddef>     // size_t
#include <functional>  // function
#include <memory>      // make_unique, unique_ptr
#include <mutex>       // mutex, scoped_lock
#include <optional>    // optional
#include <random>      // mt19937
#include <set>         // set
#include <stop_token>  // stop_callback, stop_token
#include <thread>      // thread
#include <utility>     // exchange
#include <vector>      // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using std::chrono::hours;
using std::chrono::milliseconds;
using support::all_threads;
using support::await;
using support::this_thread_number;
using support::thread_number;
using support::threads_beside;

/// Without oneTBB's workers: a thread that appears is ours.
class Timer : public testing::Test {
 protected:
  tbb::global_control one{tbb::global_control::max_allowed_parallelism, 1};
  std::set<thread_number> before = known_threads();

  static std::set<thread_number> known_threads() {
    std::thread([] {}).join();  // a sanitizer starts a thread of its own with the first one
    return all_threads();
  }

  void await_end(char const* what) const {
    await([&] { return threads_beside(before).empty(); }, what);
  }
};

TEST_F(Timer, P3_is_not_there_in_a_program_that_uses_no_time) {
  for (int i = 0; i != 20; ++i) {
    group g;
    for (int k = 0; k != 20; ++k) {
      g.run([] {});
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(g.deadline(), errgroup::clock::time_point::max());
    EXPECT_FALSE(g.cause());
    g.cancel();
  }
  EXPECT_TRUE(threads_beside(before).empty());
}

TEST_F(Timer, P3_is_not_needed_for_what_never_comes_nor_for_what_has_come) {
  group g{{.timeout = std::chrono::nanoseconds::max()}};
  g.set_deadline(errgroup::clock::time_point::max());
  g.run_after(milliseconds(-1), [] {});
  g.run_after(hours::max(), [] {});
  EXPECT_FALSE(g.wait_for(milliseconds(0)));
  group past;
  past.set_deadline(errgroup::clock::time_point::min());
  EXPECT_TRUE(past.is_canceling());
  EXPECT_TRUE(threads_beside(before).empty());
  g.cancel();
  EXPECT_EQ(g.wait().skipped(), 2U) << "nobody was there to run the other one";
}

TEST_F(Timer, one_thread_serves_all_groups_and_threads) {
  std::vector<std::unique_ptr<group>> groups(100);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t != 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < groups.size(); i += 4) {
        groups[i] = std::make_unique<group>(errgroup::options{.timeout = hours(1)});
        groups[i]->run_after(hours(2), [] {});
      }
    });
  }
  for (auto& t : threads) {
    t.join();
  }
  await([&] { return threads_beside(before).size() == 1; }, "the others to be gone");
}

TEST_F(Timer, all_ring_in_their_turn_however_often_they_are_set_anew) {
  errgroup::testing::test_clock c;
  auto const begin = errgroup::clock::now();
  std::mt19937 random(5);  // the same each time
  for (int round = 0; round != 20; ++round) {
    auto const start = errgroup::clock::now();
    std::vector<std::unique_ptr<group>> groups(64);
    std::vector<int> times(groups.size());
    for (auto& g : groups) {
      g = std::make_unique<group>();
    }
    for (int i = 0; i != 500; ++i) {
      std::size_t const k = random() % groups.size();
      times[k] = static_cast<int>(random() % 50);
      if (times[k] != 0) {
        groups[k]->set_deadline(start + hours(times[k]));
      } else {
        groups[k]->set_deadline(errgroup::clock::time_point::max());
      }
    }
    for (int t = 1; t != 51; ++t) {
      c.advance_to(start + hours(t));
      for (std::size_t k = 0; k != groups.size(); ++k) {
        ASSERT_EQ(groups[k]->is_canceling(), times[k] != 0 && times[k] <= t);
      }
    }
    for (auto const& g : groups) {
      (void)g->wait();
    }
  }
  EXPECT_EQ(errgroup::clock::now(), begin + hours(20 * 50));
}

TEST_F(Timer, its_thread_goes_when_what_it_waited_for_has_come) {
  for (int i = 0; i != 2; ++i) {
    group g{{.timeout = milliseconds(1)}};
    await([&] { return g.is_canceling(); }, "the deadline");
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
    await_end("the timer's thread to go, with the group still there");
  }
}

TEST_F(Timer, its_thread_goes_when_nobody_waits_any_more) {
  for (int i = 0; i != 2; ++i) {
    {
      group g{{.timeout = hours(1)}};
      EXPECT_FALSE(g.wait());
      support::dawdle(1000);  // the timer's thread sleeps, until the deadline
    }
    await_end("the timer's thread to go");
  }
}

TEST_F(Timer, its_thread_goes_when_what_waited_was_cancelled) {
  group g;
  g.run_after(hours(1), [] {});
  EXPECT_EQ(threads_beside(before).size(), 1U);
  g.cancel();
  EXPECT_EQ(g.wait().skipped(), 1U);
  await_end("the timer's thread to go");
}

TEST_F(Timer, its_thread_goes_when_a_deadline_was_taken_back) {
  group g;
  g.set_deadline(errgroup::clock::now() + hours(1));
  EXPECT_EQ(threads_beside(before).size(), 1U);
  g.set_deadline(errgroup::clock::time_point::max());
  await_end("the timer's thread to go");
  EXPECT_FALSE(g.wait());
}

TEST_F(Timer, its_thread_goes_after_a_wait_with_a_limit) {
  group g;
  g.run([] {});
  EXPECT_TRUE(g.wait_for(hours(1)));
  EXPECT_FALSE(g.wait());
  await_end("the timer's thread to go");
}

TEST_F(Timer, its_thread_comes_again) {
  for (int i = 0; i != 3; ++i) {
    group g;
    int ran = 0;
    g.run_after(milliseconds(1), [&] { ++ran; });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 1);
  }
  group g{{.timeout = hours(1)}};
  EXPECT_GE(threads_beside(before).size(), 1U);
}

/// Where user's code runs.
class places {
 public:
  void note() {
    std::scoped_lock const held(lock_);
    all_.insert(this_thread_number());
    ++times_;
  }
  [[nodiscard]] bool contains(thread_number t) {
    std::scoped_lock const held(lock_);
    return all_.contains(t);
  }
  [[nodiscard]] int times() {
    std::scoped_lock const held(lock_);
    return times_;
  }

 private:
  std::mutex lock_;
  std::set<thread_number> all_;
  int times_ = 0;
};

/// Notes where it is destroyed.
class noted {
 public:
  explicit noted(places& p) : p_(&p) {}
  noted(noted&& other) noexcept : p_(std::exchange(other.p_, nullptr)) {}
  noted(noted const&) = delete;
  noted& operator=(noted const&) = delete;
  noted& operator=(noted&&) = delete;
  ~noted() {
    if (p_ != nullptr) {
      p_->note();
    }
  }

 private:
  places* p_;
};

TEST_F(Timer, no_code_but_ours_runs_on_its_thread) {
  errgroup::testing::test_clock c;
  group first{{.timeout = hours(1'000)}};
  auto const appeared = threads_beside(before);
  ASSERT_EQ(appeared.size(), 1U);
  thread_number const timer = *appeared.begin();
  places calls;
  places ends;
  int expected_calls = 0;
  int expected_ends = 0;
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    for (bool const has_token : {false, true}) {
      for (bool const has_waiting : {false, true}) {
        group g{{.limit = limit, .timeout = hours(2)}};
        std::optional<std::stop_callback<std::function<void()>>> on_cancel;
        std::optional<std::stop_callback<std::function<void()>>> callback;
        if (has_token) {
          on_cancel.emplace(g.get_stop_token(), [&] { calls.note(); });
          callback.emplace(g.get_stop_token(), [&] { calls.note(); });
          expected_calls += 2;
        }
        g.run_after(hours(1), [&, n = noted(ends)] { calls.note(); });
        ++expected_calls;
        ++expected_ends;
        c.advance(hours(1));
        ASSERT_FALSE(g.wait());
        if (has_waiting) {
          for (int i = 0; i != 20; ++i) {
            g.run_after(hours(3), [&, n = noted(ends)] { calls.note(); });
          }
          expected_ends += 20;
        }
        c.advance(hours(1));
        error const e = g.wait();
        ASSERT_EQ(e, errc::deadline_exceeded);
        ASSERT_EQ(e.skipped(), has_waiting ? 20U : 0U);
        await([&] { return calls.times() == expected_calls; }, "the callbacks");
        ASSERT_EQ(ends.times(), expected_ends);
      }
    }
  }
  EXPECT_FALSE(calls.contains(timer));
  EXPECT_FALSE(ends.contains(timer));
  EXPECT_TRUE(all_threads().contains(timer)) << "it is another one by now";
}

/// Waits for a gate where it is destroyed.
class lingering {
 public:
  lingering(support::gate& reached, support::gate& go) : reached_(&reached), go_(&go) {}
  lingering(lingering&& other) noexcept
      : reached_(std::exchange(other.reached_, nullptr)), go_(other.go_) {}
  lingering(lingering const&) = delete;
  lingering& operator=(lingering const&) = delete;
  lingering& operator=(lingering&&) = delete;
  ~lingering() {
    if (reached_ != nullptr) {
      reached_->open();
      go_->wait();
    }
  }

 private:
  support::gate* reached_;
  support::gate* go_;
};

TEST_F(Timer, what_is_due_while_a_cancellation_destroys_others_is_left_to_that) {
  errgroup::testing::test_clock c;
  group g{{.limit = 1}};
  group other{{.timeout = hours(2)}};
  auto const appeared = threads_beside(before);
  ASSERT_EQ(appeared.size(), 1U);
  thread_number const timer = *appeared.begin();
  places ends;
  support::gate started("the task to start");
  support::gate over("the test to be over");
  support::gate reached("the callable to be destroyed");
  support::gate go("the other deadline to have passed");
  g.run([&] {
    started.open();
    over.wait();
  });
  started.wait();
  g.run([a = lingering(reached, go)] {});
  g.run_after(hours(1), [n = noted(ends)] {});
  std::thread canceler([&] { g.cancel(); });
  reached.wait();
  c.advance(hours(2));
  EXPECT_TRUE(other.is_canceling()) << "the one before kept it waiting";
  go.open();
  canceler.join();
  over.open();
  EXPECT_EQ(g.wait().skipped(), 2U);
  EXPECT_EQ(ends.times(), 1);
  EXPECT_FALSE(ends.contains(timer));
  EXPECT_EQ(other.wait(), errc::deadline_exceeded);
}

bool blocks_signals() {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return ::sigismember(&blocked, SIGUSR1) == 1 || ::sigismember(&blocked, SIGCHLD) == 1;
}

TEST_F(Timer, what_runs_on_threads_that_it_starts_gets_signals) {
  ASSERT_FALSE(blocks_signals());
  group g{{.limit = 1}};
  support::gate ran("the task");
  g.run_after(milliseconds(1), [&] {
    EXPECT_FALSE(blocks_signals());  // the timer's thread had oneTBB start a worker
    ran.open();
  });
  ran.wait();
  support::gate told("the callback");
  auto const callback = g.on_cancel([&] {
    EXPECT_FALSE(blocks_signals());
    told.open();
  });
  g.set_deadline(errgroup::clock::now() + milliseconds(1));
  told.wait();
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST_F(Timer, no_code_of_a_nested_group_runs_on_its_thread_either) {
  errgroup::testing::test_clock c;
  group outer{{.timeout = hours(1)}};
  auto const appeared = threads_beside(before);
  ASSERT_EQ(appeared.size(), 1U);
  thread_number const timer = *appeared.begin();
  places calls;
  places ends;
  support::gate ready("the nested group to be ready");
  outer.run([&] {
    group inner{{.limit = 1}};
    auto const told = inner.on_cancel([&] { calls.note(); });
    inner.run_after(hours(2), [&, n = noted(ends)] { calls.note(); });
    inner.run([&](std::stop_token const& t) {
      ready.open();
      await([&] { return t.stop_requested(); }, "the deadline");
    });
    for (int i = 0; i != 10; ++i) {
      inner.run([&, n = noted(ends)] { calls.note(); });
    }
    EXPECT_EQ(inner.wait(), errc::canceled);
  });
  std::thread waiter([&] { EXPECT_EQ(outer.wait(), errc::deadline_exceeded); });
  ready.wait();
  c.advance(hours(1));
  waiter.join();
  await([&] { return calls.times() == 1; }, "the callback");
  EXPECT_EQ(ends.times(), 11);
  EXPECT_FALSE(calls.contains(timer));
  EXPECT_FALSE(ends.contains(timer));
}

}  // namespace
