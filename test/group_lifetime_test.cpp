// SPDX-License-Identifier: Apache-2.0
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/sanitizers.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/task_group.h>      // task_group
#include <unistd.h>              // sysconf

#include <array>         // array
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <cstdio>        // fputs
#include <cstdlib>       // exit
#include <fstream>       // ifstream
#include <latch>         // latch
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <stdexcept>     // runtime_error
#include <system_error>  // errc, error_code
#include <thread>        // thread
#include <utility>       // move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using support::counted;
using support::dawdle;
using support::gate;
using support::opens_at_end;
using support::watchdog;

std::error_code not_found() { return std::make_error_code(std::errc::no_such_file_or_directory); }

// --- before main, and after it ---

/// A group made before main and destroyed after it, where oneTBB may have gone already.
class lives_all_along {
 public:
  lives_all_along() {
    early.run([this] { ++ran; });
  }
  lives_all_along(lives_all_along const&) = delete;
  lives_all_along& operator=(lives_all_along const&) = delete;
  ~lives_all_along() {
    // No test is left to tell: a failure here is a crash, a hang or this.
    late.run([this] { ++ran; });
    if (early.wait() || late.wait() || ran != expected) {
      std::fputs("a group did not run its task after main\n", stderr);
      std::_Exit(1);
    }
  }

  group early;
  group late{{.limit = 2}};
  std::atomic<int> ran{0};
  int expected = 2;
};

lives_all_along all_along;

TEST(GroupLifetime, A_group_made_before_main_runs_what_it_was_given_there_and_more) {
  watchdog const guard("a group made before main");
  EXPECT_FALSE(all_along.early.wait());
  EXPECT_EQ(all_along.ran, all_along.expected - 1);
  all_along.early.run([] { ++all_along.ran; });
  ++all_along.expected;
  EXPECT_FALSE(all_along.early.wait());
  EXPECT_EQ(all_along.ran, all_along.expected - 1);
}

// --- the destructor ---

class GroupDestructor : public support::no_leaks {};

TEST_F(GroupDestructor, W1_cancels_and_joins_what_nobody_waited_for) {
  watchdog const guard("the destructor of a group that was not waited for");
  for (options const& opts : {options{}, options{.limit = 1}, options{.limit = 3, .queue = 2},
                              options{.isolated = true}}) {
    for (int round = 0; round != 50; ++round) {
      std::atomic<int> begun{0};
      std::atomic<int> ended{0};
      {
        group g(opts);
        for (int i = 0; i != 5; ++i) {
          // They end only when they are cancelled; so the queue may not fill.
          if (!g.try_run([&, payload = counted()] {
                ++begun;
                support::await([&] { return g.is_canceling(); }, "the destructor to cancel");
                ++ended;
              })) {
            break;
          }
        }
        if (round % 2 == 0 && opts.limit != errgroup::unlimited) {
          support::await([&] { return begun != 0; }, "a task to start");
        }
      }
      EXPECT_EQ(begun, ended);
      EXPECT_EQ(counted::live(), 0);
    }
  }
}

TEST_F(GroupDestructor, W1_joins_what_a_task_submitted_to_a_group_of_its_own) {
  watchdog const guard("the destructor of a group in a task");
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    for (int round = 0; round != 50; ++round) {
      support::on_every_way([&](group& outer) {
        int plain[8] = {};
        outer.run([&] {
          int mine[8] = {};
          {
            group g{{.limit = limit}};
            for (int i = 0; i != 8; ++i) {
              g.run([&mine, i, payload = counted()] { mine[i] = 1; });
            }
          }
          for (int i = 0; i != 8; ++i) {
            plain[i] = mine[i];  // each has run, or never will
          }
        });
        EXPECT_FALSE(outer.wait());
      });
    }
  }
}

