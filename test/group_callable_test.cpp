// SPDX-License-Identifier: Apache-2.0

// W5: a callable belongs to its task until it is destroyed. What its destructor submits, waits for
// or destroys is submitted, waited for or destroyed by the task.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/spawn.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <atomic>      // atomic
#include <chrono>      // hours, nanoseconds
#include <cstddef>     // size_t
#include <functional>  // function
#include <memory>      // make_shared, make_unique, unique_ptr
#include <optional>    // optional
#include <stdexcept>   // logic_error
#include <thread>      // thread
#include <utility>     // exchange, move

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using support::gate;
using support::on_every_way;
using support::opens_at_end;
using support::watchdog;

/// A part of a callable: its destructor calls a function.
class at_end {
 public:
  explicit at_end(std::function<void()> f) : f_(std::move(f)) {}
  at_end(at_end&& other) noexcept : f_(std::exchange(other.f_, nullptr)) {}
  at_end(at_end const&) = delete;
  at_end& operator=(at_end const&) = delete;
  at_end& operator=(at_end&&) = delete;
  ~at_end() {
    if (f_) {
      f_();
    }
  }

 private:
  std::function<void()> f_;
};

class Callable : public support::no_leaks {};

TEST_F(Callable, W5_L4_its_destructor_submits_to_its_group_on_every_way) {
  watchdog const ends("a destructor's submission to run");
  for (std::size_t queue : {errgroup::npos, std::size_t{0}, std::size_t{1}}) {
    on_every_way(
        [](group& g) {
          std::atomic<int> ran{0};
          auto follow_up = [&] { g.run([&] { ++ran; }); };
          g.run([&, end = at_end(follow_up)] { ++ran; });
          error const err = g.wait();
          EXPECT_FALSE(err) << err;
          EXPECT_EQ(ran, 2);
        },
        {.queue = queue});
  }
}

TEST_F(Callable, W5_L4_destructors_submit_at_a_full_queue_again_and_again) {
  watchdog const ends("a chain of destructors to end");
  group g{{.limit = 1, .queue = 0}};
  int ran = 0;
  std::function<void(int)> chain = [&](int left) {
    ++ran;
    if (left > 0) {
      g.run([end = at_end([&chain, left] { chain(left - 1); })] {});
    }
  };
  g.run([end = at_end([&] { chain(100); })] {});
  error const err = g.wait();
  EXPECT_FALSE(err) << err;
  EXPECT_EQ(ran, 101);
}

TEST_F(Callable, W5_its_destructor_submits_to_another_group) {
  watchdog const ends("a task of the other group to run");
  for (int limit : {errgroup::unlimited, 1, 2}) {
    group other;
    group g{{.limit = limit}};
    std::atomic<int> ran{0};
    g.run([end = at_end([&] { other.run([&] { ++ran; }); })] {});
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(other.wait());
    EXPECT_EQ(ran, 1);
  }
}

TEST_F(Callable, W5_W3_its_destructor_is_inside) {
  watchdog const ends("a wait inside to be answered");
  on_every_way([](group& g) {
    std::atomic<int> answers{0};
    auto ask = [&] {
      EXPECT_TRUE(errgroup::extend::is_inside(g));
      EXPECT_EQ(g.wait(), errc::would_deadlock);
      EXPECT_FALSE(g.wait_for(std::chrono::hours(1)));
      EXPECT_EQ(g.run_and_wait([] {}), errc::would_deadlock);
      ++answers;
    };
    g.run([end = at_end(ask)] {});
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(answers, 1);
  });
}

TEST_F(Callable, W5_C2_a_group_made_in_its_destructor_belongs_to_the_task) {
  watchdog const ends("a group made in a destructor to be waited for");
  on_every_way([](group& g) {
    bool cancelled = false;
    error inner;
    auto make = [&] {
      group child;
      child.run([] {});
      EXPECT_FALSE(child.wait());
      g.cancel();
      cancelled = child.is_canceling();
      child.run([] { ADD_FAILURE() << "a task below a cancelled one has run"; });
      inner = child.wait();
    };
    g.run([end = at_end(make)] {});
    EXPECT_EQ(g.wait(), errc::canceled);
    EXPECT_TRUE(cancelled);
    EXPECT_EQ(inner, errc::canceled);
  });
}

