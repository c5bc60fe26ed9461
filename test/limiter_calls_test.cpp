// SPDX-License-Identifier: Apache-2.0

// Groups with a limiter, with the rest of the library: calls that give up, budgets, listeners,
// functions for results, pipelines and streams.

#include "support/gate.hpp"
#include "support/held_task.hpp"
#include "support/places.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/all.hpp>
#include <errgroup/dump.hpp>
#include <errgroup/for_each.hpp>
#include <errgroup/group.hpp>
#include <errgroup/limiter.hpp>
#include <errgroup/observer.hpp>
#include <errgroup/pipeline.hpp>
#include <errgroup/reduce.hpp>
#include <errgroup/spawn.hpp>
#include <errgroup/stream.hpp>
#include <errgroup/task_options.hpp>
#include <errgroup/testing.hpp>
#include <errgroup/transform.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>   // is_sorted
#include <atomic>      // atomic
#include <chrono>      // hours, milliseconds, seconds
#include <cstddef>     // size_t
#include <cstdint>     // int64_t
#include <functional>  // function, plus
#include <optional>    // nullopt, optional
#include <sstream>     // ostringstream
#include <stdexcept>   // invalid_argument, logic_error
#include <stop_token>  // stop_source
#include <string>      // string
#include <thread>      // thread
#include <vector>      // vector

namespace {

using errgroup::admission;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::limiter;
using errgroup::on_error;
using errgroup::testing::test_clock;
using support::await;
using support::gate;
using support::held_task;
using support::opens_at_end;
using support::watchdog;
using namespace std::chrono_literals;

/// A group in whose task a thread holds places until `release` is called.
class holder {
 public:
  holder(limiter& of, std::int64_t weight) : g({.limiter = &of}) {
    g.run({.weight = weight}, [this] {
      begun_.open();
      go_on_.wait();
    });
    waiter_ = std::thread([this] { (void)g.wait(); });
    begun_.wait();
  }
  holder(holder const&) = delete;
  holder& operator=(holder const&) = delete;
  ~holder() { release(); }

  /// Returns when the places are free.
  void release() {
    go_on_.open();
    if (waiter_.joinable()) {
      waiter_.join();
    }
  }

 private:
  gate begun_{"the task that holds places to begin"};
  gate go_on_{"the test to release the places"};

 public:
  group g;

