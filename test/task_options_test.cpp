// SPDX-License-Identifier: Apache-2.0

// Promise E1: every function that runs a task takes the task's options, and the error tells the
// task's name.

#include "support/callables.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/group.hpp>
#include <errgroup/spawn.hpp>
#include <errgroup/stream.hpp>
#include <errgroup/task_options.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <algorithm>     // fill, sort
#include <chrono>        // hours, nanoseconds
#include <cstddef>       // size_t
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <stdexcept>     // invalid_argument
#include <stop_token>    // stop_token
#include <string>        // string, to_string
#include <string_view>   // string_view
#include <system_error>  // errc, error_code
#include <utility>       // move
#include <vector>        // vector

namespace {

using namespace std::chrono_literals;

using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::on_error;
using errgroup::task_options;
using support::gate;
using support::on_every_way;

using fn = std::function<error()>;

error fails() { return std::make_error_code(std::errc::no_space_on_device); }

/// A function that runs a task with options.
struct way {
  char const* name;
  void (*run)(group& g, task_options const& opts, fn&& f);
  bool counts_if_stopped = true;
  bool allocates_if_stopped = false;
};

void PrintTo(way const& w, std::ostream* out) { *out << w.name; }

class TaskOptions : public testing::TestWithParam<way> {};

INSTANTIATE_TEST_SUITE_P(
    EveryFunction, TaskOptions,
    testing::Values(
        way{"run", [](group& g, task_options const& o, fn&& f) { g.run(o, std::move(f)); }},
        way{"try_run",
            [](group& g, task_options const& o, fn&& f) { (void)g.try_run(o, std::move(f)); },
            false},
        way{"run_and_wait",
            [](group& g, task_options const& o, fn&& f) { (void)g.run_and_wait(o, std::move(f)); },
            true, true},
        way{"run_at", [](group& g, task_options const& o,
                         fn&& f) { g.run_at(clock::now(), o, std::move(f)); }},
        way{"run_after",
            [](group& g, task_options const& o, fn&& f) { g.run_after(1ns, o, std::move(f)); }},
        way{"run_every",
            [](group& g, task_options const& o, fn&& f) {
              // The function ends the repetition itself: `f` may succeed.
              g.run_every(1ns, o, [f = std::move(f)]() -> error {
                error e = f();
                return e ? e : errgroup::stop_repeating;
              });
            },
            true, true},
        way{"spawn",
            [](group& g, task_options const& o, fn&& f) {
              (void)errgroup::spawn(g, o, std::move(f));
            },
            true, true}),
    [](auto const& each) { return std::string(each.param.name); });

// --- the name in the error -------------------------------------------------------------------

TEST_P(TaskOptions, E1_the_error_tells_the_name) {
  on_every_way(
      [](group& g) {
        GetParam().run(g, {.name = "row 7"}, fails);
        error const e = g.wait();
        EXPECT_EQ(e.origin().name, "row 7");
        EXPECT_EQ(e.origin().path, "job/row 7");
        EXPECT_NE(e.origin().where.line(), 0U);
        EXPECT_EQ(e.message().rfind("job/row 7: ", 0), 0U) << e;
      },
      {.name = "job"});
}

TEST_P(TaskOptions, E1_an_exception_has_the_name) {
  on_every_way([](group& g) {
    GetParam().run(g, {.name = "row 7"}, []() -> error { throw std::string(GetParam().name); });
    error const e = g.wait();
    EXPECT_EQ(e.origin().path, "row 7");
    ASSERT_NE(e.get_if<std::string>(), nullptr);
    EXPECT_EQ(*e.get_if<std::string>(), GetParam().name);
  });
}

TEST_P(TaskOptions, E1_the_path_goes_through_nested_groups) {
  group outer{{.name = "job"}};
  error const e = outer.run_and_wait([] {
    group unnamed;
    return unnamed.run_and_wait({.name = "left out, a task is no group"}, [] {
      group inner{{.name = "decode"}};
      GetParam().run(inner, {.name = "frame 17"}, fails);
      return inner.wait();
    });
  });
  EXPECT_EQ(e.origin().name, "frame 17");
  EXPECT_EQ(e.origin().path, "job/decode/frame 17");
}

TEST_P(TaskOptions, E1_each_task_has_its_own_name) {
  on_every_way(
      [](group& g) {
        std::vector<std::string> wanted;
        for (int i = 0; i != 20; ++i) {
          std::string const name = std::string("a row with a long name ") + std::to_string(i);
          wanted.push_back(name);
          if (std::string_view(GetParam().name) == "try_run") {
            g.run({.name = name}, fails);  // there may be no slot
          } else {
            GetParam().run(g, {.name = name}, fails);
          }
        }
        error const e = g.wait();
        std::vector<std::string> names;
        for (error const& one : e.all()) {
          names.push_back(one.origin().name);
        }
        std::sort(names.begin(), names.end());
        std::sort(wanted.begin(), wanted.end());
        EXPECT_EQ(names, wanted);
      },
      {.policy = on_error::keep_going, .errors = keep::all});
}

// The task starts to fail when the caller's text is gone.
TEST_P(TaskOptions, E1_the_name_is_copied) {
  if (std::string_view(GetParam().name) == "run_and_wait") {
    return;  // the caller's text outlives the task
  }
  for (std::size_t const size : {std::size_t{3}, std::size_t{40}}) {
    group g;
    gate gone("the text to be overwritten");
    std::string text(size, 'x');
    std::string const name = text;
    GetParam().run(g, {.name = text}, [&gone] {
      gone.wait();
      return fails();
    });
    std::fill(text.begin(), text.end(), '?');
    text = std::string();
    gone.open();
    EXPECT_EQ(g.wait().origin().name, name);
  }
}

TEST_P(TaskOptions, a_task_that_succeeds_needs_no_name) {
  on_every_way([](group& g) {
    GetParam().run(g, {.name = "row 7"}, [] { return error(); });
    EXPECT_FALSE(g.wait());
  });
}

TEST_P(TaskOptions, an_empty_name_is_no_name) {
  on_every_way(
      [](group& g) {
        GetParam().run(g, {}, fails);
        error const e = g.wait();
        EXPECT_EQ(e.origin().name, "");
        EXPECT_EQ(e.origin().path, "job");
        EXPECT_NE(e.origin().where.line(), 0U);
      },
      {.name = "job"});
}

// --- each form of the label ------------------------------------------------------------------

TEST(TaskLabel, a_name_may_be_a_text_of_any_kind) {
  group g;
  std::string const text = "text";
  auto const expect = [&g](char const* name) {
    EXPECT_EQ(g.wait().origin().name, name);
    g.reset();
  };
  g.run({.name = "braces"}, fails);
  expect("braces");
  g.run("a literal", fails);
  expect("a literal");
  g.run(text, fails);
  expect("text");
  g.run(text.c_str(), fails);
  expect("text");
  g.run(std::string_view(text).substr(1), fails);
  expect("ext");
  g.run({"no designator"}, fails);
  expect("no designator");
  g.run({}, fails);
  expect("");
  g.run(task_options{.name = "a variable"}, fails);
  expect("a variable");
}

TEST(TaskLabel, the_place_is_that_of_the_caller_or_the_given_one) {
  group g;
  auto const there = std::source_location::current();
  auto const expect = [&](error const& e, unsigned line) {
    EXPECT_EQ(e.origin().where.line(), line);
    g.reset();
  };
  auto at = std::source_location::current();
  g.run({.name = "row"}, fails);
  expect(g.wait(), at.line() + 1);
  at = std::source_location::current();
  g.run({}, fails);
  expect(g.wait(), at.line() + 1);
  at = std::source_location::current();
  g.run_every(1ns, {.name = "row"}, fails);
  expect(g.wait(), at.line() + 1);
  at = std::source_location::current();
  (void)errgroup::spawn(g, {.name = "row"}, fails);
  expect(g.wait(), at.line() + 1);
  at = std::source_location::current();
  (void)errgroup::spawn(g, fails);
  expect(g.wait(), at.line() + 1);
  at = std::source_location::current();
  g.run_every(1ns, fails);
  expect(g.wait(), at.line() + 1);
  at = std::source_location::current();
  g.run_after(1ns, fails);
  expect(g.wait(), at.line() + 1);
  g.run({.name = "row"}, fails, there);
  expect(g.wait(), there.line());
  g.run_after(1ns, {.name = "row"}, fails, there);
  expect(g.wait(), there.line());
  g.run_every(1ns, {}, fails, there);
  expect(g.wait(), there.line());
}

/// A task that is hard to pass on: it can only be moved, and takes a stop token.
struct moved_only {
  error operator()(std::stop_token const& token) const {
    return token.stop_possible() && *number == 7 ? fails() : error();
  }

