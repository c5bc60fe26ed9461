// SPDX-License-Identifier: Apache-2.0

// Tasks that wait for a time, and tasks that come again and again: E3, E6, C1, C2, L1, L3, L4 and
// W1 of those.

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // max_concurrency, task_arena
#include <tbb/task_group.h>      // task_group

#include <algorithm>        // is_sorted
#include <atomic>           // atomic
#include <chrono>           // duration, hours, milliseconds, nanoseconds, seconds, …
#include <cstddef>          // size_t
#include <cstdint>          // uint_least32_t
#include <functional>       // function
#include <limits>           // numeric_limits
#include <memory>           // make_unique, unique_ptr
#include <mutex>            // mutex, scoped_lock
#include <new>              // bad_alloc
#include <random>           // mt19937
#include <ratio>            // pico
#include <source_location>  // source_location
#include <stdexcept>        // invalid_argument, logic_error, runtime_error
#include <stop_token>       // stop_token
#include <string>           // string
#include <system_error>     // errc, error_code, make_error_code
#include <thread>           // thread
#include <utility>          // move
#include <vector>           // vector

namespace {

using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::on_error;
using errgroup::options;
using errgroup::stop_repeating;
using errgroup::testing::test_clock;
using errgroup::testing::time_moves;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using support::await;
using support::counted;
using support::gate;
using support::on_every_way;

std::error_code failure() { return std::make_error_code(std::errc::no_space_on_device); }

class GroupTimed : public support::no_leaks {};

// --- run_after, run_at -----------------------------------------------------------------------

TEST_F(GroupTimed, W1_wait_waits_for_what_is_not_due_yet) {
  on_every_way([](group& g) {
    int first = 0;
    int second = 0;
    int now = 0;
    auto const begin = clock::now();
    clock::time_point ran_at;
    g.run_after(milliseconds(2), [&, a = counted()] {
      ++first;
      ran_at = clock::now();
    });
    g.run_at(begin + milliseconds(1), [&, a = counted()] { ++second; });
    g.run([&] { ++now; });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 1);
    EXPECT_EQ(now, 1);
    EXPECT_GE(ran_at, begin + milliseconds(2)) << "early";
    EXPECT_EQ(counted::live(), 0);
  });
}

TEST_F(GroupTimed, W1_a_task_may_submit_one_to_its_own_group) {
  on_every_way([](group& g) {
    std::atomic<int> ran{0};
    for (int i = 0; i != 3; ++i) {
      g.run([&] {
        g.run_after(milliseconds(1), [&] {
          ++ran;
          g.run_at(clock::now() + milliseconds(1), [&] {
            ++ran;
            g.run([&] { ++ran; });
          });
        });
      });
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 9);
  });
}

TEST_F(GroupTimed, none_begins_before_its_time) {
  for (int const limit : {errgroup::unlimited, 1}) {
    test_clock c;
    group g{{.limit = limit}};
    std::atomic<int> ran{0};
    for (int h = 1; h != 5; ++h) {
      g.run_after(hours(h), [&] { ++ran; });
    }
    for (int h = 1; h != 5; ++h) {
      c.advance(hours(1) - nanoseconds(1));
      support::let_others_work();
      EXPECT_EQ(ran, h - 1);
      c.advance(nanoseconds(1));
      await([&] { return ran == h; }, "a task that is due, with nobody waiting");
    }
    EXPECT_FALSE(g.wait());
  }
}

TEST_F(GroupTimed, they_start_in_the_order_of_their_times_and_ties_in_that_of_their_submission) {
  for (bool const inside : {false, true}) {
    test_clock c;
    group g{{.limit = 1}};
    std::vector<int> order;
    std::mt19937 random(7);  // the same each time
    std::vector<int> times;
    for (int i = 0; i != 1000; ++i) {
      times.push_back(static_cast<int>(random() % 100));
    }
    auto const submit = [&] {
      auto const begin = clock::now() + hours(1);
      for (int i = 0; i != 1000; ++i) {
        int const t = times[static_cast<std::size_t>(i)];
        g.run_at(begin + seconds(t), [&order, t, i] { order.push_back(t * 1000 + i); });
      }
    };
    if (inside) {
      gate submitted("all to be submitted");
      g.run([&] {
        submit();
        submitted.open();
      });
      submitted.wait();
    } else {
      submit();
    }
    c.advance(hours(2));
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(order.size(), 1000U);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  }
}

TEST_F(GroupTimed, a_time_in_the_past_means_now) {
  test_clock const still;
  on_every_way([](group& g) {
    std::atomic<int> ran{0};
    auto const f = [&] { ++ran; };
    g.run_after(nanoseconds(0), f);
    g.run_after(nanoseconds(-1), f);
    g.run_after(hours::min(), f);
    g.run_after(std::chrono::duration<double>(-1e300), f);
    g.run_at(clock::now(), f);
    g.run_at(clock::time_point::min(), f);
    g.run_at(std::chrono::time_point<steady_clock, hours>::min(), f);
    g.run_at(system_clock::now() - seconds(1), f);
    g.run_at(system_clock::time_point::min(), f);
    g.run_at(std::chrono::sys_days::min(), f);
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 10);
  });
}

