// SPDX-License-Identifier: Apache-2.0
#include <errgroup/group.hpp>

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/task_group.h>      // task_group

#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <memory>        // make_unique, unique_ptr
#include <numeric>       // accumulate
#include <optional>      // optional
#include <string>        // string
#include <system_error>  // errc, error_code
#include <thread>        // thread, this_thread
#include <utility>       // exchange, move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::npos;
using errgroup::options;
using support::counted;
using support::dawdle;
using support::gate;
using support::opens_at_end;
using support::watchdog;

std::error_code not_found() { return std::make_error_code(std::errc::no_such_file_or_directory); }

/// The kinds of groups there are, as far as waiting is concerned.
struct kind {
  char const* name;
  options opts;
};
std::vector<kind> const& kinds() {
  static std::vector<kind> const all = {
      {"no limit", {}},
      {"limit 1", {.limit = 1}},
      {"limit 3", {.limit = 3}},
      {"limit 2, queue 0", {.limit = 2, .queue = 0}},
      {"queue 1", {.queue = 1}},
      {"isolated", {.isolated = true}},
      {"isolated, limit 2", {.limit = 2, .isolated = true}},
  };
  return all;
}

class GroupWait : public support::no_leaks {};

// --- W1 ---

TEST_F(GroupWait, W1_when_wait_returns_every_callable_is_destroyed) {
  watchdog const guard("tasks with a payload");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    for (int round = 0; round != 100; ++round) {
      group g(k.opts);
      for (int i = 0; i != 10; ++i) {
        g.run([&g, payload = counted()] {
          g.run([payload] {});
          (void)payload;
        });
      }
      EXPECT_FALSE(g.wait());
      ASSERT_EQ(counted::live(), 0);
    }
  }
}

TEST_F(GroupWait, W1_when_wait_returns_skipped_callables_are_destroyed_too) {
  watchdog const guard("tasks with a payload, cancelled");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    for (int round = 0; round != 100; ++round) {
      group g(k.opts);
      for (int i = 0; i != 10; ++i) {
        g.run([&g, i, payload = counted()]() -> error {
          g.run([payload] {});
          if (i == 5) {
            return not_found();
          }
          return {};
        });
      }
      EXPECT_EQ(g.wait(), not_found());
      ASSERT_EQ(counted::live(), 0);
    }
  }
}

TEST_F(GroupWait, W1_every_waiter_finds_every_callable_destroyed) {
  watchdog const guard("many waiters");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    for (int round = 0; round != 20; ++round) {
      group g(k.opts);
      for (int i = 0; i != 20; ++i) {
        g.run([payload = counted()] {
          (void)payload;
          dawdle(1);
        });
      }
      std::vector<std::thread> waiters;
      for (int i = 0; i != 3; ++i) {
        waiters.emplace_back([&] {
          EXPECT_FALSE(g.wait());
          EXPECT_EQ(counted::live(), 0);
        });
      }
      for (auto& w : waiters) {
        w.join();
      }
      EXPECT_FALSE(g.wait());
    }
  }
}

TEST_F(GroupWait, W1_what_tasks_wrote_is_visible_to_every_waiter) {
  watchdog const guard("tasks that fill a vector");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    for (int round = 0; round != 20; ++round) {
      group g(k.opts);
      std::vector<int> plain(300, 0);
      for (std::size_t i = 0; i != 100; ++i) {
        g.run([&, i] {
          plain[3 * i] = 1;
          g.run([&, i] { plain[3 * i + 1] = 1; });
          group nested;
          nested.run([&, i] { plain[3 * i + 2] = 1; });
          EXPECT_FALSE(nested.wait());
        });
      }
      std::vector<std::thread> waiters;
      for (int i = 0; i != 3; ++i) {
        waiters.emplace_back([&] {
          EXPECT_FALSE(g.wait());
          EXPECT_EQ(std::accumulate(plain.begin(), plain.end(), 0), 300);
        });
      }
      for (auto& w : waiters) {
        w.join();
      }
      EXPECT_FALSE(g.wait());
    }
  }
}

