// SPDX-License-Identifier: Apache-2.0
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>           // global_control
#include <tbb/parallel_for.h>             // parallel_for
#include <tbb/task_arena.h>               // max_concurrency, task_arena
#include <tbb/task_scheduler_observer.h>  // task_scheduler_observer

#include <atomic>     // atomic
#include <climits>    // INT_MIN
#include <cstddef>    // size_t
#include <cstdlib>    // exit
#include <memory>     // make_unique
#include <mutex>      // mutex, scoped_lock
#include <optional>   // optional
#include <stdexcept>  // invalid_argument
#include <string>     // string
#include <thread>     // thread, this_thread
#include <utility>    // move
#include <vector>     // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::npos;
using errgroup::options;
using support::dawdle;
using support::gate;
using support::opens_at_end;
using support::task_census;
using support::thread_census;
using support::watchdog;

constexpr int far_above_the_machine = 1 << 30;
constexpr int limits[] = {1, 2, 3, 1000, far_above_the_machine};
constexpr std::size_t queues[] = {0, 1, 5, npos};

std::string told_for(int limit) {
  try {
    group const g{{.limit = limit}};
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "nothing";
}

std::string word(int limit, std::size_t queue) {
  return "limit " + std::to_string(limit) + ", queue " +
         (queue == npos ? std::string("npos") : std::to_string(queue));
}

// --- options ---

TEST(GroupLimit, A_limit_that_is_none_is_refused_in_words) {
  using testing::HasSubstr;
  EXPECT_THAT(told_for(0), HasSubstr("errgroup::options::limit is 0: a group with no slot"));
  EXPECT_THAT(told_for(-2), HasSubstr("errgroup::options::limit is -2: give it 1 or more"));
  EXPECT_THAT(told_for(INT_MIN), HasSubstr(std::to_string(INT_MIN)));
  EXPECT_EQ(told_for(errgroup::unlimited), "nothing");
  EXPECT_EQ(told_for(1), "nothing");
}

// --- L1 ---

TEST(GroupLimit, L1_never_more_than_N_tasks_at_once_whoever_submits_and_waits) {
  watchdog const guard("a limited group that many submit to and wait for");
  for (int const limit : limits) {
    for (std::size_t const queue : queues) {
      SCOPED_TRACE(word(limit, queue));
      group g{{.limit = limit, .queue = queue}};
      task_census census;
      std::atomic<int> ran{0};
      auto leaf = [&] {
        task_census::presence const here(census);
        dawdle();
        ++ran;
      };
      auto branch = [&] {
        task_census::presence const here(census);
        dawdle();
        task_census::submit(g, leaf);
        task_census::submit(g, leaf);
        // A wait inside a task, which oneTBB fills with whatever it finds (T7, T13).
        group nested;
        nested.run([] { dawdle(); });
        nested.run([] { dawdle(); });
        EXPECT_FALSE(nested.wait());
        ++ran;
      };
      std::vector<std::thread> threads;
      for (int i = 0; i != 3; ++i) {
        threads.emplace_back([&] {
          for (int k = 0; k != 10; ++k) {
            g.run(branch);
          }
          EXPECT_FALSE(g.wait());
        });
      }
      EXPECT_FALSE(g.wait());
      for (auto& t : threads) {
        t.join();
      }
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(ran, 90);
      EXPECT_LE(census.most(), limit);
    }
  }
}

TEST(GroupLimit, L1_T7_one_slot_runs_one_task_at_a_time_whoever_waits) {
  // An arena of one slot runs two, one of them on a worker that nobody asked for.
  watchdog const guard("two waiters for a group of one slot");
  for (int round = 0; round != 20; ++round) {
    group g{{.limit = 1}};
    gate first_runs("the first task to start");
    gate end("the end of the first task");
    opens_at_end const in_any_case(end);
    std::atomic<bool> second_runs{false};
    g.run([&] {
      first_runs.open();
      end.wait();
    });
    g.run([&] { second_runs = true; });
    support::waiters others(g, 2);
    first_runs.wait();
    support::let_others_work();
    EXPECT_FALSE(second_runs);
    end.open();
    EXPECT_FALSE(g.wait());
    EXPECT_TRUE(second_runs);
  }
}

TEST(GroupLimit, L1_N_slots_run_N_tasks_at_once_given_the_threads_and_no_more) {
  watchdog const guard("waiters for a group of a few slots");
  for (int const limit : {1, 2, 3, 8}) {
    SCOPED_TRACE(limit);
    group g{{.limit = limit}};
    support::rendezvous all_slots(limit + 1, "as many tasks as there are slots");
    gate end;
    opens_at_end const in_any_case(end);
    std::atomic<int> beyond{0};
    for (int i = 0; i != limit; ++i) {
      g.run([&] {
        all_slots.arrive_and_wait();
        end.wait();
      });
    }
    for (int i = 0; i != limit; ++i) {
      g.run([&] { ++beyond; });
    }
    support::waiters others(g, static_cast<std::size_t>(limit) + 1);
    all_slots.arrive_and_wait();
    support::let_others_work();
    EXPECT_EQ(beyond, 0);
    end.open();
    for (auto const& e : others.errors()) {
      EXPECT_FALSE(e) << e;
    }
    EXPECT_EQ(beyond, limit);
  }
}

TEST(GroupLimit, L1_a_task_run_by_its_submitter_shares_the_submitters_slot) {
  watchdog const guard("a task that submits to a full queue");
  // One slot, no queue: if the new task needed a slot of its own, this would never end.
  group g{{.limit = 1, .queue = 0}};
  std::thread::id submitter;
  std::thread::id runner;
  g.run([&] {
    submitter = std::this_thread::get_id();
    g.run([&] { runner = std::this_thread::get_id(); });
    EXPECT_EQ(runner, submitter);  // already
  });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(runner, submitter);
}

// --- the queue ---

TEST(GroupLimit, Queue_holds_at_most_limit_plus_queue_tasks_and_try_run_says_no) {
  watchdog const guard("a full queue");
  for (int const limit : {1, 2, 3}) {
    for (std::size_t const queue : {0U, 1U, 5U}) {
      SCOPED_TRACE(word(limit, queue));
      group g{{.limit = limit, .queue = queue}};
      gate end;
      opens_at_end const in_any_case(end);
      std::size_t const room = static_cast<std::size_t>(limit) + queue;
      for (std::size_t i = 0; i != room; ++i) {
        ASSERT_TRUE(g.try_run([&] { end.wait(); })) << i;
      }
      auto f = [payload = std::make_unique<int>(1)] { ADD_FAILURE() << "refused, and run"; };
      struct task {
        std::unique_ptr<int> payload;
        void operator()() const { ADD_FAILURE() << "refused, and run"; }
      } untouched{std::make_unique<int>(1)};
      EXPECT_FALSE(g.try_run(std::move(f)));
      EXPECT_FALSE(g.try_run(std::move(untouched)));
      EXPECT_NE(untouched.payload, nullptr);
      end.open();
      auto const err = g.wait();
      EXPECT_FALSE(err) << err;
      EXPECT_EQ(err.skipped(), 0U);  // a refused task was never accepted
      // There is room again.
      EXPECT_TRUE(g.try_run([] {}));
      EXPECT_FALSE(g.wait());
    }
  }
}

TEST(GroupLimit, Queue_with_room_for_all_never_says_no) {
  watchdog const guard("a queue with room for all");
  for (options const& opts :
       {options{.limit = 3, .queue = npos - 1}, options{.isolated = true}, options{}}) {
    group g(opts);
    std::atomic<int> ran{0};
    for (int i = 0; i != 10000; ++i) {
      ASSERT_TRUE(g.try_run([&] { ++ran; }));
    }
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 10000);
  }
}

