// SPDX-License-Identifier: Apache-2.0

// Promise E2: an error that nobody was told of is handed to who was set to hear of it.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/lost_error.hpp>
#include <errgroup/scope.hpp>

#include <gtest/gtest.h>

#include <cstddef>       // size_t
#include <memory>        // make_unique, unique_ptr
#include <mutex>         // mutex, scoped_lock
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_source, stop_token
#include <system_error>  // errc, error_code
#include <thread>        // thread
#include <utility>       // exchange
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::on_error;
using errgroup::options;
using errgroup::set_lost_error_handler;
using support::await;
using support::gate;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code second() { return std::make_error_code(std::errc::broken_pipe); }

std::mutex lost_lock;
std::vector<error> lost_errors;

void remember(error const& e) {
  std::scoped_lock const guard(lost_lock);
  lost_errors.push_back(e);
}

/// What the handler was given since the last call.
std::vector<error> lost() {
  std::scoped_lock const guard(lost_lock);
  return std::exchange(lost_errors, {});
}

/// Remembers what is lost.
class GroupLostError : public support::no_leaks {
 protected:
  void SetUp() override {
    no_leaks::SetUp();
    ASSERT_EQ(set_lost_error_handler(&remember), nullptr);
    ASSERT_TRUE(lost().empty());
  }
  void TearDown() override {
    EXPECT_EQ(set_lost_error_handler(nullptr), &remember);
    EXPECT_TRUE(lost().empty());
    no_leaks::TearDown();
  }
};

/// Calls `body` with a group for each way of a task to a thread, then destroys the group.
template <class Body>
void on_every_way_and_destroy(Body body, options const& opts = {}) {
  auto const here = [&](char const* where) {
    SCOPED_TRACE(where);
    for (int const limit : {errgroup::unlimited, 1}) {
      SCOPED_TRACE(limit);
      options o = opts;
      o.limit = limit;
      auto g = std::make_unique<group>(o);
      body(g);
    }
  };
  here("outside");
  group outer;
  EXPECT_FALSE(outer.run_and_wait([&] { here("in a task"); }));
  group limited{{.limit = 1}};
  EXPECT_FALSE(limited.run_and_wait([&] { here("in a task of a limited group"); }));
}

/// Has the group's task fail, and nobody told of it, when the call returns.
template <class Task>
void fail_unseen(group& g, Task task) {
  gate failed("a task to fail");
  // What a callable holds goes after it was called, and its result told.
  struct opens {
    explicit opens(gate& g) : opened(&g) {}
    opens(opens&& other) noexcept : opened(std::exchange(other.opened, nullptr)) {}
    opens(opens const&) = delete;
    opens& operator=(opens const&) = delete;
    opens& operator=(opens&&) = delete;
    ~opens() {
      if (opened != nullptr) opened->open();
    }
    gate* opened;
  };
  g.run("unseen", [o = opens(failed), task]() mutable { return task(); });
  failed.wait();
}

TEST_F(GroupLostError, E2_a_failure_that_nobody_was_told_of_is_handed_over_at_the_end) {
  // A limited group starts its tasks without anyone waiting.
  for (keep const errors : {keep::first, keep::all}) {
    {
      group g{{.limit = 1, .errors = errors, .name = "job"}};
      fail_unseen(g, [] { return cause(); });
      EXPECT_TRUE(lost().empty()) << "it is not lost yet";
    }
    std::vector<error> const all = lost();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0], cause());
    EXPECT_EQ(all[0].origin().path, "job/unseen");
    EXPECT_EQ(all[0].origin().index, 0U);
    EXPECT_NE(all[0].origin().where.line(), 0U);
  }
}

TEST_F(GroupLostError, E2_what_was_thrown_is_handed_over_too) {
  {
    group g{{.limit = 1}};
    fail_unseen(g, [] { throw std::runtime_error("unseen"); });
  }
  std::vector<error> const all = lost();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].what(), "unseen");
}

TEST_F(GroupLostError, E2_nothing_is_lost_after_a_wait_that_told_it) {
  on_every_way_and_destroy([](auto& g) {
    g->run([] { return cause(); });
    EXPECT_EQ(g->wait(), cause());
    g.reset();
    EXPECT_TRUE(lost().empty());
  });
  on_every_way_and_destroy([](auto& g) {
    EXPECT_EQ(g->run_and_wait([] { return cause(); }), cause());
    g.reset();
    EXPECT_TRUE(lost().empty());
  });
  on_every_way_and_destroy([](auto& g) {
    g->run([] { return cause(); });
    support::waiters all(*g, 2);
    EXPECT_EQ(all.errors()[0], cause());
    g.reset();
    EXPECT_TRUE(lost().empty());
  });
}

