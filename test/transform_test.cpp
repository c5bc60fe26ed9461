// SPDX-License-Identifier: Apache-2.0

// transform: a value for each element, in their order, or an error.

#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include <errgroup/result.hpp>
#include <errgroup/transform.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>           // atomic
#include <chrono>           // milliseconds
#include <cstddef>          // size_t
#include <functional>       // function
#include <iterator>         // make_move_iterator
#include <list>             // list
#include <memory>           // make_unique, unique_ptr
#include <numeric>          // iota
#include <optional>         // optional
#include <ranges>           // iota, subrange
#include <source_location>  // source_location
#include <stdexcept>        // invalid_argument, runtime_error
#include <stop_token>       // stop_source, stop_token
#include <string>           // string, to_string
#include <system_error>     // error_code, system_error
#include <type_traits>      // is_same_v
#include <utility>          // move
#include <vector>           // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::keep;
using errgroup::on_error;
using errgroup::options;
using errgroup::result;
using support::await;
using support::failure;
using support::watchdog;
using support::with_all_options;
using support::with_all_ranges;
using support::with_some_ranges;

class Transform : public support::no_leaks {};

/// A value without a default, that is moved only and counted.
class value {
 public:
  explicit value(int i) : i_(i) {}
  value(value&&) noexcept = default;
  value& operator=(value&&) = delete;
  value(value const&) = delete;
  value& operator=(value const&) = delete;
  ~value() = default;

  [[nodiscard]] int get() const { return i_; }

 private:
  support::counted alive_;
  int i_;
};

int number(int i) { return i; }
int number(bool b) { return b ? 1 : 0; }
int number(std::string const& s) { return std::stoi(s); }
int number(value const& v) { return v.get(); }
int number(std::unique_ptr<int> const& p) { return *p; }

/// Calls `body(f, g)` with functions `f` that make values of many types, of which `number` makes
/// `g(i)`.
template <class Body>
void of_all_types(Body body) {
  auto const same = [](int i) { return i; };
  {
    SCOPED_TRACE("int");
    body([](int i) { return i; }, same);
  }
  {
    SCOPED_TRACE("bool");
    body([](int i) { return i % 3 == 0; }, [](int i) { return i % 3 == 0 ? 1 : 0; });
  }
  {
    SCOPED_TRACE("a string");
    body([](int i, std::stop_token const&) { return std::to_string(i); }, same);
  }
  {
    SCOPED_TRACE("a pointer in a result");
    body([](int i) -> result<std::unique_ptr<int>> { return std::make_unique<int>(i); }, same);
  }
  {
    SCOPED_TRACE("a value without a default");
    body([](int i) { return value(i); }, same);
  }
  {
    SCOPED_TRACE("a bool in an expected");
    body([](int i) -> tl::expected<bool, std::error_code> { return i % 2 == 0; },
         [](int i) { return i % 2 == 0 ? 1 : 0; });
  }
  {
    SCOPED_TRACE("an int in an expected");
    body([](int i) -> tl::expected<int, std::string> { return i; }, same);
  }
}

TEST_F(Transform, values_are_in_the_order_of_the_elements) {
  watchdog const guard("transform");
  for (int const n : {0, 1, 2, 7, 1000}) {
    with_all_options([n](options const& opts) {
      with_all_ranges(n, [&](auto&& range) {
        auto const r = errgroup::transform(opts, range, [](int i) { return std::to_string(i); });
        ASSERT_TRUE(r) << r.error();
        ASSERT_EQ(r->size(), static_cast<std::size_t>(n));
        for (int i = 0; i != n; ++i) {
          ASSERT_EQ(number((*r)[static_cast<std::size_t>(i)]), i);
        }
      });
    });
  }
}

TEST_F(Transform, values_of_all_types) {
  watchdog const guard("transform");
  for (int const n : {0, 1, 1000}) {
    of_all_types([n](auto f, auto expected) {
      with_all_options([&](options const& opts) {
        with_some_ranges(n, [&](auto&& range) {
          auto const r = errgroup::transform(opts, range, f);
          ASSERT_TRUE(r) << r.error();
          ASSERT_EQ(r->size(), static_cast<std::size_t>(n));
          for (int i = 0; i != n; ++i) {
            ASSERT_EQ(number((*r)[static_cast<std::size_t>(i)]), expected(i));
          }
        });
      });
    });
  }
}

