// SPDX-License-Identifier: Apache-2.0

// Promises E1 to E6: what a group tells of the tasks that failed.

#include "support/callables.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>

#include <gtest/gtest.h>

#include <array>         // array
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <exception>     // make_exception_ptr
#include <memory>        // make_unique, shared_ptr
#include <new>           // bad_alloc
#include <stdexcept>     // invalid_argument, logic_error, runtime_error
#include <stop_token>    // stop_callback, stop_token
#include <string>        // string
#include <system_error>  // errc, error_code
#include <thread>        // thread
#include <utility>       // move

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::on_error;
using support::await;
using support::gate;
using support::on_every_way;
using support::rendezvous;
using support::waiters;
using support::watchdog;

std::error_code code(std::errc e) { return std::make_error_code(e); }
std::error_code cause() { return code(std::errc::no_space_on_device); }
std::error_code echo() { return code(std::errc::interrupted); }

class GroupErrors : public support::no_leaks {};

// --- E1 --------------------------------------------------------------------------------------

/// Calls `body` with groups, made outside of any task, that run two tasks at once.
template <class Body>
void with_room_for_two(Body body) {
  {
    SCOPED_TRACE("no limit");
    errgroup::group g;
    body(g);
  }
  {
    SCOPED_TRACE("a limit of 2");
    errgroup::group g{{.limit = 2}};
    body(g);
  }
}

TEST_F(GroupErrors, E1_the_first_error_is_the_cause_not_its_echo) {
  with_room_for_two([](errgroup::group& g) {
    rendezvous both(2, "both tasks to run");
    g.run([&] {
      both.arrive_and_wait();
      return cause();
    });
    g.run([&](std::stop_token const& token) {
      both.arrive_and_wait();
      await([&] { return token.stop_requested(); }, "the token of the failed group to stop");
      return echo();
    });
    waiters all(g, 2);
    for (auto const& e : all.errors()) {
      EXPECT_EQ(e, cause());
    }
  });
}

TEST_F(GroupErrors, E1_the_echo_of_a_thrown_error_is_not_the_cause_either) {
  with_room_for_two([](errgroup::group& g) {
    rendezvous both(2, "both tasks to run");
    g.run([&] {
      both.arrive_and_wait();
      throw std::runtime_error("cause");
    });
    g.run([&] {
      both.arrive_and_wait();
      await([&] { return g.is_canceling(); }, "the failed group to be cancelled");
      throw std::runtime_error("echo");
    });
    waiters all(g, 2);
    for (auto const& e : all.errors()) {
      EXPECT_EQ(e.what(), "cause");
    }
  });
}

TEST_F(GroupErrors, E1_the_error_is_there_before_the_cancellation_can_be_seen) {
  // A stop callback runs in the thread that cancels: when it runs, the error has been published.
  on_every_way([](errgroup::group& g) {
    std::stop_callback on_stop(g.get_stop_token(), [&g] { g.cancel(echo()); });
    g.run([] { return cause(); });
    EXPECT_EQ(g.wait(), cause());
  });
}

TEST_F(GroupErrors, E1_T1_cancelled_and_then_thrown_is_cancelled) {
  on_every_way([](errgroup::group& g) {
    g.run([&g] {
      g.cancel();
      throw std::runtime_error("echo");
    });
    EXPECT_EQ(g.wait(), errc::canceled);
  });
}

TEST_F(GroupErrors, E1_cancelled_with_a_cause_and_then_failed_is_the_cause) {
  on_every_way([](errgroup::group& g) {
    g.run([&g] {
      g.cancel(cause());
      return echo();
    });
    EXPECT_EQ(g.wait(), cause());
  });
}

TEST_F(GroupErrors, E1_failed_and_then_cancelled_is_the_failure) {
  on_every_way([](errgroup::group& g) {
    g.run([] { return cause(); });
    EXPECT_EQ(g.wait(), cause());
    g.cancel(echo());
    g.cancel();
    EXPECT_EQ(g.wait(), cause());
  });
}

