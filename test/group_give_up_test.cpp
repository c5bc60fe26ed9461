// SPDX-License-Identifier: Apache-2.0

// Waits that give up: for room until a time (try_run_for, try_run_until) or until a stop token is
// stopped (run), and for the end of the tasks until a stop token is stopped (wait_until).

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>

#include <atomic>      // atomic
#include <chrono>      // hours, seconds, system_clock
#include <cstddef>     // size_t
#include <memory>      // make_unique, unique_ptr
#include <stop_token>  // stop_source, stop_token
#include <string>      // string
#include <thread>      // thread
#include <utility>     // move
#include <vector>      // vector

namespace {

using errgroup::admission;
using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::npos;
using errgroup::options;
using errgroup::testing::test_clock;
using std::chrono::hours;
using std::chrono::seconds;
using support::await;
using support::dawdle;
using support::gate;
using support::no_workers;
using support::on_every_way;
using support::task_census;
using support::watchdog;

/// A group of one slot and its thread, in a task that ends when `release` is called.
class busy_group {
 public:
  explicit busy_group(options const& opts) : g(opts) {
    g.run([this] {
      begun_.open();
      go_on_.wait();
    });
    waiter_ = std::thread([this] { (void)g.wait(); });
    begun_.wait();
  }
  busy_group(busy_group const&) = delete;
  busy_group& operator=(busy_group const&) = delete;
  ~busy_group() {
    release();
    waiter_.join();
  }

  void release() { go_on_.open(); }

 private:
  gate begun_{"the first task to begin"};
  gate go_on_{"the test to release the first task"};

 public:
  group g;

 private:
  std::thread waiter_;
};

/// A thread that is about to wait most likely sleeps afterwards. A test holds if it does not.
void let_others_sleep() {
  for (int i = 0; i != 1000; ++i) {
    std::this_thread::yield();
  }
}

options const full_queue{.limit = 1, .queue = 0};
options const full_slots{.limit = 1};

class GroupGiveUp : public support::no_leaks {};

// --- try_run_for, try_run_until ---

TEST_F(GroupGiveUp, L1_the_answer_says_whether_it_is_full_or_cancelled) {
  for (options const& opts : {full_queue, full_slots}) {
    busy_group busy(opts);
    bool ran = false;
    auto mine = [&ran, alive = std::make_unique<int>(7)] { ran = true; };
    EXPECT_EQ(busy.g.try_run_for(seconds(0), std::move(mine)), admission::full);
    EXPECT_EQ(busy.g.try_run_for(seconds(-1), std::move(mine)), admission::full);
    EXPECT_EQ(busy.g.try_run_until(clock::now(), std::move(mine)), admission::full);
    EXPECT_EQ(busy.g.try_run_until(std::chrono::system_clock::now(), std::move(mine)),
              admission::full);
    busy.g.cancel();
    EXPECT_EQ(busy.g.try_run_for(hours(1), std::move(mine)), admission::canceled);
    EXPECT_EQ(busy.g.try_run_for(hours(1), "name", std::move(mine)), admission::canceled);
    busy.release();
    error const e = busy.g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 0U) << "a refused task was counted";
    EXPECT_FALSE(ran);
  }
}

TEST_F(GroupGiveUp, L1_it_is_full_when_the_time_is_over) {
  watchdog const guard("a submitter whose time is over");
  for (options const& opts : {full_queue, full_slots}) {
    test_clock time;
    busy_group busy(opts);
    std::atomic<bool> has_answer{false};
    std::thread submitter([&] {
      EXPECT_EQ(busy.g.try_run_for(hours(1), [] { ADD_FAILURE() << "it was refused"; }),
                admission::full);
      has_answer = true;
    });
    await(
        [&] {
          time.advance(hours(1));
          return has_answer.load();
        },
        "the submitter to give up");
    submitter.join();
    busy.release();
    EXPECT_FALSE(busy.g.wait());
  }
}

TEST_F(GroupGiveUp, L3_it_is_accepted_as_soon_as_there_is_room) {
  watchdog const guard("a submitter that waits for room");
  for (options const& opts : {full_queue, full_slots}) {
    test_clock const time;  // it stands still
    busy_group busy(opts);
    std::atomic<bool> ran{false};
    support::rendezvous met(2);
    std::thread submitter([&] {
      met.arrive_and_wait();
      EXPECT_EQ(busy.g.try_run_for(hours(1), [&] { ran = true; }), admission::accepted);
    });
    met.arrive_and_wait();
    busy.release();
    submitter.join();
    EXPECT_FALSE(busy.g.wait());
    EXPECT_TRUE(ran);
  }
}