TEST(GroupLimit, Queue_without_a_bound_admits_a_try_only_to_a_free_slot) {
  watchdog const guard("a loop that starts workers to end");
  tbb::task_arena here(2);
  for (int const limit : {1, 3, 1000}) {
    for (bool const in_arena : {false, true}) {
      options opts{.limit = limit};
      opts.arena = in_arena ? &here : nullptr;
      group g(opts);
      gate end;
      opens_at_end const in_any_case(end);
      std::atomic<int> ran{0};
      int started = 0;
      // Go: `for g.TryGo(worker) {}`
      while (started <= limit && g.try_run([&] {
        end.wait();
        ++ran;
      })) {
        ++started;
      }
      EXPECT_EQ(started, limit);
      EXPECT_FALSE(g.try_run("named", [&] { ++ran; }));
      // `run` is admitted to the queue all the same, and takes a slot then.
      g.run([&] { ++ran; });
      EXPECT_FALSE(g.try_run([&] { ++ran; }));
      end.open();
      error const err = g.wait();
      EXPECT_FALSE(err) << err;
      EXPECT_EQ(err.skipped(), 0U);
      EXPECT_EQ(ran, limit + 1);
      EXPECT_TRUE(g.try_run([] {}));
      EXPECT_FALSE(g.wait());
    }
  }
}

