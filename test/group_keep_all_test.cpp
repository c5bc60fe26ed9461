// SPDX-License-Identifier: Apache-2.0

// Promises E1, E4 and E5 with keep::all: what a group tells besides its first error.

#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/exception_group.hpp>
#include <errgroup/group.hpp>
#include <errgroup/scope.hpp>

#include <gtest/gtest.h>

#include <algorithm>     // count, min, sort
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <exception>     // exception, exception_ptr, rethrow_exception
#include <memory>        // make_unique
#include <optional>      // optional
#include <span>          // span
#include <stdexcept>     // invalid_argument, logic_error, runtime_error
#include <string>        // string, to_string
#include <system_error>  // errc, error_code, system_error
#include <thread>        // thread
#include <type_traits>   // is_nothrow_copy_...
#include <utility>       // move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::exception_group;
using errgroup::group;
using errgroup::keep;
using errgroup::on_error;
using errgroup::options;
using support::gate;
using support::on_every_way;
using support::rendezvous;
using support::waiters;

std::error_code code(std::errc e) { return std::make_error_code(e); }
std::error_code cause() { return code(std::errc::no_space_on_device); }
std::error_code second() { return code(std::errc::broken_pipe); }
std::error_code third() { return code(std::errc::bad_address); }

options const all_of_them{.policy = on_error::keep_going, .errors = keep::all};
/// Tasks run one after the other, in the order of their submission.
options const one_by_one{.limit = 1, .policy = on_error::keep_going, .errors = keep::all};

/// What each failure says, the first one first.
std::vector<std::string> whats(error const& e) {
  std::vector<std::string> said;
  for (error const& one : e.all()) {
    said.push_back(one.what());
  }
  return said;
}

using words = std::vector<std::string>;

auto fails_with(std::string what) {
  return [what = std::move(what)] { throw std::runtime_error(what); };
}

// --- others ----------------------------------------------------------------------------------

TEST(GroupKeepAll, E5_wait_tells_the_first_error_and_the_others_in_the_order_in_which_they_failed) {
  group g{one_by_one};
  for (int i = 0; i != 20; ++i) {
    g.run([i] {
      if (i % 3 == 0) throw std::runtime_error(std::to_string(i));
    });
  }
  error const e = g.wait();
  EXPECT_EQ(whats(e), (words{"0", "3", "6", "9", "12", "15", "18"}));
  EXPECT_EQ(e.dropped(), 0U);
  EXPECT_EQ(e.echoes(), 0U);
}

TEST(GroupKeepAll, E5_the_order_is_that_of_completion_not_of_submission) {
  group g{{.limit = 2, .policy = on_error::keep_going, .errors = keep::all}};
  rendezvous both(2, "both tasks to run");
  gate later_failed("the later task to have failed");
  g.run([&]() -> std::error_code {
    both.arrive_and_wait();
    later_failed.wait();
    return second();
  });
  g.run([&] {
    both.arrive_and_wait();
    return cause();
  });
  g.run([&] { later_failed.open(); });  // in the later one's slot, when that is free
  waiters all(g, 2);
  for (error const& e : all.errors()) {
    EXPECT_EQ(e, cause());
    ASSERT_EQ(e.others().size(), 1U);
    EXPECT_EQ(e.others()[0], second());
  }
}

TEST(GroupKeepAll, E5_every_failure_is_told_on_every_way_exactly_once) {
  on_every_way(
      [](group& g) {
        constexpr int n = 40;
        for (int i = 0; i != n; ++i) {
          g.run([i] { throw std::runtime_error(std::to_string(100 + i)); });
        }
        error const e = g.wait();
        words all = whats(e);
        std::sort(all.begin(), all.end());
        words expected;
        for (int i = 0; i != n; ++i) {
          expected.push_back(std::to_string(100 + i));
        }
        EXPECT_EQ(all, expected);
        EXPECT_EQ(e.dropped(), 0U);
      },
      all_of_them);
}

TEST(GroupKeepAll, E5_what_is_returned_thrown_and_given_to_cancel_is_listed_alike) {
  on_every_way(
      [](group& g) {
        EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
        EXPECT_TRUE(g.try_run([] { throw std::logic_error("thrown"); }));
        error const two = g.wait();
        EXPECT_EQ(two.others().size(), 1U);
        g.run("named", [] { return third(); });
        error const three = g.wait();
        EXPECT_EQ(three.others().size(), 2U);
        g.cancel(second());
        error const e = g.wait();
        EXPECT_EQ(whats(e),
                  (words{cause().message(), "thrown", third().message(), second().message()}));
      },
      all_of_them);
}

