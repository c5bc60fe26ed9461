// SPDX-License-Identifier: Apache-2.0

// Promise E2 without memory: whichever allocation fails, no failure becomes a success, and what is
// told is what failed or that there was no memory.

#include "support/failing_new.hpp"
#include "support/ways.hpp"
#include <errgroup/exception_group.hpp>
#include <errgroup/group.hpp>
#include <errgroup/scope.hpp>

#include <gtest/gtest.h>

#include <algorithm>     // min
#include <cstddef>       // size_t
#include <cstdlib>       // exit
#include <memory>        // make_unique
#include <new>           // bad_alloc
#include <optional>      // optional
#include <stdexcept>     // runtime_error
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // errc, error_code, system_error
#include <type_traits>   // is_same_v
#include <utility>       // move

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::npos;
using errgroup::on_error;
using errgroup::options;
using support::failing_new;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

constexpr std::string_view group_name = "a group with a name that is on the heap";
constexpr std::string_view task_name = "a task with a name that is on the heap, too";

/// What a std::expected<void, std::string> looks like.
class expected {
 public:
  explicit expected(std::string e) : error_(std::move(e)) {}
  [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
  [[nodiscard]] std::string&& error() && { return std::move(*error_); }

 private:
  std::optional<std::string> error_;
};

/// Tasks that fail, each in its own way, and how to know its error.
struct returns_a_code {
  std::error_code operator()() const { return cause(); }
  static bool is(error const& e) { return e == cause() && e.get_if<std::error_code>() != nullptr; }
};
struct throws_words {
  void operator()() const { throw std::runtime_error("words"); }
  static bool is(error const& e) {
    auto const* const thrown = e.get_if<std::runtime_error>();
    return e == errc::exception && thrown != nullptr && std::string_view(thrown->what()) == "words";
  }
};
struct throws_a_number {
  void operator()() const { throw 42; }
  static bool is(error const& e) {
    int const* const n = e.get_if<int>();
    return e == errc::exception && n != nullptr && *n == 42;
  }
};
struct throws_a_code {
  void operator()() const { throw std::system_error(cause()); }
  static bool is(error const& e) {
    return e == cause() && e.get_if<std::system_error>() != nullptr;
  }
};
struct returns_its_own {
  expected operator()() const { return expected(std::string(group_name)); }
  static bool is(error const& e) {
    auto const* const kept = e.get_if<std::string>();
    return e == errc::failed && kept != nullptr && *kept == group_name;
  }
};
struct returns_an_inner_group_s {
  error operator()() const {
    group inner{{.policy = on_error::keep_going, .errors = keep::all, .name = group_name}};
    for (int i = 0; i != 3; ++i) {
      (void)inner.run_and_wait(task_name, returns_a_code());
    }
    return inner.wait();
  }
  static bool is(error const& e) { return e == cause(); }
};

template <class Task>
void expect_right_or_no_memory(error const& e) {
  ASSERT_TRUE(e) << "a failure became a success";
  if (e.get_if<std::bad_alloc>() != nullptr) {
    EXPECT_EQ(e.code(), errc::exception);
  } else {
    EXPECT_TRUE(Task::is(e)) << e;
  }
}

/// Has this thread run tasks that are nested deeper than in any test here. The first time takes
/// memory, without which the process ends; see docs/guarantees.md.
void go_deep(int levels = 16) {
  if (levels != 0) {
    group g;
    EXPECT_FALSE(g.run_and_wait([levels] { go_deep(levels - 1); }));
  }
}

/// Calls `body` with 0, 1, … until it says that no allocation failed.
template <class Body>
void fails_each_in_turn(Body body) {
  go_deep();
  bool more = true;
  for (long n = 0; more; ++n) {
    SCOPED_TRACE(testing::Message() << "allocation " << n);
    ASSERT_LT(n, 1000);
    more = body(n);
  }
}

/// Calls `body` with a task for every kind of failure.
template <class Body>
void with_every_failure(Body body) {
  auto const with = [&](char const* what, auto task) {
    SCOPED_TRACE(what);
    body(task);
  };
  with("a code", returns_a_code());
  with("words", throws_words());
  with("a number", throws_a_number());
  with("a thrown code", throws_a_code());
  with("an error of its own", returns_its_own());
  with("an inner group's", returns_an_inner_group_s());
}

/// Calls `body` with all options that have a say in what is told of an error.
template <class Body>
void with_all_options(Body body) {
  for (keep const errors : {keep::first, keep::all}) {
    for (std::string_view const name : {std::string_view(), group_name}) {
      SCOPED_TRACE(testing::Message() << "keep " << int(errors) << ", name " << name);
      body(options{.errors = errors, .name = name});
    }
  }
}

// --- one failure -----------------------------------------------------------------------------

TEST(ErrorMemory, E2_E6_run_and_wait_fails_or_throws_and_never_succeeds) {
  with_all_options([](options const& o) {
    for (bool const named : {false, true}) {
      with_every_failure([&]<class Task>(Task task) {
        fails_each_in_turn([&](long n) {
          group g(o);
          error e;
          bool threw = false;
          bool failed = false;
          {
            failing_new const fails(n);
            try {
              e = named ? g.run_and_wait(task_name, task) : g.run_and_wait(task);
            } catch (std::bad_alloc const&) {
              threw = true;
            }
            failed = failing_new::has_failed();
          }
          if (threw) {
            EXPECT_TRUE(failed);
            EXPECT_FALSE(g.is_canceling());
            EXPECT_FALSE(g.wait()) << "the group is as before";
          } else {
            expect_right_or_no_memory<Task>(e);
            EXPECT_EQ(g.wait(), e);
          }
          return failed;
        });
      });
    }
  });
}

thread_local std::optional<failing_new> arming;

/// A task whose thread has no memory from its call until it is destroyed: so while its failure is
/// told.
template <class Task>
class without_memory {
 public:
  without_memory(Task task, long n, bool and_after, bool& failed)
      : task_(task), n_(n), and_after_(and_after), failed_(failed) {}
  without_memory(without_memory&& other) noexcept = default;
  without_memory(without_memory const&) = delete;
  without_memory& operator=(without_memory const&) = delete;
  without_memory& operator=(without_memory&&) = delete;
  ~without_memory() {
    if (called_) {
      failed_ = failing_new::has_failed();
      arming.reset();
    }
  }

