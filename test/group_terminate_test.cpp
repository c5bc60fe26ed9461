// SPDX-License-Identifier: Apache-2.0

// options::exceptions = terminate: an exception that leaves a task ends the process in the place
// that threw.

#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/all.hpp>
#include <errgroup/for_each.hpp>
#include <errgroup/group.hpp>
#include <errgroup/reduce.hpp>
#include <errgroup/scope.hpp>
#include <errgroup/spawn.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>           // pthread_cancel, pthread_exit, pthread_self, pthread_testcancel
#include <tbb/parallel_for.h>  // parallel_for

#include <atomic>        // atomic
#include <cstdio>        // fputs
#include <cstdlib>       // abort
#include <exception>     // current_exception, exception, rethrow_exception, set_terminate
#include <functional>    // plus
#include <optional>      // optional
#include <ranges>        // filter, iota
#include <stdexcept>     // runtime_error
#include <string>        // string
#include <system_error>  // errc, error_code

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::on_exception;
using errgroup::options;
using support::on_every_way;
using support::watchdog;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

options unguarded(options o = {}) {
  o.exceptions = on_exception::terminate;
  return o;
}

struct says_unwound {
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

/// Throws with something on the stack that says when it is unwound.
void throw_on(int depth) {
  says_unwound const on_the_stack;
  if (depth == 0) {
    throw std::runtime_error("the disk is full");
  }
  throw_on(depth - 1);
}

// The exception's type and words, and nothing was unwound before the end.
auto ends_in_the_place_that_threw() {
  return AllOf(HasSubstr("std::runtime_error"), HasSubstr("the disk is full"),
               Not(HasSubstr("unwound")));
}

class GroupTerminateDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

// --- it ends ---------------------------------------------------------------------------------

void throw_in_run(options const& opts) {
  watchdog const guard("a task that throws");
  group g(unguarded(opts));
  g.run([] { throw_on(3); });
  (void)g.wait();
}

TEST_F(GroupTerminateDeathTest,
       an_exception_that_leaves_a_task_ends_the_process_where_it_was_thrown) {
  EXPECT_DEATH(throw_in_run({}), ends_in_the_place_that_threw());
  EXPECT_DEATH(throw_in_run({.limit = 1}), ends_in_the_place_that_threw());
  EXPECT_DEATH(throw_in_run({.limit = 2, .queue = 0}), ends_in_the_place_that_threw());
  EXPECT_DEATH(throw_in_run({.isolated = true}), ends_in_the_place_that_threw());
  EXPECT_DEATH(
      throw_in_run(
          {.policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all, .name = "job"}),
      ends_in_the_place_that_threw());
}

void throw_in_run_and_wait(options const& opts) {
  watchdog const guard("a task that throws");
  group g(unguarded(opts));
  (void)g.run_and_wait("named", [] { throw_on(3); });
}

TEST_F(GroupTerminateDeathTest, so_it_does_in_run_and_wait) {
  EXPECT_DEATH(throw_in_run_and_wait({}), ends_in_the_place_that_threw());
  EXPECT_DEATH(throw_in_run_and_wait({.limit = 1}), ends_in_the_place_that_threw());
}

void throw_in_try_run(options const& opts) {
  watchdog const guard("a task that throws");
  group g(unguarded(opts));
  if (g.try_run([] {
        throw_on(3);
        return cause();
      })) {
    (void)g.wait();
  }
}

TEST_F(GroupTerminateDeathTest, so_it_does_in_try_run) {
  EXPECT_DEATH(throw_in_try_run({}), ends_in_the_place_that_threw());
  EXPECT_DEATH(throw_in_try_run({.limit = 1}), ends_in_the_place_that_threw());
}

// In a task of a group that would have kept it.
void throw_inside(options const& opts, options const& outside) {
  watchdog const guard("a task that throws in a task");
  group outer(outside);
  (void)outer.run_and_wait([&] {
    try {
      group g(unguarded(opts));
      g.run([&g] { g.run([] { throw_on(3); }); });
      (void)g.wait();
    } catch (...) {
      std::fputs("caught\n", stderr);
    }
  });
}

TEST_F(GroupTerminateDeathTest, so_it_does_inside_whatever_would_have_caught_it_outside) {
  for (int const limit : {errgroup::unlimited, 1}) {
    for (int const outer : {errgroup::unlimited, 1}) {
      SCOPED_TRACE(testing::Message() << limit << " in " << outer);
      EXPECT_DEATH(throw_inside({.limit = limit}, {.limit = outer}),
                   AllOf(ends_in_the_place_that_threw(), Not(HasSubstr("caught"))));
    }
  }
}

void throw_in_a_worker() {
  watchdog const guard("a task that throws without anyone waiting");
  group g(unguarded({.limit = 1}));
  support::gate never("the process to end");
  g.run([] { throw_on(3); });
  never.wait();
}

TEST_F(GroupTerminateDeathTest, so_it_does_in_a_worker) {
  EXPECT_DEATH(throw_in_a_worker(), ends_in_the_place_that_threw());
}

void throw_after_reset() {
  watchdog const guard("a task that throws after a reset");
  group g(unguarded({.limit = 1}));
  g.run([] { return cause(); });
  if (g.wait() != cause()) return;
  g.reset();
  g.run([] { throw_on(3); });
  (void)g.wait();
}

TEST_F(GroupTerminateDeathTest, so_it_does_after_a_reset) {
  EXPECT_DEATH(throw_after_reset(), ends_in_the_place_that_threw());
}

void throw_a_number() {
  watchdog const guard("a task that throws a number");
  group g(unguarded());
  (void)g.run_and_wait([] {
    says_unwound const on_the_stack;
    throw 42;
  });
}

TEST_F(GroupTerminateDeathTest, so_does_what_is_no_std_exception) {
  EXPECT_DEATH(throw_a_number(), AllOf(HasSubstr("'int'"), Not(HasSubstr("unwound"))));
}

void throw_with_a_handler() {
  watchdog const guard("a task that throws, and a terminate handler");
  std::set_terminate([] {
    std::fputs("the handler's word\n", stderr);
    try {
      std::rethrow_exception(std::current_exception());
    } catch (std::exception const& e) {
      std::fputs(e.what(), stderr);
    }
    std::abort();
  });
  throw_in_run({});
}

TEST_F(GroupTerminateDeathTest, the_terminate_handler_sees_the_exception) {
  EXPECT_DEATH(throw_with_a_handler(),
               AllOf(HasSubstr("the handler's word"), HasSubstr("the disk is full"),
                     Not(HasSubstr("unwound"))));
}

// A group that keeps exceptions unwinds the stack: what these tests look for can be seen.
// --- a task that ends its thread -------------------------------------------------------------

void end_thread() { pthread_exit(nullptr); }

void cancel_thread() {
  pthread_cancel(pthread_self());
  pthread_testcancel();
}

/// Calls `use(options)` in a program that has to end with errgroup's words, whatever becomes of
/// exceptions.
template <class Use>
void expect_words(Use use) {
  for (on_exception const exceptions : {on_exception::as_error, on_exception::terminate}) {
    for (int const limit : {errgroup::unlimited, 1}) {
      EXPECT_DEATH(
          {
            watchdog const guard("a task that ends its thread");
            use({.limit = limit, .exceptions = exceptions});
          },
          AllOf(HasSubstr("errgroup: a task, or another function that errgroup called, ended its "
                          "thread: it called pthread_exit"),
                HasSubstr("return from the task instead"), Not(HasSubstr("in vain"))))
          << "limit " << limit << ", exceptions " << static_cast<int>(exceptions);
    }
  }
}

TEST_F(GroupTerminateDeathTest, a_task_that_ends_its_thread_ends_the_process_in_words) {
  expect_words([](options const& opts) {
    group g(opts);
    g.run(end_thread);
    (void)g.wait();
  });
}

TEST_F(GroupTerminateDeathTest, so_does_one_whose_thread_is_cancelled) {
  expect_words([](options const& opts) {
    group g(opts);
    g.run(cancel_thread);
    (void)g.wait();
  });
}

TEST_F(GroupTerminateDeathTest, so_does_one_that_calls_a_group_inside) {
  expect_words([](options const& opts) {
    group g(opts);
    (void)g.run_and_wait([&opts] {
      group inner(opts);
      return inner.run_and_wait(end_thread);
    });
  });
}

TEST_F(GroupTerminateDeathTest, so_does_a_callable_of_a_join) {
  expect_words([](options const& opts) {
    (void)errgroup::all(
        opts, [] { return 1; },
        []() -> int {
          end_thread();
          return 2;
        });
  });
}

TEST_F(GroupTerminateDeathTest, so_does_a_handles_task) {
  expect_words([](options const& opts) {
    group g(opts);
    (void)errgroup::spawn(g, end_thread).get();
  });
}

TEST_F(GroupTerminateDeathTest, so_does_what_is_called_for_elements) {
  expect_words(
      [](options const& opts) { (void)errgroup::for_each(opts, 9, [](int) { end_thread(); }); });
}

TEST_F(GroupTerminateDeathTest, so_does_the_iterator_of_a_range) {
  expect_words([](options const& opts) {
    auto const all = std::views::iota(0, 9) | std::views::filter([](int i) {
                       if (i == 5) {
                         end_thread();
                       }
                       return true;
                     });
    auto mine = all;
    (void)errgroup::for_each(opts, mine, [](int) {});
  });
}

TEST_F(GroupTerminateDeathTest, so_does_what_puts_the_values_of_a_reduce_together) {
  expect_words([](options opts) {
    opts.limit = 2;  // else there may be nothing to put together
    (void)errgroup::reduce(opts, std::views::iota(0, 1000), 0, std::plus<>(), [](int, int) -> int {
      end_thread();
      return 0;
    });
  });
}

TEST_F(GroupTerminateDeathTest, so_does_the_body_of_a_scope) {
  EXPECT_DEATH((void)errgroup::scope([](group&) { end_thread(); }),
               HasSubstr("return from the task instead"));
}

TEST(GroupTerminate, a_group_without_the_option_unwinds_and_keeps_the_exception) {
  on_every_way([](group& g) {
    testing::internal::CaptureStderr();
    error const e = g.run_and_wait([] { throw_on(1); });
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "unwound\nunwound\n");
    EXPECT_EQ(e.what(), "the disk is full");
  });
}

