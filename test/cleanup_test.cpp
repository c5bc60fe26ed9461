// SPDX-License-Identifier: Apache-2.0

// Which threads run the user code that a passed deadline leaves, and how many there are. Each TEST
// is a process of its own.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/threads.hpp"
#include "support/watchdog.hpp"
#include <errgroup/group.hpp>
#include <errgroup/testing.hpp>

#include <dlfcn.h>  // dlsym, RTLD_NEXT
#include <gtest/gtest.h>
#include <pthread.h>             // pthread_attr_t, pthread_t
#include <tbb/global_control.h>  // global_control

#include <atomic>      // atomic
#include <chrono>      // hours
#include <cstddef>     // size_t
#include <functional>  // function
#include <memory>      // make_unique, unique_ptr
#include <optional>    // optional
#include <set>         // set
#include <stop_token>  // stop_callback, stop_token
#include <thread>      // thread
#include <utility>     // exchange
#include <vector>      // vector

namespace {

std::atomic<std::size_t> thread_starts{0};

}  // namespace

// Counts the threads that the process starts: a thread may end before the test can look.
extern "C" int pthread_create(pthread_t* thread, pthread_attr_t const* attributes,
                              void* (*start)(void*), void* argument) noexcept {
  using function = int (*)(pthread_t*, pthread_attr_t const*, void* (*)(void*), void*);
  static auto const next = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "pthread_create"));
  ++thread_starts;
  return next(thread, attributes, start, argument);
}

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::options;
using errgroup::testing::test_clock;
using std::chrono::hours;
using support::await;
using support::counted;
using support::gate;

using callback = std::stop_callback<std::function<void()>>;

/// Without oneTBB's workers: every thread that is started is ours.
class Cleanup : public testing::Test {
 protected:
  tbb::global_control one{tbb::global_control::max_allowed_parallelism, 1};
};

/// Calls a function where it is destroyed.
class calls_at_end {
 public:
  explicit calls_at_end(std::function<void()> f) : f_(std::move(f)) {}
  calls_at_end(calls_at_end&& other) noexcept : f_(std::exchange(other.f_, nullptr)) {}
  calls_at_end(calls_at_end const&) = delete;
  calls_at_end& operator=(calls_at_end const&) = delete;
  calls_at_end& operator=(calls_at_end&&) = delete;
  ~calls_at_end() {
    if (f_) {
      f_();
    }
  }

 private:
  std::function<void()> f_;
};

TEST_F(Cleanup, P3_deadlines_that_leave_no_user_code_start_no_thread) {
  test_clock c;
  std::vector<std::unique_ptr<group>> groups;
  for (int i = 0; i != 1000; ++i) {
    groups.push_back(
        std::make_unique<group>(options{.limit = i % 2 == 0 ? 1 : -1, .timeout = hours(1)}));
    if (i % 3 != 0) {
      groups.back()->run([] {});
      EXPECT_FALSE(groups.back()->wait());
    }
  }
  std::size_t const before = thread_starts;
  c.advance(hours(1));
  for (auto const& g : groups) {
    EXPECT_EQ(g->wait(), errc::deadline_exceeded);
  }
  EXPECT_EQ(thread_starts, before);
}

TEST_F(Cleanup, P3_a_token_of_one_group_does_not_cost_a_thread_for_each_deadline) {
  test_clock c;
  group other;
  auto const unused = other.on_cancel([] {});
  std::vector<std::unique_ptr<group>> groups;
  for (int i = 0; i != 1000; ++i) {
    groups.push_back(std::make_unique<group>(options{.timeout = hours(1)}));
  }
  std::size_t const before = thread_starts;
  c.advance(hours(1));
  EXPECT_LE(thread_starts, before + 100) << "for 1000 deadlines";
  EXPECT_FALSE(other.is_canceling());
}