TEST_F(GroupLostError, nothing_is_lost_where_nothing_failed) {
  on_every_way_and_destroy([](auto& g) {
    g->run([] {});
    g.reset();
    EXPECT_TRUE(lost().empty());
  });
}

TEST_F(GroupLostError, a_cancellation_alone_is_no_error_that_could_be_lost) {
  for (keep const errors : {keep::first, keep::all}) {
    on_every_way_and_destroy(
        [](auto& g) {
          g->cancel();
          g->run([] { return cause(); });
          g.reset();
          EXPECT_TRUE(lost().empty()) << "cancelled";
        },
        {.errors = errors});
    on_every_way_and_destroy(
        [](auto& g) {
          g->run([&group = *g]() -> error {
            group.cancel();
            return errgroup::check();
          });
          g.reset();
          EXPECT_TRUE(lost().empty()) << "cancelled, with an echo";
        },
        {.errors = errors});
    std::stop_source stop;
    stop.request_stop();
    on_every_way_and_destroy(
        [](auto& g) {
          g.reset();
          EXPECT_TRUE(lost().empty()) << "stopped by its token";
        },
        {.errors = errors, .stop = stop.get_token()});
  }
}

TEST_F(GroupLostError, E2_a_failure_that_is_called_operation_canceled_can_be_lost) {
  std::error_code const canceled = std::make_error_code(std::errc::operation_canceled);
  {
    group g{{.limit = 1}};
    fail_unseen(g, [canceled] { return canceled; });
  }
  {
    group g;
    g.cancel(canceled);
  }
  auto const told = lost();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0], canceled);
  EXPECT_EQ(told[1], canceled);
}

TEST_F(GroupLostError, what_only_the_destructor_has_interrupted_is_not_lost) {
  {
    gate running("the task to run");
    group g{{.limit = 1}};
    g.run([&](std::stop_token const& stop) {
      running.open();
      await([&] { return stop.stop_requested(); }, "the destructor to stop the group");
      return std::make_error_code(std::errc::operation_canceled);
    });
    running.wait();
  }
  EXPECT_TRUE(lost().empty());
}

TEST_F(GroupLostError, the_parent_s_cancellation_is_no_error_that_could_be_lost) {
  group parent;
  error const told = parent.run_and_wait([&] {
    group unused;
    group unused_with_limit{{.limit = 1}};
    group child{{.limit = 1}};
    fail_unseen(child, [&]() -> error {
      parent.cancel(cause());
      error const echo = errgroup::check();
      EXPECT_EQ(echo, errc::canceled);
      return echo;
    });
  });
  EXPECT_EQ(told, cause());
  EXPECT_TRUE(lost().empty());
}

TEST_F(GroupLostError, the_destructor_s_own_cancellation_is_no_error_that_could_be_lost) {
  {
    group g{{.limit = 1}};
    gate started("the task to start");
    g.run([&](std::stop_token const& token) -> error {
      started.open();
      await([&] { return token.stop_requested(); }, "the destructor to cancel");
      return errgroup::check();
    });
    g.run([] { return cause(); });
    started.wait();
  }
  EXPECT_TRUE(lost().empty());
}

TEST_F(GroupLostError, E2_a_cause_given_to_cancel_can_be_lost) {
  on_every_way_and_destroy(
      [](auto& g) {
        g->cancel(cause());
        g.reset();
        std::vector<error> const all = lost();
        ASSERT_EQ(all.size(), 1U);
        EXPECT_EQ(all[0], cause());
        EXPECT_EQ(all[0].origin().path.substr(all[0].origin().path.size() - 3), "job");
      },
      {.name = "job"});
}

TEST_F(GroupLostError, E2_a_failure_during_the_destructor_s_join_is_lost) {
  for (keep const errors : {keep::first, keep::all}) {
    {
      group g{{.limit = 1, .errors = errors}};
      gate started("the task to start");
      g.run("late", [&](std::stop_token const& token) {
        started.open();
        await([&] { return token.stop_requested(); }, "the destructor to cancel");
        return cause();
      });
      started.wait();
    }
    std::vector<error> const all = lost();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0], cause());
    EXPECT_EQ(all[0].origin().name, "late");
  }
}