  std::unique_ptr<int> number = std::make_unique<int>(7);
  support::counted alive = {};
};

class TaskLabelKept : public support::no_leaks {};

TEST_F(TaskLabelKept, a_task_may_be_move_only_and_take_a_stop_token) {
  group g;
  auto const expect = [&g](char const* name) {
    error const e = g.wait();
    EXPECT_EQ(e, std::errc::no_space_on_device);
    EXPECT_EQ(e.origin().name, name);
    g.reset();
  };
  g.run({.name = "run"}, moved_only());
  expect("run");
  EXPECT_TRUE(g.try_run({.name = "try_run"}, moved_only()));
  expect("try_run");
  EXPECT_TRUE(g.run_and_wait({.name = "run_and_wait"}, moved_only()));
  expect("run_and_wait");
  g.run_at(clock::now(), {.name = "run_at"}, moved_only());
  expect("run_at");
  g.run_after(1ns, {.name = "run_after"}, moved_only());
  expect("run_after");
  g.run_every(1ns, {.name = "run_every"}, moved_only());
  expect("run_every");
  auto h = errgroup::spawn(g, {.name = "spawn"}, moved_only());
  expect("spawn");
  EXPECT_EQ(h.get().error().origin().name, "spawn");
}

// --- periodic tasks --------------------------------------------------------------------------

TEST(TaskOptionsOfTime, E1_a_periodic_task_keeps_its_name_over_all_its_runs) {
  for (int const last : {1, 2, 5}) {
    on_every_way(
        [last](group& g) {
          g.run_every(1ns, {.name = "a poll with a name that is long"},
                      [last, n = 0]() mutable { return ++n == last ? fails() : error(); });
          error const e = g.wait();
          EXPECT_EQ(e.origin().name, "a poll with a name that is long");
          EXPECT_EQ(e.origin().path, "job/a poll with a name that is long");
          EXPECT_NE(e.origin().where.line(), 0U);
        },
        {.name = "job"});
  }
}

TEST(TaskOptionsOfTime, E1_a_copy_of_the_error_outlives_the_task_and_the_group) {
  error kept;
  {
    group g;
    g.run_every(1ns, {.name = "poll"}, [n = 0]() mutable { return ++n == 3 ? fails() : error(); });
    kept = g.wait();
  }
  EXPECT_EQ(kept.origin().name, "poll");
  EXPECT_EQ(kept, std::errc::no_space_on_device);
}

TEST(TaskOptionsOfTime, a_periodic_task_that_is_cancelled_before_its_first_run_leaves_nothing) {
  constexpr long rounds = 100;  // other threads may start meanwhile, and take memory
  long before = 0;
  for (long i = -1; i != rounds; ++i) {
    group g;
    g.run_every(24h, {.name = "a poll with a name that is long"}, fails);
    g.cancel();
    error const e = g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 1U);
    EXPECT_EQ(e.origin().name, "");
    if (i == -1) {
      before = support::live_allocations;
    }
  }
  EXPECT_LT(support::live_allocations, before + rounds);
}