TEST(GroupLimit, Queue_without_a_bound_admits_a_try_while_a_thread_has_a_page_of_tasks) {
  watchdog const guard("a task that waits for others of its page to be admitted");
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  group g{{.limit = 4}};
  gate blocked("the sixth task to begin");
  gate end;
  std::atomic<int> ran{0};
  // A page of six, which the waiter takes as a whole, and one more.
  for (int i = 0; i != 7; ++i) {
    g.run([&, i] {
      if (i == 5) {
        blocked.open();
        end.wait();
      }
      ++ran;
    });
  }
  std::thread waiter([&] { EXPECT_FALSE(g.wait()); });
  blocked.wait();
  // Two tasks are unfinished, the sixth and the seventh, when the others have ended.
  support::await([&] { return ran >= 5; }, "the tasks before the blocked one to end");
  support::await([&] { return g.try_run([&] { ++ran; }); }, "a slot for one more task");
  end.open();
  waiter.join();
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 8);
}

TEST(GroupLimit, Options_are_given_in_any_braces) {
  int const limit = 1;
  group a{{}};
  group b({limit});
  group c{{.limit = limit}};
  group d{options{}};
  for (group* g : {&a, &b, &c, &d}) {
    g->run([] {});
    EXPECT_FALSE(g->wait());
  }
  EXPECT_TRUE(b.try_run([] {}));
  EXPECT_FALSE(b.wait());
}

TEST(GroupLimit, Queue_without_a_bound_admits_no_try_inside_beyond_the_slots) {
  watchdog const guard("a task that tries to submit to its own group");
  group g{{.limit = 1}};
  bool admitted = true;
  EXPECT_FALSE(g.run_and_wait([&] { admitted = g.try_run([] {}); }));
  EXPECT_FALSE(admitted);
}

TEST(GroupLimit, Queue_without_a_limit_has_as_many_slots_as_the_arena) {
  watchdog const guard("a queue without a limit");
  tbb::task_arena here(3);
  here.execute([] {
    int const slots = tbb::this_task_arena::max_concurrency();
    group g{{.queue = 2}};
    gate end;
    opens_at_end const in_any_case(end);
    for (int i = 0; i != slots + 2; ++i) {
      ASSERT_TRUE(g.try_run([&] { end.wait(); })) << i << " of " << slots << " and 2";
    }
    EXPECT_FALSE(g.try_run([] {}));
    end.open();
    EXPECT_FALSE(g.wait());
  });
}

TEST(GroupLimit, Queue_of_a_cancelled_group_says_no_and_touches_nothing) {
  for (std::size_t const queue : queues) {
    group g{{.limit = 1, .queue = queue}};
    g.cancel();
    EXPECT_FALSE(g.try_run([] {}));
    auto const err = g.wait();
    EXPECT_EQ(err, errc::canceled);
    EXPECT_EQ(err.skipped(), 0U);
  }
}

// --- L2 ---

// The threads inside of an outer group's tasks, and of all that these start.
void count_threads_of(int limit, std::size_t queue, int max_waiters) {
  SCOPED_TRACE(word(limit, queue));
  group g{{.limit = limit, .queue = queue}};
  thread_census census;
  std::atomic<int> ran{0};
  auto work = [&] {
    thread_census::presence const here(census);
    dawdle(5);
    ++ran;
  };
  for (int i = 0; i != 6; ++i) {
    g.run([&] {
      thread_census::presence const here(census);
      tbb::parallel_for(0, 8, [&](int) { work(); });
      group unlimited;
      for (int k = 0; k != 8; ++k) {
        unlimited.run(work);
      }
      EXPECT_FALSE(unlimited.wait());
      group limited{{.limit = 4}};
      for (int k = 0; k != 8; ++k) {
        limited.run(work);
      }
      EXPECT_FALSE(limited.wait());
      group both;
      EXPECT_FALSE(both.run_and_wait([&] { tbb::parallel_for(0, 8, [&](int) { work(); }); }));
    });
  }
  support::waiters others(g, static_cast<std::size_t>(max_waiters));
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 6 * 32);
  EXPECT_LE(census.most(), limit);
}

