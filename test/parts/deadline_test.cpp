// SPDX-License-Identifier: Apache-2.0

// The part deadline: a timetable with a queue, without a group. The time is a test's clock, and the
// timer's thread rings. Each TEST is a process of its own.

#include "../../src/deadline.hpp"

#include "../../src/task_queue.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/testing.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>   // sort
#include <array>       // array
#include <chrono>      // duration_cast, hours
#include <cstddef>     // size_t
#include <cstdint>     // uint64_t
#include <functional>  // function
#include <new>         // bad_alloc
#include <random>      // mt19937
#include <string>      // string, to_string
#include <thread>      // thread
#include <utility>     // exchange, pair
#include <vector>      // vector

namespace {

using errgroup::clock;
using errgroup::detail::node;
using errgroup::detail::task_queue;
using errgroup::detail::timed_task;
using errgroup::detail::timetable;
using errgroup::testing::test_clock;
using std::chrono::hours;
using support::dawdle;
using support::failing_new;
using support::gate;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using lock_type = errgroup::detail::spin_mutex::scoped_lock;
using events = std::vector<std::string>;

constexpr clock::time_point never = clock::time_point::max();

/// A timetable with a function for each call of the timer's thread. The test may look at the
/// effects after `test_clock::advance`, which returns when the timer's thread is done.
class recorder final : public timetable {
 public:
  /// `q` is null for a group without a queue.
  explicit recorder(task_queue* q) : queue_(q) {}
  recorder(recorder const&) = delete;
  recorder& operator=(recorder const&) = delete;
  ~recorder() override { end(); }

  std::function<void(timed_task const&)> on_due;  // called under the queue's lock
  std::function<void()> on_expiry;

 private:
  [[nodiscard]] task_queue* queue() const noexcept override { return queue_; }
  void append_due(task_queue& q, lock_type& lock, timed_task const& task) noexcept override {
    q.due.push(task);
    on_due(task);
    lock.release();
  }
  void expire() noexcept override { on_expiry(); }

  task_queue* queue_;
};

/// A queue, its timetable, and a note of each event with its hour. Tasks are numbered.
class Timetable : public testing::Test {
 protected:
  Timetable() {
    queue.tasks.open(&page_);
    for (recorder* const r : {&times, &without_queue}) {
      r->on_due = [this](timed_task const& t) { note("task " + std::to_string(t.task->index)); };
      r->on_expiry = [this] { note("deadline"); };
    }
  }

  [[nodiscard]] clock::time_point at(int hour) const { return begin_ + hours(hour); }

  /// Gives a task to the timetable. Returns false if the queue is closed.
  bool keep(int id, clock::time_point due) {
    return times.keep(queue, {due, 0, task(id)}, [this](timed_task& t) {
      t.order = ++submitted;
      return !queue.closed;
    });
  }
  [[nodiscard]] node* task(int id) {
    node* const n = &nodes_[static_cast<std::size_t>(id)];
    n->index = static_cast<std::size_t>(id);
    return n;
  }

  void close() {
    lock_type const lock(queue.lock);
    queue.closed = true;
  }

  void note(std::string const& what) {
    auto const hour = std::chrono::duration_cast<hours>(clock::now() - begin_);
    noted.push_back(what + " at " + std::to_string(hour.count()));
  }
  /// The events since the last call.
  [[nodiscard]] events happened() { return std::exchange(noted, {}); }

  /// The numbers of some tasks.
  [[nodiscard]] static std::vector<std::size_t> numbers(std::vector<timed_task> const& tasks) {
    std::vector<std::size_t> all;
    for (timed_task const& t : tasks) {
      all.push_back(t.task->index);
    }
    return all;
  }

  test_clock time;
  task_queue queue;
  std::uint64_t submitted = 0;
  events noted;
  recorder times{&queue};
  recorder without_queue{nullptr};