TEST_F(GroupErrors, E1_an_empty_cause_is_a_plain_cancellation) {
  on_every_way([](errgroup::group& g) {
    g.cancel(error());
    EXPECT_EQ(g.wait(), errc::canceled);
  });
}

TEST_F(GroupErrors, E1_a_child_stopped_by_its_parent_says_cancelled) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    errgroup::group parent;
    error of_the_child;
    error const of_the_parent = parent.run_and_wait([&]() -> error {
      errgroup::group child{{.limit = limit}};
      parent.cancel(cause());
      child.run([] {});
      of_the_child = child.wait();
      return of_the_child;
    });
    EXPECT_EQ(of_the_child, errc::canceled);
    EXPECT_EQ(of_the_parent, cause());
  }
}

TEST_F(GroupErrors, E1_what_a_task_makes_of_its_child_s_cancellation_is_not_the_cause) {
  // The child was cancelled because its parent was: by what that was made in, or through oneTBB.
  for (int const limit : {errgroup::unlimited, 1}) {
    for (bool const from_above : {true, false}) {
      for (bool const as_it_is : {true, false}) {
        SCOPED_TRACE(testing::Message() << "limit " << limit << ", from above " << from_above
                                        << ", as it is " << as_it_is);
        errgroup::group top;
        error of_the_child;
        error of_the_parent;
        error const of_the_top = top.run_and_wait([&] {
          errgroup::group parent{{.limit = limit, .name = "parent"}};
          of_the_parent = parent.run_and_wait([&]() -> error {
            errgroup::group child{{.limit = limit}};
            child.run([&] {
              if (from_above) {
                top.cancel(cause());
              } else {
                parent.context().cancel_group_execution();
              }
            });
            of_the_child = child.wait();
            return as_it_is ? of_the_child : error(echo());
          });
        });
        EXPECT_EQ(of_the_top, from_above ? error(cause()) : error());
        EXPECT_EQ(of_the_child, errc::canceled);
        EXPECT_EQ(of_the_parent, errc::canceled);
        EXPECT_EQ(of_the_parent.message(), error(errc::canceled).message()) << "of no task of its";
      }
    }
  }
}

TEST_F(GroupErrors, E1_a_child_s_word_of_a_cancellation_by_another_thread_is_not_the_cause) {
  for (int const limit : {errgroup::unlimited, 1}) {
    for (int round = 0; round != 100; ++round) {
      errgroup::group parent{{.limit = limit}};
      std::thread canceller;
      error of_the_child;
      error const of_the_parent = parent.run_and_wait([&]() -> error {
        errgroup::group child{{.limit = limit}};
        child.run([&] {
          canceller = std::thread([&parent] { parent.cancel(cause()); });
          await([&child] { return child.is_canceling(); }, "the child to be cancelled");
        });
        of_the_child = child.wait();
        return of_the_child;
      });
      canceller.join();
      EXPECT_EQ(of_the_child, errc::canceled);
      EXPECT_EQ(of_the_parent, cause());
    }
  }
}

// --- E2 --------------------------------------------------------------------------------------

TEST_F(GroupErrors, E2_what_is_thrown_is_told_on_every_way) {
  on_every_way([](errgroup::group& g) {
    g.run([] { throw std::runtime_error("thrown"); });
    error const e = g.wait();
    EXPECT_EQ(e, errc::exception);
    EXPECT_EQ(e.what(), "thrown");
  });
}

TEST_F(GroupErrors, E2_what_is_returned_is_told_on_every_way) {
  on_every_way([](errgroup::group& g) {
    EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
    g.reset();
    EXPECT_TRUE(g.try_run([] { return cause(); }));
    EXPECT_EQ(g.wait(), cause());
    g.reset();
    g.run("named", [] { return cause(); });
    EXPECT_EQ(g.wait(), cause());
  });
}

TEST_F(GroupErrors, E2_one_failure_among_many_tasks_is_never_lost) {
  on_every_way([](errgroup::group& g) {
    constexpr int n = 200;
    for (int i = 0; i < n; ++i) {
      g.run([i] { return i == n - 1 ? cause() : std::error_code(); });
    }
    EXPECT_EQ(g.wait(), cause());
  });
}

