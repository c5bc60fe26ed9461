// SPDX-License-Identifier: Apache-2.0

// Promise E1: with a `named_by`, `for_each` and `transform` tell the name of the element that
// failed.

#include "support/bulk.hpp"
#include "support/failing_new.hpp"
#include "support/ways.hpp"
#include <errgroup/for_each.hpp>
#include <errgroup/group.hpp>
#include <errgroup/named_by.hpp>
#include <errgroup/transform.hpp>

#include <gtest/gtest.h>

#include <atomic>           // atomic
#include <csignal>          // SIGABRT
#include <cstddef>          // size_t
#include <filesystem>       // path
#include <functional>       // function
#include <iterator>         // make_move_iterator
#include <memory>           // make_unique, unique_ptr
#include <ranges>           // iota, subrange, transform
#include <source_location>  // source_location
#include <stdexcept>        // invalid_argument, logic_error, runtime_error
#include <stop_token>       // stop_token
#include <string>           // string, to_string
#include <string_view>      // string_view
#include <system_error>     // errc, error_code
#include <utility>          // move
#include <vector>           // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::named_by;
using errgroup::npos;
using errgroup::on_error;
using errgroup::on_exception;
using errgroup::options;
using errgroup::result;
using support::failure;
using support::with_all_options;
using support::with_all_ranges;

// One type for all callables that are called with numbers: each lambda would be compiled for every
// kind of range.
using fn = std::function<std::error_code(int)>;
using make = std::function<result<int>(int)>;
using projection = std::function<std::string(int)>;

std::string number_name(int n) { return std::string("number ") + std::to_string(n); }

fn fails_at(int bad) {
  return [bad](int n) { return n == bad ? failure() : std::error_code(); };
}
fn throws_at(int bad) {
  return [bad](int n) -> std::error_code {
    if (n == bad) {
      throw std::runtime_error("thrown");
    }
    return {};
  };
}

named_by<projection> const by_number{number_name};

void expect_named(error const& e, int n, std::string const& path = "") {
  EXPECT_EQ(e.origin().name, number_name(n));
  EXPECT_EQ(e.origin().path, path + number_name(n));
  EXPECT_EQ(e.origin().index, static_cast<std::size_t>(n));
  EXPECT_NE(e.origin().where.line(), 0U);
}

// --- which name ------------------------------------------------------------------------------

TEST(ElementName, E1_is_told_for_every_range_on_every_way) {
  with_all_options(
      [](options const& opts) {
        with_all_ranges(50, [&](auto&& range) {
          expect_named(errgroup::for_each(opts, range, fails_at(31), by_number), 31, "job/");
        });
        with_all_ranges(50, [&](auto&& range) {
          expect_named(errgroup::for_each(opts, range, throws_at(31), by_number), 31, "job/");
        });
        expect_named(errgroup::for_each(opts, 50, fails_at(31), by_number), 31, "job/");
        expect_named(errgroup::for_each(opts, 50, throws_at(31), by_number), 31, "job/");
      },
      {.name = "job"});
}

TEST(ElementName, E1_is_told_by_transform_for_every_range_on_every_way) {
  make const bad = [](int n) -> result<int> {
    if (n == 31) {
      return failure();
    }
    if (n == 47) {
      throw std::logic_error("after the first");
    }
    return n;
  };
  make const worse = [](int n) -> result<int> {
    if (n == 31) {
      throw std::runtime_error("thrown");
    }
    return n;
  };
  with_all_options(
      [&](options const& opts) {
        auto const expect = [&](make const& f) {
          with_all_ranges(40, [&](auto&& range) {
            auto const made = errgroup::transform(opts, range, f, by_number);
            ASSERT_FALSE(made);
            expect_named(made.error(), 31, "job/");
          });
        };
        expect(bad);
        expect(worse);
      },
      {.name = "job"});
}

// The values of a string are kept in parts, and those of a number in place.
TEST(ElementName, E1_is_told_by_transform_however_it_keeps_the_values) {
  std::vector<int> const numbers{0, 1, 2, 3};
  auto const texts = errgroup::transform(
      numbers,
      [](int n) -> result<std::string> {
        return n == 2 ? result<std::string>(failure()) : std::string();
      },
      by_number);
  ASSERT_FALSE(texts);
  expect_named(texts.error(), 2);
  auto const halves = errgroup::transform(
      numbers, [](int n) { return n == 2 ? throw std::runtime_error("odd") : n; }, by_number);
  ASSERT_FALSE(halves);
  expect_named(halves.error(), 2);
}

