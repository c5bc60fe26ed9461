// SPDX-License-Identifier: Apache-2.0

// A group's queue: pages of six tasks, which a runner of a group without a limit takes as a whole.

#include "support/callables.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // task_arena

#include <algorithm>  // min
#include <atomic>     // atomic
#include <climits>    // INT_MAX
#include <cstddef>    // size_t
#include <memory>     // make_unique, unique_ptr
#include <mutex>      // mutex, scoped_lock
#include <new>        // bad_alloc
#include <numeric>    // iota
#include <optional>   // optional
#include <string>     // to_string
#include <thread>     // thread, yield
#include <vector>     // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using support::await;
using support::counted;
using support::gate;
using support::waiters;
using support::watchdog;

constexpr int page = 6;

class Queue : public support::no_leaks {};

/// So many threads may oneTBB use, the caller's included, on any machine.
class threads_allowed : tbb::global_control {
 public:
  explicit threads_allowed(int n)
      : tbb::global_control(max_allowed_parallelism, static_cast<std::size_t>(n)) {}
};

/// Has workers come to an arena as long as it lives: oneTBB 2022.1 may forget to wake one for a
/// task that another has spawned, with raw task groups, too. What is enqueued wakes them.
class keeps_awake {
 public:
  explicit keeps_awake(tbb::task_arena& arena)
      : thread_([this, &arena] {
          for (int looks = 0; !over_; ++looks) {
            if (looks % 1000 == 0) {
              arena.enqueue([] {});
            }
            std::this_thread::yield();
          }
        }) {}
  keeps_awake(keeps_awake const&) = delete;
  keeps_awake& operator=(keeps_awake const&) = delete;
  ~keeps_awake() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;  // the last member: it uses the other
};

/// Not a wait for the group: that would help.
void await_all_gone() {
  await([] { return counted::live() == 0; }, "all tasks to run and go");
}

/// Calls `f` in a thread that oneTBB has not seen. Where it may use no workers, those that it had
/// before may still be on their way out of the arenas that they were in, but come to no other.
template <class F>
void in_a_thread_of_its_own(F f) {
  std::thread(f).join();
}

/// A task each for the numbers below `n`. Those that `blocks` names wait until all others have run.
template <class Blocks>
class mates {
 public:
  mates(int n, Blocks blocks) : ran_(static_cast<std::size_t>(n)), blocks_(blocks) {
    for (int i = 0; i != n; ++i) {
      missing_ += blocks(i) ? 0 : 1;
    }
    if (missing_ == 0) {
      others_ran_.open();
    }
  }

  void fill(group& g) {
    for (std::size_t i = 0; i != ran_.size(); ++i) {
      g.run([this, i, payload = counted()] { act(i); });
    }
  }

  void expect_each_ran_once() const {
    for (std::size_t i = 0; i != ran_.size(); ++i) {
      EXPECT_EQ(ran_[i], 1) << "task " << i;
    }
  }

 private:
  void act(std::size_t i) {
    if (blocks_(static_cast<int>(i))) {
      others_ran_.wait();
      ++ran_[i];
    } else {
      ++ran_[i];
      if (--missing_ == 0) {
        others_ran_.open();
      }
    }
  }

  std::vector<std::atomic<int>> ran_;
  Blocks blocks_;
  std::atomic<int> missing_{0};
  gate others_ran_{"all other tasks to run"};
};

constexpr auto is_first = [](int i) { return i == 0; };

// --- a blocked task strands nobody ---

/// Groups of 1 to 40 tasks, of which the first blocks until the others ran. `use` fills and joins.
template <class Use>
void block_the_first(int threads, Use const& use) {
  for (int n = 1; n <= 40; ++n) {
    SCOPED_TRACE(std::to_string(n) + " tasks, threads: " + std::to_string(threads));
    group g;
    mates all(n, is_first);
    use(g, all);
    all.expect_each_ran_once();
  }
}

TEST_F(Queue, L3_a_blocked_first_task_strands_nobody_while_two_wait) {
  for (int const threads : {1, 2, 3, 8}) {
    threads_allowed const some(threads);
    block_the_first(threads, [](group& g, auto& all) {
      all.fill(g);
      waiters others(g, 2);
      for (auto const& e : others.errors()) {
        EXPECT_FALSE(e) << e;
      }
    });
  }
}