TEST_F(GroupErrors, E2_T2_a_late_throw_while_the_stack_unwinds_terminates_nothing) {
  gate started("the task to start");
  std::atomic<bool> threw{false};
  try {
    errgroup::group g{{.limit = 1}};
    g.run([&](std::stop_token const& token) {
      started.open();
      await([&] { return token.stop_requested(); }, "the destructor to cancel");
      threw = true;
      throw std::runtime_error("late");
    });
    started.wait();
    throw std::runtime_error("the body's own");
  } catch (std::runtime_error const& e) {
    EXPECT_STREQ(e.what(), "the body's own");
  }
  EXPECT_TRUE(threw);
}

TEST_F(GroupErrors, E2_T2_a_group_destroyed_with_a_failure_nobody_waited_for_terminates_nothing) {
  on_every_way([](errgroup::group&) {
    try {
      errgroup::group g;
      for (int i = 0; i < 10; ++i) {
        g.run([c = support::counted()] { throw std::runtime_error("unseen"); });
      }
      throw 1;
    } catch (int) {
    }
    errgroup::group g{{.limit = 1}};
    g.run([c = support::counted()] { throw std::runtime_error("unseen"); });
  });
}

// --- E3 --------------------------------------------------------------------------------------

TEST_F(GroupErrors, E3_cancelled_is_not_success_even_if_every_task_ran) {
  on_every_way([](errgroup::group& g) {
    g.run([&g] { g.cancel(); });
    error const e = g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 0U);
  });
}

TEST_F(GroupErrors, E3_cancelled_is_not_success_even_without_a_task) {
  on_every_way([](errgroup::group& g) {
    g.cancel();
    EXPECT_EQ(g.wait(), errc::canceled);
  });
}

TEST_F(GroupErrors, E3_a_group_below_a_cancelled_parent_never_says_success) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    errgroup::group parent;
    error empty;
    error ran_before;
    error const e = parent.run_and_wait([&] {
      errgroup::group unused{{.limit = limit}};
      errgroup::group used{{.limit = limit}};
      EXPECT_FALSE(used.run_and_wait([] {}));
      parent.cancel();
      empty = unused.wait();
      ran_before = used.wait();
    });
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(empty, errc::canceled);
    EXPECT_EQ(ran_before, errc::canceled);
  }
}

TEST_F(GroupErrors, E3_skipped_counts_what_did_not_run_exactly) {
  errgroup::group g{{.limit = 1}};
  gate started("the first task to start");
  gate go("the test to go on");
  std::atomic<int> ran{0};
  g.run([&] {
    started.open();
    go.wait();
    ++ran;
  });
  started.wait();
  for (int i = 0; i < 10; ++i) {
    g.run([&ran, c = support::counted()] { ++ran; });
  }
  g.cancel();
  g.run([&ran] { ++ran; });
  g.run("named", [&ran] { ++ran; });
  go.open();
  error const e = g.wait();
  EXPECT_EQ(e, errc::canceled);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(e.skipped(), 12U);
}

TEST_F(GroupErrors, E3_what_ran_and_what_was_skipped_are_all_tasks) {
  on_every_way([](errgroup::group& g) {
    constexpr std::size_t n = 300;
    std::atomic<std::size_t> ran{0};
    for (std::size_t i = 0; i < n; ++i) {
      g.run([&ran, i, c = support::counted()] {
        ++ran;
        return i == n / 2 ? cause() : std::error_code();
      });
    }
    error const e = g.wait();
    EXPECT_EQ(e, cause());
    EXPECT_EQ(ran + e.skipped(), n);
  });
}

TEST_F(GroupErrors, E3_run_and_wait_on_a_cancelled_group_skips_and_counts) {
  on_every_way([](errgroup::group& g) {
    g.cancel();
    bool ran = false;
    error const e = g.run_and_wait([&ran] { ran = true; });
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 1U);
    EXPECT_FALSE(ran);
  });
}

