// SPDX-License-Identifier: Apache-2.0

// Promises C1 to C4: what a cancellation reaches, and what it leaves alone.

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>

#include <gtest/gtest.h>
#include <tbb/blocked_range.h>    // blocked_range
#include <tbb/global_control.h>   // global_control
#include <tbb/parallel_for.h>     // parallel_for
#include <tbb/parallel_reduce.h>  // parallel_reduce
#include <tbb/partitioner.h>      // simple_partitioner
#include <tbb/task_arena.h>       // task_arena
#include <tbb/task_group.h>       // is_current_task_group_canceling, task_group, task_group_context

#include <atomic>        // atomic
#include <chrono>        // hours
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_callback, stop_source, stop_token
#include <system_error>  // errc, error_code
#include <thread>        // thread
#include <utility>       // exchange, in_place, move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using support::await;
using support::counted;
using support::gate;
using support::on_every_way;
using support::watchdog;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

class GroupCancel : public support::no_leaks {};

/// Calls `body` with a limit, or without one.
template <class Body>
void with_and_without_limit(Body body) {
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    SCOPED_TRACE(testing::Message() << "limit " << limit);
    body(errgroup::options{.limit = limit});
  }
}

/// A oneTBB algorithm of `n` steps that calls `step` at each; how many it took.
template <class Step>
int steps_of_parallel_for(int n, Step step) {
  std::atomic<int> taken{0};
  tbb::parallel_for(
      tbb::blocked_range<int>(0, n, 1),
      [&](tbb::blocked_range<int> const&) {
        ++taken;
        step();
      },
      tbb::simple_partitioner());
  return taken;
}
constexpr int many = 1000;

// --- C1 --------------------------------------------------------------------------------------

TEST_F(GroupCancel, C1_tasks_that_have_not_started_are_skipped_and_destroyed_before_wait_returns) {
  on_every_way([](errgroup::group& g) {
    std::atomic<int> ran{0};
    g.run([&] { g.cancel(); });
    (void)g.wait();
    for (int i = 0; i < 50; ++i) {
      g.run([&ran, c = counted()] { ++ran; });
    }
    EXPECT_EQ(g.wait(), errc::canceled);
    EXPECT_EQ(counted::live(), 0);
    EXPECT_EQ(ran, 0);
  });
}

TEST_F(GroupCancel, C1_tasks_that_wait_for_a_slot_are_skipped_and_destroyed_before_wait_returns) {
  errgroup::group g{{.limit = 1}};
  gate started("the first task to start");
  gate go("the test to go on");
  std::atomic<int> ran{0};
  g.run([&] {
    started.open();
    go.wait();
  });
  started.wait();
  for (int i = 0; i < 50; ++i) {
    g.run([&ran, c = counted()] { ++ran; });
  }
  EXPECT_EQ(counted::live(), 50);
  g.cancel();
  go.open();
  EXPECT_EQ(g.wait().skipped(), 50U);
  EXPECT_EQ(counted::live(), 0);
  EXPECT_EQ(ran, 0);
}

TEST_F(GroupCancel, C1_the_destructor_skips_and_destroys_what_has_not_started) {
  on_every_way([](errgroup::group&) {
    {
      errgroup::group g;
      for (int i = 0; i < 50; ++i) {
        g.run([c = counted()] {});
      }
    }
    EXPECT_EQ(counted::live(), 0);
  });
}

TEST_F(GroupCancel, C1_a_running_task_sees_its_own_cancellation_in_every_way) {
  on_every_way([](errgroup::group& g) {
    bool before = true;
    bool canceling = false;
    bool token = false;
    bool raw = false;
    g.run([&](std::stop_token const& t) {
      before = g.is_canceling() || t.stop_requested() || tbb::is_current_task_group_canceling();
      g.cancel();
      canceling = g.is_canceling();
      token = t.stop_requested();
      raw = tbb::is_current_task_group_canceling();
    });
    EXPECT_EQ(g.wait(), errc::canceled);
    EXPECT_FALSE(before);
    EXPECT_TRUE(canceling);
    EXPECT_TRUE(token);
    EXPECT_TRUE(raw);
  });
}

TEST_F(GroupCancel, C1_a_running_task_sees_a_cancellation_by_another_thread) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group g(opts);
    gate started("the task to start");
    g.run([&](std::stop_token const& t) {
      started.open();
      await([&] { return t.stop_requested(); }, "the token to stop");
      await([&] { return g.is_canceling(); }, "is_canceling");
      await([] { return tbb::is_current_task_group_canceling(); }, "oneTBB's word");
    });
    support::waiters waiter(g, 1);
    started.wait();
    g.cancel();
    EXPECT_EQ(waiter.errors()[0], errc::canceled);
  });
}

TEST_F(GroupCancel, C1_a_failure_is_seen_by_a_running_task_like_a_cancellation) {
  for (int const limit : {errgroup::unlimited, 2}) {
    errgroup::group g{{.limit = limit}};
    gate started("the other task to start");
    g.run([&] {
      started.wait();
      return cause();
    });
    g.run([&](std::stop_token const& t) {
      started.open();
      await([&] { return t.stop_requested() && g.is_canceling(); }, "the token to stop");
      await([] { return tbb::is_current_task_group_canceling(); }, "oneTBB's word");
    });
    support::waiters all(g, 2);
    EXPECT_EQ(all.errors()[0], cause());
  }
}

