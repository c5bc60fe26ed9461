// SPDX-License-Identifier: Apache-2.0

// spawn and handle<T>: one task of a group, and what it returns.

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/spawn.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/task_arena.h>      // current_thread_index, max_concurrency, task_arena
#include <tbb/task_group.h>      // task_group

#include <array>            // array
#include <atomic>           // atomic
#include <chrono>           // hours
#include <cstddef>          // size_t
#include <cstdio>           // fputs, stderr
#include <functional>       // function
#include <memory>           // make_unique, unique_ptr
#include <mutex>            // mutex, scoped_lock
#include <new>              // bad_alloc
#include <optional>         // optional
#include <source_location>  // source_location
#include <stdexcept>        // invalid_argument, logic_error, runtime_error
#include <stop_token>       // stop_source, stop_token
#include <string>           // string
#include <system_error>     // errc, error_code, make_error_code
#include <thread>           // thread
#include <type_traits>      // is_same_v
#include <utility>          // exchange, move
#include <vector>           // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::handle;
using errgroup::keep;
using errgroup::on_error;
using errgroup::on_exception;
using errgroup::options;
using errgroup::result;
using errgroup::spawn;
using errgroup::unlimited;
using support::await;
using support::counted;
using support::failing_new;
using support::gate;
using support::on_every_way;
using support::watchdog;
using tbb::global_control;
using testing::HasSubstr;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code other() { return std::make_error_code(std::errc::interrupted); }

/// Runs until it is told to stop.
void until_stopped(std::stop_token const& token) {
  await([&] { return token.stop_requested(); }, "a stop token to be stopped");
}

/// Calls `body` with groups of limit 1, 2 and none, isolated and not.
template <class Body>
void at_any_limit(Body body, options base = {}) {
  for (int const limit : {1, 2, unlimited}) {
    for (bool const isolated : {false, true}) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", isolated " << isolated);
      base.limit = limit;
      base.isolated = isolated;
      group g(base);
      body(g);
    }
  }
}

class Spawn : public support::no_leaks {};

// --- what it gives ---------------------------------------------------------------------------