TEST_F(GroupWait, W1_a_waiter_may_destroy_the_group_under_the_worker_that_finishes) {
  // T21: whoever counts a task as finished must not touch the group afterwards.
  watchdog const guard("groups destroyed as soon as their wait has returned");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    for (int round = 0; round != 1000; ++round) {
      auto g = std::make_unique<group>(k.opts);
      std::atomic<int> ran{0};
      for (int i = 0; i != 1 + round % 3; ++i) {
        g->run([&] { ++ran; });
      }
      if (round % 2 == 0) {
        support::await([&] { return ran != 0 || round % 4 == 0; }, "a worker to come");
      }
      EXPECT_FALSE(g->wait());
      g.reset();
      EXPECT_EQ(ran, 1 + round % 3);
    }
  }
}

TEST_F(GroupWait, W1_a_waiter_may_destroy_the_group_under_another_waiter) {
  // T21. The one who destroys it has to know that the others have come to wait: each of them has
  // run a task.
  watchdog const guard("waiters that destroy the group under others");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  constexpr int crowd = 3;
  int destroyed_by_a_waiter = 0;
  for (int round = 0; round != 300; ++round) {
    auto g = std::make_unique<group>();
    std::atomic<int> inside{0};
    std::atomic<bool> destroyed{false};
    support::rendezvous all_wait(crowd, "each waiter to run a task");
    thread_local bool is_waiter = false;
    for (int i = 0; i != crowd; ++i) {
      g->run([&] {
        inside += is_waiter ? 1 : 0;
        all_wait.arrive_and_wait();
      });
    }
    std::vector<std::thread> waiters;
    for (int i = 0; i != crowd; ++i) {
      waiters.emplace_back([&] {
        is_waiter = true;
        EXPECT_FALSE(g->wait());
        if (inside == crowd && !destroyed.exchange(true)) {
          g.reset();
        }
      });
    }
    for (auto& w : waiters) {
      w.join();
    }
    destroyed_by_a_waiter += destroyed ? 1 : 0;
  }
  EXPECT_GT(destroyed_by_a_waiter, 0);
}

// --- W2 ---

TEST_F(GroupWait, W2_submitted_on_one_thread_and_waited_for_on_another_without_workers) {
  // T10: each thread from outside has an arena of its own, where the other cannot take anything.
  watchdog const guard("a group used by two threads, without workers");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    for (int round = 0; round != 20; ++round) {
      group g(k.opts);
      std::atomic<int> ran{0};
      gate submitted("the submission");
      gate done("the wait on the other thread");
      std::thread submitter([&] {
        for (int i = 0; i != 10; ++i) {
          g.run([&] {
            ++ran;
            g.run([&] { ++ran; });
          });
        }
        submitted.open();
        done.wait();  // it is there, and does nothing
      });
      {
        opens_at_end const in_any_case(done);
        submitted.wait();
        EXPECT_FALSE(g.wait());
        EXPECT_EQ(ran, 20);
      }
      submitter.join();
    }
  }
}

TEST_F(GroupWait, W2_submitted_in_a_task_and_waited_for_in_another_without_workers) {
  watchdog const guard("a group used in tasks of another, without workers");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (auto const& k : kinds()) {
    for (int const outer_limit : {errgroup::unlimited, 1, 2}) {
      SCOPED_TRACE(std::string(k.name) + ", in a group of limit " + std::to_string(outer_limit));
      group g(k.opts);
      group outer{{.limit = outer_limit}};
      std::atomic<int> ran{0};
      outer.run([&] {
        for (int i = 0; i != 10; ++i) {
          g.run([&] {
            ++ran;
            g.run([&] { ++ran; });
          });
        }
      });
      outer.run([&] { EXPECT_FALSE(g.wait()); });
      EXPECT_FALSE(outer.wait());
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(ran, 20);
    }
  }
}

