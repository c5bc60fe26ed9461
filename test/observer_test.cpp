// SPDX-License-Identifier: Apache-2.0

// Promises O1 to O4: what an observer is told, and in which order.

#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/recorder.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/observer.hpp>
#include <errgroup/spawn.hpp>
#include <errgroup/stream.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <atomic>        // atomic
#include <chrono>        // hours
#include <map>           // map
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <set>           // set
#include <stdexcept>     // runtime_error
#include <string>        // string
#include <system_error>  // errc, make_error_code
#include <thread>        // thread
#include <utility>       // pair
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using errgroup::wait_kind;
using support::event;
using support::gate;
using support::recorder;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

/// The events' names, without the waits and submissions.
std::vector<std::string> names(std::vector<event> const& events) {
  std::vector<std::string> all;
  for (event const& e : events) {
    if (!e.what.starts_with("wait") && e.what != "task_submitted") {
      all.push_back(e.what);
    }
  }
  return all;
}

/// Calls `body` with the options of a group that goes each way: without a limit, in a task and from
/// outside, with limits, with a bounded queue.
template <class Body>
void each_way(Body body) {
  for (options const& opts :
       {options{.name = "g"}, options{.limit = 1, .name = "g"}, options{.limit = 2, .name = "g"},
        options{.limit = 1, .queue = 1, .name = "g"}}) {
    SCOPED_TRACE(testing::Message() << "limit " << opts.limit << ", queue " << opts.queue);
    body(opts);
    SCOPED_TRACE("in a task");
    group outer({.name = "outer"});
    EXPECT_FALSE(outer.run_and_wait([&] { body(opts); }));
  }
}

/// Each task that was submitted has begun and ended once on one thread, or was skipped.
void expect_pairs(std::vector<event> const& events) {
  std::set<std::size_t> submitted;
  std::map<std::size_t, std::thread::id> running;
  std::size_t ended = 0;
  std::size_t skipped = 0;
  for (event const& e : events) {
    if (e.what == "task_submitted") {
      EXPECT_TRUE(submitted.insert(e.index).second) << e.index;
    } else if (e.what == "task_begin") {
      EXPECT_TRUE(submitted.contains(e.index)) << e.index;
      EXPECT_TRUE(running.emplace(e.index, e.thread).second) << e.index;
    } else if (e.what == "task_end") {
      ASSERT_TRUE(running.contains(e.index)) << e.index;
      EXPECT_EQ(running[e.index], e.thread);
      ++ended;
    } else if (e.what == "tasks_skipped") {
      skipped += e.n;
    }
  }
  EXPECT_EQ(ended, running.size());
  EXPECT_EQ(submitted.size(), ended + skipped);
}

TEST(Observer, O1_a_group_begins_first_and_ends_last) {
  each_way([](options const& opts) {
    recorder seen;
    {
      group g(opts);
      EXPECT_THAT(names(seen.events("g")), ElementsAre("group_begin"));
      EXPECT_FALSE(g.run_and_wait([] {}));
    }
    EXPECT_THAT(names(seen.events("g")),
                ElementsAre("group_begin", "task_begin", "task_end", "group_end"));
  });
}

TEST(Observer, O1_a_group_tells_the_place_where_it_was_made) {
  recorder seen;
  unsigned const here = __LINE__;
  (void)group().counts();
  (void)group({.limit = 1}).counts();
  std::vector<event> const events = seen.events();
  ASSERT_THAT(events, SizeIs(4));
  EXPECT_EQ(events[0].line, here + 1);
  EXPECT_EQ(events[2].line, here + 2);
  EXPECT_NE(events[0].group, events[2].group);
}

TEST(Observer, O1_a_group_keeps_to_the_observer_that_was_set_when_it_was_made) {
  each_way([](options const& opts) {
    auto before = std::make_unique<group>(opts);
    recorder seen;
    auto during = std::make_unique<group>(opts);
    seen.stop();
    auto after = std::make_unique<group>(opts);
    EXPECT_FALSE(before->run_and_wait([] {}));
    EXPECT_FALSE(during->run_and_wait([] {}));
    EXPECT_FALSE(after->run_and_wait([] {}));
    before.reset();
    during.reset();
    after.reset();
    EXPECT_THAT(names(seen.events()),
                ElementsAre("group_begin", "task_begin", "task_end", "group_end"));
  });
}