TEST_F(GroupCancel, C1_a_token_handed_out_after_the_cancellation_is_stopped) {
  on_every_way([](errgroup::group& g) {
    g.cancel();
    EXPECT_TRUE(g.get_stop_token().stop_requested());
  });
}

TEST_F(GroupCancel, C1_every_token_of_a_group_is_the_same) {
  on_every_way([](errgroup::group& g) { EXPECT_EQ(g.get_stop_token(), g.get_stop_token()); });
}

// --- cancel with a cause, options::stop ------------------------------------------------------

TEST_F(GroupCancel, cancel_with_a_cause_is_that_error) {
  on_every_way([](errgroup::group& g) {
    g.cancel(cause());
    EXPECT_TRUE(g.is_canceling());
    g.run([c = counted()] {});
    error const e = g.wait();
    EXPECT_EQ(e, cause());
    EXPECT_EQ(e.skipped(), 1U);
  });
}

TEST_F(GroupCancel, a_stop_before_the_group_was_made_cancels_it) {
  std::stop_source source;
  source.request_stop();
  on_every_way(
      [](errgroup::group& g) {
        EXPECT_TRUE(g.is_canceling());
        bool ran = false;
        g.run([&ran] { ran = true; });
        error const e = g.wait();
        EXPECT_EQ(e, errc::canceled);
        EXPECT_EQ(e.skipped(), 1U);
        EXPECT_FALSE(ran);
        g.reset();
        EXPECT_EQ(g.wait(), errc::canceled) << "it is still stopped";
      },
      {.stop = source.get_token()});
}

TEST_F(GroupCancel, a_stop_while_a_task_runs_cancels_the_group) {
  with_and_without_limit([](errgroup::options opts) {
    std::stop_source source;
    opts.stop = source.get_token();
    errgroup::group g(opts);
    bool before = true;
    bool after = false;
    g.run([&] {
      before = g.is_canceling();
      source.request_stop();
      after = g.is_canceling() && tbb::is_current_task_group_canceling();
    });
    EXPECT_EQ(g.wait(), errc::canceled);
    EXPECT_FALSE(before);
    EXPECT_TRUE(after);
  });
}

TEST_F(GroupCancel, a_stop_after_the_group_is_gone_is_nobody_s_business) {
  std::stop_source source;
  {
    errgroup::group g{{.stop = source.get_token()}};
    EXPECT_FALSE(g.run_and_wait([] {}));
  }
  EXPECT_TRUE(source.request_stop());
}

TEST_F(GroupCancel, cancelling_the_group_does_not_stop_the_token_it_was_given) {
  std::stop_source source;
  errgroup::group g{{.stop = source.get_token()}};
  g.cancel();
  EXPECT_EQ(g.wait(), errc::canceled);
  EXPECT_FALSE(source.stop_requested());
}

// --- C2 --------------------------------------------------------------------------------------

/// What a task below a cancelled group can see of it.
struct seen {
  bool canceling = false;
  bool token = false;
  bool raw = false;
  bool checked = false;
  bool algorithm_gave_up = false;

  void expect_all() const {
    EXPECT_TRUE(canceling);
    EXPECT_TRUE(token);
    EXPECT_TRUE(raw);
    EXPECT_TRUE(checked);
    EXPECT_TRUE(algorithm_gave_up);
  }
};

/// A task of `child` that cancels `parent` and looks around.
auto cancels(errgroup::group& parent, errgroup::group& child, seen& s) {
  return [&](std::stop_token const& t) {
    parent.cancel();
    s.canceling = child.is_canceling();
    s.token = t.stop_requested();
    s.raw = tbb::is_current_task_group_canceling();
    s.checked = errgroup::check() == errc::canceled;
    s.algorithm_gave_up = steps_of_parallel_for(many, [] {}) < many;
  };
}

TEST_F(GroupCancel, C2_T4_a_nested_group_is_reached_across_arenas_too) {
  with_and_without_limit([](errgroup::options const& outer) {
    with_and_without_limit([&outer](errgroup::options const& inner) {
      errgroup::group parent(outer);
      seen s;
      error of_the_child;
      error const e = parent.run_and_wait([&] {
        errgroup::group child(inner);
        child.run(cancels(parent, child, s));
        of_the_child = child.wait();
      });
      s.expect_all();
      EXPECT_EQ(of_the_child, errc::canceled);
      EXPECT_EQ(e, errc::canceled);
    });
  });
}

TEST_F(GroupCancel, C2_T4_a_nested_group_in_an_arena_of_the_user_s_is_reached) {
  tbb::task_arena arena(2);
  errgroup::group parent;
  seen s;
  error of_the_child;
  EXPECT_TRUE(parent.run_and_wait([&] {
    errgroup::group child{{.arena = &arena}};
    child.run(cancels(parent, child, s));
    of_the_child = child.wait();
  }));
  s.expect_all();
  EXPECT_EQ(of_the_child, errc::canceled);
}