TEST_F(Spawn, gives_what_the_task_returns) {
  on_every_way([](group& g) {
    auto h = spawn(g, [a = counted()] { return 42; });
    static_assert(std::is_same_v<decltype(h), handle<int>>);
    EXPECT_TRUE(h.valid());
    result<int> const r = h.get();
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(*r, 42);
    EXPECT_FALSE(h.valid());
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, gives_it_after_the_group_was_waited_for) {
  on_every_way([](group& g) {
    std::vector<handle<int>> all;
    for (int i = 0; i != 100; ++i) {
      all.push_back(spawn(g, [i, a = counted()] { return i * i; }));
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(counted::live(), 0);
    for (int i = 0; i != 100; ++i) {
      auto& h = all[static_cast<std::size_t>(i)];
      EXPECT_TRUE(h.ready());
      EXPECT_EQ(h.get().value(), i * i);
    }
  });
}

TEST_F(Spawn, wait_destroys_the_callable_first_and_may_be_called_again) {
  on_every_way([](group& g) {
    int written = 0;
    auto h = spawn(g, [&written, a = counted()] { written = 1; });
    h.wait();
    EXPECT_EQ(counted::live(), 0);
    EXPECT_EQ(written, 1);
    EXPECT_TRUE(h.ready());
    EXPECT_TRUE(h.valid());
    h.wait();
    EXPECT_TRUE(h.get());
    EXPECT_FALSE(g.wait());
  });
}

struct no_default {
  explicit no_default(int v) : value(v) {}
  int value;
};

using expected_number = tl::expected<int, std::string>;

struct as_rvalue {
  int operator()() && { return 6; }
};

TEST_F(Spawn, takes_whatever_a_callable_may_return) {
  on_every_way([](group& g) {
    auto nothing = spawn(g, [] {});
    static_assert(std::is_same_v<decltype(nothing), handle<void>>);
    auto code = spawn(g, []() -> std::error_code { return {}; });
    static_assert(std::is_same_v<decltype(code), handle<void>>);
    auto err = spawn(g, []() -> error { return {}; });
    static_assert(std::is_same_v<decltype(err), handle<void>>);
    auto moved = spawn(g, support::move_only([] { return std::make_unique<int>(3); }));
    auto whole = spawn(g, [] { return no_default(4); });
    auto res = spawn(g, []() -> result<no_default> { return no_default(5); });
    static_assert(std::is_same_v<decltype(res), handle<no_default>>);
    auto exp = spawn(g, []() -> expected_number { return 7; });
    static_assert(std::is_same_v<decltype(exp), handle<int>>);
    auto once = spawn(g, as_rvalue());
    auto token =
        spawn(g, [](std::stop_token t) { return t.stop_possible() && !t.stop_requested(); });
    auto changes = spawn(g, [n = 8]() mutable { return ++n; });
    EXPECT_TRUE(nothing.get());
    EXPECT_TRUE(code.get());
    EXPECT_TRUE(err.get());
    EXPECT_EQ(*moved.get().value(), 3);
    EXPECT_EQ(whole.get().value().value, 4);
    EXPECT_EQ(res.get().value().value, 5);
    EXPECT_EQ(exp.get().value(), 7);
    EXPECT_EQ(once.get().value(), 6);
    EXPECT_TRUE(token.get().value());
    EXPECT_EQ(changes.get().value(), 9);
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, copies_an_lvalue_once_and_a_function_not_at_all) {
  group g;
  auto const f = [a = counted()] { return 1; };
  EXPECT_EQ(spawn(g, f).get().value(), 1);
  EXPECT_EQ(counted::live(), 1);
  int (*const plain)() = [] { return 2; };
  EXPECT_EQ(spawn(g, plain).get().value(), 2);
  std::function<int()> fun = [] { return 3; };
  EXPECT_EQ(spawn(g, fun).get().value(), 3);
  EXPECT_FALSE(g.wait());
}

TEST_F(Spawn, is_ready_when_it_has_finished_and_not_before) {
  gate go("the test to look");
  group g{{.limit = 1}};
  auto h = spawn(g, [&] { go.wait(); });
  EXPECT_FALSE(h.ready());
  go.open();
  h.wait();
  EXPECT_TRUE(h.ready());
  EXPECT_FALSE(g.wait());
}

// --- failures --------------------------------------------------------------------------------

TEST_F(Spawn, E1_a_failure_is_told_by_the_handle_and_by_the_group) {
  auto const fails = [](group& g, auto f, auto is) {
    auto h = spawn(g, f);
    auto const r = h.get();
    ASSERT_FALSE(r);
    EXPECT_TRUE(is(r.error())) << r.error();
    error const e = g.wait();
    EXPECT_TRUE(is(e)) << e;
    EXPECT_EQ(e.message(), r.error().message());
    EXPECT_TRUE(g.is_canceling());
    g.reset();
  };
  on_every_way([&](group& g) {
    auto const is_cause = [](error const& e) { return e == cause(); };
    fails(g, [a = counted()]() -> std::error_code { return cause(); }, is_cause);
    fails(g, []() -> error { return cause(); }, is_cause);
    fails(g, []() -> result<int> { return cause(); }, is_cause);
    fails(g, []() -> int { throw std::system_error(cause()); }, is_cause);
    fails(
        g, []() -> expected_number { return tl::unexpected<std::string>("words"); },
        [](error const& e) {
          return e.get_if<std::string>() && *e.get_if<std::string>() == "words";
        });
    fails(
        g, []() -> std::unique_ptr<int> { throw std::runtime_error("thrown"); },
        [](error const& e) {
          return e == errc::exception && e.get_if<std::runtime_error>() != nullptr;
        });
    fails(
        g, [] { throw 42; },
        [](error const& e) { return e.get_if<int>() && *e.get_if<int>() == 42; });
    fails(
        g, []() -> error { return errc::canceled; },
        [](error const& e) { return e == errc::canceled; });
  });
}

TEST_F(Spawn, E1_a_failure_tells_where_it_was_spawned_and_in_which_group) {
  group g{{.name = "job"}};
  auto const line = std::source_location::current().line() + 1;
  auto h = spawn(g, [] { throw std::runtime_error("words"); });
  auto const r = h.get();
  EXPECT_EQ(r.error().origin().where.line(), line);
  EXPECT_THAT(r.error().origin().where.file_name(), HasSubstr("spawn_test.cpp"));
  EXPECT_EQ(r.error().origin().path, "job");
  EXPECT_EQ(g.wait().origin().where.line(), line);
}

TEST_F(Spawn, the_first_the_last_or_all_may_fail) {
  on_every_way([](group& g) {
    for (int const bad : {0, 9, -1}) {
      std::vector<handle<int>> all;
      for (int i = 0; i != 10; ++i) {
        all.push_back(spawn(g, [i, bad, a = counted()]() -> result<int> {
          if (bad == -1 || i == bad) {
            return cause();
          }
          return i;
        }));
      }
      error const e = g.wait();
      EXPECT_EQ(e, cause());
      for (int i = 0; i != 10; ++i) {
        auto const r = all[static_cast<std::size_t>(i)].get();
        if (r) {
          EXPECT_EQ(*r, i);
        } else {
          EXPECT_EQ(r.error(), cause()) << "the cause, if it did not run";
        }
        if (i == bad) {
          EXPECT_FALSE(r);
        }
      }
      g.reset();
    }
  });
}

TEST_F(Spawn, E5_with_keep_going_the_others_have_their_values) {
  on_every_way(
      [](group& g) {
        std::vector<handle<int>> all;
        for (int i = 0; i != 10; ++i) {
          all.push_back(spawn(g, [i]() -> result<int> {
            if (i % 2 == 0) {
              return cause();
            }
            return i;
          }));
        }
        error const e = g.wait();
        EXPECT_EQ(e, cause());
        EXPECT_EQ(e.others().size(), 4U);
        EXPECT_EQ(e.skipped(), 0U);
        for (int i = 0; i != 10; ++i) {
          auto const r = all[static_cast<std::size_t>(i)].get();
          EXPECT_EQ(r.has_value(), i % 2 != 0);
        }
      },
      {.policy = on_error::keep_going, .errors = keep::all});
}

TEST_F(Spawn, E1_keep_all_lists_no_failure_twice) {
  // The second one is told the cause because it was running when the first one failed.
  for (bool const fails_too : {false, true}) {
    gate running("the second task to run");
    group g{{.limit = 2, .errors = keep::all}};
    auto second = spawn(g, [&](std::stop_token t) -> result<int> {
      running.open();
      until_stopped(t);
      if (fails_too) {
        return other();
      }
      return 1;
    });
    auto first = spawn(g, [&]() -> std::error_code {
      running.wait();
      return cause();
    });
    error const e = g.wait();
    EXPECT_EQ(e, cause());
    EXPECT_EQ(e.others().size(), fails_too ? 1U : 0U) << e.message();
    EXPECT_EQ(first.get().error(), cause());
    auto const r = second.get();
    ASSERT_FALSE(r) << "half of a value, maybe";
    EXPECT_EQ(r.error(), fails_too ? other() : cause());
  }
}

// --- cancelling just one ---------------------------------------------------------------------

TEST_F(Spawn, cancelled_before_it_starts_it_is_not_run_and_the_group_goes_on) {
  for (int const limit : {1, 2}) {
    gate go("the test to have cancelled");
    group g{{.limit = limit}};
    std::vector<handle<int>> held;
    for (int i = 0; i != limit; ++i) {
      held.push_back(spawn(g, [&] {
        go.wait();
        return 1;
      }));
    }
    bool ran = false;
    auto h = spawn(g, [&ran, a = counted()] { ran = true; });
    auto after = spawn(g, [] { return 2; });
    EXPECT_FALSE(h.ready());
    h.cancel();
    EXPECT_TRUE(h.ready()) << "at once";
    EXPECT_EQ(counted::live(), 0) << "its callable, too";
    h.cancel();  // again
    EXPECT_EQ(h.get().error(), errc::canceled);
    go.open();
    for (auto& one : held) {
      EXPECT_EQ(one.get().value(), 1);
    }
    EXPECT_EQ(after.get().value(), 2);
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
    EXPECT_FALSE(ran);
    EXPECT_FALSE(g.is_canceling());
  }
}

TEST_F(Spawn, cancelled_while_it_runs_it_sees_it_and_the_group_goes_on) {
  for (bool const inside : {false, true}) {
    for (bool const returns : {false, true}) {
      gate running("the task to run");
      group g{{.limit = 3}};
      auto h = spawn(g, [&, a = counted()](std::stop_token t) -> result<int> {
        running.open();
        until_stopped(t);
        EXPECT_TRUE(errgroup::check());
        if (returns) {
          return 1;  // half of what it should be
        }
        return errc::canceled;
      });
      running.wait();
      // Before the sibling, which may take the only thread there is until the first one has ended.
      handle<void> canceler;
      if (inside) {
        canceler = spawn(g, [&] { h.cancel(); });
      }
      auto sibling = spawn(g, [&](std::stop_token t) {
        h.wait();
        EXPECT_FALSE(t.stop_requested());
        EXPECT_FALSE(errgroup::check());
        return 7;
      });
      if (inside) {
        EXPECT_FALSE(g.wait());  // takes part, so that there is a second thread
        EXPECT_TRUE(canceler.get());
      } else {
        h.cancel();
      }
      EXPECT_EQ(sibling.get().value(), 7);
      EXPECT_EQ(h.get().error(), errc::canceled);
      EXPECT_FALSE(g.wait());
      EXPECT_FALSE(g.is_canceling());
    }
  }
}

TEST_F(Spawn, cancelled_by_itself_it_is_not_run_on) {
  group g{{.limit = 1}};
  gate there("the handle to be there");
  handle<int> h;
  h = spawn(g, [&](std::stop_token t) {
    there.wait();
    h.cancel();
    return t.stop_requested() ? 1 : 2;
  });
  there.open();
  EXPECT_EQ(g.wait(), error());
  EXPECT_EQ(h.get().error(), errc::canceled);
}

TEST_F(Spawn, C2_cancelling_it_cancels_all_that_it_started) {
  for (int const limit : {1, unlimited}) {
    gate running("the innermost task to run");
    group g{{.limit = 2}};
    error inner_says;
    bool loop_gave_up = false;
    auto h = spawn(g, [&] {
      group inner{{.limit = limit}};
      auto innermost = spawn(inner, [&](std::stop_token t) {
        group last;
        last.run([&] {
          running.open();
          until_stopped(t);
          tbb::parallel_for(0, 10, [](int) {});
          loop_gave_up = static_cast<bool>(errgroup::check());
        });
        return last.wait();
      });
      inner_says = inner.wait();
      EXPECT_EQ(innermost.get().error(), errc::canceled);
      return inner_says;
    });
    running.wait();
    h.cancel();
    EXPECT_EQ(h.get().error(), errc::canceled);
    EXPECT_EQ(inner_says, errc::canceled);
    EXPECT_TRUE(loop_gave_up);
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
  }
}

TEST_F(Spawn, what_it_fails_with_after_it_was_cancelled_fails_the_group) {
  gate running("the task to run");
  group g{{.limit = 1}};
  auto h = spawn(g, [&](std::stop_token t) {
    running.open();
    until_stopped(t);
    return cause();
  });
  running.wait();
  h.cancel();
  EXPECT_EQ(h.get().error(), cause());
  EXPECT_EQ(g.wait(), cause());
}

TEST_F(Spawn, cancelled_after_it_has_finished_it_keeps_its_value) {
  on_every_way([](group& g) {
    auto h = spawn(g, [] { return 5; });
    h.wait();
    h.cancel();
    EXPECT_EQ(h.get().value(), 5);
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, cancelled_beside_one_who_waits_for_it) {
  gate running("the task to run");
  group g{{.limit = 1}};
  auto first = spawn(g, [&](std::stop_token t) {
    running.open();
    until_stopped(t);
  });
  auto second = spawn(g, [] {});
  running.wait();
  std::thread a([&] { first.wait(); });
  std::thread b([&] { second.wait(); });
  second.cancel();
  b.join();
  first.cancel();
  a.join();
  EXPECT_EQ(first.get().error(), errc::canceled);
  EXPECT_EQ(second.get().error(), errc::canceled);
  EXPECT_FALSE(g.wait());
}

/// Takes its time to go.
struct goes_slowly {
  explicit goes_slowly(gate& g) : going(&g) {}
  goes_slowly(goes_slowly&& o) noexcept : going(std::exchange(o.going, nullptr)) {}
  goes_slowly& operator=(goes_slowly&&) = delete;
  goes_slowly(goes_slowly const&) = delete;
  goes_slowly& operator=(goes_slowly const&) = delete;
  ~goes_slowly() {
    if (going != nullptr) {
      going->open();
      support::let_others_work();
      support::dawdle(1000);
    }
  }
  counted alive;
  gate* going;
};

TEST_F(Spawn, W1_the_group_waits_for_one_who_cancels_to_be_done_with_the_callable) {
  gate running("the first task to run");
  gate go("the second to be cancelled");
  gate going("the callable to go");
  group g{{.limit = 1}};
  g.run([&] {
    running.open();
    go.wait();
  });
  running.wait();
  auto h = spawn(g, [slow = goes_slowly(going)] {});
  std::thread canceler([&] { h.cancel(); });
  going.wait();
  go.open();
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(counted::live(), 0);
  canceler.join();
}

// --- cancelling the group --------------------------------------------------------------------

TEST_F(Spawn, E3_the_handle_of_a_task_that_did_not_run_tells_why) {
  gate begun("the first task to run");
  gate go("the test to have cancelled");
  group g{{.limit = 1}};
  auto running = spawn(g, [&] {
    begun.open();
    go.wait();
    return 1;
  });
  begun.wait();
  auto waiting = spawn(g, [a = counted()] { return 2; });
  g.cancel(cause());
  waiting.wait();
  EXPECT_EQ(waiting.get().error(), cause());
  auto refused = spawn(g, [a = counted()] { return 3; });
  EXPECT_TRUE(refused.ready());
  EXPECT_EQ(counted::live(), 0);
  EXPECT_EQ(refused.get().error(), cause());
  go.open();
  EXPECT_EQ(running.get().error(), cause());
  error const e = g.wait();
  EXPECT_EQ(e, cause());
  EXPECT_EQ(e.skipped(), 2U);
}

TEST_F(Spawn, E3_a_stop_token_of_the_options_stops_it) {
  std::stop_source source;
  gate running("the task to run");
  group g{{.limit = 1, .stop = source.get_token()}};
  auto h = spawn(g, [&](std::stop_token t) {
    running.open();
    until_stopped(t);
    return 1;
  });
  running.wait();
  source.request_stop();
  EXPECT_EQ(h.get().error(), errc::canceled);
  EXPECT_EQ(g.wait(), errc::canceled);

  group late{{.stop = source.get_token()}};
  EXPECT_EQ(spawn(late, [] { return 1; }).get().error(), errc::canceled);
  EXPECT_EQ(late.wait(), errc::canceled);
}

TEST_F(Spawn, E3_a_deadline_stops_it) {
  group g{{.limit = 1, .timeout = std::chrono::milliseconds(1)}};
  auto h = spawn(g, [&](std::stop_token t) {
    until_stopped(t);
    return 1;
  });
  auto waiting = spawn(g, [] { return 1; });
  EXPECT_EQ(h.get().error(), errc::deadline_exceeded);
  EXPECT_EQ(waiting.get().error(), errc::deadline_exceeded);
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST_F(Spawn, E3_the_cause_of_a_group_above_is_told) {
  gate running("the task to run");
  group outer{{.limit = 2}};
  result<int> told(0);
  outer.run([&]() -> error {
    group g;
    auto h = spawn(g, [&](std::stop_token t) {
      running.open();
      until_stopped(t);
      return 1;
    });
    told = h.get();
    return g.wait();
  });
  running.wait();
  outer.cancel(cause());
  EXPECT_EQ(outer.wait(), cause());
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error(), cause());
}

// --- lifetimes -------------------------------------------------------------------------------

TEST_F(Spawn, a_dropped_handle_leaves_the_task_alone) {
  on_every_way([](group& g) {
    std::atomic<int> ran{0};
    for (int i = 0; i != 20; ++i) {
      (void)spawn(g, [&ran, a = counted()] {
        ++ran;
        return counted();
      });
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 20);
    EXPECT_EQ(counted::live(), 0);
  });
}

TEST_F(Spawn, a_handle_outlives_its_group) {
  handle<counted> h;
  handle<counted> dropped;
  {
    group g;
    h = spawn(g, [a = counted()] { return counted(); });
    EXPECT_FALSE(g.wait());
  }
  EXPECT_TRUE(h.ready());
  h.wait();
  h.cancel();
  EXPECT_TRUE(h.get());
  gate go("the group to be cancelled");
  std::optional<group> g;
  g.emplace(options{.limit = 1});
  g->run([&](std::stop_token t) { until_stopped(t); });
  dropped = spawn(*g, [a = counted()] { return counted(); });
  g.reset();
  EXPECT_TRUE(dropped.ready());
  dropped.cancel();
  EXPECT_EQ(dropped.get().error(), errc::canceled);
}

TEST_F(Spawn, a_handle_outlives_the_task_that_its_group_was_made_in) {
  handle<int> h;
  group outer;
  EXPECT_FALSE(outer.run_and_wait([&] {
    group g;
    h = spawn(g, [] { return 1; });
    return g.wait();
  }));
  outer.cancel();
  h.cancel();
  EXPECT_EQ(h.get().value(), 1);
}

TEST_F(Spawn, a_handle_is_moved) {
  group g;
  auto a = spawn(g, [] { return 1; });
  handle<int> b = std::move(a);
  EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move)
  a = std::move(b);
  EXPECT_EQ(a.get().value(), 1);
  static_assert(!std::is_copy_constructible_v<handle<int>>);
  static_assert(!std::is_copy_assignable_v<handle<int>>);
  static_assert(std::is_nothrow_move_constructible_v<handle<int>>);
  EXPECT_FALSE(g.wait());
}

template <class Call>
void expect_refused(Call call) {
  try {
    call();
    ADD_FAILURE() << "not refused";
  } catch (std::logic_error const& e) {
    EXPECT_THAT(e.what(), HasSubstr("this handle has no task"));
  }
}

TEST_F(Spawn, a_handle_without_a_task_says_so_in_words) {
  group g;
  handle<int> used = spawn(g, [] { return 1; });
  EXPECT_TRUE(used.get());
  handle<int> moved = spawn(g, [] { return 1; });
  handle<int> const target = std::move(moved);
  for (handle<int>* h : {&used, &moved}) {
    EXPECT_FALSE(h->valid());
    expect_refused([h] { (void)h->get(); });
    expect_refused([h] { h->wait(); });
    expect_refused([h] { h->cancel(); });
    expect_refused([h] { (void)h->ready(); });
  }
  EXPECT_FALSE(handle<void>().valid());
  expect_refused([] { (void)handle<void>().get(); });
  EXPECT_FALSE(g.wait());
}

TEST_F(Spawn, an_empty_callable_is_refused_in_words) {
  group g;
  std::function<int()> const none;
  EXPECT_THROW((void)spawn(g, none), std::invalid_argument);
  EXPECT_THROW((void)spawn(g, static_cast<int (*)()>(nullptr)), std::invalid_argument);
  EXPECT_FALSE(g.wait());
}

// --- waiting inside --------------------------------------------------------------------------

TEST_F(Spawn, W3_a_task_that_waits_for_itself_is_told_so) {
  watchdog const guard("a task that waits for itself");
  at_any_limit([](group& g) {
    gate there("the handle to be there");
    handle<int> h;
    std::thread keeps([&] {
      h = spawn(g, [&] {
        there.wait();
        auto const r = h.get();
        EXPECT_EQ(r.error(), errc::would_deadlock);
        EXPECT_TRUE(h.valid());
        h.wait();
        EXPECT_FALSE(h.ready());
        group inner;
        error const below = inner.run_and_wait([&]() -> error { return h.get().error(); });
        EXPECT_EQ(below, errc::would_deadlock);
        return 4;
      });
      there.open();
      error const e = g.wait();
      EXPECT_FALSE(e) << e;
    });
    keeps.join();
    EXPECT_EQ(h.get().value(), 4);
  });
}

TEST_F(Spawn, L4_a_task_waits_for_one_that_it_has_spawned_at_any_limit) {
  watchdog const guard("a task that waits for its child");
  at_any_limit([](group& g) {
    auto h = spawn(g, [&] {
      auto child = spawn(g, [&] {
        auto grandchild = spawn(g, [] { return 1; });
        return grandchild.get().value() + 1;
      });
      return child.get().value() + 1;
    });
    EXPECT_EQ(h.get().value(), 3);
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, L4_a_chain_of_siblings_each_waiting_for_the_one_before) {
  watchdog const guard("a chain");
  at_any_limit([](group& g) {
    std::vector<handle<int>> chain(200);
    chain[0] = spawn(g, [] { return 0; });
    for (std::size_t i = 1; i != chain.size(); ++i) {
      chain[i] = spawn(g, [&before = chain[i - 1]]() -> result<int> {
        auto r = before.get();
        if (!r) {
          return r.error();
        }
        return *r + 1;
      });
    }
    auto const last = chain.back().get();
    ASSERT_TRUE(last) << last.error();
    EXPECT_EQ(*last, 199);
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, L4_a_chain_of_siblings_each_waiting_for_the_one_behind) {
  watchdog const guard("a chain, backwards");
  at_any_limit([](group& g) {
    constexpr std::size_t n = 50;
    std::vector<handle<int>> chain(n + 1);
    gate there("all handles to be there");
    chain[n] = spawn(g, [&] { return 0; });
    g.run([&] {
      // Inside, so that none of them starts too soon at a limit of 1.
      for (std::size_t i = n; i-- != 0;) {
        chain[i] = spawn(g, [&behind = chain[i + 1]]() -> result<int> {
          auto r = behind.get();
          if (!r) {
            return r.error();
          }
          return *r + 1;
        });
      }
    });
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(chain[0].get().value(), int(n));
  });
}

TEST_F(Spawn, L4_a_sibling_that_waits_for_one_who_waits_is_not_taken_for_that_one) {
  // `b` depends on `a`, and `a` on `c`: no circle. But `b` comes before `c` in the queue.
  watchdog const guard("b, which waits for a, which waits for c");
  at_any_limit([](group& g) {
    handle<int> a;
    handle<int> b;
    gate queued("b to be queued");
    std::thread other([&] {
      a = spawn(g, [&] {
        queued.wait();
        auto c = spawn(g, [] { return 1; });
        return c.get().value();
      });
      b = spawn(g, [&]() -> result<int> {
        auto r = a.get();
        if (!r) {
          return r.error();
        }
        return *r + 1;
      });
      queued.open();
      error const e = g.wait();
      EXPECT_FALSE(e) << e;
    });
    other.join();
    auto const r = b.get();
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(*r, 2);
  });
}

int fib(group& g, int n) {
  if (n < 2) {
    return n;
  }
  auto left = spawn(g, [&g, n] { return fib(g, n - 1); });
  int const right = fib(g, n - 2);
  return left.get().value() + right;
}

TEST_F(Spawn, L4_a_tree_of_handles_at_any_limit) {
  watchdog const guard("fib");
  at_any_limit([](group& g) {
    auto h = spawn(g, [&g] { return fib(g, 13); });
    EXPECT_EQ(h.get().value(), 233);
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, L4_two_tasks_wait_for_a_third) {
  watchdog const guard("two that wait for a third");
  at_any_limit([](group& g) {
    auto third = spawn(g, [] {});
    auto first = spawn(g, [&] {
      third.wait();
      return 1;
    });
    auto second = spawn(g, [&] {
      third.wait();
      return 1;
    });
    EXPECT_EQ(first.get().value() + second.get().value(), 2);
    EXPECT_TRUE(third.get());
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, E1_a_task_that_fails_under_one_who_waits_for_it_fails_the_group) {
  watchdog const guard("a task that fails");
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    at_any_limit(
        [](group& g) {
          auto h = spawn(g, [&] {
            auto child = spawn(g, []() -> std::error_code { return cause(); });
            EXPECT_EQ(child.get().error(), cause());
            return 1;
          });
          (void)h.get();
          error const e = g.wait();
          EXPECT_EQ(e, cause());
          EXPECT_THAT(e.origin().where.file_name(), HasSubstr("spawn_test.cpp"));
        },
        {.policy = policy});
  }
}

TEST_F(Spawn, L1_who_waits_inside_shares_its_slot) {
  for (int const limit : {1, 2}) {
    group g{{.limit = limit}};
    std::atomic<int> now{0};
    std::atomic<int> most{0};
    auto const count = [&](int by) {
      int const n = now += by;
      for (int m = most; m < n && !most.compare_exchange_weak(m, n);) {
      }
    };
    std::function<int(int)> tree = [&](int n) {
      if (n < 2) {
        count(1);
        count(-1);
        return 1;
      }
      auto left = spawn(g, [&, n] { return tree(n - 1); });
      auto right = spawn(g, [&, n] { return tree(n - 2); });
      return left.get().value() + right.get().value();
    };
    EXPECT_EQ(spawn(g, [&] { return tree(12); }).get().value(), 233);
    EXPECT_FALSE(g.wait());
    EXPECT_LE(most, limit);
  }
}

TEST_F(Spawn, a_bounded_queue_makes_room_first) {
  watchdog const guard("a bounded queue");
  for (std::size_t const room : {std::size_t(0), std::size_t(1), std::size_t(5)}) {
    at_any_limit(
        [](group& g) {
          std::vector<handle<int>> all;
          for (int i = 0; i != 50; ++i) {
            all.push_back(spawn(g, [i, &g] {
              auto inner = spawn(g, [i] { return i; });
              return inner.get().value();
            }));
          }
          int sum = 0;
          for (auto& h : all) {
            sum += h.get().value();
          }
          EXPECT_EQ(sum, 49 * 50 / 2);
          EXPECT_FALSE(g.wait());
        },
        {.queue = room});
  }
}

TEST_F(Spawn, L7_an_arena_of_the_options_runs_it) {
  tbb::task_arena arena(2);
  for (int const limit : {1, 2, unlimited}) {
    group g{{.limit = limit, .arena = &arena}};
    arena.execute([&] {  // who waits works where it waits
      auto h = spawn(g, [&] {
        auto inner = spawn(g, [] { return tbb::this_task_arena::max_concurrency(); });
        return inner.get().value();
      });
      EXPECT_EQ(h.get().value(), 2);
    });
    EXPECT_FALSE(g.wait());
  }
}

TEST_F(Spawn, W2_a_wait_from_outside_runs_what_comes_from_where_nobody_comes) {
  watchdog const guard("a handle of what an arena without workers sent");
  support::with_workers(1, [&] {
    tbb::task_arena alone(1);
    for (int round = 0; round != 50; ++round) {
      group g;
      gate comes("the task from the arena without workers to run");
      gate started("a worker to run the task that waits");  // this thread must not run it
      auto h = spawn(g, [&] {
        started.open();
        comes.wait();
      });
      started.wait();
      std::thread other([&] {
        support::dawdle(round);
        alone.execute([&] { g.run([&] { comes.open(); }); });
      });
      EXPECT_TRUE(h.get());
      other.join();
      EXPECT_FALSE(g.wait());
    }
  });
}

TEST_F(Spawn, W2_without_workers_from_another_thread) {
  watchdog const guard("a handle without workers");
  global_control const one(global_control::max_allowed_parallelism, 1);
  on_every_way([](group& g) {
    handle<int> h;
    handle<int> second;
    std::thread([&] {
      h = spawn(g, [&g] { return fib(g, 8); });
      second = spawn(g, [&h] { return h.get().value() + 1; });
    }).join();
    std::thread([&] { EXPECT_EQ(second.get().value(), 22); }).join();
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, W2_without_workers_all_that_works_with_them) {
  watchdog const guard("handles without workers");
  support::no_workers const alone;
  on_every_way([](group& g) {
    auto h = spawn(g, [&g] { return fib(g, 8); });
    auto outer = spawn(g, [&h] { return h.get().value() + 1; });
    EXPECT_EQ(outer.get().value(), 22);
    auto refused = spawn(g, [] { return 0; });
    refused.cancel();
    EXPECT_FALSE(refused.ready() && refused.get());
    auto failed = spawn(g, []() -> error { return cause(); });
    EXPECT_EQ(failed.get().error(), cause());
    EXPECT_EQ(g.wait(), cause());
  });
}

// One who waits for a handle outside of the group does what comes after that when it is ready,
// whatever else is under way.
TEST_F(Spawn, a_wait_from_outside_ends_with_the_task) {
  constexpr int round_trips = 50;
  watchdog const guard("a wait from outside");
  for (int const threads : {2, 4}) {
    for (int const limit : {2, 3, unlimited}) {
      SCOPED_TRACE(testing::Message() << threads << " threads, limit " << limit);
      global_control const few(global_control::max_allowed_parallelism,
                               static_cast<std::size_t>(threads));
      for (int round = 0; round != 20; ++round) {
        gate done("the first wait to end");
        group g{{.limit = limit}};
        auto first = spawn(g, [] { support::dawdle(round_trips); });
        auto blocked = spawn(g, [&] { done.wait(); });
        first.wait();
        done.open();
        blocked.wait();
        EXPECT_FALSE(g.wait());
      }
    }
  }
}

TEST_F(Spawn, waits_from_outside_do_not_hold_up_one_another) {
  watchdog const guard("waits from outside");
  support::with_workers(3, [&] {
    for (int const limit : {2, 3}) {
      SCOPED_TRACE(limit);
      constexpr std::size_t n = 2;
      std::array<gate, n> go;
      std::array<gate, n> ended;
      support::rendezvous running(static_cast<int>(n) + 1);
      group g{{.limit = limit}};
      std::vector<handle<void>> all(n);
      for (std::size_t i = 0; i != n; ++i) {
        all[i] = spawn(g, [&, i] {
          running.arrive_and_wait();
          go[i].wait();
        });
      }
      running.arrive_and_wait();
      std::vector<std::thread> waiters;
      std::atomic<int> about{0};
      for (std::size_t i = 0; i != n; ++i) {
        waiters.emplace_back([&, i] {
          ++about;
          all[i].wait();
          ended[i].open();
        });
      }
      await([&] { return about == int(n); }, "threads to start");
      support::let_others_work();
      // The second task ends, and so does the wait for it, before the first; and the other way.
      go[1].open();
      ended[1].wait();
      go[0].open();
      ended[0].wait();
      for (auto& t : waiters) {
        t.join();
      }
      EXPECT_FALSE(g.wait());
    }
  });
}

TEST_F(Spawn, nested_in_itself) {
  watchdog const guard("handles in handles");
  on_every_way([](group& g) {
    auto h = spawn(g, [] {
      group inner{{.limit = 1}};
      auto deeper = spawn(inner, [] {
        group innermost;
        auto deepest = spawn(innermost, [] { return 1; });
        auto const r = deepest.get();
        EXPECT_FALSE(innermost.wait());
        return *r + 1;
      });
      auto const r = deeper.get();
      EXPECT_FALSE(inner.wait());
      return *r + 1;
    });
    EXPECT_EQ(h.get().value(), 3);
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(Spawn, W4_an_isolated_group_waits_with_a_mutex_held) {
  watchdog const guard("an isolated group");
  group g{{.limit = 2, .isolated = true}};
  std::mutex m;
  std::vector<handle<void>> all;
  group others;
  for (int i = 0; i != 50; ++i) {
    others.run([&] { std::scoped_lock const held(m); });
    all.push_back(spawn(g, [&] {
      auto inner = spawn(g, [] {});
      std::scoped_lock const held(m);
      group nested{{.isolated = true}};
      auto deep = spawn(nested, [] {});
      deep.wait();
      EXPECT_FALSE(nested.wait());
    }));
  }
  for (auto& h : all) {
    EXPECT_TRUE(h.get());
  }
  EXPECT_FALSE(g.wait());
  EXPECT_FALSE(others.wait());
}

// --- what goes wrong in spawn ----------------------------------------------------------------

TEST_F(Spawn, E6_a_throwing_copy_leaves_the_group_as_before) {
  on_every_way([](group& g) {
    support::throws_on_copy const f([] { return 1; });
    EXPECT_THROW((void)spawn(g, f), support::thrown_by_copy);
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(spawn(g, support::throws_on_copy([] { return 1; })).get().value(), 1);
    EXPECT_THROW((void)spawn(g, support::throws_on_move([] { return 1; })),
                 support::thrown_by_move);
    EXPECT_EQ(spawn(g, support::throws_on_move([] { return 1; }, 1)).get().value(), 1);
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(e.skipped(), 0U);
  });
}

void go_deep(int levels = 16) {
  if (levels != 0) {
    group g;
    EXPECT_FALSE(g.run_and_wait([levels] { go_deep(levels - 1); }));
  }
}

TEST_F(Spawn, E2_E6_whichever_allocation_fails_it_throws_or_tells) {
  global_control const one(global_control::max_allowed_parallelism, 1);
  go_deep();
  for (int const limit : {unlimited, 1}) {
    bool more = true;
    for (long n = 0; more; ++n) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", allocation " << n);
      ASSERT_LT(n, 1000);
      group g{{.limit = limit}};
      (void)g.wait();
      handle<std::string> h;
      bool ran = false;
      {
        failing_new const fails(n);
        try {
          h = spawn(g, [&ran, a = counted()](std::stop_token) {
            ran = true;
            return std::string(100, 'x');
          });
          h.wait();
        } catch (std::bad_alloc const&) {
          EXPECT_TRUE(failing_new::has_failed());
        }
        more = failing_new::has_failed();
      }
      error const e = g.wait();
      if (!h.valid()) {
        EXPECT_FALSE(e) << "spawn threw: the group is as before";
        EXPECT_FALSE(ran);
        EXPECT_EQ(counted::live(), 0);
        continue;
      }
      auto const r = h.get();
      EXPECT_EQ(r.has_value(), !e) << e;
      if (!r) {
        EXPECT_NE(r.error().get_if<std::bad_alloc>(), nullptr) << r.error();
        EXPECT_NE(e.get_if<std::bad_alloc>(), nullptr) << e;
      } else {
        EXPECT_EQ(*r, std::string(100, 'x'));
      }
    }
  }
}

struct throws_when_moved {
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved&&) { throw std::runtime_error("moved"); }
};

TEST_F(Spawn, E2_a_value_that_cannot_be_moved_out_is_a_failure) {
  on_every_way([](group& g) {
    auto h = spawn(g, [] { return throws_when_moved(); });
    h.wait();
    EXPECT_TRUE(h.ready());
    error const e = g.wait();
    EXPECT_NE(e.get_if<std::runtime_error>(), nullptr) << e;
    g.reset();
  });
}

// --- on_exception::terminate -----------------------------------------------------------------

struct says_unwound {
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

void throw_in_spawned(options opts) {
  watchdog const guard("a task that throws");
  opts.exceptions = on_exception::terminate;
  group g(opts);
  auto h = spawn(g, []() -> int {
    says_unwound const on_the_stack;
    throw std::runtime_error("the disk is full");
  });
  (void)h.get();
  (void)g.wait();
}

TEST(SpawnDeathTest, an_exception_ends_the_process_where_it_was_thrown) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto const words =
      testing::AllOf(HasSubstr("the disk is full"), testing::Not(HasSubstr("unwound")));
  EXPECT_DEATH(throw_in_spawned({}), words);
  EXPECT_DEATH(throw_in_spawned({.limit = 1}), words);
}

TEST_F(Spawn, what_is_returned_ends_no_process) {
  group g{{.exceptions = on_exception::terminate}};
  EXPECT_EQ(spawn(g, []() -> result<int> { return cause(); }).get().error(), cause());
  EXPECT_EQ(g.wait(), cause());
}

}  // namespace