TEST_F(GroupTimed, what_is_too_far_away_to_tell_never_comes) {
  test_clock c;
  std::atomic<int> ran{0};
  group g;
  auto const f = [&, a = counted()] { ++ran; };
  g.run_after(hours::max(), f);
  g.run_after(nanoseconds::max(), f);
  g.run_after(std::chrono::years(100'000), f);
  g.run_after(std::chrono::duration<double>(1e300), f);
  g.run_after(std::chrono::duration<float>(9223372036854775807.0F / 1e9F), f);
  g.run_after(std::chrono::duration<float>::max(), f);
  g.run_at(clock::time_point::max(), f);
  g.run_at(std::chrono::time_point<steady_clock, hours>::max(), f);
  g.run_at(system_clock::time_point::max(), f);
  g.run_at(std::chrono::sys_days::max(), f);
  c.advance(hours(24 * 365 * 100));
  EXPECT_FALSE(g.wait_for(nanoseconds(0)));
  support::let_others_work();
  EXPECT_EQ(ran, 0);
  g.cancel();
  EXPECT_EQ(g.wait().skipped(), 10U);
}

TEST_F(GroupTimed, a_time_of_the_system_s_clock_will_do) {
  test_clock c;
  group g;
  std::atomic<bool> ran{false};
  g.run_at(system_clock::now() + hours(1), [&] { ran = true; });
  c.advance(std::chrono::minutes(59));
  EXPECT_FALSE(g.wait_for(nanoseconds(0)));
  EXPECT_FALSE(ran);
  c.advance(std::chrono::minutes(1));
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(ran);
}

TEST_F(GroupTimed, it_is_a_task_like_any_other_in_all_it_may_be_and_return) {
  on_every_way(
      [](group& g) {
        std::uint_least32_t const line = std::source_location::current().line() + 1;
        g.run_after(milliseconds(1), [] { return failure(); });
        error const e = g.wait();
        EXPECT_EQ(e, failure());
        EXPECT_EQ(e.origin().where.line(), line);
      },
      {.name = "named"});
  on_every_way([](group& g) {
    g.run_after(milliseconds(1), [] { throw std::runtime_error("thrown"); });
    EXPECT_EQ(g.wait(), errc::exception);
  });
  on_every_way([](group& g) {
    bool stopped = true;
    g.run_after(milliseconds(1), [&](std::stop_token const& t) { stopped = t.stop_requested(); });
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(stopped);
  });
  on_every_way([](group& g) {
    error e;
    bool waited = true;
    g.run_after(milliseconds(1), support::move_only([&] {
                  e = g.wait();
                  waited = g.wait_for(hours(1));
                }));
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(e, errc::would_deadlock);
    EXPECT_FALSE(waited);
  });
}

TEST_F(GroupTimed, an_empty_function_is_refused_in_words) {
  group g;
  std::function<void()> const empty;
  EXPECT_THROW(g.run_after(hours(1), empty), std::invalid_argument);
  EXPECT_THROW(g.run_at(clock::now(), empty), std::invalid_argument);
  EXPECT_THROW(g.run_every(hours(1), empty), std::invalid_argument);
  EXPECT_FALSE(g.wait());
}

// --- what is due goes before what waits --------------------------------------------------------

/// Notes in which order tasks ran.
class sequence {
 public:
  void add(int i) {
    std::scoped_lock const held(lock_);
    all_.push_back(i);
  }
  [[nodiscard]] std::vector<int> all() {
    std::scoped_lock const held(lock_);
    return all_;
  }

 private:
  std::mutex lock_;
  std::vector<int> all_;
};

/// `first`, and the numbers from 0 to `n` - 1.
std::vector<int> followed_by_numbers(std::vector<int> first, int n) {
  for (int i = 0; i != n; ++i) {
    first.push_back(i);
  }
  return first;
}

TEST_F(GroupTimed, L5_tasks_that_are_due_start_before_tasks_that_wait) {
  tbb::task_arena arena(1, 0);
  for (options const& opts :
       {options{.limit = 1}, options{.limit = 1, .queue = 100},
        options{.limit = 1, .isolated = true}, options{.limit = 1, .arena = &arena}}) {
    test_clock c;
    group g(opts);
    sequence order;
    gate started("the first task to start");
    gate go("all others to be due or to wait");
    g.run([&] {
      started.open();
      go.wait();
    });
    started.wait();
    for (int i = 0; i != 40; ++i) {
      g.run([&, i] { order.add(i); });
    }
    for (int h = 1; h != 4; ++h) {
      g.run_after(hours(h), [&, h] { order.add(-h); });
    }
    c.advance(hours(3));
    go.open();
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(order.all(), followed_by_numbers({-1, -2, -3}, 40));
  }
}

TEST_F(GroupTimed, a_task_that_is_due_does_not_wait_for_the_page_that_a_thread_has_taken) {
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (int const limit : {errgroup::unlimited, 1}) {
    test_clock c;
    group g{{.limit = limit}};
    sequence order;
    gate submitted("all tasks to be submitted");
    gate started("the first task of a page to start");
    gate go("the task to be due");
    g.run([&] { submitted.wait(); });
    g.run_after(hours(1), [&] { order.add(-1); });
    // A page is six tasks. The second task takes the rest of its page with it.
    g.run([&] {
      started.open();
      go.wait();
    });
    for (int i = 0; i != 40; ++i) {
      g.run([&, i] { order.add(i); });
    }
    std::thread waiter([&] { EXPECT_FALSE(g.wait()); });
    submitted.open();
    started.wait();
    c.advance(hours(1));
    go.open();
    waiter.join();
    EXPECT_EQ(order.all(), followed_by_numbers({-1}, 40));
  }
}

TEST_F(GroupTimed, a_task_that_is_due_starts_before_tasks_that_were_spawned) {
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  test_clock c;
  group g;
  sequence order;
  gate started("one of the spawned tasks to start");
  gate go("the task to be due");
  g.run([&] {
    for (int i = 0; i != 40; ++i) {
      g.run([&, i] {
        if (!started.is_open()) {
          started.open();
          go.wait();
        }
        order.add(i);
      });
    }
  });
  g.run_after(hours(1), [&] { order.add(-1); });
  std::thread waiter([&] { EXPECT_FALSE(g.wait()); });
  started.wait();
  c.advance(hours(1));
  go.open();
  waiter.join();
  ASSERT_EQ(order.all().size(), 41U);
  EXPECT_EQ(order.all()[1], -1) << "the second one to start";
}

TEST_F(GroupTimed, L3_a_task_that_is_due_and_blocks_strands_no_task_of_a_page) {
  support::watchdog const guard("tasks beside one that is due and blocks");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (int const limit : {errgroup::unlimited, 2}) {
    test_clock c;
    group g{{.limit = limit}};
    gate submitted("all tasks to be submitted");
    gate started("the first task of a page to start");
    gate go("the task to be due");
    gate all_ran("all other tasks to run");
    std::atomic<int> missing{40};
    g.run([&] { submitted.wait(); });
    g.run_after(hours(1), [&] { all_ran.wait(); });
    g.run([&] {
      started.open();
      go.wait();
    });
    for (int i = 0; i != 40; ++i) {
      g.run([&] {
        go.wait();
        if (--missing == 0) {
          all_ran.open();
        }
      });
    }
    support::waiters waiting(g, 2);
    submitted.open();
    started.wait();
    c.advance(hours(1));
    go.open();
    EXPECT_FALSE(waiting.errors()[0]);
  }
}

TEST_F(GroupTimed, L3_a_task_that_is_due_and_blocks_strands_no_task_that_was_spawned) {
  support::watchdog const guard("spawned tasks beside one that is due and blocks");
  test_clock c;
  group g;
  support::rendezvous both_start(2, "two threads to run spawned tasks");
  gate go("the task to be due");
  gate all_ran("all other tasks to run");
  std::atomic<int> begun{0};
  std::atomic<int> missing{40};
  g.run_after(hours(1), [&] { all_ran.wait(); });
  auto run_and_wait = [&] {
    g.run([&] {
      for (int i = 0; i != 40; ++i) {
        g.run([&] {
          if (begun++ < 2) {
            both_start.arrive_and_wait();
            go.wait();
          }
          if (--missing == 0) {
            all_ran.open();
          }
        });
      }
    });
    EXPECT_FALSE(g.wait());
  };
  std::thread waiter([&] { support::with_workers(1, run_and_wait); });
  await([&] { return begun >= 2; }, "two spawned tasks to start");
  c.advance(hours(1));
  go.open();
  waiter.join();
}

TEST_F(GroupTimed, W2_run_and_wait_runs_its_task_in_this_thread_beside_one_that_is_due) {
  support::watchdog const guard("a task of run_and_wait beside one that is due");
  for (std::size_t const threads : {1U, 2U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, threads);
    group g;
    gate ran("the task of run_and_wait to run");
    std::thread::id runner;
    g.run_after(nanoseconds(0), [&] {
      if (!ran.is_open()) {
        ran.wait();
      }
    });
    EXPECT_FALSE(g.run_and_wait([&] {
      runner = std::this_thread::get_id();
      ran.open();
    }));
    EXPECT_EQ(runner, std::this_thread::get_id());
  }
}

TEST_F(GroupTimed, W1_all_waiters_are_woken_when_a_spawned_task_has_run_the_last_that_is_due) {
  support::watchdog const guard("a wait that ends with a task that is due");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  test_clock c;
  group g;
  gate started("the spawned task to start");
  gate go("the task to be due");
  gate is_busy("the second waiter to be busy");
  gate returned("the third waiter to return");
  std::atomic<bool> ran{false};
  g.run([&] {
    for (int i = 0; i != 2; ++i) {
      g.run([&] {
        started.open();
        go.wait();
      });
    }
  });
  g.run_after(hours(1), [&] { ran = true; });
  std::thread first([&] { EXPECT_FALSE(g.wait()); });
  started.wait();
  std::thread third([&] {
    EXPECT_FALSE(g.wait());
    returned.open();
  });
  support::dawdle(2000);  // it sleeps
  // The second waiter is woken for the task that is due, but is busy with a raw task of its own.
  std::thread second([&] {
    tbb::task_group raw;
    raw.run([&] {
      is_busy.open();
      returned.wait();
    });
    EXPECT_FALSE(g.wait());
    raw.wait();
  });
  is_busy.wait();
  c.advance(hours(1));
  go.open();
  first.join();
  second.join();
  third.join();
  EXPECT_TRUE(ran);
}

TEST_F(GroupTimed, tasks_that_are_due_start_in_the_order_of_their_times_whenever_submitted) {
  test_clock c;
  group g{{.limit = 1}};
  sequence order;
  auto const begin = clock::now();
  gate started("the first task to start");
  gate go("all others to be due or to wait");
  g.run([&] {
    started.open();
    go.wait();
  });
  started.wait();
  for (int i = 0; i != 10; ++i) {
    g.run([&, i] { order.add(i); });
  }
  g.run_at(begin + hours(2), [&] { order.add(-3); });
  c.advance(hours(2));
  g.run_at(begin + hours(2), [&] { order.add(-4); });
  g.run_at(begin + hours(1), [&] { order.add(-1); });
  g.run_at(begin + hours(1), [&] { order.add(-2); });
  go.open();
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(order.all(), followed_by_numbers({-1, -2, -3, -4}, 10));
}

TEST_F(GroupTimed, C1_E3_cancel_drops_counts_and_destroys_what_is_due_and_waits) {
  test_clock c;
  group g{{.limit = 1}};
  gate started("the first task to start");
  gate go("the others to be dropped");
  g.run([&] {
    started.open();
    go.wait();
  });
  started.wait();
  for (int i = 0; i != 100; ++i) {
    g.run_after(hours(1), [a = counted()] {});
    g.run_after(nanoseconds(0), [a = counted()] {});
  }
  c.advance(hours(1));
  g.cancel();
  EXPECT_EQ(counted::live(), 0);
  go.open();
  EXPECT_EQ(g.wait().skipped(), 200U);
}

TEST_F(GroupTimed, Queue_a_task_that_is_due_when_it_is_submitted_needs_room) {
  group g{{.limit = 1, .queue = 0}};
  gate started("the first task to start");
  gate go("the submitter to be there");
  std::atomic<int> ran{0};
  g.run([&] {
    started.open();
    go.wait();
    g.run_after(nanoseconds(0), [&] { ++ran; });  // inside: runs on the caller's slot
    EXPECT_EQ(ran, 1);
  });
  started.wait();
  std::thread submitter([&] { g.run_after(nanoseconds(0), [&] { ++ran; }); });
  go.open();
  submitter.join();
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 2);
}

TEST_F(GroupTimed, E6_without_memory_for_a_task_that_is_due_the_group_is_as_before) {
  group g{{.limit = 1}};
  gate started("the first task to start");
  gate go("the others to be submitted");
  std::atomic<int> ran{0};
  g.run([&] {
    started.open();
    go.wait();
  });
  started.wait();
  int accepted = 0;
  for (int i = 0; i != 300; ++i) {
    try {
      support::failing_new const fails(i % 3);
      g.run_after(nanoseconds(0), [&, a = counted()] { ++ran; });
      ++accepted;
    } catch (std::bad_alloc const&) {
      EXPECT_EQ(counted::live(), accepted);
    }
  }
  go.open();
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, accepted);
}