TEST(GroupKeepAll, E1_a_failure_after_the_group_was_cancelled_by_the_first_one_is_listed) {
  for (int const limit : {errgroup::unlimited, 2}) {
    SCOPED_TRACE(limit);
    group g{{.limit = limit, .errors = keep::all}};
    rendezvous both(2, "both tasks to run");
    g.run([&] {
      both.arrive_and_wait();
      return cause();
    });
    g.run([&] {
      both.arrive_and_wait();
      support::await([&] { return g.is_canceling(); }, "the failed group to be cancelled");
      throw std::runtime_error("a failure of its own");
    });
    waiters all(g, 2);
    for (error const& e : all.errors()) {
      EXPECT_EQ(whats(e), (words{cause().message(), "a failure of its own"}));
    }
  }
}

TEST(GroupKeepAll, E5_keep_first_never_lists) {
  on_every_way(
      [](group& g) {
        for (int i = 0; i != 10; ++i) {
          g.run([] { return cause(); });
          g.run([]() -> error { return errc::canceled; });
          g.run([] { throw std::runtime_error("x"); });
        }
        g.cancel(second());
        error const e = g.wait();
        EXPECT_TRUE(e);
        EXPECT_TRUE(e.others().empty());
        EXPECT_EQ(e.dropped(), 0U);
        EXPECT_EQ(e.echoes(), 0U);
      },
      {.policy = on_error::keep_going});
}

TEST(GroupKeepAll, success_has_no_others) {
  on_every_way(
      [](group& g) {
        g.run([] {});
        error const e = g.wait();
        EXPECT_FALSE(e);
        EXPECT_TRUE(e.others().empty());
        EXPECT_EQ(e.dropped() + e.echoes(), 0U);
      },
      all_of_them);
}

// --- echoes ----------------------------------------------------------------------------------

TEST(GroupKeepAll, E1_echoes_of_the_cancellation_are_counted_and_not_listed) {
  // A code, a foreign one that means the same, and a thrown one.
  for (int const limit : {errgroup::unlimited, 5}) {
    SCOPED_TRACE(limit);
    group g{{.limit = limit, .errors = keep::all}};
    rendezvous all_run(5, "all tasks to run");
    auto const canceled = [&] {
      all_run.arrive_and_wait();
      support::await([&] { return g.is_canceling(); }, "the failed group to be cancelled");
    };
    g.run([&] {
      all_run.arrive_and_wait();
      return cause();
    });
    g.run([&]() -> error {
      canceled();
      return errc::canceled;
    });
    g.run([&] {
      canceled();
      return code(std::errc::operation_canceled);
    });
    g.run([&] {
      canceled();
      throw std::system_error(make_error_code(errc::canceled));
    });
    g.run([&] {
      canceled();
      throw std::runtime_error("a failure");
    });
    waiters all(g, 5);
    for (error const& e : all.errors()) {
      EXPECT_EQ(whats(e), (words{cause().message(), "a failure"}));
      EXPECT_EQ(e.echoes(), 3U);
      EXPECT_EQ(e.dropped(), 0U);
    }
  }
}

TEST(GroupKeepAll, E1_a_cancellation_that_a_task_tells_of_a_group_that_is_not_cancelled_is_listed) {
  on_every_way(
      [](group& g) {
        EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
        EXPECT_EQ(g.run_and_wait([]() -> error { return errc::canceled; }), cause());
        error const e =
            g.run_and_wait([] { throw std::system_error(code(std::errc::operation_canceled)); });
        ASSERT_EQ(e.others().size(), 2U);
        EXPECT_EQ(e.others()[0], errc::canceled);
        EXPECT_EQ(e.others()[1], std::errc::operation_canceled);
        EXPECT_EQ(e.echoes(), 0U);
      },
      all_of_them);
}

TEST(GroupKeepAll, E1_after_cancel_the_first_is_the_cancellation_and_real_failures_are_its_others) {
  on_every_way(
      [](group& g) {
        g.run([&g] {
          g.cancel();
          return cause();
        });
        error const e = g.wait();
        EXPECT_EQ(e, errc::canceled);
        ASSERT_EQ(e.others().size(), 1U);
        EXPECT_EQ(e.others()[0], cause());
        EXPECT_EQ(e.echoes(), 0U);
      },
      {.errors = keep::all});
}

TEST(GroupKeepAll, E1_a_plain_cancellation_after_a_failure_is_neither_listed_nor_an_echo) {
  on_every_way(
      [](group& g) {
        EXPECT_EQ(g.run_and_wait([] { return cause(); }), cause());
        g.cancel();
        g.cancel();
        error const e = g.wait();
        EXPECT_EQ(e, cause());
        EXPECT_TRUE(e.others().empty());
        EXPECT_EQ(e.echoes() + e.dropped(), 0U);
      },
      all_of_them);
}

