// SPDX-License-Identifier: Apache-2.0

// Promise E1: an error says where it comes from.

#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/scope.hpp>

#include <gtest/gtest.h>

#include <algorithm>        // sort
#include <cstddef>          // size_t
#include <memory>           // make_unique, unique_ptr
#include <optional>         // optional
#include <source_location>  // source_location
#include <sstream>          // ostringstream
#include <stdexcept>        // runtime_error
#include <string>           // string, to_string
#include <string_view>      // string_view
#include <system_error>     // errc, error_code, system_error
#include <thread>           // thread
#include <utility>          // move
#include <vector>           // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::npos;
using errgroup::on_error;
using errgroup::options;
using errgroup::task_origin;
using support::gate;
using support::on_every_way;

using here = std::source_location;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code another() { return std::make_error_code(std::errc::broken_pipe); }

/// What a std::expected<void, E> looks like.
template <class E>
class expected {
 public:
  explicit expected(E e) : error_(std::move(e)) {}
  [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
  [[nodiscard]] E& error() & { return *error_; }
  [[nodiscard]] E&& error() && { return std::move(*error_); }

 private:
  std::optional<E> error_;
};

/// A task that fails with its number.
auto fails_as(std::size_t n) {
  return [n] { throw n; };
}

/// Each of `failures` tasks that failed with its number has that as its index.
void expect_indices(error const& e, std::size_t failures) {
  ASSERT_EQ(e.others().size() + 1, failures);
  auto const differs = [](error const& one) {
    try {
      one.raise();
    } catch (std::size_t n) {
      return n != one.origin().index;
    }
    return true;
  };
  error const* const wrong = e.find_if(differs);
  EXPECT_EQ(wrong, nullptr) << "one has the index " << wrong->origin().index;
}

options const all_of_them{.policy = on_error::keep_going, .errors = keep::all, .max_errors = npos};

void expect_nothing_known(task_origin const& o) {
  EXPECT_EQ(o.name, "");
  EXPECT_EQ(o.index, npos);
  EXPECT_EQ(o.where.line(), 0U);
  EXPECT_EQ(o.path, "");
}

// --- what is known ---------------------------------------------------------------------------

TEST(ErrorOrigin, of_success_and_of_what_no_group_has_told_is_empty) {
  expect_nothing_known(error().origin());
  expect_nothing_known(error(cause()).origin());
  group g{{.name = "job"}};
  g.run("task", [] {});
  expect_nothing_known(g.wait().origin());
}

TEST(ErrorOrigin, E1_is_told_on_every_way_whatever_the_task_has_failed_with) {
  on_every_way(
      [](group& g) {
        auto const expect = [&g](error const& e, here const& before) {
          EXPECT_EQ(e.origin().name, "frame 17");
          EXPECT_EQ(e.origin().path, "decode/frame 17");
          EXPECT_EQ(e.origin().where.line(), before.line() + 1);
          EXPECT_EQ(std::string_view(e.origin().where.file_name()), before.file_name());
          g.reset();
        };
        auto at = here::current();
        g.run("frame 17", [] { return cause(); });
        expect(g.wait(), at);
        at = here::current();
        g.run("frame 17", [] { throw std::runtime_error("thrown"); });
        expect(g.wait(), at);
        at = here::current();
        g.run("frame 17", [] { throw 42; });
        expect(g.wait(), at);
        at = here::current();
        g.run("frame 17", [] { return expected<std::string>("whole"); });
        error const whole = g.wait();
        ASSERT_NE(whole.get_if<std::string>(), nullptr);
        EXPECT_EQ(*whole.get_if<std::string>(), "whole");
        expect(whole, at);
        at = here::current();
        g.run("frame 17", []() -> error { return errc::canceled; });
        expect(g.wait(), at);
        at = here::current();
        EXPECT_TRUE(g.try_run("frame 17", [] { return cause(); }));
        expect(g.wait(), at);
        at = here::current();
        error e = g.run_and_wait("frame 17", [] { return cause(); });
        expect(e, at);
      },
      {.name = "decode"});
}

TEST(ErrorOrigin, E1_is_told_of_a_task_without_a_name_in_a_group_without_one) {
  on_every_way([](group& g) {
    auto const expect = [&g](error const& e, here const& before) {
      EXPECT_EQ(e.origin().name, "");
      EXPECT_EQ(e.origin().path, "");
      EXPECT_EQ(e.origin().where.line(), before.line() + 1);
      EXPECT_EQ(std::string_view(e.origin().where.file_name()), before.file_name());
      g.reset();
    };
    auto at = here::current();
    g.run([] { return cause(); });
    expect(g.wait(), at);
    at = here::current();
    EXPECT_TRUE(g.try_run([] { return cause(); }));
    expect(g.wait(), at);
    at = here::current();
    error e = g.run_and_wait([] { return cause(); });
    expect(e, at);
  });
}

TEST(ErrorOrigin, the_place_may_be_the_caller_s) {
  auto const submit = [](group& g, int how, here const& where = here::current()) -> error {
    switch (how) {
      case 0:
        g.run([] { return cause(); }, where);
        return g.wait();
      case 1:
        g.run("named", [] { return cause(); }, where);
        return g.wait();
      case 2:
        EXPECT_TRUE(g.try_run([] { return cause(); }, where));
        return g.wait();
      case 3:
        EXPECT_TRUE(g.try_run("named", [] { return cause(); }, where));
        return g.wait();
      case 4:
        return g.run_and_wait([] { return cause(); }, where);
      default:
        return g.run_and_wait("named", [] { return cause(); }, where);
    }
  };
  on_every_way([&](group& g) {
    for (int how = 0; how != 6; ++how) {
      SCOPED_TRACE(how);
      auto const at = here::current();
      error const e = submit(g, how);
      EXPECT_EQ(e.origin().where.line(), at.line() + 1);
      EXPECT_EQ(e.origin().name, how % 2 != 0 ? "named" : "");
      g.reset();
    }
  });
}

TEST(ErrorOrigin, an_empty_name_is_no_name) {
  group g;
  g.run("", [] { return cause(); });
  error const e = g.wait();
  EXPECT_EQ(e.origin().name, "");
  EXPECT_EQ(e.origin().path, "");
  EXPECT_NE(e.origin().where.line(), 0U);
}

// --- the index -------------------------------------------------------------------------------

TEST(ErrorOrigin, the_index_is_the_order_of_submission) {
  on_every_way(
      [](group& g) {
        for (std::size_t i = 0; i != 30; ++i) {
          switch (i % 4) {
            case 0:
              g.run(fails_as(i));
              break;
            case 1:
              g.run("named", fails_as(i));
              break;
            case 2:
              if (!g.try_run(fails_as(i))) {  // no slot is free
                g.run(fails_as(i));
              }
              break;
            default:
              if (!g.try_run("named", fails_as(i))) {
                g.run("named", fails_as(i));
              }
              break;
          }
        }
        expect_indices(g.wait(), 30);
      },
      all_of_them);
}

TEST(ErrorOrigin, the_index_goes_on_after_a_wait_and_a_reset) {
  on_every_way(
      [](group& g) {
        std::size_t n = 0;
        for (int round = 0; round != 3; ++round) {
          for (std::size_t i = 0; i != 5; ++i) {
            g.run(fails_as(n++));
          }
          expect_indices(g.wait(), 5);
          g.reset();
        }
      },
      all_of_them);
}

TEST(ErrorOrigin, the_index_counts_tasks_that_succeed) {
  on_every_way([](group& g) {
    for (int i = 0; i != 10; ++i) {
      g.run([] {});
    }
    EXPECT_FALSE(g.wait());
    g.run([] {});
    g.run([] { return cause(); });
    EXPECT_EQ(g.wait().origin().index, 11U);
  });
}

TEST(ErrorOrigin, the_index_counts_what_run_and_wait_was_given) {
  on_every_way(
      [](group& g) {
        for (std::size_t i = 0; i != 6; i += 3) {
          (void)g.run_and_wait(fails_as(i));
          (void)g.run_and_wait("named", fails_as(i + 1));
          g.run(fails_as(i + 2));
          EXPECT_TRUE(g.wait());
        }
        expect_indices(g.wait(), 6);
      },
      all_of_them);
}

TEST(ErrorOrigin, the_index_is_right_where_a_full_queue_has_the_submitter_run_tasks) {
  for (std::size_t const queue : {std::size_t{0}, std::size_t{1}, std::size_t{5}}) {
    SCOPED_TRACE(queue);
    options o = all_of_them;
    o.limit = 1;
    o.queue = queue;
    group outside{o};
    for (std::size_t i = 0; i != 20; ++i) {
      outside.run(fails_as(i));
    }
    expect_indices(outside.wait(), 20);
    group inside{o};
    inside.run([&] {
      for (std::size_t i = 1; i != 20; ++i) {
        inside.run(fails_as(i));
      }
      throw std::size_t{0};
    });
    expect_indices(inside.wait(), 20);
  }
}

TEST(ErrorOrigin, what_a_task_submits_to_its_own_group_without_a_limit_has_no_index) {
  group g{all_of_them};
  error const e = g.run_and_wait([&g] {
    g.run([] { return cause(); });
    g.run("named", [] { return cause(); });
    return cause();
  });
  ASSERT_EQ(e.others().size(), 2U);
  int without = 0;
  (void)e.find_if([&](error const& one) {
    EXPECT_NE(one.origin().where.line(), 0U);
    without += one.origin().index == npos ? 1 : 0;
    return false;
  });
  EXPECT_EQ(without, 2);
}

TEST(ErrorOrigin, the_index_is_unique_however_many_threads_submit_from_outside) {
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    SCOPED_TRACE(limit);
    options o = all_of_them;
    o.limit = limit;
    group g{o};
    constexpr std::size_t each = 200;
    support::rendezvous all(4, "all submitters to be there");
    std::vector<std::thread> submitters;
    for (int t = 0; t != 4; ++t) {
      submitters.emplace_back([&] {
        all.arrive_and_wait();
        for (std::size_t i = 0; i != each; ++i) {
          g.run([] { return cause(); });
        }
      });
    }
    for (auto& t : submitters) {
      t.join();
    }
    error const e = g.wait();
    ASSERT_EQ(e.others().size() + 1, 4 * each);
    std::vector<std::size_t> indices;
    for (error const& one : e.all()) {
      indices.push_back(one.origin().index);
    }
    std::sort(indices.begin(), indices.end());
    for (std::size_t i = 0; i != indices.size(); ++i) {
      ASSERT_EQ(indices[i], i);
    }
  }
}