TEST(Observer, O1_observe_returns_the_observer_before) {
  errgroup::observer one;
  errgroup::observer other;
  errgroup::observer* const before = errgroup::observe(&one);
  EXPECT_EQ(errgroup::observe(&other), &one);
  EXPECT_EQ(errgroup::observe(before), &other);
}

TEST(Observer, O1_a_group_knows_the_task_that_made_it) {
  struct parents : errgroup::observer {
    void group_begin(errgroup::group_view g) noexcept override {
      if (g.name() == "inner") {
        inner = {g.parent(), g.parent_task()};
      } else {
        outer = g.id();
        EXPECT_EQ(g.parent(), 0U);
        EXPECT_EQ(g.parent_task(), errgroup::npos);
      }
    }
    std::uint64_t outer = 0;
    std::pair<std::uint64_t, std::size_t> inner;
  } seen;
  errgroup::observer* const before = errgroup::observe(&seen);
  {
    group g({.limit = 1});
    g.run([] {});
    g.run([] { group const inner({.name = "inner"}); });
    EXPECT_FALSE(g.wait());
  }
  errgroup::observe(before);
  EXPECT_EQ(seen.inner, std::pair(seen.outer, std::size_t{1}));
}

TEST(Observer, O3_each_task_begins_and_ends_once_on_one_thread) {
  each_way([](options const& opts) {
    recorder seen;
    {
      group g(opts);
      for (int i = 0; i != 20; ++i) {
        g.run([] {});
      }
      EXPECT_FALSE(g.wait());
      EXPECT_FALSE(g.run_and_wait([] {}));
      if (g.try_run([] {})) {
        EXPECT_FALSE(g.wait());
      }
    }
    expect_pairs(seen.events("g"));
    EXPECT_EQ(seen.count("tasks_skipped"), 0U);
  });
}

TEST(Observer, O3_tasks_that_tasks_submit_have_indices_of_their_own) {
  each_way([](options const& opts) {
    recorder seen;
    {
      group g(opts);
      for (int i = 0; i != 4; ++i) {
        g.run([&g] {
          for (int k = 0; k != 4; ++k) {
            g.run([] {});
          }
        });
      }
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(g.counts().submitted, 20U);
    }
    expect_pairs(seen.events("g"));
    EXPECT_EQ(seen.count("task_submitted"), 20U);
  });
}

TEST(Observer, O3_a_task_tells_its_name_its_index_and_its_place) {
  each_way([](options const& opts) {
    recorder seen;
    unsigned const here = __LINE__ + 3;
    {
      group g(opts);
      g.run("row", [] {});
      g.run([] {});
      EXPECT_FALSE(g.wait());
    }
    for (event const& e : seen.events("g")) {
      if (e.what == "task_begin" || e.what == "task_end") {
        EXPECT_EQ(e.name, e.index == 0 ? "row" : "");
        EXPECT_EQ(e.line, here + e.index);
      }
    }
    expect_pairs(seen.events("g"));
  });
}

TEST(Observer, O3_the_end_of_a_task_tells_its_failure) {
  each_way([](options const& opts) {
    recorder seen;
    {
      options going = opts;
      going.policy = errgroup::on_error::keep_going;
      group g(going);
      g.run([] { return cause(); });
      g.run([]() -> void { throw std::runtime_error("late"); });
      g.run([] {});
      EXPECT_TRUE(g.wait());
      EXPECT_EQ(g.counts().failed, 2U);
    }
    std::size_t failed = 0;
    for (event const& e : seen.events("g")) {
      if (e.what == "task_end") {
        failed += e.error ? 1U : 0U;
        EXPECT_TRUE(!e.error || e.error.origin().index == e.index) << e.error;
        EXPECT_EQ(static_cast<bool>(e.error), e.index != 2);
      }
    }
    EXPECT_EQ(failed, 2U);
    expect_pairs(seen.events("g"));
  });
}

TEST(Observer, O3_a_task_that_may_not_throw_is_observed_too) {
  recorder seen;
  {
    group g({.exceptions = errgroup::on_exception::terminate});
    EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
  }
  EXPECT_THAT(names(seen.events()), ElementsAre("group_begin", "task_begin", "first_error",
                                                "cancelled", "task_end", "group_end"));
}