TEST(GroupLimit, L2_what_tasks_start_inside_never_uses_more_than_N_threads) {
  watchdog const guard("parallel_for and groups inside of limited tasks");
  for (int round = 0; round != 5; ++round) {
    for (int const limit : {1, 2, 3, 1000}) {
      for (std::size_t const queue : {std::size_t{0}, npos}) {
        count_threads_of(limit, queue, 3);
      }
    }
  }
}

TEST(GroupLimit, L2_a_limited_group_inside_a_limited_group_has_only_its_threads) {
  watchdog const guard("limited groups in each other");
  for (int const limit : {1, 2, 3}) {
    SCOPED_TRACE(limit);
    group outer{{.limit = limit}};
    thread_census census;
    std::atomic<int> ran{0};
    for (int i = 0; i != 8; ++i) {
      outer.run([&] {
        thread_census::presence const here(census);
        group middle{{.limit = 2}};
        for (int k = 0; k != 4; ++k) {
          middle.run([&] {
            thread_census::presence const here_too(census);
            group inner{{.limit = 1}};
            for (int m = 0; m != 4; ++m) {
              inner.run([&] {
                thread_census::presence const and_here(census);
                dawdle();
                ++ran;
              });
            }
            EXPECT_FALSE(inner.wait());
          });
        }
        EXPECT_FALSE(middle.wait());
      });
    }
    support::waiters others(outer, 3);
    EXPECT_FALSE(outer.wait());
    EXPECT_EQ(ran, 8 * 4 * 4);
    EXPECT_LE(census.most(), limit);
  }
}

// --- L3 ---

TEST(GroupLimit, L3_T8_a_task_starts_without_anyone_waiting) {
  // An arena with a reserved slot starts nothing before somebody joins, for a limit of 1.
  for (int const limit : limits) {
    for (std::size_t const queue : queues) {
      SCOPED_TRACE(word(limit, queue));
      gate started("a task of a limited group that nobody waits for");
      group g{{.limit = limit, .queue = queue}};
      g.run([&] { started.open(); });
      started.wait();
      EXPECT_FALSE(g.wait());
    }
  }
}

TEST(GroupLimit, L3_a_task_starts_although_oneTBB_has_no_workers) {
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (int const limit : limits) {
    SCOPED_TRACE(limit);
    gate started("a task of a limited group, without workers and without anyone waiting");
    group g{{.limit = limit}};
    g.run([&] { started.open(); });
    started.wait();
    EXPECT_FALSE(g.wait());
  }
}

TEST(GroupLimit, L3_every_task_of_many_starts_without_anyone_waiting) {
  for (int const limit : limits) {
    SCOPED_TRACE(limit);
    std::atomic<int> ran{0};
    group g{{.limit = limit}};
    for (int i = 0; i != 1000; ++i) {
      g.run([&] { ++ran; });
      if (i % 100 == 0) {
        // The threads that came have gone again.
        support::await([&] { return ran == i + 1; }, "the tasks so far");
      }
    }
    support::await([&] { return ran == 1000; }, "all tasks, without anyone waiting");
    EXPECT_FALSE(g.wait());
  }
}

// Arenas without workers leave behind what was sent in them, and the next one may lie in the same
// memory.
TEST(GroupLimit, L3_a_task_starts_in_an_arena_in_the_place_of_one_without_workers) {
  support::with_workers(3, [&] {
    for (int round = 0; round != 10; ++round) {
      tbb::task_arena(1).execute([] {
        group g;
        g.run([] {});
        EXPECT_FALSE(g.wait());
      });
      tbb::task_arena(4).execute([] {
        support::gate ran("the task in the other arena");
        group g;
        g.run([&] { ran.open(); });
        ran.wait();
        EXPECT_FALSE(g.wait());
      });
    }
  });
}

TEST(GroupLimit, L3_tasks_that_block_do_not_keep_others_from_a_free_slot) {
  support::with_workers(3, [&] {
    constexpr int many = 3;
    for (int const limit : {many, 1000}) {
      SCOPED_TRACE(limit);
      group g{{.limit = limit}};
      support::rendezvous all(many + 1, "as many tasks as there are slots and workers");
      for (int i = 0; i != many; ++i) {
        g.run([&] { all.arrive_and_wait(); });
      }
      all.arrive_and_wait();
      EXPECT_FALSE(g.wait());
    }
  });
}