  auto operator()() {
    go_deep();
    called_ = true;
    arming.emplace(n_, and_after_);
    return task_();
  }

 private:
  Task task_;
  long n_;
  bool and_after_;
  bool& failed_;
  bool called_ = false;
};

TEST(ErrorMemory, E2_a_task_that_fails_without_memory_fails_on_every_way) {
  with_all_options([](options const& o) {
    for (bool const named : {false, true}) {
      for (bool const and_after : {false, true}) {
        with_every_failure([&]<class Task>(Task task) {
          support::on_every_way(
              [&](group& g) {
                fails_each_in_turn([&](long n) {
                  bool failed = false;
                  without_memory f(task, n, and_after, failed);
                  if (named) {
                    g.run(task_name, std::move(f));
                  } else {
                    g.run(std::move(f));
                  }
                  error const e = g.wait();
                  expect_right_or_no_memory<Task>(e);
                  if (!failed && !std::is_same_v<Task, returns_an_inner_group_s>) {
                    EXPECT_EQ(e.origin().name, named ? task_name : std::string_view());
                    EXPECT_TRUE(e.origin().path.ends_with(named ? task_name : o.name));
                    EXPECT_NE(e.origin().where.line(), 0U);
                  }
                  g.reset();
                  return failed;
                });
              },
              o);
        });
      }
    }
  });
}

TEST(ErrorMemory, E2_what_a_named_task_s_error_needs_is_there_before_it_fails) {
  // Without any memory the code, the name and the place are told; of the path nothing is.
  for (int const limit : {errgroup::unlimited, 1}) {
    group g{{.limit = limit, .name = group_name}};
    bool failed = false;
    g.run(task_name, without_memory(returns_a_code(), 0, true, failed));
    error const e = g.wait();
    EXPECT_TRUE(failed);
    EXPECT_EQ(e, cause());
    EXPECT_EQ(e.origin().name, task_name);
    EXPECT_NE(e.origin().where.line(), 0U);
    EXPECT_EQ(e.origin().index, 0U);
    EXPECT_EQ(e.origin().path, "");
    EXPECT_EQ(e.message().substr(0, task_name.size()), task_name);
  }
}

TEST(ErrorMemory, E2_a_cause_is_told_without_memory) {
  for (keep const errors : {keep::first, keep::all}) {
    for (bool const is_first : {false, true}) {
      fails_each_in_turn([&](long n) {
        group g{{.errors = errors, .name = group_name}};
        if (!is_first) {
          g.cancel();
        }
        bool failed = false;
        {
          failing_new const fails(n);
          g.cancel(cause());
          failed = failing_new::has_failed();
        }
        error const e = g.wait();
        EXPECT_EQ(e, is_first ? cause() : make_error_code(errc::canceled));
        if (!is_first && errors == keep::all) {
          EXPECT_EQ(e.others().size() + e.dropped(), 1U);
          EXPECT_TRUE(e.others().empty() || e.others()[0] == cause());
        }
        return failed;
      });
    }
  }
}

TEST(ErrorMemory, E2_what_the_body_of_scope_fails_with_is_told_without_memory) {
  with_every_failure([&]<class Task>(Task task) {
    fails_each_in_turn([&](long n) {
      error e;
      bool threw = false;
      bool failed = false;
      {
        failing_new const fails(n);
        try {
          e = errgroup::scope({.errors = keep::all, .name = group_name},
                              [&](group&) { return task(); });
        } catch (std::bad_alloc const&) {
          threw = true;
        }
        failed = failing_new::has_failed();
      }
      if (!threw) {
        expect_right_or_no_memory<Task>(e);
      }
      return failed;
    });
  });
}

// An exception leaves no task here: the library has no memory to keep what the task has returned.
void return_without_memory() {
  go_deep();
  for (long n = 0; n != 20; ++n) {
    group g{{.exceptions = errgroup::on_exception::terminate}};
    error e;
    {
      std::string own(group_name);
      failing_new const fails(n);
      e = g.run_and_wait([&own] { return expected(std::move(own)); });
    }
    if (!e) {
      std::exit(1);
    }
  }
  std::exit(0);
}

TEST(ErrorMemoryDeathTest, E2_what_a_task_returns_ends_no_process_although_what_it_throws_would) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(return_without_memory(), testing::ExitedWithCode(0), "");
}