TEST_F(GroupGiveUp, C1_a_cancellation_ends_the_wait) {
  watchdog const guard("a submitter whose group is cancelled");
  for (options const& opts : {full_queue, full_slots}) {
    busy_group busy(opts);
    support::rendezvous met(3);
    auto refused = [] { ADD_FAILURE() << "the group was cancelled"; };
    std::thread timed([&] {
      met.arrive_and_wait();
      EXPECT_EQ(busy.g.try_run_until(clock::time_point::max(), refused), admission::canceled);
    });
    std::thread stoppable([&] {
      met.arrive_and_wait();
      std::stop_source const never;
      if (opts.queue != npos) {
        EXPECT_EQ(busy.g.run(never.get_token(), refused), admission::canceled);
      }
    });
    met.arrive_and_wait();
    let_others_sleep();
    busy.g.cancel();
    timed.join();
    stoppable.join();
  }
}

TEST_F(GroupGiveUp, W2_without_workers_the_submitter_runs_the_tasks_itself) {
  watchdog const guard("a submitter without workers");
  no_workers const alone;
  for (options const& opts : {full_queue, full_slots, options{.limit = 2, .queue = 3}}) {
    group g{opts};
    int ran = 0;  // in this thread
    for (int i = 0; i != 100; ++i) {
      ASSERT_EQ(g.try_run_for(hours(1), [&] { ++ran; }), admission::accepted);
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 100);
  }
}

TEST_F(GroupGiveUp, W2_without_workers_run_with_a_token_helps_too) {
  watchdog const guard("a submitter with a token, without workers");
  no_workers const alone;
  group g{full_queue};
  std::stop_source const never;
  int ran = 0;
  for (int i = 0; i != 100; ++i) {
    ASSERT_EQ(g.run(never.get_token(), [&] { ++ran; }), admission::accepted);
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 100);
}

TEST_F(GroupGiveUp, L4_inside_the_group_a_timed_call_answers_at_once) {
  watchdog const guard("a task that tries to submit to its full group");
  test_clock const time;  // it stands still
  for (options const& opts : {full_queue, full_slots}) {
    group g{opts};
    g.run([&] { EXPECT_EQ(g.try_run_for(hours(1), [] { ADD_FAILURE(); }), admission::full); });
    EXPECT_FALSE(g.wait());
  }
  group g{{.limit = 1, .queue = 1}};
  bool ran = false;
  g.run([&] { EXPECT_EQ(g.try_run_for(hours(1), [&] { ran = true; }), admission::accepted); });
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(ran);
}

TEST_F(GroupGiveUp, L1_many_submitters_get_their_places_and_no_more) {
  watchdog const guard("submitters that wait for places");
  for (options const& opts : {options{.limit = 2, .queue = 1}, options{.limit = 2}}) {
    group g{opts};
    task_census census;
    std::atomic<int> ran{0};
    std::stop_source const never;
    auto task = [&] {
      task_census::presence const here(census);
      dawdle();
      ++ran;
    };
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t != 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i != 50; ++i) {
          EXPECT_EQ(t % 2 == 0 ? g.try_run_for(hours(1), task) : g.run(never.get_token(), task),
                    admission::accepted);
        }
        EXPECT_FALSE(g.wait());
      });
    }
    for (auto& t : threads) {
      t.join();
    }
    EXPECT_EQ(ran, 200);
    EXPECT_LE(census.most(), 2);
  }
}

TEST_F(GroupGiveUp, L3_a_slot_is_found_although_the_last_task_of_a_batch_frees_it) {
  watchdog const guard("a submitter beside a batch");
  // Without `queue`, a thread takes a page of tasks at once, and tells of their end when all of
  // them are finished. Without workers, no thread takes a task before the page is full.
  no_workers const alone;
  group g{{.limit = 2}};
  gate first("the first task");
  gate last("the last task");
  gate last_begun("the last task to begin");
  constexpr int many = 40;
  for (int i = 0; i != many; ++i) {
    g.run([&, i] {
      if (i == 0) {
        first.wait();
      } else if (i == many - 1) {
        last_begun.open();
        last.wait();
      }
    });
  }
  support::waiters both(g, 2);
  last_begun.wait();
  std::atomic<bool> is_near{false};
  std::thread submitter([&] {
    is_near = true;
    EXPECT_EQ(g.try_run_for(hours(1), [] {}), admission::accepted);
    last.open();
  });
  await([&] { return is_near.load(); }, "the submitter to come");
  let_others_sleep();
  first.open();
  submitter.join();
  for (error const& e : both.errors()) {
    EXPECT_FALSE(e);
  }
}

