// SPDX-License-Identifier: Apache-2.0

// Deadlines, and why a group is cancelled: what E1, E3, C1, C2, C3, L4 and W1 mean when time does
// it.

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/lost_error.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // task_arena
#include <tbb/task_group.h>      // is_current_task_group_canceling

#include <atomic>        // atomic
#include <chrono>        // hours, milliseconds, minutes, nanoseconds, steady_clock, system_clock
#include <exception>     // exception
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <new>           // bad_alloc
#include <optional>      // optional
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_source, stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <thread>        // get_id, thread

namespace {

using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::on_error;
using errgroup::options;
using errgroup::testing::test_clock;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using support::await;
using support::counted;
using support::gate;
using support::on_every_way;

constexpr clock::time_point never = clock::time_point::max();

std::error_code failure() { return std::make_error_code(std::errc::no_space_on_device); }

class GroupDeadline : public support::no_leaks {};

/// Calls `body` with a limit, or without one.
template <class Body>
void with_and_without_limit(Body body) {
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    SCOPED_TRACE(testing::Message() << "limit " << limit);
    body(options{.limit = limit});
  }
}

// --- what it does ----------------------------------------------------------------------------

TEST_F(GroupDeadline, E1_C1_it_cancels_in_every_way_and_is_the_error) {
  on_every_way([](group& g) {
    bool raw = false;
    bool token = false;
    g.run([&](std::stop_token const& t) {
      g.set_deadline(clock::now() + milliseconds(1));
      await([&] { return g.is_canceling(); }, "is_canceling");
      await([&] { return token = t.stop_requested(); }, "the token to stop");
      await([&] { return raw = tbb::is_current_task_group_canceling(); }, "oneTBB's word");
    });
    error const e = g.wait();
    EXPECT_EQ(e, errc::deadline_exceeded);
    EXPECT_EQ(e, std::errc::timed_out);
    EXPECT_NE(e, std::errc::operation_canceled);
    EXPECT_NE(e.message().find("deadline"), std::string::npos);
    EXPECT_TRUE(raw);
    EXPECT_TRUE(token);
    EXPECT_EQ(g.cause(), errc::deadline_exceeded);
    EXPECT_EQ(g.wait(), errc::deadline_exceeded) << "it stays";
  });
}

TEST_F(GroupDeadline, E1_a_timeout_begins_when_the_group_is_made) {
  with_and_without_limit([](options opts) {
    test_clock c;
    opts.timeout = hours(1);
    auto const begin = clock::now();
    group g(opts);
    EXPECT_EQ(g.deadline(), begin + hours(1));
    c.advance(hours(1) - nanoseconds(1));
    EXPECT_FALSE(g.is_canceling());
    EXPECT_FALSE(g.run_and_wait([] {}));
    c.advance(nanoseconds(1));
    EXPECT_TRUE(g.is_canceling());
    bool ran = false;
    g.run([&] { ran = true; });
    error const e = g.wait();
    EXPECT_EQ(e, errc::deadline_exceeded);
    EXPECT_EQ(e.skipped(), 1U);
    EXPECT_FALSE(ran);
    EXPECT_EQ(g.deadline(), begin + hours(1)) << "it is the same when it has passed";
  });
}

TEST_F(GroupDeadline, E1_a_failure_before_it_stays_the_error) {
  with_and_without_limit([](options opts) {
    for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
      test_clock c;
      opts.policy = policy;
      opts.timeout = hours(1);
      group g(opts);
      g.run([] { return failure(); });
      EXPECT_EQ(g.wait(), failure());
      c.advance(hours(1));
      EXPECT_TRUE(g.is_canceling());
      EXPECT_EQ(g.wait(), failure());
    }
  });
}

TEST_F(GroupDeadline, E1_a_failure_that_follows_from_it_is_not_the_error) {
  with_and_without_limit([](options opts) {
    test_clock c;
    opts.timeout = hours(1);
    group g(opts);
    gate started("the task to start");
    g.run([&](std::stop_token const& t) {
      started.open();
      await([&] { return t.stop_requested(); }, "the deadline");
      return failure();
    });
    support::waiters waiter(g, 1);
    started.wait();
    c.advance(hours(1));
    EXPECT_EQ(waiter.errors()[0], errc::deadline_exceeded);
  });
}

