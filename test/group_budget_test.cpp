// SPDX-License-Identifier: Apache-2.0

// A budget of failures (options::max_failures), the function that hears of each failure
// (group::on_failure), and the order of failures (error::by_index).

#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/all.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/for_each.hpp>
#include <errgroup/group.hpp>
#include <errgroup/pipeline.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <functional>    // function
#include <mutex>         // mutex, scoped_lock
#include <optional>      // optional
#include <stdexcept>     // invalid_argument, runtime_error
#include <string>        // string, to_string
#include <system_error>  // errc, error_code, make_error_code
#include <thread>        // get_id, thread
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::failure_callback;
using errgroup::group;
using errgroup::keep;
using errgroup::make_error;
using errgroup::npos;
using errgroup::on_error;
using errgroup::options;
using support::gate;
using support::on_every_way;
using support::rendezvous;
using support::watchdog;
using testing::ElementsAre;
using testing::HasSubstr;

error numbered(int i) { return make_error("failure " + std::to_string(i)); }

std::vector<std::string> texts(std::vector<error> const& errors) {
  std::vector<std::string> all;
  all.reserve(errors.size());
  for (error const& e : errors) {
    all.emplace_back(e.what());
  }
  return all;
}

std::string told_for(options const& opts) {
  try {
    group const g{opts};
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "nothing";
}

// --- max_failures ---

TEST(GroupBudget, A_budget_that_is_none_is_refused_in_words) {
  EXPECT_THAT(told_for({.policy = on_error::keep_going, .max_failures = 0}),
              HasSubstr("errgroup::options::max_failures is 0: "));
  EXPECT_THAT(told_for({.max_failures = 0}), HasSubstr("errgroup::options::max_failures is 0: "));
  EXPECT_THAT(told_for({.max_failures = 3}),
              HasSubstr("errgroup::options::max_failures is 3, but on_error::cancel cancels the "
                        "group at the first failure: set .policy = "));
  EXPECT_EQ(told_for({.max_failures = npos}), "nothing");
  EXPECT_EQ(told_for({.policy = on_error::keep_going, .max_failures = 1}), "nothing");
}

TEST(GroupBudget, E5_the_group_is_cancelled_at_the_kth_failure_and_not_before) {
  watchdog const guard("a group with a budget of three failures");
  group g{{.limit = 1, .policy = on_error::keep_going, .errors = keep::all, .max_failures = 3}};
  std::vector<bool> stopped(5);
  std::vector<bool> ran(5);
  for (std::size_t i = 0; i != 5; ++i) {
    g.run([&, i]() -> error {
      ran[i] = true;
      stopped[i] = g.is_canceling();
      return i == 1 ? error() : numbered(static_cast<int>(i));
    });
  }
  error const e = g.wait();
  EXPECT_STREQ(e.what().c_str(), "failure 0");
  EXPECT_THAT(texts({e.others().begin(), e.others().end()}), ElementsAre("failure 2", "failure 3"));
  EXPECT_EQ(e.skipped(), 1U);
  EXPECT_THAT(ran, ElementsAre(true, true, true, true, false));
  EXPECT_THAT(stopped, ElementsAre(false, false, false, false, false));
  EXPECT_TRUE(g.is_canceling());
  EXPECT_EQ(g.cause().what(), "failure 3");
}

TEST(GroupBudget, E5_on_every_way_the_kth_failure_cancels) {
  on_every_way(
      [](group& g) {
        for (int i = 0; i != 100; ++i) {
          g.run([i] { return numbered(i); });
        }
        error const e = g.wait();
        EXPECT_TRUE(g.is_canceling());
        EXPECT_GE(e.all().size() + e.dropped(), 4U);
        EXPECT_EQ(e.all().size() + e.dropped() + e.skipped(), 100U);
      },
      {.policy = on_error::keep_going, .errors = keep::all, .max_failures = 4});
}

TEST(GroupBudget, E5_fewer_failures_than_the_budget_cancel_nothing) {
  on_every_way(
      [](group& g) {
        std::atomic<int> ran{0};
        for (int i = 0; i != 40; ++i) {
          g.run([&ran, i] {
            ++ran;
            return i < 3 ? numbered(i) : error();
          });
        }
        error const e = g.wait();
        EXPECT_EQ(ran, 40);
        EXPECT_FALSE(g.is_canceling());
        EXPECT_EQ(e.all().size(), 3U);
      },
      {.policy = on_error::keep_going, .errors = keep::all, .max_failures = 4});
}

TEST(GroupBudget, E1_with_keep_first_the_first_failure_is_the_error_and_the_kth_is_the_cause) {
  group g{{.limit = 1, .policy = on_error::keep_going, .max_failures = 2}};
  for (int i = 0; i != 4; ++i) {
    g.run([i] { return numbered(i); });
  }
  error const e = g.wait();
  EXPECT_EQ(e.what(), "failure 0");
  EXPECT_TRUE(e.others().empty());
  EXPECT_EQ(e.skipped(), 2U);
  EXPECT_EQ(g.cause().what(), "failure 1");
}

TEST(GroupBudget, E1_a_task_that_fails_since_it_sees_the_cancellation_comes_after_its_cause) {
  watchdog const guard("a task that waits for the cancellation of its group");
  group g{{.limit = 2, .policy = on_error::keep_going, .errors = keep::all, .max_failures = 1}};
  gate seen("the cancellation");
  gate begun("the first task to begin");
  auto const wakes = g.on_cancel([&] { seen.open(); });
  g.run([&]() -> error {
    begun.open();
    seen.wait();
    return numbered(1);
  });
  std::thread waiter([&] { (void)g.wait(); });
  begun.wait();
  g.run([] { return numbered(0); });
  error const e = g.wait();
  waiter.join();
  EXPECT_EQ(e.what(), "failure 0");
  EXPECT_THAT(texts({e.others().begin(), e.others().end()}), ElementsAre("failure 1"));
}

TEST(GroupBudget, E4_reset_gives_the_whole_budget_again) {
  group g{{.limit = 1, .policy = on_error::keep_going, .max_failures = 2}};
  for (int round = 0; round != 2; ++round) {
    g.run([] { return numbered(0); });
    EXPECT_TRUE(g.wait());
    EXPECT_FALSE(g.is_canceling());
    g.run([] { return numbered(1); });
    EXPECT_TRUE(g.wait());
    EXPECT_TRUE(g.is_canceling());
    g.reset();
  }
}

TEST(GroupBudget, E5_for_each_ends_at_the_kth_failure) {
  std::vector<int> const numbers(10'000, 1);
  std::atomic<std::size_t> calls{0};
  options const opts{.limit = 1,
                     .policy = on_error::keep_going,
                     .errors = keep::all,
                     .max_errors = 20'000,
                     .max_failures = 3};
  error const e = errgroup::for_each(opts, numbers, [&](int) {
    ++calls;
    return numbered(0);
  });
  EXPECT_EQ(e.all().size(), 3U);
  EXPECT_EQ(calls, 3U);
  EXPECT_EQ(e.skipped(), 9'997U);
}

TEST(GroupBudget, E5_a_pipeline_ends_at_the_kth_failure) {
  options const opts{.limit = 1,
                     .policy = on_error::keep_going,
                     .errors = keep::all,
                     .max_errors = 20'000,
                     .max_failures = 3};
  std::size_t items = 0;
  error const e =
      errgroup::pipeline(opts, errgroup::stage::source([&]() -> std::optional<int> {
                           return items != 10'000 ? std::optional(int(items++)) : std::nullopt;
                         }),
                         errgroup::stage::serial([](int i) { return numbered(i); }));
  EXPECT_EQ(e.all().size(), 3U);
  EXPECT_LT(items, 10'000U);
}

TEST(GroupBudget, E5_all_ends_at_the_kth_failure) {
  std::vector<std::function<error()>> calls;
  for (int i = 0; i != 5; ++i) {
    calls.emplace_back([i] { return numbered(i); });
  }
  options const opts{
      .limit = 1, .policy = on_error::keep_going, .errors = keep::all, .max_failures = 2};
  auto const r = errgroup::all(opts, calls);
  ASSERT_FALSE(r.has_value());
  EXPECT_EQ(r.error().all().size(), 2U);
  EXPECT_THROW((void)errgroup::all({.max_failures = 2}, calls), std::invalid_argument);
}

// --- on_failure ---

/// What a function of `on_failure` was told, from any thread.
class log {
 public:
  void add(std::string text) {
    std::scoped_lock const guard(mutex_);
    all_.push_back(std::move(text));
  }
  std::vector<std::string> all() {
    std::scoped_lock const guard(mutex_);
    return all_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> all_;
};

TEST(GroupOnFailure, E5_each_failure_is_told_when_it_happens_also_after_the_first) {
  for (keep const errors : {keep::first, keep::all}) {
    group g{{.limit = 1, .policy = on_error::keep_going, .errors = errors}};
    log told;
    auto const hears = g.on_failure([&](error const& e) { told.add(e.what()); });
    std::vector<std::size_t> told_before;
    for (int i = 0; i != 4; ++i) {
      g.run([&, i] {
        told_before.push_back(told.all().size());
        return i == 1 ? error() : numbered(i);
      });
    }
    EXPECT_TRUE(g.wait());
    EXPECT_THAT(told.all(), ElementsAre("failure 0", "failure 2", "failure 3"));
    EXPECT_THAT(told_before, ElementsAre(0, 1, 1, 2));
  }
}

TEST(GroupOnFailure, E1_on_every_way_it_runs_in_the_task_with_the_errors_origin) {
  on_every_way([](group& g) {
    std::atomic<int> told{0};
    std::thread::id in_task;
    auto const hears = g.on_failure([&](error const& e) {
      ++told;
      EXPECT_EQ(std::this_thread::get_id(), in_task);
      EXPECT_EQ(e.origin().name, "row 7");
      EXPECT_EQ(g.wait(), errc::would_deadlock);
      EXPECT_EQ(g.first_error(), e);
      EXPECT_TRUE(g.is_canceling());
    });
    g.run("row 7", [&]() -> std::error_code {
      in_task = std::this_thread::get_id();
      return std::make_error_code(std::errc::io_error);
    });
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(told, 1);
  });
}

TEST(GroupOnFailure, E1_echoes_and_cancellations_are_not_told) {
  group g{{.limit = 2}};
  log told;
  auto const hears = g.on_failure([&](error const& e) { told.add(e.what()); });
  g.run([&] {
    g.cancel();
    return error(errc::canceled);
  });
  EXPECT_EQ(g.wait(), errc::canceled);
  EXPECT_THAT(told.all(), ElementsAre());
  g.reset();
  g.run([&] {
    g.cancel();
    return numbered(1);  // no echo
  });
  EXPECT_EQ(g.wait(), errc::canceled);
  EXPECT_THAT(told.all(), ElementsAre("failure 1"));
}

TEST(GroupOnFailure, E5_it_ends_with_its_registration_and_others_go_on) {
  group g{{.limit = 1, .policy = on_error::keep_going}};
  log told;
  auto const a = g.on_failure([&](error const&) { told.add("a"); });
  std::optional<failure_callback<std::function<void(error const&)>>> b;
  {
    std::function<void(error const&)> f = [&](error const&) { told.add("b"); };
    auto const b_here = g.on_failure(f);
    auto const c = g.on_failure([&](error const&) { told.add("c"); });
    g.run([] { return numbered(0); });
    EXPECT_TRUE(g.wait());
    EXPECT_THAT(told.all(), ElementsAre("a", "b", "c"));
  }
  g.run([] { return numbered(1); });
  EXPECT_TRUE(g.wait());
  EXPECT_THAT(told.all(), ElementsAre("a", "b", "c", "a"));
}

TEST(GroupOnFailure, W1_the_end_of_the_registration_waits_for_a_call_in_another_thread) {
  watchdog const guard("the end of a registration beside a call");
  group g{{.limit = 2, .policy = on_error::keep_going}};
  gate called("a call of the function");
  gate go_on("the registration to be about to end");
  std::atomic<bool> has_returned{false};
  std::thread failing;
  {
    auto const hears = g.on_failure([&](error const&) {
      called.open();
      go_on.wait();
      has_returned = true;
    });
    failing = std::thread([&] { EXPECT_TRUE(g.run_and_wait([] { return numbered(0); })); });
    called.wait();
    go_on.open();
  }
  EXPECT_TRUE(has_returned);
  failing.join();
}

TEST(GroupOnFailure, W1_it_may_end_inside_its_own_call) {
  watchdog const guard("a registration that ends in its own call");
  group g{{.limit = 1, .policy = on_error::keep_going}};
  int calls = 0;
  std::function<void(error const&)> end;
  std::function<void(error const&)> const f = [&](error const& e) { end(e); };
  using registration = failure_callback<std::function<void(error const&)>>;
  struct holder {
    explicit holder(group& of, std::function<void(error const&)> const& call)
        : is(of.on_failure(call)) {}
    registration is;
  };
  std::optional<holder> one;
  end = [&](error const&) {
    ++calls;
    one.reset();
  };
  one.emplace(g, f);
  g.run([] { return numbered(0); });
  g.run([] { return numbered(1); });
  EXPECT_TRUE(g.wait());
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(one);
}

TEST(GroupOnFailure, W1_it_may_outlive_its_group_and_does_not_hear_the_next_group_there) {
  log told;
  std::optional<group> g;
  struct holder {
    holder(group& of, log& to)
        : is(of.on_failure(
              std::function<void(error const&)>([&to](error const&) { to.add("told"); }))) {}
    failure_callback<std::function<void(error const&)>> is;
  };
  g.emplace(options{.limit = 1});
  holder const one(*g, told);
  g.emplace(options{.limit = 1});
  auto const other = g->on_failure([&](error const&) { told.add("other"); });
  EXPECT_TRUE(g->run_and_wait([] { return numbered(0); }));
  EXPECT_THAT(told.all(), ElementsAre("other"));
}

TEST(GroupOnFailure, L4_it_may_submit_and_cancel_and_fail_again) {
  watchdog const guard("a function that submits tasks to a full group");
  group g{{.limit = 1, .queue = 0, .policy = on_error::keep_going, .errors = keep::all}};
  log told;
  auto const hears = g.on_failure([&](error const& e) {
    told.add(e.what());
    if (e.what() == "failure 0") {
      g.run([] { return numbered(1); });  // runs here: the task's slot is the only one
      g.cancel(make_error(std::string("enough")));
    }
  });
  g.run([] { return numbered(0); });
  error const e = g.wait();
  EXPECT_THAT(told.all(), ElementsAre("failure 0", "failure 1"));
  EXPECT_EQ(g.cause().what(), "enough");
  EXPECT_EQ(e.what(), "failure 0");
}

TEST(GroupOnFailure, E5_tasks_that_fail_at_once_are_all_told) {
  watchdog const guard("tasks that fail at the same time");
  group g{{.policy = on_error::keep_going}};
  std::atomic<int> a{0};
  std::atomic<int> b{0};
  auto const hears_a = g.on_failure([&](error const&) { ++a; });
  auto const hears_b = g.on_failure([&](error const&) { ++b; });
  std::vector<std::thread> threads;
  threads.reserve(4);
  rendezvous all(4);
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&] {
      all.arrive_and_wait();
      for (int i = 0; i != 50; ++i) {
        g.run([i] { return numbered(i); });
        auto const short_lived = g.on_failure([](error const&) {});
      }
      EXPECT_TRUE(g.wait());
    });
  }
  for (auto& t : threads) {
    t.join();
  }
  EXPECT_EQ(a, 200);
  EXPECT_EQ(b, 200);
}

TEST(GroupOnFailureDeathTest, E2_an_exception_that_leaves_it_terminates) {
  EXPECT_DEATH(
      {
        group g;
        auto const hears = g.on_failure([](error const&) { throw std::runtime_error("no"); });
        (void)g.run_and_wait([] { return numbered(0); });
      },
      "");
}

// --- by_index ---

TEST(ErrorByIndex, E5_failures_are_in_the_order_of_their_tasks) {
  auto at = [](std::size_t index, std::string text) {
    group const of;
    return errgroup::extend::describe(of, make_error(std::move(text)), index, {});
  };
  error const e = errgroup::combine(std::vector<error>{
      at(2, "two"), at(0, "zero"), make_error("none"), at(1, "one"), at(0, "zero again")});
  EXPECT_THAT(texts(e.by_index()), ElementsAre("zero", "zero again", "one", "two", "none"));
  EXPECT_EQ(e.what(), "two");
}

TEST(ErrorByIndex, E5_one_failure_and_none) {
  EXPECT_TRUE(error().by_index().empty());
  EXPECT_THAT(texts(numbered(3).by_index()), ElementsAre("failure 3"));
}

TEST(ErrorByIndex, E5_on_every_way_of_a_group) {
  group g{{.limit = 1, .policy = on_error::keep_going, .errors = keep::all}};
  g.run([&] {
    g.run([] { return numbered(1); });
    g.run([] { return numbered(2); });
    return error();
  });
  EXPECT_EQ(g.wait().by_index().size(), 2U);
  for (int i = 0; i != 20; ++i) {
    g.run([i] { return i % 2 == 0 ? numbered(i) : error(); });
  }
  std::vector<error> const sorted = g.wait().by_index();
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    EXPECT_LE(sorted[i - 1].origin().index, sorted[i].origin().index);
  }
  EXPECT_EQ(sorted.size(), 12U);
}

}  // namespace