TEST_F(Cleanup, many_deadlines_at_one_time_share_few_threads) {
  test_clock c;
  std::atomic<int> called{0};
  std::vector<std::unique_ptr<group>> groups;
  std::vector<std::unique_ptr<callback>> callbacks;
  for (int i = 0; i != 2000; ++i) {
    groups.push_back(std::make_unique<group>(options{.timeout = hours(1)}));
    group& g = *groups.back();
    if (i % 2 == 0) {
      callbacks.push_back(std::make_unique<callback>(g.get_stop_token(), [&] { ++called; }));
    } else {
      g.run_after(hours(2), [a = counted()] {});
    }
  }
  std::size_t const before = thread_starts;
  c.advance(hours(1));
  await([&] { return called == 1000 && counted::live() == 0; }, "callbacks and destructors");
  EXPECT_LE(thread_starts, before + 200) << "for 2000 deadlines";
  for (auto const& g : groups) {
    EXPECT_EQ(g->wait(), errc::deadline_exceeded);
  }
}

TEST_F(Cleanup, a_callback_may_wait_for_deadlines_that_pass_with_its_own_or_later) {
  support::watchdog const guard("callbacks that wait for later deadlines");
  for (int const hours_later : {0, 1}) {
    test_clock c;
    gate first_called("the callback of the first deadline");
    gate last_called("the callback of the last deadline");
    // All but the last callback block until the last one is called.
    std::vector<std::unique_ptr<group>> groups;
    std::vector<std::unique_ptr<callback>> callbacks;
    std::atomic<int> returned{0};
    for (int i = 0; i != 5; ++i) {
      groups.push_back(
          std::make_unique<group>(options{.timeout = hours(1) + i * hours(hours_later)}));
      callbacks.push_back(std::make_unique<callback>(groups.back()->get_stop_token(), [&, i] {
        if (i == 0) {
          first_called.open();
        }
        if (i != 4) {
          last_called.wait();
        } else {
          last_called.open();
        }
        ++returned;
      }));
    }
    c.advance(hours(1));
    first_called.wait();
    c.advance(hours(4));
    last_called.wait();
    await([&] { return returned == 5; }, "all callbacks to return");
  }
}

TEST_F(Cleanup, W1_a_destructor_may_wait_for_a_group_whose_deadline_passes_with_its_own) {
  support::watchdog const guard("a destructor that waits for another deadline");
  test_clock c;
  group later{{.timeout = hours(1)}};
  error seen;
  {
    group g;
    g.set_deadline(errgroup::clock::now() + hours(1) - std::chrono::nanoseconds(1));
    g.run_after(hours(2), [a = calls_at_end([&] { seen = later.wait(); })] {});
    later.run_after(hours(2), [a = counted()] {});
    c.advance(hours(1));
    EXPECT_EQ(g.wait().skipped(), 1U);
  }
  EXPECT_EQ(seen, errc::deadline_exceeded);
  EXPECT_EQ(seen.skipped(), 1U);
  EXPECT_EQ(counted::live(), 0);
}

TEST_F(Cleanup, C2_tokens_of_nested_groups_are_stopped_behind_a_callback_that_blocks) {
  support::watchdog const guard("the token of a nested group");
  test_clock c;
  gate ready("the nested group to be ready");
  gate first_called("the callback of the first deadline");
  gate nested_called("the callback of the nested group");
  gate returned("the first callback to return");
  group first{{.timeout = hours(1)}};
  group outer{{.timeout = hours(2)}};
  std::thread waiter([&] {
    EXPECT_EQ(outer.run_and_wait([&] {
      group inner;
      auto const told = inner.on_cancel([&] { nested_called.open(); });
      ready.open();
      nested_called.wait();
    }),
              errc::deadline_exceeded);
  });
  ready.wait();
  auto const blocks = first.on_cancel([&] {
    first_called.open();
    nested_called.wait();
    returned.open();
  });
  c.advance(hours(1));
  first_called.wait();
  c.advance(hours(1));
  returned.wait();
  waiter.join();
}

TEST_F(Cleanup, its_threads_go_when_nothing_is_left_to_run) {
  std::thread([] {}).join();  // a sanitizer starts a thread of its own with the first one
  auto const before = support::all_threads();
  {
    test_clock c;
    gate called("both callbacks");
    std::atomic<int> calls{0};
    group a{{.timeout = hours(1)}};
    group b{{.timeout = hours(1)}};
    auto const meet = [&] {
      if (++calls == 2) {
        called.open();
      }
      called.wait();  // so two threads are needed
    };
    auto const on_a = a.on_cancel(meet);
    auto const on_b = b.on_cancel(meet);
    c.advance(hours(1));
    called.wait();
  }
  await([&] { return support::threads_beside(before).empty(); }, "all threads to go");
}

}  // namespace