TEST_F(Queue, L3_a_blocked_first_task_strands_nobody_while_one_waits_and_a_worker_comes) {
  // Either of them has the blocked one.
  for (int const threads : {2, 3, 8}) {
    threads_allowed const some(threads);
    tbb::task_arena here(threads, 1);
    keeps_awake const workers(here);
    block_the_first(threads, [&](group& g, auto& all) {
      here.execute([&] {
        all.fill(g);
        EXPECT_FALSE(g.wait());
      });
    });
  }
}

TEST_F(Queue, L3_a_blocked_first_task_strands_nobody_while_none_waits) {
  // One worker is blocked, so two have to come.
  for (int const threads : {3, 4, 8}) {
    threads_allowed const some(threads);
    tbb::task_arena here(threads, 1);
    keeps_awake const workers(here);
    block_the_first(threads, [&](group& g, auto& all) {
      here.execute([&] { all.fill(g); });
      await_all_gone();
      EXPECT_FALSE(g.wait());
    });
  }
}

TEST_F(Queue, L3_tasks_behind_a_waiters_blocked_one_are_taken_by_who_comes_later) {
  threads_allowed const none(1);
  for (int n = 2; n <= 40; ++n) {
    SCOPED_TRACE(n);
    group g;
    gate end("the end of the first task");
    mates all(n, [](int) { return false; });
    gate starts("the first task to start");
    g.run([&] {
      starts.open();
      end.wait();
    });
    all.fill(g);  // into the page of the one that blocks, and into others
    std::thread first([&] { EXPECT_FALSE(g.wait()); });
    starts.wait();
    std::thread second([&] { EXPECT_FALSE(g.wait()); });
    std::thread third([&] { EXPECT_FALSE(g.wait()); });
    await([] { return counted::live() == 0; }, "all but the first to run and go");
    all.expect_each_ran_once();
    end.open();
    first.join();
    second.join();
    third.join();
  }
}

TEST_F(Queue, L3_who_finds_the_queue_empty_takes_what_is_left_in_the_page_of_another) {
  threads_allowed const none(1);
  for (int n = page + 1; n <= 20; ++n) {
    SCOPED_TRACE(n);
    group g;
    gate first_starts("the first task to start");
    gate last_starts("the last task to start");
    gate end("the end of the first task and the last");
    mates between(n - 2, [](int) { return false; });
    g.run([&] {
      first_starts.open();
      end.wait();
    });
    between.fill(g);
    g.run([&] {
      last_starts.open();
      end.wait();
    });
    std::thread first([&] { EXPECT_FALSE(g.wait()); });
    first_starts.wait();
    std::thread second([&] { EXPECT_FALSE(g.wait()); });
    last_starts.wait();
    std::thread third([&] { EXPECT_FALSE(g.wait()); });
    await([] { return counted::live() == 0; }, "the tasks between to run and go");
    between.expect_each_ran_once();
    end.open();
    first.join();
    second.join();
    third.join();
  }
}

TEST_F(Queue, L3_who_is_not_blocked_takes_what_is_left_in_the_pages_of_all_others) {
  threads_allowed const none(1);
  for (int const blocked : {1, 2, 3, 5}) {
    for (int n = blocked * page; n <= 40; ++n) {
      SCOPED_TRACE(std::to_string(n) + " tasks, blocked: " + std::to_string(blocked));
      group g;
      mates all(n, [blocked](int i) { return i % page == 0 && i / page < blocked; });
      all.fill(g);
      waiters others(g, static_cast<std::size_t>(blocked) + 1);
      (void)others.errors();
      all.expect_each_ran_once();
    }
  }
}

TEST_F(Queue, L3_a_task_that_waits_for_a_later_one_in_its_own_page_gets_it_from_another_thread) {
  threads_allowed const none(1);
  for (int n = 2; n <= 20; ++n) {
    for (int k = 1; k != n; ++k) {
      group g;
      gate ran("the task that another waits for to run");
      for (int i = 0; i != n; ++i) {
        g.run([&ran, i, k] {
          if (i == 0) {
            ran.wait();
          } else if (i == k) {
            ran.open();
          }
        });
      }
      waiters others(g, 2);
    }
  }
}