TEST(TaskOptionsOfTime, a_period_of_nothing_is_refused_with_a_name_too) {
  group g;
  EXPECT_THROW(g.run_every(0ns, {.name = "poll"}, fails), std::invalid_argument);
  g.cancel();
  EXPECT_THROW(g.run_every(0ns, {.name = "poll"}, fails), std::invalid_argument);
  EXPECT_THROW(g.run_every(0ns, fails), std::invalid_argument);
  EXPECT_EQ(g.wait().skipped(), 0U);
}

// --- what it costs ---------------------------------------------------------------------------

TEST(TaskOptionsCost, P3_an_empty_name_costs_no_allocation) {
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  auto const cost_of = [](auto const& run) {
    group g;
    for (int i = 0; i != 20; ++i) {
      g.run([] {});  // makes the nodes that the tasks below use
    }
    EXPECT_FALSE(g.wait());
    g.run([] {});
    long const before = support::allocations;
    run(g);
    long const after = support::allocations;
    EXPECT_FALSE(g.wait());
    return after - before;
  };
  EXPECT_EQ(cost_of([](group& g) { g.run([] {}); }), 0);
  EXPECT_EQ(cost_of([](group& g) { g.run({}, [] {}); }), 0);
  EXPECT_EQ(cost_of([](group& g) { g.run("", [] {}); }), 0);
  EXPECT_EQ(cost_of([](group& g) { g.run(task_options(), [] {}); }), 0);
  EXPECT_EQ(cost_of([](group& g) { EXPECT_TRUE(g.try_run({}, [] {})); }), 0);
  EXPECT_GE(cost_of([](group& g) { g.run({.name = "row"}, [] {}); }), 1);
}