TEST_F(Callable, W5_C3_the_end_of_the_task_waits_for_a_group_made_in_its_destructor) {
  watchdog const ends("a group that outlives the destructor that made it");
  group g;
  std::unique_ptr<group> child;
  std::atomic<int> ran{0};
  auto make = [&] {
    child = std::make_unique<group>();
    child->run([&] { ++ran; });
  };
  g.run([end = at_end(make)] {});
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(child->wait());
}

TEST_F(Callable, W5_L1_its_destructor_holds_the_slot) {
  watchdog const ends("two tasks at a limit of 1");
  group g{{.limit = 1}};
  std::atomic<int> busy{0};
  for (int i = 0; i != 20; ++i) {
    auto enter = [&] { EXPECT_EQ(++busy, 1); };
    g.run([enter, end = at_end([&] { --busy; })] { enter(); });
  }
  std::thread other([&] { EXPECT_FALSE(g.wait()); });
  EXPECT_FALSE(g.wait());
  other.join();
}

TEST_F(Callable, W5_a_handle_is_waited_for_in_a_destructor) {
  watchdog const ends("a destructor to get the result of another task");
  for (int limit : {errgroup::unlimited, 1}) {
    group g{{.limit = limit}};
    gate has_handle("the handle");
    std::optional<errgroup::handle<int>> handle;
    int got = 0;
    g.run([&, end = at_end([&] { got = *handle->get(); })] { has_handle.wait(); });
    handle = errgroup::spawn(g, [] { return 7; });
    has_handle.open();
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(got, 7);
  }
}

TEST_F(Callable, W5_W3_a_callable_that_is_skipped_is_destroyed_inside) {
  watchdog const ends("the destructor of a skipped callable");
  for (int limit : {errgroup::unlimited, 1}) {
    // Without a limit, another thread may run what waits. A task that is not due waits for sure.
    int const waiting = limit == 1 ? 2 : 1;
    group g{{.limit = limit}};
    gate began("the first task to begin");
    gate go_on("the test to cancel");
    std::atomic<int> answers{0};
    auto ask = [&] {
      EXPECT_EQ(g.wait(), errc::would_deadlock);
      g.run([] { ADD_FAILURE() << "a task of a cancelled group has run"; });
      ++answers;
    };
    std::thread waiter;
    {
      opens_at_end const opens(go_on);
      g.run([&] {
        began.open();
        go_on.wait();
      });
      waiter = std::thread([&] { EXPECT_EQ(g.wait(), errc::canceled); });
      began.wait();
      if (waiting == 2) {
        g.run([end = at_end(ask)] { ADD_FAILURE() << "a skipped task has run"; });
      }
      g.run_after(std::chrono::hours(1), [end = at_end(ask)] {});
      g.cancel();
    }
    waiter.join();
    error const err = g.wait();
    EXPECT_EQ(err, errc::canceled);
    EXPECT_EQ(answers, waiting);
    EXPECT_EQ(err.skipped(), static_cast<std::size_t>(2 * waiting));
  }
}

TEST_F(Callable, W5_W3_the_callable_of_a_handle_that_is_cancelled_is_destroyed_inside) {
  watchdog const ends("the destructor of a cancelled handle's callable");
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  group g;
  int answers = 0;
  auto h = errgroup::spawn(g, [end = at_end([&] {
                                 EXPECT_EQ(g.wait(), errc::would_deadlock);
                                 ++answers;
                               })] { return 1; });
  h.cancel();
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(h.get().error(), errc::canceled);
  EXPECT_FALSE(g.wait());
}