TEST_F(GroupGiveUp, E6_a_callable_that_cannot_be_moved_in_takes_no_place) {
  group g{full_queue};
  auto f = support::throws_on_copy([] {});
  std::stop_source const never;
  for (int i = 0; i != 3; ++i) {
    EXPECT_THROW((void)g.try_run_for(seconds(0), f), support::thrown_by_copy);
    EXPECT_THROW((void)g.run(never.get_token(), f), support::thrown_by_copy);
  }
  EXPECT_EQ(g.try_run_for(seconds(0), [] {}), admission::accepted);
  EXPECT_FALSE(g.wait());
  g.run([&] { EXPECT_THROW((void)g.run(never.get_token(), f), support::thrown_by_copy); });
  EXPECT_FALSE(g.wait());
}

TEST_F(GroupGiveUp, L1_a_group_that_is_never_full_accepts_at_once) {
  on_every_way([](group& g) {
    std::stop_source source;
    std::atomic<int> ran{0};
    auto task = [&] { ++ran; };
    EXPECT_EQ(g.run(source.get_token(), task), admission::accepted);
    EXPECT_EQ(g.run(source.get_token(), "name", task), admission::accepted);
    source.request_stop();
    EXPECT_EQ(g.run(source.get_token(), task), admission::stopped);
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 2);
    EXPECT_EQ(g.try_run_for(seconds(1), task), admission::accepted);
    EXPECT_FALSE(g.wait());
    g.cancel();
    EXPECT_EQ(g.run(source.get_token(), task), admission::canceled);
    EXPECT_EQ(g.try_run_for(seconds(1), task), admission::canceled);
    EXPECT_EQ(g.wait().skipped(), 0U);
    EXPECT_EQ(ran, 3);
  });
}

TEST_F(GroupGiveUp, E1_the_name_of_the_task_is_told) {
  group g{full_queue};
  std::stop_source const never;
  auto fails = [] { return error(errc::failed); };
  EXPECT_EQ(g.try_run_for(hours(1), {.name = "a"}, fails), admission::accepted);
  EXPECT_EQ(g.wait().origin().name, "a");
  g.reset();
  EXPECT_EQ(g.try_run_until(clock::now() + hours(1), std::string("b"), fails), admission::accepted);
  EXPECT_EQ(g.wait().origin().name, "b");
  g.reset();
  EXPECT_EQ(g.run(never.get_token(), {.name = "c"}, fails), admission::accepted);
  EXPECT_EQ(g.wait().origin().name, "c");
  g.reset();
  g.run({}, fails);  // options, and no stop token
  EXPECT_EQ(g.wait().origin().name, "");
}

// --- run with a stop token ---

TEST_F(GroupGiveUp, L4_a_stop_ends_the_wait_for_room) {
  watchdog const guard("a submitter that is stopped");
  busy_group busy(full_queue);
  std::stop_source source;
  support::rendezvous met(2);
  bool ran = false;
  auto mine = [&ran, alive = std::make_unique<int>(7)] { ran = true; };
  std::thread submitter([&] {
    met.arrive_and_wait();
    EXPECT_EQ(busy.g.run(source.get_token(), std::move(mine)), admission::stopped);
  });
  met.arrive_and_wait();
  let_others_sleep();
  source.request_stop();
  submitter.join();
  EXPECT_FALSE(busy.g.is_canceling()) << "the token is the submitter's alone";
  busy.release();
  EXPECT_EQ(busy.g.wait().skipped(), 0U);
  EXPECT_FALSE(ran);
  source = std::stop_source();
  EXPECT_EQ(busy.g.run(source.get_token(), std::move(mine)), admission::accepted) << "untouched";
  EXPECT_FALSE(busy.g.wait());
  EXPECT_TRUE(ran);
}