 private:
  std::thread waiter_;
};

/// A thread that submits a task of a weight, and waits up to an hour.
class submitter {
 public:
  submitter(group& g, std::int64_t weight)
      : thread_([this, &g, weight] {
          answer_ = g.try_run_for(1h, {.weight = weight}, [this] { ran_ = true; });
          has_answer_ = true;
        }) {}
  submitter(submitter const&) = delete;
  submitter& operator=(submitter const&) = delete;
  ~submitter() {
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  admission answer() {
    thread_.join();
    return answer_;
  }
  [[nodiscard]] bool has_answer() const { return has_answer_; }
  [[nodiscard]] bool ran() const { return ran_; }

 private:
  admission answer_{};
  std::atomic<bool> has_answer_{false};
  std::atomic<bool> ran_{false};
  std::thread thread_;  // the last member: it uses the others
};

/// Returns when a thread waits for places of `of`, of which `weight` are free: from then on
/// `try_run` is refused.
void await_submitter(limiter& of, std::int64_t weight) {
  group g{{.limiter = &of}};
  await(
      [&] {
        bool const is_refused = !g.try_run({.weight = weight}, [] {});
        EXPECT_FALSE(g.wait());
        return is_refused;
      },
      "a thread to wait for places");
}

// --- try_run_for ---

TEST(LimiterGiveUp, L1_it_is_full_while_there_are_too_few_places) {
  watchdog const guard("timed calls at a full limiter");
  limiter p(3);
  holder busy(p, 2);
  group g{{.limiter = &p}};
  group h{{.limit = 5, .limiter = &p}};
  for (group* const of : {&g, &h}) {
    EXPECT_EQ(of->try_run_for(0s, {.weight = 2}, [] {}), admission::full);
    EXPECT_EQ(of->try_run_for(0s, {.weight = 1}, [] {}), admission::accepted);
    EXPECT_FALSE(of->wait());
  }
  EXPECT_THROW((void)g.try_run_for(1h, {.weight = 4}, [] {}), std::invalid_argument);
  busy.release();
  EXPECT_EQ(g.try_run_for(0s, {.weight = 3}, [] {}), admission::accepted);
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(p.in_use(), 0);
  EXPECT_EQ(p.waiting(), 0);
}

TEST(LimiterGiveUp, L1_the_end_time_ends_the_wait_for_places) {
  watchdog const guard("a submitter whose time is over");
  test_clock time;
  limiter p(1);
  holder const busy(p, 1);
  group g{{.limiter = &p}};
  submitter one(g, 1);
  await(
      [&] {
        time.advance(1h);
        return one.has_answer();
      },
      "the submitter to give up");
  EXPECT_EQ(one.answer(), admission::full);
  EXPECT_FALSE(g.wait());
  EXPECT_FALSE(one.ran());
}

TEST(LimiterGiveUp, L3_it_is_accepted_when_the_places_become_free) {
  watchdog const guard("a submitter that waits for places");
  struct release {
    char const* name;
    std::function<void(limiter&, holder&)> now;
  };
  std::vector<release> const all{
      {"the task ends", [](limiter&, holder& busy) { busy.release(); }},
      {"more places", [](limiter& p, holder&) { p.resize(4); }},
  };
  for (release const& r : all) {
    for (int const own : {1, errgroup::unlimited}) {
      SCOPED_TRACE(r.name);
      limiter p(3);
      holder busy(p, 2);
      group g{{.limit = own, .limiter = &p}};
      submitter one(g, 2);
      await_submitter(p, 1);
      EXPECT_FALSE(one.has_answer());
      r.now(p, busy);
      EXPECT_EQ(one.answer(), admission::accepted);
      EXPECT_FALSE(g.wait());
      EXPECT_TRUE(one.ran());
    }
  }
}

TEST(LimiterGiveUp, L3_it_is_accepted_beside_a_task_that_goes_on) {
  watchdog const guard("a submitter beside a task that goes on in the same thread");
  support::with_workers(1, [] {
    for (bool const is_same_group : {false, true}) {
      SCOPED_TRACE(is_same_group);
      limiter p(3);
      group a{{.limiter = &p}};
      group b{{.limiter = &p}};
      gate end("the light task to end");
      opens_at_end const opens(end);
      held_task heavy(a, {.weight = 3});
      (is_same_group ? a : b).run([&] { end.wait(); });
      group g{{.limiter = &p}};
      submitter one(g, 2);
      for (int i = 0; i != 1000; ++i) {
        std::this_thread::yield();
      }
      EXPECT_FALSE(one.has_answer());
      heavy.end();
      EXPECT_EQ(one.answer(), admission::accepted);
      end.open();
      EXPECT_FALSE(a.wait());
      EXPECT_FALSE(b.wait());
      EXPECT_FALSE(g.wait());
    }
  });
}

TEST(LimiterGiveUp, L3_it_is_accepted_when_the_tasks_before_it_are_cancelled) {
  watchdog const guard("a submitter behind tasks that are cancelled");
  limiter p(3);
  holder const busy(p, 1);
  group g{{.limiter = &p}};
  group heavy{{.limiter = &p}};
  heavy.run({.weight = 3}, [] {});
  submitter one(g, 1);
  EXPECT_FALSE(one.has_answer());
  heavy.cancel();
  EXPECT_EQ(one.answer(), admission::accepted);
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(heavy.wait(), errc::canceled);
}

TEST(LimiterGiveUp, L3_the_request_of_a_nested_group_that_has_ended_needs_no_place) {
  watchdog const guard("a submitter behind the request of a group that has ended");
  support::with_workers(1, [] {
    limiter p(1);
    group a{{.limiter = &p}};
    gate ended("a nested group to end");
    gate go_on("the test to go on");
    opens_at_end const opens(go_on);
    a.run([&] {
      {
        group nested{{.limit = 2}};
        nested.run([] {});  // asks for a place for another thread
        EXPECT_FALSE(nested.wait());
      }
      ended.open();
      go_on.wait();
    });
    ended.wait();
    group g{{.limiter = &p}};
    submitter one(g, 1);
    for (int i = 0; i != 1000; ++i) {
      std::this_thread::yield();
    }
    EXPECT_FALSE(one.has_answer());
    go_on.open();
    EXPECT_EQ(one.answer(), admission::accepted);
    EXPECT_FALSE(a.wait());
    EXPECT_FALSE(g.wait());
  });
}

TEST(LimiterGiveUp, L3_it_is_accepted_beside_a_task_that_the_thread_of_a_request_goes_on_with) {
  watchdog const guard("a submitter beside a task that the thread of a request goes on with");
  support::with_workers(2, [] {
    limiter p(3);
    group a{{.limiter = &p}};
    group b{{.limiter = &p}};
    group g{{.limiter = &p}};
    gate nested_begun("the nested task to begin");
    gate go_on("the nested task to end");
    gate end("the other tasks to end");
    std::atomic<std::thread::id> submits{};
    opens_at_end const opens(end);
    opens_at_end const opens_too(go_on);
    // A worker runs this task, and the other worker the nested task, with a place of its own.
    a.run([&] {
      group nested{{.limit = 2}};
      nested.run([&] {
        nested_begun.open();
        go_on.wait();
      });
      end.wait();
      EXPECT_FALSE(nested.wait());
    });
    nested_begun.wait();
    // No thread comes for this task, although a place is free, before the nested task ends. (The
    // submitter may take the task after a while.)
    b.run([&] {
      if (std::this_thread::get_id() != submits.load()) {
        end.wait();
      }
    });
    std::thread submitter_of_g([&] {
      submits = std::this_thread::get_id();
      EXPECT_EQ(g.try_run_for(1h, [] {}), admission::accepted);
    });
    for (int i = 0; i != 1000; ++i) {
      std::this_thread::yield();
    }
    go_on.open();
    submitter_of_g.join();
    end.open();
    EXPECT_FALSE(a.wait());
    EXPECT_FALSE(b.wait());
    EXPECT_FALSE(g.wait());
  });
}

/// A callable whose copy waits for the test, and then throws.
struct throws_late {
  throws_late(gate& copied, gate& go) : begun(&copied), go_on(&go) {}
  throws_late(throws_late const& from) {
    from.begun->open();
    from.go_on->wait();
    throw std::logic_error("no copy");
  }
  throws_late& operator=(throws_late const&) = delete;
  ~throws_late() = default;
  void operator()() const {}