TEST_F(GroupLostError, E5_with_keep_all_the_others_are_handed_over_too) {
  {
    group g{{.limit = 1, .policy = on_error::keep_going, .errors = keep::all}};
    fail_unseen(g, [] { return cause(); });
    fail_unseen(g, [] { return second(); });
  }
  std::vector<error> const all = lost();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0], cause());
  ASSERT_EQ(all[0].others().size(), 1U);
  EXPECT_EQ(all[0].others()[0], second());
}

TEST_F(GroupLostError, E5_with_keep_all_a_failure_after_a_cancellation_is_lost) {
  {
    group g{{.limit = 1, .errors = keep::all}};
    fail_unseen(g, [&] {
      g.cancel();
      return cause();
    });
  }
  std::vector<error> const all = lost();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0], errc::canceled);
  ASSERT_EQ(all[0].others().size(), 1U);
  EXPECT_EQ(all[0].others()[0], cause());
}

TEST_F(GroupLostError, E5_a_failure_after_a_cancellation_is_lost_even_if_it_is_only_counted) {
  {
    group g{{.limit = 1, .errors = keep::all, .max_errors = 1}};
    fail_unseen(g, [&] {
      g.cancel();
      return cause();
    });
  }
  std::vector<error> const all = lost();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].dropped(), 1U);
}

TEST_F(GroupLostError, E5_a_failure_after_the_wait_that_told_the_others_is_lost) {
  for (std::size_t const most : {std::size_t{1}, std::size_t{64}}) {
    SCOPED_TRACE(most);
    {
      group g{
          {.limit = 1, .policy = on_error::keep_going, .errors = keep::all, .max_errors = most}};
      g.run([] { return cause(); });
      EXPECT_EQ(g.wait(), cause());
      fail_unseen(g, [] { return second(); });
    }
    std::vector<error> const all = lost();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0], cause());
    EXPECT_EQ(all[0].others().size() + all[0].dropped(), 1U);
    EXPECT_EQ(all[0].dropped(), most == 1 ? 1U : 0U);
  }
}

TEST_F(GroupLostError, E5_a_cause_after_the_wait_that_told_the_others_is_lost) {
  on_every_way_and_destroy(
      [](auto& g) {
        g->run([] { return cause(); });
        EXPECT_EQ(g->wait(), cause());
        g->cancel(second());
        g.reset();
        std::vector<error> const all = lost();
        ASSERT_EQ(all.size(), 1U);
        ASSERT_EQ(all[0].others().size(), 1U);
        EXPECT_EQ(all[0].others()[0], second());
      },
      {.errors = keep::all});
}

TEST_F(GroupLostError, E5_nothing_is_lost_once_a_later_wait_has_told_the_later_failure) {
  on_every_way_and_destroy(
      [](auto& g) {
        for (int round = 0; round != 3; ++round) {
          g->run([] { return cause(); });
          EXPECT_EQ(g->wait(), cause());
        }
        g.reset();
        EXPECT_TRUE(lost().empty());
      },
      {.policy = on_error::keep_going, .errors = keep::all});
}

TEST_F(GroupLostError, an_echo_or_a_plain_cancellation_after_the_wait_is_not_lost) {
  on_every_way_and_destroy(
      [](auto& g) {
        g->run([] { return cause(); });
        EXPECT_EQ(g->wait(), cause());
        g->cancel();
        g.reset();
        EXPECT_TRUE(lost().empty());
      },
      {.errors = keep::all});
  {
    group g{{.limit = 1, .policy = on_error::keep_going, .errors = keep::all}};
    g.run([] { return cause(); });
    EXPECT_EQ(g.wait(), cause());
    fail_unseen(g, [&]() -> error {
      g.cancel();
      return errgroup::check();
    });
  }
  EXPECT_TRUE(lost().empty());
}

TEST_F(GroupLostError, what_keep_first_forgets_is_not_lost) {
  on_every_way_and_destroy(
      [](auto& g) {
        g->run([] { return cause(); });
        EXPECT_EQ(g->wait(), cause());
        g->run([] { return second(); });
        g->cancel(second());
        g.reset();
        EXPECT_TRUE(lost().empty());
      },
      {.policy = on_error::keep_going});
}