TEST_F(Transform, the_type_is_that_of_the_values) {
  std::vector<int> const v(3);
  static_assert(std::is_same_v<decltype(errgroup::transform(v, [](int i) { return i * 0.5; })),
                               result<std::vector<double>>>);
  static_assert(
      std::is_same_v<decltype(errgroup::transform(v, [](int i) { return std::optional<int>(i); })),
                     result<std::vector<std::optional<int>>>>);
  auto const first = [](int const& i) -> int const& { return i; };
  static_assert(std::is_same_v<decltype(errgroup::transform(v, first)), result<std::vector<int>>>);
  EXPECT_TRUE(errgroup::transform(v, first));
}

TEST_F(Transform, a_million_elements) {
  std::vector<int> v(1'000'000);
  std::iota(v.begin(), v.end(), 0);
  for (int const limit : {errgroup::unlimited, 2}) {
    auto const plain = errgroup::transform({.limit = limit}, v, [](int i) { return i + 1; });
    auto const bits = errgroup::transform({.limit = limit}, v, [](int i) { return i % 7 == 0; });
    auto const strings =
        errgroup::transform({.limit = limit}, v, [](int i) { return std::to_string(i); });
    ASSERT_TRUE(plain && bits && strings);
    for (std::size_t i = 0; i != v.size(); ++i) {
      ASSERT_EQ((*plain)[i], static_cast<int>(i) + 1);
      ASSERT_EQ((*bits)[i], i % 7 == 0);
    }
    EXPECT_EQ(strings->back(), "999999");
  }
}

TEST_F(Transform, values_are_moved_and_never_copied) {
  struct reluctant {
    explicit reluctant(int n) : i(n) {}
    reluctant(reluctant&&) noexcept = default;
    reluctant(reluctant const& other) : i(other.i) { throw support::thrown_by_copy(); }
    reluctant& operator=(reluctant const&) = delete;
    reluctant& operator=(reluctant&&) = delete;
    ~reluctant() = default;
    int i;
  };
  with_all_options([](options const& opts) {
    with_some_ranges(100, [&](auto&& range) {
      auto const r =
          errgroup::transform(opts, range, [](int i) -> result<reluctant> { return reluctant(i); });
      ASSERT_TRUE(r) << r.error();
      EXPECT_EQ(r->back().i, 99);
    });
  });
}

TEST_F(Transform, elements_that_can_only_be_moved_are_moved_on) {
  std::vector<std::unique_ptr<int>> v;
  for (int i = 0; i != 100; ++i) {
    v.push_back(std::make_unique<int>(i));
  }
  auto const r = errgroup::transform(
      std::ranges::subrange(std::make_move_iterator(v.begin()), std::make_move_iterator(v.end())),
      [](std::unique_ptr<int>&& p) { return std::move(p); });
  ASSERT_TRUE(r);
  for (int i = 0; i != 100; ++i) {
    EXPECT_EQ(*(*r)[static_cast<std::size_t>(i)], i);
  }
}

TEST_F(Transform, what_cannot_be_is_refused_in_words) {
  std::vector<int> const v(3);
  EXPECT_THROW((void)errgroup::transform({.limit = 0}, v, [](int i) { return i; }),
               std::invalid_argument);
  EXPECT_THROW((void)errgroup::transform(v, std::function<int(int)>()), std::invalid_argument);
}

// --- failures --------------------------------------------------------------------------------

/// What most of the tests below call: one type, so that transform is compiled for it only once for
/// each kind of range.
using function = std::function<result<value>(int, std::stop_token const&)>;

/// transform over a range of some kind. A test whose body is given this is compiled once.
using loop = std::function<result<std::vector<value>>(options const&, function const&)>;

/// Calls `body(loop)` with the numbers from 0 to n - 1 in some ranges.
void in_some_ranges(int n, std::function<void(loop const&)> const& body) {
  with_some_ranges(n, [&](auto&& range) {
    body([&](options const& opts, function const& f) {
      return errgroup::transform(opts, range, f);
    });
  });
}