TEST_F(GroupCancel, C2_a_group_three_levels_down_is_reached) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group top(opts);
    seen s;
    error e2;
    error e3;
    EXPECT_TRUE(top.run_and_wait([&] {
      errgroup::group second(opts);
      e2 = second.run_and_wait([&] {
        errgroup::group third(opts);
        third.run(cancels(top, third, s));
        e3 = third.wait();
      });
    }));
    s.expect_all();
    EXPECT_EQ(e2, errc::canceled);
    EXPECT_EQ(e3, errc::canceled);
  });
}

TEST_F(GroupCancel, C2_a_parallel_for_in_a_task_gives_up) {
  on_every_way([](errgroup::group& g) {
    int taken = 0;
    g.run([&] { taken = steps_of_parallel_for(many, [&] { g.cancel(); }); });
    EXPECT_EQ(g.wait(), errc::canceled);
    EXPECT_LT(taken, many);
    EXPECT_GE(taken, 1);
  });
}

TEST_F(GroupCancel, C2_T3_a_reused_group_is_reached) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent;
    seen s;
    error reused;
    EXPECT_TRUE(parent.run_and_wait([&] {
      errgroup::group child(opts);
      for (int i = 0; i < 3; ++i) {
        child.run([] {});
        EXPECT_FALSE(child.wait());
      }
      child.run(cancels(parent, child, s));
      reused = child.wait();
    }));
    s.expect_all();
    EXPECT_EQ(reused, errc::canceled);
  });
}

TEST_F(GroupCancel, C2_T3_a_group_reused_after_its_parent_was_cancelled_runs_nothing) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent;
    bool ran = false;
    error reused;
    EXPECT_TRUE(parent.run_and_wait([&] {
      errgroup::group child(opts);
      EXPECT_FALSE(child.run_and_wait([] {}));
      parent.cancel();
      EXPECT_TRUE(child.is_canceling());
      child.run([&ran] { ran = true; });
      reused = child.wait();
    }));
    EXPECT_FALSE(ran);
    EXPECT_EQ(reused, errc::canceled);
    EXPECT_EQ(reused.skipped(), 1U);
  });
}

TEST_F(GroupCancel, C2_T3_a_group_that_was_reset_is_reached) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent;
    seen s;
    error again;
    EXPECT_TRUE(parent.run_and_wait([&] {
      errgroup::group child(opts);
      EXPECT_EQ(child.run_and_wait([] { return cause(); }), cause());
      child.reset();
      child.run(cancels(parent, child, s));
      again = child.wait();
    }));
    s.expect_all();
    EXPECT_EQ(again, errc::canceled);
  });
}

TEST_F(GroupCancel, C2_T5_a_group_used_and_waited_for_by_a_thread_belongs_to_its_task) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent;
    seen s;
    error of_the_child;
    EXPECT_TRUE(parent.run_and_wait([&] {
      errgroup::group child(opts);
      std::thread([&] { of_the_child = child.run_and_wait(cancels(parent, child, s)); }).join();
    }));
    s.expect_all();
    EXPECT_EQ(of_the_child, errc::canceled);
  });
}

TEST_F(GroupCancel, C2_T5_a_group_first_used_by_a_parallel_for_belongs_to_the_task) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent;
    seen s;
    error of_the_child;
    EXPECT_TRUE(parent.run_and_wait([&] {
      errgroup::group child(opts);
      tbb::parallel_for(0, 1, [&](int) { child.run(cancels(parent, child, s)); });
      of_the_child = child.wait();
    }));
    s.expect_all();
    EXPECT_EQ(of_the_child, errc::canceled);
  });
}

TEST_F(GroupCancel, C2_a_group_made_in_a_parallel_for_of_a_task_is_reached) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent;
    seen s;
    error of_the_child;
    EXPECT_TRUE(parent.run_and_wait([&] {
      tbb::parallel_for(0, 1, [&](int) {
        errgroup::group child(opts);
        child.run(cancels(parent, child, s));
        of_the_child = child.wait();
      });
    }));
    s.expect_all();
    EXPECT_EQ(of_the_child, errc::canceled);
  });
}

TEST_F(GroupCancel, C2_a_group_made_in_another_arena_belongs_to_none_before_a_wait_and_after) {
  tbb::task_arena arena(2);
  errgroup::group outer;
  EXPECT_EQ(outer.run_and_wait([&] {
    std::unique_ptr<errgroup::group> made;
    arena.execute([&] { made = std::make_unique<errgroup::group>(); });
    made->run([] {});
    EXPECT_FALSE(made->wait());
    made->run([] {});
    outer.cancel();
    EXPECT_FALSE(made->is_canceling());
    EXPECT_FALSE(made->wait());
  }),
            errc::canceled);
}

TEST_F(GroupCancel, C2_a_group_made_outside_belongs_to_no_task_that_uses_it) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group mine(opts);
    errgroup::group other;
    bool ran = false;
    bool canceling = true;
    error of_mine;
    EXPECT_EQ(other.run_and_wait([&] {
      other.cancel();
      mine.run([&] {
        ran = true;
        canceling = mine.is_canceling() || tbb::is_current_task_group_canceling();
      });
      of_mine = mine.wait();
    }),
              errc::canceled);
    EXPECT_FALSE(of_mine) << of_mine;
    EXPECT_TRUE(ran);
    EXPECT_FALSE(canceling);
  });
}