TEST(GroupKeepAll, E5_what_failed_in_a_cancelled_group_is_not_lost_when_that_becomes_a_cause) {
  error const e = errgroup::scope({.errors = keep::all}, [](group& g) -> error {
    group stopped{{.errors = keep::all}};
    stopped.run([&stopped] {
      stopped.cancel();
      return cause();
    });
    EXPECT_EQ(g.run_and_wait([] { return second(); }), second());
    return stopped.wait();  // "cancelled", and the cause among the others
  });
  EXPECT_EQ(e, second());
  EXPECT_NE(e.find_if([](error const& one) { return one == cause(); }), nullptr);
}

TEST(GroupKeepAll, E1_after_the_parent_s_cancellation_real_failures_are_others_of_it) {
  for (int const limit : {errgroup::unlimited, 1}) {
    for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", policy " << int(policy));
      group parent;
      error of_the_child;
      error const of_the_parent = parent.run_and_wait([&] {
        group child{{.limit = limit, .policy = policy, .errors = keep::all}};
        child.run([&] {
          parent.cancel(second());
          return cause();
        });
        of_the_child = child.wait();
      });
      EXPECT_EQ(of_the_parent, second());
      EXPECT_EQ(of_the_child, errc::canceled);
      ASSERT_EQ(of_the_child.others().size(), 1U);
      EXPECT_EQ(of_the_child.others()[0], cause());
      EXPECT_EQ(of_the_child.echoes(), 0U);
    }
  }
}

TEST(GroupKeepAll, E1_what_a_task_tells_of_the_parent_s_cancellation_is_an_echo) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    group parent;
    error of_the_child;
    error const of_the_parent = parent.run_and_wait([&] {
      group child{{.limit = limit, .errors = keep::all}};
      child.run([&]() -> error {
        parent.cancel(second());
        return errgroup::check();
      });
      of_the_child = child.wait();
    });
    EXPECT_EQ(of_the_parent, second());
    EXPECT_EQ(of_the_child, errc::canceled);
    EXPECT_TRUE(of_the_child.others().empty());
    EXPECT_EQ(of_the_child.echoes(), 1U);
  }
}

TEST(GroupKeepAll, E1_of_a_group_that_keeps_going_the_parent_s_cancellation_has_echoes_too) {
  // It has failed before, so nothing but the echo itself tells it that the parent is cancelled.
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    group parent;
    error of_the_child;
    error const of_the_parent = parent.run_and_wait([&] {
      group child{{.limit = limit, .policy = on_error::keep_going, .errors = keep::all}};
      EXPECT_EQ(child.run_and_wait([] { return cause(); }), cause());
      child.run([&]() -> error {
        parent.cancel(second());
        return errgroup::check();
      });
      of_the_child = child.wait();
    });
    EXPECT_EQ(of_the_parent, second());
    EXPECT_EQ(of_the_child, cause());
    EXPECT_TRUE(of_the_child.others().empty()) << of_the_child;
    EXPECT_EQ(of_the_child.echoes(), 1U);
  }
}

TEST(GroupKeepAll, E1_a_second_cause_is_listed_and_its_others_with_it) {
  on_every_way(
      [](group& g) {
        group inner{one_by_one};
        inner.run(fails_with("inner 1"));
        inner.run(fails_with("inner 2"));
        error const of_inner = inner.wait();
        g.cancel(cause());
        g.cancel(second());
        g.cancel(of_inner);
        EXPECT_EQ(whats(g.wait()),
                  (words{cause().message(), second().message(), "inner 1", "inner 2"}));
      },
      {.errors = keep::all});
}

TEST(GroupKeepAll, E1_a_cause_with_others_is_the_first_with_its_others) {
  on_every_way(
      [](group& g) {
        group inner{one_by_one};
        inner.run(fails_with("inner 1"));
        inner.run(fails_with("inner 2"));
        g.cancel(inner.wait());
        g.cancel(cause());
        EXPECT_EQ(whats(g.wait()), (words{"inner 1", "inner 2", cause().message()}));
      },
      {.errors = keep::all});
}

TEST(GroupKeepAll, E1_a_group_s_own_errors_may_be_its_cause_once_more) {
  // The list is read while it grows: what it says is kept by the error that was told.
  group g{{.policy = on_error::keep_going, .errors = keep::all}};
  for (int i = 0; i != 7; ++i) {
    EXPECT_TRUE(g.run_and_wait([] { return cause(); }));
  }
  for (std::size_t n = 6; n != 6 + 7 * 5; n += 7) {
    error const e = g.wait();
    EXPECT_EQ(e.others().size(), n);
    group h{{.errors = keep::all}};
    h.cancel(e);
    error const told = h.wait();
    EXPECT_EQ(told.others().size(), n);
    for (int i = 0; i != 7; ++i) {
      EXPECT_TRUE(g.run_and_wait([] { return second(); }));
    }
  }
  error const before = g.wait();
  std::size_t const n = before.others().size();
  g.cancel(before);
  EXPECT_EQ(before.others().size(), n);
  error const after = g.wait();
  EXPECT_EQ(after.others().size() + after.dropped(), 2 * n + 1);
}