TEST_F(Queue, L3_workers_come_for_what_is_left_in_a_page_when_the_queue_is_empty) {
  threads_allowed const some(4);
  tbb::task_arena here(4, 1);
  keeps_awake const workers(here);
  for (int n = 3; n <= 20; ++n) {
    SCOPED_TRACE(n);
    group g;
    mates all(n, [n](int i) { return i == 0 || i == n - 1; });
    here.execute([&] { all.fill(g); });
    await_all_gone();
    EXPECT_FALSE(g.wait());
    all.expect_each_ran_once();
  }
}

// --- page boundaries ---

TEST_F(Queue, E3_each_of_a_few_tasks_runs_once_around_the_ends_of_pages) {
  for (int const limit : {errgroup::unlimited, 1, 2, 3}) {
    for (int const threads : {1, 4}) {
      threads_allowed const some(threads);
      group g{{.limit = limit}};  // the same one: a page that was begun is used on
      for (int n = 0; n <= 20; ++n) {
        SCOPED_TRACE(std::to_string(n) + " tasks, limit " + std::to_string(limit));
        mates all(n, [](int) { return false; });
        all.fill(g);
        error const e = g.wait();
        EXPECT_FALSE(e) << e;
        EXPECT_EQ(e.skipped(), 0U);
        all.expect_each_ran_once();
      }
    }
  }
}

TEST_F(Queue, L5_the_order_is_kept_across_pages_however_submitting_and_taking_alternate) {
  watchdog const guard("tasks that are let go one by one");
  group g{{.limit = 1}};
  for (int before = 1; before <= 13; ++before) {
    for (int taken = 0; taken <= before; ++taken) {
      for (int const after : {1, 5, 6, 7}) {
        std::vector<int> order;
        std::atomic<int> ran{0};
        std::atomic<int> may_run{0};
        auto submit = [&](int i) {
          g.run([&, i] {
            await([&] { return may_run > i; }, "the test to let a task go");
            order.push_back(i);
            ++ran;
          });
        };
        for (int i = 0; i != before; ++i) {
          submit(i);
        }
        may_run = taken;
        await([&] { return ran == taken; }, "tasks to run");
        for (int i = before; i != before + after; ++i) {
          submit(i);
        }
        may_run = before + after;
        EXPECT_FALSE(g.wait());
        std::vector<int> expected(static_cast<std::size_t>(before + after));
        std::iota(expected.begin(), expected.end(), 0);
        ASSERT_EQ(order, expected);
      }
    }
  }
}

TEST_F(Queue, L5_the_order_is_kept_for_the_largest_limit_in_an_arena_of_the_callers) {
  // Pages taken as a whole would let the seventh task start before the second.
  threads_allowed const some(4);
  tbb::task_arena arena(4);
  group g{{.limit = INT_MAX, .arena = &arena}};
  std::atomic<bool> in_order{true};
  std::atomic<int> ran{0};
  gate others_ran("all tasks but the first to run");
  for (int i = 0; i != 40; ++i) {
    g.run([&, i] {
      if (i == 0) {
        others_ran.wait();
        return;
      }
      static thread_local int latest = 0;
      if (i < latest) {
        in_order = false;
      }
      latest = i;
      if (++ran == 39) {
        others_ran.open();
      }
    });
  }
  waiters others(g, 2);
  (void)others.errors();
  EXPECT_TRUE(in_order);
}

TEST_F(Queue, E3_nothing_is_lost_while_several_submit_and_several_take) {
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    for (int round = 0; round != 20; ++round) {
      group g{{.limit = limit}};
      std::vector<std::atomic<int>> ran(3000);
      std::vector<std::thread> threads;
      for (std::size_t t = 0; t != 3; ++t) {
        threads.emplace_back([&, t] {
          for (std::size_t i = t; i < ran.size(); i += 3) {
            g.run([&ran, i] { ++ran[i]; });
          }
          EXPECT_FALSE(g.wait());
        });
      }
      for (auto& t : threads) {
        t.join();
      }
      for (auto const& r : ran) {
        ASSERT_EQ(r, 1);
      }
    }
  }
}

// --- cancelled while tasks wait ---