  gate* begun = nullptr;
  gate* go_on = nullptr;
};

TEST(LimiterGiveUp, L3_it_is_accepted_when_a_reserved_place_is_given_up) {
  watchdog const guard("a submitter behind a call that throws");
  limiter p(1);
  group g{{.limiter = &p}};
  group h{{.limiter = &p}};
  gate copied("a callable to be copied");
  gate go_on("the test to go on");
  throws_late const task(copied, go_on);
  std::thread other([&] { EXPECT_THROW((void)g.try_run(task), std::logic_error); });
  copied.wait();
  submitter one(h, 1);
  for (int i = 0; i != 1000; ++i) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(one.has_answer());
  go_on.open();
  other.join();
  EXPECT_EQ(one.answer(), admission::accepted);
  EXPECT_FALSE(g.wait());
  EXPECT_FALSE(h.wait());
}

TEST(LimiterGiveUp, L5_threads_that_wait_get_places_in_their_order) {
  watchdog const guard("a heavy submitter before a light one");
  limiter p(3);
  holder busy(p, 2);
  group g{{.limiter = &p}};
  group h{{.limiter = &p}};
  submitter heavy(g, 2);
  await_submitter(p, 1);
  EXPECT_FALSE(h.try_run([] {})) << "it has overtaken a thread that waits";
  EXPECT_EQ(h.try_run_for(0s, [] {}), admission::full);
  EXPECT_FALSE(heavy.has_answer());
  busy.release();
  EXPECT_EQ(heavy.answer(), admission::accepted);
  EXPECT_FALSE(g.wait());
  EXPECT_FALSE(h.wait());
}

TEST(LimiterGiveUp, L3_a_thread_that_gives_up_lets_the_next_one_go_on) {
  watchdog const guard("a light submitter behind a heavy one that is cancelled");
  limiter p(3);
  holder const busy(p, 2);
  group g{{.limiter = &p}};
  group h{{.limiter = &p}};
  submitter heavy(g, 2);
  await_submitter(p, 1);
  submitter light(h, 1);
  for (int i = 0; i != 1000; ++i) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(light.has_answer());
  g.cancel();
  EXPECT_EQ(heavy.answer(), admission::canceled);
  EXPECT_EQ(light.answer(), admission::accepted);
  EXPECT_FALSE(h.wait());
  error const e = g.wait();
  EXPECT_EQ(e, errc::canceled);
  EXPECT_EQ(e.skipped(), 0U) << "a refused task was counted";
}

TEST(LimiterGiveUp, W2_without_workers_the_submitter_runs_the_tasks_itself) {
  watchdog const guard("a submitter without workers");
  support::no_workers const alone;
  limiter p(1);
  group g{{.limiter = &p}};
  group h{{.limit = 1, .limiter = &p}};
  int ran = 0;
  for (group* const of : {&g, &h, &g, &h}) {
    for (int i = 0; i != 3; ++i) {
      EXPECT_EQ(of->try_run_for(1h, [&] { ++ran; }), admission::accepted);
    }
  }
  EXPECT_FALSE(g.wait());
  EXPECT_FALSE(h.wait());
  EXPECT_EQ(ran, 12);
}

TEST(LimiterGiveUp, L4_in_a_task_that_holds_places_a_call_never_waits) {
  watchdog const guard("calls that give up, in a task that holds the only place");
  for (int const own : {1, errgroup::unlimited}) {
    limiter p(1);
    group a{{.limit = own, .limiter = &p}};
    int ran = 0;
    a.run([&] {
      EXPECT_EQ(a.try_run_for(1h, [] {}), admission::full);
      group b{{.limit = own, .limiter = &p}};
      EXPECT_EQ(b.try_run_for(1h, [] {}), admission::full);
      group c{{.limit = own, .queue = 0, .limiter = &p}};
      std::stop_source stop;
      for (int i = 0; i != 4; ++i) {
        EXPECT_EQ(c.run(stop.get_token(), [&] { ++ran; }), admission::accepted);
      }
      EXPECT_EQ(c.try_run_for(1h, [&] { ++ran; }), admission::accepted);
      EXPECT_EQ(b.run(stop.get_token(), [&] { ++ran; }), admission::accepted);
      EXPECT_FALSE(b.wait());
      EXPECT_FALSE(c.wait());
    });
    EXPECT_FALSE(a.wait());
    EXPECT_EQ(ran, 6);
    support::await_free(p);
    EXPECT_TRUE(a.try_run([] {})) << "places are reserved";
    EXPECT_FALSE(a.wait());
  }
}

TEST(LimiterGiveUp, L1_run_with_a_token_takes_the_task_and_reserves_no_places) {
  watchdog const guard("run with a token at a full limiter");
  limiter p(2);
  holder busy(p, 1);
  group g{{.limiter = &p}};
  std::stop_source stop;
  EXPECT_EQ(g.run(stop.get_token(), {.weight = 2}, [] {}), admission::accepted);
  EXPECT_EQ(p.waiting(), 1);
  EXPECT_FALSE(g.try_run([] {})) << "a task of two places waits";
  busy.release();
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(g.try_run({.weight = 2}, [] {}));
  EXPECT_FALSE(g.wait());
}

TEST(LimiterGiveUp, L4_a_stop_ends_the_wait_for_room_in_a_bounded_queue) {
  watchdog const guard("run with a token at a full queue over a limiter");
  limiter p(2);
  holder busy(p, 2);
  group g{{.limit = 1, .queue = 0, .limiter = &p}};
  std::stop_source stop;
  EXPECT_EQ(g.run(stop.get_token(), [] {}), admission::accepted);
  EXPECT_EQ(p.waiting(), 1);
  EXPECT_EQ(g.try_run_for(0s, [] {}), admission::full);
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(g.run(stop.get_token(), [] {}), admission::stopped);
  stopper.join();
  std::atomic<bool> is_in{false};
  std::thread waits([&] {
    g.run([] {});  // until there is room
    is_in = true;
  });
  busy.release();
  waits.join();
  EXPECT_TRUE(is_in);
  EXPECT_FALSE(g.wait());
}

// --- set_limit ---

TEST(GroupSetLimit, L3_a_higher_limit_wakes_the_threads_that_wait_for_a_slot) {
  watchdog const guard("submitters at a limit that is raised");
  support::with_workers(1, [] {
    limiter p(8);
    for (limiter* const of : {static_cast<limiter*>(nullptr), &p}) {
      for (std::size_t const queue : {errgroup::npos, std::size_t{0}}) {
        group g{{.limit = 1, .queue = queue, .limiter = of}};
        held_task first(g);
        submitter one(g, 1);
        for (int i = 0; i != 1000; ++i) {
          std::this_thread::yield();
        }
        EXPECT_FALSE(one.has_answer());
        g.set_limit(2);
        EXPECT_EQ(one.answer(), admission::accepted);
        first.end();
        EXPECT_FALSE(g.wait());
      }
    }
  });
}

TEST(GroupSetLimit, L4_a_higher_limit_wakes_a_submitter_that_sleeps_at_a_full_queue) {
  watchdog const guard("run at a full queue, and a limit that is raised");
  support::with_workers(1, [] {
    limiter p(8);
    for (limiter* const of : {static_cast<limiter*>(nullptr), &p}) {
      group g{{.limit = 1, .queue = 0, .limiter = of}};
      held_task first(g);
      std::atomic<bool> is_in{false};
      std::thread submits([&] {
        g.run([] {});
        is_in = true;
      });
      for (int i = 0; i != 1000; ++i) {
        std::this_thread::yield();
      }
      EXPECT_FALSE(is_in);
      g.set_limit(2);
      submits.join();
      first.end();
      EXPECT_FALSE(g.wait());
    }
  });
}

TEST(GroupSetLimit, E5_it_is_independent_of_the_budget_of_failures) {
  limiter p(2);
  for (limiter* const of : {static_cast<limiter*>(nullptr), &p}) {
    group g{{.limit = 4, .policy = on_error::keep_going, .max_failures = 3, .limiter = of}};
    std::atomic<int> ran{0};
    for (int i = 0; i != 50; ++i) {
      g.run([&, i]() -> error {
        ++ran;
        g.set_limit(1 + i % 3);
        return i % 2 == 0 ? error(errc::failed) : error();
      });
    }
    error const e = g.wait();
    EXPECT_TRUE(e);
    EXPECT_TRUE(g.is_canceling());
    EXPECT_EQ(static_cast<std::size_t>(ran) + e.skipped(), 50U);
  }
}

// --- failures ---

TEST(LimiterFailures, E5_the_budget_and_the_listeners_work_as_without_a_limiter) {
  limiter p(1);
  group g{{.policy = on_error::keep_going,
           .errors = errgroup::keep::all,
           .max_failures = 3,
           .limiter = &p}};
  group other{{.limiter = &p}};
  std::atomic<int> told{0};
  auto const listening = g.on_failure([&](error const&) { ++told; });
  std::atomic<int> ran{0};
  for (int i = 0; i != 10; ++i) {
    g.run([&]() -> error {
      ++ran;
      return errc::failed;
    });
    other.run([] {});
  }
  error const e = g.wait();
  EXPECT_EQ(e, errc::failed);
  EXPECT_EQ(ran, 3);
  EXPECT_EQ(told, 3);
  EXPECT_EQ(e.skipped(), 7U);
  EXPECT_EQ(e.by_index().size(), 3U);
  EXPECT_FALSE(other.wait());
  EXPECT_EQ(p.waiting(), 0);
  EXPECT_EQ(p.in_use(), 0);
}

TEST(LimiterFailures, C1_counts_tells_of_the_tasks_that_wait_in_the_line) {
  watchdog const guard("counts over a limiter");
  limiter p(2);
  holder busy(p, 2);
  group g{{.limiter = &p}};
  for (int i = 0; i != 3; ++i) {
    g.run([] {});
  }
  EXPECT_EQ(g.counts().waiting, 3U);
  EXPECT_EQ(g.counts().running, 0U);
  EXPECT_EQ(busy.g.counts().running, 1U);
  EXPECT_EQ(p.waiting(), 3);
  busy.release();
  EXPECT_FALSE(g.wait());
}

TEST(LimiterFailures, O6_a_dump_shows_the_places_and_the_limit_of_now_and_no_hidden_group) {
  watchdog const guard("a dump of groups with a limiter");
  errgroup::observer nothing;
  errgroup::observer* const before = errgroup::observe(&nothing);
  {
    limiter p(3);
    group g{{.limit = 1, .name = "few", .limiter = &p}};
    holder busy(p, 2);
    p.resize(2);  // first: no task of `few` may take the third place
    g.run({.weight = 2, .priority = errgroup::priority::high}, [] {});  // before all others
    for (int i = 0; i != 3; ++i) {
      g.run([] {});
    }
    g.run({.priority = errgroup::priority::low}, [] {});
    g.set_limit(2);
    std::ostringstream out;
    errgroup::dump(out);
    EXPECT_THAT(out.str(),
                testing::ContainsRegex("few +0 of 2 running, 5 waiting.*2 of 2 places in use"));
    std::string const text = out.str();
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("no limit")));
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("limiter ")));
    std::ostringstream json;
    errgroup::dump(json, errgroup::dump_format::json);
    EXPECT_THAT(json.str(), testing::HasSubstr("\"places\":2"));
    EXPECT_THAT(json.str(), testing::HasSubstr("\"places_in_use\":2"));
    busy.release();
    EXPECT_FALSE(g.wait());
  }
  errgroup::observe(before);
}