TEST_F(GroupDeadline, E3_C1_what_waits_for_a_slot_is_skipped_counted_and_destroyed) {
  test_clock c;
  group g{{.limit = 1, .timeout = hours(1)}};
  gate started("the first task to start");
  gate go("the deadline to have passed");
  std::atomic<int> ran{0};
  g.run([&] {
    started.open();
    go.wait();
  });
  started.wait();
  for (int i = 0; i != 50; ++i) {
    g.run([&ran, a = counted()] { ++ran; });
  }
  for (int i = 0; i != 50; ++i) {
    g.run_after(hours(2), [&ran, a = counted()] { ++ran; });
  }
  c.advance(hours(1));
  go.open();
  error const e = g.wait();
  EXPECT_EQ(e, errc::deadline_exceeded);
  EXPECT_EQ(e.skipped(), 100U);
  EXPECT_EQ(counted::live(), 0);
  EXPECT_EQ(ran, 0);
}

TEST_F(GroupDeadline, W1_of_a_hundred_thousand_tasks_none_is_left_when_wait_returns) {
  test_clock c;
  group g{{.timeout = hours(1)}};
  for (int i = 0; i != 100'000; ++i) {
    g.run_after(hours(2) + nanoseconds(i * 7919 % 100'003), [a = counted()] {});
  }
  c.advance(hours(1));
  error const e = g.wait();
  EXPECT_EQ(counted::live(), 0);
  EXPECT_EQ(e, errc::deadline_exceeded);
  EXPECT_EQ(e.skipped(), 100'000U);
}

TEST_F(GroupDeadline, L4_run_at_a_full_queue_wakes_when_it_passes) {
  for (bool const has_token : {false, true}) {
    for (int round = 0; round != 50; round += 10) {
      test_clock c;
      group g{{.limit = 1, .queue = 0, .timeout = hours(1)}};
      std::optional<std::stop_token> token;
      if (has_token) {
        token = g.get_stop_token();
      }
      gate started("the task to start");
      gate submitter_is_back("run to return, at the full queue of a group whose time is up");
      g.run([&] {
        started.open();
        submitter_is_back.wait();  // the slot stays taken
      });
      started.wait();
      std::thread submitter([&] {
        g.run([a = counted()] {});
        submitter_is_back.open();
      });
      support::dawdle(20 * round);
      c.advance(hours(1));
      submitter.join();
      EXPECT_EQ(g.wait().skipped(), 1U);
    }
  }
}

TEST_F(GroupDeadline, it_tells_the_name_of_the_group) {
  test_clock c;
  group g{{.timeout = hours(1), .name = "search"}};
  c.advance(hours(1));
  error const e = g.wait();
  EXPECT_EQ(e.origin().path, "search");
  EXPECT_NE(e.message().find("search"), std::string::npos) << e;
}

TEST_F(GroupDeadline, all_errors_are_told_with_it_among_them) {
  for (bool const passed_before : {false, true}) {
    test_clock c;
    group g{{.policy = on_error::keep_going, .errors = errgroup::keep::all}};
    EXPECT_EQ(g.run_and_wait([] { return failure(); }), failure());
    g.set_deadline(clock::now() + (passed_before ? hours(0) : hours(1)));
    c.advance(hours(1));
    error const e = g.wait();
    EXPECT_EQ(e, failure());
    ASSERT_EQ(e.others().size(), 1U) << passed_before;
    EXPECT_EQ(e.others()[0], errc::deadline_exceeded);
  }
}

// --- when ------------------------------------------------------------------------------------

TEST_F(GroupDeadline, set_deadline_replaces_what_was_before_whichever_is_earlier) {
  test_clock c;
  group g{{.timeout = hours(2)}};
  auto const begin = clock::now();
  g.set_deadline(begin + hours(4));
  EXPECT_EQ(g.deadline(), begin + hours(4));
  c.advance(hours(3));
  EXPECT_FALSE(g.is_canceling());
  g.set_deadline(never);
  EXPECT_EQ(g.deadline(), never);
  c.advance(hours(3));
  EXPECT_FALSE(g.is_canceling());
  g.set_deadline(begin + hours(9));
  g.set_deadline(begin + hours(8));
  c.advance_to(begin + hours(8));
  EXPECT_TRUE(g.is_canceling());
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST_F(GroupDeadline, one_in_the_past_cancels_at_once) {
  on_every_way([](group& g) {
    g.set_deadline(clock::now());
    EXPECT_TRUE(g.is_canceling());
    g.run([a = counted()] {});
    error const e = g.wait();
    EXPECT_EQ(e, errc::deadline_exceeded);
    EXPECT_EQ(e.skipped(), 1U);
  });
  for (auto const timeout : {nanoseconds(0), nanoseconds(-1), nanoseconds::min()}) {
    group g{{.timeout = timeout}};
    EXPECT_TRUE(g.is_canceling());
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
  }
  group g;
  g.set_deadline(clock::time_point::min());
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST_F(GroupDeadline, one_at_the_end_of_all_time_is_none) {
  test_clock c;
  group timeout{{.timeout = nanoseconds::max()}};
  EXPECT_EQ(timeout.deadline(), never);
  group g;
  EXPECT_EQ(g.deadline(), never);
  g.set_deadline(never);
  EXPECT_EQ(g.deadline(), never);
  group coarse;
  coarse.set_deadline(std::chrono::time_point<std::chrono::steady_clock, hours>::max());
  EXPECT_EQ(coarse.deadline(), never);
  group of_system;
  of_system.set_deadline(std::chrono::system_clock::time_point::max());
  EXPECT_EQ(of_system.deadline(), never);
  c.advance(hours(24 * 365 * 100));
  for (group* each : {&timeout, &g, &coarse, &of_system}) {
    EXPECT_FALSE(each->is_canceling());
    EXPECT_FALSE(each->wait());
  }
}

TEST_F(GroupDeadline, a_time_of_the_system_s_clock_will_do) {
  test_clock c;
  group g;
  g.set_deadline(std::chrono::system_clock::now() + hours(1));
  c.advance(minutes(59));
  EXPECT_FALSE(g.is_canceling());
  c.advance(minutes(1));
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
  group past;
  past.set_deadline(std::chrono::system_clock::time_point::min());
  EXPECT_EQ(past.wait(), errc::deadline_exceeded);
}

TEST_F(GroupDeadline, setting_one_on_a_cancelled_group_changes_nothing) {
  test_clock c;
  group g;
  g.cancel(failure());
  g.set_deadline(clock::now() + hours(1));
  c.advance(hours(1));
  EXPECT_EQ(g.wait(), failure());
  EXPECT_EQ(g.cause(), failure());
  g.set_deadline(clock::now());
  EXPECT_EQ(g.wait(), failure());
}

// --- no trace of it --------------------------------------------------------------------------

TEST_F(GroupDeadline, a_group_that_is_done_before_leaves_no_trace_of_it) {
  test_clock c;
  on_every_way(
      [](group& g) {
        int ran = 0;
        g.run([&] { ++ran; });
        error const e = g.wait();
        EXPECT_FALSE(e);
        EXPECT_EQ(ran, 1);
        EXPECT_EQ(e.skipped(), 0U);
        EXPECT_FALSE(g.cause());
      },
      {.timeout = hours(1)});
  EXPECT_FALSE(c.advance_to_next());
}

error lost_error;

TEST_F(GroupDeadline, no_error_is_lost_if_it_passes_when_all_is_done_and_waited_for) {
  test_clock c;
  auto* const before = errgroup::set_lost_error_handler([](error const& e) { lost_error = e; });
  {
    group g{{.timeout = hours(1)}};
    EXPECT_FALSE(g.run_and_wait([] {}));
    c.advance(hours(2));
  }
  EXPECT_FALSE(lost_error) << lost_error;
  {
    group g{{.timeout = hours(1)}};
    g.run_after(hours(2), [] {});
    c.advance(hours(1));
  }
  EXPECT_EQ(lost_error, errc::deadline_exceeded) << "that one cancelled something";
  lost_error = {};
  errgroup::set_lost_error_handler(before);
}

// --- nested groups ---------------------------------------------------------------------------

TEST_F(GroupDeadline, C2_a_nested_group_gets_the_earlier_of_its_own_and_its_parent_s) {
  test_clock c;
  auto const begin = clock::now();
  for (int const limit : {errgroup::unlimited, 1}) {
    group outer{{.limit = limit, .timeout = hours(2)}};
    EXPECT_FALSE(outer.run_and_wait([&] {
      group none;
      group later{{.timeout = hours(3)}};
      group earlier{{.limit = 2, .timeout = hours(1)}};
      EXPECT_EQ(none.deadline(), begin + hours(2));
      EXPECT_EQ(later.deadline(), begin + hours(2));
      EXPECT_EQ(earlier.deadline(), begin + hours(1));
      EXPECT_FALSE(earlier.run_and_wait([&] {
        group inmost;
        EXPECT_EQ(inmost.deadline(), begin + hours(1));
        inmost.set_deadline(begin + minutes(90));
        EXPECT_EQ(inmost.deadline(), begin + hours(1));
        inmost.set_deadline(begin + minutes(30));
        EXPECT_EQ(inmost.deadline(), begin + minutes(30));
      }));
      outer.set_deadline(begin + minutes(10));
      EXPECT_EQ(later.deadline(), begin + minutes(10)) << "whenever it is set";
      outer.set_deadline(never);
      EXPECT_EQ(later.deadline(), begin + hours(3));
      EXPECT_EQ(none.deadline(), never);
    }));
  }
}

TEST_F(GroupDeadline, C2_the_parent_s_reaches_what_is_below_however_deep) {
  with_and_without_limit([](options opts) {
    test_clock c;
    opts.timeout = hours(1);
    group outer(opts);
    gate ready("the inmost task to start");
    error inner_error;
    error inner_cause;
    bool token = false;
    outer.run([&] {
      group middle{{.timeout = hours(2)}};
      (void)middle.run_and_wait([&] {
        group inner;
        inner.run([&](std::stop_token const& t) {
          ready.open();
          await([&] { return inner.is_canceling(); }, "the parent's deadline");
          await([&] { return t.stop_requested(); }, "the token");
          token = tbb::is_current_task_group_canceling();
        });
        inner_error = inner.wait();
        inner_cause = inner.cause();
      });
      EXPECT_EQ(middle.wait(), errc::canceled);
    });
    support::waiters waiter(outer, 1);
    ready.wait();
    c.advance(hours(1));
    EXPECT_EQ(waiter.errors()[0], errc::deadline_exceeded);
    EXPECT_EQ(inner_error, errc::canceled);
    EXPECT_EQ(inner_cause, errc::deadline_exceeded);
    EXPECT_TRUE(token);
  });
}

TEST_F(GroupDeadline, C2_C3_a_nested_group_s_is_not_its_parent_s) {
  test_clock c;
  group outer{{.timeout = hours(2)}};
  gate inside("the nested group to have its deadline");
  outer.run([&] {
    group inner{{.timeout = hours(1)}};
    inner.run([&] {
      inside.open();
      await([&] { return inner.is_canceling(); }, "the nested group's deadline");
      EXPECT_FALSE(outer.is_canceling());
    });
    EXPECT_EQ(inner.wait(), errc::deadline_exceeded);
    group sibling;
    EXPECT_FALSE(sibling.run_and_wait([] {}));
  });
  support::waiters waiter(outer, 1);
  inside.wait();
  c.advance(hours(1));
  EXPECT_FALSE(waiter.errors()[0]);
  EXPECT_FALSE(outer.cause());
}

TEST_F(GroupDeadline, C3_a_group_that_outlives_its_task_keeps_its_own_alone) {
  test_clock c;
  auto const begin = clock::now();
  for (int const limit : {errgroup::unlimited, 1}) {
    std::unique_ptr<group> g;
    {
      group outer{{.limit = limit, .timeout = hours(1)}};
      EXPECT_FALSE(outer.run_and_wait([&] {
        g = std::make_unique<group>(options{.timeout = hours(2)});
        EXPECT_FALSE(g->run_and_wait([] {}));
        EXPECT_EQ(g->deadline(), clock::now() + hours(1));
      }));
      EXPECT_EQ(g->deadline(), clock::now() + hours(2));
    }
    int ran = 0;
    g->run([&] { ++ran; });
    EXPECT_FALSE(g->wait());
    g->run_after(hours(3), [&] { ++ran; });
    c.advance(hours(1));
    EXPECT_FALSE(g->is_canceling());
    c.advance(hours(1));
    EXPECT_TRUE(g->is_canceling());
    EXPECT_EQ(g->wait(), errc::deadline_exceeded);
    EXPECT_EQ(ran, 1);
    EXPECT_FALSE(c.advance_to_next());
  }
  EXPECT_EQ(clock::now(), begin + hours(4));
}

TEST_F(GroupDeadline, C3_it_passes_for_an_idle_group_that_has_outlived_its_task) {
  test_clock c;
  std::unique_ptr<group> g;
  group outer;
  EXPECT_FALSE(
      outer.run_and_wait([&] { g = std::make_unique<group>(options{.timeout = hours(1)}); }));
  c.advance(hours(1));
  EXPECT_TRUE(g->is_canceling());
  EXPECT_EQ(g->wait(), errc::deadline_exceeded);
  g->reset();
  EXPECT_FALSE(g->run_and_wait([] {}));
}

// --- the end of a group ----------------------------------------------------------------------

TEST_F(GroupDeadline, reset_begins_a_timeout_anew_and_forgets_what_was_set) {
  with_and_without_limit([](options opts) {
    test_clock c;
    opts.timeout = hours(1);
    group g(opts);
    for (int i = 0; i != 3; ++i) {
      c.advance(minutes(59));
      EXPECT_FALSE(g.is_canceling());
      g.reset();
      EXPECT_EQ(g.deadline(), clock::now() + hours(1));
    }
    g.set_deadline(clock::now() + minutes(1));
    g.reset();
    c.advance(minutes(59));
    EXPECT_FALSE(g.is_canceling());
    c.advance(minutes(1));
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
    g.reset();
    EXPECT_FALSE(g.is_canceling());
    EXPECT_FALSE(g.cause());
    EXPECT_FALSE(g.run_and_wait([] {}));
    c.advance(hours(1));
    EXPECT_EQ(g.wait(), errc::deadline_exceeded) << "again";

    group without;
    without.set_deadline(clock::now() + hours(1));
    without.reset();
    EXPECT_EQ(without.deadline(), never);
    c.advance(hours(2));
    EXPECT_FALSE(without.wait());
  });
}

TEST_F(GroupDeadline, after_reset_one_can_be_set_to_the_same_time_and_none_is_left) {
  test_clock c;
  auto const at = clock::now() + hours(1);
  group g;
  g.set_deadline(at);
  EXPECT_FALSE(g.wait());
  g.reset();
  g.set_deadline(at);
  c.advance(hours(1));
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
  g.reset();
  g.set_deadline(at + hours(1));
  g.reset();
  EXPECT_FALSE(c.advance_to_next()) << "something is left";
}

TEST_F(GroupDeadline, reset_is_refused_while_a_task_waits_for_its_time_and_changes_nothing) {
  test_clock c;
  auto const begin = clock::now();
  group g{{.timeout = hours(1)}};
  g.run_after(hours(2), [a = counted()] {});
  EXPECT_THROW(g.reset(), std::logic_error);
  EXPECT_EQ(g.deadline(), begin + hours(1));
  EXPECT_EQ(counted::live(), 1);
  c.advance(hours(1));
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST_F(GroupDeadline, the_destructor_needs_no_deadline_to_come) {
  support::watchdog const guard("groups that end before their deadlines");
  with_and_without_limit([](options opts) {
    opts.timeout = hours(1);
    group g(opts);
    g.run_after(hours(2), [a = counted()] {});
  });
}

TEST_F(GroupDeadline, one_of_a_group_that_leaves_its_task_keeps_no_other_waiting) {
  support::watchdog const guard("a task that waits for a time inside the wait for a group");
  tbb::global_control const four(tbb::global_control::max_allowed_parallelism, 4);
  tbb::task_arena arena(4);
  auto const me = std::this_thread::get_id();
  std::unique_ptr<group> g;
  gate made("the group to be made");
  std::atomic<bool> deep{false};
  std::atomic<bool> task_over{false};
  std::function<void()> body = [&] {
    if (std::this_thread::get_id() == me) {
      g->run(body);  // this thread is to do something else
      return;
    }
    await([&] { return deep.load(); }, "the waiter to run a task of another group");
  };
  auto const inside_the_wait = [&] {
    if (std::this_thread::get_id() != me || deep) {
      return;
    }
    g->set_deadline(clock::now() + milliseconds(20));
    deep = true;
    // Now the group leaves the task that it was made in, and waits for this thread to leave.
    await([&] { return task_over.load(); }, "the task to be over");
    group other;
    other.run_after(milliseconds(30), [] {});
    EXPECT_FALSE(other.wait());
  };
  group outer{{.arena = &arena}};
  outer.run([&] {
    g = std::make_unique<group>(options{.timeout = hours(1)});
    g->run(body);
    made.open();
    await([&] { return deep.load(); }, "the waiter to run a task of another group");
    task_over = true;
  });
  made.wait();
  outer.run([&] {
    group inner;
    while (!deep) {
      inner.run(inside_the_wait);
      inside_the_wait();  // the waiter may have taken this one
    }
    EXPECT_FALSE(inner.wait());
  });
  arena.execute([&] { (void)g->wait(); });
  EXPECT_FALSE(outer.wait());
}

TEST_F(GroupDeadline, it_may_pass_while_the_stack_unwinds) {
  with_and_without_limit([](options opts) {
    test_clock c;
    opts.timeout = hours(1);
    gate started("the task to start");
    std::thread mover([&] {
      started.wait();
      c.advance(hours(1));
    });
    try {
      group g(opts);
      g.run([&](std::stop_token const& t) {
        started.open();
        await([&] { return t.stop_requested(); }, "the deadline, or the destructor");
        throw std::runtime_error("late");
      });
      g.run_after(hours(2), [a = counted()] {});
      throw std::runtime_error("on the way");
    } catch (std::exception const& e) {
      EXPECT_STREQ(e.what(), "on the way");
    }
    started.open();  // the task may have been skipped
    mover.join();
    EXPECT_EQ(counted::live(), 0);
  });
}

TEST_F(GroupDeadline, E6_without_memory_setting_one_changes_nothing) {
  bool failed = true;
  for (int n = 0; failed; ++n) {
    ASSERT_LT(n, 100);
    group g;
    {
      support::failing_new const fails(n);
      try {
        g.set_deadline(clock::now() + hours(1));
      } catch (std::bad_alloc const&) {
      }
      failed = support::failing_new::has_failed();
    }
    if (failed) {
      EXPECT_EQ(g.deadline(), never);
    }
    EXPECT_FALSE(g.run_and_wait([] {}));
  }
  failed = true;
  for (int n = 0; failed; ++n) {
    ASSERT_LT(n, 100);
    bool made = false;
    support::failing_new const fails(n);
    try {
      group const g{{.timeout = hours(1)}};
      made = true;
    } catch (std::bad_alloc const&) {
    }
    failed = support::failing_new::has_failed();
    EXPECT_NE(made, failed);
  }
}

// --- cause -----------------------------------------------------------------------------------

TEST_F(GroupDeadline, cause_is_success_as_long_as_the_group_is_not_cancelled) {
  on_every_way([](group& g) {
    EXPECT_FALSE(g.cause());
    EXPECT_FALSE(g.run_and_wait([&] { EXPECT_FALSE(g.cause()); }));
    EXPECT_FALSE(g.cause());
  });
  on_every_way(
      [](group& g) {
        EXPECT_EQ(g.run_and_wait([] { return failure(); }), failure());
        EXPECT_FALSE(g.cause()) << "it goes on";
      },
      {.policy = on_error::keep_going});
}

TEST_F(GroupDeadline, cause_is_what_cancelled_the_group) {
  on_every_way([](group& g) {
    EXPECT_EQ(g.run_and_wait([] { return failure(); }), failure());
    EXPECT_EQ(g.cause(), failure());
    g.reset();
    EXPECT_FALSE(g.cause());
    g.cancel();
    EXPECT_EQ(g.cause(), errc::canceled);
    (void)g.wait();
    g.reset();
    g.cancel(failure());
    EXPECT_EQ(g.cause(), failure());
    g.cancel(errc::failed);
    EXPECT_EQ(g.cause(), failure()) << "the first";
    (void)g.wait();
    g.reset();
    g.set_deadline(clock::now());
    EXPECT_EQ(g.cause(), errc::deadline_exceeded);
    (void)g.wait();
    g.reset();
    (void)g.run_and_wait([] { throw std::runtime_error("thrown"); });
    EXPECT_EQ(g.cause(), errc::exception);
  });
  std::stop_source source;
  group stopped{{.stop = source.get_token()}};
  EXPECT_FALSE(stopped.cause());
  source.request_stop();
  EXPECT_EQ(stopped.cause(), errc::canceled);
  group direct;
  direct.context().cancel_group_execution();
  EXPECT_EQ(direct.cause(), errc::canceled);
}

TEST_F(GroupDeadline, cause_is_a_cancellation_in_a_group_that_is_being_destroyed) {
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    error cause;
    gate started("the task to start");
    {
      group g{{.limit = 1, .policy = policy}};  // it starts with nobody waiting
      g.run([&](std::stop_token const& t) {
        started.open();
        await([&] { return t.stop_requested(); }, "the destructor");
        EXPECT_TRUE(g.is_canceling());
        cause = g.cause();
      });
      started.wait();
    }
    EXPECT_EQ(cause, errc::canceled);
  }
}

TEST_F(GroupDeadline, cause_is_not_the_earlier_error_of_a_group_that_went_on) {
  on_every_way(
      [](group& g) {
        (void)g.run_and_wait([] { return failure(); });
        g.set_deadline(clock::now());
        EXPECT_EQ(g.cause(), errc::deadline_exceeded);
        EXPECT_EQ(g.wait(), failure());
        g.reset();
        (void)g.run_and_wait([] { return failure(); });
        g.cancel(errc::failed);
        g.cancel(errc::exception);
        EXPECT_EQ(g.cause(), errc::failed);
        EXPECT_EQ(g.wait(), failure());
        g.reset();
        g.cancel();
        (void)g.run_and_wait([] { return failure(); });
        EXPECT_EQ(g.cause(), errc::canceled);
        EXPECT_EQ(g.wait(), errc::canceled);
      },
      {.policy = on_error::keep_going});
  test_clock c;
  group g{{.policy = on_error::keep_going, .timeout = hours(1)}};
  (void)g.run_and_wait([] { return failure(); });
  c.advance(hours(1));
  EXPECT_EQ(g.cause(), errc::deadline_exceeded);
  EXPECT_EQ(g.wait(), failure());
}

TEST_F(GroupDeadline, C2_cause_is_that_of_the_group_above) {
  for (int const limit : {errgroup::unlimited, 1}) {
    for (bool const used : {false, true}) {
      group outer{{.limit = limit}};
      (void)outer.run_and_wait([&] {
        group inner;
        if (used) {
          EXPECT_FALSE(inner.run_and_wait([] {}));
        }
        group own;
        own.cancel();
        EXPECT_FALSE(inner.cause());
        outer.cancel(failure());
        EXPECT_EQ(inner.cause(), failure());
        inner.run([] {});
        EXPECT_EQ(inner.wait(), errc::canceled);
        EXPECT_EQ(inner.cause(), failure());
        EXPECT_EQ(outer.cause(), failure());
      });
    }
  }
}

// --- tokens and callbacks --------------------------------------------------------------------

TEST_F(GroupDeadline, C1_on_cancel_is_called_once_whoever_cancels) {
  on_every_way([](group& g) {
    std::atomic<int> calls{0};
    {
      auto const first = g.on_cancel([&] { ++calls; });
      auto const second = g.on_cancel([&] { ++calls; });
      EXPECT_EQ(calls, 0);
      g.cancel();
      EXPECT_EQ(calls, 2);
      g.cancel();
      EXPECT_EQ(calls, 2);
    }
    auto const late = g.on_cancel([&] { ++calls; });
    EXPECT_EQ(calls, 3) << "at once";
    (void)g.wait();
    g.reset();
    {
      auto const gone = g.on_cancel([&] { ++calls; });
    }
    g.cancel();
    EXPECT_EQ(calls, 3);
    (void)g.wait();
    g.reset();
    auto const by_deadline = g.on_cancel([&] { ++calls; });
    g.set_deadline(clock::now() + milliseconds(1));
    await([&] { return calls == 4; }, "the deadline");
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
  });
}

TEST_F(GroupDeadline, C1_on_cancel_wakes_a_task_that_waits_for_something_else) {
  with_and_without_limit([](options opts) {
    test_clock c;
    opts.timeout = hours(1);
    group g(opts);
    gate started("the task to start");
    gate queue("something in the queue");
    g.run([&] {
      auto const closes = g.on_cancel([&] { queue.open(); });
      started.open();
      queue.wait();
    });
    support::waiters waiter(g, 1);
    started.wait();
    c.advance(hours(1));
    EXPECT_EQ(waiter.errors()[0], errc::deadline_exceeded);
  });
}

TEST_F(GroupDeadline, C2_tokens_and_callbacks_below_are_told_of_every_ancestor_s) {
  for (bool const by_deadline : {false, true}) {
    test_clock c;
    group outer{{.timeout = hours(1)}};
    gate ready("the nested groups to be ready");
    gate told("the callback");
    outer.run([&] {
      group middle{{.limit = 1}};
      (void)middle.run_and_wait([&] {
        group inner;
        auto const opens = inner.on_cancel([&] { told.open(); });
        std::stop_token const token = inner.get_stop_token();
        ready.open();
        told.wait();
        EXPECT_TRUE(token.stop_requested());
      });
    });
    support::waiters waiter(outer, 1);
    ready.wait();
    if (by_deadline) {
      c.advance(hours(1));
    } else {
      outer.cancel(failure());
    }
    EXPECT_EQ(waiter.errors()[0], by_deadline ? error(errc::deadline_exceeded) : error(failure()));
  }
}

TEST_F(GroupDeadline, a_callback_may_use_the_group) {
  test_clock c;
  group g{{.timeout = hours(1)}};
  gate told("the callback");
  auto const callback = g.on_cancel([&] {
    EXPECT_TRUE(g.is_canceling());
    EXPECT_EQ(g.cause(), errc::deadline_exceeded);
    g.run([a = counted()] {});
    g.run_after(hours(1), [a = counted()] {});
    g.set_deadline(clock::now() + hours(1));
    g.cancel();
    EXPECT_EQ(g.wait(), errc::deadline_exceeded);
    told.open();
  });
  g.run_after(hours(2), [] {});
  c.advance(hours(1));
  told.wait();
  EXPECT_EQ(g.wait().skipped(), 3U);
}

TEST_F(GroupDeadline, it_holds_for_a_group_with_an_arena_a_queue_or_isolation) {
  tbb::task_arena arena(2);
  for (options opts : {options{.arena = &arena}, options{.isolated = true}, options{.queue = 3},
                       options{.limit = 1, .queue = 3, .isolated = true}}) {
    test_clock c;
    opts.timeout = hours(1);
    group g(opts);
    gate started("the task to start");
    g.run([&] {
      started.open();
      await([&] { return g.is_canceling(); }, "the deadline");
    });
    support::waiters waiter(g, 1);
    started.wait();
    c.advance(hours(1));
    EXPECT_EQ(waiter.errors()[0], errc::deadline_exceeded);
  }
}

}  // namespace
