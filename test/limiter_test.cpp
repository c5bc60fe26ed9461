// SPDX-License-Identifier: Apache-2.0
#include "support/gate.hpp"
#include "support/held_task.hpp"
#include "support/places.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/all.hpp>
#include <errgroup/group.hpp>
#include <errgroup/limiter.hpp>
#include <errgroup/spawn.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/parallel_for.h>  // parallel_for
#include <tbb/task_arena.h>    // task_arena

#include <algorithm>   // is_sorted
#include <array>       // array
#include <atomic>      // atomic
#include <chrono>      // milliseconds
#include <cstddef>     // size_t
#include <cstdint>     // int64_t
#include <functional>  // function
#include <limits>      // numeric_limits
#include <optional>    // optional
#include <stdexcept>   // invalid_argument, logic_error
#include <string>      // string
#include <thread>      // this_thread, thread
#include <vector>      // vector

namespace {

using errgroup::errc;
using errgroup::group;
using errgroup::limiter;
using support::await;
using support::gate;
using support::held_task;
using support::opens_at_end;
using support::watchdog;
using testing::HasSubstr;
using namespace std::chrono_literals;

/// The weights of the tasks that run, and the greatest sum so far.
class scale {
 public:
  class load {
   public:
    load(scale& on, std::int64_t weight) : on_(on), weight_(weight) {
      std::int64_t const now = on_.now_ += weight;
      std::int64_t most = on_.most_;
      while (most < now && !on_.most_.compare_exchange_weak(most, now)) {
      }
    }
    load(load const&) = delete;
    load& operator=(load const&) = delete;
    ~load() { on_.now_ -= weight_; }

   private:
    scale& on_;
    std::int64_t weight_;
  };

  [[nodiscard]] std::int64_t most() const { return most_; }