TEST_F(GroupTimed, Every_a_run_starts_after_one_task_however_many_wait) {
  support::watchdog const guard("30 runs of a repeated task");
  test_clock c;
  group g{{.limit = 1}};
  constexpr int tasks = 30;
  sequence order;
  std::vector<std::unique_ptr<gate>> started;
  std::vector<std::unique_ptr<gate>> go;
  for (int i = 0; i != tasks; ++i) {
    started.push_back(std::make_unique<gate>("a task to start"));
    go.push_back(std::make_unique<gate>("an hour to pass"));
  }
  int runs = 0;
  g.run_every(hours(1), [&]() -> error {
    order.add(-1);
    return ++runs == tasks ? error(stop_repeating) : error();
  });
  for (std::size_t i = 0; i != tasks; ++i) {
    g.run([&, i] {
      started[i]->open();
      go[i]->wait();
      order.add(static_cast<int>(i));
    });
  }
  for (std::size_t i = 0; i != tasks; ++i) {
    started[i]->wait();
    c.advance(hours(1));
    go[i]->open();
  }
  EXPECT_FALSE(g.wait());
  std::vector<int> expected;
  for (int i = 0; i != tasks; ++i) {
    expected.push_back(i);
    expected.push_back(-1);
  }
  EXPECT_EQ(order.all(), expected);
}

