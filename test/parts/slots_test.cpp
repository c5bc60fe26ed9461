// SPDX-License-Identifier: Apache-2.0

// The part slots: the limits and the arenas of a group, without a group.

#include "../../src/slots.hpp"

#include "../../src/task_list.hpp"
#include "../../src/task_queue.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include <errgroup/detail/node.hpp>
#include <errgroup/error.hpp>
#include <errgroup/options.hpp>

#include <gtest/gtest.h>
#include <tbb/info.h>          // default_concurrency
#include <tbb/parallel_for.h>  // parallel_for
#include <tbb/task_arena.h>    // max_concurrency, task_arena

#include <algorithm>  // max, min
#include <array>      // array
#include <climits>    // INT_MAX
#include <cstddef>    // size_t
#include <mutex>      // mutex, scoped_lock
#include <set>        // set
#include <thread>     // get_id, thread
#include <vector>     // vector

namespace {

using errgroup::npos;
using errgroup::options;
using errgroup::unlimited;
using errgroup::detail::batch;
using errgroup::detail::node;
using errgroup::detail::page;
using errgroup::detail::queue_owner;
using errgroup::detail::reserved_arena;
using errgroup::detail::slots;
using errgroup::detail::task_queue;
using support::dawdle;
using support::rendezvous;

/// An arena of `n` reserved places. Such an arena asks for no workers, so oneTBB prints no warning
/// on a small machine.
class arena_of : public tbb::task_arena {
 public:
  explicit arena_of(int n) : tbb::task_arena(n, static_cast<unsigned>(n)) {}
};

constexpr int far_above_the_machine = 1 << 30;

/// The slots of a group with some options, and its queue.
class opened {
 public:
  explicit opened(options const& opts, bool is_nested = false) : places(opts) {
    queue.tasks.open(&nodes_[0]);
    queue.begin_life(owner_);
    places.open(queue, is_nested);
  }

  /// Puts as many tasks into the queue as make a page, and one more.
  void fill_a_page() {
    for (std::size_t i = 0; i <= page::capacity; ++i) {
      if (queue.tasks.is_page_full()) {
        queue.tasks.add_page(&nodes_[1]);
      }
      queue.tasks.push(&nodes_[2 + i]);
      ++queue.unfinished;
    }
  }

  [[nodiscard]] int limit() const { return queue.limits.slots; }
  [[nodiscard]] std::size_t room() const { return queue.limits.room; }

  task_queue queue;
  slots places;