TEST_F(GroupDestructor, T2_joins_during_unwinding_while_a_task_throws_late) {
  // From 2022.3 on, oneTBB's own destructor rethrows what a task threw: terminate, if that happens
  // while another exception is on its way.
  watchdog const guard("the destructor during unwinding");
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    for (int round = 0; round != 50; ++round) {
      bool caught = false;
      std::atomic<bool> has_begun{false};
      try {
        group g{{.limit = limit}};
        g.run([&, payload = counted()] {
          has_begun = true;
          support::await([&] { return g.is_canceling(); }, "the destructor to cancel");
          throw std::runtime_error("late");
        });
        if (limit != errgroup::unlimited) {
          support::await([&] { return has_begun.load(); }, "the task to start");
        }
        throw std::runtime_error("early");
      } catch (std::runtime_error const& e) {
        caught = true;
        EXPECT_STREQ(e.what(), "early");
      }
      EXPECT_TRUE(caught);
    }
  }
}

TEST_F(GroupDestructor, T2_joins_during_unwinding_in_a_task) {
  watchdog const guard("the destructor during unwinding, in a task");
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    for (int round = 0; round != 50; ++round) {
      group outer;
      outer.run([&] {
        group g{{.limit = limit}};
        for (int i = 0; i != 4; ++i) {
          g.run([&, payload = counted()] {
            support::await([&] { return g.is_canceling(); }, "the destructor to cancel");
            throw std::runtime_error("late");
          });
        }
        throw std::system_error(not_found());
      });
      EXPECT_EQ(outer.wait(), not_found());
    }
  }
}

TEST_F(GroupDestructor, On_another_thread_than_the_makers) {
  watchdog const guard("groups destroyed on other threads");
  for (int const limit : {errgroup::unlimited, 1}) {
    for (int round = 0; round != 100; ++round) {
      auto g = std::make_unique<group>(options{.limit = limit});
      for (int i = 0; i != 3; ++i) {
        g->run([payload = counted()] {});
      }
      std::thread([mine = std::move(g)]() mutable { mine.reset(); }).join();
      EXPECT_EQ(counted::live(), 0);
    }
  }
}

TEST_F(GroupDestructor, In_a_task_of_another_group) {
  watchdog const guard("groups destroyed in other groups' tasks");
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    for (int round = 0; round != 100; ++round) {
      auto g = std::make_unique<group>(options{.limit = limit});
      for (int i = 0; i != 3; ++i) {
        g->run([payload = counted()] {});
      }
      group other{{.limit = limit}};
      other.run([&] { g.reset(); });
      EXPECT_FALSE(other.wait());
      EXPECT_EQ(counted::live(), 0);
    }
  }
}

// --- death ---

class GroupLifetimeDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

void destroy_in_own_task(options const& opts) {
  watchdog const guard("a group that is destroyed in its own task");
  auto* const g = new group(opts);
  g->run([g] { delete g; });
  (void)g->wait();
}

void destroy_in_nested_task(options const& opts) {
  watchdog const guard("a group that is destroyed below its own task");
  auto* const g = new group(opts);
  g->run([g] {
    group nested;
    nested.run([g] { delete g; });
    (void)nested.wait();
  });
  (void)g->wait();
}

constexpr char const* destroyed_inside =
    "errgroup: a group was destroyed inside one of its own tasks, which it would have to wait for";

TEST_F(GroupLifetimeDeathTest, Destroying_a_group_inside_its_own_task_terminates_in_words) {
  EXPECT_DEATH(destroy_in_own_task({}), destroyed_inside);
  EXPECT_DEATH(destroy_in_own_task({.limit = 1}), destroyed_inside);
  EXPECT_DEATH(destroy_in_own_task({.limit = 2, .queue = 0}), destroyed_inside);
  EXPECT_DEATH(destroy_in_own_task({.isolated = true}), destroyed_inside);
}

TEST_F(GroupLifetimeDeathTest, Destroying_a_group_below_its_own_task_terminates_in_words) {
  EXPECT_DEATH(destroy_in_nested_task({}), destroyed_inside);
  EXPECT_DEATH(destroy_in_nested_task({.limit = 1}), destroyed_inside);
}

// --- longer than what it was made in ---