TEST_F(GroupLostError, E4_what_was_told_and_reset_is_not_lost_again) {
  on_every_way_and_destroy([](auto& g) {
    g->run([] { return cause(); });
    EXPECT_EQ(g->wait(), cause());
    g->reset();
    g->run([] {});
    g.reset();
    EXPECT_TRUE(lost().empty());
  });
}

TEST_F(GroupLostError, E4_a_failure_after_a_reset_is_lost_although_one_before_it_was_told) {
  {
    group g{{.limit = 1}};
    g.run([] { return second(); });
    EXPECT_EQ(g.wait(), second());
    g.reset();
    fail_unseen(g, [] { return cause(); });
  }
  std::vector<error> const all = lost();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0], cause());
}

TEST_F(GroupLostError, a_wait_inside_that_is_answered_would_deadlock_has_not_told_the_error) {
  {
    group g{{.limit = 1, .policy = on_error::keep_going}};
    fail_unseen(g, [] { return cause(); });
    fail_unseen(g, [&] { EXPECT_EQ(g.wait(), errc::would_deadlock); });
  }
  EXPECT_EQ(lost().size(), 1U);
}

TEST_F(GroupLostError, scope_loses_nothing) {
  for (keep const errors : {keep::first, keep::all}) {
    EXPECT_EQ(errgroup::scope({.errors = errors}, [](group& g) { g.run([] { return cause(); }); }),
              cause());
    EXPECT_TRUE(errgroup::scope({.errors = errors}, [](group& g) {
      g.cancel(second());
      throw std::runtime_error("in the body");
    }));
    EXPECT_EQ(errgroup::scope({.errors = errors}, [](group&) { return cause(); }), cause());
  }
  EXPECT_TRUE(lost().empty());
}

TEST_F(GroupLostError, while_the_stack_unwinds_an_error_is_handed_over_all_the_same) {
  try {
    group g{{.limit = 1}};
    fail_unseen(g, [] { return cause(); });
    throw std::runtime_error("the body's own");
  } catch (std::runtime_error const& e) {
    EXPECT_STREQ(e.what(), "the body's own");
  }
  EXPECT_EQ(lost().size(), 1U);
}

TEST_F(GroupLostError, the_callables_are_gone_when_it_is_handed_over) {
  auto const check = [](error const& e) {
    EXPECT_EQ(support::counted::live(), 0);
    remember(e);
  };
  EXPECT_EQ(set_lost_error_handler(check), &remember);
  {
    group g{{.limit = 1}};
    for (int i = 0; i != 5; ++i) {
      g.run([c = support::counted()] {});
    }
    g.cancel(cause());
  }
  EXPECT_NE(set_lost_error_handler(&remember), nullptr);
  EXPECT_EQ(lost().size(), 1U);
}

TEST_F(GroupLostError, the_handler_may_use_groups) {
  auto const use = [](error const& e) {
    group g;
    EXPECT_EQ(g.run_and_wait([&e] { return e; }), e);
    remember(e);
  };
  EXPECT_EQ(set_lost_error_handler(use), &remember);
  {
    group g;
    g.cancel(cause());
  }
  EXPECT_NE(set_lost_error_handler(&remember), nullptr);
  EXPECT_EQ(lost().size(), 1U);
}

TEST_F(GroupLostError, without_a_handler_nobody_is_told) {
  EXPECT_EQ(set_lost_error_handler(nullptr), &remember);
  {
    group g{{.limit = 1}};
    fail_unseen(g, [] { return cause(); });
  }
  EXPECT_EQ(set_lost_error_handler(&remember), nullptr);
  EXPECT_TRUE(lost().empty());
}

TEST_F(GroupLostError, E2_each_of_many_groups_in_many_threads_hands_over_its_own) {
  constexpr std::size_t each = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([] {
      for (std::size_t i = 0; i != each; ++i) {
        group g;
        g.cancel(cause());
      }
    });
  }
  for (auto& t : threads) {
    t.join();
  }
  EXPECT_EQ(lost().size(), 4 * each);
}

TEST_F(GroupLostError, E2_a_group_that_another_thread_destroys_hands_over_its_error) {
  for (int const limit : {errgroup::unlimited, 1}) {
    auto g = std::make_unique<group>(options{.limit = limit});
    g->cancel(cause());
    std::thread([&] { g.reset(); }).join();
    EXPECT_EQ(lost().size(), 1U);
  }
}

}  // namespace