/// transform over some range with a function of some kind, its error, and the line of that call.
class kind {
 public:
  template <class Range, class F>
  kind(Range& range, F f)
      : call_([this, &range, f](options const& opts) {
          line_ = std::source_location::current().line() + 1;
          auto const r = errgroup::transform(opts, range, f);
          return r ? error() : r.error();
        }) {}
  kind(kind const&) = delete;
  kind& operator=(kind const&) = delete;
  ~kind() = default;

  error operator()(options const& opts) { return call_(opts); }
  [[nodiscard]] unsigned line() const { return line_; }

 private:
  unsigned line_ = 0;
  std::function<error(options const&)> call_;
};

/// Calls `body(kind)` with functions that fail with `failure()`, each in its own way, if
/// `fails(i)`, for the numbers from 0 to n - 1 in some ranges.
void in_all_kinds(int n, std::function<bool(int)> const& fails,
                  std::function<void(kind&)> const& body) {
  auto const with = [&](char const* what, auto const& f) {
    SCOPED_TRACE(what);
    with_some_ranges(n, [&](auto&& range) {
      kind one(range, f);
      body(one);
    });
  };
  with("a result", [fails](int i) -> result<int> {
    if (fails(i)) {
      return failure();
    }
    return i;
  });
  with("an expected", [fails](int i) -> tl::expected<value, std::error_code> {
    if (fails(i)) {
      return tl::make_unexpected(failure());
    }
    return value(i);
  });
  with("an exception, with plain values", [fails](int i) {
    if (fails(i)) {
      throw std::system_error(failure());
    }
    return i;
  });
  with("an exception, with values that are moved", [fails](int i, std::stop_token const&) {
    if (fails(i)) {
      throw std::system_error(failure());
    }
    return value(i);
  });
}

TEST_F(Transform, the_error_says_which_element_and_where) {
  watchdog const guard("transform");
  for (int const bad : {0, 57, 99}) {
    with_all_options([bad](options const& opts) {
      in_all_kinds(
          100, [bad](int i) { return i == bad; },
          [&](kind& one) {
            error const e = one(opts);
            ASSERT_TRUE(e);
            EXPECT_EQ(e.code(), failure());
            EXPECT_EQ(e.origin().index, static_cast<std::size_t>(bad));
            EXPECT_EQ(e.origin().where.line(), one.line());
          });
    });
  }
}

TEST_F(Transform, all_fail) {
  with_all_options([](options const& opts) {
    in_all_kinds(
        50, [](int) { return true; }, [&](kind& one) { EXPECT_EQ(one(opts).code(), failure()); });
  });
}

TEST_F(Transform, E5_keep_going_makes_all_and_tells_the_first) {
  with_all_options(
      [](options const& opts) {
        in_some_ranges(90, [&](loop const& transform) {
          std::atomic<int> calls{0};
          auto const r = transform(opts, [&](int i, auto const&) -> result<value> {
            ++calls;
            if (i % 3 == 0) {
              return failure();
            }
            if (i % 3 == 1) {
              throw std::system_error(failure());
            }
            return value(i);
          });
          EXPECT_EQ(calls, 90);
          EXPECT_EQ(r.error().code(), failure());
          EXPECT_EQ(r.error().all().size(), 60U);
          EXPECT_EQ(r.error().skipped(), 0U);
        });
      },
      {.policy = on_error::keep_going, .errors = keep::all});
}

TEST_F(Transform, when_it_has_returned_nothing_runs) {
  with_all_options([](options const& opts) {
    in_some_ranges(200, [&](loop const& transform) {
      std::atomic<int> running{0};
      std::atomic<int> calls{0};
      auto const r = transform(opts, [&](int i, auto const&) {
        ++running;
        support::dawdle(2);
        --running;
        if (++calls == 20) {
          throw std::runtime_error("enough");
        }
        return value(i);
      });
      EXPECT_EQ(running, 0);
      EXPECT_EQ(r.error().what(), "enough");
    });
  });
}

TEST_F(Transform, a_copy_that_throws_is_an_error) {
  struct explosive {
    explicit explosive(int n) : i(n) {}
    explosive(explosive&& other) noexcept(false) : i(other.i) {
      if (i == 20) {
        throw support::thrown_by_move();
      }
    }
    int i;
  };
  with_all_options([](options const& opts) {
    with_some_ranges(40, [&](auto&& range) {
      auto const r =
          errgroup::transform(opts, range, [](int i) -> result<explosive> { return explosive(i); });
      EXPECT_EQ(r.error().what(), "a callable was moved");
    });
  });
}

