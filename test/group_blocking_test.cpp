// SPDX-License-Identifier: Apache-2.0
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/sanitizers.hpp"
#include "support/threads.hpp"
#include "support/ways.hpp"
#include <errgroup/errgroup.hpp>

#include <dlfcn.h>  // dlsym
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>              // mallinfo2
#include <pthread.h>             // pthread_create
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/task_arena.h>      // task_arena

#include <algorithm>           // is_sorted
#include <atomic>              // atomic
#include <cerrno>              // EAGAIN
#include <chrono>              // milliseconds
#include <climits>             // INT_MAX
#include <condition_variable>  // condition_variable_any
#include <cstddef>             // size_t
#include <deque>               // deque
#include <latch>               // latch
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <optional>            // nullopt, optional
#include <stdexcept>           // invalid_argument
#include <stop_token>          // stop_token
#include <string>              // string
#include <system_error>        // system_error
#include <thread>              // thread
#include <utility>             // move

namespace {

constinit std::atomic<int> threads_left{INT_MAX};  // that the system starts

}  // namespace

// The system's function, until `threads_left` threads were started.
extern "C" int pthread_create(pthread_t* thread, pthread_attr_t const* attributes,
                              void* (*start)(void*), void* argument) noexcept {
  using function = int (*)(pthread_t*, pthread_attr_t const*, void* (*)(void*), void*);
  static auto const next = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "pthread_create"));
  return threads_left-- > 0 ? next(thread, attributes, start, argument) : EAGAIN;
}

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using support::all_threads;
using support::gate;
using support::opens_at_end;
using support::rendezvous;
using support::task_census;

/// The number of the threads of the process. ThreadSanitizer starts a thread of its own beside the
/// first thread of the program, which is here.
std::size_t number_of_threads() {
  support::thread_number joined = 0;
  std::thread([&] { joined = support::this_thread_number(); }).join();
  support::await([&] { return !all_threads().contains(joined); },
                 "the system to show a joined thread no longer");
  return all_threads().size();
}

/// `count` tasks of `g` meet.
void submit_meeting(group& g, rendezvous& place, int count) {
  for (int i = 0; i != count; ++i) {
    g.run([&place] { place.arrive_and_wait(); });
  }
}

/// As many tasks as the limit meet, in a group that is made here.
error meet(int count) {
  rendezvous place(count);
  group g{{.limit = count, .blocking = true}};
  submit_meeting(g, place, count);
  return g.wait();
}