TEST(GroupLifetime, C3_a_group_may_outlive_the_task_it_was_made_in) {
  // T6: the parent of its context is gone then; any cancellation in the process would read it.
  watchdog const guard("a group that outlives its task");
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    support::on_every_way([&](group& outer) {
      for (int round = 0; round != 20; ++round) {
        std::unique_ptr<group> g;
        std::atomic<int> ran{0};
        outer.run([&] {
          g = std::make_unique<group>(options{.limit = limit});
          g->run([&] { ++ran; });
          EXPECT_FALSE(g->wait());
        });
        EXPECT_FALSE(outer.wait());
        {
          group unrelated;
          unrelated.run([] {});
          unrelated.cancel();
          EXPECT_EQ(unrelated.wait(), errc::canceled);
        }
        EXPECT_FALSE(g->is_canceling());
        g->run([&] { ++ran; });
        EXPECT_FALSE(g->wait());
        EXPECT_EQ(ran, 2);
      }
    });
  }
}

TEST(GroupLifetime, C3_a_group_may_outlive_the_limited_group_it_was_made_in) {
  // Its threads came from there: now it has to find others.
  watchdog const guard("a limited group that outlives the limited group it was made in");
  for (int const limit : {1, 2, 1000}) {
    for (int round = 0; round != 20; ++round) {
      std::unique_ptr<group> g;
      std::atomic<int> ran{0};
      {
        group outer{{.limit = 1}};
        outer.run([&] {
          g = std::make_unique<group>(options{.limit = limit});
          g->run([&] { ++ran; });
          EXPECT_FALSE(g->wait());
        });
        EXPECT_FALSE(outer.wait());
      }
      for (int i = 0; i != 10; ++i) {
        g->run([&] { ++ran; });
      }
      support::await([&] { return ran == 11; }, "a task to start without anyone waiting (L3)");
      EXPECT_FALSE(g->wait());
    }
  }
}

TEST(GroupLifetime, C3_a_group_made_in_a_task_and_never_used_there) {
  watchdog const guard("a group first used after the task it was made in");
  for (int const outer_limit : {errgroup::unlimited, 1}) {
    for (int const limit : {errgroup::unlimited, 1}) {
      std::unique_ptr<group> g;
      group outer{{.limit = outer_limit}};
      outer.run([&] { g = std::make_unique<group>(options{.limit = limit}); });
      EXPECT_FALSE(outer.wait());
      bool ran = false;
      g->run([&] { ran = true; });
      EXPECT_FALSE(g->wait());
      EXPECT_TRUE(ran);
    }
  }
}

// --- threads that come and go ---

TEST(GroupLifetime, T10_a_thread_that_ends_leaves_its_submitted_tasks_to_the_waiter) {
  watchdog const guard("tasks whose submitter has ended");
  for (std::size_t const workers : {1U, 4U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, workers);
    for (int const limit : {errgroup::unlimited, 1, 2}) {
      for (int round = 0; round != 50; ++round) {
        group g{{.limit = limit}};
        std::atomic<int> ran{0};
        for (int t = 0; t != 2; ++t) {
          std::thread([&] {
            for (int i = 0; i != 10; ++i) {
              g.run([&] {
                ++ran;
                g.run([&] { ++ran; });
              });
            }
          }).join();
        }
        EXPECT_FALSE(g.wait());
        EXPECT_EQ(ran, 40);
      }
    }
  }
}

TEST(GroupLifetime, A_group_outlives_the_thread_that_made_it) {
  watchdog const guard("a group whose maker has ended");
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    for (int round = 0; round != 50; ++round) {
      std::unique_ptr<group> g;
      std::atomic<int> ran{0};
      std::thread([&] {
        g = std::make_unique<group>(options{.limit = limit});
        g->run([&] { ++ran; });
      }).join();
      // The maker's place is taken by another thread.
      std::thread([&] {
        g->run([&] { ++ran; });
        EXPECT_FALSE(g->wait());
      }).join();
      g->run([&] { ++ran; });
      EXPECT_FALSE(g->wait());
      EXPECT_EQ(ran, 3);
    }
  }
}