TEST(ElementName, E5_each_of_several_failures_has_its_own) {
  with_all_options(
      [](options const& opts) {
        with_all_ranges(60, [&](auto&& range) {
          fn const f = [](int n) -> std::error_code {
            if (n % 3 == 1) {
              throw n;
            }
            return n % 3 == 2 ? failure() : std::error_code();
          };
          error const e = errgroup::for_each(opts, range, f, by_number);
          EXPECT_EQ(e.all().size(), 40U);
          for (error const& one : e.all()) {
            expect_named(one, static_cast<int>(one.origin().index));
          }
          EXPECT_EQ(e.skipped(), 0U);
        });
      },
      {.policy = on_error::keep_going, .errors = keep::all});
}

TEST(ElementName, success_asks_for_none) {
  std::atomic<int> asked{0};
  named_by<projection> const counting([&asked](int n) {
    ++asked;
    return number_name(n);
  });
  with_all_ranges(
      50, [&](auto&& range) { EXPECT_FALSE(errgroup::for_each(range, fails_at(-1), counting)); });
  EXPECT_FALSE(errgroup::for_each(50, fails_at(-1), counting));
  EXPECT_TRUE(errgroup::transform(std::views::iota(0, 50), [](int n) { return n; }, counting));
  EXPECT_EQ(asked, 0);
  EXPECT_TRUE(errgroup::for_each({.policy = on_error::keep_going}, 50, fails_at(7), counting));
  EXPECT_EQ(asked, 1);
}

TEST(ElementName, without_a_named_by_there_is_none) {
  error const e = errgroup::for_each({.name = "job"}, 50, fails_at(31));
  EXPECT_EQ(e.origin().name, "");
  EXPECT_EQ(e.origin().path, "job");
  EXPECT_EQ(e.origin().index, 31U);
}

TEST(ElementName, E1_stands_behind_the_names_of_the_groups_above) {
  group g{{.name = "job"}};
  error const e = g.run_and_wait(
      "a task", [] { return errgroup::for_each({.name = "check"}, 50, fails_at(31), by_number); });
  expect_named(e, 31, "job/check/");
  EXPECT_EQ(e.message().rfind("job/check/number 31: ", 0), 0U) << e;
}

TEST(ElementName, an_error_from_further_in_keeps_its_origin) {
  std::function<error(int)> const row = [](int) {
    return errgroup::for_each({.name = "row"}, 3, fails_at(2), by_number);
  };
  error const e =
      errgroup::for_each({.limit = 1, .name = "all"}, 3, row,
                         named_by([](int n) { return std::string("row ") + std::to_string(n); }));
  EXPECT_EQ(e.origin().path, "all/row/number 2");
  EXPECT_EQ(e.origin().name, "number 2");
  EXPECT_EQ(e.origin().index, 2U);
}

TEST(ElementName, the_contexts_stay) {
  std::function<error(int)> const f = [](int n) {
    return n == 3 ? error(failure()).with_context("inner") : error();
  };
  error const e = errgroup::for_each({.name = "job"}, 10, f, by_number);
  EXPECT_EQ(e.message().rfind("job/number 3: inner: ", 0), 0U) << e;
  expect_named(e, 3, "job/");
}

TEST(ElementName, the_place_is_that_of_the_call_or_the_given_one) {
  auto const there = std::source_location::current();
  std::vector<int> const one{0};
  // Not in a macro: compilers differ in the line of a macro's argument.
  auto at = std::source_location::current();
  error e = errgroup::for_each(one, fails_at(0), by_number);
  EXPECT_EQ(e.origin().where.line(), at.line() + 1);
  at = std::source_location::current();
  e = errgroup::for_each({}, one, fails_at(0), by_number);
  EXPECT_EQ(e.origin().where.line(), at.line() + 1);
  EXPECT_EQ(errgroup::for_each(one, fails_at(0), by_number, there).origin().where.line(),
            there.line());
  EXPECT_EQ(errgroup::for_each({}, 1, fails_at(0), by_number, there).origin().where.line(),
            there.line());
  EXPECT_EQ(errgroup::for_each(1, fails_at(0), by_number, there).origin().where.line(),
            there.line());
  auto const made =
      errgroup::transform({}, one, [](int) -> result<int> { return failure(); }, by_number, there);
  EXPECT_EQ(made.error().origin().where.line(), there.line());
}

