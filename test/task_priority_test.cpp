// SPDX-License-Identifier: Apache-2.0

// Promise L9: among the waiting tasks of a group those of a higher `task_options::priority` start
// first, and no level starves.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/limiter.hpp>
#include <errgroup/observer.hpp>
#include <errgroup/spawn.hpp>
#include <errgroup/stream.hpp>
#include <errgroup/task_options.hpp>

#include <gtest/gtest.h>
#include <tbb/task_arena.h>  // task_arena

#include <atomic>      // atomic
#include <chrono>      // hours, nanoseconds
#include <functional>  // function
#include <mutex>       // mutex, scoped_lock
#include <stdexcept>   // invalid_argument
#include <stop_token>  // stop_source
#include <string>      // string
#include <thread>      // thread
#include <utility>     // exchange

namespace {

using namespace std::chrono_literals;

using errgroup::clock;
using errgroup::errc;
using errgroup::group;
using errgroup::limiter;
using errgroup::priority;
using support::gate;
using support::on_every_way;

/// What tasks write down, in their order.
class notes {
 public:
  /// A task that writes `name` down.
  [[nodiscard]] std::function<void()> task(std::string const& name) {
    return [this, name] {
      std::scoped_lock const held(lock_);
      text_ += name;
    };
  }
  [[nodiscard]] std::string take() {
    std::scoped_lock const held(lock_);
    return std::exchange(text_, {});
  }