TEST_F(Transform, iterators_are_incremented_once_and_by_one_thread_at_a_time) {
  support::expect_one_walk(3000, [](options const& opts, auto&& range) {
    auto const r = errgroup::transform(opts, range, [](int i) { return std::to_string(i); });
    ASSERT_TRUE(r) << r.error();
    EXPECT_EQ(r->size(), 3000U);
    EXPECT_EQ(r->back(), "2999");
  });
}

TEST_F(Transform, each_element_is_read_once) {
  support::expect_one_reading(3000, [](options const& opts, auto&& range) {
    EXPECT_TRUE(errgroup::transform(opts, range, [](int i) { return i; }));
  });
}

TEST_F(Transform, an_iterator_that_throws_is_an_error) {
  with_all_options([](options const& opts) {
    for (int const bad : {0, 50, 98}) {
      auto const r =
          errgroup::transform(opts, support::throws_at(100, bad), [](int i) { return i; });
      EXPECT_EQ(r.error().what(), "a bad iterator");
    }
  });
}

// --- cancellation ----------------------------------------------------------------------------

TEST_F(Transform, stopped_before_it_begins_nothing_runs) {
  std::stop_source source;
  source.request_stop();
  with_all_options(
      [](options const& opts) {
        in_some_ranges(10, [&](loop const& transform) {
          auto const r = transform(opts, [](int i, auto const&) {
            ADD_FAILURE();
            return value(i);
          });
          EXPECT_EQ(r.error(), errc::canceled);
        });
      },
      {.stop = source.get_token()});
}

TEST_F(Transform, stopped_in_the_middle_is_an_error) {
  watchdog const guard("transform with a stop token");
  with_all_options([](options opts) {
    in_some_ranges(1000, [&](loop const& transform) {
      std::stop_source source;
      opts.stop = source.get_token();
      std::atomic<int> calls{0};
      auto const r = transform(opts, [&](int i, std::stop_token const& token) {
        if (++calls == 3) {
          source.request_stop();
        }
        if (calls >= 3) {
          await([&] { return token.stop_requested(); }, "the token to be stopped");
        }
        return value(i);
      });
      EXPECT_EQ(r.error(), errc::canceled);
    });
  });
}

TEST_F(Transform, a_timeout_is_the_error) {
  watchdog const guard("transform with a timeout");
  with_all_options(
      [](options const& opts) {
        in_some_ranges(20, [&](loop const& transform) {
          auto const r = transform(opts, [](int i, std::stop_token const& token) {
            await([&] { return token.stop_requested(); }, "the token to be stopped");
            return value(i);
          });
          EXPECT_EQ(r.error(), errc::deadline_exceeded);
        });
      },
      {.timeout = std::chrono::milliseconds(1)});
}

// --- limits and nesting ----------------------------------------------------------------------

TEST_F(Transform, L1_never_more_than_the_limit_at_once) {
  for (int const limit : {1, 2, 3}) {
    in_some_ranges(200, [limit](loop const& transform) {
      support::highest inside;
      auto const r = transform({.limit = limit}, [&](int i, auto const&) {
        inside.up();
        support::dawdle(2);
        inside.down();
        return value(i);
      });
      EXPECT_TRUE(r);
      EXPECT_LE(inside.most(), limit);
    });
  }
}

TEST_F(Transform, L4_nested_in_itself_at_any_limit) {
  watchdog const guard("transform in transform");
  for (int const outer_limit : {errgroup::unlimited, 1, 2}) {
    for (int const inner_limit : {errgroup::unlimited, 1, 2}) {
      auto const r =
          errgroup::transform({.limit = outer_limit}, std::views::iota(0, 10), [&](int i) {
            return errgroup::transform({.limit = inner_limit}, std::list<int>(10, i),
                                       [](int j) { return std::to_string(j); });
          });
      ASSERT_TRUE(r) << r.error();
      EXPECT_EQ((*r)[7], std::vector<std::string>(10, "7"));
    }
  }
}

}  // namespace