// --- how many --------------------------------------------------------------------------------

TEST(GroupKeepAll, E5_sixty_four_are_kept_the_first_included_and_the_rest_are_counted) {
  on_every_way(
      [](group& g) {
        for (int i = 0; i != 100; ++i) {
          g.run([] { return cause(); });
        }
        error const e = g.wait();
        EXPECT_EQ(e.others().size(), 63U);
        EXPECT_EQ(e.dropped(), 36U);
      },
      all_of_them);
}

TEST(GroupKeepAll, E5_as_many_are_kept_as_were_asked_for) {
  for (std::size_t const most : {std::size_t{2}, std::size_t{8}, std::size_t{9}, std::size_t{10},
                                 std::size_t{17}, std::size_t{99}, std::size_t{100}}) {
    SCOPED_TRACE(most);
    options o = one_by_one;
    o.max_errors = most;
    group g{o};
    for (int i = 0; i != 100; ++i) {
      g.run([i] { throw std::runtime_error(std::to_string(i)); });
    }
    error const e = g.wait();
    EXPECT_EQ(e.others().size(), most - 1);
    EXPECT_EQ(e.dropped(), 100 - most);
    EXPECT_EQ(whats(e).back(), std::to_string(most - 1)) << "the earliest are kept";
  }
}

TEST(GroupKeepAll, E5_of_one_error_kept_the_others_are_counted) {
  on_every_way(
      [](group& g) {
        for (int i = 0; i != 5; ++i) {
          g.run([] { return cause(); });
        }
        error const e = g.wait();
        EXPECT_EQ(e, cause());
        EXPECT_TRUE(e.others().empty());
        EXPECT_EQ(e.dropped(), 4U);
      },
      {.policy = on_error::keep_going, .errors = keep::all, .max_errors = 1});
}

TEST(GroupKeepAll, a_max_errors_of_nothing_is_refused_in_words) {
  try {
    group const g{{.errors = keep::all, .max_errors = 0}};
    ADD_FAILURE() << "made";
  } catch (std::invalid_argument const& e) {
    EXPECT_NE(std::string(e.what()).find("max_errors"), std::string::npos) << e.what();
  }
  EXPECT_THROW((void)errgroup::scope({.errors = keep::all, .max_errors = 0}, [](group&) {}),
               std::invalid_argument);
  EXPECT_THROW(group{{.max_errors = 0}}, std::invalid_argument) << "also where it has no use";
}

TEST(GroupKeepAll, E5_thousands_of_failures_from_many_threads_are_all_there_each_once) {
  constexpr int threads = 4;
  constexpr int each = 1000;
  on_every_way(
      [](group& g) {
        std::vector<std::thread> submitters;
        for (int t = 0; t != threads; ++t) {
          submitters.emplace_back([&g, t] {
            for (int i = 0; i != each; ++i) {
              g.run([n = t * each + i] { throw n; });
            }
          });
        }
        for (auto& t : submitters) {
          t.join();
        }
        error const e = g.wait();
        EXPECT_EQ(e.dropped(), 0U);
        ASSERT_EQ(e.others().size() + 1, std::size_t{threads * each});
        std::vector<int> times(std::size_t{threads * each});
        auto const count = [&times](error const& one) {
          int const* const n = one.get_if<int>();
          ASSERT_NE(n, nullptr);
          ++times[static_cast<std::size_t>(*n)];
        };
        for (error const& one : e.all()) {
          count(one);
        }
        EXPECT_EQ(std::count(times.begin(), times.end(), 1), threads * each);
      },
      {.policy = on_error::keep_going, .errors = keep::all, .max_errors = errgroup::npos});
}

// --- what it says ----------------------------------------------------------------------------

TEST(GroupKeepAll, the_message_has_a_line_for_each_failure_the_first_one_first) {
  group g{one_by_one};
  g.run("a", fails_with("one"), {});
  g.run("b", fails_with("two\nlines\n"), {});
  g.run("c", fails_with("three"), {});
  EXPECT_EQ(g.wait().message(), "a: one (task 0)\nb: two lines  (task 1)\nc: three (task 2)");
}

