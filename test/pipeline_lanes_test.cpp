// SPDX-License-Identifier: Apache-2.0

// pipeline: how lanes come and go, and that none waits for a stage (rules R4 and R5).

#include "support/assembly.hpp"
#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/for_each.hpp>
#include <errgroup/group.hpp>
#include <errgroup/pipeline.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/task_arena.h>      // task_arena

#include <algorithm>     // is_sorted
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <system_error>  // error_code
#include <thread>        // thread
#include <vector>        // vector

namespace {

namespace stage = errgroup::stage;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using errgroup::pipeline;
using support::assembly;
using support::expect_end;
using support::failure;
using support::numbers;
using support::up_to;
using support::watchdog;
using support::with_all_options;
using support::with_workers;
using at = assembly::at;

class PipelineLanes : public support::no_leaks {};

// --- R4: no lane waits for a gate ------------------------------------------------------------

TEST_F(PipelineLanes, R4_a_lane_leaves_its_item_at_a_taken_stage_and_reads_on) {
  // Item 0 is in a stage until all items there is room for have come through the stage before it.
  watchdog const guard("a pipeline with a slow stage");
  constexpr int most = 8;
  for (at const slow : {at::queue, at::order, at::write}) {
    SCOPED_TRACE(assembly::name(slow));
    with_workers(1, [slow] {
      at const before = slow == at::queue ? at::work : slow == at::order ? at::queue : at::split;
      support::gate all("all items to come before the slow stage");
      std::atomic<int> come{0};
      support::gate first("item 0 to be in the slow stage");
      std::vector<int> seen;
      assembly line(3 * most, [&](at s, int number, auto const&) {
        if (s == at::work && number == 1) {
          first.wait();
        }
        if (s == before && ++come == most) {
          all.open();
        }
        if (s == slow) {
          seen.push_back(number);
          if (number == 0) {
            first.open();
            all.wait();
            support::dawdle();
          }
        }
        return std::error_code();
      });
      error const e = line.run({.limit = 2, .queue = most - 2}, true);
      EXPECT_FALSE(e) << e;
      expect_end(line, e, 0);
      EXPECT_EQ(line.items_written(), 3 * most);
      EXPECT_EQ(line.stats().most_items, most + 0U);
      // One lane has parked the items behind item 0, in the order of their numbers; unless others
      // came to the stage before item 0.
      if (seen.front() == 0) {
        EXPECT_TRUE(std::is_sorted(seen.begin(), seen.begin() + most - 1));
      }
    });
  }
}

TEST_F(PipelineLanes, R4_an_item_that_is_late_is_waited_for_by_no_thread) {
  // Item 0 is in the parallel stage until the items behind it wait for their turn.
  watchdog const guard("a pipeline with a slow item");
  constexpr int most = 8;
  with_workers(1, [] {
    support::gate all("the other items to come to their turn");
    std::atomic<int> come{0};
    assembly line(3 * most, [&](at s, int number, auto const&) {
      if (s == at::work && number == 0) {
        all.wait();
      }
      if (s == at::queue && ++come == most - 1) {
        all.open();
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2, .queue = most - 2});
    EXPECT_FALSE(e) << e;
    expect_end(line, e, 0);
    EXPECT_EQ(line.ordered(), up_to(3 * most));
  });
}

/// Uses a group, an algorithm and a pipeline, and waits for each.
std::error_code use_everything() {
  std::atomic<int> n{0};
  group g;
  for (int i = 0; i != 4; ++i) {
    g.run([&] { ++n; });
  }
  EXPECT_FALSE(g.wait());
  EXPECT_FALSE(errgroup::for_each(4, [&](int) { ++n; }));
  tbb::parallel_for(0, 4, [&](int) { ++n; });
  error const e =
      pipeline({.limit = 2}, stage::source(numbers(4)), stage::in_order([&](int) { ++n; }));
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(n, 16);
  return {};
}

TEST_F(PipelineLanes, R4_the_source_and_the_stages_use_groups_algorithms_and_pipelines) {
  watchdog const guard("a pipeline whose stages use groups");
  with_all_options([](options const& opts) {
    assembly line(20, [](auto, int, auto const&) { return use_everything(); });
    error const e = line.run(opts);
    EXPECT_FALSE(e) << e;
    expect_end(line, e, 0);
    EXPECT_EQ(line.written(), up_to(20));
  });
  with_workers(3, [] {
    assembly line(100, [](auto, int, auto const&) { return use_everything(); });
    error const e = line.run({});
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(line.written(), up_to(100));
  });
}

TEST_F(PipelineLanes, R4_a_stage_that_waits_does_not_call_the_source_underneath) {
  // The source might wait for the item that the stage has.
  watchdog const guard("a pipeline on one thread whose stages wait");
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  tbb::task_arena four(4);
  for (at const where : {at::work, at::queue, at::order, at::split, at::write}) {
    SCOPED_TRACE(assembly::name(where));
    four.execute([where] {
      static thread_local int inside;  // a limited group has a thread of its own without workers
      inside = 0;
      assembly line(50, [&](at s, int, auto const&) {
        if (s == at::read) {
          EXPECT_EQ(inside, 0);
        }
        if (s == where) {
          ++inside;
          (void)use_everything();
          --inside;
        }
        return std::error_code();
      });
      error const e = line.run({.limit = 4});
      EXPECT_FALSE(e) << e;
      expect_end(line, e, 0);
    });
  }
}

TEST_F(PipelineLanes,
       R4_a_lane_underneath_a_stage_that_waits_ends_although_there_are_items_to_read) {
  // The only free thread waits in a stage, for a task that runs in the other thread. The lane that
  // was sent to the source comes to the waiting thread, where it must not read.
  watchdog const guard("a stage that waits on the only free thread");
  with_workers(1, [] {
    support::gate taken("a worker to take the task");
    support::gate inside("item 0 to be in the stage");
    support::gate release("the task to be released");
    group others;
    others.run([&] {
      taken.open();
      release.wait();
    });
    taken.wait();
    std::thread outside([&] {
      inside.wait();
      support::dawdle(200);
      release.open();
    });
    std::thread::id const here = std::this_thread::get_id();
    bool is_waiting = false;  // this thread, in the stage
    assembly line(20, [&](at s, int number, auto const&) {
      if (s == at::read && std::this_thread::get_id() == here) {
        EXPECT_FALSE(is_waiting);
      }
      if (s == at::work && number == 0) {
        is_waiting = true;
        inside.open();
        EXPECT_FALSE(others.wait());
        is_waiting = false;
      }
      return std::error_code();
    });
    error const e = line.run({});
    EXPECT_FALSE(e) << e;
    expect_end(line, e, 0);
    outside.join();
  });
}

TEST_F(PipelineLanes, R4_a_pipeline_runs_in_a_task_of_a_group_with_one_slot) {
  watchdog const guard("pipelines in tasks of a limited group");
  for (int const threads : {0, 2}) {
    with_workers(threads, [] {
      group g{{.limit = 1}};
      std::atomic<int> written{0};
      for (int i = 0; i != 8; ++i) {
        g.run([&] {
          assembly line(50);
          error e = line.run({.limit = 2});
          written += line.items_written();
          return e;
        });
      }
      error const e = g.wait();
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(written, 400);
    });
  }
}

error nested(int depth, std::atomic<int>& leaves) {
  return pipeline({.limit = 2, .name = "level"}, stage::source(numbers(3)),
                  stage::parallel([&, depth](int n) -> errgroup::result<int> {
                    if (depth > 0) {
                      if (error e = nested(depth - 1, leaves)) {
                        return e;
                      }
                    }
                    return n;
                  }),
                  stage::in_order("leaf", [&, depth](int) {
                    return depth == 0 && ++leaves == 50 ? failure() : std::error_code();
                  }));
}

TEST_F(PipelineLanes, R4_a_pipeline_is_nested_in_itself) {
  watchdog const guard("nested pipelines");
  for (int const threads : {0, 1, 3}) {
    with_workers(threads, [] {
      std::atomic<int> leaves{1000};
      error const e = nested(3, leaves);
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(leaves, 1081);
      leaves = 0;
      error const failed = nested(3, leaves);
      EXPECT_EQ(failed.code(), failure());
      EXPECT_EQ(failed.origin().path, "level/level/level/level/leaf");
    });
  }
}

// --- R5: lanes come and go -------------------------------------------------------------------

TEST_F(PipelineLanes, R5_while_the_source_blocks_the_other_threads_are_free) {
  watchdog const guard("a pipeline whose source blocks");
  with_workers(1, [] {
    // Two threads. One is in the source. A task of another group needs the other thread.
    group others;
    assembly line(20, [&](at s, int, auto const&) {
      if (s == at::read) {
        support::gate done("a task of another group to run");
        others.run([&] { done.open(); });
        done.wait();
      }
      return std::error_code();
    });
    error const e = line.run({});
    EXPECT_FALSE(e) << e;
    EXPECT_FALSE(others.wait());
    expect_end(line, e, 0);
  });
}

TEST_F(PipelineLanes, R5_a_lane_that_has_read_an_item_sends_a_lane_to_the_source) {
  // Each item waits in a stage until the source is called for the item behind it.
  watchdog const guard("items that wait for the source");
  with_workers(1, [] {
    constexpr int n = 50;
    std::vector<support::gate> asked(n + 1);
    assembly line(n, [&](at s, int number, auto const&) {
      if (s == at::read) {
        asked[static_cast<std::size_t>(number)].open();
      }
      if (s == at::order) {
        asked[static_cast<std::size_t>(number) + 1].wait();
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2});
    EXPECT_FALSE(e) << e;
    expect_end(line, e, 0);
  });
}

TEST_F(PipelineLanes, R5_with_a_limit_a_stage_that_waits_takes_no_lane_from_the_source) {
  // Each item waits in a stage for a group, and then until the source is called for the item behind
  // it. The wait for the group must not use up the lane that was sent to the source.
  watchdog const guard("items that wait for a group, and then for the source");
  with_workers(1, [] {
    constexpr int n = 200;
    std::vector<support::gate> asked(n + 1);
    assembly line(n, [&](at s, int number, auto const&) {
      if (s == at::read) {
        asked[static_cast<std::size_t>(number)].open();
      }
      if (s == at::work) {
        (void)use_everything();
        asked[static_cast<std::size_t>(number) + 1].wait();
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2});
    EXPECT_FALSE(e) << e;
    expect_end(line, e, 0);
  });
}

TEST_F(PipelineLanes, R5_an_item_comes_to_the_end_while_the_source_waits_for_it) {
  // Each call of the source waits until the item before has come to the end.
  watchdog const guard("a source that waits for its items");
  for (int const limit : {1, 2, 4}) {
    with_workers(3, [limit] {
      constexpr int n = 50;
      std::vector<support::gate> done(n);
      assembly line(n, [&](at s, int number, auto const&) {
        if (s == at::read && number > 0) {
          done[static_cast<std::size_t>(number) - 1].wait();
        }
        if (s == at::write) {
          done[static_cast<std::size_t>(number)].open();
        }
        return std::error_code();
      });
      error const e = line.run({.limit = limit, .queue = 3});
      EXPECT_FALSE(e) << e;
      expect_end(line, e, 0);
    });
  }
}

TEST_F(PipelineLanes, R5_a_lane_that_leaves_parked_items_behind_sends_another_lane) {
  // Item 0 is in a stage for one item at a time while item 1 is parked there, and the source is
  // called for item 2. Then item 0 is in the next stage until item 1 has gone through the first.
  watchdog const guard("an item that waits for the parked one behind it");
  for (at const first : {at::queue, at::order}) {
    SCOPED_TRACE(assembly::name(first));
    with_workers(2, [first] {
      support::gate parked("item 1 to be parked");
      support::gate through("item 1 to go through");
      assembly line(5, [&](at s, int number, auto const&) {
        if (s == at::read && number == 2) {
          parked.open();  // the lane of item 1 reads on, or the third lane reads
          through.wait();
        }
        if (s == first && number == 0) {
          parked.wait();
          support::dawdle();
        }
        if (s == first && number == 1) {
          through.open();
        }
        if (s == (first == at::queue ? at::order : at::split) && number == 0) {
          through.wait();
        }
        return std::error_code();
      });
      error const e = line.run({.limit = 3});
      EXPECT_FALSE(e) << e;
      expect_end(line, e, 0);
    });
  }
}

TEST_F(PipelineLanes, R5_a_lane_that_frees_a_slot_and_goes_on_sends_a_lane_to_the_source) {
  // All slots are taken by items parked before the last stage. Item 1 waits there until the source
  // is called again, while the only lane goes on from item 0 to item 1.
  watchdog const guard("a parked item that waits for the source");
  with_workers(1, [] {
    constexpr int most = 4;
    support::gate parked("all items to be parked");
    support::gate again("the source to be called again");
    std::atomic<int> split{0};
    assembly line(20, [&](at s, int number, auto const&) {
      if (s == at::read && number == most) {
        again.open();
      }
      if (s == at::split && ++split == most) {
        parked.open();
      }
      if (s == at::write && number == 0) {
        parked.wait();
        support::dawdle();
      }
      if (s == at::write && number == 1) {
        again.wait();
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2, .queue = most - 2});
    EXPECT_FALSE(e) << e;
    expect_end(line, e, 0);
  });
}

TEST_F(PipelineLanes, R5_at_most_limit_lanes_are_out) {
  watchdog const guard("a pipeline with few lanes");
  with_workers(3, [] {
    for (int const limit : {1, 2, 3}) {
      support::highest inside;
      assembly line(100, [&](auto, int number, auto const&) {
        inside.up();
        support::dawdle(number % 8 == 0 ? 1 : 0);
        inside.down();
        return std::error_code();
      });
      EXPECT_FALSE(line.run({.limit = limit}, true));
      EXPECT_LE(inside.most(), limit);
      EXPECT_LE(line.stats().lanes, static_cast<std::size_t>(limit));
      EXPECT_EQ(line.stats().most_lanes, static_cast<std::size_t>(limit));
    }
  });
}

TEST_F(PipelineLanes, R5_as_many_lanes_as_the_arena_has_threads_are_in_a_parallel_stage) {
  watchdog const guard("lanes that meet");
  with_workers(3, [] {
    support::rendezvous met(4, "four lanes to be in the stage");
    assembly line(8, [&](at s, int number, auto const&) {
      if (s == at::work && number < 4) {
        met.arrive_and_wait();
      }
      return std::error_code();
    });
    error const e = line.run({});
    EXPECT_FALSE(e) << e;
  });
}

TEST_F(PipelineLanes, R5_at_most_limit_and_queue_items_exist) {
  watchdog const guard("a pipeline with few slots");
  with_workers(3, [] {
    for (int const limit : {1, 2, 4}) {
      for (int const queue : {0, 1, 5}) {
        assembly line(100, [](at s, int number, auto const&) {
          support::dawdle(s == at::work && number % 4 == 0 ? 1 : 0);
          return std::error_code();
        });
        error const e = line.run({.limit = limit, .queue = static_cast<std::size_t>(queue)});
        EXPECT_FALSE(e) << e;
        EXPECT_LE(line.most_items(), limit + queue);
        expect_end(line, e, 0);
      }
      assembly line(100);
      EXPECT_FALSE(line.run({.limit = limit}));
      EXPECT_LE(line.most_items(), 4 * limit) << "the queue is three times the limit";
    }
  });
}

TEST_F(PipelineLanes, R5_the_lanes_are_as_many_as_the_arena_of_the_options_has_threads) {
  watchdog const guard("a pipeline in an arena");
  with_workers(4, [] {
    tbb::task_arena arena(2);
    support::rendezvous met(2, "a worker of the arena to come");
    assembly line(100, [&](at s, int number, auto const&) {
      if (s == at::work && number < 2) {
        met.arrive_and_wait();
      }
      return std::error_code();
    });
    EXPECT_FALSE(line.run({.arena = &arena}, true));
    EXPECT_EQ(line.stats().most_lanes, 2U);
  });
}

}  // namespace