// --- several failures ------------------------------------------------------------------------

TEST(ErrorMemory, E5_each_of_several_failures_is_listed_or_counted) {
  for (bool const and_after : {false, true}) {
    for (std::size_t const most : {std::size_t{1}, std::size_t{10}, npos}) {
      SCOPED_TRACE(testing::Message() << "and after " << and_after << ", most " << most);
      fails_each_in_turn([&](long n) {
        group g{{.policy = on_error::keep_going,
                 .errors = keep::all,
                 .max_errors = most,
                 .name = group_name}};
        std::size_t ran = 0;
        error e;
        bool failed = false;
        {
          failing_new const fails(n, and_after);
          for (int i = 0; i != 30; ++i) {
            auto const task = [&ran] {
              ++ran;
              return cause();
            };
            try {
              e = i % 2 == 0 ? g.run_and_wait(task) : g.run_and_wait(task_name, task);
            } catch (std::bad_alloc const&) {
              EXPECT_TRUE(failing_new::has_failed());
            }
          }
          e = g.wait();
          failed = failing_new::has_failed();
        }
        EXPECT_EQ(e, cause());
        EXPECT_EQ(1 + e.others().size() + e.dropped(), ran);
        EXPECT_EQ(e.echoes(), 0U);
        for (error const& other : e.others()) {
          EXPECT_EQ(other, cause());
        }
        if (!failed) {
          EXPECT_EQ(ran, 30U);
          EXPECT_EQ(e.others().size(), std::min(most - 1, ran - 1));
        }
        return failed;
      });
    }
  }
}

TEST(ErrorMemory, E5_the_failures_of_an_inner_group_are_listed_or_counted) {
  for (bool const and_after : {false, true}) {
    for (int const limit : {errgroup::unlimited, 1}) {
      fails_each_in_turn([&](long n) {
        options const all{.limit = limit, .policy = on_error::keep_going, .errors = keep::all};
        group inner{all};
        for (int i = 0; i != 12; ++i) {
          inner.run(task_name, returns_a_code());
        }
        error const of_inner = inner.wait();
        EXPECT_EQ(of_inner.others().size(), 11U);
        group outer{all};
        bool failed = false;
        auto const hand_up = [&of_inner] { return of_inner; };
        outer.run(without_memory(hand_up, n, and_after, failed));
        EXPECT_EQ(outer.wait(), cause());
        error const once = outer.wait();
        EXPECT_EQ(once.others().size() + once.dropped(), 11U);
        bool failed_again = false;
        outer.run(without_memory(hand_up, n, and_after, failed_again));
        error const twice = outer.wait();
        EXPECT_EQ(twice.others().size() + twice.dropped(), 23U);
        EXPECT_EQ(once.others().size() + once.dropped(), 11U) << "and stays what it was";
        return failed || failed_again;
      });
    }
  }
}