 private:
  clock::time_point begin_ = clock::now();
  node page_{};
  std::array<node, 100> nodes_{};
};

// --- tasks ---

TEST_F(Timetable, W1_a_task_is_counted_as_later_until_it_is_due_and_then_as_unfinished) {
  times.on_due = [this](timed_task const&) {
    EXPECT_EQ(queue.due.later, 0U);
    EXPECT_EQ(queue.unfinished, 1U);
  };
  EXPECT_TRUE(keep(0, at(2)));
  EXPECT_FALSE(queue.is_idle());
  time.advance(hours(1));
  EXPECT_EQ(queue.due.later, 1U);
  EXPECT_EQ(queue.unfinished, 0U);
  EXPECT_TRUE(queue.only_time_is_left());
  EXPECT_EQ(queue.waiting(), 0U);
  time.advance(hours(1));
  EXPECT_EQ(queue.due.later, 0U);
  EXPECT_EQ(queue.unfinished, 1U);
  EXPECT_FALSE(queue.is_idle());
  EXPECT_EQ(queue.waiting(), 1U);
  EXPECT_EQ(queue.pop(), task(0));
}

TEST_F(Timetable, L5_tasks_become_due_each_at_its_own_time) {
  keep(0, at(3));
  keep(1, at(1));
  keep(2, at(4));
  keep(3, at(2));
  EXPECT_EQ(queue.due.later, 4U);
  time.advance(hours(10));
  EXPECT_THAT(happened(), ElementsAre("task 1 at 1", "task 3 at 2", "task 0 at 3", "task 2 at 4"));
  EXPECT_EQ(queue.due.later, 0U);
  EXPECT_EQ(queue.unfinished, 4U);
  EXPECT_FALSE(time.advance_to_next()) << "the alarm is still set";
}

TEST_F(Timetable, L5_tasks_that_are_due_at_one_time_are_taken_in_the_order_of_their_submission) {
  keep(0, at(2));
  keep(1, at(1));
  keep(2, at(2));
  keep(3, at(1));
  keep(4, at(2));
  time.advance(hours(2));
  EXPECT_THAT(happened(), ElementsAre("task 1 at 1", "task 3 at 1", "task 0 at 2", "task 2 at 2",
                                      "task 4 at 2"));
  for (int const id : {1, 3, 0, 2, 4}) {
    EXPECT_EQ(queue.pop(), task(id));
  }
}

TEST_F(Timetable, L5_a_hundred_tasks_become_due_in_their_order) {
  std::mt19937 random(7);  // the same each time
  std::vector<std::pair<int, int>> expected;
  for (int id = 0; id != 100; ++id) {
    int const hour = 1 + static_cast<int>(random() % 20);
    keep(id, at(hour));
    expected.emplace_back(hour, id);
  }
  std::sort(expected.begin(), expected.end());
  time.advance(hours(20));
  events all;
  for (auto const& [hour, id] : expected) {
    all.push_back("task " + std::to_string(id) + " at " + std::to_string(hour));
  }
  EXPECT_EQ(happened(), all);
}

TEST_F(Timetable, a_task_whose_time_has_passed_becomes_due_at_once) {
  keep(0, at(-1));
  time.advance(hours(0));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 0"));
}

TEST_F(Timetable, a_task_that_is_never_due_sets_no_alarm) {
  EXPECT_TRUE(keep(0, never));
  EXPECT_EQ(queue.due.later, 1U);
  EXPECT_FALSE(time.advance_to_next());
  EXPECT_THAT(numbers(times.take_all()), ElementsAre(0));
}

TEST_F(Timetable, a_task_may_be_kept_before_a_task_that_is_kept_already) {
  keep(0, at(3));
  time.advance(hours(1));
  keep(1, at(2));
  EXPECT_TRUE(time.advance_to_next());
  EXPECT_EQ(clock::now(), at(2));
  EXPECT_THAT(happened(), ElementsAre("task 1 at 2"));
  EXPECT_TRUE(time.advance_to_next());
  EXPECT_EQ(clock::now(), at(3));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 3"));
}

// --- the deadline ---

TEST_F(Timetable, there_is_no_deadline_at_first) {
  EXPECT_EQ(times.get(), never);
  EXPECT_FALSE(time.advance_to_next());
}

TEST_F(Timetable, a_deadline_passes_once_also_in_a_group_without_a_queue) {
  for (recorder* const r : {&times, &without_queue}) {
    clock::time_point const due = clock::now() + hours(1);
    EXPECT_FALSE(r->set_to(due));
    EXPECT_EQ(r->get(), due);
    time.advance(hours(10));
    EXPECT_EQ(r->get(), due) << "it was forgotten when it passed";
  }
  EXPECT_THAT(happened(), ElementsAre("deadline at 1", "deadline at 11"));
}

TEST_F(Timetable, a_deadline_passes_before_and_after_tasks) {
  EXPECT_FALSE(times.set_to(at(2)));
  keep(0, at(1));
  keep(1, at(2));
  keep(2, at(3));
  EXPECT_EQ(times.get(), at(2));
  time.advance(hours(5));
  EXPECT_THAT(happened(),
              ElementsAre("task 0 at 1", "task 1 at 2", "deadline at 2", "task 2 at 3"));
}

TEST_F(Timetable, a_deadline_is_set_before_and_after_tasks_that_are_kept_already) {
  keep(0, at(2));
  EXPECT_FALSE(times.set_to(at(1)));
  time.advance(hours(1));
  EXPECT_THAT(happened(), ElementsAre("deadline at 1"));
  EXPECT_FALSE(times.set_to(at(3)));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 2", "deadline at 3"));
}

TEST_F(Timetable, a_deadline_is_set_anew_to_an_earlier_time) {
  EXPECT_FALSE(times.set_to(at(3)));
  EXPECT_FALSE(times.set_to(at(1)));
  EXPECT_EQ(times.get(), at(1));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("deadline at 1"));
}