// --- functions ---

void use_every_function(limiter& p) {
  std::vector<int> const in{1, 2, 3, 4, 5, 6, 7, 8};
  std::atomic<int> sum{0};
  auto const add = [&](int i) { sum += i; };
  EXPECT_FALSE(errgroup::for_each({.limiter = &p}, in, add));
  EXPECT_FALSE(errgroup::for_each({.limit = 2, .limiter = &p}, in, add));
  EXPECT_EQ(sum, 72);
  auto const twice = errgroup::transform({.limiter = &p}, in, [](int i) { return 2 * i; });
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->back(), 16);
  auto const total = errgroup::reduce({.limiter = &p}, in, 0, std::plus<>(), std::plus<>());
  ASSERT_TRUE(total);
  EXPECT_EQ(*total, 36);
  int next = 0;
  int items = 0;
  EXPECT_FALSE(errgroup::pipeline({.limiter = &p},
                                  errgroup::stage::source("count",
                                                          [&]() -> std::optional<int> {
                                                            return next != 20
                                                                       ? std::optional(++next)
                                                                       : std::nullopt;
                                                          }),
                                  errgroup::stage::parallel("twice", [](int i) { return 2 * i; }),
                                  errgroup::stage::in_order("sum", [&](int i) { items += i; })));
  EXPECT_EQ(items, 420);
  std::vector<int> got;
  errgroup::stream<int> out{{.limiter = &p}, [&](int i) { got.push_back(i); }};
  for (int i = 0; i != 20; ++i) {
    out.run([i] { return i; });
  }
  EXPECT_FALSE(out.wait());
  EXPECT_EQ(got.size(), 20U);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  auto const both = errgroup::all({.limiter = &p}, [] { return 1; }, [] { return 2; });
  EXPECT_TRUE(both);
  group g{{.limiter = &p}};
  EXPECT_EQ(errgroup::spawn(g, {.weight = 1}, [] { return 3; }).get().value(), 3);
  g.run_after(1ms, [&] { ++sum; });
  int rounds = 0;
  g.run_every(1ms,
              [&]() -> error { return ++rounds == 3 ? error(errgroup::stop_repeating) : error(); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(sum, 73);
  EXPECT_EQ(rounds, 3);
}

TEST(LimiterFunctions, P3_every_function_takes_the_option_and_keeps_the_places) {
  watchdog const guard("every function over a limiter");
  for (std::int64_t const capacity : {1, 2}) {
    limiter p(capacity);
    use_every_function(p);
    support::await_free(p);
    EXPECT_EQ(p.waiting(), 0);
  }
}

TEST(LimiterFunctions, L4_every_function_runs_in_a_task_that_holds_the_only_place) {
  watchdog const guard("every function in a task of the limiter");
  limiter p(1);
  group g{{.limiter = &p}};
  for (int i = 0; i != 2; ++i) {
    g.run([&] { use_every_function(p); });
  }
  EXPECT_FALSE(g.wait());
  support::await_free(p);
}

}  // namespace