TEST_F(GroupErrors, E3_try_run_on_a_cancelled_group_takes_and_counts_nothing) {
  on_every_way([](errgroup::group& g) {
    g.cancel();
    auto p = std::make_unique<int>(1);
    auto f = [p = std::move(p)] {};
    EXPECT_FALSE(g.try_run(std::move(f)));
    EXPECT_EQ(g.wait().skipped(), 0U);
    errgroup::group other;
    // Not touched: it still has its pointer, and runs elsewhere.
    EXPECT_TRUE(other.try_run(std::move(f)));  // NOLINT(bugprone-use-after-move)
    EXPECT_FALSE(other.wait());
  });
}

// --- E4 --------------------------------------------------------------------------------------

TEST_F(GroupErrors, E4_T14_every_concurrent_waiter_gets_the_same_error) {
  with_room_for_two([](errgroup::group& g) {
    for (int i = 0; i < 20; ++i) {
      g.run([i] { throw std::runtime_error(std::to_string(i)); });
    }
    waiters all(g, 4);
    error const later = g.wait();
    EXPECT_EQ(later, errc::exception);
    for (auto const& e : all.errors()) {
      EXPECT_EQ(e, later) << "not even an equal one: the same object";
      EXPECT_EQ(e.skipped(), later.skipped());
    }
  });
}

TEST_F(GroupErrors, E4_every_later_wait_gets_the_same_error) {
  on_every_way([](errgroup::group& g) {
    g.run([] { throw std::runtime_error("x"); });
    error const first = g.wait();
    EXPECT_EQ(g.wait(), first);
    EXPECT_EQ(g.wait(), first);
    EXPECT_EQ(g.run_and_wait([] { return echo(); }), first);
  });
}

TEST_F(GroupErrors, E4_a_failed_group_stays_failed_and_skips_and_counts) {
  on_every_way([](errgroup::group& g) {
    g.run([] { return cause(); });
    EXPECT_EQ(g.wait().skipped(), 0U);
    EXPECT_TRUE(g.is_canceling());
    std::atomic<int> ran{0};
    for (std::size_t i = 1; i <= 5; ++i) {
      g.run([&ran, c = support::counted()] { ++ran; });
      error const e = g.wait();
      EXPECT_EQ(e, cause());
      EXPECT_EQ(e.skipped(), i);
    }
    EXPECT_EQ(ran, 0);
  });
}

/// An exception whose destructor uses the group that kept it.
class uses_group {
 public:
  uses_group(errgroup::group& g, std::atomic<int>& ended)
      : end_(new int(0), [&g, &ended](int* p) {
          delete p;
          (void)g.is_canceling();
          (void)g.first_error();
          (void)g.cause();
          (void)g.context();
          g.cancel();
          g.run([] { ADD_FAILURE() << "a task of a cancelled group has run"; });
          ++ended;
        }) {}

 private:
  std::shared_ptr<int> end_;
};

TEST_F(GroupErrors, E4_reset_destroys_what_it_forgets_when_the_group_can_be_used_again) {
  watchdog const guard("reset to destroy exceptions");
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    for (errgroup::keep const errors : {errgroup::keep::first, errgroup::keep::all}) {
      on_every_way(
          [&](errgroup::group& g) {
            std::atomic<int> ended{0};
            g.run([&] { throw uses_group(g, ended); });
            EXPECT_EQ(g.wait(), errc::exception);
            int expected = 1;
            if (policy == on_error::keep_going) {
              // Another one, and one that is the cause of the cancellation.
              g.run([&] { throw uses_group(g, ended); });
              EXPECT_EQ(g.wait(), errc::exception);
              g.cancel(error(std::make_exception_ptr(uses_group(g, ended))));
              expected = 3;
            }
            g.reset();
            EXPECT_EQ(ended, expected);
            EXPECT_EQ(g.wait(), errc::canceled);  // by a destructor, after the reset
            g.reset();
            EXPECT_FALSE(g.wait());
          },
          {.policy = policy, .errors = errors});
    }
  }
}