// --- the projection --------------------------------------------------------------------------

struct file {
  [[nodiscard]] std::string name() const { return path; }

  std::string path;
};

TEST(ElementName, may_be_given_in_every_form) {
  std::vector<file> const files{{"a"}, {"b"}};
  auto const bad = [](file const& f) { return f.path == "b" ? failure() : std::error_code(); };
  auto const told = [&](auto const& names) {
    return errgroup::for_each(files, bad, names).origin().name;
  };
  EXPECT_EQ(told(named_by(&file::path)), "b");
  EXPECT_EQ(told(named_by(&file::name)), "b");
  EXPECT_EQ(told(named_by([](file const& f) -> std::string const& { return f.path; })), "b");
  EXPECT_EQ(told(named_by([](file const& f) { return std::string_view(f.path); })), "b");
  EXPECT_EQ(told(named_by([](file const& f) { return f.path.c_str(); })), "b");
  EXPECT_EQ(told(named_by([](file const&) { return "a literal"; })), "a literal");
  EXPECT_EQ(told(named_by([](file const& f) { return std::filesystem::path(f.path); })), "b");
  EXPECT_EQ(told(named_by([](file const&) -> char const* { return nullptr; })), "");
  EXPECT_EQ(told(named_by([](file const&) { return ""; })), "");
}

TEST(ElementName, of_a_projection_that_throws_is_missing_and_the_error_is_as_without) {
  named_by<projection> const bad([](int) -> std::string { throw std::logic_error("no name"); });
  with_all_options(
      [&](options const& opts) {
        for (fn const& f : {fails_at(31), throws_at(31)}) {
          error const e = errgroup::for_each(opts, 50, f, bad);
          EXPECT_EQ(e.origin().name, "");
          EXPECT_EQ(e.origin().path, "job");
          EXPECT_EQ(e.origin().index, 31U);
          EXPECT_TRUE(e == failure() || e.what() == "thrown") << e;
        }
      },
      {.name = "job"});
}

TEST(ElementName, an_empty_projection_is_refused_at_once) {
  EXPECT_THROW(named_by{projection()}, std::invalid_argument);
  using member = std::string file::*;
  EXPECT_THROW(named_by{member()}, std::invalid_argument);
}

TEST(ElementName, the_projection_is_called_by_the_thread_of_the_element_for_each_that_failed) {
  support::with_workers(3, [] {
    thread_local int mine = -1;
    std::atomic<int> wrong{0};
    std::atomic<int> asked{0};
    fn const f = [](int n) {
      mine = n;
      return n % 2 == 0 ? failure() : std::error_code();
    };
    named_by<projection> const names([&](int n) {
      ++asked;
      wrong += mine != n ? 1 : 0;
      return number_name(n);
    });
    options const opts{.policy = on_error::keep_going, .errors = keep::all, .max_errors = npos};
    with_all_ranges(100, [&](auto&& range) {
      asked = 0;
      error const e = errgroup::for_each(opts, range, f, names);
      EXPECT_EQ(e.all().size(), 50U);
      EXPECT_EQ(asked, 50);
    });
    EXPECT_EQ(wrong, 0);
  });
}

// --- the element -----------------------------------------------------------------------------

TEST(ElementName, the_projection_sees_the_changes_of_the_callable) {
  std::vector<file> files{{"a"}, {"b"}};
  auto const e = errgroup::for_each(
      {.limit = 1}, files,
      [](file& f) -> std::error_code {
        f.path += " changed";
        throw std::runtime_error("thrown");
      },
      named_by(&file::path));
  EXPECT_EQ(e.origin().name, "a changed");
}