TEST(Observer, O3_a_task_ends_after_its_callable_is_destroyed_and_its_groups_are_idle) {
  recorder seen;
  struct makes_group_at_end {
    std::unique_ptr<int> moved_only = std::make_unique<int>(1);
    std::optional<group>* kept;
    void operator()() const {
      kept->emplace(options{.name = "inner"});
      (*kept)->run([] {});
    }
  };
  std::optional<group> kept;
  {
    group g({.name = "g"});
    EXPECT_FALSE(g.run_and_wait(makes_group_at_end{.kept = &kept}));
  }
  kept.reset();
  std::vector<std::string> order;
  for (event const& e : seen.events()) {
    if (e.what.starts_with("task_") && e.what != "task_submitted") {
      order.push_back(e.group_name + " " + e.what);
    }
  }
  EXPECT_THAT(order,
              ElementsAre("g task_begin", "inner task_begin", "inner task_end", "g task_end"));
}

TEST(Observer, O3_timed_tasks_are_submitted_when_they_are_given_to_the_group) {
  recorder seen;
  {
    group g({.name = "g"});
    g.run_after(std::chrono::hours(1), [] {});
    g.run_after(std::chrono::hours(-1), [] {});
    EXPECT_EQ(seen.count("task_submitted"), 2U);
    g.cancel();
    EXPECT_EQ(g.wait(), errc::canceled);
  }
  expect_pairs(seen.events("g"));
}