TEST(GroupLimit, L3_a_limited_group_inside_a_limited_group_starts_in_its_free_slots) {
  watchdog const guard("a limited group inside a limited group, which nobody waits for");
  for (int const inner_limit : {1, 2, 1000}) {
    SCOPED_TRACE(inner_limit);
    group outer{{.limit = 2}};
    gate started("a task of the inner group, in the outer group's free slot");
    outer.run([&] {
      group inner{{.limit = inner_limit}};
      inner.run([&] { started.open(); });
      started.wait();  // a slot of the outer group is free, and a thread is there
      EXPECT_FALSE(inner.wait());
    });
    support::waiters others(outer, 2);
    EXPECT_FALSE(outer.wait());
  }
}

TEST(GroupLimit, L3_a_group_that_outlives_its_limited_group_s_task_needs_no_slot_of_it) {
  // The task is over and the group is not: all of its slots are taken by others.
  watchdog const guard("a group made in a task of a limited group that is busy");
  for (int const outer_limit : {1, 2}) {
    for (int const limit : {errgroup::unlimited, 1, 2, 1000}) {
      // Workers may run the outer group's tasks; one more is left for the inner group.
      support::with_workers(outer_limit + 1, [=] {
        SCOPED_TRACE(testing::Message() << limit << " in " << outer_limit);
        std::optional<group> inner;
        group outer{{.limit = outer_limit}};
        EXPECT_FALSE(outer.run_and_wait([&] {
          inner.emplace(options{.limit = limit});
          EXPECT_FALSE(inner->run_and_wait([] {}));
        }));
        support::rendezvous all_slots(outer_limit + 1, "all slots to be taken");
        gate started("a task of a group that outlived its task");
        gate end;
        for (int i = 0; i != outer_limit; ++i) {
          outer.run([&] {
            all_slots.arrive_and_wait();
            end.wait();
          });
        }
        support::waiters others(outer, static_cast<std::size_t>(outer_limit));
        opens_at_end const in_any_case(end);
        all_slots.arrive_and_wait();
        inner->run([&] { started.open(); });
        // A limited group asks its own arena for a thread. oneTBB 2021.8 does not always wake a
        // worker for that while another arena has a busy one: a raw task_arena::enqueue shows it.
        // So a thread of the test comes for the task.
        std::thread comes;
        if (limit != errgroup::unlimited) {
          comes = std::thread([&] { EXPECT_FALSE(inner->wait()); });
        }
        started.wait();
        if (comes.joinable()) {
          comes.join();
        }
        EXPECT_FALSE(inner->wait());
        end.open();
        EXPECT_FALSE(outer.wait());
      });
    }
  }
}

TEST(GroupLimit, L3_an_unlimited_group_from_outside_is_not_stranded_in_a_limited_groups_arena) {
  // The limited group's arena has no threads of its own: a task of another group that was spawned
  // there would stay in the deque of a slot that nobody enters any more (T9, T10).
  watchdog const guard("tasks that a limited group's task submitted to another group");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (int const limit : {1, 2, 3}) {
    for (int round = 0; round != 20; ++round) {
      group other;
      std::atomic<int> ran{0};
      {
        group limited{{.limit = limit}};
        for (int i = 0; i != 4; ++i) {
          limited.run([&] { other.run([&] { ++ran; }); });
        }
        EXPECT_FALSE(limited.wait());
      }
      EXPECT_FALSE(other.wait());
      EXPECT_EQ(ran, 4);
    }
  }
}

// --- L4 ---

struct tree {
  group& g;
  std::atomic<int>& ran;

  void grow(int depth) const {
    ++ran;
    if (depth == 0) {
      return;
    }
    for (int i = 0; i != 3; ++i) {
      g.run([*this, depth] { grow(depth - 1); });
    }
  }
};

TEST(GroupLimit, L4_submitting_from_inside_never_deadlocks) {
  watchdog const guard("tasks that submit tasks that submit tasks");
  for (std::size_t const workers : {1U, 4U}) {
    tbb::global_control const few(tbb::global_control::max_allowed_parallelism, workers);
    for (int const limit : limits) {
      for (std::size_t const queue : queues) {
        SCOPED_TRACE(word(limit, queue));
        group g{{.limit = limit, .queue = queue}};
        std::atomic<int> ran{0};
        for (int i = 0; i != 4; ++i) {
          g.run([&] { tree{g, ran}.grow(5); });
        }
        EXPECT_FALSE(g.wait());
        EXPECT_EQ(ran, 4 * 364);
      }
    }
  }
}