 private:
  std::mutex lock_;
  std::string text_;
};

/// Calls `body` with groups that run one task at a time, while their first task waits for `body` to
/// end. Returns what the tasks have written down.
void with_one_slot(std::function<void(group&, notes&)> const& body, std::string const& expected) {
  limiter places(1);
  tbb::task_arena arena(2);
  errgroup::observer seen;
  errgroup::options const kinds[] = {
      {.limit = 1},
      {.limit = 1, .queue = 100},
      {.limit = 1, .isolated = true},
      {.limit = 1, .arena = &arena},
      {.limit = 1, .blocking = true},
      {.limiter = &places},
      {.limit = 1, .limiter = &places},
      {.limit = 1, .queue = 100, .limiter = &places},
  };
  for (bool const is_observed : {false, true}) {
    auto* const before = errgroup::observe(is_observed ? &seen : nullptr);
    for (auto const& kind : kinds) {
      SCOPED_TRACE(&kind - kinds);
      group g(kind);
      notes order;
      gate begun;
      gate go;
      g.run([&] {
        begun.open();
        go.wait();
      });
      std::thread waiter([&] { EXPECT_FALSE(g.wait()); });
      begun.wait();
      body(g, order);
      go.open();
      waiter.join();
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(order.take(), expected);
    }
    errgroup::observe(before);
  }
}

TEST(TaskPriority, L9_higher_levels_start_first_and_each_level_in_its_order) {
  with_one_slot(
      [](group& g, notes& n) {
        g.run({.priority = priority::low}, n.task("a"));
        g.run(n.task("b"));
        g.run({.priority = priority::high}, n.task("c"));
        g.run({.priority = priority::low}, n.task("d"));
        g.run({.name = "normal", .priority = priority::normal}, n.task("e"));
        g.run({.name = "high", .timeout = 1h, .priority = priority::high}, n.task("f"));
      },
      "cfbead");
}

TEST(TaskPriority, L9_no_level_starves) {
  with_one_slot(
      [](group& g, notes& n) {
        g.run({.priority = priority::low}, n.task("l"));
        g.run({.priority = priority::low}, n.task("l"));
        for (int i = 0; i != 3; ++i) {
          g.run(n.task("n"));
        }
        for (int i = 0; i != 20; ++i) {
          g.run({.priority = priority::high}, n.task("h"));
        }
      },
      "hhhhhhhhnlhhhhhhhhnlhhhhn");
}

TEST(TaskPriority, L9_starts_before_a_level_had_a_task_do_not_count_for_it) {
  with_one_slot(
      [](group& g, notes& n) {
        for (int i = 0; i != 12; ++i) {
          g.run({.priority = priority::high}, [&, i] {
            if (i == 8) {
              g.run(n.task("n"));
            }
            n.task("h")();
          });
        }
      },
      "hhhhhhhhhhhhn");
}

TEST(TaskPriority, L9_every_function_that_submits_a_task_heeds_its_level) {
  with_one_slot(
      [](group& g, notes& n) {
        g.run(n.task("z"));
        std::stop_source const never;
        EXPECT_EQ(g.run(never.get_token(), {.priority = priority::high}, n.task("a")),
                  errgroup::admission::accepted);
        (void)errgroup::spawn(g, {.name = "b", .priority = priority::high}, n.task("b"));
        (void)errgroup::spawn(g, {.priority = priority::low}, n.task("y"));
        g.run(n.task("z"));
      },
      "abzzy");
}

TEST(TaskPriority, L9_a_task_that_is_due_goes_before_all_levels) {
  with_one_slot(
      [](group& g, notes& n) {
        g.run({.priority = priority::high}, n.task("b"));
        g.run_at(clock::now() - 1h, {.priority = priority::low}, n.task("a"));
      },
      "ab");
}

/// A group runs 20 tasks, one at a time, in pages that its thread takes. The ninth task submits
/// `count` tasks of a high level. Returns what the tasks have written down.
std::string in_pages(int count) {
  group g{{.limit = 1}};
  notes n;
  gate go;
  g.run([&] { go.wait(); });
  for (int i = 0; i != 20; ++i) {
    g.run([&, i] {
      for (int k = 0; i == 8 && k != count; ++k) {
        g.run({.priority = priority::high}, n.task("h"));
      }
      n.task(".")();
    });
  }
  go.open();
  EXPECT_FALSE(g.wait());
  return n.take();
}

TEST(TaskPriority, L9_a_high_task_does_not_wait_for_the_page_that_a_thread_has_taken) {
  EXPECT_EQ(in_pages(1), ".........h...........");
}

TEST(TaskPriority, L9_high_tasks_do_not_starve_the_page_that_a_thread_has_taken) {
  EXPECT_EQ(in_pages(18), ".........hhhhhhhh.hhhhhhhh.hh.........");
}

TEST(TaskPriority, L9_no_page_of_usual_tasks_is_taken_while_tasks_of_other_levels_wait) {
  with_one_slot(
      [](group& g, notes& n) {
        g.run({.priority = priority::low}, n.task("l"));
        for (int i = 0; i != 30; ++i) {
          g.run(n.task("."));
        }
        g.run({.priority = priority::high}, n.task("h"));
      },
      "h.......l.......................");
}

TEST(TaskPriority, L9_a_place_goes_to_the_task_that_starts_with_its_own_weight) {
  limiter places(4);
  group g{{.limiter = &places}};
  notes n;
  gate go;
  gate begun;
  g.run({.weight = 4}, [&] {
    begun.open();
    go.wait();
  });
  begun.wait();
  std::atomic<bool> fits{true};
  auto const task = [&](char const* name, int weight) {
    return [&, name, weight] {
      fits = fits && places.in_use() <= 4 && places.in_use() >= weight;
      n.task(name)();
    };
  };
  g.run({.weight = 1, .priority = priority::low}, task("d", 1));
  g.run({.weight = 2}, task("c", 2));
  g.run({.weight = 4, .priority = priority::high}, task("a", 4));
  g.run({.weight = 3, .priority = priority::high}, task("b", 3));
  EXPECT_EQ(places.waiting(), 4);
  go.open();
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(fits);
  EXPECT_EQ(n.take().substr(0, 2), "ab");
  EXPECT_EQ(places.in_use(), 0);
}

TEST(TaskPriority, L9_tasks_of_each_level_run_in_each_group) {
  on_every_way([](group& g) {
    std::atomic<int> ran{0};
    for (priority const level : {priority::low, priority::normal, priority::high}) {
      g.run({.priority = level}, [&, level] {
        ++ran;
        g.run({.priority = level}, [&] { ++ran; });
        g.run({.priority = priority::high}, [&] { ++ran; });
      });
      EXPECT_FALSE(g.run_and_wait({.priority = level}, [&] { ++ran; }));
      g.run_after(1ns, {.priority = level}, [&] { ++ran; });
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 15);
  });
}

class TaskPriorityKept : public support::no_leaks {};

TEST_F(TaskPriorityKept, C1_waiting_tasks_of_each_level_are_skipped_and_destroyed) {
  on_every_way([](group& g) {
    for (priority const level : {priority::low, priority::high}) {
      for (int i = 0; i != 5; ++i) {
        g.run({.priority = level}, [kept = support::counted()] { (void)kept; });
      }
    }
    g.cancel();
    EXPECT_EQ(g.wait(), errc::canceled);
  });
  group g{{.limit = 1}};
  gate begun;
  gate go;
  g.run([&] {
    begun.open();
    go.wait();
  });
  begun.wait();
  for (priority const level : {priority::low, priority::high}) {
    g.run({.priority = level}, [kept = support::counted()] { (void)kept; });
  }
  EXPECT_EQ(g.counts().waiting, 2U);
  g.cancel();
  go.open();
  EXPECT_EQ(g.wait().skipped(), 2U);
}

TEST(TaskPriority, L9_a_level_that_does_not_exist_is_refused_in_words) {
  group g;
  auto const none = static_cast<priority>(2);
  try {
    g.run({.priority = none}, [] {});
    ADD_FAILURE() << "accepted";
  } catch (std::invalid_argument const& e) {
    EXPECT_NE(std::string(e.what()).find("priority is 2"), std::string::npos) << e.what();
  }
  EXPECT_THROW(g.run_every(1h, {.priority = none}, [] {}), std::invalid_argument);
  EXPECT_THROW((void)errgroup::spawn(g, {.priority = none}, [] {}), std::invalid_argument);
  EXPECT_FALSE(g.wait());
  errgroup::stream<int> s({}, [](int) {});
  EXPECT_THROW(s.run({.priority = priority::high}, [] { return 1; }), std::invalid_argument);
}

}  // namespace
