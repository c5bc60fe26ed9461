// SPDX-License-Identifier: Apache-2.0

// Promise C5: a task with `task_options::timeout` fails when its time is over, and what it has
// started is cancelled with it.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/dump.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/lost_error.hpp>
#include <errgroup/observer.hpp>
#include <errgroup/pipeline.hpp>
#include <errgroup/retry.hpp>
#include <errgroup/spawn.hpp>
#include <errgroup/stage.hpp>
#include <errgroup/stream.hpp>
#include <errgroup/task_options.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>
#include <tbb/task_group.h>  // is_current_task_group_canceling

#include <atomic>           // atomic
#include <chrono>           // hours, nanoseconds
#include <cstddef>          // size_t
#include <functional>       // function
#include <memory>           // make_unique, unique_ptr
#include <optional>         // optional
#include <ostream>          // ostream
#include <source_location>  // source_location
#include <sstream>          // ostringstream
#include <stdexcept>        // invalid_argument, runtime_error
#include <stop_token>       // stop_source, stop_token
#include <string>           // string
#include <system_error>     // errc, make_error_code
#include <thread>           // thread, yield
#include <utility>          // move

namespace {

using namespace std::chrono_literals;

using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::on_error;
using errgroup::task_options;
using errgroup::testing::test_clock;
using support::gate;
using support::on_every_way;

using fn = std::function<error(std::stop_token)>;

error disk_is_full() { return std::make_error_code(std::errc::no_space_on_device); }

/// Returns when the token is stopped.
void obey(std::stop_token const& stop) {
  while (!stop.stop_requested()) {
    std::this_thread::yield();
  }
}

/// Another thread, which moves the clock by an hour when a task has begun.
class hour {
 public:
  explicit hour(test_clock& time)
      : other_([this, &time] {
          while (!begun_.is_open()) {
            time.advance(1ns);  // a task of `run_after` or `run_every` has to become due
            std::this_thread::yield();
          }
          time.advance(1h);
        }) {}
  hour(hour const&) = delete;
  hour& operator=(hour const&) = delete;
  ~hour() {
    begun_.open();
    other_.join();
  }

  /// In the task: returns when the token is stopped.
  void pass(std::stop_token const& stop) {
    begun_.open();
    obey(stop);
  }