// --- what needs no memory --------------------------------------------------------------------

TEST(ErrorMemory, E4_to_wait_again_to_copy_and_to_look_needs_no_memory) {
  group g{{.policy = on_error::keep_going, .errors = keep::all, .name = group_name}};
  for (int i = 0; i != 12; ++i) {
    (void)g.run_and_wait(task_name, throws_words());
    (void)g.run_and_wait(returns_a_code());
  }
  error const before = g.wait();
  auto const all = std::make_unique<errgroup::exception_group>(before);
  {
    failing_new const fails(0, true);
    error const again = g.wait();
    error copy = again;
    error moved = std::move(copy);
    copy = moved;
    swap(copy, moved);
    EXPECT_TRUE(copy == before);
    EXPECT_TRUE(copy.others().size() == before.others().size());
    EXPECT_TRUE(copy.code() == errc::exception);
    EXPECT_TRUE(copy.get_if<std::error_code>() != nullptr);
    EXPECT_TRUE(copy.get_if<std::runtime_error>() != nullptr);
    EXPECT_TRUE(copy.origin().name == task_name);
    error const other = copy.others()[3];
    EXPECT_TRUE(other.find_if([](error const& e) { return bool(e); }) != nullptr);
    errgroup::exception_group const copy_of_all(*all);
    EXPECT_TRUE(copy_of_all.error() == before);
    EXPECT_FALSE(failing_new::has_failed()) << "nothing asked for any";
  }
}

TEST(ErrorMemory, E2_words_without_memory_throw_and_change_nothing) {
  group g{{.policy = on_error::keep_going, .errors = keep::all, .name = group_name}};
  for (int i = 0; i != 3; ++i) {
    (void)g.run_and_wait(task_name, returns_a_code());
  }
  error const e = g.wait();
  std::string const said = e.message();
  fails_each_in_turn([&](long n) {
    bool threw = false;
    bool failed = false;
    {
      failing_new const fails(n);
      try {
        (void)e.message();
        e.raise_all();
      } catch (std::bad_alloc const&) {
        threw = true;
      } catch (errgroup::exception_group const&) {
      }
      failed = failing_new::has_failed();
    }
    EXPECT_EQ(threw, failed);
    EXPECT_EQ(e.message(), said);
    return failed;
  });
}

TEST(ErrorMemory, E6_a_group_whose_options_need_memory_is_made_or_throws) {
  fails_each_in_turn([&](long n) {
    bool threw = false;
    bool failed = false;
    {
      failing_new const fails(n);
      try {
        group g{{.limit = 2, .errors = keep::all, .name = group_name}};
      } catch (std::bad_alloc const&) {
        threw = true;
      }
      failed = failing_new::has_failed();
    }
    EXPECT_EQ(threw, failed);
    return failed;
  });
}

TEST(ErrorMemory, E2_without_memory_for_a_context_the_error_stays_as_it_is) {
  errgroup::group g{{.policy = on_error::keep_going, .errors = keep::all, .name = group_name}};
  for (int i = 0; i != 3; ++i) {
    g.run(task_name, [] { return cause(); });
  }
  error const several = g.wait();
  error const one = several.all()[1];
  constexpr std::string_view context = "a context that is on the heap, as the names are";
  for (error const& plain : {error(cause()), one, several}) {
    std::string const before = plain.message();
    bool failed = true;
    for (long n = 0; failed; ++n) {
      error e;
      {
        failing_new const fails(n);
        e = plain.with_context(context);
        failed = failing_new::has_failed();
      }
      EXPECT_EQ(e, cause());
      EXPECT_EQ(e.all().size(), plain.all().size());
      EXPECT_EQ(e.dropped(), 0U);
      EXPECT_EQ(plain.message(), before);
      bool const has_context = e.what().starts_with(context);
      EXPECT_EQ(has_context, !failed) << "allocation " << n;
      for (error const& each : e.all()) {
        EXPECT_EQ(each.what().starts_with(context), has_context);
        EXPECT_EQ(each, cause());
      }
      if (!has_context) {
        EXPECT_EQ(e.message(), before);
      }
    }
  }
}

}  // namespace