// --- the path --------------------------------------------------------------------------------

TEST(ErrorOrigin, a_name_that_another_one_begins_with_is_not_taken_for_that) {
  for (char const* const outer : {"disk", "disk 2", "job"}) {
    errgroup::group inner{{.name = "disk"}};
    inner.cancel(errgroup::make_error("is full"));
    error const stopped = inner.wait();
    errgroup::group g{{.name = outer}};
    g.run("copy", [&] { return stopped; });
    // The group further in is the origin, unless it is this one.
    EXPECT_EQ(g.wait().origin().path, std::string_view(outer) == "disk" ? "disk/copy" : "disk");
  }
}

TEST(ErrorOrigin, the_path_names_the_groups_above_and_leaves_out_what_has_no_name) {
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    SCOPED_TRACE(limit);
    // Three levels with names, and between them one without.
    group job{{.limit = limit, .name = "job"}};
    job.run("not in the path: a task above", [limit]() -> error {
      group unnamed{{.limit = limit}};
      unnamed.run([limit]() -> error {
        group decode{{.limit = limit, .name = "decode"}};
        decode.run([limit]() -> error {
          group parts{{.limit = limit, .name = "parts"}};
          parts.run("frame 17", [] { return cause(); });
          return parts.wait();
        });
        return decode.wait();
      });
      return unnamed.wait();
    });
    error const e = job.wait();
    EXPECT_EQ(e, cause());
    EXPECT_EQ(e.origin().path, "job/decode/parts/frame 17");
    EXPECT_EQ(e.origin().name, "frame 17");
  }
}