 private:
  std::atomic<std::int64_t> now_{0};
  std::atomic<std::int64_t> most_{0};
};

template <class E>
std::string told_by(std::function<void()> const& f) {
  try {
    f();
  } catch (E const& e) {
    return e.what();
  }
  return "nothing";
}

// --- bad input ---

TEST(Limiter, A_capacity_or_a_weight_that_is_none_is_refused_in_words) {
  using wrong = std::invalid_argument;
  EXPECT_THAT(told_by<wrong>([] { limiter const p(0); }), HasSubstr("a capacity of 0"));
  limiter p(4);
  EXPECT_THAT(told_by<wrong>([&] { p.resize(-1); }),
              HasSubstr("resize was given a capacity of -1"));
  group g{{.limiter = &p}};
  auto const run = [](group& of, std::int64_t weight) {
    return told_by<wrong>([&] { of.run({.weight = weight}, [] {}); });
  };
  EXPECT_THAT(run(g, 5), HasSubstr("weight is 5, and the limiter has 4 places"));
  EXPECT_THAT(run(g, 0), HasSubstr("weight is 0: a task takes a place at least"));
  EXPECT_THAT(run(g, -1), HasSubstr("weight is -1"));
  group plain;
  EXPECT_THAT(run(plain, 2), HasSubstr("weight is 2, and the group has no limiter"));
  group limited{{.limit = 4}};
  EXPECT_THAT(run(limited, 2), HasSubstr("give the group options::limiter"));
  EXPECT_THAT(told_by<wrong>([&] { (void)g.try_run({.weight = 5}, [] {}); }), HasSubstr("is 5"));
  EXPECT_THAT(told_by<wrong>([&] { (void)g.run_and_wait({.weight = 5}, [] {}); }),
              HasSubstr("is 5"));
  EXPECT_THAT(told_by<wrong>([&] { g.run_after(1h, {.weight = 5}, [] {}); }), HasSubstr("is 5"));
  EXPECT_THAT(told_by<wrong>([&] { g.run_every(1h, {.weight = 5}, [] {}); }), HasSubstr("is 5"));
  tbb::task_arena arena(1);
  EXPECT_THAT(told_by<wrong>([&] { group const h{{.arena = &arena, .limiter = &p}}; }),
              HasSubstr("both a limiter and an arena"));
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(p.capacity(), 4);
}

TEST(LimiterDeathTest, Destroyed_before_its_group_it_terminates_in_words) {
  EXPECT_DEATH(
      {
        std::optional<limiter> p(1);
        group g{{.limiter = &*p}};
        p.reset();
      },
      "a limiter was destroyed while a group uses it");
}

// --- places ---

TEST(Limiter, L1_the_tasks_of_all_groups_take_no_more_places_than_there_are) {
  watchdog const guard("three groups over one limiter");
  support::with_workers(4, [] {
    for (std::int64_t const capacity : {1, 3}) {
      limiter p(capacity);
      scale places;
      std::atomic<int> ran{0};
      std::vector<std::thread> threads;
      for (int t = 0; t != 3; ++t) {
        threads.emplace_back([&, t] {
          group g{{.limit = t == 0 ? 1 : errgroup::unlimited, .limiter = &p}};
          for (int i = 0; i != 200; ++i) {
            std::int64_t const weight = 1 + (i + t) % capacity;
            g.run({.weight = weight}, [&, weight] {
              scale::load const mine(places, weight);
              std::this_thread::yield();
              ++ran;
            });
          }
          EXPECT_FALSE(g.wait());
        });
      }
      for (auto& t : threads) {
        t.join();
      }
      EXPECT_EQ(ran, 600);
      EXPECT_LE(places.most(), capacity);
      EXPECT_EQ(p.in_use(), 0);
      EXPECT_EQ(p.waiting(), 0);
    }
  });
}

TEST(Limiter, L5_places_are_given_in_the_order_of_the_submissions_over_all_groups) {
  watchdog const guard("tasks of two groups, in order");
  limiter p(1);
  group a{{.limiter = &p}};
  group b{{.limiter = &p}};
  std::vector<int> order;
  gate all_submitted("all tasks to be submitted");
  a.run([&] { all_submitted.wait(); });
  for (int i = 0; i != 20; ++i) {
    (i % 3 == 0 ? a : b).run([&order, i] { order.push_back(i); });
  }
  all_submitted.open();
  EXPECT_FALSE(b.wait());
  EXPECT_FALSE(a.wait());
  EXPECT_EQ(order.size(), 20U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Limiter, L5_a_heavy_task_is_not_overtaken_by_light_ones) {
  watchdog const guard("a heavy task between light ones");
  support::with_workers(2, [] {
    limiter p(2);
    group g{{.limiter = &p}};
    group h{{.limiter = &p}};
    std::atomic<bool> heavy_ran{false};
    std::atomic<bool> overtaken{false};
    held_task first(g);
    h.run({.name = "heavy", .weight = 2}, [&] { heavy_ran = true; });
    for (int i = 0; i != 3; ++i) {
      g.run([&] { overtaken = overtaken || !heavy_ran; });
    }
    EXPECT_EQ(p.in_use(), 1);
    EXPECT_EQ(p.waiting(), 4);
    first.end();
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(h.wait());
    EXPECT_TRUE(heavy_ran);
    EXPECT_FALSE(overtaken);
  });
}

TEST(Limiter, L1_a_heavy_task_takes_its_places_on_each_way) {
  watchdog const guard("a heavy task on each way");
  limiter p(4);
  group g{{.limiter = &p}};
  std::int64_t seen = 0;
  auto const look = [&] { seen = p.in_use(); };
  auto const told = [&](char const* way, auto const& submit) {
    SCOPED_TRACE(way);
    seen = 0;
    submit();
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(seen, 3);
    EXPECT_EQ(p.in_use(), 0);
  };
  std::array<char, 100> const big{};
  told("run", [&] { g.run({.weight = 3}, look); });
  told("run, with a name", [&] { g.run({.name = "x", .weight = 3}, look); });
  told("run, in a box", [&] { g.run({.weight = 3}, [look, big] { (void)big, look(); }); });
  told("try_run", [&] { EXPECT_TRUE(g.try_run({.weight = 3}, look)); });
  told("run_and_wait", [&] { EXPECT_FALSE(g.run_and_wait({.weight = 3}, look)); });
  told("run_at, due", [&] { g.run_after(0s, {.weight = 3}, look); });
  told("run_after", [&] { g.run_after(1ms, {.weight = 3}, look); });
  told("run_every", [&] {
    g.run_every(1ms, {.name = "y", .weight = 3}, [&]() -> errgroup::error {
      look();
      return errgroup::stop_repeating;
    });
  });
}

TEST(Limiter, L1_try_run_takes_places_that_are_free_and_no_others) {
  watchdog const guard("try_run over a limiter");
  limiter p(3);
  group g{{.limiter = &p}};
  group h{{.limiter = &p}};
  gate go_on("the test to go on");
  {
    opens_at_end const opens(go_on);
    int accepted = 0;
    while (g.try_run([&] { go_on.wait(); })) {
      ++accepted;
    }
    EXPECT_EQ(accepted, 3);
    EXPECT_FALSE(h.try_run([] {}));
  }
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(h.try_run({.weight = 2}, [] {}));
  EXPECT_FALSE(h.wait());
  // A callable that cannot be copied gives its reservation back.
  struct throws {
    throws() = default;
    throws(throws const&) { throw std::logic_error("no copy"); }
    void operator()() const {}
  };
  throws const t;
  EXPECT_THROW((void)h.try_run({.weight = 3}, t), std::logic_error);
  EXPECT_TRUE(h.try_run({.weight = 3}, [] {}));
  EXPECT_FALSE(h.wait());
}

TEST(Limiter, L1_the_sum_of_the_weights_may_exceed_every_number) {
  watchdog const guard("tasks that weigh as much as a number can say");
  std::int64_t const most = std::numeric_limits<std::int64_t>::max();
  limiter p(most);
  group g{{.limiter = &p}};
  {
    held_task const first(g, {.weight = most});
    // Summed up in 64 bits, the weights of the next tasks give 0, -2, and so on.
    for (int i = 0; i != 6; ++i) {
      EXPECT_FALSE(g.try_run({.weight = 1}, [] {})) << i;
      g.run({.weight = most}, [] {});
    }
    EXPECT_EQ(p.waiting(), 6);
  }
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(g.try_run({.weight = most}, [] {}));
  EXPECT_FALSE(g.wait());
}

// --- resize, set_limit ---

TEST(Limiter, L3_more_places_start_tasks_at_once) {
  watchdog const guard("a limiter that grows");
  support::with_workers(3, [] {
    limiter p(1);
    group g{{.limiter = &p}};
    gate one_runs("a task to run");
    support::rendezvous all_run(3, "three tasks to run at once");
    for (int i = 0; i != 3; ++i) {
      g.run([&] {
        one_runs.open();
        all_run.arrive_and_wait();
      });
    }
    one_runs.wait();
    p.resize(3);
    await([&] { return g.counts().running == 0 && p.waiting() == 0; }, "the tasks to end");
    EXPECT_FALSE(g.wait());
  });
}

TEST(Limiter, L1_fewer_places_take_effect_as_tasks_end) {
  watchdog const guard("a limiter that shrinks");
  support::with_workers(3, [] {
    limiter p(2);
    group g{{.limiter = &p}};
    support::rendezvous both_run(3, "two tasks and the test to meet");
    gate go_on("the test to go on");
    opens_at_end const opens(go_on);
    for (int i = 0; i != 2; ++i) {
      g.run([&] {
        both_run.arrive_and_wait();
        go_on.wait();
      });
    }
    both_run.arrive_and_wait();
    p.resize(1);
    scale places;
    g.run({.name = "light"}, [&] { scale::load const mine(places, 1); });
    for (int i = 0; i != 20; ++i) {
      g.run([&] {
        scale::load const mine(places, 1);
        std::this_thread::yield();
      });
    }
    EXPECT_EQ(p.in_use(), 2);
    EXPECT_EQ(places.most(), 0);
    go_on.open();
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(places.most(), 1);
  });
}

TEST(Limiter, L1_a_task_that_has_become_too_heavy_runs_alone) {
  watchdog const guard("a task that is too heavy");
  support::with_workers(2, [] {
    limiter p(4);
    group g{{.limiter = &p}};
    std::int64_t seen = 0;
    held_task first(g);
    g.run({.weight = 4}, [&] { seen = p.in_use(); });
    p.resize(2);
    first.end();
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(seen, 4);
  });
}

TEST(GroupSetLimit, A_limit_that_is_none_or_that_was_none_is_refused_in_words) {
  group limited{{.limit = 2}};
  group plain;
  group bounded{{.queue = 3}};
  EXPECT_THAT(told_by<std::invalid_argument>([&] { limited.set_limit(0); }),
              HasSubstr("set_limit was given 0"));
  EXPECT_THAT(told_by<std::invalid_argument>([&] { limited.set_limit(errgroup::unlimited); }),
              HasSubstr("set_limit was given -1"));
  EXPECT_THAT(told_by<std::logic_error>([&] { plain.set_limit(2); }),
              HasSubstr("made without a limit"));
  EXPECT_THAT(told_by<std::logic_error>([&] { bounded.set_limit(2); }),
              HasSubstr("made without a limit"));
}

TEST(GroupSetLimit, L3_a_higher_limit_starts_tasks_at_once) {
  watchdog const guard("a limit that is raised");
  support::with_workers(3, [] {
    limiter p(8);
    for (limiter* const of : {static_cast<limiter*>(nullptr), &p}) {
      group g{{.limit = 1, .limiter = of}};
      gate one_runs("a task to run");
      support::rendezvous all_run(3, "three tasks to run at once");
      for (int i = 0; i != 3; ++i) {
        g.run([&] {
          one_runs.open();
          all_run.arrive_and_wait();
          tbb::parallel_for(0, 10, [](int) {});
        });
      }
      one_runs.wait();
      g.set_limit(3);
      await([&] { return g.counts().running == 0; }, "the tasks to end");
      EXPECT_FALSE(g.wait());
    }
  });
}

TEST(GroupSetLimit, L1_a_lower_limit_takes_effect_as_tasks_end) {
  watchdog const guard("a limit that is lowered");
  support::with_workers(3, [] {
    limiter p(8);
    for (limiter* const of : {static_cast<limiter*>(nullptr), &p}) {
      group g{{.limit = 3, .limiter = of}};
      support::rendezvous all_run(4, "three tasks and the test to meet");
      gate go_on("the test to go on");
      opens_at_end const opens(go_on);
      for (int i = 0; i != 3; ++i) {
        g.run([&] {
          all_run.arrive_and_wait();
          go_on.wait();
        });
      }
      all_run.arrive_and_wait();
      g.set_limit(1);
      scale slots;
      for (int i = 0; i != 50; ++i) {
        g.run([&] {
          scale::load const mine(slots, 1);
          std::this_thread::yield();
        });
      }
      EXPECT_FALSE(g.try_run([] {}));
      go_on.open();
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(slots.most(), 1);
      g.set_limit(2);  // of an idle group
      EXPECT_TRUE(g.try_run([] {}));
      EXPECT_FALSE(g.wait());
    }
  });
}

// --- nesting ---

/// A kind of nested group: made with the same limiter, with another one, with limits of its own.
struct kind {
  char const* name;
  int limit;      // of the nested group
  bool is_same;   // it has the limiter of the outer group
  bool is_other;  // it has another limiter
};

class LimiterNesting : public testing::TestWithParam<kind> {};

TEST_P(LimiterNesting, L4_a_task_that_holds_the_only_place_submits_and_waits) {
  watchdog const guard("nested groups, at capacity 1");
  limiter p(1);
  limiter other(1);
  kind const k = GetParam();
  limiter* const inner = k.is_same ? &p : k.is_other ? &other : nullptr;
  // The outer group has the limiter, or a limit, or both.
  for (errgroup::options const& outer :
       {errgroup::options{.limiter = &p}, errgroup::options{.limit = 1},
        errgroup::options{.limit = 1, .limiter = &p}}) {
    for (std::size_t const queue : {errgroup::npos, std::size_t{0}}) {
      group g(outer);
      std::atomic<int> ran{0};
      for (int i = 0; i != 4; ++i) {
        g.run([&] {
          group h{{.limit = k.limit, .queue = queue, .limiter = inner}};
          for (int j = 0; j != 4; ++j) {
            h.run([&] {
              h.run([&] { ++ran; });  // from inside
              group deeper{{.limiter = inner}};
              deeper.run([&] { ++ran; });
              EXPECT_FALSE(deeper.wait());
              group unlimited;
              unlimited.run([&] { ++ran; });
              EXPECT_FALSE(unlimited.wait());
            });
          }
          EXPECT_FALSE(h.wait());
        });
      }
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(ran, 4 * 4 * 3);
    }
  }
  support::await_free(p);
  support::await_free(other);
}

INSTANTIATE_TEST_SUITE_P(Each, LimiterNesting,
                         testing::Values(kind{"same", errgroup::unlimited, true, false},
                                         kind{"same_limit", 1, true, false},
                                         kind{"other", errgroup::unlimited, false, true},
                                         kind{"other_limit", 1, false, true},
                                         kind{"limit", 1, false, false},
                                         kind{"none", errgroup::unlimited, false, false}),
                         [](auto const& each) { return std::string(each.param.name); });

TEST(Limiter, L4_a_thread_of_a_blocking_group_uses_the_places_of_the_task_above) {
  watchdog const guard("a blocking group between two groups of a limiter");
  limiter p(1);
  group g{{.limiter = &p}};
  std::atomic<int> ran{0};
  g.run([&] {
    gate begun("a thread of the blocking group to take the task");
    group h{{.limit = 1, .blocking = true}};
    h.run([&] {
      begun.open();
      group k{{.queue = 0, .limiter = &p}};
      k.run([&] { ++ran; });
      k.run([&] { ++ran; });  // makes room
      EXPECT_FALSE(k.wait());
      group all{{.limiter = &p}};
      // The place that is missing is held by the task that waits for this task.
      EXPECT_EQ(all.try_run_for(24h, [] {}), errgroup::admission::full);
    });
    begun.wait();
    EXPECT_FALSE(h.wait());
  });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(p.in_use() + p.waiting(), 0);
}

TEST(Limiter, L4_a_nested_task_that_is_heavier_than_its_waiter_runs_on_the_waiter_s_places) {
  watchdog const guard("a heavy nested task");
  limiter p(2);
  group g{{.limiter = &p}};
  bool ran = false;
  g.run([&] {
    group h{{.limiter = &p}};
    h.run({.weight = 2}, [&] { ran = true; });
    EXPECT_FALSE(h.wait());
  });
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(ran);
}

TEST(Limiter, L4_two_tasks_that_hold_all_places_wait_for_nested_groups) {
  watchdog const guard("two tasks that wait, and hold all places");
  support::with_workers(2, [] {
    limiter p(2);
    group g{{.limiter = &p}};
    support::rendezvous both(2, "two tasks to run at once");
    scale places;
    for (int i = 0; i != 2; ++i) {
      g.run([&] {
        both.arrive_and_wait();
        group h{{.limiter = &p}};
        for (int j = 0; j != 50; ++j) {
          h.run([&] { scale::load const mine(places, 1); });
        }
        EXPECT_FALSE(h.wait());
      });
    }
    await([&] { return p.waiting() == 0 && p.in_use() == 0; }, "the tasks to end");
    EXPECT_FALSE(g.wait());
    EXPECT_LE(places.most(), 2);
  });
}

TEST(Limiter, L2_what_tasks_start_inside_uses_no_more_threads_than_there_are_places) {
  watchdog const guard("algorithms in tasks with a limiter");
  support::with_workers(4, [] {
    limiter p(2);
    group g{{.limiter = &p}};
    scale threads;
    for (int i = 0; i != 20; ++i) {
      g.run([&] {
        tbb::parallel_for(0, 200, [&](int) { scale::load const mine(threads, 1); });
        group unlimited;
        for (int j = 0; j != 20; ++j) {
          unlimited.run([&] { scale::load const mine(threads, 1); });
        }
        EXPECT_FALSE(unlimited.wait());
        group limited{{.limit = 8}};
        for (int j = 0; j != 20; ++j) {
          limited.run([&] { scale::load const mine(threads, 1); });
        }
        EXPECT_FALSE(limited.wait());
      });
    }
    EXPECT_FALSE(g.wait());
    EXPECT_LE(threads.most(), 2);
  });
}

// --- waiting ---

TEST(Limiter, W2_a_waiter_runs_tasks_of_other_groups_that_come_first) {
  watchdog const guard("two groups on one thread without workers");
  support::no_workers const alone;
  limiter p(1);
  group a{{.limiter = &p}};
  group b{{.limiter = &p}};
  int ran = 0;
  for (int i = 0; i != 10; ++i) {
    a.run([&] { ++ran; });
    b.run([&] { ++ran; });
  }
  EXPECT_FALSE(b.wait());
  EXPECT_EQ(ran, 20);
  EXPECT_FALSE(a.wait());
}

TEST(Limiter, W1_groups_and_limiters_are_destroyed_right_after_the_wait) {
  watchdog const guard("many short-lived limiters");
  for (int i = 0; i != 300; ++i) {
    limiter p(2);
    group a{{.limiter = &p}};
    {
      group b{{.limiter = &p}};
      b.run([] {});
      a.run([] {});
      EXPECT_FALSE(b.wait());
    }
    EXPECT_FALSE(a.wait());
  }
}

TEST(Limiter, W1_a_busy_group_is_destroyed) {
  watchdog const guard("a busy group with a limiter");
  limiter p(1);
  std::atomic<int> ran{0};
  for (int i = 0; i != 50; ++i) {
    group g{{.limiter = &p}};
    for (int j = 0; j != 10; ++j) {
      g.run([&] { ++ran; });
    }
  }
  EXPECT_EQ(p.in_use(), 0);
  EXPECT_EQ(p.waiting(), 0);
}

TEST(Limiter, W3_waiting_for_the_group_in_its_own_task_would_deadlock) {
  limiter p(1);
  group g{{.limiter = &p}};
  errgroup::error told;
  g.run([&] { told = g.wait(); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(told, errc::would_deadlock);
}

// --- errors and cancellation ---

TEST(Limiter, C1_a_cancelled_group_gives_its_turns_back) {
  watchdog const guard("a cancelled group in the line");
  limiter p(1);
  group holds{{.limiter = &p}};
  group stopped{{.limiter = &p}};
  support::with_workers(1, [&] {
    held_task const first(holds);
    for (int i = 0; i != 10; ++i) {
      stopped.run([] { ADD_FAILURE() << "a task was run that is cancelled"; });
    }
    EXPECT_EQ(p.waiting(), 10);
    stopped.cancel();
    EXPECT_EQ(p.waiting(), 0);
    auto const e = stopped.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 10U);
  });
  EXPECT_FALSE(holds.wait());
}

TEST(Limiter, E1_a_failure_cancels_its_own_group_and_no_other) {
  limiter p(1);
  group bad{{.limiter = &p}};
  group good{{.limiter = &p}};
  int ran = 0;
  gate go_on("the test to go on");
  good.run([&] { go_on.wait(); });
  bad.run({.name = "bad"}, [] { throw std::logic_error("no"); });
  bad.run([] { ADD_FAILURE() << "a task was run after the failure"; });
  good.run([&] { ++ran; });
  go_on.open();
  auto const e = bad.wait();
  EXPECT_THAT(e.message(), HasSubstr("bad: no"));
  EXPECT_EQ(e.skipped(), 1U);
  EXPECT_FALSE(good.wait());
  EXPECT_EQ(ran, 1);
}

TEST(Limiter, L4_a_task_submits_to_its_own_full_group) {
  watchdog const guard("a bounded queue over a limiter");
  limiter p(1);
  group g{{.queue = 0, .limiter = &p}};
  std::atomic<int> ran{0};
  std::function<void(int)> const tree = [&](int depth) {
    ++ran;
    for (int i = 0; depth != 0 && i != 2; ++i) {
      g.run([&tree, depth] { tree(depth - 1); });
    }
  };
  g.run([&] { tree(6); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 127);
  EXPECT_EQ(p.waiting(), 0);
}

TEST(Limiter, P3_functions_take_the_option_and_keep_the_places) {
  limiter p(2);
  auto const both = errgroup::all({.limiter = &p}, [] { return 1; }, [] { return 2; });
  ASSERT_TRUE(both);
  group g{{.limiter = &p}};
  auto handle = errgroup::spawn(g, [] { return 3; });
  EXPECT_EQ(handle.get().value(), 3);
  EXPECT_FALSE(g.wait());
}

}  // namespace