TEST_F(GroupGiveUp, L4_a_submitter_that_helps_looks_at_the_token_between_two_tasks) {
  watchdog const guard("a submitter that helps and is stopped");
  no_workers const alone;
  group g{{.limit = 1, .queue = 2}};
  std::stop_source source;
  int ran = 0;
  // The first task keeps its place in the queue, so there is no room after it.
  g.run([&] {
    ++ran;
    errgroup::extend::keep_room(g);
    source.request_stop();
  });
  g.run([&] {
    ++ran;
    errgroup::extend::give_room(g);
  });
  g.run([&] { ++ran; });
  EXPECT_EQ(g.run(source.get_token(), [] { ADD_FAILURE() << "it was stopped"; }),
            admission::stopped);
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 3);
}

TEST_F(GroupGiveUp, L4_inside_the_group_the_caller_runs_the_waiting_tasks_itself) {
  watchdog const guard("a task that submits to its full group with a token");
  std::stop_source source;
  group g{{.limit = 1, .queue = 1}};
  std::vector<std::string> ran;
  g.run([&] {
    auto submit = [&](std::string const& name) {
      return g.run(source.get_token(), [&ran, name] { ran.push_back(name); });
    };
    EXPECT_EQ(submit("a"), admission::accepted);
    EXPECT_TRUE(ran.empty());
    EXPECT_EQ(submit("b"), admission::accepted);
    EXPECT_EQ(ran, std::vector<std::string>({"a"}));
    source.request_stop();
    EXPECT_EQ(submit("c"), admission::stopped);
  });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, std::vector<std::string>({"a", "b"}));
  group tight{full_queue};
  std::stop_source const never;
  tight.run([&] {
    bool here = false;
    EXPECT_EQ(tight.run(never.get_token(), [&] { here = true; }), admission::accepted);
    EXPECT_TRUE(here) << "no task waits, so the caller runs this task itself";
  });
  EXPECT_FALSE(tight.wait());
}

// --- wait_until with a stop token ---

TEST_F(GroupGiveUp, W1_a_stop_ends_the_wait_and_nothing_else) {
  watchdog const guard("a waiter that is stopped");
  for (options const& opts : {options{}, full_slots}) {
    busy_group busy(opts);
    group& g = busy.g;
    std::stop_source source;
    std::thread stopping([&] { source.request_stop(); });
    EXPECT_FALSE(g.wait_until(clock::time_point::max(), source.get_token()));
    stopping.join();
    EXPECT_FALSE(g.wait_for(hours(1), source.get_token())) << "stopped before the call";
    EXPECT_FALSE(g.is_canceling());
    busy.release();
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(g.wait_for(hours(1), source.get_token())) << "nothing is unfinished";
    std::stop_source const never;
    g.run([] {});
    EXPECT_TRUE(g.wait_until(clock::time_point::max(), never.get_token()));
    EXPECT_TRUE(g.wait_until(clock::time_point::max(), std::stop_token()));
  }
}

TEST_F(GroupGiveUp, W1_the_end_time_ends_a_wait_with_a_token_too) {
  watchdog const guard("a waiter with a token whose time is over");
  test_clock time;
  busy_group busy(full_slots);
  std::stop_source const never;
  std::atomic<bool> has_answer{false};
  std::thread waiter([&] {
    EXPECT_FALSE(busy.g.wait_for(hours(1), never.get_token()));
    has_answer = true;
  });
  await(
      [&] {
        time.advance(hours(1));
        return has_answer.load();
      },
      "the waiter to give up");
  waiter.join();
}

TEST_F(GroupGiveUp, W3_inside_the_group_a_wait_with_a_token_is_false_at_once) {
  on_every_way([](group& g) {
    g.run([&] {
      EXPECT_FALSE(g.wait_until(clock::time_point::max(), std::stop_source().get_token()));
    });
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(GroupGiveUp, W1_the_group_may_be_destroyed_while_a_stop_request_is_in_progress) {
  watchdog const guard("a stop request beside the end of the group");
  for (int i = 0; i != 200; ++i) {
    std::stop_source source;
    support::rendezvous met(2);
    std::thread stopping([&] {
      met.arrive_and_wait();
      source.request_stop();
    });
    {
      auto g = std::make_unique<group>(full_slots);
      g->run([] {});
      met.arrive_and_wait();
      if (!g->wait_until(clock::time_point::max(), source.get_token())) {
        EXPECT_FALSE(g->wait());
      }
    }
    stopping.join();
  }
}

}  // namespace