TEST(ErrorOrigin, the_path_of_a_group_is_what_it_was_made_in_whichever_thread_uses_it) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    group outer{{.limit = limit, .name = "outer"}};
    error told;
    EXPECT_FALSE(outer.run_and_wait([&] {
      group inner{{.limit = limit, .name = "inner"}};
      std::thread([&] {
        inner.run("step", [] { return cause(); });
        told = inner.wait();
      }).join();
    }));
    EXPECT_EQ(told.origin().path, "outer/inner/step");
  }
}

TEST(ErrorOrigin, the_path_of_a_group_that_was_made_outside_has_its_own_name_only) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    group alone{{.limit = limit, .name = "alone"}};
    group outer{{.limit = limit, .name = "outer"}};
    EXPECT_FALSE(outer.run_and_wait([&] {
      alone.run("step", [] { return cause(); });
      EXPECT_EQ(alone.wait().origin().path, "alone/step");
    }));
  }
}

TEST(ErrorOrigin, the_path_of_a_group_that_has_outlived_its_task_has_its_own_name_only) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    std::unique_ptr<group> inner;
    {
      group outer{{.limit = limit, .name = "outer"}};
      EXPECT_FALSE(outer.run_and_wait([&] {
        inner = std::make_unique<group>(options{.limit = limit, .name = "inner"});
        inner->run("early", [] { return cause(); });
        EXPECT_EQ(inner->wait().origin().path, "outer/inner/early");
        inner->reset();
      }));
    }
    inner->run("late", [] { return cause(); });
    EXPECT_EQ(inner->wait().origin().path, "inner/late");
    inner->reset();
    inner->cancel(cause());
    EXPECT_EQ(inner->wait().origin().path, "inner");
  }
}