TEST(GroupLifetime, Two_thousand_short_lived_threads_make_a_group_each) {
  watchdog const guard("two thousand threads with a group each");
  std::atomic<int> ran{0};
  for (int i = 0; i != 500; ++i) {
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t) {
      threads.emplace_back([&, t] {
        options const opts[] = {{}, {.limit = 1}, {.limit = 2, .queue = 0}, {.isolated = true}};
        group g(opts[t]);
        for (int k = 0; k != 3; ++k) {
          g.run([&] { ++ran; });
        }
        EXPECT_FALSE(g.wait());
      });
    }
    for (auto& t : threads) {
      t.join();
    }
  }
  EXPECT_EQ(ran, 6000);
}

TEST(GroupLifetime, A_thread_local_group_is_joined_when_its_thread_ends) {
  watchdog const guard("thread_local groups");
  static std::atomic<int> ran;
  ran = 0;
  constexpr int tasks = 5;
  for (int i = 0; i != 100; ++i) {
    std::thread([] {
      thread_local group g;
      thread_local group limited{{.limit = 1}};
      for (int k = 0; k != tasks; ++k) {
        g.run([] { ++ran; });
        limited.run([] { ++ran; });
      }
      EXPECT_FALSE(g.wait());
      g.run([] { dawdle(1); });  // for the destructor
      limited.run([] { dawdle(1); });
    }).join();
  }
  EXPECT_GE(ran, 100 * tasks);
}

TEST(GroupLifetime, A_group_destroyed_among_thread_locals_made_before_the_first_group) {
  // Here the group goes after what the library keeps for the thread.
  watchdog const guard("a group that goes late in its thread");
  struct keeper {
    std::unique_ptr<group> g;
    bool ran = false;
    ~keeper() {
      g->run([this] { ran = true; });
      EXPECT_FALSE(g->wait());
      EXPECT_TRUE(ran);
      g.reset();
    }
  };
  for (int const limit : {errgroup::unlimited, 1}) {
    for (int i = 0; i != 50; ++i) {
      std::thread([limit] {
        thread_local keeper k;
        k.g = std::make_unique<group>(options{.limit = limit});
        k.g->run([] {});
        EXPECT_FALSE(k.g->wait());
      }).join();
    }
  }
}

// --- many ---

TEST(GroupLifetime, Many_groups_are_alive_at_once) {
  watchdog const guard("a thousand groups");
  std::vector<std::unique_ptr<group>> groups;
  std::atomic<int> ran{0};
  for (int i = 0; i != 1000; ++i) {
    options opts;
    opts.limit = i % 3 == 0 ? 1 + i % 5 : errgroup::unlimited;
    groups.push_back(std::make_unique<group>(opts));
  }
  for (int round = 0; round != 3; ++round) {
    for (auto& g : groups) {
      g->run([&] { ++ran; });
    }
  }
  for (std::size_t i = 0; i != groups.size(); i += 2) {
    EXPECT_FALSE(groups[i]->wait());
  }
  for (std::size_t i = groups.size(); i-- != 0;) {
    EXPECT_FALSE(groups[i]->wait());
    groups[i].reset();
  }
  EXPECT_EQ(ran, 3000);
}

/// Memory of this process that is in RAM.
std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// Groups that nobody has answered the calls of.
class unanswered {
 public:
  unanswered() {
    for (group& g : groups_) {
      g.run([] {});
    }
  }
  unanswered(unanswered const&) = delete;
  unanswered& operator=(unanswered const&) = delete;
  ~unanswered() {
    for (group& g : groups_) {
      EXPECT_FALSE(g.wait());
    }
  }

 private:
  std::array<group, 9> groups_;
};