TEST_F(GroupWait, W2_nested_groups_finish_without_workers) {
  watchdog const guard("nested groups, without workers");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (auto const& outer_kind : kinds()) {
    for (auto const& inner_kind : kinds()) {
      SCOPED_TRACE(std::string(inner_kind.name) + " in " + outer_kind.name);
      group outer(outer_kind.opts);
      std::atomic<int> ran{0};
      for (int i = 0; i != 4; ++i) {
        outer.run([&] {
          group inner(inner_kind.opts);
          for (int k = 0; k != 4; ++k) {
            inner.run([&] {
              tbb::parallel_for(0, 4, [&](int) { ++ran; });
              inner.run([&] { ++ran; });
              outer.run([&] { ++ran; });
            });
          }
          EXPECT_FALSE(inner.wait());
        });
      }
      EXPECT_FALSE(outer.wait());
      EXPECT_EQ(ran, 4 * 4 * 6);
    }
  }
}

TEST_F(GroupWait, W2_the_waiting_thread_works) {
  watchdog const guard("a group of more tasks at once than there are other threads");
  // All threads but the waiting one are held by tasks: what is left is done by that one.
  int const threads = tbb::this_task_arena::max_concurrency();
  for (auto const& k : kinds()) {
    if (k.opts.limit != errgroup::unlimited || k.opts.queue != npos) {
      continue;
    }
    SCOPED_TRACE(k.name);
    group g(k.opts);
    support::rendezvous all(threads, "all threads, the waiting one included");
    for (int i = 0; i != threads; ++i) {
      g.run([&] { all.arrive_and_wait(); });
    }
    EXPECT_FALSE(g.wait());
  }
}

TEST_F(GroupWait, W2_many_threads_wait_at_once_and_all_are_told_the_same) {
  watchdog const guard("many waiters for a failure");
  // T14: with oneTBB's own wait, an exception and two waiters corrupt the heap.
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    for (int round = 0; round != 20; ++round) {
      group g(k.opts);
      for (int i = 0; i != 10; ++i) {
        g.run([i] {
          if (i == 7) {
            throw std::system_error(not_found());
          }
        });
      }
      support::waiters others(g, 4);
      error const mine = g.wait();
      EXPECT_EQ(mine, not_found());
      for (auto const& e : others.errors()) {
        EXPECT_EQ(e, mine);
        EXPECT_EQ(e.skipped(), mine.skipped());
      }
    }
  }
}

// --- W3 ---

void expect_would_deadlock_in(options const& opts, void (*ask)(group&)) {
  group g(opts);
  g.run([&g, ask] { ask(g); });
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;  // the answer is no error of the group
  // … which can still be used.
  bool ran = false;
  g.run([&] { ran = true; });
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(ran);
}

TEST_F(GroupWait, W3_wait_in_a_task_of_the_group_is_answered_at_once) {
  watchdog const guard("a task that waits for its own group");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    expect_would_deadlock_in(k.opts, [](group& g) {
      EXPECT_EQ(g.wait(), errc::would_deadlock);
      EXPECT_EQ(g.wait(), std::errc::resource_deadlock_would_occur);
    });
  }
}

TEST_F(GroupWait, W3_run_and_wait_in_a_task_of_the_group_is_answered_at_once_and_runs_nothing) {
  watchdog const guard("a task that runs and waits in its own group");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    expect_would_deadlock_in(k.opts, [](group& g) {
      EXPECT_EQ(g.run_and_wait([] { ADD_FAILURE() << "would deadlock, and run"; }),
                errc::would_deadlock);
    });
  }
}

TEST_F(GroupWait, W3_wait_in_the_body_of_run_and_wait_is_answered_at_once) {
  watchdog const guard("a body of run_and_wait that waits for its own group");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    group g(k.opts);
    EXPECT_FALSE(g.run_and_wait([&] { EXPECT_EQ(g.wait(), errc::would_deadlock); }));
  }
}