TEST(GroupKeepAll, the_message_s_first_line_is_not_broken_either) {
  options o = one_by_one;
  o.max_errors = 1;
  group g{o};
  g.run("a", fails_with("one\nand a half"), {});
  EXPECT_EQ(g.wait().message(), "a: one\nand a half (task 0)") << "a single failure is no list";
  g.run("b", fails_with("two"), {});
  EXPECT_EQ(g.wait().message(), "a: one and a half (task 0)\nand 1 more failure");
  g.run("c", fails_with("three"), {});
  EXPECT_EQ(g.wait().message(), "a: one and a half (task 0)\nand 2 more failures");
}

TEST(GroupKeepAll, the_message_ends_with_how_many_more_there_were) {
  options o = one_by_one;
  o.max_errors = 2;
  group g{o};
  for (char const* const name : {"a", "b", "c", "d", "e"}) {
    g.run(name, fails_with("x"), {});
  }
  EXPECT_EQ(g.wait().message(), "a: x (task 0)\nb: x (task 1)\nand 3 more failures");
}

TEST(GroupKeepAll, get_if_and_find_if_look_through_all) {
  group g{one_by_one};
  g.run([] { return cause(); });
  g.run(fails_with("second"));
  g.run([] { throw 42; });
  g.run([] { throw 43; });
  error const e = g.wait();
  ASSERT_NE(e.get_if<std::error_code>(), nullptr);
  EXPECT_EQ(*e.get_if<std::error_code>(), cause());
  ASSERT_NE(e.get_if<std::runtime_error>(), nullptr);
  EXPECT_STREQ(e.get_if<std::runtime_error>()->what(), "second");
  ASSERT_NE(e.get_if<int>(), nullptr);
  EXPECT_EQ(*e.get_if<int>(), 42) << "the first of several";
  EXPECT_EQ(e.get_if<std::logic_error>(), nullptr);

  ASSERT_EQ(e.all().size(), 4U);
  EXPECT_EQ(e.find_if([](error const&) { return true; }), e.all().data());
  EXPECT_EQ(e.find_if([](error const& one) { return one.what() == "second"; }), &e.others()[0]);
  EXPECT_EQ(e.find_if([](error const&) { return false; }), nullptr);
  int looked_at = 0;
  EXPECT_EQ(e.find_if([&](error const&) { return ++looked_at == 10; }), nullptr);
  EXPECT_EQ(looked_at, 4);
  error const none;
  EXPECT_EQ(none.find_if([](error const&) { return true; }), nullptr);
}

TEST(GroupKeepAll, all_has_each_failure_alone_and_in_order) {
  on_every_way(
      [](group& g) {
        (void)g.run_and_wait("a", [] { return cause(); });
        (void)g.run_and_wait("b", fails_with("second"));
        (void)g.run_and_wait("c", [] { return third(); });
        (void)g.run_and_wait("d", [] { return third(); });
        error e = g.wait();
        EXPECT_EQ(e.dropped(), 1U);
        error const copy = e;
        std::span<error const> const all = e.all();
        e = error();
        EXPECT_EQ(all.data(), copy.all().data()) << "copies share them";
        ASSERT_EQ(all.size(), 3U);
        EXPECT_EQ(all[0], cause());
        EXPECT_EQ(all[0].message().substr(0, 3), "a: ");
        EXPECT_EQ(all[1].what(), "second");
        EXPECT_EQ(all[2], third());
        EXPECT_EQ(all[2].origin().name, "c");
        for (error const& one : all) {
          EXPECT_TRUE(one.others().empty());
          EXPECT_EQ(one.all().data(), &one);
          EXPECT_EQ(one.dropped() + one.echoes() + one.skipped(), 0U);
        }
        EXPECT_EQ(all[0].get_if<std::runtime_error>(), nullptr) << "that is another failure";
      },
      {.policy = on_error::keep_going, .errors = keep::all, .max_errors = 3});
}

TEST(GroupKeepAll, all_of_an_earlier_wait_does_not_grow) {
  group g{{.policy = on_error::keep_going, .errors = keep::all, .max_errors = errgroup::npos}};
  std::vector<error> told;
  for (std::size_t n = 0; n != 40; ++n) {
    EXPECT_TRUE(g.run_and_wait(fails_with(std::to_string(n))));
    told.push_back(g.wait());
    for (error const& e : told) {
      ASSERT_EQ(e.all().size(), e.others().size() + 1);
      EXPECT_EQ(e.all()[0].what(), "0");
      EXPECT_EQ(e.all().back().what(), std::to_string(e.others().size()));
    }
    EXPECT_EQ(told.back().all().size(), n + 1);
  }
}