// --- and does not end ------------------------------------------------------------------------

TEST(GroupTerminate, what_is_caught_inside_the_task_is_fine) {
  on_every_way(
      [](group& g) {
        std::atomic<int> caught{0};
        for (int i = 0; i != 10; ++i) {
          g.run([&] {
            try {
              throw std::runtime_error("mine");
            } catch (std::runtime_error const&) {
              ++caught;
            }
          });
        }
        EXPECT_FALSE(g.wait());
        EXPECT_EQ(caught, 10);
      },
      unguarded());
}

TEST(GroupTerminate, what_an_algorithm_in_the_task_throws_and_the_task_catches_is_fine) {
  on_every_way(
      [](group& g) {
        error const e = g.run_and_wait([]() -> std::error_code {
          try {
            tbb::parallel_for(0, 100, [](int i) {
              if (i == 50) throw std::runtime_error("in the algorithm");
            });
          } catch (std::runtime_error const&) {
            return cause();
          }
          return {};
        });
        EXPECT_EQ(e, cause());
      },
      unguarded());
}

TEST(GroupTerminate, what_a_group_inside_keeps_is_fine) {
  on_every_way(
      [](group& g) {
        error const e = g.run_and_wait([] {
          group inner;
          inner.run([] { throw std::runtime_error("kept"); });
          return inner.wait();
        });
        EXPECT_EQ(e.what(), "kept");
      },
      unguarded());
}