 private:
  queue_owner owner_;
  std::array<node, 3 + page::capacity> nodes_{};
};

[[nodiscard]] int threads_here() { return std::max(1, tbb::this_task_arena::max_concurrency()); }

// --- limits ---

TEST(Slots, without_a_limit_and_a_queue_nothing_is_limited) {
  opened const s({});
  EXPECT_EQ(s.limit(), task_queue::many);
  EXPECT_EQ(s.room(), task_queue::unbounded);
}

TEST(Slots, L1_the_limit_is_the_number_of_slots) {
  for (int const limit : {1, 2, 3, 64}) {
    opened const s({.limit = limit});
    EXPECT_EQ(s.limit(), limit);
    EXPECT_EQ(s.room(), task_queue::unbounded);
  }
}

TEST(Slots, L1_there_are_never_more_slots_than_the_limit_and_enough_for_all_threads) {
  for (int const limit : {65, 1000, far_above_the_machine, INT_MAX}) {
    opened const s({.limit = limit});
    EXPECT_LE(s.limit(), limit);
    EXPECT_GE(s.limit(), std::min(limit, 64));
    EXPECT_GE(s.limit(), std::min(limit, threads_here()));
    EXPECT_NE(s.limit(), task_queue::many) << "the limit was taken for none";
  }
}

TEST(Slots, a_queue_alone_has_a_slot_for_each_thread_of_the_arena) {
  for (std::size_t const queue : {0U, 1U, 100U}) {
    opened const s({.queue = queue});
    EXPECT_EQ(s.limit(), threads_here());
    EXPECT_EQ(s.room(), queue + static_cast<std::size_t>(threads_here()));
  }
  arena_of(3).execute([] {
    opened const s({.queue = 5});
    EXPECT_EQ(s.limit(), 3);
    EXPECT_EQ(s.room(), 8U);
  });
}

TEST(Slots, a_queue_with_a_limit_has_room_for_both) {
  for (int const limit : {1, 3}) {
    for (std::size_t const queue : {0U, 1U, 100U}) {
      opened const s({.limit = limit, .queue = queue});
      EXPECT_EQ(s.limit(), limit);
      EXPECT_EQ(s.room(), queue + static_cast<std::size_t>(limit));
    }
  }
}

TEST(Slots, the_room_counts_the_limit_of_the_options_although_there_are_fewer_slots) {
  opened const s({.limit = far_above_the_machine, .queue = 5});
  EXPECT_EQ(s.room(), 5U + far_above_the_machine);
}

TEST(Slots, the_sum_of_limit_and_queue_does_not_overflow) {
  EXPECT_EQ(opened({.limit = 3, .queue = npos - 4}).room(), npos - 1);
  for (std::size_t const queue : {npos - 3, npos - 2, npos - 1}) {
    EXPECT_EQ(opened({.limit = 3, .queue = queue}).room(), task_queue::unbounded);
  }
  EXPECT_EQ(opened({.limit = INT_MAX, .queue = npos - 1}).room(), task_queue::unbounded);
  EXPECT_EQ(opened({.queue = npos - 1}).room(), task_queue::unbounded);
}

TEST(Slots, an_arena_that_is_given_decides_on_its_threads) {
  arena_of three(3);
  opened const neither({.arena = &three});
  EXPECT_EQ(neither.limit(), task_queue::many);
  EXPECT_EQ(neither.room(), task_queue::unbounded);

  opened const queue({.queue = 5, .arena = &three});
  EXPECT_EQ(queue.limit(), 3);
  EXPECT_EQ(queue.room(), 8U);

  opened const limit({.limit = 7, .arena = &three});
  EXPECT_EQ(limit.limit(), 7);
  EXPECT_EQ(limit.room(), task_queue::unbounded);

  opened const both({.limit = 7, .queue = 5, .arena = &three});
  EXPECT_EQ(both.limit(), 7);
  EXPECT_EQ(both.room(), 12U);

  opened const huge({.limit = far_above_the_machine, .arena = &three});
  EXPECT_EQ(huge.limit(), far_above_the_machine);
  EXPECT_EQ(opened({.limit = INT_MAX, .arena = &three}).limit(), INT_MAX - 1)
      << "the greatest number stands for no limit";
}

// --- try_run ---

TEST(Slots, try_run_needs_a_free_slot_if_the_queue_is_unbounded) {
  arena_of three(3);
  for (options const& opts : {options{.limit = 2}, options{.limit = 2, .arena = &three}}) {
    opened const s(opts);
    EXPECT_EQ(s.places.most_unfinished(s.queue), 2U);
  }
  opened const huge({.limit = far_above_the_machine});
  EXPECT_EQ(huge.places.most_unfinished(huge.queue), std::size_t{far_above_the_machine});
}

TEST(Slots, try_run_needs_room_if_the_queue_is_bounded) {
  opened const both({.limit = 2, .queue = 5});
  EXPECT_EQ(both.places.most_unfinished(both.queue), 7U);
  opened const none({.limit = 2, .queue = 0});
  EXPECT_EQ(none.places.most_unfinished(none.queue), 2U);
  opened const queue({.queue = 5});
  EXPECT_EQ(queue.places.most_unfinished(queue.queue), queue.room());
}

TEST(Slots, try_run_is_never_refused_without_a_limit_and_a_queue) {
  opened s({});
  EXPECT_EQ(s.places.most_unfinished(s.queue), task_queue::unbounded);
  s.fill_a_page();
  batch taken;
  ASSERT_TRUE(s.queue.pop(taken));
  while (taken.next() != nullptr) {
    EXPECT_EQ(s.places.most_unfinished(s.queue), task_queue::unbounded);
  }
}

TEST(Slots, finished_tasks_of_a_batch_take_no_slot_from_try_run) {
  opened s({.limit = 2});
  s.fill_a_page();
  batch taken;
  ASSERT_TRUE(s.queue.pop(taken));
  EXPECT_EQ(s.places.most_unfinished(s.queue), 2U);
  ASSERT_NE(taken.next(), nullptr);
  EXPECT_EQ(s.places.most_unfinished(s.queue), 2U) << "the task runs";
  ASSERT_NE(taken.next(), nullptr);
  EXPECT_EQ(s.places.most_unfinished(s.queue), 3U) << "the first task is finished";
  ASSERT_NE(taken.next(), nullptr);
  EXPECT_EQ(s.places.most_unfinished(s.queue), 4U);
}

// --- arenas ---

TEST(Slots, L2_only_a_limit_without_an_arena_makes_an_arena_for_the_tasks) {
  arena_of three(3);
  for (std::size_t const queue : {std::size_t{5}, npos}) {
    opened s({.limit = 2, .queue = queue});
    ASSERT_NE(s.places.pool(), nullptr);
    EXPECT_EQ(*s.places.pool(), s.queue.life());
    EXPECT_EQ(opened({.queue = queue}).places.pool(), nullptr);
    EXPECT_EQ(opened({.queue = queue, .arena = &three}).places.pool(), nullptr);
    EXPECT_EQ(opened({.limit = 2, .queue = queue, .arena = &three}).places.pool(), nullptr);
  }
}

TEST(Slots, L2_the_arena_of_the_tasks_has_a_place_for_each_slot) {
  for (int const limit : {1, 2, 3, 64, far_above_the_machine}) {
    SCOPED_TRACE(limit);
    opened s({.limit = limit});
    int calls = 0;
    int places = 0;
    auto const here = std::this_thread::get_id();
    auto f = [&] {
      ++calls;
      places = tbb::this_task_arena::max_concurrency();
      EXPECT_EQ(std::this_thread::get_id(), here);
    };
    s.places.enter(f);
    EXPECT_EQ(calls, 1);
    EXPECT_GE(places, s.limit());
    EXPECT_LE(places, s.limit() + 1) << "more than one place beyond the slots";
  }
}

TEST(Slots, W2_one_thread_more_than_there_are_slots_gets_in) {
  for (int const limit : {1, 2, 3}) {
    opened s({.limit = limit});
    rendezvous all_inside(limit + 1, "a thread for each slot and one more to get in");
    std::vector<std::thread> threads;
    for (int i = 0; i != limit + 1; ++i) {
      threads.emplace_back([&] {
        auto f = [&] { all_inside.arrive_and_wait(); };
        s.places.enter(f);
      });
    }
    for (std::thread& t : threads) {
      t.join();
    }
  }
}

TEST(Slots, L2_no_worker_comes_to_the_arena_of_the_tasks) {
  opened s({.limit = 3});
  std::mutex lock;
  std::set<std::thread::id> seen;
  auto f = [&] {
    tbb::parallel_for(0, 100, [&](int) {
      dawdle(2);
      std::scoped_lock const held(lock);
      seen.insert(std::this_thread::get_id());
    });
  };
  s.places.enter(f);
  EXPECT_EQ(seen, std::set{std::this_thread::get_id()});
}

TEST(Slots, an_arena_is_taken_when_a_thread_enters_and_can_be_left_and_taken_again) {
  opened s({.limit = 2});
  EXPECT_EQ(s.places.leave(), nullptr) << "no thread has entered yet";
  for (int i = 0; i != 3; ++i) {
    int places = 0;
    auto f = [&] { places = tbb::this_task_arena::max_concurrency(); };
    s.places.enter(f);
    s.places.enter(f);
    EXPECT_EQ(places, 3);
    reserved_arena* const left = s.places.leave();
    ASSERT_NE(left, nullptr);
    EXPECT_EQ(s.places.leave(), nullptr);
    left->give_back();
  }
  EXPECT_NE(s.places.pool(), nullptr);
}

TEST(Slots, a_group_without_an_arena_of_its_own_has_none_to_leave) {
  opened s({.queue = 5});
  auto f = [] {};
  s.places.enter(f);
  EXPECT_EQ(s.places.leave(), nullptr);
}

TEST(Slots, groups_that_are_not_busy_at_once_share_an_arena_of_their_size) {
  opened const keeps_spare_arenas({.limit = 1});
  std::set<reserved_arena*> seen;
  for (int i = 0; i != 10; ++i) {
    opened s({.limit = 2 + i % 2});
    auto f = [] {};
    s.places.enter(f);
    reserved_arena* const left = s.places.leave();
    seen.insert(left);
    left->give_back();
  }
  EXPECT_EQ(seen.size(), 2U);
}

TEST(Slots, groups_that_are_busy_at_once_have_an_arena_each) {
  opened first({.limit = 2});
  opened second({.limit = 2});
  auto f = [] {};
  first.places.enter(f);
  second.places.enter(f);
  reserved_arena* const of_first = first.places.leave();
  reserved_arena* const of_second = second.places.leave();
  EXPECT_NE(of_first, of_second);
  of_first->give_back();
  of_second->give_back();
}

TEST(Slots, tasks_run_where_the_thread_is_if_they_have_no_arena_of_their_own) {
  arena_of three(3);
  for (options const& opts : {options{}, options{.queue = 5}, options{.arena = &three},
                              options{.limit = 2, .arena = &three}}) {
    opened s(opts);
    arena_of(5).execute([&] {
      int calls = 0;
      auto f = [&] {
        ++calls;
        EXPECT_EQ(tbb::this_task_arena::max_concurrency(), 5);
      };
      s.places.enter(f);
      EXPECT_EQ(calls, 1);
    });
  }
}

TEST(Slots, L7_runners_come_from_the_arena_of_the_first_submission) {
  arena_of(5).execute([] {
    for (options const& opts : {options{.limit = 2}, options{.queue = 5}}) {
      opened s(opts);
      EXPECT_EQ(s.places.given(), nullptr);
      ASSERT_NE(s.places.home(), nullptr);
      EXPECT_TRUE(s.places.home()->is_active());
      EXPECT_EQ(s.places.home()->max_concurrency(), 5);
    }
  });
}

TEST(Slots, L2_runners_of_a_group_inside_a_limited_group_come_from_an_arena_of_their_own) {
  int const usual = tbb::info::default_concurrency();
  arena_of(usual + 1).execute([&] {
    opened s({.limit = 2}, true);
    ASSERT_NE(s.places.home(), nullptr);
    EXPECT_TRUE(s.places.home()->is_active());
    EXPECT_EQ(s.places.home()->max_concurrency(), usual);
  });
}

TEST(Slots, L7_runners_come_from_the_arena_that_is_given) {
  arena_of three(3);
  for (bool const is_nested : {false, true}) {
    for (options const& opts : {options{.arena = &three}, options{.limit = 2, .arena = &three},
                                options{.queue = 5, .arena = &three}}) {
      opened s(opts, is_nested);
      EXPECT_EQ(s.places.given(), &three);
      EXPECT_EQ(s.places.home(), nullptr);
    }
  }
}

}  // namespace