TEST(Observer, O3_a_task_that_its_handle_runs_is_told_once) {
  recorder seen;
  {
    group g({.limit = 1, .name = "g"});
    g.run([&g] {
      std::vector<errgroup::handle<int>> all;
      for (int i = 0; i != 3; ++i) {
        all.push_back(errgroup::spawn(g, [i] { return i; }));
      }
      EXPECT_EQ(g.counts().waiting, 3U);
      for (int i = 0; i != 3; ++i) {
        EXPECT_EQ(all[static_cast<std::size_t>(i)].get().value(), i);
      }
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(g.counts().waiting, 0U);
  }
  expect_pairs(seen.events("g"));
}

TEST(Observer, O3_a_stream_works_as_without_an_observer) {
  recorder seen;
  errgroup::stream<int> results({.limit = 2, .queue = 0, .name = "s"}, [](int&&) {});
  for (int round = 0; round != 2; ++round) {
    std::vector<std::thread> submitters;
    for (int t = 0; t != 2; ++t) {
      submitters.emplace_back([&results] {
        for (int i = 0; i != 200; ++i) {
          results.run([i] { return i; });
        }
      });
    }
    for (std::thread& t : submitters) {
      t.join();
    }
    EXPECT_FALSE(results.wait());
    results.reset();
  }
  expect_pairs(seen.events("s"));
}

/// An exception whose destructor makes a group.
struct makes_group_at_end {
  explicit makes_group_at_end(std::unique_ptr<group>& to)
      : made(&to, [](auto* place) { *place = std::make_unique<group>(); }) {}
  std::shared_ptr<std::unique_ptr<group>> made;
};

TEST(Observer, O3_the_destructor_of_an_error_may_make_a_group) {
  recorder seen;
  seen.stop();  // it keeps no copy of the error
  errgroup::observer nothing;
  errgroup::observer* const before = errgroup::observe(&nothing);
  {
    tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
    std::unique_ptr<group> made;
    group g({.policy = errgroup::on_error::keep_going});
    EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
    EXPECT_EQ(g.run_and_wait([&made]() -> void { throw makes_group_at_end(made); }), cause());
    ASSERT_TRUE(made);
    group other;
    EXPECT_EQ(other.run_and_wait([&other] {
      group const child;  // so that the canceller looks for groups below
      other.cancel();
    }),
              errc::canceled);
    EXPECT_FALSE(made->is_canceling()) << "it is no group of the task that came later";
    made.reset();
  }
  errgroup::observe(before);
}

TEST(Observer, O2_the_error_comes_first_then_the_cancellation_then_the_skipped_tasks) {
  each_way([](options const& opts) {
    recorder seen;
    {
      group g(opts);
      g.run([&g] {
        for (int i = 0; i != 3; ++i) {
          g.run([] {});
        }
        return cause();
      });
      EXPECT_EQ(g.wait(), cause());
      g.run([] {});
    }
    std::vector<event> const events = seen.events("g");
    std::vector<std::string> reaction;
    for (event const& e : events) {
      if (e.what == "first_error" || e.what == "cancelled" || e.what == "tasks_skipped") {
        EXPECT_EQ(e.error, cause());
        reaction.push_back(e.what);
      }
    }
    ASSERT_GE(reaction.size(), 3U);  // the last task is refused
    EXPECT_EQ(reaction[0], "first_error");
    EXPECT_EQ(reaction[1], "cancelled");
    for (std::size_t i = 2; i != reaction.size(); ++i) {
      EXPECT_EQ(reaction[i], "tasks_skipped");
    }
  });
}

TEST(Observer, O2_the_order_holds_against_a_thread_that_cancels_meanwhile) {
  // While the first error is being told, another thread cancels: it waits for its turn.
  struct slow : recorder {
    void first_error(errgroup::group_view g, error const& e) noexcept override {
      told.open();
      support::await([this] { return (*failing)->is_canceling(); }, "another thread to cancel");
      support::dawdle(200);
      recorder::first_error(g, e);
    }
    std::optional<group>* failing = nullptr;
    gate told{"the first error to be told"};
  } seen;
  std::optional<group> g(std::in_place, options{.name = "g"});
  seen.failing = &g;
  std::thread failing([&] { EXPECT_EQ(g->run_and_wait([] { return cause(); }), cause()); });
  seen.told.wait();
  g->cancel();
  failing.join();
  g.reset();
  std::vector<std::string> told = names(seen.events("g"));
  std::erase(told, "task_end");  // may come at any time
  EXPECT_THAT(told,
              ElementsAre("group_begin", "task_begin", "first_error", "cancelled", "group_end"));
}

TEST(Observer, O2_a_group_below_is_told_of_the_cause_above) {
  recorder seen;
  {
    group outer({.name = "outer"});
    EXPECT_EQ(outer.run_and_wait([&outer] {
      group inner({.name = "inner"});
      outer.cancel(cause());
      inner.run([] {});
      return std::error_code();
    }),
              cause());
  }
  std::vector<event> const inner = seen.events("inner");
  EXPECT_THAT(names(inner),
              ElementsAre("group_begin", "first_error", "cancelled", "tasks_skipped", "group_end"));
  EXPECT_EQ(inner[1].error, errc::canceled) << "which its own `wait` returns";
  EXPECT_EQ(inner[2].error, cause());
}

TEST(Observer, O2_the_cancellation_comes_before_a_task_that_is_skipped_at_once) {
  // The group below is stopped already, and its canceller still tells of the group above.
  struct slow : recorder {
    void cancelled(errgroup::group_view g, error const& e) noexcept override {
      recorder::cancelled(g, e);
      if (g.name() == "outer") {
        told.open();
        skipped.wait();
      }
    }
    gate told{"the group above to be told of"};
    gate skipped{"a task of the group below to be skipped"};
  } seen;
  {
    group outer({.name = "outer"});
    EXPECT_EQ(outer.run_and_wait([&] {
      group inner({.name = "inner"});
      std::thread cancelling([&outer] { outer.cancel(cause()); });
      seen.told.wait();
      inner.run([] {});
      seen.skipped.open();
      cancelling.join();
    }),
              cause());
  }
  EXPECT_THAT(names(seen.events("inner")),
              ElementsAre("group_begin", "first_error", "cancelled", "tasks_skipped", "group_end"));
}

TEST(Observer, O2_keep_going_tells_the_first_error_without_a_cancellation) {
  recorder seen;
  {
    group g({.policy = errgroup::on_error::keep_going, .name = "g"});
    EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
    EXPECT_EQ(seen.count("first_error"), 1U);
    EXPECT_EQ(seen.count("cancelled"), 0U);
    g.cancel(std::make_error_code(std::errc::timed_out));
    EXPECT_EQ(g.wait(), cause());
  }
  for (event const& e : seen.events("g")) {
    if (e.what == "cancelled") {
      EXPECT_EQ(e.error, std::make_error_code(std::errc::timed_out));
    }
  }
  EXPECT_EQ(seen.count("first_error"), 1U);
  EXPECT_EQ(seen.count("cancelled"), 1U);
}

TEST(Observer, O2_after_reset_the_error_is_told_again) {
  recorder seen;
  group g;
  for (std::size_t round = 1; round != 3; ++round) {
    EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
    EXPECT_EQ(seen.count("first_error"), round);
    EXPECT_EQ(seen.count("cancelled"), round);
    g.reset();
  }
}

TEST(Observer, O2_a_group_that_its_destructor_stops_is_cancelled_without_an_error) {
  recorder seen;
  {
    group g({.limit = 1, .name = "g"});
    gate begun("the task to begin");
    g.run([&] {
      begun.open();
      // Not for is_canceling: the group is stopped a moment before the observer is told.
      support::await([&seen] { return seen.count("cancelled") == 1; }, "the destructor to cancel");
      return cause();  // which nobody will be told
    });
    begun.wait();
    g.run([] {});
  }
  EXPECT_EQ(seen.count("first_error"), 0U);
  EXPECT_EQ(seen.count("cancelled"), 1U);
  EXPECT_EQ(seen.count("tasks_skipped"), 1U);
  expect_pairs(seen.events("g"));
}

TEST(Observer, O4_waits_begin_and_end_in_pairs_of_their_kind) {
  each_way([](options const& opts) {
    recorder seen;
    {
      group g(opts);
      g.run([] {});
      EXPECT_FALSE(g.wait());
      EXPECT_FALSE(g.wait());
      EXPECT_TRUE(g.wait_for(std::chrono::hours(1)));
      EXPECT_FALSE(g.run_and_wait([] {}));
    }
    std::size_t begun = 0;
    std::size_t ended = 0;
    for (event const& e : seen.events("g")) {
      if (e.kind == wait_kind::end) {
        begun += e.what == "wait_begin" ? 1U : 0U;
        ended += e.what == "wait_end" ? 1U : 0U;
      }
    }
    EXPECT_EQ(begun, 4U);
    EXPECT_EQ(ended, 4U);
  });
}

std::vector<wait_kind> kinds(std::vector<event> const& events, char const* what) {
  std::vector<wait_kind> all;
  for (event const& e : events) {
    if (e.what == what) {
      all.push_back(e.kind);
    }
  }
  return all;
}

TEST(Observer, O4_a_submitter_that_waits_for_room_says_so) {
  support::with_workers(1, [] {
    recorder seen;
    {
      group g({.limit = 1, .queue = 0, .name = "g"});
      gate room("the submitter to wait");
      g.run([&] { room.wait(); });
      std::thread opener([&] {
        support::await([&] { return seen.count("wait_begin") == 1; }, "the submitter to wait");
        room.open();
      });
      g.run([] {});
      opener.join();
      EXPECT_THAT(kinds(seen.events("g"), "wait_begin"), ElementsAre(wait_kind::room));
      EXPECT_THAT(kinds(seen.events("g"), "wait_end"), ElementsAre(wait_kind::room));
      EXPECT_FALSE(g.wait());
    }
  });
}

TEST(Observer, O4_the_destructor_says_that_it_waits) {
  recorder seen;
  {
    group g({.name = "g"});
    g.run([] {});
  }
  EXPECT_THAT(kinds(seen.events("g"), "wait_begin"), ElementsAre(wait_kind::destructor));
  EXPECT_THAT(kinds(seen.events("g"), "wait_end"), ElementsAre(wait_kind::destructor));
}

TEST(Observer, O4_a_handle_says_that_it_waits) {
  support::with_workers(1, [] {
    recorder seen;
    group g({.limit = 1, .name = "g"});
    gate begun("the task to begin");
    gate go("the handle to wait");
    auto handle = errgroup::spawn(g, [&] {
      begun.open();
      go.wait();
      return 7;
    });
    begun.wait();
    std::thread opener([&] {
      support::await([&] { return !kinds(seen.events("g"), "wait_begin").empty(); },
                     "the handle to wait");
      go.open();
    });
    EXPECT_EQ(handle.get().value(), 7);
    opener.join();
    EXPECT_THAT(kinds(seen.events("g"), "wait_begin"), ElementsAre(wait_kind::handle));
    EXPECT_THAT(kinds(seen.events("g"), "wait_end"), ElementsAre(wait_kind::handle));
    EXPECT_FALSE(g.wait());
  });
}

TEST(Observer, without_an_observer_nothing_is_told) {
  recorder seen;
  seen.stop();
  group g({.name = "g"});
  EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
  EXPECT_THAT(seen.events(), IsEmpty());
}

}  // namespace