/// What a std::expected<void, std::string> looks like.
struct expected {
  std::optional<std::string> e;
  [[nodiscard]] bool has_value() const noexcept { return !e.has_value(); }
  [[nodiscard]] std::string error() const { return *e; }
};

TEST(GroupTerminate, E2_returned_errors_are_errors_as_ever) {
  on_every_way(
      [](group& g) {
        g.run([] { return cause(); });
        error e = g.wait();
        EXPECT_EQ(e, cause());
        EXPECT_EQ(e.origin().index, 0U);
        EXPECT_EQ(e.origin().path.substr(e.origin().path.size() - 3), "job");
        g.reset();
        EXPECT_EQ(g.run_and_wait([]() -> error { return errc::failed; }), errc::failed);
        g.reset();
        e = g.run_and_wait("named", [] { return expected{"whole"}; });
        ASSERT_NE(e.get_if<std::string>(), nullptr);
        EXPECT_EQ(*e.get_if<std::string>(), "whole");
        EXPECT_EQ(e.origin().name, "named");
        g.reset();
        EXPECT_FALSE(g.run_and_wait([] { return expected{}; }));
        // An exception may be returned.
        e = g.run_and_wait(
            [] { return error(std::make_exception_ptr(std::runtime_error("returned"))); });
        EXPECT_EQ(e.what(), "returned");
      },
      unguarded({.name = "job"}));
}

