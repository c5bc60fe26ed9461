// SPDX-License-Identifier: Apache-2.0

// What a group belongs to: the task in which it was made, a raw oneTBB task, or nothing.

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>

#include <gtest/gtest.h>
#include <tbb/blocked_range.h>   // blocked_range
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/partitioner.h>     // simple_partitioner
#include <tbb/task_arena.h>      // task_arena
#include <tbb/task_group.h>      // task_group

#include <atomic>        // atomic
#include <chrono>        // hours, milliseconds
#include <cstddef>       // size_t
#include <memory>        // make_unique, unique_ptr
#include <new>           // bad_alloc
#include <optional>      // optional
#include <system_error>  // errc, error_code, make_error_code
#include <thread>        // thread
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using support::gate;
using support::on_every_way;
using support::opens_at_end;
using support::watchdog;

std::error_code failure() { return std::make_error_code(std::errc::io_error); }

class GroupPlace : public support::no_leaks {};

/// Submits `body` to a raw task group, and has a task of `g` take it on while that waits for it.
template <class Body>
error run_raw_below(group& g, Body body) {
  // No worker takes the raw task first.
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  tbb::task_group raw;
  error result;
  auto wait = [&]() -> void { result = g.run_and_wait([&raw]() -> void { raw.wait(); }); };
  raw.run(body);
  wait();
  return result;
}

TEST_F(GroupPlace, E1_a_group_made_in_a_raw_task_takes_no_name_from_a_task_below_on_the_stack) {
  error of_child;
  group unrelated{{.name = "unrelated"}};
  error const err = run_raw_below(unrelated, [&] {
    group child{{.name = "mine"}};
    child.run("task", [] { return failure(); });
    of_child = child.wait();
  });
  EXPECT_FALSE(err) << err;
  EXPECT_EQ(of_child.origin().path, "mine/task");
}

TEST_F(GroupPlace,
       C2_E3_a_group_made_in_a_raw_task_is_not_cancelled_with_a_task_below_on_the_stack) {
  bool ran = false;
  bool cancelled = true;
  error of_child = errc::failed;
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  tbb::task_group raw;
  raw.run([&] {
    group child;
    child.run([&] { ran = true; });
    cancelled = child.is_canceling();
    EXPECT_FALSE(child.cause());
    EXPECT_EQ(child.deadline(), errgroup::clock::time_point::max());
    of_child = child.wait();
  });
  group unrelated{{.timeout = std::chrono::hours(1)}};
  error const err = unrelated.run_and_wait([&] {
    unrelated.cancel();
    raw.wait();
  });
  EXPECT_EQ(err, errc::canceled);
  EXPECT_TRUE(ran);
  EXPECT_FALSE(cancelled);
  EXPECT_FALSE(of_child) << of_child;
}

TEST_F(GroupPlace, C3_the_end_of_a_task_does_not_wait_for_a_group_of_a_raw_task_it_took_on) {
  watchdog const ends("a task that waits for a group of a raw task");
  std::unique_ptr<group> child;
  gate go_on("the unrelated task to end");
  std::thread helper;
  tbb::task_arena elsewhere(2);
  {
    group unrelated;
    error const err = run_raw_below(unrelated, [&] {
      child = std::make_unique<group>(options{.arena = &elsewhere});
      child->run([&] { go_on.wait(); });
      helper = std::thread([&] { EXPECT_FALSE(child->wait()); });
    });
    EXPECT_FALSE(err);
  }
  go_on.open();
  helper.join();
}

TEST_F(GroupPlace, C2_groups_in_a_thousand_bodies_of_an_algorithm_are_cancelled_with_its_task) {
  watchdog const ends("a thousand groups to be cancelled");
  tbb::global_control const four(tbb::global_control::max_allowed_parallelism, 4);
  tbb::task_arena arena(4);
  arena.execute([] {
    group outer;
    std::atomic<int> made{0};
    std::atomic<int> below{0};
    error const err = outer.run_and_wait([&] {
      tbb::parallel_for(
          tbb::blocked_range<int>(0, 1000),
          [&](tbb::blocked_range<int> const&) {
            group child;
            bool const first = ++made == 500;
            child.run([&child, first, &outer] {
              if (first) {
                outer.cancel();
              }
              (void)child;
            });
            if (first) {
              EXPECT_EQ(child.wait(), errc::canceled);
            }
            if (outer.is_canceling()) {
              // `cancel` may be on its way through oneTBB's contexts on the first thread.
              support::await([&] { return child.is_canceling(); }, "a cancellation from above");
              EXPECT_EQ(child.wait(), errc::canceled);
              ++below;
            } else {
              (void)child.wait();
            }
          },
          tbb::simple_partitioner{});
    });
    EXPECT_EQ(err, errc::canceled);
    EXPECT_GE(made, 500);
    EXPECT_GE(below, 1);
  });
}