/// Makes, uses and destroys many groups in turn.
void expect_groups_leave_nothing(int limit) {
  int const rounds = limit == 1 ? 20'000 : 100'000;
  int ran = 0;
  auto make_groups = [&](int n) {
    for (int i = 0; i != n; ++i) {
      group g{{.limit = limit}};
      g.run([&] { ++ran; });
      EXPECT_FALSE(g.wait());
    }
  };
  make_groups(1000);
  std::size_t const before = resident_bytes();
  make_groups(rounds);
  std::size_t const after = resident_bytes();
  EXPECT_EQ(ran, rounds + 1000);
  EXPECT_LT(after, before + (4U << 20)) << "bytes that each group left";
}

TEST(GroupLifetime, P3_many_short_lived_groups_in_turn_do_not_grow) {
  // What a group leaves behind for oneTBB to run later, one would find here: without workers,
  // nobody comes to take it.
  if (support::address_sanitizer || support::thread_sanitizer) {
    GTEST_SKIP() << "a sanitizer keeps what was freed";
  }
  watchdog const guard("a hundred thousand groups");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  unanswered const others;
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    expect_groups_leave_nothing(limit);
  }
}

TEST(GroupLifetime, P3_many_groups_in_a_task_do_not_grow) {
  if (support::address_sanitizer || support::thread_sanitizer) {
    GTEST_SKIP() << "a sanitizer keeps what was freed";
  }
  watchdog const guard("a hundred thousand groups in a task");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  unanswered const others;
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    group outer{{.limit = limit}};
    outer.run([&] { expect_groups_leave_nothing(limit); });
    EXPECT_FALSE(outer.wait());
  }
}

TEST(GroupLifetime, P3_groups_in_a_task_that_go_in_the_order_they_came_leave_nothing) {
  watchdog const guard("many groups in a task");
  for (bool const used : {false, true}) {
    for (std::size_t const at_once : {1U, 2U, 10U}) {
      SCOPED_TRACE(testing::Message() << at_once << " at once, " << (used ? "used" : "not used"));
      group outer;
      long allocated = -1;
      EXPECT_FALSE(outer.run_and_wait([&] {
        std::vector<std::optional<group>> groups(at_once);
        auto come_and_go = [&] {
          for (auto& g : groups) {
            g.emplace();
            if (used) {
              g->run([] {});
              EXPECT_FALSE(g->wait());
            }
          }
          for (auto& g : groups) {
            g.reset();
          }
        };
        come_and_go();
        long const before = support::allocations;
        for (int i = 0; i != 100; ++i) {
          come_and_go();
        }
        allocated = support::allocations - before;
      }));
      EXPECT_LT(allocated, 10) << "for 100 times as many groups";
    }
  }
}

TEST(GroupLifetime, P3_groups_in_a_task_of_which_one_always_lives_leave_nothing) {
  group outer;
  long allocated = -1;
  EXPECT_FALSE(outer.run_and_wait([&] {
    std::optional<group> slots[2];
    slots[0].emplace();
    auto come_and_go = [&](int n) {
      for (int i = 1; i <= 2 * n; ++i) {
        slots[i % 2].emplace();
        slots[(i + 1) % 2].reset();
      }
    };
    come_and_go(1);
    long const before = support::allocations;
    come_and_go(500);
    allocated = support::allocations - before;
  }));
  EXPECT_LT(allocated, 10) << "for 1000 groups";
}

TEST(GroupLifetime, P3_many_short_lived_threads_without_workers_do_not_grow) {
  // What a thread leaves in its deque keeps all that oneTBB has for that thread. Somebody comes for
  // it, sooner or later.
  if (support::address_sanitizer || support::thread_sanitizer) {
    GTEST_SKIP() << "a sanitizer keeps what was freed";
  }
  watchdog const guard("thousands of threads");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  auto make_threads = [](int n) {
    for (int i = 0; i != n; ++i) {
      std::thread([] {
        group g;
        g.run([] {});
        EXPECT_FALSE(g.wait());
      }).join();
    }
  };
  make_threads(4000);
  std::size_t const before = resident_bytes();
  make_threads(4000);
  EXPECT_LT(resident_bytes(), before + (16U << 20)) << "bytes that each thread left";
}

}  // namespace