// --- C1, C2, E3 ------------------------------------------------------------------------------

TEST_F(GroupTimed, C1_E3_cancel_drops_counts_and_destroys_what_is_not_due) {
  on_every_way([](group& g) {
    bool ran = false;
    for (int i = 0; i != 50; ++i) {
      g.run_after(hours(1), [&, a = counted()] { ran = true; });
    }
    EXPECT_EQ(counted::live(), 50);
    g.cancel();
    EXPECT_EQ(counted::live(), 0);
    g.run_after(hours(1), [&, a = counted()] { ran = true; });
    g.run_at(clock::now() - hours(1), [&, a = counted()] { ran = true; });
    error const e = g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 52U);
    EXPECT_FALSE(ran);
    g.reset();
    g.run_after(milliseconds(1), [&] { ran = true; });
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(ran) << "as new";
  });
}

TEST_F(GroupTimed, C1_E3_a_failure_drops_what_is_not_due) {
  on_every_way([](group& g) {
    g.run_after(hours(1), [a = counted()] {});
    g.run([] { return failure(); });
    error const e = g.wait();
    EXPECT_EQ(e, failure());
    EXPECT_EQ(e.skipped(), 1U);
    EXPECT_EQ(counted::live(), 0);
  });
}

TEST_F(GroupTimed, C1_the_destructor_does_not_wait_for_their_times) {
  support::watchdog const guard("the end of groups with tasks that are not due");
  on_every_way([](group& g) { g.run_after(hours(1), [a = counted()] {}); });
}