TEST_F(GroupErrors, E4_reset_is_a_fresh_start) {
  on_every_way([](errgroup::group& g) {
    for (int round = 0; round < 3; ++round) {
      auto const token = g.get_stop_token();
      EXPECT_FALSE(token.stop_requested());
      g.run([] { return cause(); });
      EXPECT_EQ(g.wait(), cause());
      g.run([] {});
      EXPECT_EQ(g.wait().skipped(), 1U);
      EXPECT_TRUE(token.stop_requested());
      g.reset();
      EXPECT_FALSE(g.is_canceling());
      error const fresh = g.wait();
      EXPECT_FALSE(fresh) << fresh;
      EXPECT_EQ(fresh.skipped(), 0U);
      bool ran = false;
      bool stopped = true;
      g.run([&](std::stop_token const& t) {
        ran = true;
        stopped = t.stop_requested();
      });
      error const again = g.wait();
      EXPECT_FALSE(again) << again;
      EXPECT_TRUE(ran);
      EXPECT_FALSE(stopped);
    }
  });
}

TEST_F(GroupErrors, E4_reset_of_a_group_that_succeeded_or_did_nothing_changes_nothing) {
  on_every_way([](errgroup::group& g) {
    g.reset();
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(g.run_and_wait([] {}));
    g.reset();
    EXPECT_FALSE(g.run_and_wait([] {}));
  });
}

TEST_F(GroupErrors, E4_reset_while_a_task_runs_is_a_logic_error_and_changes_nothing) {
  errgroup::group g{{.limit = 1}};
  gate started("the task to start");
  gate go("the test to go on");
  g.run([&] {
    started.open();
    go.wait();
    return cause();
  });
  started.wait();
  EXPECT_THROW(g.reset(), std::logic_error);
  go.open();
  EXPECT_EQ(g.wait(), cause());
  EXPECT_NO_THROW(g.reset());
}

TEST_F(GroupErrors, E4_reset_inside_a_task_of_the_group_is_a_logic_error) {
  on_every_way([](errgroup::group& g) {
    bool threw = false;
    g.run([&] {
      try {
        g.reset();
      } catch (std::logic_error const&) {
        threw = true;
      }
    });
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(threw);
  });
}

TEST_F(GroupErrors, E4_a_group_that_succeeded_is_simply_used_again) {
  on_every_way([](errgroup::group& g) {
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> ran{0};
      for (int i = 0; i < 5; ++i) {
        g.run([&ran] { ++ran; });
      }
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(ran, 5);
    }
    g.run([] { return cause(); });
    EXPECT_EQ(g.wait(), cause()) << "and may fail after all";
  });
}

// --- E5 --------------------------------------------------------------------------------------

TEST_F(GroupErrors, E5_keep_going_runs_every_task) {
  on_every_way(
      [](errgroup::group& g) {
        constexpr int n = 100;
        std::atomic<int> ran{0};
        std::atomic<bool> canceling{false};
        for (int i = 0; i < n; ++i) {
          g.run([&, i]() -> std::error_code {
            ++ran;
            canceling = canceling || g.is_canceling();
            if (i % 7 == 0) {
              throw std::runtime_error("x");
            }
            return i % 3 == 0 ? cause() : std::error_code();
          });
        }
        error const e = g.wait();
        EXPECT_TRUE(e);
        EXPECT_EQ(e.skipped(), 0U);
        EXPECT_EQ(ran, n);
        EXPECT_FALSE(canceling);
        EXPECT_FALSE(g.is_canceling());
        // Also those submitted after the failure was seen.
        g.run([&ran] { ++ran; });
        EXPECT_EQ(g.wait(), e);
        EXPECT_EQ(ran, n + 1);
      },
      {.policy = on_error::keep_going});
}

TEST_F(GroupErrors, E5_keep_going_tells_the_first_error) {
  errgroup::group g{{.limit = 1, .policy = on_error::keep_going}};
  g.run([] {});
  g.run([] { return cause(); });
  g.run([] { return echo(); });
  EXPECT_EQ(g.wait(), cause());
  g.run([] { return echo(); });
  EXPECT_EQ(g.wait(), cause());
}