TEST_F(Callable, W5_C2_a_group_made_in_the_destructor_of_a_skipped_callable_is_cancelled) {
  watchdog const ends("a group made in the destructor of a skipped callable");
  for (bool const in_task : {false, true}) {
    group g{{.limit = 1}};
    gate began("the first task to begin");
    gate go_on("the test to cancel");
    std::unique_ptr<group> kept;
    std::atomic<int> asked{0};
    g.run([&] {
      began.open();
      go_on.wait();
    });
    std::thread waiter([&] { EXPECT_EQ(g.wait(), errc::canceled); });
    began.wait();
    g.run([end = at_end([&] {
             kept = std::make_unique<group>();
             EXPECT_TRUE(kept->is_canceling());
             kept->run([] { ADD_FAILURE() << "a task below a cancelled one has run"; });
             EXPECT_EQ(kept->wait(), errc::canceled);
             group detached{{.detached = true}};
             detached.run([&] { ++asked; });
             EXPECT_FALSE(detached.wait());
           })] {});
    if (in_task) {
      group canceler;
      EXPECT_FALSE(canceler.run_and_wait([&] { g.cancel(); }));
    } else {
      g.cancel();
    }
    EXPECT_EQ(asked, 1);
    go_on.open();
    waiter.join();
    // It holds no link to a task that is over.
    kept->reset();
    kept->run([&] { ++asked; });
    EXPECT_FALSE(kept->wait());
    EXPECT_EQ(asked, 2);
  }
}

TEST_F(Callable, W5_the_task_of_a_handle_that_a_destructor_waits_for_is_not_run_when_cancelled) {
  watchdog const ends("a destructor that waits for a cancelled handle");
  group g{{.limit = 1}};
  gate began("the first task to begin");
  gate cancelled("the group to be cancelled");
  std::optional<errgroup::handle<int>> handle;
  std::optional<error> told;
  g.run([&, end = at_end([&] { told = handle->get().error(); })] {
    began.open();
    cancelled.wait();
  });
  // Claimed by the destructor, not by the queue: the task that waits is skipped only later.
  handle = errgroup::spawn(g, [] {
    ADD_FAILURE() << "a task of a cancelled group has run";
    return 1;
  });
  std::thread waiter([&] { EXPECT_EQ(g.wait(), errc::canceled); });
  began.wait();
  g.context().cancel_group_execution();
  cancelled.open();
  waiter.join();
  ASSERT_TRUE(told);
  EXPECT_EQ(*told, errc::canceled);
}

TEST_F(Callable, E3_a_handle_s_task_is_not_run_by_its_waiter_in_another_group_when_cancelled) {
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  group g;
  group other;
  error told;
  EXPECT_EQ(g.run_and_wait([&] {
    auto handle = errgroup::spawn(g, [] {
      ADD_FAILURE() << "a task of a cancelled group has run";
      return 1;
    });
    EXPECT_FALSE(other.run_and_wait([&] {
      g.context().cancel_group_execution();
      told = handle.get().error();
    }));
  }),
            errc::canceled);
  EXPECT_EQ(told, errc::canceled);
}

TEST_F(Callable, W5_a_cancelled_callable_may_wait_for_another_group_and_meet_its_own_task) {
  watchdog const ends("the destructor of a cancelled callable that waits");
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  group other;
  gate began("the other group's task to begin");
  std::atomic<bool> waits{false};
  std::thread runner([&] {
    EXPECT_FALSE(other.run_and_wait([&] {
      began.open();
      support::await([&] { return waits.load(); }, "the destructor to begin");
      for (int i = 0; i != 1000; ++i) {
        std::this_thread::yield();  // the waiting thread takes the cancelled task on meanwhile
      }
    }));
  });
  began.wait();
  group outer;
  EXPECT_FALSE(outer.run_and_wait([&] {
    group g;
    auto handle = errgroup::spawn(g, [end = at_end([&] {
                                        waits = true;
                                        EXPECT_FALSE(other.wait());
                                      })] { return 1; });
    handle.cancel();
    EXPECT_EQ(handle.get().error(), errc::canceled);
    EXPECT_FALSE(g.wait());
  }));
  runner.join();
}