std::string told_for(options const& opts) {
  try {
    group const g(opts);
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "nothing";
}

// --- options ---

TEST(GroupBlocking, Options_that_do_not_fit_are_refused_in_words) {
  using testing::HasSubstr;
  EXPECT_THAT(told_for({.blocking = true}), HasSubstr("blocking is set without a limit"));
  EXPECT_THAT(told_for({.queue = 3, .blocking = true}), HasSubstr("give it a limit"));
  EXPECT_THAT(told_for({.limit = 0, .blocking = true}), HasSubstr("limit is 0"));
  EXPECT_THAT(told_for({.limit = 10001, .blocking = true}), HasSubstr("limit of 10001"));
  EXPECT_THAT(told_for({.limit = INT_MAX, .blocking = true}), HasSubstr("10000 or less"));
  tbb::task_arena arena(1);
  EXPECT_THAT(told_for({.limit = 2, .arena = &arena, .blocking = true}),
              HasSubstr("leave one of the two out"));
  errgroup::limiter places(2);
  EXPECT_THAT(told_for({.limit = 2, .blocking = true, .limiter = &places}),
              HasSubstr("both blocking and a limiter"));
}

TEST(GroupBlocking, E6_without_threads_the_constructor_throws_and_leaves_no_thread) {
  std::size_t const before = number_of_threads();
  threads_left = 5;
  EXPECT_THROW((group{{.limit = 8, .blocking = true}}), std::system_error);
  threads_left = INT_MAX;
  support::await([&] { return all_threads().size() == before; }, "the five threads to end");
}

// --- the promise ---

TEST(GroupBlocking, L8_eight_tasks_meet_at_a_latch) {
  std::latch here(8);
  group g{{.limit = 8, .blocking = true}};
  for (int i = 0; i != 8; ++i) {
    g.run([&here] { here.arrive_and_wait(); });
  }
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
}

TEST(GroupBlocking, L8_as_many_tasks_as_the_limit_meet_whatever_the_limit) {
  for (int const limit : {1, 2, 3, 8, 100}) {  // a group without `blocking` runs 64 at most
    SCOPED_TRACE(limit);
    auto const err = meet(limit);
    EXPECT_FALSE(err) << err;
  }
}

TEST(GroupBlocking, L8_tasks_meet_although_the_host_allows_one_thread) {
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  auto const err = meet(8);
  EXPECT_FALSE(err) << err;
}

TEST(GroupBlocking, L8_tasks_meet_while_all_of_oneTBBs_threads_are_taken) {
  support::with_workers(2, [] {
    rendezvous taken(3, "the worker, the second worker and the test");
    gate end("the tasks to have met");
    group others;
    opens_at_end const opens(end);
    for (int i = 0; i != 2; ++i) {
      others.run([&] {
        taken.arrive_and_wait();
        end.wait();
      });
    }
    taken.arrive_and_wait();
    auto const err = meet(8);
    EXPECT_FALSE(err) << err;
  });
}

TEST(GroupBlocking, L8_L3_tasks_meet_although_no_thread_waits) {
  group g{{.limit = 4, .blocking = true}};
  rendezvous place(5, "four tasks and the test");
  submit_meeting(g, place, 4);
  place.arrive_and_wait();
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
}

TEST(GroupBlocking, L8_more_tasks_meet_again_and_again_in_the_same_threads) {
  group g{{.limit = 3, .blocking = true}};
  std::size_t const with = all_threads().size();
  for (int round = 0; round != 50; ++round) {
    rendezvous place(4, "three tasks and the test");
    submit_meeting(g, place, 3);
    place.arrive_and_wait();
    auto const err = g.wait();
    EXPECT_FALSE(err) << err;
  }
  // oneTBB may have started workers for the waiter, and has as many at most as there are CPUs.
  EXPECT_LT(all_threads().size(), with + std::thread::hardware_concurrency() + 1);
}

/// An object of a thread, which takes its time to end.
struct leaves {
  explicit leaves(std::atomic<int>& count) : left(count) {}
  leaves(leaves const&) = delete;
  leaves& operator=(leaves const&) = delete;
  ~leaves() {
    for (int i = 0; i != 1000; ++i) {
      std::this_thread::yield();
    }
    ++left;
  }

  std::atomic<int>& left;
};

TEST(GroupBlocking, L8_the_destructor_returns_when_the_threads_have_ended) {
  std::atomic<int> left{0};
  {
    group g{{.limit = 4, .blocking = true}};
    rendezvous place(5, "four tasks and the test");
    for (int i = 0; i != 4; ++i) {
      g.run([&] {
        thread_local leaves const mine(left);
        place.arrive_and_wait();
      });
    }
    place.arrive_and_wait();  // so the tasks run in the threads of the group
    EXPECT_FALSE(g.wait());
  }
  EXPECT_EQ(left, 4);
}

TEST(GroupBlocking, L8_tasks_meet_in_a_task_of_a_limited_group) {
  for (bool const blocks : {false, true}) {
    SCOPED_TRACE(blocks);
    group outer{{.limit = 1, .blocking = blocks}};
    error inner;
    outer.run([&] { inner = meet(8); });
    auto const err = outer.wait();
    EXPECT_FALSE(err) << err;
    EXPECT_FALSE(inner) << inner;
  }
}

TEST(GroupBlocking, L8_tasks_of_several_groups_meet) {
  rendezvous place(9, "three groups of three tasks");
  group one{{.limit = 3, .blocking = true}};
  group two{{.limit = 3, .blocking = true}};
  group three{{.limit = 3, .blocking = true}};
  for (group* const g : {&one, &two, &three}) {
    submit_meeting(*g, place, 3);
  }
  for (group* const g : {&one, &two, &three}) {
    auto const err = g->wait();
    EXPECT_FALSE(err) << err;
  }
}

TEST(GroupBlocking, L8_tasks_that_are_due_meet) {
  using std::chrono::milliseconds;
  rendezvous place(4, "four tasks");
  group g{{.limit = 4, .blocking = true}};
  for (int i = 0; i != 4; ++i) {
    g.run_after(milliseconds(i % 2), [&place] { place.arrive_and_wait(); });
  }
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
}

TEST(GroupBlocking, L8_the_tasks_of_the_functions_for_results_meet) {
  std::latch here(8);
  std::atomic<int> elements = 0;
  auto const got =
      errgroup::all({.limit = 8, .blocking = true}, std::vector<std::function<int()>>(8, [&] {
                      here.arrive_and_wait();
                      return ++elements;
                    }));
  ASSERT_TRUE(got);
  EXPECT_EQ(elements, 8);
}

TEST(GroupBlocking, L8_as_many_elements_of_for_each_as_the_limit_meet) {
  // As many elements as the limit: each is a block of its own.
  rendezvous place(8, "eight elements");
  std::vector<int> const elements(8);
  auto const err = errgroup::for_each({.limit = 8, .blocking = true}, elements,
                                      [&](int) { place.arrive_and_wait(); });
  EXPECT_FALSE(err) << err;
}

TEST(GroupBlocking, L8_as_many_items_of_a_pipeline_as_the_limit_meet) {
  rendezvous place(8, "eight items");
  int next = 0;
  auto const err = errgroup::pipeline({.limit = 8, .blocking = true},
                                      errgroup::stage::source([&]() -> std::optional<int> {
                                        return next != 8 ? std::optional(next++) : std::nullopt;
                                      }),
                                      errgroup::stage::parallel([&](int i) {
                                        place.arrive_and_wait();
                                        return i;
                                      }),
                                      errgroup::stage::in_order([](int) {}));
  EXPECT_FALSE(err) << err;
}

// --- set_limit ---

TEST(GroupBlocking, L8_a_higher_limit_brings_more_threads) {
  for (bool const is_used : {false, true}) {
    SCOPED_TRACE(is_used);
    std::size_t const before = number_of_threads();
    {
      group g{{.limit = 2, .blocking = true}};
      rendezvous place(5);
      gate begun("a task to begin");
      if (is_used) {
        g.run([&] {
          begun.open();
          place.arrive_and_wait();
        });
        begun.wait();
      }
      g.set_limit(5);
      submit_meeting(g, place, is_used ? 4 : 5);
      auto const err = g.wait();
      EXPECT_FALSE(err) << err;
    }
    support::await([&] { return all_threads().size() == before; }, "the five threads to end");
  }
}

TEST(GroupBlocking, L1_a_lower_limit_takes_effect_as_tasks_end) {
  group g{{.limit = 4, .blocking = true}};
  {
    rendezvous place(4);
    submit_meeting(g, place, 4);
    EXPECT_FALSE(g.wait());
  }
  g.set_limit(2);
  support::highest running;
  rendezvous place(2);
  for (int i = 0; i != 20; ++i) {
    g.run([&, i] {
      running.up();
      if (i < 2) {
        place.arrive_and_wait();
      }
      std::this_thread::yield();
      running.down();
    });
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(running.most(), 2);
  g.set_limit(3);  // of the four threads
  rendezvous again(3);
  submit_meeting(g, again, 3);
  EXPECT_FALSE(g.wait());
}

TEST(GroupBlocking, E6_a_limit_that_the_group_cannot_have_leaves_it_as_it_was) {
  group g{{.limit = 2, .blocking = true}};
  try {
    g.set_limit(10001);
    ADD_FAILURE() << "10001 threads";
  } catch (std::invalid_argument const& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("10000 or less"));
  }
  threads_left = 3;
  EXPECT_THROW(g.set_limit(8), std::system_error);
  threads_left = INT_MAX;
  support::highest running;
  for (int i = 0; i != 40; ++i) {
    g.run([&] {
      running.up();
      std::this_thread::yield();
      running.down();
    });
  }
  EXPECT_FALSE(g.wait());
  EXPECT_LE(running.most(), 2);
  rendezvous place(2);
  submit_meeting(g, place, 2);
  EXPECT_FALSE(g.wait());
}

TEST(GroupBlocking, L1_never_more_tasks_at_once_than_the_limit) {
  for (int const limit : {1, 2, 5}) {
    SCOPED_TRACE(limit);
    task_census census;
    group g{{.limit = limit, .blocking = true}};
    for (int i = 0; i != 50; ++i) {
      g.run([&, i] {
        task_census::presence const here(census);
        if (i % 7 == 0) {
          task_census::submit(g, [&census] {
            task_census::presence const in_turn(census);
            support::dawdle();
          });
        }
        support::dawdle();
      });
    }
    auto const err = g.wait();
    EXPECT_FALSE(err) << err;
    EXPECT_LE(census.most(), limit);
  }
}

TEST(GroupBlocking, L2_what_a_task_starts_inside_uses_no_more_threads_than_the_limit) {
  support::thread_census census;
  {
    group g{{.limit = 2, .blocking = true}};
    for (int i = 0; i != 4; ++i) {
      g.run([&] {
        tbb::parallel_for(0, 100, [&](int) {
          support::thread_census::presence const here(census);
          support::dawdle(2);
        });
      });
    }
    auto const err = g.wait();
    EXPECT_FALSE(err) << err;
  }
  EXPECT_LE(census.most(), 2);
}

TEST(GroupBlocking, L5_tasks_from_one_thread_start_in_their_order) {
  group g{{.limit = 1, .blocking = true}};
  std::vector<int> order;
  for (int i = 0; i != 100; ++i) {
    g.run([&order, i] { order.push_back(i); });
  }
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(order.size(), 100U);
}

// The tasks wait for the very thread that must leave them to the group's threads.

TEST(GroupBlocking, L8_a_wait_with_an_end_time_leaves_the_tasks_to_the_groups_threads) {
  using std::chrono::milliseconds;
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  group g{{.limit = 1, .blocking = true}};
  gate started("the first task to start");
  gate end("the test's thread to be back from wait_for");
  g.run([&] {
    started.open();
    end.wait();
  });
  started.wait();
  g.run([] {});
  EXPECT_FALSE(g.wait_for(milliseconds(1)));
  end.open();
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
  // A task that no thread has taken yet.
  gate again("the test's thread to be back");
  g.run([&again] { again.wait(); });
  EXPECT_FALSE(g.wait_for(milliseconds(1)));
  again.open();
  auto const last = g.wait();
  EXPECT_FALSE(last) << last;
}

TEST(GroupBlocking, L8_run_at_a_full_queue_leaves_the_tasks_to_the_groups_threads) {
  group g{{.limit = 2, .queue = 2, .blocking = true}};
  std::thread::id const submitter = std::this_thread::get_id();
  std::atomic<int> by_submitter = 0;
  for (int i = 0; i != 200; ++i) {
    g.run([&] { by_submitter += std::this_thread::get_id() == submitter ? 1 : 0; });
  }
  EXPECT_EQ(by_submitter, 0);
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
}

// --- the other promises ---

TEST(GroupBlocking, E1_C1_the_first_failure_wakes_the_tasks_that_wait) {
  for (int round = 0; round != 20; ++round) {
    std::latch here(4);
    group g{{.limit = 4, .blocking = true}};
    for (int i = 0; i != 3; ++i) {
      g.run([&here](std::stop_token stop) -> error {
        std::mutex lock;
        std::condition_variable_any never;
        here.arrive_and_wait();
        std::unique_lock held(lock);
        never.wait(held, stop, [] { return false; });
        return errc::canceled;
      });
    }
    g.run("fails", [&here]() -> error {
      here.arrive_and_wait();
      return errgroup::make_error("out of cheese");
    });
    g.run([] {});  // no place is free
    auto const err = g.wait();
    EXPECT_EQ(err.origin().name, "fails");
    EXPECT_EQ(err.what(), "out of cheese");
  }
}

TEST(GroupBlocking, C2_the_cancellation_of_a_parent_reaches_the_tasks) {
  group outer;
  error inner;
  auto const err = outer.run_and_wait([&]() -> error {
    rendezvous place(2, "the task, and its parent");
    group g{{.limit = 2, .blocking = true}};
    g.run([&](std::stop_token stop) -> error {
      place.arrive_and_wait();
      support::await([&stop] { return stop.stop_requested(); }, "a stop request");
      return errc::canceled;
    });
    place.arrive_and_wait();
    outer.cancel();
    inner = g.wait();
    return inner;
  });
  EXPECT_EQ(err, errc::canceled);
  EXPECT_EQ(inner, errc::canceled);
}

TEST(GroupBlocking, W1_a_group_may_be_destroyed_right_after_wait_and_without_it) {
  for (int round = 0; round != 200; ++round) {
    int done = 0;
    {
      group g{{.limit = 1, .blocking = true}};
      g.run([&done] { ++done; });
      g.run([&done] { ++done; });
      if (round % 2 == 0) {
        auto const err = g.wait();
        EXPECT_FALSE(err) << err;
        EXPECT_EQ(done, 2);
      }
    }
    EXPECT_LE(done, 2);
  }
}

TEST(GroupBlocking, W3_a_task_that_waits_for_its_group_is_told_so) {
  group g{{.limit = 2, .blocking = true}};
  error told;
  g.run([&] { told = g.wait(); });
  auto const err = g.wait();
  EXPECT_FALSE(err) << err;
  EXPECT_EQ(told, errc::would_deadlock);
}

// --- a program in Go's shape ---

template <class T>
class channel {
 public:
  explicit channel(std::size_t capacity) : capacity_(capacity) {}

  bool push(T item, std::stop_token stop) {
    std::unique_lock held(lock_);
    auto const may_go_on = [this] { return is_closed_ || items_.size() < capacity_; };
    if (!changed_.wait(held, std::move(stop), may_go_on) || is_closed_) {
      return false;
    }
    items_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }
  std::optional<T> pop(std::stop_token stop) {
    std::unique_lock held(lock_);
    auto const may_go_on = [this] { return is_closed_ || !items_.empty(); };
    if (!changed_.wait(held, std::move(stop), may_go_on) || items_.empty()) {
      return std::nullopt;
    }
    std::optional<T> item = std::move(items_.front());
    items_.pop_front();
    changed_.notify_all();
    return item;
  }
  void close() {
    std::scoped_lock const held(lock_);
    is_closed_ = true;
    changed_.notify_all();
  }

 private:
  std::size_t capacity_;
  std::mutex lock_;
  std::condition_variable_any changed_;
  std::deque<T> items_;
  bool is_closed_ = false;
};

/// A producer, four workers and a consumer, which wait for each other at bounded channels. One of
/// the workers fails at the number `bad`.
struct square_sum {
  static constexpr int workers = 4;
  static constexpr int numbers = 500;

  error run(int bad) {
    channel<int> in(1);
    channel<long> out(1);
    std::atomic<int> left = workers;
    group g{{.limit = workers + 2, .blocking = true}};
    g.run("consumer", [&](std::stop_token stop) {
      while (auto const square = out.pop(stop)) {
        sum += *square;
      }
    });
    for (int i = 0; i != workers; ++i) {
      g.run("worker", [&, bad](std::stop_token stop) -> error {
        while (auto const number = in.pop(stop)) {
          if (*number == bad) {
            return errgroup::make_error("a bad number");
          }
          if (!out.push(long{*number} * *number, stop)) {
            break;
          }
        }
        if (--left == 0) {
          out.close();
        }
        return {};
      });
    }
    g.run("producer", [&](std::stop_token stop) {
      for (int i = 1; i <= numbers && in.push(i, stop); ++i) {
      }
      in.close();
    });
    return g.wait();
  }

  long sum = 0;
};

TEST(GroupBlocking, L8_a_producer_workers_and_a_consumer_wait_for_each_other) {
  square_sum good;
  auto const err = good.run(0);
  EXPECT_FALSE(err) << err;
  constexpr long n = square_sum::numbers;
  EXPECT_EQ(good.sum, n * (n + 1) * (2 * n + 1) / 6);

  square_sum bad;
  auto const failed = bad.run(100);
  EXPECT_EQ(failed.origin().name, "worker");
  EXPECT_EQ(failed.what(), "a bad number");
}

// --- the end ---

TEST(GroupBlocking, L8_a_hundred_groups_leave_no_threads_and_no_memory) {
  auto const round = [] {
    auto const err = meet(8);
    EXPECT_FALSE(err) << err;
  };
  auto const settled = [](std::size_t most) {
    return [most] { return all_threads().size() <= most; };
  };
  round();
  // oneTBB may start its workers at any time: as many as there are CPUs, without this thread.
  std::size_t const most = all_threads().size() + std::thread::hardware_concurrency();
  for (int i = 0; i != 10; ++i) {
    round();
  }
  support::await(settled(most), "the threads of the first groups to end");
  std::size_t const before = ::mallinfo2().uordblks;
  for (int i = 0; i != 100; ++i) {
    round();
  }
  support::await(settled(most), "the threads of all groups to end");
  if (!support::address_sanitizer && !support::thread_sanitizer) {
    EXPECT_LT(::mallinfo2().uordblks, before + 16384) << "more than 160 bytes a group";
  }
}

}  // namespace