TEST_F(GroupErrors, E5_keep_going_still_obeys_cancel) {
  on_every_way(
      [](errgroup::group& g) {
        g.run([] { return cause(); });
        EXPECT_EQ(g.wait(), cause());
        g.cancel();
        std::atomic<bool> ran{false};
        g.run([&ran] { ran = true; });
        error const e = g.wait();
        EXPECT_EQ(e, cause()) << "it was the first";
        EXPECT_EQ(e.skipped(), 1U);
        EXPECT_FALSE(ran);
      },
      {.policy = on_error::keep_going});
}

// --- E6 --------------------------------------------------------------------------------------

/// The group works, and nothing of what was thrown in `run` is left in it.
void expect_as_before(errgroup::group& g) {
  std::atomic<int> ran{0};
  EXPECT_FALSE(g.is_canceling());
  g.run([&ran] { ++ran; });
  error const e = g.wait();
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(e.skipped(), 0U);
  EXPECT_EQ(ran, 1);
}

TEST_F(GroupErrors, E6_T15_a_throwing_copy_in_run_leaves_the_group_as_before) {
  on_every_way([](errgroup::group& g) {
    bool ran = false;
    support::throws_on_copy const f([&ran] { ran = true; });
    EXPECT_THROW(g.run(f), support::thrown_by_copy);
    EXPECT_FALSE(g.wait()) << "and does not hang";
    EXPECT_THROW(g.run("named", f), support::thrown_by_copy);
    EXPECT_FALSE(g.wait());
    EXPECT_THROW((void)g.try_run(f), support::thrown_by_copy);
    EXPECT_FALSE(g.wait());
    EXPECT_THROW((void)g.run_and_wait(f), support::thrown_by_copy);
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(ran);
    expect_as_before(g);
  });
}

TEST_F(GroupErrors, E6_a_throwing_copy_in_run_among_tasks_that_wait_loses_none_of_them) {
  on_every_way([](errgroup::group& g) {
    std::atomic<int> ran{0};
    support::throws_on_copy const f([] {});
    for (int i = 0; i < 20; ++i) {
      g.run([&ran] { ++ran; });
      EXPECT_THROW(g.run(f), support::thrown_by_copy);
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 20);
  });
}

TEST_F(GroupErrors, E6_T15_a_throwing_copy_inside_a_task_of_the_group_leaves_it_as_before) {
  on_every_way([](errgroup::group& g) {
    bool threw = false;
    g.run([&] {
      support::throws_on_copy const f([] {});
      try {
        g.run(f);
      } catch (support::thrown_by_copy const&) {
        threw = true;
      }
    });
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(threw);
    expect_as_before(g);
  });
}

/// Calls `run` with a callable whose first move throws, then with one whose second does, …
template <class Run>
void throws_at_every_move(Run run) {
  on_every_way([&run](errgroup::group& g) {
    bool done = false;
    for (int allowed = 0; !done; ++allowed) {
      SCOPED_TRACE(allowed);
      ASSERT_LT(allowed, 20) << "moved again and again";
      bool ran = false;
      bool threw = false;
      support::throws_on_move f([&ran] { ran = true; }, allowed);
      try {
        run(g, f);
      } catch (support::thrown_by_move const&) {
        threw = true;
      }
      error const e = g.wait();
      EXPECT_FALSE(e) << "what run throws is the caller's alone: " << e;
      EXPECT_NE(ran, threw);
      done = !threw;
    }
    expect_as_before(g);
  });
}

TEST_F(GroupErrors, E6_T15_a_throwing_move_in_run_leaves_the_group_as_before) {
  throws_at_every_move([](errgroup::group& g, auto& f) { g.run(std::move(f)); });
}

TEST_F(GroupErrors, E6_T15_a_throwing_move_in_run_with_a_name_leaves_the_group_as_before) {
  throws_at_every_move([](errgroup::group& g, auto& f) { g.run("named", std::move(f)); });
}

TEST_F(GroupErrors, E6_T15_a_throwing_move_in_try_run_leaves_the_group_as_before) {
  throws_at_every_move([](errgroup::group& g, auto& f) { EXPECT_TRUE(g.try_run(std::move(f))); });
}