TEST_F(Callable, W1_wait_covers_the_callable_of_a_run_and_wait_that_is_skipped) {
  watchdog const ends("a wait beside a run_and_wait that is skipped");
  for (bool const in_task : {false, true}) {
    auto const test = [] {
      group g;
      gate dying("the callable to be destroyed");
      gate go_on("the waiter to be about to wait");
      std::atomic<bool> dead{false};
      auto die = [&] {
        dying.open();
        go_on.wait();
        for (int i = 0; i != 1000; ++i) {
          std::this_thread::yield();
        }
        dead = true;
      };
      g.context().cancel_group_execution();
      std::thread runner([&] {
        EXPECT_EQ(
            g.run_and_wait([end = at_end(die)] { ADD_FAILURE() << "a skipped task has run"; }),
            errc::canceled);
      });
      dying.wait();
      go_on.open();
      EXPECT_EQ(g.wait(), errc::canceled);
      EXPECT_TRUE(dead);
      runner.join();
    };
    if (in_task) {
      group outer;
      EXPECT_FALSE(outer.run_and_wait(test));
    } else {
      test();
    }
  }
}

TEST_F(Callable, W1_wait_covers_the_callable_of_a_run_and_wait_on_another_thread) {
  watchdog const ends("a wait beside run_and_wait");
  for (bool in_task : {false, true}) {
    auto const test = [] {
      group g;
      gate began("the task to begin");
      gate go_on("the waiter to be about to wait");
      std::atomic<bool> dead{false};
      auto die = [&] {
        // The waiter is in `wait`, or about to be: without the repair it returns meanwhile.
        go_on.wait();
        for (int i = 0; i != 1000; ++i) {
          std::this_thread::yield();
        }
        dead = true;
      };
      std::thread runner(
          [&] { EXPECT_FALSE(g.run_and_wait([&began, end = at_end(die)] { began.open(); })); });
      began.wait();
      go_on.open();
      EXPECT_FALSE(g.wait());
      EXPECT_TRUE(dead);
      runner.join();
    };
    if (in_task) {
      group outer;
      EXPECT_FALSE(outer.run_and_wait(test));
    } else {
      test();
    }
  }
}

TEST_F(Callable, W1_wait_for_is_false_while_another_thread_is_in_run_and_wait) {
  watchdog const ends("a wait with a limit beside run_and_wait");
  group g;
  gate began("the task to begin");
  gate go_on("the test to have asked");
  std::thread runner([&] {
    EXPECT_FALSE(g.run_and_wait([&] {
      began.open();
      go_on.wait();
    }));
  });
  {
    opens_at_end const opens(go_on);
    began.wait();
    EXPECT_FALSE(g.wait_for(std::chrono::nanoseconds(0)));
    EXPECT_THROW(g.reset(), std::logic_error);
  }
  runner.join();
  EXPECT_TRUE(g.wait_for(std::chrono::nanoseconds(0)));
}

class CallableDeathTest : public ::testing::Test {
 protected:
  CallableDeathTest() { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

void end_group_in_its_callable(int limit) {
  watchdog const ends("a group to be destroyed in its callable's destructor");
  auto owner = std::make_shared<std::optional<group>>();
  owner->emplace(options{.limit = limit});
  gate go_on("the last other owner to go");
  group& g = **owner;
  g.run([owner, &go_on] { go_on.wait(); });
  owner.reset();
  go_on.open();
  // Without workers nothing would run it: this thread takes part. It dies, or the worker does.
  (void)g.wait();
  gate("the process to end").wait();
}

TEST_F(CallableDeathTest, W5_destroying_a_group_in_its_callables_destructor_terminates_in_words) {
  EXPECT_DEATH(end_group_in_its_callable(errgroup::unlimited),
               "errgroup: a group was destroyed inside one of its own tasks");
  EXPECT_DEATH(end_group_in_its_callable(1),
               "errgroup: a group was destroyed inside one of its own tasks");
}

}  // namespace