TEST_P(TaskOptions, E3_a_stopped_group_refuses_a_named_task_without_cost) {
  on_every_way([](group& g) {
    g.cancel();
    (void)g.wait();
    support::counted alive;
    fn f = [alive] { return fails(); };
    long const before = support::allocations;
    GetParam().run(g, {.name = "a name that does not fit into a small string"}, std::move(f));
    long const after = support::allocations;
    if (!GetParam().allocates_if_stopped) {
      EXPECT_EQ(after, before);
      EXPECT_TRUE(f) << "the callable was moved away";
    }
    EXPECT_EQ(g.wait().skipped(), GetParam().counts_if_stopped ? 1U : 0U);
  });
}

TEST(TaskOptionsCost, E3_a_stopped_group_refuses_a_periodic_task_without_cost) {
  group g;
  g.cancel();
  (void)g.wait();
  fn f = fails;
  long const before = support::allocations;
  g.run_every(1ns, {.name = "a name that does not fit into a small string"}, std::move(f));
  g.run_every(1ns, std::move(f));
  EXPECT_EQ(support::allocations, before);
  EXPECT_TRUE(f) << "the callable was moved away";
  EXPECT_EQ(g.wait().skipped(), 2U);
}

// --- what fails in the submission ------------------------------------------------------------

class TaskOptionsLeft : public support::no_leaks {};

TEST_F(TaskOptionsLeft, E6_a_copy_that_throws_leaves_nothing) {
  on_every_way([](group& g) {
    support::counted alive;
    support::throws_on_copy const bad([alive] { return fails(); });
    auto const refuses = [&](auto const& submit) {
      constexpr long rounds = 100;  // other threads may start meanwhile, and take memory
      EXPECT_THROW(submit(), support::thrown_by_copy);
      long const before = support::live_allocations;
      for (long i = 0; i != rounds; ++i) {
        EXPECT_THROW(submit(), support::thrown_by_copy);
      }
      EXPECT_LT(support::live_allocations, before + rounds);
    };
    task_options const opts{.name = "a name that does not fit into a small string"};
    refuses([&] { g.run(opts, bad); });
    refuses([&] { (void)g.try_run(opts, bad); });
    refuses([&] { g.run_at(clock::now(), opts, bad); });
    refuses([&] { g.run_after(24h, opts, bad); });
    refuses([&] { g.run_every(24h, opts, bad); });
    refuses([&] { (void)errgroup::spawn(g, opts, bad); });
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(e.skipped(), 0U);
  });
}