TEST_F(GroupErrors, E6_T15_a_throwing_move_in_run_and_wait_leaves_the_group_as_before) {
  throws_at_every_move(
      [](errgroup::group& g, auto& f) { EXPECT_FALSE(g.run_and_wait(std::move(f))); });
}

TEST_F(GroupErrors, E6_a_throwing_copy_in_try_run_gives_its_place_back) {
  errgroup::group g{{.limit = 1, .queue = 0}};
  support::throws_on_copy const f([] {});
  for (int i = 0; i < 5; ++i) {
    EXPECT_THROW((void)g.try_run(f), support::thrown_by_copy);
  }
  EXPECT_TRUE(g.try_run([] {}));
  EXPECT_FALSE(g.wait());
}

/// Fails every allocation of `run` in turn, one by one, each in a fresh group.
template <class Run>
void fails_every_allocation(errgroup::options const& opts, Run run) {
  bool done = false;
  for (int n = 0; !done; ++n) {
    SCOPED_TRACE(n);
    ASSERT_LT(n, 100);
    errgroup::group g(opts);
    std::atomic<int> ran{0};
    bool threw = false;
    try {
      support::failing_new const fails(n);
      run(g, ran);
      done = !support::failing_new::has_failed();
    } catch (std::bad_alloc const&) {
      threw = true;
    }
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(e.skipped(), 0U);
    EXPECT_EQ(ran, threw ? 0 : 1);
    expect_as_before(g);
  }
}

template <class Run>
void fails_every_allocation_outside(Run run) {
  {
    SCOPED_TRACE("no limit");
    fails_every_allocation({}, run);
  }
  {
    SCOPED_TRACE("a limit");
    fails_every_allocation({.limit = 2}, run);
  }
  {
    SCOPED_TRACE("a bounded queue");
    fails_every_allocation({.limit = 1, .queue = 1}, run);
  }
}

std::array<char, 500> const big{};

TEST_F(GroupErrors, E6_no_memory_in_run_leaves_the_group_as_before) {
  fails_every_allocation_outside(
      [](errgroup::group& g, std::atomic<int>& ran) { g.run([&ran] { ++ran; }); });
}

TEST_F(GroupErrors, E6_no_memory_for_a_big_callable_leaves_the_group_as_before) {
  fails_every_allocation_outside([](errgroup::group& g, std::atomic<int>& ran) {
    g.run([&ran, b = big, c = support::counted()] { ran += 1 + b[0]; });
  });
}

TEST_F(GroupErrors, E6_no_memory_for_a_name_leaves_the_group_as_before) {
  fails_every_allocation_outside([](errgroup::group& g, std::atomic<int>& ran) {
    g.run("a name that is too long to be kept in the string object itself",
          [&ran, c = support::counted()] { ++ran; });
  });
}

TEST_F(GroupErrors, E6_no_memory_in_try_run_leaves_the_group_as_before) {
  fails_every_allocation_outside([](errgroup::group& g, std::atomic<int>& ran) {
    EXPECT_TRUE(g.try_run([&ran, b = big, c = support::counted()] { ran += 1 + b[0]; }));
  });
}

TEST_F(GroupErrors, E6_no_memory_on_a_thread_that_has_never_used_a_group) {
  for (int const limit : {errgroup::unlimited, 1}) {
    bool done = false;
    for (int n = 0; !done; ++n) {
      SCOPED_TRACE(n);
      ASSERT_LT(n, 100);
      errgroup::group g{{.limit = limit}};
      std::atomic<int> ran{0};
      std::thread([&] {
        try {
          support::failing_new const fails(n);
          g.run([&ran, c = support::counted()] { ++ran; });
          done = !support::failing_new::has_failed();
        } catch (std::bad_alloc const&) {
          --ran;
        }
      }).join();
      EXPECT_FALSE(g.wait());
      EXPECT_TRUE(ran == 1 || ran == -1) << ran;
      expect_as_before(g);
    }
  }
}