TEST_F(GroupCancel, C2_never_the_parent) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent(opts);
    bool reached = true;
    error const e = parent.run_and_wait([&](std::stop_token const& t) {
      errgroup::group child(opts);
      child.run([] { throw std::runtime_error("x"); });
      EXPECT_TRUE(child.wait());
      reached = parent.is_canceling() || t.stop_requested() || errgroup::check() ||
                tbb::is_current_task_group_canceling();
    });
    EXPECT_FALSE(e) << e;
    EXPECT_FALSE(reached);
  });
}

TEST_F(GroupCancel, C2_never_a_sibling) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group parent;
    error const e = parent.run_and_wait([&] {
      errgroup::group one(opts);
      errgroup::group two(opts);
      bool ran = false;
      one.run([&one] { one.cancel(); });
      EXPECT_EQ(one.wait(), errc::canceled);
      EXPECT_FALSE(two.is_canceling());
      two.run([&] { ran = !tbb::is_current_task_group_canceling(); });
      EXPECT_FALSE(two.wait());
      EXPECT_TRUE(ran);
    });
    EXPECT_FALSE(e) << e;
  });
}

TEST_F(GroupCancel, C2_T22_tokens_below_are_stopped_when_cancel_has_returned) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group top;
    EXPECT_TRUE(top.run_and_wait([&] {
      errgroup::group used(opts);
      errgroup::group unused(opts);
      std::stop_token const of_used = used.get_stop_token();
      std::stop_token const of_unused = unused.get_stop_token();
      int called = 0;
      std::stop_callback on_stop(of_unused, [&called] { ++called; });
      EXPECT_FALSE(used.run_and_wait([] {}));
      std::optional<bool> below;
      EXPECT_TRUE(used.run_and_wait([&] {
        errgroup::group third(opts);
        std::stop_token const of_third = third.get_stop_token();
        EXPECT_FALSE(of_third.stop_requested());
        top.cancel();
        below = of_third.stop_requested();
      }));
      EXPECT_EQ(below, true);
      EXPECT_TRUE(of_used.stop_requested());
      EXPECT_TRUE(of_unused.stop_requested());
      EXPECT_EQ(called, 1);
    }));
  });
}

TEST_F(GroupCancel, C2_T22_a_token_of_a_sibling_or_the_parent_is_not_stopped) {
  errgroup::group top;
  EXPECT_FALSE(top.run_and_wait([&](std::stop_token const& of_top) {
    errgroup::group one;
    errgroup::group two;
    std::stop_token const of_two = two.get_stop_token();
    one.cancel();
    EXPECT_TRUE(one.get_stop_token().stop_requested());
    EXPECT_FALSE(of_two.stop_requested());
    EXPECT_FALSE(of_top.stop_requested());
  }));
}

TEST_F(GroupCancel, C2_T22_many_tokens_are_stopped) {
  // More than are stopped in one go.
  errgroup::group top;
  EXPECT_TRUE(top.run_and_wait([&] {
    std::vector<std::unique_ptr<errgroup::group>> groups;
    for (int i = 0; i < 100; ++i) {
      groups.push_back(std::make_unique<errgroup::group>());
      (void)groups.back()->get_stop_token();
    }
    top.cancel();
    for (auto const& g : groups) {
      EXPECT_TRUE(g->get_stop_token().stop_requested());
    }
  }));
}

// --- C3 --------------------------------------------------------------------------------------

/// A cancellation walks over the contexts of the whole process: it would read a dangling parent.
void cancel_something_unrelated() {
  for (int i = 0; i < 3; ++i) {
    errgroup::group g;
    EXPECT_EQ(g.run_and_wait([&g] {
      errgroup::group below;
      EXPECT_TRUE(below.run_and_wait([&g] { g.cancel(); }));
    }),
              errc::canceled);
  }
}

/// Cancels a group, or a raw `tbb::task_group`, that stands where another one stood: whatever had
/// that for its parent, and still has, is cancelled with it.
template <class Group>
void cancel_another_in_the_place_of(std::optional<Group>& gone) {
  auto& another = gone.emplace();
  (void)another.run_and_wait([&another] {
    errgroup::group below;  // for want of children a cancellation would not go any further
    EXPECT_TRUE(below.run_and_wait([&another] { another.cancel(); }));
  });
  gone.reset();
}

/// Makes a group in a task and lets `use` have it; the group outlives that task, and all of its
/// parents, and is used again.
template <class Use>
void outlives_its_task(Use use) {
  with_and_without_limit([&use](errgroup::options const& opts) {
    std::unique_ptr<errgroup::group> survivor;
    std::optional<errgroup::group> parent(std::in_place);
    (void)parent->run_and_wait([&] {
      survivor = std::make_unique<errgroup::group>(opts);
      use(*survivor, *parent);
    });
    bool const was_cancelled = survivor->is_canceling();
    parent->cancel();
    EXPECT_EQ(survivor->is_canceling(), was_cancelled) << "with the group of a task that is over";
    parent.reset();
    cancel_something_unrelated();
    cancel_another_in_the_place_of(parent);
    EXPECT_EQ(survivor->is_canceling(), was_cancelled) << "with a group it does not know";
    survivor->reset();
    EXPECT_FALSE(survivor->is_canceling());
    cancel_something_unrelated();
    for (int i = 0; i < 3; ++i) {
      bool ran = false;
      survivor->run([&ran] { ran = true; });
      error const e = survivor->wait();
      EXPECT_FALSE(e) << e;
      EXPECT_TRUE(ran);
      cancel_something_unrelated();
    }
    errgroup::group other;
    EXPECT_FALSE(other.run_and_wait([&] { EXPECT_FALSE(survivor->run_and_wait([] {})); }));
    EXPECT_EQ(survivor->run_and_wait([] { return cause(); }), cause());
  });
}