TEST_F(Queue, C1_E3_what_is_left_of_a_page_is_skipped_and_counted_exactly) {
  threads_allowed const none(1);
  for (int const limit : {errgroup::unlimited, 1}) {
    for (int n = 1; n <= 20; ++n) {
      for (int k = 0; k != std::min(n, page + 2); ++k) {
        for (bool const from_outside : {true, false}) {
          SCOPED_TRACE(std::to_string(n) + " tasks, cancelled in " + std::to_string(k) +
                       ", limit " + std::to_string(limit));
          group g{{.limit = limit}};
          std::atomic<int> ran{0};
          gate reached("the task to be reached in which the group is cancelled");
          gate canceled("the group to be cancelled");
          in_a_thread_of_its_own([&] {
            for (int i = 0; i != n; ++i) {
              g.run([&, i, payload = counted()] {
                ++ran;
                if (i == k) {
                  reached.open();
                  if (from_outside) {
                    canceled.wait();
                  } else {
                    g.cancel();
                  }
                }
              });
            }
          });
          error told;
          std::thread waiter([&] { told = g.wait(); });
          if (from_outside) {
            reached.wait();
            g.cancel();
            canceled.open();
          }
          waiter.join();
          EXPECT_EQ(told, errc::canceled);
          EXPECT_EQ(ran, k + 1);
          EXPECT_EQ(told.skipped(), static_cast<std::size_t>(n - k - 1));
          EXPECT_EQ(counted::live(), 0);
          // A fresh start, with all pages in place.
          g.reset();
          mates all(n, [](int) { return false; });
          all.fill(g);
          EXPECT_FALSE(g.wait());
          all.expect_each_ran_once();
        }
      }
    }
  }
}

TEST_F(Queue, C1_E3_what_is_left_of_several_pages_that_are_taken_is_skipped_and_counted_exactly) {
  threads_allowed const none(1);
  for (int const stolen : {0, 1, 2, 4}) {
    for (int n = 2 * page + 1; n <= 32; ++n) {
      SCOPED_TRACE(std::to_string(n) + " tasks, stolen: " + std::to_string(stolen));
      group g;
      std::atomic<int> ran{0};
      gate canceled("the group to be cancelled");
      support::rendezvous both(3, "both threads to be in the first task of a page");
      in_a_thread_of_its_own([&] {
        for (int i = 0; i != n; ++i) {
          g.run([&, i, payload = counted()] {
            ++ran;
            if (i % page == 0 && i < 2 * page) {
              both.arrive_and_wait();
              canceled.wait();
            }
          });
        }
      });
      std::thread first([&] { EXPECT_EQ(g.wait(), errc::canceled); });
      std::thread second([&] { EXPECT_EQ(g.wait(), errc::canceled); });
      both.arrive_and_wait();
      // A third thread empties the queue, and takes a few from the pages of the others.
      std::thread third;
      if (stolen != 0) {
        third = std::thread([&] { EXPECT_EQ(g.wait(), errc::canceled); });
        await([&] { return ran >= std::min(n, 2 + stolen); }, "a third thread to take tasks");
      }
      g.cancel();
      canceled.open();
      first.join();
      second.join();
      if (third.joinable()) {
        third.join();
      }
      error const e = g.wait();
      EXPECT_EQ(e.skipped() + static_cast<std::size_t>(ran), static_cast<std::size_t>(n));
      if (stolen == 0) {
        EXPECT_EQ(ran, 2);
      }
      EXPECT_EQ(counted::live(), 0);
    }
  }
}

TEST_F(Queue, L3_tasks_start_again_after_the_reset_of_a_group_whose_context_was_cancelled) {
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    threads_allowed const some(4);
    tbb::task_arena here(4, 1);
    keeps_awake const workers(here);
    here.execute([&] {
      for (int round = 0; round != 100; ++round) {
        group g{{.limit = limit}};
        g.context().cancel_group_execution();
        for (int i = 0; i != 200; ++i) {
          g.run([] {});
        }
        EXPECT_EQ(g.wait(), errc::canceled);
        g.reset();
        std::atomic<bool> ran{false};
        g.run([&, payload = counted()] { ran = true; });
        await_all_gone();
        EXPECT_FALSE(g.wait());
      }
    });
  }
}

// --- memory ---