TEST(GroupLimit, L4_submitting_from_groups_and_loops_inside_never_deadlocks) {
  watchdog const guard("submissions from below a limited group's tasks");
  for (int const limit : limits) {
    for (std::size_t const queue : queues) {
      SCOPED_TRACE(word(limit, queue));
      group g{{.limit = limit, .queue = queue}};
      std::atomic<int> ran{0};
      for (int i = 0; i != 4; ++i) {
        g.run([&] {
          group nested{{.limit = 1}};
          for (int k = 0; k != 4; ++k) {
            nested.run([&] { g.run([&] { ++ran; }); });
          }
          EXPECT_FALSE(nested.wait());
          tbb::parallel_for(0, 8, [&](int) { g.run([&] { ++ran; }); });
        });
      }
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(ran, 4 * 12);
    }
  }
}

TEST(GroupLimit, L4_two_groups_whose_tasks_feed_each_other_never_deadlock) {
  watchdog const guard("a limited group inside another, both full");
  for (std::size_t const queue : {0U, 1U}) {
    SCOPED_TRACE(queue);
    group outer{{.limit = 1, .queue = queue}};
    std::atomic<int> ran{0};
    for (int i = 0; i != 10; ++i) {
      outer.run([&] {
        group inner{{.limit = 1, .queue = queue}};
        for (int k = 0; k != 10; ++k) {
          inner.run([&] {
            outer.run([&] { ++ran; });
            ++ran;
          });
        }
        EXPECT_FALSE(inner.wait());
      });
    }
    EXPECT_FALSE(outer.wait());
    EXPECT_EQ(ran, 200);
  }
}

TEST(GroupLimit, L4_without_room_the_caller_runs_the_oldest_waiting_task) {
  watchdog const guard("a task that submits to a full queue");
  group g{{.limit = 1, .queue = 1}};
  std::vector<std::string> order;  // one slot: no lock needed
  g.run([&] {
    g.run([&] { order.emplace_back("oldest"); });
    EXPECT_THAT(order, testing::IsEmpty());
    g.run([&] { order.emplace_back("newest"); });
    EXPECT_THAT(order, testing::ElementsAre("oldest"));  // run by this very call
    order.emplace_back("submitter");
  });
  EXPECT_FALSE(g.wait());
  EXPECT_THAT(order, testing::ElementsAre("oldest", "submitter", "newest"));
}

TEST(GroupLimit, L4_inside_there_is_always_an_answer_at_a_full_queue_for_try_run) {
  watchdog const guard("try_run inside a task of a group without a queue");
  group g{{.limit = 1, .queue = 0}};
  g.run([&] { EXPECT_FALSE(g.try_run([] { ADD_FAILURE() << "refused, and run"; })); });
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
}

TEST(GroupLimit, L4_from_outside_run_at_a_full_queue_waits_for_room) {
  watchdog const guard("run at a full queue");
  for (int const limit : {1, 2}) {
    SCOPED_TRACE(limit);
    group g{{.limit = limit, .queue = 0}};
    gate end;
    opens_at_end const in_any_case(end);
    for (int i = 0; i != limit; ++i) {
      g.run([&] { end.wait(); });
    }
    std::atomic<bool> accepted{false};
    gate started("the submitter to come");
    std::thread submitter([&] {
      started.open();
      g.run([] {});
      accepted = true;
    });
    // Somebody has to run them: a waiter for each, whatever the machine.
    support::waiters others(g, static_cast<std::size_t>(limit));
    started.wait();
    support::let_others_work();
    EXPECT_FALSE(accepted);
    end.open();
    submitter.join();
    EXPECT_TRUE(accepted);
    EXPECT_FALSE(g.wait());
  }
}

TEST(GroupLimit, L4_from_outside_run_at_a_full_queue_helps_when_no_worker_comes) {
  watchdog const guard("run at a full queue, which nobody else empties");
  support::no_workers const alone;
  for (int const limit : {1, 2, 3}) {
    for (std::size_t const queue : {0U, 1U, 5U}) {
      SCOPED_TRACE(word(limit, queue));
      group g{{.limit = limit, .queue = queue}};
      std::atomic<int> ran{0};
      for (int i = 0; i != 100; ++i) {
        g.run([&] { ++ran; });
      }
      EXPECT_GE(ran, 100 - limit - static_cast<int>(queue));
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(ran, 100);
    }
  }
}