TEST_F(GroupPlace, C3_a_group_made_in_an_algorithm_and_first_used_later_belongs_to_none) {
  watchdog const ends("groups that were made in an algorithm");
  std::vector<std::unique_ptr<group>> made(8);
  {
    group outer;
    EXPECT_FALSE(outer.run_and_wait([&] {
      tbb::parallel_for(std::size_t{0}, made.size(),
                        [&](std::size_t i) { made[i] = std::make_unique<group>(); });
    }));
  }
  // Strangers, whose contexts may be where those of the algorithm were.
  for (int i = 0; i != 3; ++i) {
    group stranger;
    EXPECT_EQ(stranger.run_and_wait([&] {
      tbb::parallel_for(0, 8, [&](int n) {
        if (n == 3) {
          stranger.cancel();
        }
      });
    }),
              errc::canceled);
  }
  std::atomic<int> ran{0};
  for (auto& g : made) {
    g->run([&] { ++ran; });
    EXPECT_FALSE(g->wait());
  }
  EXPECT_EQ(ran, 8);
}

// --- options::detached ---

TEST_F(GroupPlace, C2_a_detached_group_is_not_cancelled_with_the_task_that_made_it) {
  watchdog const ends("a detached group to run its task");
  for (int limit : {errgroup::unlimited, 1}) {
    group outer{{.limit = limit, .timeout = std::chrono::hours(1), .name = "outer"}};
    bool ran = false;
    error const err = outer.run_and_wait([&] {
      group own{{.name = "own", .detached = true}};
      auto const token = own.get_stop_token();
      outer.cancel();
      EXPECT_FALSE(own.is_canceling());
      EXPECT_FALSE(token.stop_requested());
      EXPECT_FALSE(own.cause());
      EXPECT_EQ(own.deadline(), errgroup::clock::time_point::max());
      own.run([&] { ran = true; });
      EXPECT_FALSE(own.wait());
      own.run([] { return failure(); });
      error const failed = own.wait();
      EXPECT_EQ(failed, failure());
      EXPECT_EQ(failed.origin().path, "own");
    });
    EXPECT_EQ(err, errc::canceled);
    EXPECT_TRUE(ran);
  }
}

TEST_F(GroupPlace, C3_a_detached_group_is_not_waited_for_at_the_end_of_the_task_that_made_it) {
  watchdog const ends("a task that made a detached group to end");
  for (int limit : {errgroup::unlimited, 1, 2}) {
    std::optional<group> own;
    gate go_on("the task that made the group to have ended");
    std::atomic<int> ran{0};
    group outer;
    error const err = outer.run_and_wait([&] {
      own.emplace(options{.limit = limit, .detached = true});
      own->run([&] {
        go_on.wait();
        ++ran;
      });
    });
    EXPECT_FALSE(err);
    go_on.open();
    EXPECT_FALSE(own->wait());
    own->run([&] { ++ran; });
    EXPECT_FALSE(own->wait());
    EXPECT_EQ(ran, 2);
  }
}

TEST_F(GroupPlace, W3_a_detached_group_is_not_inside) {
  group outer;
  error const err = outer.run_and_wait([&] {
    group own{{.detached = true}};
    EXPECT_FALSE(errgroup::extend::is_inside(own));
    own.run([&] {
      EXPECT_TRUE(errgroup::extend::is_inside(own));
      EXPECT_EQ(own.wait(), errc::would_deadlock);
    });
    EXPECT_FALSE(own.wait());
  });
  EXPECT_FALSE(err);
}

TEST_F(GroupPlace, C2_a_child_of_a_detached_group_is_cancelled_with_that) {
  watchdog const ends("a child of a detached group");
  group outer;
  error of_child;
  error const err = outer.run_and_wait([&] {
    group own{{.detached = true}};
    EXPECT_EQ(own.run_and_wait([&] {
      group child;
      own.cancel();
      of_child = child.wait();
    }),
              errc::canceled);
  });
  EXPECT_FALSE(err);
  EXPECT_EQ(of_child, errc::canceled);
}

TEST_F(GroupPlace, W2_a_detached_group_fed_where_no_worker_comes_is_found_by_its_waiter) {
  watchdog const ends("a detached group that was fed in an arena of one thread");
  tbb::global_control const two(tbb::global_control::max_allowed_parallelism, 2);
  std::optional<group> own;
  std::atomic<int> ran{0};
  tbb::task_arena alone(1);
  alone.execute([&] {
    group outer;
    EXPECT_FALSE(outer.run_and_wait([&] {
      own.emplace(options{.detached = true});
      for (int i = 0; i != 5; ++i) {
        own->run([&] { ++ran; });
      }
    }));
    std::thread([&] { EXPECT_FALSE(own->wait()); }).join();
  });
  EXPECT_EQ(ran, 5);
}