 private:
  gate begun_{"a task with a time to begin"};
  std::thread other_;
};

/// A function that runs a task with options.
struct way {
  char const* name;
  void (*run)(group& g, task_options const& opts, fn f);
};

void PrintTo(way const& w, std::ostream* out) { *out << w.name; }

class TaskTimeout : public testing::TestWithParam<way> {
 protected:
  static void run(group& g, task_options const& opts, fn f) {
    GetParam().run(g, opts, std::move(f));
  }
};

INSTANTIATE_TEST_SUITE_P(
    EveryFunction, TaskTimeout,
    testing::Values(
        way{"run", [](group& g, task_options const& o, fn f) { g.run(o, std::move(f)); }},
        way{"try_run",
            [](group& g, task_options const& o, fn f) { EXPECT_TRUE(g.try_run(o, std::move(f))); }},
        way{"try_run_for",
            [](group& g, task_options const& o, fn f) {
              EXPECT_EQ(g.try_run_for(1h, o, std::move(f)), errgroup::admission::accepted);
            }},
        way{"try_run_until",
            [](group& g, task_options const& o, fn f) {
              EXPECT_EQ(g.try_run_until(clock::now() + 1h, o, std::move(f)),
                        errgroup::admission::accepted);
            }},
        way{"run_with_a_token",
            [](group& g, task_options const& o, fn f) {
              std::stop_source const never;
              EXPECT_EQ(g.run(never.get_token(), o, std::move(f)), errgroup::admission::accepted);
            }},
        way{"run_and_wait",
            [](group& g, task_options const& o, fn f) { (void)g.run_and_wait(o, std::move(f)); }},
        way{"run_at",
            [](group& g, task_options const& o, fn f) { g.run_at(clock::now(), o, std::move(f)); }},
        way{"run_after",
            [](group& g, task_options const& o, fn f) { g.run_after(1ns, o, std::move(f)); }},
        way{"run_every",
            [](group& g, task_options const& o, fn f) {
              // The repetition ends by itself: `f` may succeed.
              g.run_every(1ns, o, [f = std::move(f)](std::stop_token stop) -> error {
                error e = f(std::move(stop));
                return e ? e : error(errgroup::stop_repeating);
              });
            }},
        way{"spawn", [](group& g, task_options const& o,
                        fn f) { (void)errgroup::spawn(g, o, std::move(f)); }}),
    [](auto const& one) { return std::string(one.param.name); });

TEST_P(TaskTimeout, C5_a_task_whose_time_is_over_fails_and_its_token_is_stopped) {
  test_clock time;
  on_every_way(
      [&](group& g) {
        hour h(time);
        run(g, {.name = "slow", .timeout = 1h}, [&](std::stop_token stop) {
          h.pass(stop);
          return error();
        });
        error const e = g.wait();
        EXPECT_EQ(e, errc::deadline_exceeded);
        EXPECT_EQ(e.origin().name, "slow");
        EXPECT_EQ(e.origin().path, "job/slow");
        EXPECT_NE(e.origin().where.line(), 0U);
      },
      {.name = "job"});
}

TEST_P(TaskTimeout, C5_a_task_that_ends_in_time_is_as_without_a_timeout) {
  on_every_way([](group& g) {
    std::atomic<int> ran{0};
    run(g, {.timeout = 1h}, [&](std::stop_token stop) {
      ran += stop.stop_possible() && !stop.stop_requested() ? 1 : 0;
      return error();
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 1);
    run(g, {.timeout = std::chrono::nanoseconds::max()}, [](auto&&) { return disk_is_full(); });
    error const e = g.wait();
    EXPECT_EQ(e, std::errc::no_space_on_device);
    EXPECT_NE(e.origin().where.line(), 0U);
    EXPECT_EQ(e.origin().name, "");
  });
}

TEST_P(TaskTimeout, C5_the_siblings_go_on_if_the_policy_says_so) {
  group g{{.policy = on_error::keep_going}};
  run(g, {.timeout = 0ns}, [](auto&&) { return error(); });
  EXPECT_FALSE(g.is_canceling());
  bool ran = false;
  g.run([&] { ran = true; });
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
  EXPECT_TRUE(ran);
}

TEST_P(TaskTimeout, C5_a_task_without_time_is_not_called_and_fails) {
  for (auto const time : {0ns, -1ns, std::chrono::nanoseconds::min()}) {
    group g;
    std::atomic<bool> ran{false};
    run(g, {.timeout = time}, [&](auto&&) {
      ran = true;
      return error();
    });
    error const e = g.wait();
    EXPECT_EQ(e, errc::deadline_exceeded);
    EXPECT_EQ(e.skipped(), 0U);
    EXPECT_FALSE(ran);
  }
}

TEST_P(TaskTimeout, C5_the_cancellation_of_the_group_reaches_the_task) {
  on_every_way([](group& g) {
    gate begun;
    std::thread other([&] {
      begun.wait();
      g.cancel();
    });
    run(g, {.timeout = 1h}, [&](std::stop_token stop) {
      begun.open();
      obey(stop);
      return error();
    });
    EXPECT_EQ(g.wait(), errc::canceled);
    begun.open();
    other.join();
  });
}

TEST(TaskTimeoutRule, C5_the_time_begins_with_the_task) {
  test_clock time;
  group g{{.limit = 1}};
  gate go;
  g.run([&] { go.wait(); });
  bool in_time = false;
  g.run({.timeout = 1h}, [&](std::stop_token const& stop) { in_time = !stop.stop_requested(); });
  time.advance(2h);
  go.open();
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(in_time);
}

TEST(TaskTimeoutRule, C5_with_the_test_clock_no_test_sleeps) {
  test_clock time(errgroup::testing::time_moves::by_hand);
  group g{{.limit = 1, .policy = on_error::keep_going, .errors = keep::all}};
  gate begun;
  for (auto const length : {1h, 3h}) {
    g.run({.timeout = length}, [&](std::stop_token const& stop) {
      begun.open();
      obey(stop);
    });
  }
  begun.wait();
  time.advance(1h - 1ns);
  EXPECT_EQ(g.counts().failed, 0U);
  while (g.counts().failed != 2) {
    time.advance(1ns);
    (void)time.advance_to_next();
    std::this_thread::yield();
  }
  error const e = g.wait();
  EXPECT_EQ(e, errc::deadline_exceeded);
  EXPECT_EQ(e.others().size(), 1U);
}

TEST(TaskTimeoutRule, C5_after_its_time_the_task_has_failed_however_it_ends) {
  std::function<error()> const ends[] = {
      [] { return error(); },
      [] { return error(errc::canceled); },
      [] { return errgroup::check(); },
      disk_is_full,
      []() -> error { throw std::runtime_error("no reason"); },
  };
  for (auto const& end : ends) {
    test_clock time;
    group g{{.errors = keep::all}};
    {
      hour h(time);
      g.run({.timeout = 1h}, [&](std::stop_token const& stop) {
        h.pass(stop);
        return end();
      });
      error const e = g.wait();
      EXPECT_EQ(e, errc::deadline_exceeded);
      EXPECT_EQ(e.others().size(), 0U);
    }
    g.reset();
    hour h(time);
    auto one = errgroup::spawn(g, {.timeout = 1h}, [&](std::stop_token const& stop) {
      h.pass(stop);
      return end();
    });
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
    EXPECT_EQ(one.get().error(), errc::deadline_exceeded);
  }
}

/// Opens a gate when a thread waits for a group with the name "left".
struct watches_left : errgroup::observer {
  void wait_begin(errgroup::group_view g, errgroup::wait_kind) noexcept override {
    if (g.name() == "left") {
      waits.open();
    }
  }
  gate waits{"a thread to wait for the group that was left"};
};

TEST(TaskTimeoutRule, C5_a_failure_before_the_end_of_the_time_stays) {
  for (bool const by_handle : {false, true}) {
    watches_left seen;
    auto* const before = errgroup::observe(&seen);
    {
      // The failed callable leaves a busy group behind, and so its task goes on until the time is
      // over.
      test_clock time;
      std::unique_ptr<group> left;
      group g;
      auto const fails_and_leaves = [&] {
        left = std::make_unique<group>(errgroup::options{.name = "left"});
        left->run([](std::stop_token const& stop) { obey(stop); });
        return disk_is_full();
      };
      std::thread other([&] {
        seen.waits.wait();
        time.advance(1h);
      });
      if (by_handle) {
        auto h = errgroup::spawn(g, {.timeout = 1h}, fails_and_leaves);
        EXPECT_EQ(g.wait(), std::errc::no_space_on_device);
        EXPECT_EQ(h.get().error(), std::errc::no_space_on_device);
      } else {
        g.run({.timeout = 1h}, fails_and_leaves);
        EXPECT_EQ(g.wait(), std::errc::no_space_on_device);
      }
      other.join();
      EXPECT_EQ(left->wait(), errc::canceled);
    }
    errgroup::observe(before);
  }
}

TEST(TaskTimeoutRule, C5_a_task_is_not_over_while_a_group_that_it_has_left_is_busy) {
  test_clock time;
  std::unique_ptr<group> left;
  group g;
  hour h(time);
  g.run({.timeout = 1h}, [&] {
    left = std::make_unique<group>();
    left->run([&](std::stop_token const& stop) { h.pass(stop); });
  });
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST(TaskTimeoutRule, C5_what_the_task_has_started_is_cancelled_with_it) {
  test_clock time;
  on_every_way([&](group& g) {
    hour h(time);
    std::atomic<int> stopped{0};
    g.run({.timeout = 1h}, [&] {
      EXPECT_TRUE(errgroup::extend::is_inside(g));
      EXPECT_EQ(g.wait(), errc::would_deadlock);
      group below{{.limit = 1}};
      below.run([&] {
        group bottom;
        bottom.run([&](std::stop_token const& stop) { h.pass(stop); });
        stopped += bottom.wait() == errc::canceled ? 1 : 0;
      });
      stopped += below.wait() == errc::canceled ? 1 : 0;
      stopped += errgroup::check() == errc::canceled ? 1 : 0;
      stopped += tbb::is_current_task_group_canceling() ? 1 : 0;
    });
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
    EXPECT_EQ(stopped, 4);
  });
}

TEST(TaskTimeoutRule, C5_a_pipeline_in_the_task_is_cancelled_with_it) {
  test_clock time;
  group g;
  hour h(time);
  error told;
  g.run({.name = "slow", .timeout = 1h}, [&](std::stop_token const& stop) {
    int next = 0;
    // It never ends by itself.
    told = errgroup::pipeline({.limit = 2},
                              errgroup::stage::source([&] { return std::optional(next++); }),
                              errgroup::stage::in_order([&](int) { h.pass(stop); }));
    return told;
  });
  error const e = g.wait();
  EXPECT_EQ(e, errc::deadline_exceeded);
  EXPECT_EQ(e.origin().name, "slow");
  EXPECT_EQ(told, errc::canceled);
}

TEST(TaskTimeoutRule, C5_a_handle_tells_of_the_timeout_where_its_waiter_runs_the_task) {
  test_clock time;
  group g{{.limit = 1, .policy = on_error::keep_going}};
  hour h(time);
  error told;
  g.run([&] {
    told = errgroup::spawn(g, {.timeout = 1h}, [&](std::stop_token const& stop) { h.pass(stop); })
               .get()
               .error();
  });
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
  EXPECT_EQ(told, errc::deadline_exceeded);
}

TEST(TaskTimeoutRule, C5_tasks_that_it_submits_to_its_own_group_are_not_cancelled_with_it) {
  test_clock time;
  on_every_way(
      [&](group& g) {
        hour h(time);
        std::atomic<bool> ran{false};
        g.run({.timeout = 1h}, [&](std::stop_token const& stop) {
          h.pass(stop);
          g.run([&](std::stop_token const& of_sibling) { ran = !of_sibling.stop_requested(); });
        });
        EXPECT_EQ(g.wait(), errc::deadline_exceeded);
        EXPECT_TRUE(ran);
      },
      {.policy = on_error::keep_going});
}

TEST(TaskTimeoutRule, C5_each_run_of_a_periodic_task_has_the_time) {
  test_clock time(errgroup::testing::time_moves::when_nothing_else_is_left);
  group g;
  int runs = 0;
  g.run_every(1h, {.timeout = 30min}, [&](std::stop_token const& stop) {
    EXPECT_FALSE(stop.stop_requested());
    return ++runs == 5 ? error(errgroup::stop_repeating) : error();
  });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(runs, 5);
}

TEST(TaskTimeoutRule, C5_attempts_of_a_retry_share_the_time_of_their_task) {
  test_clock time(errgroup::testing::time_moves::when_nothing_else_is_left);
  group g;
  g.run({.timeout = 2h},
        [] { return errgroup::retry({.attempts = 1000, .delay = 1h}, disk_is_full).error(); });
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST(TaskTimeoutRule, C5_a_task_that_has_ended_leaves_no_alarm) {
  test_clock time;
  on_every_way([](group& g) {
    g.run({.timeout = 1h}, [] {});
    EXPECT_FALSE(g.wait());
  });
  EXPECT_FALSE(time.advance_to_next()) << "something waits for a time";
}

/// Cancels a group when a task of it begins, before the task's callable is called.
struct cancels_at_begin : errgroup::observer {
  void task_begin(errgroup::task_view) noexcept override { g->cancel(); }
  group* g = nullptr;
};

TEST(TaskTimeoutRule, C5_a_task_of_a_group_that_is_cancelled_as_it_begins_is_called_and_sees_it) {
  cancels_at_begin seen;
  auto* const before = errgroup::observe(&seen);
  {
    group g{{.errors = keep::all}};
    seen.g = &g;
    bool is_stopped = false;
    g.run({.timeout = 1h}, [&](std::stop_token const& stop) {
      is_stopped = stop.stop_requested();
      return disk_is_full();
    });
    error const e = g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 0U);
    EXPECT_TRUE(is_stopped);
    ASSERT_EQ(e.others().size(), 1U);
    EXPECT_EQ(e.others()[0], std::errc::no_space_on_device);
  }
  errgroup::observe(before);
}

TEST(TaskTimeoutRule, C5_a_skipped_task_has_no_time) {
  group g;
  g.cancel();
  bool ran = false;
  g.run({.timeout = 0ns}, [&] { ran = true; });
  error const e = g.wait();
  EXPECT_EQ(e, errc::canceled);
  EXPECT_EQ(e.skipped(), 1U);
  EXPECT_FALSE(ran);
}

TEST(TaskTimeoutRule, C5_a_stream_refuses_a_timeout_in_words) {
  errgroup::stream<int> s({}, [](int) {});
  EXPECT_THROW(s.run({.timeout = 1h}, [] { return 1; }), std::invalid_argument);
  EXPECT_THROW((void)s.try_run({.timeout = 1h}, [] { return 1; }), std::invalid_argument);
  s.run({.name = "row"}, [] { return 1; });
  EXPECT_FALSE(s.wait());
}

class TaskTimeoutKept : public support::no_leaks {};

TEST_F(TaskTimeoutKept, C5_a_task_with_a_timeout_may_be_move_only) {
  group g;
  g.run({.timeout = 1h}, [kept = support::counted()](std::stop_token const&) { (void)kept; });
  EXPECT_FALSE(g.wait());
}

TEST(TaskTimeoutRule, C5_no_error_is_lost_or_told_twice) {
  std::atomic<int> lost{0};
  static std::atomic<int>* count = &lost;
  auto const before = errgroup::set_lost_error_handler([](error const&) noexcept { ++*count; });
  {
    group g;
    test_clock time;
    hour h(time);
    g.run({.timeout = 0ns}, [] {});
    g.run({.timeout = 1h}, [&](std::stop_token const& stop) { h.pass(stop); });
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
    auto one = errgroup::spawn(g, {.timeout = 0ns}, [] {});
    (void)g.wait();
  }
  errgroup::set_lost_error_handler(before);
  EXPECT_EQ(lost, 0);
}

TEST(TaskTimeoutRule, C5_an_observer_and_a_dump_see_one_task_and_no_group_of_its_own) {
  struct : errgroup::observer {
    void group_begin(errgroup::group_view g) noexcept override {
      ++groups;
      parent_task = g.parent_task();
    }
    void task_begin(errgroup::task_view) noexcept override { ++tasks; }
    std::atomic<int> groups{0};
    std::atomic<int> tasks{0};
    std::atomic<std::size_t> parent_task{0};
  } seen;
  auto* const before = errgroup::observe(&seen);
  {
    group g{{.name = "job"}};
    std::string picture;
    g.run([] {});
    g.run({.name = "slow", .timeout = 1h}, [&] {
      EXPECT_EQ(g.counts().running >= 1, true);
      EXPECT_EQ(seen.groups, 1);
      group below{{.name = "below"}};
      below.run([&] {
        auto const is_shown = [&] {
          std::ostringstream out;
          errgroup::dump(out);
          picture = out.str();
          return picture.find("waits for the group \"below\"") != std::string::npos;
        };
        support::await(is_shown, "the task to wait for the group that it has made");
      });
      return below.wait();
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(seen.groups, 2);
    EXPECT_EQ(seen.tasks, 3);
    EXPECT_EQ(seen.parent_task, 1U);
    EXPECT_NE(picture.find("task 1 \"slow\""), std::string::npos) << picture;
    auto const line = picture.substr(picture.find("task 1 \"slow\""));
    EXPECT_NE(line.substr(0, line.find('\n')).find("waits for the group \"below\""),
              std::string::npos)
        << picture;
  }
  errgroup::observe(before);
}

TEST(TaskTimeoutDeath, C5_an_exception_terminates_where_the_group_says_so) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        group g{{.exceptions = errgroup::on_exception::terminate}};
        (void)g.run_and_wait({.timeout = 1h}, [] { throw std::runtime_error("the reason"); });
      },
      "the reason");
}

}  // namespace