TEST_F(GroupWait, W3_wait_in_a_nested_groups_task_is_answered_at_once) {
  watchdog const guard("a task of a nested group that waits for the outer group");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    expect_would_deadlock_in(k.opts, [](group& g) {
      for (auto const& inner : kinds()) {
        SCOPED_TRACE(inner.name);
        group nested(inner.opts);
        for (int i = 0; i != 4; ++i) {
          nested.run([&] {
            EXPECT_EQ(g.wait(), errc::would_deadlock);
            group deeper(inner.opts);
            deeper.run([&] {
              EXPECT_EQ(g.wait(), errc::would_deadlock);
              EXPECT_EQ(nested.wait(), errc::would_deadlock);
            });
            EXPECT_FALSE(deeper.wait());
          });
        }
        EXPECT_FALSE(nested.wait());
      }
    });
  }
}

TEST_F(GroupWait, W3_wait_in_a_loop_below_a_limited_groups_task_is_answered_on_every_thread) {
  watchdog const guard("a parallel_for in a limited group's task that waits for the group");
  for (int const limit : {1, 2, 3}) {
    SCOPED_TRACE(limit);
    for (int round = 0; round != 10; ++round) {
      group g{{.limit = limit}};
      std::atomic<int> asked{0};
      for (int i = 0; i != 3; ++i) {
        g.run([&] {
          tbb::parallel_for(0, 100, [&](int) {
            EXPECT_EQ(g.wait(), errc::would_deadlock);
            dawdle(1);
            ++asked;
          });
        });
      }
      support::waiters others(g, 3);
      auto const err = g.wait();
      EXPECT_FALSE(err) << err;
      EXPECT_EQ(asked, 300);
    }
  }
}

TEST_F(GroupWait, W3_wait_in_a_nested_groups_task_on_another_thread_is_answered_at_once) {
  int const threads = tbb::this_task_arena::max_concurrency();
  if (threads < 2) {
    GTEST_SKIP() << "needs a worker";
  }
  watchdog const guard("a nested group's task that waits for the outer group, on a worker");
  group g;
  g.run([&] {
    group nested;
    support::rendezvous both(2, "two tasks of the nested group on two threads");
    for (int i = 0; i != 2; ++i) {
      nested.run([&] {
        both.arrive_and_wait();
        EXPECT_EQ(g.wait(), errc::would_deadlock);
      });
    }
    EXPECT_FALSE(nested.wait());
  });
  EXPECT_FALSE(g.wait());
}

TEST_F(GroupWait, W3_waiting_for_another_group_in_a_task_is_no_deadlock) {
  watchdog const guard("a task that waits for other groups");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    group other(k.opts);
    std::atomic<int> ran{0};
    for (int i = 0; i != 4; ++i) {
      other.run([&] { ++ran; });
    }
    group g(k.opts);
    g.run([&] {
      EXPECT_FALSE(other.wait());
      EXPECT_EQ(ran, 4);
      group mine(k.opts);
      mine.run([&] { ++ran; });
      EXPECT_FALSE(mine.wait());
      EXPECT_EQ(ran, 5);
    });
    EXPECT_FALSE(g.wait());
  }
}

// --- W4 ---

/// A mutex held by this thread while it waits: a task that wants it, on the same thread, would wait
/// for itself.
class held_mutex {
 public:
  [[nodiscard]] static bool would_deadlock() noexcept { return held; }
  held_mutex() noexcept { held = true; }
  held_mutex(held_mutex const&) = delete;
  held_mutex& operator=(held_mutex const&) = delete;
  ~held_mutex() { held = false; }

 private:
  static inline constinit thread_local bool held = false;
};

// Tasks that take a mutex and wait, for an isolated group, with it. Whether a sibling is met on the
// same thread is told.
int siblings_met_with(options const& outer_options, options const& inner_options,
                      bool from_inside) {
  std::atomic<int> met{0};
  group outer(outer_options);
  auto task = [&] {
    if (held_mutex::would_deadlock()) {
      ++met;
      return;
    }
    held_mutex const mine;
    group inner(inner_options);
    for (int k = 0; k != 4; ++k) {
      inner.run([] { dawdle(10); });
    }
    EXPECT_FALSE(inner.wait());
  };
  auto submit = [&] {
    for (int i = 0; i != 100; ++i) {
      outer.run(task);
    }
  };
  if (from_inside) {
    outer.run(submit);
  } else {
    submit();
  }
  EXPECT_FALSE(outer.wait());
  return met;
}