TEST_F(GroupErrors, E6_no_memory_for_the_callable_inside_a_task_leaves_the_group_as_before) {
  // A callable whose move may throw is kept in memory of its own, which is asked for before
  // oneTBB's.
  for (int const limit : {errgroup::unlimited, 1}) {
    errgroup::group g{{.limit = limit}};
    bool threw = false;
    g.run([&] {
      try {
        support::failing_new const fails(0, true);
        g.run(support::throws_on_move([b = big] { (void)b; }, 10));
      } catch (std::bad_alloc const&) {
        threw = true;
      }
    });
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
    EXPECT_TRUE(threw);
    expect_as_before(g);
  }
}

TEST_F(GroupErrors, E2_a_failure_without_the_memory_for_its_name_is_a_failure) {
  for (int const limit : {errgroup::unlimited, 1}) {
    errgroup::group g{{.limit = limit, .name = "a group with a name that is long enough"}};
    // The task is called last in this thread: what comes after it finds no memory.
    struct fails_from_now_on {
      errgroup::group& g;
      std::error_code operator()() const {
        // Cancels with a cause, and so is told without the group's name.
        support::failing_new const fails(0, true);
        g.cancel(cause());
        EXPECT_TRUE(support::failing_new::has_failed());
        return echo();
      }
    };
    g.run(fails_from_now_on{g});
    error const e = g.wait();
    EXPECT_EQ(e, cause());
    EXPECT_EQ(e.what(), cause().message());
  }
}

// --- names -----------------------------------------------------------------------------------

TEST_F(GroupErrors, the_origin_names_the_group_and_the_task_on_every_way) {
  on_every_way(
      [](errgroup::group& g) {
        g.run("frame 17", [] { return cause(); });
        EXPECT_EQ(g.wait().origin().path, "decoder/frame 17");
        g.reset();
        g.run("frame 18", [] { throw std::runtime_error("bad header"); });
        EXPECT_EQ(g.wait().origin().path, "decoder/frame 18");
        g.reset();
        g.run([] { throw std::runtime_error("bad header"); });
        EXPECT_EQ(g.wait().origin().path, "decoder");
        g.reset();
        g.cancel(cause());
        EXPECT_EQ(g.wait().origin().path, "decoder");
      },
      {.name = "decoder"});
}

TEST_F(GroupErrors, the_origin_names_a_task_in_a_group_without_a_name) {
  on_every_way([](errgroup::group& g) {
    g.run("frame 17", [] { return cause(); });
    EXPECT_EQ(g.wait().origin().path, "frame 17");
  });
}

TEST_F(GroupErrors, names_are_copied) {
  auto group_name = std::make_unique<std::string>("a group with a name on the heap");
  errgroup::group g{{.limit = 1, .name = *group_name}};
  group_name.reset();
  gate go("the test to go on");
  g.run([&go] { go.wait(); });
  {
    std::string const task_name = "a task with a name that is on the heap, too";
    g.run(task_name, [] { return cause(); });
  }
  go.open();
  EXPECT_EQ(g.wait().origin().path,
            "a group with a name on the heap/a task with a name that is on the heap, too");
}

TEST_F(GroupErrors, the_innermost_origin_stays_when_an_error_is_handed_up) {
  errgroup::group outer{{.name = "outer"}};
  outer.run("job", []() -> error {
    errgroup::group inner{{.name = "inner"}};
    inner.run("step", [] { return cause(); });
    return inner.wait();
  });
  EXPECT_EQ(outer.wait().origin().path, "outer/inner/step");
}

TEST_F(GroupErrors, a_named_task_that_succeeds_says_nothing) {
  errgroup::group g{{.name = "decoder"}};
  g.run("frame 17", [] {});
  EXPECT_EQ(g.wait().message(), "");
}

// --- options ---------------------------------------------------------------------------------

TEST_F(GroupErrors, a_limit_of_nothing_is_refused_in_words) {
  for (int const limit : {0, -2, -1000}) {
    try {
      errgroup::group const g{{.limit = limit}};
      ADD_FAILURE() << "made with a limit of " << limit;
    } catch (std::invalid_argument const& e) {
      EXPECT_NE(std::string(e.what()).find("limit"), std::string::npos);
    }
  }
}

}  // namespace