TEST_F(GroupCancel, C3_T6_a_group_may_outlive_the_task_it_was_made_in_unused) {
  outlives_its_task([](errgroup::group&, errgroup::group&) {});
}

TEST_F(GroupCancel, C3_T6_a_group_may_outlive_the_task_it_was_made_and_used_in) {
  outlives_its_task([](errgroup::group& g, errgroup::group&) {
    g.run([] {});
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(GroupCancel, C3_T6_a_group_may_outlive_its_task_after_run_and_wait) {
  outlives_its_task(
      [](errgroup::group& g, errgroup::group&) { EXPECT_FALSE(g.run_and_wait([] {})); });
}

TEST_F(GroupCancel, C3_T6_a_group_used_by_a_thread_may_outlive_the_task_it_was_made_in) {
  outlives_its_task([](errgroup::group& g, errgroup::group&) {
    std::thread([&g] {
      g.run([] {});
      EXPECT_FALSE(g.wait());
    }).join();
  });
}

TEST_F(GroupCancel, C3_T6_a_group_waited_for_by_another_thread_only_may_outlive_its_task) {
  support::with_workers(1, [&] {
    // W2 excludes a task that blocks on the waiter of its own spawned task: a worker runs that.
    outlives_its_task([](errgroup::group& g, errgroup::group&) {
      g.run([] {});
      std::thread([&g] { EXPECT_FALSE(g.wait()); }).join();
    });
  });
}

TEST_F(GroupCancel, C3_T6_a_group_waited_for_by_another_thread_only_may_be_reset) {
  support::with_workers(1, [&] {
    // W2 excludes a task that blocks on the waiter of its own spawned task: a worker runs that.
    outlives_its_task([](errgroup::group& g, errgroup::group&) {
      g.run([] { return cause(); });
      std::thread([&g] { EXPECT_EQ(g.wait(), cause()); }).join();
      EXPECT_NO_THROW(g.reset());
      EXPECT_FALSE(g.run_and_wait([] {}));
    });
  });
}

TEST_F(GroupCancel, C3_T6_a_group_used_by_a_parallel_for_may_outlive_the_task_it_was_made_in) {
  outlives_its_task([](errgroup::group& g, errgroup::group&) {
    tbb::parallel_for(0, 4, [&g](int) { g.run([] {}); });
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(GroupCancel, C3_T6_a_group_with_a_token_may_outlive_the_task_it_was_made_in) {
  outlives_its_task([](errgroup::group& g, errgroup::group&) {
    EXPECT_FALSE(g.get_stop_token().stop_requested());
    EXPECT_FALSE(g.run_and_wait([](std::stop_token const&) {}));
  });
}

TEST_F(GroupCancel, C3_T6_a_group_whose_context_was_asked_for_may_outlive_its_task) {
  outlives_its_task([](errgroup::group& g, errgroup::group&) {
    tbb::parallel_for(0, 4, [](int) {}, g.context());
    EXPECT_FALSE(g.wait());
  });
}

TEST_F(GroupCancel, C3_T6_a_group_that_failed_may_outlive_the_task_it_was_made_in) {
  outlives_its_task([](errgroup::group& g, errgroup::group&) {
    EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
  });
}

TEST_F(GroupCancel, C3_T6_a_group_cancelled_with_its_task_may_outlive_it) {
  outlives_its_task([](errgroup::group& g, errgroup::group& parent) {
    g.run([&parent] { parent.cancel(); });
    EXPECT_EQ(g.wait(), errc::canceled);
  });
}

TEST_F(GroupCancel, C3_T6_a_group_may_outlive_a_raw_task) {
  with_and_without_limit([](errgroup::options const& opts) {
    std::unique_ptr<errgroup::group> unused;
    std::unique_ptr<errgroup::group> used;
    {
      auto raw = std::make_unique<tbb::task_group>();
      raw->run_and_wait([&] {
        unused = std::make_unique<errgroup::group>(opts);
        used = std::make_unique<errgroup::group>(opts);
        EXPECT_FALSE(used->run_and_wait([] {}));
        used->run([] {});
        EXPECT_FALSE(used->wait());
      });
    }
    cancel_something_unrelated();
    EXPECT_FALSE(unused->run_and_wait([] {}));
    EXPECT_FALSE(used->run_and_wait([] {}));
    cancel_something_unrelated();
  });
}

TEST_F(GroupCancel, C3_T6_a_task_waits_at_its_end_for_a_group_made_in_it_that_is_busy) {
  support::watchdog const guard("a task that ends before a group that it has made");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  with_and_without_limit([](errgroup::options const& opts) {
    std::optional<errgroup::group> parent(std::in_place);
    std::optional<errgroup::group> survivor;
    std::optional<errgroup::group> failed;
    std::atomic<int> ran{0};
    EXPECT_FALSE(parent->run_and_wait([&] {
      survivor.emplace(opts);
      failed.emplace(opts);
      for (int i = 0; i != 3; ++i) {
        survivor->run([&ran] { ++ran; });
      }
      failed->run([] { return cause(); });
    }));
    EXPECT_EQ(ran, 3);
    parent->cancel();
    parent.reset();
    cancel_another_in_the_place_of(parent);
    EXPECT_FALSE(survivor->is_canceling());
    EXPECT_FALSE(survivor->wait());
    EXPECT_EQ(failed->wait(), cause()) << "which nobody has been told yet";
  });
}

TEST_F(GroupCancel, C3_T6_a_task_waits_at_its_end_for_what_another_thread_runs) {
  support::watchdog const guard("a task that ends before a group that it has made");
  for (int const limit : {1, 2}) {  // so that the other thread gets the task
    for (int round = 0; round != 10; ++round) {
      errgroup::group parent;
      std::optional<errgroup::group> survivor;
      gate started("the group's task to start");
      bool done = false;
      std::thread waiter;
      EXPECT_FALSE(parent.run_and_wait([&] {
        survivor.emplace(errgroup::options{.limit = limit});
        survivor->run([&] {
          started.open();
          support::let_others_work();
          done = true;
        });
        waiter = std::thread([&survivor] { EXPECT_FALSE(survivor->wait()); });
        started.wait();
      }));
      EXPECT_TRUE(done);
      waiter.join();
    }
  }
}

TEST_F(GroupCancel, C3_T6_a_group_made_outside_may_outlive_the_tasks_it_was_used_in) {
  with_and_without_limit([](errgroup::options const& opts) {
    errgroup::group g(opts);
    for (int i = 0; i < 3; ++i) {
      {
        errgroup::group other;
        EXPECT_FALSE(other.run_and_wait([&] {
          g.run([] {});
          EXPECT_FALSE(g.wait());
        }));
      }
      cancel_something_unrelated();
      EXPECT_FALSE(g.run_and_wait([] {}));
    }
  });
}

// --- context() -------------------------------------------------------------------------------

TEST_F(GroupCancel, C2_an_algorithm_given_the_context_gives_up_when_the_group_is_cancelled) {
  on_every_way([](errgroup::group& g) {
    std::atomic<int> taken{0};
    tbb::parallel_for(
        tbb::blocked_range<int>(0, many, 1),
        [&](tbb::blocked_range<int> const&) {
          ++taken;
          g.cancel(cause());
        },
        tbb::simple_partitioner(), g.context());
    EXPECT_LT(taken, many);
    EXPECT_EQ(g.wait(), cause());
  });
}

TEST_F(GroupCancel, cancelling_the_context_counts_as_cancel) {
  on_every_way([](errgroup::group& g) {
    g.context().cancel_group_execution();
    EXPECT_TRUE(g.is_canceling());
    bool ran = false;
    g.run([&ran] { ran = true; });
    error const e = g.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_FALSE(ran);
    EXPECT_EQ(e.skipped(), 1U);
    EXPECT_EQ(g.wait(), errc::canceled) << "and it stays";
    g.reset();
    EXPECT_FALSE(g.run_and_wait([] {}));
  });
}

TEST_F(GroupCancel, cancelling_the_context_in_a_task_counts_as_cancel) {
  on_every_way([](errgroup::group& g) {
    bool seen = false;
    g.run([&] {
      g.context().cancel_group_execution();
      seen = g.is_canceling() && errgroup::check() == errc::canceled;
    });
    EXPECT_EQ(g.wait(), errc::canceled);
    EXPECT_TRUE(seen);
  });
}

TEST_F(GroupCancel, an_algorithm_given_the_context_that_succeeds_changes_nothing) {
  on_every_way([](errgroup::group& g) {
    for (int i = 0; i < 3; ++i) {
      std::atomic<int> taken{0};
      tbb::parallel_for(0, 100, [&taken](int) { ++taken; }, g.context());
      EXPECT_EQ(taken, 100);
      g.run([&taken] { ++taken; });
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(taken, 101);
    }
  });
}

// --- C4 --------------------------------------------------------------------------------------

TEST_F(GroupCancel, C4_check_turns_an_algorithm_that_gave_up_into_the_error_it_is) {
  on_every_way([](errgroup::group& g) {
    int sum = -1;
    error before = errc::failed;
    error after;
    g.run([&]() -> error {
      before = errgroup::check();
      g.cancel(cause());
      sum = tbb::parallel_reduce(
          tbb::blocked_range<int>(0, many), 0,
          [](tbb::blocked_range<int> const& r, int s) { return s + static_cast<int>(r.size()); },
          [](int a, int b) { return a + b; });
      after = errgroup::check();
      return after;
    });
    EXPECT_EQ(g.wait(), cause());
    EXPECT_FALSE(before);
    EXPECT_EQ(after, errc::canceled);
    EXPECT_NE(sum, many) << "oneTBB itself does not say a word";
  });
}

TEST_F(GroupCancel, C4_check_knows_of_a_raw_task_group_too) {
  tbb::task_group raw;
  error before = errc::failed;
  error after;
  raw.run_and_wait([&] {
    before = errgroup::check();
    raw.cancel();
    after = errgroup::check();
  });
  EXPECT_FALSE(before);
  EXPECT_EQ(after, errc::canceled);
}

TEST_F(GroupCancel, C4_check_is_success_where_another_group_was_cancelled) {
  on_every_way([](errgroup::group& g) {
    errgroup::group other;
    other.cancel();
    error inside = errc::failed;
    g.run([&inside] { inside = errgroup::check(); });
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(inside);
  });
}

TEST_F(GroupCancel, C4_check_is_success_outside_after_a_cancelled_group) {
  errgroup::group g;
  EXPECT_TRUE(g.run_and_wait([&g] { g.cancel(); }));
  EXPECT_FALSE(errgroup::check());
}

TEST_F(GroupCancel, C4_T18_check_takes_a_group_s_word_before_oneTBB_has_told_all_contexts) {
  // While oneTBB walks over the contexts for the topmost group, the middle one, which it has told
  // already, cancels, too: that walk is not made, as oneTBB takes it for done.
  for (int round = 0; round != 40; ++round) {
    errgroup::group top;
    EXPECT_EQ(top.run_and_wait([&top] {
      errgroup::group middle;
      EXPECT_EQ(middle.run_and_wait([&top, &middle] {
        tbb::task_group_context& of_middle = middle.context();
        errgroup::group innermost;
        (void)innermost.context();
        std::vector<std::unique_ptr<errgroup::group>> on_the_way;
        for (int i = 0; i != 3000; ++i) {
          on_the_way.push_back(std::make_unique<errgroup::group>());
          (void)on_the_way.back()->context();
        }
        EXPECT_EQ(innermost.run_and_wait([&] {
          EXPECT_FALSE(errgroup::check());
          std::thread canceller([&top] { top.cancel(); });
          await([&] { return of_middle.is_group_execution_cancelled(); }, "oneTBB's word");
          middle.cancel();
          EXPECT_EQ(errgroup::check(), errc::canceled);
          canceller.join();
        }),
                  errc::canceled);
      }),
                errc::canceled);
    }),
              errc::canceled);
  }
}

TEST_F(GroupCancel, C4_check_agrees_with_the_group_made_inside_another_arena) {
  tbb::task_arena arena(2);
  errgroup::group parent;
  EXPECT_EQ(parent.run_and_wait([&] {
    parent.cancel();
    arena.execute([&] {
      errgroup::group g;
      bool const canceling = g.is_canceling();
      error inside;
      g.run([&inside] { inside = errgroup::check(); });
      EXPECT_EQ(static_cast<bool>(g.wait()), canceling);
      EXPECT_EQ(static_cast<bool>(inside), canceling);
    });
  }),
            errc::canceled);
}

TEST_F(GroupCancel, C1_a_stop_token_that_was_got_after_a_reset_in_a_task_is_told) {
  errgroup::group outer;
  outer.run([&] {
    errgroup::group g;
    (void)g.get_stop_token();
    g.cancel();
    EXPECT_EQ(g.wait(), errc::canceled);
    g.reset();
    std::stop_token const token = g.get_stop_token();
    EXPECT_FALSE(token.stop_requested());
    outer.cancel();
    EXPECT_TRUE(token.stop_requested());
  });
  EXPECT_EQ(outer.wait(), errc::canceled);
}

TEST_F(GroupCancel, C3_T6_waiters_in_a_raw_task_leave_while_the_task_around_it_ends) {
  support::watchdog const guard("waiters that leave while a task ends");
  for (int round = 0; round != 300; ++round) {
    std::shared_ptr<errgroup::group> g;
    std::vector<std::thread> others;
    errgroup::group outer;
    outer.run([&] {
      tbb::parallel_for(0, 1, [&](int) {
        g = std::make_shared<errgroup::group>();
        std::atomic<int> there{0};
        g->run([&] { await([&] { return there == 2; }, "two that are about to wait"); });
        for (int i = 0; i != 2; ++i) {
          others.emplace_back([&there, g] {
            ++there;
            EXPECT_FALSE(g->wait());
          });
        }
        EXPECT_FALSE(g->wait());
      });
    });
    EXPECT_FALSE(outer.wait());
    for (std::thread& t : others) {
      t.join();
    }
  }
}

TEST_F(GroupCancel, E4_reset_beside_cancel_and_is_canceling) {
  support::watchdog const guard("reset beside cancel");
  auto reset_beside = [](errgroup::group& g) {
    std::atomic<bool> over{false};
    std::thread other([&] {
      while (!over) {
        g.cancel();
        (void)g.is_canceling();
      }
    });
    for (int i = 0; i != 2000; ++i) {
      g.reset();
      (void)g.wait();
    }
    over = true;
    other.join();
    g.cancel();
    EXPECT_EQ(g.wait(), errc::canceled);
    g.reset();
    EXPECT_FALSE(g.wait());
  };
  errgroup::group outside;
  reset_beside(outside);
  errgroup::group outer;
  outer.run([&] {
    errgroup::group inside;
    reset_beside(inside);
  });
  EXPECT_FALSE(outer.wait());
}

TEST_F(GroupCancel, C3_a_group_is_destroyed_elsewhere_while_the_task_that_made_it_ends) {
  support::watchdog const guard("a group that is destroyed while its task ends");
  for (int round = 0; round != 300; ++round) {
    std::atomic<errgroup::group*> handed_over{nullptr};
    errgroup::group outer;
    std::thread destroyer([&] {
      await([&] { return handed_over != nullptr; }, "a group");
      delete handed_over.load();
    });
    outer.run([&] {
      auto* const g = new errgroup::group({.limit = round % 3 == 0 ? 1 : errgroup::unlimited});
      g->run([] { return cause(); });
      handed_over = g;
    });
    EXPECT_FALSE(outer.wait());
    destroyer.join();
  }
}

TEST_F(GroupCancel, C2_W1_a_skipped_task_may_own_a_group_that_is_cancelled_with_it) {
  support::watchdog const guard("a cancellation that destroys a group which it has cancelled");
  gate started("the task to make the group");
  gate go;
  errgroup::group outer({.limit = 1});
  std::thread other([&] {
    started.wait();
    outer.cancel();
    go.open();
  });
  outer.run([&] {
    auto inner = std::make_unique<errgroup::group>();
    outer.run([owned = std::move(inner)] { owned->run([] {}); });
    started.open();
    go.wait();
  });
  EXPECT_EQ(outer.wait(), errc::canceled);
  other.join();
}

TEST_F(GroupCancel, C1_W1_a_callback_may_wait_for_a_group_that_is_cancelled_with_its_own) {
  watchdog const ends("a callback to wait for another cancelled group");
  using callback = std::stop_callback<std::function<void()>>;
  for (bool const destroys : {false, true}) {
    for (bool const is_limited : {false, true}) {
      group g;
      g.run([&] {
        // Callbacks of one of the two run before anything is done for the other.
        std::unique_ptr<group> groups[2];
        std::optional<callback> callbacks[2];
        for (auto& of : groups) {
          of =
              is_limited ? std::make_unique<group>(options{.limit = 1}) : std::make_unique<group>();
          of->run_after(std::chrono::hours(1), [] {});
          of->run([] {});
        }
        bool done = false;
        for (int i = 0; i != 2; ++i) {
          callbacks[i].emplace(groups[i]->get_stop_token(), std::function<void()>([&, i] {
                                 if (std::exchange(done, true)) {
                                   return;
                                 }
                                 EXPECT_EQ(groups[1 - i]->wait(), errc::canceled);
                                 if (destroys) {
                                   groups[1 - i].reset();
                                 }
                               }));
        }
        g.cancel();
        EXPECT_TRUE(done);
      });
      EXPECT_EQ(g.wait(), errc::canceled);
    }
  }
}

TEST_F(GroupCancel, C1_a_callback_may_destroy_a_busy_group_that_is_cancelled_with_its_own) {
  watchdog const ends("a callback to destroy another cancelled group");
  using callback = std::stop_callback<std::function<void()>>;
  group g;
  g.run([&] {
    std::unique_ptr<group> groups[2];
    std::optional<callback> callbacks[2];
    bool done = false;
    for (int i = 0; i != 2; ++i) {
      groups[i] = std::make_unique<group>();
      groups[i]->run_after(std::chrono::hours(1), [] {});
      callbacks[i].emplace(groups[i]->get_stop_token(), std::function<void()>([&, i] {
                             if (!std::exchange(done, true)) {
                               groups[1 - i].reset();
                             }
                           }));
    }
    g.cancel();
    EXPECT_TRUE(done);
  });
  EXPECT_EQ(g.wait(), errc::canceled);
}

TEST_F(GroupCancel, W3_a_callback_that_waits_in_a_thread_with_tasks_of_the_group_is_answered) {
  watchdog const ends("a callback to be answered that waits for its own group");
  for (options const& opts : {options{}, options{.limit = 1}}) {
    for (bool const spawns : {false, true}) {
      group g(opts);
      error answer;
      auto const callback = g.on_cancel([&] { answer = g.wait(); });
      auto body = [&] { g.context().cancel_group_execution(); };
      if (spawns) {
        g.run([&] {
          g.run([] {});
          body();
        });
      } else {
        g.run(body);
        g.run(body);
      }
      EXPECT_EQ(g.wait(), errc::canceled);
      // The waiter may find the cancellation, too. It has no tasks, and the callback may wait
      // there.
      EXPECT_TRUE(answer == errc::would_deadlock || answer == errc::canceled) << answer.message();
    }
  }
}

TEST_F(GroupCancel, E3_E4_a_cancel_beside_reset_counts_wholly_or_not_at_all) {
  group g;
  constexpr int rounds = 5000;
  std::atomic<int> begun{0};
  std::atomic<int> done{0};
  std::thread canceller([&] {
    for (int i = 1; i <= rounds; ++i) {
      while (begun.load() != i) {
        std::this_thread::yield();
      }
      g.cancel();
      done.store(i);
    }
  });
  for (int i = 1; i <= rounds; ++i) {
    begun.store(i);
    for (std::atomic<int> busy{0}; busy != i % 100; ++busy) {
    }
    g.reset();
    while (done.load() != i) {
      std::this_thread::yield();
    }
    bool const is_cancelled = g.is_canceling();
    ASSERT_EQ(g.wait() == errc::canceled, is_cancelled);
    ASSERT_EQ(g.context().is_group_execution_cancelled(), is_cancelled);
    g.reset();
    ASSERT_FALSE(g.is_canceling());
  }
  canceller.join();
}

}  // namespace