TEST_F(GroupWait, W4_isolated_a_task_that_waits_with_a_mutex_never_meets_a_sibling) {
  // T13: oneTBB's wait takes whatever it finds, in this very thread, on top of the waiting task.
  watchdog const guard("isolated groups in tasks");
  for (int round = 0; round != 5; ++round) {
    for (auto const& k : kinds()) {
      for (bool const from_inside : {false, true}) {
        for (int const limit : {errgroup::unlimited, 1, 2}) {
          SCOPED_TRACE(std::string(k.name) + " outside, limit " + std::to_string(limit) +
                       (from_inside ? ", from inside" : ", from outside"));
          if (from_inside && k.opts.queue != npos) {
            continue;  // there, the submitter runs tasks itself
          }
          EXPECT_EQ(siblings_met_with(k.opts, {.limit = limit, .isolated = true}, from_inside), 0);
        }
      }
    }
  }
}

TEST_F(GroupWait, W4_isolated_the_stack_stays_shallow) {
  watchdog const guard("isolated groups in a thousand tasks");
  group outer;
  std::atomic<int> deepest{0};
  std::atomic<int> ran{0};
  auto task = [&] {
    thread_local int depth = 0;
    if (++depth > deepest) {
      deepest = depth;
    }
    group inner{{.isolated = true}};
    for (int k = 0; k != 3; ++k) {
      inner.run([] { dawdle(2); });
    }
    EXPECT_FALSE(inner.wait());
    --depth;
    ++ran;
  };
  outer.run([&] {
    for (int i = 0; i != 1000; ++i) {
      outer.run(task);
    }
  });
  EXPECT_FALSE(outer.wait());
  EXPECT_EQ(ran, 1000);
  EXPECT_EQ(deepest, 1);
}

TEST_F(GroupWait, W4_isolated_submitted_on_one_thread_and_waited_for_on_another) {
  // T12: with tasks outside of the isolation, and the wait inside of it, this would hang.
  watchdog const guard("an isolated group used by two threads");
  for (std::size_t const workers : {1U, 4U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, workers);
    for (int round = 0; round != 20; ++round) {
      group g{{.isolated = true}};
      std::atomic<int> ran{0};
      auto submit = [&] {
        for (int i = 0; i != 10; ++i) {
          g.run([&] {
            group nested;
            nested.run([&] { tbb::parallel_for(0, 4, [&](int) { ++ran; }); });
            EXPECT_FALSE(nested.wait());
          });
        }
      };
      std::thread(submit).join();
      group outer;
      outer.run(submit);
      outer.run([&] { EXPECT_FALSE(g.wait()); });
      EXPECT_FALSE(outer.wait());
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(ran, 80);
    }
  }
}

// --- run_and_wait ---

TEST_F(GroupWait, Run_and_wait_runs_it_and_all_others) {
  watchdog const guard("run_and_wait");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    support::on_every_way(
        [&](group& outer) {
          outer.run([&] {
            group g(k.opts);
            std::atomic<int> ran{0};
            g.run([&] { ++ran; });
            EXPECT_FALSE(g.run_and_wait([&, payload = std::make_unique<int>(1)] {
              g.run([&] { ++ran; });
              ran += *payload;
            }));
            EXPECT_EQ(ran, 3);
          });
          EXPECT_FALSE(outer.wait());
        });
  }
}

TEST_F(GroupWait, Run_and_wait_without_a_limit_runs_it_in_this_thread) {
  group g;
  std::thread::id where;
  EXPECT_FALSE(g.run_and_wait([&] { where = std::this_thread::get_id(); }));
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST_F(GroupWait, Run_and_wait_tells_its_failure_and_skips_it_after_one) {
  watchdog const guard("run_and_wait that fails");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    group g(k.opts);
    EXPECT_EQ(g.run_and_wait([] { return not_found(); }), not_found());
    auto const err = g.run_and_wait([] { ADD_FAILURE() << "cancelled, and run"; });
    EXPECT_EQ(err, not_found());
    EXPECT_EQ(err.skipped(), 1U);
  }
}