TEST_F(GroupTimed, C1_cancelling_a_hundred_thousand_of_them) {
  for (int const limit : {errgroup::unlimited, 1}) {
    group g{{.limit = limit}};
    for (int i = 0; i != 100'000; ++i) {
      g.run_after(hours(1) + nanoseconds(i * 7919 % 100'003), [a = counted()] {});
    }
    g.cancel();
    EXPECT_EQ(counted::live(), 0);
    EXPECT_EQ(g.wait().skipped(), 100'000U);
  }
}

TEST_F(GroupTimed, C2_a_cancelled_parent_drops_what_is_not_due_below) {
  for (bool const by_deadline : {false, true}) {
    for (int const limit : {errgroup::unlimited, 1}) {
      test_clock c;
      group outer{{.limit = limit, .timeout = hours(1)}};
      gate ready("the nested group's wait to begin");
      error inner_error;
      outer.run([&] {
        group middle;
        (void)middle.run_and_wait([&] {
          group inner{{.limit = limit}};
          inner.run_after(hours(2), [a = counted()] {});
          ready.open();
          inner_error = inner.wait();
        });
      });
      support::waiters waiter(outer, 1);
      ready.wait();
      if (by_deadline) {
        c.advance(hours(1));
      } else {
        outer.cancel();
      }
      EXPECT_EQ(waiter.errors()[0],
                by_deadline ? error(errc::deadline_exceeded) : error(errc::canceled));
      EXPECT_EQ(inner_error, errc::canceled);
      EXPECT_EQ(inner_error.skipped(), 1U);
    }
  }
}

TEST_F(GroupTimed, C2_what_is_submitted_below_a_cancelled_parent_is_not_waited_for) {
  support::watchdog const guard("a wait below a cancelled group");
  for (int const limit : {errgroup::unlimited, 1}) {
    group outer{{.limit = limit}};
    error inner_error;
    (void)outer.run_and_wait([&] {
      group inner;
      outer.cancel();
      inner.run_after(hours(1), [a = counted()] {});
      inner_error = inner.wait();
    });
    EXPECT_EQ(inner_error, errc::canceled);
    EXPECT_EQ(inner_error.skipped(), 1U);
  }
}

TEST_F(GroupTimed, C1_what_is_submitted_to_a_used_group_below_a_cancelled_one_is_dropped_at_once) {
  for (int const limit : {errgroup::unlimited, 1}) {
    group outer;
    (void)outer.run_and_wait([&] {
      group inner{{.limit = limit}};
      EXPECT_FALSE(inner.run_and_wait([] {}));
      outer.cancel();
      inner.run_after(hours(1), [a = counted()] {});
      EXPECT_EQ(counted::live(), 0);
      EXPECT_EQ(inner.wait().skipped(), 1U);
    });
  }
}

TEST_F(GroupTimed, C1_what_is_submitted_after_a_direct_cancellation_is_dropped_at_once) {
  group g;
  g.context().cancel_group_execution();
  g.run_after(hours(1), [a = counted()] {});
  EXPECT_EQ(counted::live(), 0);
  EXPECT_EQ(g.wait().skipped(), 1U);
}

TEST_F(GroupTimed, C1_a_direct_cancellation_of_the_context_counts_as_cancel) {
  support::watchdog const guard("a wait after a direct cancellation");
  group g;
  g.run_after(hours(1), [a = counted()] {});
  g.context().cancel_group_execution();
  EXPECT_TRUE(g.is_canceling());
  EXPECT_EQ(g.wait().skipped(), 1U);
}

TEST_F(GroupTimed, C1_who_waits_for_time_alone_hears_of_a_direct_cancellation_later) {
  support::watchdog const guard("a wait for a time, of a group whose context is cancelled");
  test_clock const still;
  for (bool const with_limit : {false, true}) {
    for (bool const given_before : {false, true}) {
      group g{{.limit = 1}};  // its task starts with nobody waiting
      gate started("the task to start");
      gate go("the wait to have begun");
      gate over("the task to be over");
      g.run([&] {
        started.open();
        go.wait();
        g.run_after(hours(1), [a = counted()] {});
        over.open();
      });
      if (given_before) {
        (void)g.context();
      }
      started.wait();
      std::thread waiter([&] {
        if (with_limit) {
          EXPECT_TRUE(g.wait_for(hours(1)));
        } else {
          EXPECT_EQ(g.wait(), errc::canceled);
        }
      });
      support::dawdle(2000);
      go.open();
      over.wait();
      support::dawdle(2000);
      g.context().cancel_group_execution();
      waiter.join();
      EXPECT_EQ(g.wait().skipped(), 1U);
    }
  }
}

TEST_F(GroupTimed, C3_a_task_that_ends_waits_for_them_in_a_group_that_outlives_it) {
  std::unique_ptr<group> g;
  std::atomic<bool> ran{false};
  group outer;
  EXPECT_FALSE(outer.run_and_wait([&] {
    g = std::make_unique<group>();
    g->run_after(milliseconds(1), [&] { ran = true; });
  }));
  EXPECT_TRUE(ran);
  EXPECT_FALSE(g->wait());
  g->run_after(milliseconds(1), [&] { ran = false; });
  EXPECT_FALSE(g->wait());
  EXPECT_FALSE(ran);
}

// --- limits ----------------------------------------------------------------------------------

TEST_F(GroupTimed, L1_they_share_the_limit_with_the_others) {
  test_clock c;
  for (int const limit : {1, 2, 3}) {
    group g{{.limit = limit}};
    support::task_census census;
    auto const task = [&] {
      support::task_census::presence const here(census);
      support::dawdle();
    };
    for (int i = 0; i != 100; ++i) {
      g.run_after(seconds(i % 7), task);
      g.run(task);
    }
    c.advance(seconds(7));
    support::waiters waiting(g, 4);
    EXPECT_FALSE(waiting.errors()[0]);
    EXPECT_LE(census.most(), limit);
  }
}

TEST_F(GroupTimed, L3_they_start_without_anybody_waiting_and_without_workers) {
  for (std::size_t const threads : {1U, 2U, 4U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, threads);
    for (options const& opts : {options{}, options{.limit = 1}, options{.limit = 3},
                                options{.queue = 2}, options{.isolated = true}}) {
      group g(opts);
      gate ran("a task that was due");
      g.run_after(milliseconds(1), [&] { ran.open(); });
      ran.wait();
      gate again("a task that was submitted in that way by a task");
      g.run_after(milliseconds(1), [&] { g.run_after(milliseconds(1), [&] { again.open(); }); });
      again.wait();
      EXPECT_FALSE(g.wait());
    }
  }
}

TEST_F(GroupTimed, L3_wait_finds_them_without_workers_in_nested_groups) {
  support::watchdog const guard("timed tasks without workers");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (int const outer_limit : {errgroup::unlimited, 1, 2}) {
    for (int const inner_limit : {errgroup::unlimited, 1, 2}) {
      group outer{{.limit = outer_limit}};
      std::atomic<int> ran{0};
      for (int i = 0; i != 4; ++i) {
        outer.run_after(milliseconds(1), [&] {
          group inner{{.limit = inner_limit}};
          for (int k = 0; k != 4; ++k) {
            inner.run_after(milliseconds(k), [&] {
              ++ran;
              inner.run([&] { ++ran; });
            });
          }
          EXPECT_FALSE(inner.wait());
        });
      }
      EXPECT_FALSE(outer.wait());
      EXPECT_EQ(ran, 32);
    }
  }
}

TEST_F(GroupTimed, W2_who_waits_for_time_alone_runs_what_nobody_else_would) {
  support::watchdog const guard("a task in the deque of a thread that waits for a time");
  for (std::size_t const threads : {1U, 4U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, threads);
    for (int const limit : {errgroup::unlimited, 1}) {
      group outer{{.limit = limit}};
      EXPECT_FALSE(outer.run_and_wait([&] {
        std::atomic<bool> done{false};
        group other;
        other.run([&] { done = true; });
        group g;
        g.run_every(milliseconds(1), [&]() -> error {
          if (done) {
            return stop_repeating;
          }
          return {};
        });
        EXPECT_FALSE(g.wait());
        EXPECT_FALSE(other.wait());
      }));
    }
  }
}

TEST_F(GroupTimed, Queue_does_not_count_what_is_not_due) {
  test_clock c;
  group g{{.limit = 1, .queue = 1}};
  gate started("the task to start");
  gate go("the test to go on");
  support::opens_at_end const at_end(go);
  std::atomic<int> ran{0};
  for (int i = 0; i != 10; ++i) {
    g.run_after(hours(1), [&] { ++ran; });
  }
  g.run([&] {
    started.open();
    go.wait();
  });
  started.wait();
  EXPECT_TRUE(g.try_run([&] { ++ran; })) << "there is one place";
  EXPECT_FALSE(g.try_run([&] { ++ran; }));
  for (int i = 0; i != 10; ++i) {
    g.run_after(hours(1), [&] { ++ran; });  // does not wait for room
  }
  c.advance(hours(1));
  EXPECT_FALSE(g.try_run([&] { ++ran; })) << "now they count";
  go.open();
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 21);
  EXPECT_TRUE(g.try_run([&] { ++ran; }));
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 22);
}

TEST_F(GroupTimed, L4_submitting_them_from_inside_a_full_queue_never_deadlocks) {
  support::watchdog const guard("timed tasks at a full queue");
  for (std::size_t const queue : {0U, 1U}) {
    group g{{.limit = 1, .queue = queue}};
    std::atomic<int> ran{0};
    g.run([&] {
      for (int i = 0; i != 20; ++i) {
        g.run_after(milliseconds(i % 3), [&] { ++ran; });
        g.run([&] { ++ran; });
      }
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 40);
  }
}

TEST_F(GroupTimed, L7_they_run_in_the_arena_of_the_options) {
  tbb::task_arena arena(2, 0);
  group g{{.arena = &arena}};
  std::atomic<int> concurrency{0};
  g.run_after(milliseconds(1), [&] { concurrency = tbb::this_task_arena::max_concurrency(); });
  support::await([&] { return concurrency != 0; }, "the task, which nobody waits for");
  EXPECT_EQ(concurrency, 2);
  EXPECT_FALSE(g.wait());
}

// --- E6 --------------------------------------------------------------------------------------

TEST_F(GroupTimed, E6_a_throwing_move_leaves_the_group_as_before) {
  on_every_way([](group& g) {
    auto make = [] { return support::throws_on_move([] {}); };
    EXPECT_THROW(g.run_after(hours(1), make()), support::thrown_by_move);
    EXPECT_THROW(g.run_at(clock::now() + hours(1), make()), support::thrown_by_move);
    EXPECT_THROW(g.run_at(clock::now(), make()), support::thrown_by_move);
    EXPECT_THROW(g.run_every(hours(1), make()), support::thrown_by_move);
    support::throws_on_copy const copied([] {});
    EXPECT_THROW(g.run_after(hours(1), copied), support::thrown_by_copy);
    EXPECT_THROW(g.run_every(hours(1), copied), support::thrown_by_copy);
    EXPECT_EQ(counted::live(), 1);
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(g.wait_for(nanoseconds(0)));
  });
}

/// Has the n-th allocation of `submit` fail, for each n.
template <class Submit>
void without_memory(options const& opts, Submit submit) {
  bool failed = true;
  for (int n = 0; failed; ++n) {
    ASSERT_LT(n, 200);
    group g(opts);
    bool accepted = false;
    {
      support::failing_new const fails(n);
      try {
        submit(g);
        accepted = true;
      } catch (std::bad_alloc const&) {
      }
      failed = support::failing_new::has_failed();
    }
    if (!accepted) {
      EXPECT_EQ(counted::live(), 0);
      EXPECT_TRUE(g.wait_for(nanoseconds(0))) << "nothing is pending";
    }
    g.cancel();
    EXPECT_EQ(g.wait().skipped(), accepted ? 1U : 0U);
    EXPECT_EQ(counted::live(), 0);
  }
}

TEST_F(GroupTimed, E6_no_memory_leaves_the_group_as_before) {
  for (options const& opts : {options{}, options{.limit = 1}, options{.queue = 3}}) {
    without_memory(opts, [](group& g) { g.run_after(hours(1), [a = counted()] {}); });
    without_memory(opts, [](group& g) {
      struct {
        counted a;
        char big[200] = {};
        void operator()() {}
      } f;
      g.run_at(clock::now() + hours(1), f);
    });
    without_memory(opts, [](group& g) { g.run_every(hours(1), [a = counted()] {}); });
  }
}

TEST_F(GroupTimed, E6_no_memory_for_one_of_many_leaves_the_others) {
  test_clock c;
  for (int n = 0; n != 60; ++n) {
    group g{{.limit = 1}};
    int submitted = 0;
    int ran = 0;
    {
      support::failing_new const fails(n, true);
      try {
        for (; submitted != 1000; ++submitted) {
          g.run_after(seconds(submitted % 10 + 1), [&ran, a = counted()] { ++ran; });
        }
      } catch (std::bad_alloc const&) {
      }
    }
    c.advance(seconds(10));
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, submitted);
  }
}

TEST_F(GroupTimed, a_million_of_them) {
  test_clock c;
  group g;
  std::mt19937 random(11);
  constexpr std::size_t n = 1'000'000;
  std::size_t early = 0;
  for (std::size_t i = 0; i != n; ++i) {
    auto const after = nanoseconds(random());  // up to 4 seconds
    early += after <= seconds(1) ? 1U : 0U;
    g.run_after(after + hours(1), [] {});
  }
  c.advance(hours(1) + seconds(1));
  g.cancel();
  EXPECT_GE(g.wait().skipped(), n - early);
}

TEST_F(GroupTimed, what_is_over_is_used_again_however_long_the_group_lives) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(testing::Message() << "limit " << limit);
    group g{{.limit = limit}};
    auto const submit = [&] {
      for (int i = 0; i != 100; ++i) {
        g.run_after(nanoseconds(1), [] {});
      }
      EXPECT_FALSE(g.wait());
    };
    for (int i = 0; i != 10; ++i) {
      submit();
    }
    long const before = support::live_allocations;
    for (int i = 0; i != 200; ++i) {
      submit();
    }
    EXPECT_LT(support::live_allocations - before, 2'000) << "of 20,000 tasks";
    long const between = support::live_allocations;
    int n = 0;
    g.run_every(nanoseconds(1), [&]() -> error {
      if (++n == 20'000) {
        return stop_repeating;
      }
      return {};
    });
    EXPECT_FALSE(g.wait());
    EXPECT_LT(support::live_allocations - between, 2'000) << "of 20,000 runs";
  }
}

// --- run_every -------------------------------------------------------------------------------

TEST_F(GroupTimed, Every_runs_again_until_it_says_that_it_is_enough) {
  on_every_way([](group& g) {
    int n = 0;
    g.run_every(milliseconds(1), [&, a = counted()]() -> error {
      if (++n == 5) {
        return stop_repeating;
      }
      return {};
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(n, 5);
    EXPECT_EQ(counted::live(), 0);
  });
  on_every_way([](group& g) {
    int n = 0;
    g.run_every(milliseconds(1), [&]() -> std::error_code {
      return ++n == 3 ? make_error_code(stop_repeating) : std::error_code();
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(n, 3);
  });
}

TEST_F(GroupTimed, Every_runs_first_after_the_period_and_then_on_time) {
  test_clock c(time_moves::when_nothing_else_is_left);
  auto const begin = clock::now();
  group g;
  std::vector<clock::duration> times;
  g.run_every(hours(1), [&]() -> error {
    times.push_back(clock::now() - begin);
    return times.size() == 4 ? error(stop_repeating) : error();
  });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(times, (std::vector<clock::duration>{hours(1), hours(2), hours(3), hours(4)}));
}

TEST_F(GroupTimed, Every_ends_when_the_group_is_cancelled) {
  on_every_way([](group& g) {
    std::atomic<int> n{0};
    g.run_every(milliseconds(1), [&, a = counted()] {
      if (++n == 3) {
        g.cancel();
      }
    });
    error const e = g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 1U) << "the next run";
    EXPECT_EQ(n, 3);
    EXPECT_EQ(counted::live(), 0);
  });
  group g;
  g.run_every(hours(1), [a = counted()] {});
  g.cancel();
  EXPECT_EQ(g.wait().skipped(), 1U);
  EXPECT_EQ(counted::live(), 0);
}

TEST_F(GroupTimed, Every_ends_when_it_fails_whatever_the_group_does_then) {
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    on_every_way(
        [](group& g) {
          int n = 0;
          g.run_every(milliseconds(1),
                      [&, a = counted()] { return ++n == 3 ? failure() : std::error_code(); });
          error const e = g.wait();
          EXPECT_EQ(e, failure());
          EXPECT_EQ(e.skipped(), 0U);
          EXPECT_EQ(n, 3);
          g.reset();
          g.run_every(milliseconds(1), [&, a = counted()] {
            if (--n == 0) {
              throw std::runtime_error("thrown");
            }
          });
          EXPECT_EQ(g.wait(), errc::exception);
          EXPECT_EQ(n, 0);
          EXPECT_EQ(counted::live(), 0);
        },
        {.policy = policy});
  }
}

TEST_F(GroupTimed, Every_what_another_task_asks_to_repeat_no_more_is_no_failure_of_this_one) {
  group g{{.policy = on_error::keep_going}};
  int n = 0;
  g.run_every(milliseconds(1), [&]() -> error {
    if (++n == 3) {
      return stop_repeating;
    }
    return {};
  });
  int m = 0;
  g.run_every(milliseconds(1), [&]() -> error {
    if (++m == 6) {
      return stop_repeating;
    }
    return {};
  });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(n, 3);
  EXPECT_EQ(m, 6);
}

TEST_F(GroupTimed, Every_never_runs_beside_itself) {
  for (options const& opts : {options{}, options{.limit = 4}, options{.queue = 1}}) {
    group g(opts);
    support::highest inside;
    std::atomic<int> n{0};
    g.run_every(nanoseconds(1), [&]() -> error {
      inside.up();
      support::dawdle(5);
      inside.down();
      if (++n == 500) {
        return stop_repeating;
      }
      return {};
    });
    support::waiters waiting(g, 3);
    EXPECT_FALSE(waiting.errors()[0]);
    EXPECT_EQ(inside.most(), 1);
    EXPECT_EQ(n, 500);
  }
}

TEST_F(GroupTimed, Every_with_the_shortest_period_in_a_full_queue_needs_no_stack) {
  for (std::size_t const queue : {0U, 1U}) {
    group g{{.limit = 1, .queue = queue}};
    int n = 0;
    g.run_every(nanoseconds(1), [&]() -> error {
      if (++n == 100'000) {
        return stop_repeating;
      }
      return {};
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(n, 100'000);
  }
}

TEST_F(GroupTimed, Every_leaves_out_what_it_was_too_late_for) {
  test_clock c;
  auto const begin = clock::now();
  group g{{.limit = 1}};
  std::atomic<int> n{0};
  std::vector<clock::duration> times;
  g.run_every(hours(1), [&] {
    times.push_back(clock::now() - begin);
    ++n;
  });
  gate started("what keeps the slot to start");
  gate go("five hours to pass");
  g.run([&] {
    started.open();
    go.wait();
  });
  started.wait();
  c.advance(hours(5) + std::chrono::minutes(30));
  go.open();
  await([&] { return n == 1; }, "the late run");
  // Its next time is the next full hour, not five at once.
  await([&] { return !g.wait_for(nanoseconds(0)) && n == 1; }, "nothing");
  support::let_others_work();
  EXPECT_EQ(n, 1);
  await([&] { return c.advance_to_next(); }, "the next run to be set");
  await([&] { return n == 2; }, "the next run");
  g.cancel();
  EXPECT_EQ(g.wait(), errc::canceled);
  EXPECT_EQ(times, (std::vector<clock::duration>{hours(5) + std::chrono::minutes(30), hours(6)}));
}

TEST_F(GroupTimed, Every_a_period_that_is_not_positive_is_refused_in_words) {
  group g;
  auto const refused = [&](auto period) {
    try {
      g.run_every(period, [a = counted()] {});
      FAIL() << "accepted";
    } catch (std::invalid_argument const& e) {
      EXPECT_NE(std::string(e.what()).find("run_every"), std::string::npos);
      EXPECT_NE(std::string(e.what()).find("not positive"), std::string::npos);
    }
  };
  refused(nanoseconds(0));
  refused(nanoseconds(-1));
  refused(hours::min());
  refused(std::chrono::duration<double>(-0.0));
  refused(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_EQ(counted::live(), 0);
  EXPECT_FALSE(g.wait());
  // The shortest and the longest are none of those.
  g.run_every(std::chrono::duration<double, std::pico>(0.001),
              []() -> error { return stop_repeating; });
  EXPECT_FALSE(g.wait());
  g.run_every(hours::max(), [] {});
  EXPECT_FALSE(g.wait_for(nanoseconds(0)));
  g.cancel();
  EXPECT_EQ(g.wait().skipped(), 1U);
}

TEST_F(GroupTimed, Every_the_callable_is_one_and_the_same_and_may_be_move_only) {
  on_every_way([](group& g) {
    int seen = 0;
    g.run_every(milliseconds(1), [&, n = std::make_unique<int>(0)]() mutable -> error {
      seen = ++*n;
      return seen == 4 ? error(stop_repeating) : error();
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(seen, 4);
  });
}

TEST_F(GroupTimed, Every_it_may_take_the_stop_token) {
  test_clock c;
  group g{{.timeout = hours(2)}};
  gate started("a run to start");
  g.run_every(hours(1), [&](std::stop_token const& t) {
    EXPECT_FALSE(t.stop_requested());
    started.open();
    await([&] { return t.stop_requested(); }, "the deadline");
  });
  support::waiters waiter(g, 1);
  c.advance(hours(1));
  started.wait();
  c.advance(hours(1));
  EXPECT_EQ(waiter.errors()[0], errc::deadline_exceeded);
}

TEST_F(GroupTimed, C2_Every_below_a_cancelled_parent_ends) {
  support::watchdog const guard("a repeated task below a cancelled group");
  group outer;
  std::atomic<int> n{0};
  (void)outer.run_and_wait([&] {
    group inner;
    inner.run_every(milliseconds(1), [&] {
      if (++n == 3) {
        outer.cancel();
      }
    });
    EXPECT_EQ(inner.wait(), errc::canceled);
  });
  EXPECT_EQ(n, 3);
}

}  // namespace