// --- a submitter that waits for room ---

/// A thread outside submits to a full child of `outer` and sleeps; then `stop` is called, which
/// cancels `outer`. The task that holds the child's slot does not end before the submitter is back.
template <class Stop>
void wake_blocked_submitter(options const& of_child, Stop stop) {
  watchdog const ends("a submitter at a full queue to be woken");
  group outer;
  gate full("the child to be full");
  gate back("the submitter to be back");
  std::optional<group> child;
  std::thread submitter([&] {
    full.wait();
    EXPECT_NO_THROW(child->run([] { ADD_FAILURE() << "a task has run in a cancelled group"; }));
    back.open();
  });
  std::thread stopper([&] {
    full.wait();
    // The submitter is in `run`, or about to be: it must return in either case.
    for (int i = 0; i != 1000; ++i) {
      std::this_thread::yield();
    }
    stop(outer);
  });
  error const err = outer.run_and_wait([&] {
    child.emplace(of_child);
    child->run([&] {
      full.open();
      back.wait();
    });
    EXPECT_EQ(child->wait(), errc::canceled);
    child.reset();
  });
  submitter.join();
  stopper.join();
  EXPECT_TRUE(err);
}

TEST_F(GroupPlace, C2_L4_a_submitter_outside_is_woken_when_the_parent_is_cancelled) {
  wake_blocked_submitter({.limit = 1, .queue = 0}, [](group& outer) { outer.cancel(); });
}

TEST_F(GroupPlace, C2_L4_a_submitter_outside_is_woken_when_the_parent_times_out) {
  wake_blocked_submitter({.limit = 1, .queue = 0},
                         [](group& outer) { outer.set_deadline(errgroup::clock::now()); });
  wake_blocked_submitter({.limit = 1, .queue = 0}, [](group& outer) {
    outer.set_deadline(errgroup::clock::now() + std::chrono::milliseconds(1));
  });
}

TEST_F(GroupPlace, C2_L4_a_submitter_outside_to_an_isolated_group_is_woken) {
  wake_blocked_submitter({.limit = 1, .queue = 0, .isolated = true},
                         [](group& outer) { outer.cancel(); });
}

TEST_F(GroupPlace, E6_L4_a_submitter_that_sleeps_needs_no_memory_for_it) {
  watchdog const ends("a submitter without memory");
  for (int n = 0; n != 8; ++n) {
    group outer;
    gate full("the child to be full");
    gate back("the submitter to be about to sleep");
    std::optional<group> child;
    std::thread submitter([&] {
      full.wait();
      back.open();
      support::failing_new const fails(n);
      try {
        child->run([] {});
      } catch (std::bad_alloc const&) {
      }
    });
    EXPECT_FALSE(outer.run_and_wait([&] {
      child.emplace(options{.limit = 1, .queue = 0});
      child->run([&] {
        full.open();
        back.wait();
        support::dawdle(100);
      });
      EXPECT_FALSE(child->wait());
      submitter.join();
      EXPECT_FALSE(child->wait());
      child.reset();
    }));
  }
}

TEST_F(GroupPlace, C2_L4_a_submitter_outside_is_woken_when_a_raw_task_is_cancelled) {
  watchdog const ends("a submitter at a full queue below a raw task to be woken");
  tbb::task_group raw;
  gate full("the child to be full");
  gate back("the submitter to be back");
  std::optional<group> child;
  std::thread submitter([&] {
    full.wait();
    child->run([] { ADD_FAILURE() << "a task has run in a cancelled group"; });
    back.open();
  });
  std::thread stopper([&] {
    full.wait();
    raw.cancel();
  });
  raw.run_and_wait([&] {
    child.emplace(options{.limit = 1, .queue = 0});
    child->run([&] {
      full.open();
      back.wait();
    });
    EXPECT_EQ(child->wait(), errc::canceled);
    child.reset();
  });
  submitter.join();
  stopper.join();
}

TEST_F(GroupPlace, C2_L4_a_submitter_outside_is_woken_when_the_context_is_cancelled) {
  watchdog const ends("a submitter at a full queue to see its context cancelled");
  group g{{.limit = 1, .queue = 0}};
  gate began("the task to begin");
  gate back("the submitter to be back");
  g.run([&] {
    began.open();
    back.wait();
  });
  std::thread waiter([&] { EXPECT_EQ(g.wait(), errc::canceled); });
  began.wait();
  std::thread stopper([&] { g.context().cancel_group_execution(); });
  g.run([] { ADD_FAILURE() << "a task has run in a cancelled group"; });
  back.open();
  stopper.join();
  waiter.join();
}

}  // namespace