TEST(GroupKeepAll, raise_throws_the_first) {
  group g{one_by_one};
  g.run(fails_with("first"));
  g.run([] { throw std::logic_error("second"); });
  error const e = g.wait();
  try {
    e.raise();
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::runtime_error const& thrown) {
    EXPECT_EQ(std::string(thrown.what()), "first");
    EXPECT_EQ(dynamic_cast<exception_group const*>(&thrown), nullptr);
  }
}

TEST(GroupKeepAll, raise_all_throws_all_of_them) {
  static_assert(std::is_base_of_v<std::exception, exception_group>);
  static_assert(std::is_nothrow_copy_constructible_v<exception_group>);
  static_assert(std::is_nothrow_copy_assignable_v<exception_group>);
  error e;
  {
    group g{one_by_one};
    g.run(fails_with("first"));
    g.run([] { throw std::logic_error("second"); });
    g.run([] { return cause(); });
    e = g.wait();
  }
  std::optional<exception_group> copy;
  try {
    e.raise_all();
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::exception const& thrown) {
    EXPECT_EQ(thrown.what(), e.message());
    auto const* const all = dynamic_cast<exception_group const*>(&thrown);
    ASSERT_NE(all, nullptr);
    copy = *all;
  }
  EXPECT_EQ(copy->what(), e.message());
  EXPECT_EQ(copy->error(), e);
  EXPECT_EQ(whats(copy->error()), whats(e));
  std::vector<std::exception_ptr> const each = copy->exceptions();
  ASSERT_EQ(each.size(), 3U);
  EXPECT_EQ(each[0], e.exception());
  EXPECT_THROW(std::rethrow_exception(each[1]), std::logic_error);
  EXPECT_THROW(std::rethrow_exception(each[2]), std::system_error);
}

TEST(GroupKeepAll, raise_all_of_a_single_error_is_a_group_of_one_and_of_success_nothing) {
  EXPECT_NO_THROW(error().raise_all());
  try {
    error(cause()).raise_all();
    ADD_FAILURE() << "nothing was thrown";
  } catch (exception_group const& thrown) {
    EXPECT_EQ(thrown.error(), cause());
    EXPECT_EQ(thrown.exceptions().size(), 1U);
    EXPECT_EQ(thrown.what(), cause().message());
  }
  EXPECT_TRUE(exception_group(error()).exceptions().empty());
}

// --- flattening ------------------------------------------------------------------------------

/// A group's error with another.
error two_failures(std::string const& name) {
  group g{one_by_one};
  g.run(fails_with(name + " 1"));
  g.run(fails_with(name + " 2"));
  return g.wait();
}

TEST(GroupKeepAll, E5_what_a_task_returns_of_an_inner_group_is_listed_flat) {
  on_every_way(
      [](group& g) {
        EXPECT_TRUE(g.run_and_wait([] { return two_failures("a"); }));
        EXPECT_TRUE(g.run_and_wait([] { return two_failures("b"); }));
        EXPECT_TRUE(g.run_and_wait([] { return cause(); }));
        error const e = g.wait();
        EXPECT_EQ(whats(e), (words{"a 1", "a 2", "b 1", "b 2", cause().message()}));
        for (error const& other : e.others()) {
          EXPECT_TRUE(other.others().empty()) << "each is a single failure";
          EXPECT_EQ(other.dropped() + other.echoes(), 0U);
        }
      },
      all_of_them);
}

TEST(GroupKeepAll, E5_what_a_task_throws_of_an_inner_group_is_listed_flat) {
  on_every_way(
      [](group& g) {
        EXPECT_TRUE(g.run_and_wait([] { two_failures("a").raise_all(); }));
        EXPECT_TRUE(g.run_and_wait([] { two_failures("b").raise_all(); }));
        EXPECT_EQ(whats(g.wait()), (words{"a 1", "a 2", "b 1", "b 2"}));
      },
      all_of_them);
}

TEST(GroupKeepAll, E5_what_a_task_throws_as_an_error_is_listed_flat) {
  on_every_way(
      [](group& g) {
        EXPECT_TRUE(g.run_and_wait([] { throw two_failures("a"); }));
        EXPECT_TRUE(g.run_and_wait([] { throw two_failures("b"); }));
        EXPECT_EQ(whats(g.wait()), (words{"a 1", "a 2", "b 1", "b 2"}));
      },
      all_of_them);
}

TEST(GroupKeepAll, E2_a_thrown_group_of_nothing_is_a_failure) {
  for (keep const errors : {keep::first, keep::all}) {
    on_every_way(
        [](group& g) {
          error const e = g.run_and_wait([] { throw exception_group(error()); });
          EXPECT_EQ(e, errc::failed);
        },
        {.errors = errors});
  }
}