TEST(ErrorOrigin, a_cause_given_to_cancel_has_the_group_s_path_and_no_task) {
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    group job{{.limit = limit, .name = "job"}};
    EXPECT_FALSE(job.run_and_wait([&] {
      group decode{{.limit = limit, .errors = keep::all, .name = "decode"}};
      std::thread([&] { decode.cancel(cause()); }).join();
      decode.cancel(another());
      error const e = decode.wait();
      ASSERT_EQ(e.others().size(), 1U);
      for (error const& one : e.all()) {
        EXPECT_EQ(one.origin().path, "job/decode");
        EXPECT_EQ(one.origin().name, "");
        EXPECT_EQ(one.origin().index, npos);
        EXPECT_EQ(one.origin().where.line(), 0U);
      }
    }));
  }
}

TEST(ErrorOrigin, the_innermost_origin_stays) {
  for (keep const errors : {keep::first, keep::all}) {
    on_every_way(
        [](group& g) {
          g.run("outer task", []() -> error {
            group inner{{.limit = 1, .errors = keep::all, .name = "inner"}};
            inner.run("inner task", [] { return cause(); });
            return inner.wait();
          });
          error const e = g.wait();
          EXPECT_EQ(e.origin().name, "inner task");
          EXPECT_EQ(e.origin().path, "outer/inner/inner task");
          g.reset();
          g.cancel(e);
          EXPECT_EQ(g.wait().origin().path, "outer/inner/inner task");
        },
        {.errors = errors, .name = "outer"});
  }
}