TEST(GroupLimit, L4_run_at_a_full_queue_wakes_when_the_group_is_cancelled) {
  watchdog const guard("run at the full queue of a cancelled group");
  for (std::size_t const queue : {0U, 1U}) {
    for (int round = 0; round != 50; ++round) {
      group g{{.limit = 1, .queue = queue}};
      gate runs("the first task to start");
      gate submitter_is_back("run to return, at the full queue of a cancelled group");
      g.run([&] {
        runs.open();
        submitter_is_back.wait();  // the slot stays taken
      });
      runs.wait();
      for (std::size_t i = 0; i != queue; ++i) {
        g.run([] { ADD_FAILURE() << "cancelled, and run"; });
      }
      std::thread submitter([&] {
        g.run([] { ADD_FAILURE() << "cancelled, and run"; });
        submitter_is_back.open();
      });
      dawdle(round);
      g.cancel();
      submitter.join();
      auto const err = g.wait();
      EXPECT_EQ(err, errc::canceled);
      EXPECT_EQ(err.skipped(), queue + 1);
    }
  }
}

// --- L5 ---

// At most limit - 1 tasks that were submitted before task i have not noted their start when it
// notes its own: each of them holds a slot. So nobody is further ahead of his turn than that.
void expect_order(std::vector<int> const& started, int limit) {
  for (std::size_t at = 0; at != started.size(); ++at) {
    ASSERT_LE(started[at], static_cast<int>(at) + limit - 1) << "at " << at;
  }
}

TEST(GroupLimit, L5_tasks_from_one_thread_start_in_the_order_of_their_submission) {
  watchdog const guard("tasks in order");
  for (int const limit : {1, 2, 3}) {
    for (std::size_t const queue : queues) {
      SCOPED_TRACE(word(limit, queue));
      group g{{.limit = limit, .queue = queue}};
      std::mutex m;
      std::vector<int> started;
      for (int i = 0; i != 3000; ++i) {
        g.run([&, i] {
          std::scoped_lock const guards(m);
          started.push_back(i);
        });
      }
      support::waiters others(g, 2);
      EXPECT_FALSE(g.wait());
      EXPECT_EQ(started.size(), 3000U);
      expect_order(started, limit);
    }
  }
}

TEST(GroupLimit, L5_tasks_from_one_task_start_in_the_order_of_their_submission) {
  watchdog const guard("tasks in order, from inside");
  for (std::size_t const queue : queues) {
    SCOPED_TRACE(queue);
    group g{{.limit = 1, .queue = queue}};
    std::vector<int> started;
    g.run([&] {
      for (int i = 0; i != 300; ++i) {
        g.run([&, i] { started.push_back(i); });
      }
    });
    support::waiters others(g, 2);
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(started.size(), 300U);
    expect_order(started, 1);
  }
}

// --- L6 ---

// A process of its own for each: oneTBB warns once, and has not been told anything yet.
class GroupLimitDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

void use_all_limits() {
  for (int const limit : limits) {
    group g{{.limit = limit}};
    for (int i = 0; i != 100; ++i) {
      g.run([] { tbb::parallel_for(0, 10, [](int) { dawdle(1); }); });
    }
    if (g.wait()) {
      std::exit(1);
    }
  }
  std::exit(0);
}

TEST_F(GroupLimitDeathTest, L6_T17_nothing_is_printed_however_far_the_limit_is_above_the_machine) {
  // oneTBB 2021.8 complains of an arena that asks for more workers than there are.
  EXPECT_EXIT(use_all_limits(), testing::ExitedWithCode(0), testing::Eq(""));
}

TEST_F(GroupLimitDeathTest, L6_nothing_is_printed_where_oneTBB_may_use_one_thread) {
  auto const use = [] {
    tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
    use_all_limits();
  };
  EXPECT_EXIT(use(), testing::ExitedWithCode(0), testing::Eq(""));
}

// --- L7 and options::arena ---

/// Knows which threads are in an arena.
class resident_observer : public tbb::task_scheduler_observer {
 public:
  explicit resident_observer(tbb::task_arena& a) : tbb::task_scheduler_observer(a) {
    observe(true);
  }
  resident_observer(resident_observer const&) = delete;
  resident_observer& operator=(resident_observer const&) = delete;
  ~resident_observer() override { observe(false); }

  void on_scheduler_entry(bool) override { ++inside; }
  void on_scheduler_exit(bool) override { --inside; }