TEST_F(TaskOptionsLeft, E6_without_memory_nothing_is_submitted) {
  static constexpr task_options opts{.name = "a name that does not fit into a small string"};
  using submit = void (*)(group&);
  for (submit const run : {submit([](group& g) { g.run(opts, fails); }),
                           submit([](group& g) { g.run_after(24h, opts, fails); }),
                           submit([](group& g) { g.run_every(24h, opts, fails); })}) {
    bool failed = true;
    for (long n = 0; failed; ++n) {
      group g;
      bool threw = false;
      {
        support::failing_new const no_memory(n);
        try {
          run(g);
        } catch (std::bad_alloc const&) {
          threw = true;
        }
        failed = support::failing_new::has_failed();
      }
      EXPECT_TRUE(threw || n >= 2) << "the name takes two allocations";
      if (threw) {
        EXPECT_FALSE(g.wait());
      } else {
        g.cancel();
        EXPECT_TRUE(g.wait());
      }
    }
  }
}

TEST_P(TaskOptions, an_empty_function_is_refused_at_once_with_and_without_a_name) {
  if (std::string_view(GetParam().name) == "run_every") {
    group g;
    EXPECT_THROW(g.run_every(1ns, {.name = "row"}, fn()), std::invalid_argument);
    EXPECT_THROW(g.run_every(1ns, {}, fn()), std::invalid_argument);
    return;
  }
  group g;
  EXPECT_THROW(GetParam().run(g, {.name = "row"}, fn()), std::invalid_argument);
  EXPECT_THROW(GetParam().run(g, {}, fn()), std::invalid_argument);
  EXPECT_FALSE(g.wait());
}

// --- handles and streams ---------------------------------------------------------------------

TEST(TaskOptionsOfHandles, E1_the_handle_and_the_group_tell_the_name) {
  on_every_way(
      [](group& g) {
        auto h = errgroup::spawn(g, {.name = "left"}, []() -> int { throw 7; });
        auto other = errgroup::spawn(g, "right", [] { return 2; });
        EXPECT_EQ(g.wait().origin().path, "job/left");
        error const e = h.get().error();
        EXPECT_EQ(e.origin().name, "left");
        EXPECT_EQ(e.origin().path, "job/left");
        (void)other.get();
      },
      {.name = "job"});
}

TEST(TaskOptionsOfHandles, an_error_of_a_group_further_in_keeps_its_origin) {
  group g{{.name = "job"}};
  auto h = errgroup::spawn(g, {.name = "left"}, [] {
    group inner{{.name = "inner"}};
    return inner.run_and_wait({.name = "leaf"}, fails);
  });
  EXPECT_EQ(g.wait().origin().name, "leaf");
  error const e = h.get().error();
  EXPECT_EQ(e.origin().name, "leaf");
  EXPECT_EQ(e.origin().path, "job/inner/leaf");
}

TEST(TaskOptionsOfStreams, E1_the_error_tells_the_name) {
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    errgroup::stream<int> s({.limit = limit, .name = "pack"}, [](int) {});
    auto const expect = [&s](char const* name) {
      error const e = s.wait();
      EXPECT_EQ(e, std::errc::no_space_on_device);
      EXPECT_EQ(e.origin().name, name);
      EXPECT_EQ(e.origin().path, *name != 0 ? std::string("pack/") + name : "pack");
      s.reset();
    };
    std::function<errgroup::result<int>()> const bad = [] { return fails(); };
    s.run({.name = "row"}, bad);
    expect("row");
    s.run("a row", bad);
    expect("a row");
    s.run({}, bad);
    expect("");
    EXPECT_TRUE(s.try_run({.name = "row"}, bad));
    expect("row");
    EXPECT_TRUE(s.try_run("a row", bad));
    expect("a row");
    EXPECT_TRUE(s.try_run({}, bad));
    expect("");
    s.cancel();
    long const before = support::allocations;
    EXPECT_FALSE(s.try_run({.name = "row"}, bad));
    s.run({.name = "row"}, bad);
    EXPECT_EQ(support::allocations, before) << "a stopped stream has made a note";
    EXPECT_EQ(s.wait().skipped(), 1U);
  }
}

}  // namespace