TEST(ErrorOrigin, what_came_from_no_task_gets_the_origin_of_the_one_that_hands_it_up) {
  for (bool const has_others : {false, true}) {
    SCOPED_TRACE(has_others);
    group inner{{.errors = keep::all}};
    inner.cancel(cause());
    if (has_others) {
      inner.cancel(another());
    }
    error const of_inner = inner.wait();
    EXPECT_EQ(of_inner.others().size(), has_others ? 1U : 0U);
    for (keep const errors : {keep::first, keep::all}) {
      group outer{{.errors = errors, .name = "outer"}};
      error const e = outer.run_and_wait("task", [&] { return of_inner; });
      EXPECT_EQ(e.others().size(), has_others ? 1U : 0U);
      EXPECT_EQ(e.origin().path, "outer/task");
    }
  }
}

TEST(ErrorOrigin, each_of_several_has_its_own) {
  on_every_way(
      [](group& g) {
        for (char const* const name : {"a", "b", "c"}) {
          (void)g.run_and_wait(name, [] { return cause(); });
        }
        error const e = g.wait();
        ASSERT_EQ(e.others().size(), 2U);
        EXPECT_EQ(e.origin().path, "job/a");
        EXPECT_EQ(e.others()[0].origin().path, "job/b");
        EXPECT_EQ(e.others()[1].origin().path, "job/c");
      },
      {.policy = on_error::keep_going, .errors = keep::all, .name = "job"});
}

// --- how long --------------------------------------------------------------------------------

TEST(ErrorOrigin, the_names_outlive_the_group_the_task_and_the_strings_they_came_from) {
  error e;
  {
    auto const group_name = std::make_unique<std::string>("a group whose name is on the heap");
    auto const task_name = std::make_unique<std::string>("a task whose name is on the heap");
    group g{{.limit = 1, .name = *group_name}};
    g.run(*task_name, [] { throw std::runtime_error("x"); });
    e = g.wait();
  }
  error const copy = e;
  std::string_view const name = e.origin().name;
  e = error();
  EXPECT_EQ(name, "a task whose name is on the heap") << "as long as a copy lives";
  EXPECT_EQ(copy.origin().name.data(), name.data());
  EXPECT_EQ(copy.origin().path,
            "a group whose name is on the heap/a task whose name is on the heap");
}

// --- the message -----------------------------------------------------------------------------

TEST(ErrorOrigin, the_message_has_the_path_before_and_the_place_behind_what_happened) {
  group job{{.name = "job"}};
  std::string line;
  job.run([&line]() -> error {
    group decode{{.limit = 1, .name = "decode"}};
    for (int i = 0; i != 17; ++i) {
      decode.run([] {});
    }
    line = std::to_string(here::current().line() + 1);
    decode.run("frame 17", [] { throw std::runtime_error("bad header"); });
    return decode.wait();
  });
  error const e = job.wait();
  std::string const expected =
      "job/decode/frame 17: bad header (task 17, run at error_origin_test.cpp:" + line + ")";
  EXPECT_EQ(e.message(), expected);
  EXPECT_EQ(e.what(), "bad header");
  std::ostringstream out;
  out << e;
  EXPECT_EQ(out.str(), expected);
}

TEST(ErrorOrigin, the_message_leaves_out_what_is_not_known) {
  EXPECT_EQ(error(cause()).message(), cause().message());
  group g{{.name = "job"}};
  g.cancel(cause());
  EXPECT_EQ(g.wait().message(), "job: " + cause().message());
  g.reset();
  error e = g.run_and_wait([&g] { g.run("inner", [] { return cause(); }, {}); });
  EXPECT_EQ(e.message(), "job/inner: " + cause().message()) << "neither index nor place";
  g.reset();
  auto const at = std::to_string(here::current().line() + 1);
  e = g.run_and_wait([&g] { g.run([] { return cause(); }); });
  EXPECT_EQ(e.message(),
            "job: " + cause().message() + " (run at error_origin_test.cpp:" + at + ")");
}

// --- what does not change --------------------------------------------------------------------