TEST_F(Timetable, a_deadline_is_set_anew_to_a_later_time) {
  EXPECT_FALSE(times.set_to(at(1)));
  EXPECT_FALSE(times.set_to(at(3)));
  EXPECT_EQ(times.get(), at(3));
  EXPECT_TRUE(time.advance_to_next());
  EXPECT_EQ(clock::now(), at(3)) << "the alarm of the earlier deadline is still set";
  EXPECT_THAT(happened(), ElementsAre("deadline at 3"));
}

TEST_F(Timetable, a_deadline_is_set_anew_beyond_a_task) {
  EXPECT_FALSE(times.set_to(at(1)));
  keep(0, at(2));
  EXPECT_FALSE(times.set_to(at(3)));
  EXPECT_TRUE(time.advance_to_next());
  EXPECT_EQ(clock::now(), at(2));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 2", "deadline at 3"));
}

TEST_F(Timetable, a_deadline_is_taken_back) {
  EXPECT_FALSE(times.set_to(at(1)));
  EXPECT_FALSE(times.set_to(never));
  EXPECT_EQ(times.get(), never);
  EXPECT_FALSE(time.advance_to_next());
  keep(0, at(2));
  EXPECT_FALSE(times.set_to(at(1)));
  EXPECT_FALSE(times.set_to(never));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 2"));
}

TEST_F(Timetable,
       a_deadline_that_has_passed_is_the_callers_and_the_timer_does_not_expire_it_again) {
  keep(0, at(1));
  EXPECT_TRUE(times.set_to(at(-1)));
  EXPECT_EQ(times.get(), at(-1));
  EXPECT_TRUE(times.set_to(clock::now())) << "now is not too early";
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 1"));
}

TEST_F(Timetable, a_deadline_is_set_anew_after_it_has_passed) {
  EXPECT_FALSE(times.set_to(at(1)));
  time.advance(hours(1));
  EXPECT_FALSE(times.set_to(at(2)));
  time.advance(hours(1));
  EXPECT_TRUE(times.set_to(at(1)));
  EXPECT_FALSE(times.set_to(at(4)));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("deadline at 1", "deadline at 2", "deadline at 4"));
}

TEST_F(Timetable, what_the_group_does_when_its_deadline_passes_may_use_the_timetable) {
  std::vector<std::size_t> taken;
  times.on_expiry = [&] {
    note("deadline");
    close();
    taken = numbers(times.take_all());
  };
  EXPECT_FALSE(times.set_to(at(1)));
  keep(0, at(2));
  keep(1, at(3));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("deadline at 1"));
  EXPECT_THAT(taken, UnorderedElementsAre(0, 1));
}

// --- a closed queue ---