  [[nodiscard]] static bool is_here() noexcept { return inside > 0; }

 private:
  static inline constinit thread_local int inside = 0;
};

TEST(GroupLimit, L7_tasks_run_in_the_arena_of_the_options) {
  watchdog const guard("a group with an arena");
  for (int const slots : {1, 2, 4}) {
    for (int const limit : {errgroup::unlimited, 1, 2, 1000}) {
      SCOPED_TRACE(word(limit, npos) + ", arena " + std::to_string(slots));
      tbb::task_arena arena(slots);
      resident_observer const observer(arena);
      group g{{.limit = limit, .arena = &arena}};
      std::atomic<int> ran{0};
      std::atomic<int> strays{0};
      auto task = [&] {
        strays += resident_observer::is_here() ? 0 : 1;
        ++ran;
      };
      for (int i = 0; i != 50; ++i) {
        g.run([&] {
          task();
          g.run(task);
        });
      }
      support::await([&] { return ran == 100; }, "tasks in an arena, without anyone waiting");
      EXPECT_EQ(strays, 0);
      // Who waits works where it waits: inside.
      for (int i = 0; i != 50; ++i) {
        g.run(task);
      }
      arena.execute([&] { EXPECT_FALSE(g.wait()); });
      EXPECT_EQ(ran, 150);
      EXPECT_EQ(strays, 0);
    }
  }
}

TEST(GroupLimit, L7_a_limit_counts_tasks_in_the_arena_of_the_options) {
  watchdog const guard("a limited group with an arena");
  for (int const slots : {1, 4}) {
    for (int const limit : {1, 2, 3}) {
      SCOPED_TRACE(word(limit, npos) + ", arena " + std::to_string(slots));
      tbb::task_arena arena(slots);
      group g{{.limit = limit, .arena = &arena}};
      task_census census;
      for (int i = 0; i != 100; ++i) {
        g.run([&] {
          task_census::presence const here(census);
          dawdle();
        });
      }
      support::waiters others(g, 3);
      arena.execute([&] { EXPECT_FALSE(g.wait()); });
      EXPECT_LE(census.most(), limit);
    }
  }
}

TEST(GroupLimit, L7_a_group_without_a_limit_uses_the_arena_of_its_first_submission) {
  watchdog const guard("a group used in an arena");
  tbb::task_arena arena(2);
  resident_observer const observer(arena);
  for (int round = 0; round != 20; ++round) {
    group g;
    std::atomic<int> strays{0};
    arena.execute([&] {
      for (int i = 0; i != 100; ++i) {
        g.run([&] { strays += resident_observer::is_here() ? 0 : 1; });
      }
      EXPECT_FALSE(g.wait());
    });
    EXPECT_EQ(strays, 0);
  }
}

TEST(GroupLimit, C3_a_group_may_outlive_its_task_and_be_used_in_a_later_one_of_the_same_limit) {
  watchdog const guard("a wait for what a later task of the limited group submitted");
  for (bool const limited_group_is_gone : {false, true}) {
    std::optional<group> inner;
    bool ran = false;
    std::optional<group> outer(std::in_place, errgroup::options{.limit = 1});
    EXPECT_FALSE(outer->run_and_wait([&] { inner.emplace(); }));
    EXPECT_FALSE(outer->run_and_wait([&] { inner->run([&ran] { ran = true; }); }));
    if (limited_group_is_gone) {
      outer.reset();
    }
    EXPECT_FALSE(inner->wait());
    EXPECT_TRUE(ran);
  }
}

TEST(GroupLimit, L3_a_group_made_in_another_arena_starts_though_the_limited_group_is_cancelled) {
  watchdog const guard("a task of a group that was made in another arena");
  // A thread of the outer group's own runs its task. If a worker ran it, oneTBB 2021.8 would not
  // always wake a second worker for the other arena: a raw task_arena::enqueue shows it.
  support::with_workers(1, [] {
    tbb::task_arena arena(2);
    group outer{{.limit = 1, .blocking = true}};
    outer.run([&] {
      arena.execute([&] {
        std::atomic<bool> ran{false};
        group g{{.limit = 1}};
        g.run([&] { ran = true; });
        outer.cancel();
        support::await([&] { return ran.load(); }, "a task to start without a waiter");
        EXPECT_FALSE(g.wait());
      });
    });
    EXPECT_EQ(outer.wait(), errc::canceled);
  });
}

}  // namespace