TEST_F(GroupWait, Run_and_wait_on_many_threads_at_once) {
  watchdog const guard("run_and_wait on many threads");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    group g(k.opts);
    std::atomic<int> ran{0};
    std::vector<std::thread> threads;
    for (int t = 0; t != 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i != 100; ++i) {
          int const before = ran;
          EXPECT_FALSE(g.run_and_wait([&] { ++ran; }));
          EXPECT_GT(ran, before);
        }
      });
    }
    for (auto& t : threads) {
      t.join();
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 300);
  }
}

// --- beside others, again and again ---

TEST_F(GroupWait, Wait_beside_a_concurrent_run_returns_and_loses_nothing) {
  watchdog const guard("wait beside run");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    group g(k.opts);
    std::atomic<int> ran{0};
    std::atomic<bool> all_submitted{false};
    std::vector<std::thread> waiters;
    for (int i = 0; i != 2; ++i) {
      waiters.emplace_back([&] {
        while (!all_submitted) {
          EXPECT_FALSE(g.wait());
        }
      });
    }
    std::vector<std::thread> submitters;
    for (int t = 0; t != 2; ++t) {
      submitters.emplace_back([&] {
        for (int i = 0; i != 2000; ++i) {
          g.run([&] { ++ran; });
        }
      });
    }
    for (auto& t : submitters) {
      t.join();
    }
    all_submitted = true;
    for (auto& w : waiters) {
      w.join();
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 4000);
  }
}

TEST_F(GroupWait, Wait_includes_what_was_submitted_before_it_by_the_same_thread) {
  // Whatever others submit and wait for at the same time.
  watchdog const guard("many threads that submit and wait");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    group g(k.opts);
    std::vector<std::thread> threads;
    for (int t = 0; t != 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i != 300; ++i) {
          std::atomic<bool> ran{false};
          g.run([&] { ran = true; });
          EXPECT_FALSE(g.wait());
          ASSERT_TRUE(ran);
        }
      });
    }
    for (auto& t : threads) {
      t.join();
    }
    EXPECT_FALSE(g.wait());
  }
}

TEST_F(GroupWait, Reuse_a_group_that_succeeded_runs_again_and_again) {
  watchdog const guard("one group, many times");
  for (auto const& k : kinds()) {
    support::on_every_way(
        [&](group& g) {
          SCOPED_TRACE(k.name);
          int plain = 0;
          std::atomic<int> ran{0};
          for (int i = 0; i != 200; ++i) {
            g.run([&] { ++plain; });
            EXPECT_FALSE(g.wait());
            g.run([&] { ++ran; });
            g.run([&] { ++ran; });
            EXPECT_FALSE(g.wait());
          }
          EXPECT_EQ(plain, 200);
          EXPECT_EQ(ran, 400);
        },
        k.opts);
  }
}

TEST_F(GroupWait, Wait_for_nothing_returns_at_once) {
  watchdog const guard("groups without tasks");
  for (auto const& k : kinds()) {
    SCOPED_TRACE(k.name);
    group g(k.opts);
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(g.wait());
    std::thread([&] { EXPECT_FALSE(g.wait()); }).join();
  }
}

TEST_F(GroupWait, A_million_tasks) {
  watchdog const guard("a million tasks");
  std::size_t constexpr million = 1'000'000;
  for (options const& opts : {options{}, options{.limit = 2}}) {
    group g(opts);
    std::vector<unsigned char> done(million, 0);
    for (std::size_t i = 0; i != million; ++i) {
      g.run([&done, i] { done[i] = 1; });
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(std::accumulate(done.begin(), done.end(), std::size_t{0}), million);
  }
}

}  // namespace