TEST(ErrorOrigin, does_not_change_the_code_the_exception_or_a_comparison) {
  group g{{.limit = 1, .policy = on_error::keep_going, .errors = keep::all, .name = "job"}};
  g.run("code", [] { return cause(); });
  g.run("cancelled", []() -> error { return errc::canceled; });
  g.run("thrown", [] { throw std::system_error(another(), "writing"); });
  g.run("foreign", [] { return expected<int>(7); });
  g.run("any", [] { throw 42; });
  error const e = g.wait();
  ASSERT_EQ(e.others().size(), 4U);

  EXPECT_EQ(e, cause());
  EXPECT_EQ(e, error(cause()));
  EXPECT_EQ(error(cause()), e);
  EXPECT_EQ(e, std::errc::no_space_on_device);
  EXPECT_NE(e, another());
  EXPECT_NE(e, error());
  ASSERT_NE(e.get_if<std::error_code>(), nullptr);

  error const& canceled = e.others()[0];
  EXPECT_EQ(canceled, errc::canceled);
  EXPECT_EQ(canceled, std::errc::operation_canceled);
  EXPECT_EQ(canceled, error(errc::canceled));

  error const& thrown = e.others()[1];
  EXPECT_EQ(thrown, another());
  EXPECT_EQ(thrown, std::errc::broken_pipe);
  EXPECT_NE(thrown, error(another())) << "it is an exception with that code";
  EXPECT_EQ(thrown, error(thrown.exception())) << "the same object";
  EXPECT_THROW(thrown.raise(), std::system_error);

  error const& foreign = e.others()[2];
  EXPECT_EQ(foreign, errc::failed);
  ASSERT_NE(foreign.get_if<int>(), nullptr);
  EXPECT_EQ(*foreign.get_if<int>(), 7);

  error const& any = e.others()[3];
  EXPECT_EQ(any, errc::exception);
  ASSERT_NE(any.get_if<int>(), nullptr);
  EXPECT_EQ(*any.get_if<int>(), 42);
  EXPECT_NE(any, foreign);
}

TEST(ErrorOrigin, an_error_of_a_scope_in_a_task_has_the_task_s_origin_named_groups_or_not) {
  for (char const* const name : {"", "render"}) {
    group outer{{.name = name}};
    outer.run("frame 17", [] {
      return errgroup::scope([](group&) { return std::make_error_code(std::errc::io_error); });
    });
    error const e = outer.wait();
    EXPECT_EQ(e.origin().name, "frame 17");
    EXPECT_EQ(e.origin().index, 0U);
    EXPECT_NE(e.origin().where.line(), 0U);
    EXPECT_EQ(e.origin().path, *name != 0 ? "render/frame 17" : "frame 17");
  }
}

TEST(ErrorOrigin, a_cause_keeps_the_path_of_the_group_that_it_was_given_to) {
  group outer{{.name = "render"}};
  outer.run("frame 17", [] {
    group inner{{.name = "inner"}};
    inner.cancel(std::make_error_code(std::errc::timed_out));
    return inner.wait();
  });
  error const e = outer.wait();
  EXPECT_EQ(e.origin().path, "render/inner");
  EXPECT_EQ(e.origin().name, "frame 17");
  EXPECT_NE(e.origin().where.line(), 0U);
}

TEST(ErrorOrigin, C3_a_group_that_its_task_has_let_go_of_looks_no_further_up) {
  gate made("the task to make its groups");
  gate let_go("the first group to be let go of");
  std::optional<group> first;
  std::optional<group> busy;
  group outer{{.name = "outer"}};
  std::thread canceler([&] {
    made.wait();
    // The end of the task has let go of the first group, and is not over: it waits for the other.
    support::await(
        [&] {
          first->cancel(cause());
          error const e = first->wait();
          return e.all().back().origin().path == "first";
        },
        "a path without the outer group");
    let_go.open();
  });
  EXPECT_FALSE(outer.run_and_wait([&] {
    busy.emplace();
    busy->run([&] { let_go.wait(); });
    first.emplace(errgroup::options{.errors = keep::all, .max_errors = npos, .name = "first"});
    first->context();
    made.open();
  }));
  canceler.join();
}

}  // namespace
