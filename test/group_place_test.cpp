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
#include <cfenv>         // fegetround, fesetround
#include <chrono>        // hours, milliseconds
#include <cstddef>       // size_t
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <new>           // bad_alloc
#include <optional>      // optional
#include <stop_token>    // stop_callback
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

TEST_F(GroupPlace, C2_W1_who_waits_for_time_alone_hears_that_a_raw_task_was_cancelled) {
  watchdog const ends("a wait for time below a cancelled raw task to end");
  auto wait = [](group& g) -> error { return g.wait(); };
  auto wait_for = [](group& g) -> error {
    EXPECT_TRUE(g.wait_for(std::chrono::hours(1)));
    return g.wait();
  };
  auto test = [](auto wait_for_it) {
    tbb::task_group raw;
    gate waits("the wait to begin");
    std::thread stopper([&] {
      waits.wait();
      support::dawdle(100);
      raw.cancel();
    });
    raw.run_and_wait([&] {
      group g;
      g.run_after(std::chrono::hours(1), [] {});
      waits.open();
      EXPECT_EQ(wait_for_it(g), errc::canceled);
    });
    stopper.join();
  };
  test(wait);
  test(wait_for);
}

TEST_F(GroupPlace, C2_W1_who_waits_for_time_alone_hears_of_a_direct_cancellation_above) {
  watchdog const ends("a wait for time below a cancelled context to end");
  group g;
  gate waits("the wait to begin");
  tbb::task_group_context& context = g.context();
  std::thread stopper([&] {
    waits.wait();
    support::dawdle(100);
    context.cancel_group_execution();
  });
  g.run([&] {
    group child;
    child.run_after(std::chrono::hours(1), [] {});
    waits.open();
    EXPECT_EQ(child.wait(), errc::canceled);
  });
  EXPECT_EQ(g.wait(), errc::canceled);
  stopper.join();
}

TEST_F(GroupPlace, C2_C4_E3_a_direct_cancellation_is_found_two_levels_below) {
  for (bool const early : {false, true}) {
    group g;
    if (early) {
      (void)g.context();
    }
    g.run([&] {
      group child;
      child.run([&] {
        group grandchild;
        grandchild.run([] {});
        g.context().cancel_group_execution();
        EXPECT_EQ(errgroup::check(), errc::canceled);
        EXPECT_EQ(grandchild.wait(), errc::canceled);
        group late;
        late.run([] {});
        EXPECT_EQ(late.wait(), errc::canceled);
      });
      EXPECT_EQ(child.wait(), errc::canceled);
    });
    EXPECT_EQ(g.wait(), errc::canceled);
  }
}

TEST_F(GroupPlace, C3_a_callback_may_destroy_a_busy_group_at_the_end_of_its_task) {
  watchdog const ends("a task to end whose busy child is destroyed by a callback");
  using callback = std::stop_callback<std::function<void()>>;
  group g;
  std::unique_ptr<group> child;
  std::optional<callback> on_stop;
  g.run([&] {
    child = std::make_unique<group>();
    on_stop.emplace(child->get_stop_token(), std::function<void()>([&] { child.reset(); }));
    child->run([] {});
    g.context().cancel_group_execution();  // which is noticed when the task ends
  });
  EXPECT_EQ(g.wait(), errc::canceled);
  EXPECT_EQ(child, nullptr);
}

TEST_F(GroupPlace, C2_E3_a_group_that_is_reset_below_a_cancelled_raw_task_is_cancelled_again) {
  tbb::task_group raw;
  raw.run_and_wait([&] {
    group g;
    g.run([] {});
    group elsewhere;
    std::thread([&] {
      elsewhere.run([] {});
      EXPECT_FALSE(elsewhere.wait());
    }).join();
    group unused;
    raw.cancel();
    EXPECT_EQ(g.wait(), errc::canceled);
    g.reset();
    g.run([] { ADD_FAILURE() << "a task has run in a cancelled group"; });
    EXPECT_EQ(g.wait(), errc::canceled);
    elsewhere.reset();
    elsewhere.run([] {});
    EXPECT_FALSE(elsewhere.wait()) << "belongs to none";
    unused.reset();
    unused.run([] { ADD_FAILURE() << "a task has run in a cancelled group"; });
    EXPECT_EQ(unused.wait(), errc::canceled);
  });
}

TEST_F(GroupPlace, groups_in_the_tasks_of_a_context_inherit_its_fpu_settings) {
  int const before = std::fegetround();
  for (options const& opts : {options{}, options{.limit = 2}}) {
    group g(opts);
    std::fesetround(FE_UPWARD);
    g.context().capture_fp_settings();
    std::fesetround(before);
    auto expect_inherited = [](group& child) {
      child.run([] { EXPECT_EQ(std::fegetround(), FE_UPWARD); });
      EXPECT_FALSE(child.wait());
    };
    g.run([&] {
      EXPECT_EQ(std::fegetround(), FE_UPWARD);
      group child;
      child.run([&] {
        group grandchild;
        expect_inherited(grandchild);
        group limited{{.limit = 1}};
        expect_inherited(limited);
      });
      expect_inherited(child);
      group elsewhere;
      std::thread([&] { expect_inherited(elsewhere); }).join();
      tbb::task_group raw;
      raw.run_and_wait([&] {
        group bound;
        expect_inherited(bound);
      });
      // What a task sets for itself is its own.
      std::fesetround(FE_DOWNWARD);
      group of_the_context;
      expect_inherited(of_the_context);
    });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(std::fegetround(), before);
    std::fesetround(FE_UPWARD);
    group outside;
    std::fesetround(before);
    outside.run([&] { EXPECT_EQ(std::fegetround(), before); });
    EXPECT_FALSE(outside.wait());
  }
}

TEST_F(GroupPlace, W1_another_waiter_may_destroy_a_group_whose_maker_is_about_to_return) {
  watchdog const ends("a group to be destroyed by another waiter than its maker");
  // The maker runs the task itself, in its wait.
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  constexpr int rounds = 3000;
  std::atomic<group*> waited_for{nullptr};
  std::atomic<int> submitted{0};
  std::atomic<int> destroyed{0};
  std::thread other([&] {
    for (int i = 1; i <= rounds; ++i) {
      std::unique_ptr<group> g;
      while (g == nullptr) {
        g.reset(waited_for.exchange(nullptr));
        std::this_thread::yield();
      }
      g->run([] {});
      submitted.store(i);
      EXPECT_FALSE(g->wait());
      g.reset();
      destroyed.store(i);
    }
  });
  group outer;
  outer.run([&] {
    for (int i = 1; i <= rounds; ++i) {
      auto* const g = new group;
      g->run([&, g] {
        waited_for.store(g);
        while (submitted.load() != i) {
          std::this_thread::yield();
        }
      });
      EXPECT_FALSE(g->wait());
      while (destroyed.load() != i) {
        std::this_thread::yield();
      }
    }
  });
  EXPECT_FALSE(outer.wait());
  other.join();
}

}  // namespace