TEST_F(Timetable, C1_no_task_of_a_closed_queue_becomes_due_and_the_canceller_takes_all) {
  keep(0, at(1));
  keep(1, at(2));
  close();
  time.advance(hours(5));
  EXPECT_THAT(happened(), IsEmpty());
  EXPECT_EQ(queue.waiting(), 0U);
  EXPECT_EQ(queue.unfinished, 0U);
  EXPECT_THAT(numbers(times.take_all()), UnorderedElementsAre(0, 1));
  EXPECT_EQ(queue.due.later, 2U) << "the thread that drops the tasks takes them from the count";
  EXPECT_THAT(times.take_all(), IsEmpty());
  EXPECT_FALSE(time.advance_to_next());
}

TEST_F(Timetable, C1_a_task_is_not_kept_if_the_queue_is_closed) {
  close();
  EXPECT_FALSE(keep(0, at(1)));
  EXPECT_EQ(queue.due.later, 0U);
  time.advance(hours(2));
  EXPECT_THAT(happened(), IsEmpty());
  EXPECT_THAT(times.take_all(), IsEmpty());
}

TEST_F(Timetable, a_deadline_passes_while_a_canceller_has_still_to_take_the_tasks) {
  EXPECT_FALSE(times.set_to(at(1)));
  keep(0, at(2));
  close();
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("deadline at 1"));
  EXPECT_THAT(numbers(times.take_all()), ElementsAre(0));
}

TEST_F(Timetable, the_alarm_is_set_to_the_deadline_when_all_tasks_are_taken) {
  EXPECT_FALSE(times.set_to(at(2)));
  keep(0, at(1));
  close();
  EXPECT_THAT(numbers(times.take_all()), ElementsAre(0));
  EXPECT_TRUE(time.advance_to_next());
  EXPECT_EQ(clock::now(), at(2)) << "the alarm of the task is still set";
  EXPECT_THAT(happened(), ElementsAre("deadline at 2"));
}

TEST_F(Timetable, the_alarm_is_set_to_the_deadline_although_it_rang_for_a_task_that_was_left) {
  EXPECT_FALSE(times.set_to(at(3)));
  keep(0, at(1));
  close();
  time.advance(hours(2));
  EXPECT_THAT(numbers(times.take_all()), ElementsAre(0));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("deadline at 3"));
}

// --- reset ---

TEST_F(Timetable, E4_reset_takes_the_deadline_back) {
  EXPECT_FALSE(times.set_to(at(1)));
  times.reset();
  EXPECT_EQ(times.get(), never);
  EXPECT_FALSE(time.advance_to_next());
}

TEST_F(Timetable, E4_after_reset_the_alarm_is_set_also_to_the_time_of_before) {
  EXPECT_FALSE(times.set_to(at(1)));
  times.reset();
  EXPECT_FALSE(times.set_to(at(1)));
  times.reset();
  keep(0, at(1));
  time.advance(hours(5));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 1"));
}

TEST_F(Timetable, E4_after_reset_deadlines_and_tasks_are_as_in_a_new_group) {
  for (int hour = 0; hour != 20; hour += 10) {
    EXPECT_FALSE(times.set_to(at(hour + 2)));
    keep(0, at(hour + 1));
    time.advance_to(at(hour + 3));
    times.reset();
    EXPECT_FALSE(times.set_to(at(hour + 5)));
    keep(1, at(hour + 4));
    time.advance_to(at(hour + 6));
    EXPECT_TRUE(times.set_to(at(hour)));  // passed
    times.reset();
    EXPECT_FALSE(times.set_to(at(hour + 7)));
    time.advance_to(at(hour + 8));
    EXPECT_FALSE(times.set_to(at(hour + 90)));
    times.reset();
  }
  EXPECT_THAT(happened(),
              ElementsAre("task 0 at 1", "deadline at 2", "task 1 at 4", "deadline at 5",
                          "deadline at 7", "task 0 at 11", "deadline at 12", "task 1 at 14",
                          "deadline at 15", "deadline at 17"));
}

// --- the end ---

TEST_F(Timetable, after_the_end_no_deadline_passes_and_no_alarm_is_set) {
  EXPECT_FALSE(times.set_to(at(1)));
  keep(0, at(2));
  times.end();
  EXPECT_FALSE(time.advance_to_next());
  EXPECT_FALSE(times.set_to(at(3)));
  EXPECT_FALSE(time.advance_to_next()) << "a thread that came late has set the alarm again";
  EXPECT_THAT(numbers(times.take_all()), ElementsAre(0));
  EXPECT_FALSE(time.advance_to_next()) << "a canceller that came late has set the alarm again";
  time.advance(hours(5));
  EXPECT_THAT(happened(), IsEmpty());
}

