// SPDX-License-Identifier: Apache-2.0

// The explorer itself: it finds what it is made for, and nothing else.

#include "support/explorer.hpp"

#include <gtest/gtest.h>

#include <atomic>  // memory_order
#include <memory>  // make_shared, make_unique, unique_ptr
#include <string>  // string

namespace {

using explored::check;
using explored::explore;
using explored::scenario;

/// Each of two threads stores its flag, and then looks at the other's: at least one of them has to
/// see the other's flag.
auto store_then_load(std::memory_order order, bool fenced) {
  return [order, fenced](scenario& s) {
    struct state {
      explored::atomic<int> flag[2];
      int seen[2] = {0, 0};
    };
    auto shared = std::make_shared<state>();
    for (int me : {0, 1}) {
      s.thread([shared, me, order, fenced] {
        shared->flag[me].store(1, order);
        if (fenced) {
          explored::fence();
        }
        shared->seen[me] = shared->flag[1 - me].load(order);
      });
    }
    s.at_end([shared] { check(shared->seen[0] + shared->seen[1] != 0, "neither sees the other"); });
  };
}

TEST(Explorer, Finds_a_store_that_is_delayed_past_a_later_load) {
  auto const weak = store_then_load(std::memory_order_release, false);
  auto const found = explore(weak);
  EXPECT_FALSE(found);
  EXPECT_EQ(found.what, "neither sees the other");
  EXPECT_FALSE(explored::replay(weak, found.schedule));
  EXPECT_TRUE(explored::replay(weak, "0"));
  EXPECT_TRUE(explore(weak, {.delays = 0}));
}

TEST(Explorer, Finds_nothing_where_the_store_is_ordered_before_the_load) {
  EXPECT_TRUE(explore(store_then_load(std::memory_order_seq_cst, false), {.delays = 2}));
  EXPECT_TRUE(explore(store_then_load(std::memory_order_release, true), {.delays = 2}));
}

TEST(Explorer, Finds_an_update_that_is_lost) {
  auto const lose = [](scenario& s) {
    auto n = std::make_shared<explored::atomic<int>>(0);
    for (int i = 0; i != 2; ++i) {
      s.thread([n] { n->store(n->load() + 1); });
    }
    s.at_end([n] { check(n->load() == 2, "an update is lost"); });
  };
  EXPECT_EQ(explore(lose).what, "an update is lost");
  EXPECT_TRUE(explore(lose, {.preemptions = 0}));
}

TEST(Explorer, A_mutex_excludes) {
  EXPECT_TRUE(explore([](scenario& s) {
    struct state {
      explored::mutex lock;
      explored::atomic<int> n{0};
    };
    auto shared = std::make_shared<state>();
    for (int i = 0; i != 3; ++i) {
      s.thread([shared] {
        shared->lock.lock();
        shared->n.store(shared->n.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        shared->lock.unlock();
      });
    }
    s.at_end([shared] { check(shared->n.load() == 3, "an update is lost"); });
  }));
}

TEST(Explorer, Finds_a_deadlock) {
  auto const found = explore([](scenario& s) {
    struct state {
      explored::mutex lock[2];
    };
    auto shared = std::make_shared<state>();
    for (int me : {0, 1}) {
      s.thread([shared, me] {
        shared->lock[me].lock();
        shared->lock[1 - me].lock();
        shared->lock[1 - me].unlock();
        shared->lock[me].unlock();
      });
    }
  });
  EXPECT_EQ(found.what, "a deadlock of threads 0 (waits), 1 (waits)");
}

TEST(Explorer, Finds_a_wake_up_that_is_lost) {
  auto const scenario_of = [](bool notifies) {
    return [notifies](scenario& s) {
      auto flag = std::make_shared<explored::atomic<int>>(0);
      s.thread([flag] { flag->wait(0); });
      s.thread([flag, notifies] {
        flag->store(1);
        if (notifies) {
          flag->notify_one();
        }
      });
    };
  };
  EXPECT_TRUE(explore(scenario_of(true)));
  EXPECT_EQ(explore(scenario_of(false)).what, "a deadlock of threads 0 (waits)");
}

TEST(Explorer, A_loop_of_yields_ends_when_another_thread_has_changed_something) {
  EXPECT_TRUE(explore([](scenario& s) {
    auto flag = std::make_shared<explored::atomic<bool>>(false);
    s.thread([flag] {
      while (!flag->load()) {
        explored::yield();
      }
    });
    s.thread([flag] { flag->store(true, std::memory_order_release); });
  }));
}

TEST(Explorer, A_thread_begins_when_its_condition_holds) {
  auto const scenario_of = [](bool sets_it) {
    return [sets_it](scenario& s) {
      struct state {
        explored::atomic<int> n{0};
        bool may_begin = false;
      };
      auto shared = std::make_shared<state>();
      s.thread(
          [shared] {
            check(shared->n.load() != 0, "it has begun too early");
            shared->n.store(2);
          },
          [shared] { return shared->may_begin; });
      s.thread([shared, sets_it] {
        shared->n.store(1);
        shared->may_begin = sets_it;
        (void)shared->n.load();
      });
      s.at_end([shared] { check(shared->n.load() == 2, "it has not begun"); });
    };
  };
  auto const found = explore(scenario_of(true));
  EXPECT_TRUE(found) << found.what;
  EXPECT_GT(found.runs, 1U);
  EXPECT_EQ(explore(scenario_of(false)).what, "a deadlock of threads 0 (waits)");
}

TEST(Explorer, Finds_an_access_after_the_end) {
  auto const found = explore([](scenario& s) {
    struct state {
      explored::atomic<int> left{2};
      explored::atomic<int> touched{0};
    };
    auto shared = std::make_shared<std::unique_ptr<state>>(std::make_unique<state>());
    for (int i = 0; i != 2; ++i) {
      s.thread([shared] {
        state& mine = **shared;
        if (mine.left.fetch_sub(1) == 1) {
          shared->reset();
        } else {
          mine.touched.store(1);
        }
      });
    }
  });
  EXPECT_EQ(found.what, "an access to an atomic or a mutex after its end");
}

TEST(Explorer, Counts_the_schedules) {
  // Two threads of two points each: 6 orders, and one point at which each begins.
  auto const two = [](scenario& s) {
    auto n = std::make_shared<explored::atomic<int>>(0);
    for (int i = 0; i != 2; ++i) {
      s.thread([n] {
        n->fetch_add(1);
        n->fetch_add(1);
      });
    }
  };
  EXPECT_GE(explore(two, {.preemptions = 4}).runs, 6U);
  EXPECT_LT(explore(two, {.preemptions = 1}).runs, explore(two, {.preemptions = 4}).runs);
  auto const cut = explore(two, {.preemptions = 4, .runs = 3});
  EXPECT_FALSE(cut);
  EXPECT_EQ(cut.runs, 3U);
}

TEST(Explorer, A_change_just_before_a_yield_is_no_deadlock) {
  auto const found = explore([](scenario& s) {
    auto taken = std::make_shared<explored::atomic<bool>>(false);
    for (int i = 0; i != 2; ++i) {
      s.thread([taken] {
        while (taken->exchange(true)) {
          explored::yield();
        }
        taken->store(false);
      });
    }
  });
  EXPECT_TRUE(found) << found.what << ": " << found.schedule;
}

}  // namespace