TEST(GroupKeepAll, E1_with_keep_first_an_inner_group_s_error_keeps_its_others) {
  for (bool const thrown : {false, true}) {
    on_every_way([thrown](group& g) {
      g.run([thrown]() -> error {
        error e = two_failures("inner");
        if (thrown) {
          e.raise_all();
        }
        return e;
      });
      EXPECT_EQ(whats(g.wait()), (words{"inner 1", "inner 2"}));
    });
  }
}

TEST(GroupKeepAll, E5_three_levels_are_flat_and_what_each_has_dropped_is_counted) {
  options o = one_by_one;
  o.max_errors = 2;
  auto const leaf = [o] {
    group g{o};
    for (int i = 0; i != 5; ++i) {
      g.run(fails_with("leaf"));
    }
    return g.wait();
  };
  EXPECT_EQ(leaf().dropped(), 3U);
  auto const middle = [leaf] {
    group g{one_by_one};
    g.run(leaf);
    g.run(leaf);
    return g.wait();
  };
  group top{one_by_one};
  top.run(middle);
  top.run([] { return cause(); });
  top.run(middle);
  error const e = top.wait();
  EXPECT_EQ(whats(e), (words{"leaf", "leaf", "leaf", "leaf", cause().message(), "leaf", "leaf",
                             "leaf", "leaf"}));
  EXPECT_EQ(e.dropped(), 12U);
}

TEST(GroupKeepAll, E5_the_others_of_an_inner_error_count_for_the_most_that_is_kept) {
  options o = one_by_one;
  o.max_errors = 3;
  group g{o};
  g.run([] { return two_failures("a"); });
  g.run([] { return two_failures("b"); });
  error const e = g.wait();
  EXPECT_EQ(whats(e), (words{"a 1", "a 2", "b 1"}));
  EXPECT_EQ(e.dropped(), 1U);
}

TEST(GroupKeepAll, E1_the_echoes_of_an_inner_group_are_echoes) {
  group outer{one_by_one};
  outer.run([] { return cause(); });
  outer.run([]() -> error {
    group inner{{.limit = 1, .errors = keep::all}};
    inner.run([&]() -> error {
      inner.cancel(second());
      return errgroup::check();
    });
    return inner.wait();
  });
  error const e = outer.wait();
  EXPECT_EQ(whats(e), (words{cause().message(), second().message()}));
  EXPECT_EQ(e.echoes(), 1U);
}

// --- what was told stays as it is ------------------------------------------------------------

TEST(GroupKeepAll, E4_an_error_of_an_earlier_wait_does_not_change) {
  for (std::size_t const most : {std::size_t{5}, std::size_t{64}, errgroup::npos}) {
    SCOPED_TRACE(most);
    on_every_way(
        [most](group& g) {
          std::vector<error> told;
          for (std::size_t n = 0; n != 40; ++n) {
            EXPECT_TRUE(g.run_and_wait([n] { throw std::runtime_error(std::to_string(n)); }));
            told.push_back(g.wait());
          }
          for (std::size_t n = 0; n != 40; ++n) {
            EXPECT_EQ(told[n], told[0]) << "the first error is the same";
            ASSERT_EQ(told[n].others().size(), std::min(n, most - 1));
            EXPECT_EQ(told[n].dropped(), n - told[n].others().size());
            for (std::size_t i = 0; i != told[n].others().size(); ++i) {
              EXPECT_EQ(told[n].others()[i].what(), std::to_string(i + 1));
            }
          }
        },
        {.policy = on_error::keep_going, .errors = keep::all, .max_errors = most});
  }
}

TEST(GroupKeepAll, E4_the_others_outlive_the_group_and_its_reset) {
  error e;
  std::span<error const> others;
  {
    auto g = std::make_unique<group>(one_by_one);
    for (int i = 0; i != 30; ++i) {
      g->run([i] { throw std::runtime_error(std::to_string(i)); });
    }
    e = g->wait();
    others = e.others();
    g->reset();
    g->run(fails_with("another"));
    EXPECT_EQ(whats(g->wait()), words{"another"});
    g.reset();
  }
  error const copy = e;
  e = error();
  EXPECT_EQ(others.data(), copy.others().data()) << "copies share them";
  ASSERT_EQ(others.size(), 29U);
  for (std::size_t i = 0; i != others.size(); ++i) {
    EXPECT_EQ(others[i].what(), std::to_string(i + 1));
  }
}

TEST(GroupKeepAll, E4_one_of_the_others_outlives_the_first) {
  error one;
  {
    group g{one_by_one};
    g.run(fails_with("first"));
    g.run("second", fails_with("second"));
    error const both = g.wait();
    one = both.others()[0];
  }
  EXPECT_EQ(one.what(), "second");
  EXPECT_EQ(one.origin().name, "second");
  EXPECT_TRUE(one.others().empty());
}