/// An expected whose error cannot be had.
struct bad_expected {
  [[nodiscard]] bool has_value() const noexcept { return false; }
  [[nodiscard]] std::string error() const { throw std::runtime_error("no error to be had"); }
};

TEST(GroupTerminate, E2_what_is_thrown_by_reading_a_result_is_an_error) {
  on_every_way(
      [](group& g) {
        g.run([] { return bad_expected{}; });
        EXPECT_EQ(g.wait().what(), "no error to be had");
        g.reset();
        bad_expected const kept;
        EXPECT_EQ(g.run_and_wait([&kept]() -> bad_expected const& { return kept; }).what(),
                  "no error to be had");
      },
      unguarded());
}

TEST(GroupTerminate, E3_a_stopped_group_skips_and_counts) {
  on_every_way(
      [](group& g) {
        g.cancel();
        bool ran = false;
        g.run([&ran] { ran = true; });
        error const e = g.run_and_wait([&ran] { ran = true; });
        EXPECT_EQ(e, errc::canceled);
        EXPECT_EQ(e.skipped(), 2U);
        EXPECT_FALSE(ran);
      },
      unguarded());
}

TEST(GroupTerminate, E3_what_waits_in_a_group_that_fails_is_skipped_and_counted) {
  group g(unguarded({.limit = 1}));
  support::gate go("all tasks to be submitted");
  std::atomic<int> ran{0};
  g.run([&] {
    go.wait();
    return cause();
  });
  for (int i = 0; i != 5; ++i) {
    g.run([&ran] { ++ran; });
  }
  go.open();
  error const e = g.wait();
  EXPECT_EQ(e, cause());
  EXPECT_EQ(e.skipped(), 5U);
  EXPECT_EQ(ran, 0);
}

TEST(GroupTerminate, E4_the_group_is_used_again_after_a_reset) {
  on_every_way(
      [](group& g) {
        for (int round = 0; round != 3; ++round) {
          g.run([] { return cause(); });
          EXPECT_EQ(g.wait(), cause());
          EXPECT_TRUE(g.is_canceling());
          g.reset();
          EXPECT_FALSE(g.is_canceling());
          std::atomic<int> ran{0};
          for (int i = 0; i != 10; ++i) {
            g.run([&ran] { ++ran; });
          }
          EXPECT_FALSE(g.wait());
          EXPECT_EQ(ran, 10);
        }
      },
      unguarded());
}

}  // namespace