TEST_F(Timetable, the_end_and_reset_wait_until_the_timers_thread_has_left) {
  for (bool const resets : {false, true}) {
    gate reached("the deadline to pass");
    bool has_left = false;
    times.on_expiry = [&] {
      reached.open();
      dawdle(1000);
      has_left = true;
    };
    EXPECT_FALSE(times.set_to(clock::now() + hours(1)));
    std::thread mover([&] { time.advance(hours(1)); });
    reached.wait();
    if (resets) {
      times.end();
    } else {
      times.reset();
    }
    EXPECT_TRUE(has_left);
    mover.join();
  }
}

TEST_F(Timetable, the_end_takes_back_an_alarm_that_was_set_while_it_rang) {
  gate reached("the task to be due");
  times.on_due = [&](timed_task const&) {
    reached.open();
    dawdle(1000);
  };
  keep(0, at(1));
  keep(1, at(2));  // for this task, `ring` sets the alarm again
  std::thread mover([&] { time.advance(hours(1)); });
  reached.wait();
  times.end();
  mover.join();
  EXPECT_FALSE(time.advance_to_next());
}

// --- without memory ---

TEST_F(Timetable, E6_a_task_for_which_there_is_no_memory_leaves_all_as_before) {
  int failures = 0;
  auto const is_kept = [&] {
    failing_new const fails(failures);
    return keep(0, at(1));
  };
  for (bool is_done = false; !is_done;) {
    try {
      is_done = is_kept();
    } catch (std::bad_alloc const&) {
      ++failures;
      EXPECT_EQ(submitted, 0U) << "the task was counted";
      EXPECT_EQ(queue.due.later, 0U);
      EXPECT_THAT(times.take_all(), IsEmpty());
      EXPECT_FALSE(time.advance_to_next());
    }
  }
  EXPECT_GT(failures, 0) << "no memory was needed";
  EXPECT_EQ(queue.due.later, 1U);
  time.advance(hours(1));
  EXPECT_THAT(happened(), ElementsAre("task 0 at 1"));
}

TEST_F(Timetable, E6_tasks_that_are_kept_stay_if_there_is_no_memory_for_one_more) {
  keep(0, at(1));
  int kept = 1;
  auto const keeps_without_memory = [&] {
    try {
      failing_new const fails(0);
      return keep(kept, at(1));
    } catch (std::bad_alloc const&) {
      return false;
    }
  };
  while (keeps_without_memory()) {
    ++kept;
    ASSERT_LT(kept, 100) << "no memory was needed";
  }
  EXPECT_EQ(queue.due.later, static_cast<std::size_t>(kept));
  EXPECT_TRUE(keep(kept, at(1)));
  time.advance(hours(1));
  EXPECT_EQ(happened().size(), static_cast<std::size_t>(kept) + 1);
}

TEST_F(Timetable, E6_a_deadline_for_which_the_timer_gets_no_thread_is_not_set) {
  int failures = 0;
  auto const has_passed = [&] {
    failing_new const fails(failures);
    return times.set_to(at(1));
  };
  for (bool is_done = false; !is_done;) {
    try {
      EXPECT_FALSE(has_passed());
      is_done = true;
    } catch (std::bad_alloc const&) {
      ++failures;
      EXPECT_EQ(times.get(), never);
      EXPECT_FALSE(time.advance_to_next());
    }
  }
  EXPECT_EQ(times.get(), at(1));
  time.advance(hours(1));
  EXPECT_THAT(happened(), ElementsAre("deadline at 1"));
}

TEST_F(Timetable, E6_a_deadline_that_has_passed_stays_if_there_is_no_thread_for_a_later_one) {
  EXPECT_TRUE(times.set_to(at(-1)));
  try {
    failing_new const fails(0, true);
    (void)times.set_to(at(1));
  } catch (std::bad_alloc const&) {
    EXPECT_EQ(times.get(), at(-1));
    keep(0, at(2));
    time.advance(hours(5));
    EXPECT_THAT(happened(), ElementsAre("task 0 at 2")) << "the timer has expired it again";
  }
}

}  // namespace