TEST_F(Queue, E6_no_memory_at_any_place_in_a_page_leaves_the_group_as_before) {
  for (int const limit : {errgroup::unlimited, 1}) {
    threads_allowed const none(1);
    for (int n = 0; n <= 2 * page + 2; ++n) {
      for (bool const tries : {false, true}) {
        bool done = false;
        for (int k = 0; !done; ++k) {
          SCOPED_TRACE(std::to_string(k) + "th allocation of the task after " + std::to_string(n) +
                       ", limit " + std::to_string(limit));
          ASSERT_LT(k, 50);
          group g{{.limit = limit, .queue = tries ? 1000 : errgroup::npos}};
          std::atomic<int> ran{0};
          int accepted = 0;
          // A thread of its own, which has no nodes yet.
          std::thread([&] {
            auto submit = [&] {
              if (tries) {
                EXPECT_TRUE(g.try_run([&, payload = counted()] { ++ran; }));
              } else {
                g.run([&, payload = counted()] { ++ran; });
              }
              ++accepted;
            };
            for (int i = 0; i != n; ++i) {
              submit();
            }
            try {
              support::failing_new const fails(k);
              submit();
              done = !support::failing_new::has_failed();
            } catch (std::bad_alloc const&) {
            }
            for (int i = 0; i != page + 1; ++i) {
              submit();
            }
          }).join();
          error const e = g.wait();
          EXPECT_FALSE(e) << e;
          EXPECT_EQ(e.skipped(), 0U);
          EXPECT_EQ(ran, accepted);
          EXPECT_EQ(counted::live(), 0);
        }
      }
    }
  }
}

/// A task that submits another one when it is copied.
class logs_copies {
 public:
  explicit logs_copies(group& log) : log_(&log) {}
  logs_copies(logs_copies const& other) : log_(other.log_) {
    log_->run([] {});
  }
  logs_copies(logs_copies&&) noexcept = default;
  logs_copies& operator=(logs_copies const&) = delete;
  logs_copies& operator=(logs_copies&&) = delete;
  ~logs_copies() = default;

  void operator()() const {}

 private:
  group* log_;
};

TEST_F(Queue, E6_a_callable_may_use_another_group_while_it_is_copied) {
  for (int shift = 0; shift != page; ++shift) {
    group g{{.limit = 1, .queue = 1000}};
    group log{{.limit = 1}};
    gate end("the end of the tasks in front");
    support::opens_at_end const in_any_case(end);
    std::thread([&] {
      g.run([&] { end.wait(); });
      log.run([&] { end.wait(); });
      for (int i = 0; i != shift; ++i) {
        g.run([] {});
      }
      logs_copies const task(log);
      for (int i = 0; i != 4 * page; ++i) {
        g.run(task);
        EXPECT_TRUE(g.try_run(task));
      }
    }).join();
    end.open();
    EXPECT_FALSE(g.wait());
    EXPECT_FALSE(log.wait());
  }
}

TEST_F(Queue, P3_the_memory_of_tasks_that_ran_is_used_again) {
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    SCOPED_TRACE(limit);
    constexpr int outstanding = 100;
    int const n = limit == errgroup::unlimited ? 1'000'000 : 100'000;
    group g{{.limit = limit}};
    std::atomic<int> ran{0};
    std::atomic<bool> over{false};
    // Somebody takes tasks, with workers or without.
    std::thread waiter([&] {
      while (!over) {
        EXPECT_FALSE(g.wait());
        std::this_thread::yield();
      }
    });
    long const before = support::allocations;
    for (int i = 0; i != n; ++i) {
      while (i - ran.load(std::memory_order_relaxed) > outstanding) {
        std::this_thread::yield();
      }
      g.run([&ran] { ran.fetch_add(1, std::memory_order_relaxed); });
    }
    EXPECT_FALSE(g.wait());
    EXPECT_LT(support::allocations - before, 5 * outstanding);
    over = true;
    waiter.join();
    EXPECT_EQ(ran, n);
  }
}

TEST_F(Queue, P3_short_lived_groups_in_a_task_of_a_limited_one_leave_nothing_behind) {
  for (int const limit : {1, 2, 3}) {
    SCOPED_TRACE(limit);
    group outer{{.limit = limit}};
    // Of as many tasks as there are slots, and of one less.
    for (int const tasks : {1, limit}) {
      std::atomic<long> most{0};
      for (int t = 0; t != tasks; ++t) {
        outer.run([&] {
          auto use_some = [](int n) {
            for (int i = 0; i != n; ++i) {
              group inner{{.limit = 1}};
              inner.run([] {});
              EXPECT_FALSE(inner.wait());
            }
          };
          use_some(100);
          long const before = support::live_allocations;
          use_some(5000);
          most = std::max<long>(most, support::live_allocations - before);
        });
      }
      EXPECT_FALSE(outer.wait());
      EXPECT_LT(most, 500);
    }
  }
}

}  // namespace