TEST(GroupKeepAll, E4_reset_forgets_all_of_them) {
  on_every_way(
      [](group& g) {
        for (int round = 0; round != 3; ++round) {
          for (int i = 0; i != 5; ++i) {
            g.run([] { return cause(); });
          }
          g.cancel(second());
          error const e = g.wait();
          EXPECT_EQ(e.others().size() + e.dropped() + e.skipped(), 5U);
          g.reset();
          error const fresh = g.wait();
          EXPECT_FALSE(fresh);
          EXPECT_TRUE(fresh.others().empty());
          EXPECT_EQ(fresh.dropped() + fresh.echoes() + fresh.skipped(), 0U);
          error const again = g.run_and_wait([] { return third(); });
          EXPECT_EQ(whats(again), words{third().message()});
          EXPECT_EQ(again.dropped() + again.echoes(), 0U);
          g.reset();
        }
      },
      {.policy = on_error::keep_going, .errors = keep::all, .max_errors = 2});
}

TEST(GroupKeepAll, E4_every_waiter_gets_the_same_error_and_the_same_others) {
  for (int const limit : {errgroup::unlimited, 2}) {
    SCOPED_TRACE(limit);
    group g{{.limit = limit, .policy = on_error::keep_going, .errors = keep::all}};
    for (int i = 0; i != 50; ++i) {
      g.run([i] { throw std::runtime_error(std::to_string(i)); });
    }
    waiters all(g, 4);
    error const later = g.wait();
    EXPECT_EQ(later.others().size(), 49U);
    for (error const& e : all.errors()) {
      EXPECT_EQ(e, later);
      EXPECT_EQ(e.others().data(), later.others().data());
      EXPECT_EQ(e.others().size(), later.others().size());
    }
  }
}

TEST(GroupKeepAll, E4_who_waits_reads_the_others_while_more_fail) {
  support::watchdog const guard("readers beside tasks that fail");
  group g{{.policy = on_error::keep_going, .errors = keep::all, .max_errors = errgroup::npos}};
  EXPECT_TRUE(g.run_and_wait(fails_with("0")));
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int t = 0; t != 3; ++t) {
    readers.emplace_back([&] {
      std::size_t most = 0;
      while (!done) {
        error const e = g.wait();
        EXPECT_GE(e.others().size(), most);
        most = e.others().size();
        for (error const& other : e.others()) {
          error const copy = other;
          EXPECT_EQ(copy, errc::exception);
          EXPECT_NE(copy.get_if<std::runtime_error>(), nullptr);
        }
      }
    });
  }
  for (int i = 0; i != 300; ++i) {
    g.run("a task with a name", fails_with("x"));
  }
  error const all = g.wait();
  EXPECT_EQ(all.others().size(), 300U);
  done = true;
  for (auto& t : readers) {
    t.join();
  }
}

TEST(GroupKeepAll, copies_are_used_from_many_threads_at_once) {
  error e = two_failures("shared");
  std::string const said = e.message();
  std::vector<std::thread> threads;
  for (int i = 0; i != 4; ++i) {
    threads.emplace_back([mine = e, &said] {
      for (int n = 0; n != 100; ++n) {
        error copy = mine;
        error const other = copy.others()[0];
        EXPECT_EQ(copy.message(), said);
        copy = other;
        EXPECT_EQ(copy.what(), "shared 2");
      }
    });
  }
  e = error();
  for (auto& t : threads) {
    t.join();
  }
}

TEST(GroupKeepAll, swaps_moves_and_assigns_with_the_others) {
  error a = two_failures("a");
  error b = two_failures("b");
  swap(a, b);
  EXPECT_EQ(whats(a), (words{"b 1", "b 2"}));
  EXPECT_EQ(whats(b), (words{"a 1", "a 2"}));
  error& same = a;
  a = same;
  EXPECT_EQ(whats(a), (words{"b 1", "b 2"}));
  b = std::move(a);
  EXPECT_EQ(whats(b), (words{"b 1", "b 2"}));
  // What a moved-from error is, is part of its contract.
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(a.others().empty());
  // An error assigned from what it alone holds.
  b = b.others()[0];
  EXPECT_EQ(whats(b), (words{"b 2"}));
}

TEST(GroupKeepAll, scope_tells_all_of_them) {
  error const e = errgroup::scope(one_by_one, [](group& g) {
    g.run(fails_with("one"));
    g.run(fails_with("two"));
    EXPECT_TRUE(g.wait());
    return cause();
  });
  EXPECT_EQ(whats(e), (words{"one", "two", cause().message()}));
}

}  // namespace