TEST(ElementName, the_projection_sees_what_is_left_of_an_element_that_was_moved_away) {
  // The range gives its elements away, so each call gets new ones.
  std::vector<std::unique_ptr<int>> pointers(1);
  auto const range = [&pointers] {
    pointers.front() = std::make_unique<int>(7);
    return std::ranges::subrange(std::make_move_iterator(pointers.begin()),
                                 std::make_move_iterator(pointers.end()));
  };
  auto const names = named_by([](std::unique_ptr<int> const& p) {
    return p ? std::to_string(*p) : std::string("moved away");
  });
  auto const looks = [](std::unique_ptr<int>&&) { return failure(); };
  EXPECT_EQ(errgroup::for_each(range(), looks, names).origin().name, "7");
  auto const takes = [](std::unique_ptr<int> p) { return *p == 7 ? failure() : std::error_code(); };
  EXPECT_EQ(errgroup::for_each(range(), takes, names).origin().name, "moved away");
  auto const made = errgroup::transform(
      range(), [](std::unique_ptr<int> p) -> std::unique_ptr<int> { throw *p; }, names);
  EXPECT_EQ(made.error().origin().name, "moved away");
}

// The iterator of each element is dereferenced once, also for an element that fails: a second
// object would have cost the user's function once more, and could have another name.
TEST(ElementName, is_that_of_the_object_that_the_callable_got) {
  std::atomic<int> made{0};
  std::vector<int> const numbers{0, 1, 2, 3, 4, 5, 6, 7};
  auto const texts = numbers | std::views::transform([&made](int) { return ++made; });
  std::atomic<int> got{0};
  fn const fails = [&got](int n) {
    got = n;
    return failure();
  };
  fn const throws = [&got](int n) -> std::error_code {
    got = n;
    throw std::runtime_error("thrown");
  };
  for (fn const& f : {fails, throws}) {
    made = 0;
    error const e = errgroup::for_each({.limit = 1}, texts, f, by_number);
    EXPECT_EQ(e.origin().name, number_name(got));
    EXPECT_EQ(made, 1);
  }
}

TEST(ElementName, an_iterator_that_throws_has_no_element_to_name) {
  auto const e = errgroup::for_each({.limit = 1, .name = "job"}, support::throws_at(5, 2),
                                    fails_at(-1), by_number);
  EXPECT_EQ(e.what(), "a bad iterator");
  EXPECT_EQ(e.origin().name, "");
  std::vector<int> const numbers{0, 1, 2};
  auto const bad = numbers | std::views::transform([](int n) {
                     return n == 1 ? throw std::runtime_error("a bad element") : n;
                   });
  error const other = errgroup::for_each({.limit = 1, .name = "job"}, bad, fails_at(-1), by_number);
  EXPECT_EQ(other.what(), "a bad element");
  EXPECT_EQ(other.origin().path, "job");
  EXPECT_EQ(other.origin().index, 1U);
}

TEST(ElementName, the_callable_may_take_a_stop_token) {
  auto const e = errgroup::for_each(
      5,
      [](int n, std::stop_token const& token) {
        return n == 3 && token.stop_possible() ? failure() : std::error_code();
      },
      by_number);
  expect_named(e, 3);
}

// --- where something ends --------------------------------------------------------------------

TEST(ElementNameDeathTest, with_on_exception_terminate_what_is_returned_is_named) {
  options const opts{.exceptions = on_exception::terminate};
  expect_named(errgroup::for_each(opts, 50, fails_at(31), by_number), 31);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT((void)errgroup::for_each(opts, 50, throws_at(31), by_number),
              testing::KilledBySignal(SIGABRT), "");
}

TEST(ElementName, E2_without_memory_for_the_name_the_failure_is_told) {
  named_by<std::string (*)(int)> const names(+[](int) { return std::string(100, 'x'); });
  // oneTBB hangs if its first use fails for lack of memory.
  EXPECT_TRUE(errgroup::for_each({.limit = 1}, 1, [](int) { return failure(); }, names));
  bool failed = true;
  for (long n = 0; failed; ++n) {
    error e;
    std::size_t size = 0;
    bool threw = false;
    {
      support::failing_new const no_memory(n);
      try {
        e = errgroup::for_each({.limit = 1}, 1, [](int) { return failure(); }, names);
      } catch (std::bad_alloc const&) {
        threw = true;  // before the element
      }
      failed = support::failing_new::has_failed();
    }
    size = e.origin().name.size();
    EXPECT_TRUE(threw || e) << "failing allocation " << n;
    EXPECT_TRUE(size == 0 || size == 100) << size;
    if (!failed) {
      EXPECT_EQ(size, 100U);
    }
  }
}

}  // namespace
