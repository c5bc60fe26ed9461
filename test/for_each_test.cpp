// SPDX-License-Identifier: Apache-2.0

// for_each: every element once, the first failure stops the rest.

#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include <errgroup/for_each.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/partitioner.h>     // simple_partitioner
#include <tbb/task.h>            // current_context
#include <tbb/task_arena.h>      // max_concurrency, task_arena
#include <tbb/task_group.h>      // task_group_context

#include <algorithm>        // all_of, count
#include <array>            // array
#include <atomic>           // atomic
#include <chrono>           // microseconds, milliseconds, steady_clock
#include <cstddef>          // size_t
#include <cstdint>          // int64_t, uint8_t
#include <cstdio>           // fputs
#include <functional>       // function
#include <iterator>         // make_move_iterator
#include <limits>           // numeric_limits
#include <list>             // list
#include <memory>           // make_unique, unique_ptr
#include <mutex>            // mutex, scoped_lock
#include <new>              // bad_alloc
#include <numeric>          // iota
#include <optional>         // optional
#include <ranges>           // filter, iota, subrange, transform
#include <source_location>  // source_location
#include <stdexcept>        // invalid_argument, runtime_error
#include <stop_token>       // stop_source, stop_token
#include <string>           // string
#include <system_error>     // errc, error_code, make_error_code, system_error
#include <thread>           // this_thread
#include <type_traits>      // is_invocable_v, is_same_v, is_void_v
#include <vector>           // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::keep;
using errgroup::on_error;
using errgroup::options;
using support::await;
using support::failure;
using support::watchdog;
using support::with_all_options;

class ForEach : public support::no_leaks {};

/// What most tests call: one type, so that for_each is compiled once for each kind of range.
using function = std::function<std::error_code(int, std::stop_token const&)>;

/// `f(i)`, or `f(i, token)`, as that.
template <class F>
function fn(F f) {
  return [f](int i, std::stop_token const& token) -> std::error_code {
    auto const call = [&] {
      if constexpr (std::is_invocable_v<F const&, int>) {
        return f(i);
      } else {
        return f(i, token);
      }
    };
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      return {};
    } else {
      return call();
    }
  };
}

/// How often each number was seen.
class seen {
 public:
  explicit seen(int n) : times_(static_cast<std::size_t>(n)) {}

  void operator()(int i) { ++times_.at(static_cast<std::size_t>(i)); }
  [[nodiscard]] std::size_t count() const {
    std::size_t n = 0;
    for (auto const& t : times_) {
      n += static_cast<std::size_t>(t.load());
    }
    return n;
  }
  [[nodiscard]] bool all_once() const {
    return std::ranges::all_of(times_, [](auto const& t) { return t.load() == 1; });
  }

 private:
  std::vector<std::atomic<int>> times_;
};

/// for_each over a range of some kind. A test whose body is given this is compiled once, not once
/// for each kind.
using loop = std::function<error(options const&, function const&)>;

/// Calls `body(loop)` with the numbers from 0 to n - 1 in ranges of every kind.
void with_all_ranges(int n, std::function<void(loop const&)> const& body) {
  support::with_all_ranges(n, [&](auto&& range) {
    body(
        [&](options const& opts, function const& f) { return errgroup::for_each(opts, range, f); });
  });
}

/// for_each with `f`, made a `function`.
template <class F>
error each(options const& opts, loop const& range, F f) {
  return range(opts, fn(f));
}

// --- every element once ----------------------------------------------------------------------

TEST_F(ForEach, every_element_once_whatever_the_range_and_the_options) {
  watchdog const guard("for_each");
  for (int const n : {0, 1, 2, 7, 1000}) {
    with_all_ranges(n, [n](loop const& range) {
      seen times(n);
      error const e = each({}, range, [&](int i) { times(i); });
      EXPECT_FALSE(e) << e;
      EXPECT_TRUE(times.all_once());
    });
    with_all_options([n](options const& opts) {
      with_all_ranges(n, [&](loop const& range) {
        seen times(n);
        error const e = each(opts, range, [&](int i) { times(i); });
        EXPECT_FALSE(e) << e;
        EXPECT_TRUE(times.all_once());
      });
      seen times(n);
      error const e = errgroup::for_each(opts, n, [&](int i) { times(i); });
      EXPECT_FALSE(e) << e;
      EXPECT_TRUE(times.all_once());
    });
  }
}

TEST_F(ForEach, elements_are_the_ranges_own) {
  std::vector<int> v(10'000, 1);
  EXPECT_FALSE(errgroup::for_each(v, [](int& i) { i += 1; }));
  EXPECT_EQ(std::ranges::count(v, 2), 10'000);
  std::list<int> l(1000, 1);
  EXPECT_FALSE(errgroup::for_each(l, [](int& i) { i += 1; }));
  EXPECT_EQ(std::ranges::count(l, 2), 1000);
  std::array<int, 3> const a{1, 2, 3};
  EXPECT_FALSE(errgroup::for_each(a, [](int const& i) { EXPECT_GT(i, 0); }));
  int raw[] = {1, 2, 3};
  EXPECT_FALSE(errgroup::for_each({.limit = 2}, raw, [](int& i) { i *= 2; }));
  EXPECT_EQ(raw[2], 6);
  std::vector<bool> bits(1);
  EXPECT_FALSE(errgroup::for_each(bits, [](std::vector<bool>::reference bit) { bit = true; }));
  EXPECT_TRUE(bits[0]);
}

TEST_F(ForEach, a_million_elements) {
  std::vector<std::uint8_t> touched(1'000'000);
  EXPECT_FALSE(errgroup::for_each(touched, [](std::uint8_t& t) { ++t; }));
  EXPECT_FALSE(errgroup::for_each({.limit = 2}, touched, [](std::uint8_t& t) { ++t; }));
  EXPECT_FALSE(errgroup::for_each(touched.size(), [&](std::size_t i) { ++touched[i]; }));
  EXPECT_EQ(std::ranges::count(touched, 3), 1'000'000);
}

TEST_F(ForEach, numbers_have_the_type_of_their_count) {
  EXPECT_FALSE(errgroup::for_each(
      std::int64_t{3}, [](auto i) { static_assert(std::is_same_v<decltype(i), std::int64_t>); }));
  EXPECT_FALSE(errgroup::for_each(std::uint8_t{255}, [](std::uint8_t) {}));
}

TEST_F(ForEach, a_negative_count_is_refused_in_words) {
  for (int const n : {-1, std::numeric_limits<int>::min()}) {
    try {
      (void)errgroup::for_each(n, [](int) { ADD_FAILURE(); });
      ADD_FAILURE() << "done " << n << " times";
    } catch (std::invalid_argument const& e) {
      EXPECT_NE(std::string(e.what()).find("negative"), std::string::npos);
    }
  }
}

TEST_F(ForEach, options_and_functions_that_cannot_be_are_refused_even_for_nothing) {
  EXPECT_THROW((void)errgroup::for_each({.limit = 0}, 0, [](int) {}), std::invalid_argument);
  EXPECT_THROW((void)errgroup::for_each({.limit = -2}, std::list<int>(), [](int) {}),
               std::invalid_argument);
  EXPECT_THROW((void)errgroup::for_each(3, std::function<void(int)>()), std::invalid_argument);
}

TEST_F(ForEach, the_function_is_neither_copied_nor_moved) {
  struct stays {
    std::atomic<int>& n;
    explicit stays(std::atomic<int>& count) : n(count) {}
    stays(stays const&) = delete;
    stays& operator=(stays const&) = delete;
    ~stays() = default;
    void operator()(int) const { ++n; }
  };
  std::atomic<int> n{0};
  EXPECT_FALSE(errgroup::for_each(100, stays(n)));
  EXPECT_FALSE(errgroup::for_each({.limit = 2}, std::list<int>(100), stays(n)));
  EXPECT_EQ(n, 200);
}

TEST_F(ForEach, elements_that_can_only_be_moved_are_moved_out_of_what_can_be_read_once) {
  std::vector<std::unique_ptr<int>> v;
  for (int i = 0; i != 100; ++i) {
    v.push_back(std::make_unique<int>(i));
  }
  EXPECT_FALSE(errgroup::for_each(v, [](std::unique_ptr<int>& p) { ++*p; }));
  std::atomic<int> sum{0};
  EXPECT_FALSE(errgroup::for_each(
      std::ranges::subrange(std::make_move_iterator(v.begin()), std::make_move_iterator(v.end())),
      [&](std::unique_ptr<int> p) { sum += *p; }));
  EXPECT_EQ(sum, 5050);
  EXPECT_TRUE(std::ranges::all_of(v, [](auto const& p) { return p == nullptr; }));
}

// --- failures --------------------------------------------------------------------------------

/// for_each over some range with a function of some kind, and the line of that call.
class kind {
 public:
  template <class Range, class F>
  kind(Range& range, F f)
      : call_([this, &range, f](options const& opts) {
          line_ = std::source_location::current().line() + 1;
          return errgroup::for_each(opts, range, f);
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
    support::with_some_ranges(n, [&](auto&& range) {
      kind one(range, f);
      body(one);
    });
  };
  with("a code", [fails](int i) { return fails(i) ? failure() : std::error_code(); });
  with("an error, with a token",
       [fails](int i, std::stop_token const&) { return fails(i) ? error(failure()) : error(); });
  with("a result", [fails](int i) -> errgroup::result<> {
    if (fails(i)) {
      return failure();
    }
    return {};
  });
  with("an expected with a value", [fails](int i) -> tl::expected<int, std::error_code> {
    if (fails(i)) {
      return tl::make_unexpected(failure());
    }
    return i;
  });
  with("an exception", [fails](int i) {
    if (fails(i)) {
      throw std::system_error(failure());
    }
  });
}

TEST_F(ForEach, the_error_says_which_element_and_where) {
  watchdog const guard("for_each");
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
            EXPECT_NE(std::string(e.origin().where.file_name()).find("for_each_test"),
                      std::string::npos);
          });
    });
  }
}

TEST_F(ForEach, all_fail) {
  with_all_options([](options const& opts) {
    in_all_kinds(
        50, [](int) { return true; },
        [&](kind& one) {
          error const e = one(opts);
          EXPECT_EQ(e.code(), failure());
          EXPECT_LT(e.origin().index, 50U);
          EXPECT_TRUE(e.others().empty());
        });
  });
}

TEST_F(ForEach, a_name_goes_before_the_message) {
  error const e = errgroup::for_each({.name = "sizes"}, 3, [](int) { return failure(); });
  EXPECT_EQ(e.origin().path, "sizes");
}

TEST_F(ForEach, after_the_first_failure_no_element_is_begun_on_one_lane) {
  with_all_ranges(100, [](loop const& range) {
    std::atomic<int> calls{0};
    error const e = each({.limit = 1}, range, [&](int i) {
      ++calls;
      return i == 10 ? failure() : std::error_code();
    });
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(calls, 11);
  });
}

TEST_F(ForEach, what_was_left_out_is_counted) {
  with_all_options([](options const& opts) {
    std::atomic<std::size_t> calls{0};
    error const e = errgroup::for_each(opts, 1000, [&](int i) {
      ++calls;
      return i == 500 ? failure() : std::error_code();
    });
    EXPECT_EQ(e.skipped() + calls, 1000U);
    std::list<int> const l(1000, 1);
    calls = 0;
    error const in_list = errgroup::for_each(opts, l, [&](int) {
      ++calls;
      return failure();
    });
    EXPECT_EQ(in_list.skipped() + calls, 1000U);
  });
}

TEST_F(ForEach, the_first_failure_stops_the_rest) {
  // Elements that wait for nothing else: it ends.
  watchdog const guard("for_each with elements that wait for the cancellation");
  with_all_options([](options const& opts) {
    with_all_ranges(100, [&](loop const& range) {
      std::atomic<bool> failed{false};
      error const e = each(opts, range, [&](int, std::stop_token const& token) {
        if (!failed.exchange(true)) {
          return failure();
        }
        await([&] { return token.stop_requested(); }, "the token to be stopped");
        return std::make_error_code(std::errc::interrupted);
      });
      EXPECT_EQ(e.code(), failure());
    });
  });
}

TEST_F(ForEach, a_long_leaf_looks_whether_it_was_cancelled) {
  // One thread has all elements, and somebody else cancels: each element takes its time.
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  std::stop_source source;
  int calls = 0;
  auto const slow = [] {
    auto const end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
    while (std::chrono::steady_clock::now() < end) {
    }
  };
  error const e = errgroup::for_each({.stop = source.get_token()}, 1'000'000, [&](int) {
    if (++calls == 3) {
      source.request_stop();
    }
    slow();
  });
  EXPECT_EQ(e, errc::canceled);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(e.skipped(), 999'997U);
}

TEST_F(ForEach, when_it_has_returned_nothing_runs) {
  with_all_options([](options const& opts) {
    with_all_ranges(200, [&](loop const& range) {
      std::atomic<int> running{0};
      std::atomic<int> calls{0};
      error const e = each(opts, range, [&](int) {
        ++running;
        support::dawdle(2);
        --running;
        if (++calls == 20) {
          throw std::runtime_error("enough");
        }
      });
      int const then = calls;
      EXPECT_EQ(running, 0);
      EXPECT_TRUE(e);
      support::dawdle(5);
      EXPECT_EQ(calls, then);
    });
  });
}

// --- keep_going, keep::all -------------------------------------------------------------------

TEST_F(ForEach, E5_keep_going_runs_all_and_tells_the_first) {
  with_all_options(
      [](options const& opts) {
        std::optional<seen> times;
        in_all_kinds(
            300,
            [&](int i) {
              (*times)(i);
              return i % 3 == 0;
            },
            [&](kind& one) {
              times.emplace(300);
              error const e = one(opts);
              EXPECT_EQ(e.code(), failure());
              EXPECT_EQ(e.origin().index % 3, 0U);
              EXPECT_TRUE(e.others().empty());
              EXPECT_EQ(e.skipped(), 0U);
              EXPECT_TRUE(times->all_once());
            });
      },
      {.policy = on_error::keep_going});
}

TEST_F(ForEach, E5_keep_all_has_every_failure) {
  with_all_options(
      [](options const& opts) {
        with_all_ranges(90, [&](loop const& range) {
          error const e =
              each(opts, range, [](int i) { return i % 3 == 0 ? failure() : std::error_code(); });
          ASSERT_EQ(e.all().size(), 30U);
          std::vector<int> told(90);
          for (error const& one : e.all()) {
            ++told.at(one.origin().index);
          }
          for (std::size_t i = 0; i != 90; ++i) {
            EXPECT_EQ(told[i], i % 3 == 0 ? 1 : 0);
          }
          EXPECT_EQ(e.dropped(), 0U);
        });
      },
      {.policy = on_error::keep_going, .errors = keep::all});
}

TEST_F(ForEach, E5_keep_all_counts_what_is_beyond_max_errors) {
  with_all_options(
      [](options const& opts) {
        error const e = errgroup::for_each(opts, 100, [](int) { return failure(); });
        EXPECT_EQ(e.all().size(), 7U);
        EXPECT_EQ(e.dropped(), 93U);
      },
      {.policy = on_error::keep_going, .errors = keep::all, .max_errors = 7});
}

TEST_F(ForEach, E5_a_cancellation_after_the_first_failure_does_not_displace_it) {
  for (keep const errors : {keep::first, keep::all}) {
    with_all_options(
        [](options opts) {
          std::stop_source source;
          opts.stop = source.get_token();
          std::atomic<bool> failed{false};
          std::atomic<std::thread::id> failing;
          error const e = errgroup::for_each(opts, 1000, [&](int) {
            if (!failed.exchange(true)) {
              failing = std::this_thread::get_id();
              return failure();
            }
            // By now that failure is known.
            if (failing.load() == std::this_thread::get_id()) {
              source.request_stop();
            }
            return std::error_code();
          });
          EXPECT_EQ(e.code(), failure());
        },
        {.policy = on_error::keep_going, .errors = errors});
  }
}

TEST_F(ForEach, E1_what_fails_after_a_cancellation_is_not_the_cause) {
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    for (keep const errors : {keep::first, keep::all}) {
      with_all_options(
          [](options opts) {
            std::stop_source source;
            opts.stop = source.get_token();
            error const e = errgroup::for_each(opts, 100, [&](int, std::stop_token const& token) {
              source.request_stop();
              await([&] { return token.stop_requested(); }, "the token to be stopped");
              return failure();
            });
            EXPECT_EQ(e, errc::canceled);
            if (opts.errors == keep::all) {
              ASSERT_GE(e.others().size(), 1U);
              EXPECT_EQ(e.others().front().code(), failure());
            }
          },
          {.policy = policy, .errors = errors});
    }
  }
}

TEST_F(ForEach, E5_echoes_of_the_cancellation_are_counted) {
  with_all_options(
      [](options const& opts) {
        std::atomic<int> calls{0};
        std::atomic<std::size_t> echoes{0};
        error const e = errgroup::for_each(opts, 100, [&](int, std::stop_token const& token) {
          if (calls++ == 0) {
            return failure();
          }
          await([&] { return token.stop_requested(); }, "the token to be stopped");
          ++echoes;
          return std::make_error_code(std::errc::operation_canceled);
        });
        EXPECT_EQ(e.code(), failure());
        EXPECT_TRUE(e.others().empty());
        EXPECT_EQ(e.echoes(), echoes);
      },
      {.errors = keep::all});
}

// --- cancellation ----------------------------------------------------------------------------

TEST_F(ForEach, stopped_before_it_begins_nothing_runs) {
  std::stop_source source;
  source.request_stop();
  with_all_options(
      [](options const& opts) {
        with_all_ranges(10, [&](loop const& range) {
          error const e = each(opts, range, [](int) { ADD_FAILURE(); });
          EXPECT_EQ(e, errc::canceled);
        });
        error const e = errgroup::for_each(opts, 10, [](int) { ADD_FAILURE(); });
        EXPECT_EQ(e, errc::canceled);
        EXPECT_EQ(e.skipped(), 10U);
      },
      {.stop = source.get_token()});
}

TEST_F(ForEach, stopped_in_the_middle) {
  watchdog const guard("for_each with a stop token");
  with_all_options([](options opts) {
    with_all_ranges(1000, [&](loop const& range) {
      std::stop_source source;
      opts.stop = source.get_token();
      std::atomic<int> calls{0};
      error const e = each(opts, range, [&](int, std::stop_token const& token) {
        if (++calls == 3) {
          source.request_stop();
        }
        if (calls >= 3) {
          await([&] { return token.stop_requested(); }, "the token to be stopped");
        }
      });
      EXPECT_EQ(e, errc::canceled);
      EXPECT_LT(calls, 1000);
    });
  });
}

TEST_F(ForEach, C2_it_is_cancelled_with_the_task_that_it_was_called_in) {
  watchdog const guard("for_each in a task that is cancelled");
  for (int const limit : {errgroup::unlimited, 1}) {
    with_all_options([limit](options const& opts) {
      errgroup::group outer{{.limit = limit}};
      error inner;
      outer.run([&] {
        std::atomic<int> calls{0};
        inner = errgroup::for_each(opts, 1000, [&](int, std::stop_token const& token) {
          if (++calls == 1) {
            outer.cancel(failure());
          }
          await([&] { return token.stop_requested(); }, "the token to be stopped");
          return failure();  // an echo
        });
      });
      EXPECT_EQ(outer.wait().code(), failure());
      EXPECT_EQ(inner, errc::canceled);
    });
  }
}

TEST_F(ForEach, a_timeout_is_the_error) {
  watchdog const guard("for_each with a timeout");
  with_all_options(
      [](options const& opts) {
        with_all_ranges(20, [&](loop const& range) {
          error const e = each(opts, range, [](int, std::stop_token const& token) {
            await([&] { return token.stop_requested(); }, "the token to be stopped");
          });
          EXPECT_EQ(e, errc::deadline_exceeded);
        });
      },
      {.timeout = std::chrono::milliseconds(1)});
}

TEST_F(ForEach, who_cancels_what_the_elements_run_in_is_noticed) {
  with_all_options([](options const& opts) {
    error const e = errgroup::for_each(
        opts, 1000, [](int) { tbb::task::current_context()->cancel_group_execution(); });
    EXPECT_EQ(e, errc::canceled);
    EXPECT_GT(e.skipped(), 0U);
  });
}

// --- limits, nesting, places -----------------------------------------------------------------

TEST_F(ForEach, L1_never_more_than_the_limit_at_once) {
  for (int const limit : {1, 2, 3}) {
    with_all_ranges(200, [limit](loop const& range) {
      support::highest inside;
      error const e = each({.limit = limit}, range, [&](int) {
        inside.up();
        support::dawdle(2);
        inside.down();
      });
      EXPECT_FALSE(e) << e;
      EXPECT_LE(inside.most(), limit);
    });
  }
}

TEST_F(ForEach, L4_nested_in_itself_at_any_limit) {
  watchdog const guard("for_each in for_each");
  for (int const outer_limit : {errgroup::unlimited, 1, 2}) {
    for (int const inner_limit : {errgroup::unlimited, 1, 2}) {
      std::atomic<int> sum{0};
      error const e = errgroup::for_each({.limit = outer_limit}, 10, [&](int i) {
        return errgroup::for_each({.limit = inner_limit}, std::list<int>(10, i),
                                  [&](int j) { sum += j; });
      });
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(sum, 450);
    }
  }
}

TEST_F(ForEach, the_error_of_an_inner_one_says_where_that_was) {
  error const e = errgroup::for_each({.limit = 2, .name = "outer"}, 3, [](int) {
    return errgroup::for_each({.name = "inner"}, 10,
                              [](int j) { return j == 7 ? failure() : std::error_code(); });
  });
  EXPECT_EQ(e.code(), failure());
  EXPECT_EQ(e.origin().index, 7U);
  EXPECT_NE(e.origin().path.find("inner"), std::string::npos);
}

TEST_F(ForEach, in_a_task_of_a_limited_group) {
  watchdog const guard("for_each in a task");
  errgroup::group outer{{.limit = 1}};
  for (int i = 0; i != 3; ++i) {
    outer.run([] {
      with_all_options([](options const& opts) {
        with_all_ranges(100, [&](loop const& range) {
          std::atomic<int> sum{0};
          error const e = each(opts, range, [&](int j) { sum += j; });
          EXPECT_FALSE(e) << e;
          EXPECT_EQ(sum, 4950);
        });
      });
    });
  }
  error const e = outer.wait();
  EXPECT_FALSE(e) << e;
}

TEST_F(ForEach, with_an_arena_elements_run_there) {
  tbb::task_arena arena(2);
  std::atomic<int> elsewhere{0};
  EXPECT_FALSE(errgroup::for_each({.arena = &arena}, 1000, [&](int) {
    elsewhere += tbb::this_task_arena::max_concurrency() == 2 ? 0 : 1;
  }));
  EXPECT_EQ(elsewhere, 0);
}

TEST_F(ForEach, W4_isolated_it_runs_nothing_else_while_it_waits) {
  watchdog const guard("isolated for_each under a lock");
  for (int const limit : {errgroup::unlimited, 2}) {
    std::mutex mutex;
    errgroup::group g;
    for (int i = 0; i != 100; ++i) {
      g.run([&] {
        std::scoped_lock const lock(mutex);
        return errgroup::for_each({.limit = limit, .isolated = true}, 20,
                                  [](int) { support::dawdle(1); });
      });
    }
    error const e = g.wait();
    EXPECT_FALSE(e) << e;
  }
}

// --- what is called under the lock -----------------------------------------------------------

TEST_F(ForEach, iterators_are_incremented_once_and_by_one_thread_at_a_time) {
  support::expect_one_walk(3000, [](options const& opts, auto&& range) {
    std::atomic<int> called{0};
    EXPECT_FALSE(errgroup::for_each(opts, range, [&](int) { ++called; }));
    EXPECT_EQ(called, 3000);
  });
}

TEST_F(ForEach, an_iterator_that_throws_tells_the_position_of_its_element) {
  std::list<int> numbers(5000);
  std::iota(numbers.begin(), numbers.end(), 0);
  auto const fails_at = numbers | std::views::filter([](int n) {
                          if (n == 4000) {
                            throw std::runtime_error("element 4000");
                          }
                          return true;
                        });
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    auto range = fails_at;
    error const e = errgroup::for_each({.limit = 1, .policy = policy}, range, [](int) {});
    EXPECT_EQ(e, errc::exception);
    EXPECT_EQ(e.origin().index, 4000U);
  }
}

TEST_F(ForEach, W4_an_iterator_may_run_an_algorithm_under_the_lock) {
  watchdog const guard("iterators that run algorithms");
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism, 4);
  tbb::task_arena arena(4);
  std::list<int> const numbers(20);
  for (int round = 0; round != 10; ++round) {
    arena.execute([&] {
      errgroup::group g;
      g.run([&] {
        auto range =
            numbers | std::views::filter([](int) {
              tbb::parallel_for(0, 16, [](int) { support::dawdle(); }, tbb::simple_partitioner());
              return true;
            });
        EXPECT_FALSE(errgroup::for_each(range, [](int) { support::dawdle(); }));
      });
      EXPECT_FALSE(g.wait());
    });
  }
}

TEST_F(ForEach, each_element_is_read_once) {
  support::expect_one_reading(3000, [](options const& opts, auto&& range) {
    EXPECT_FALSE(errgroup::for_each(opts, range, [](int) {}));
  });
}

TEST_F(ForEach, elements_of_a_forward_range_are_read_outside_of_the_lock) {
  watchdog const guard("elements that are read at once");
  std::list<int> const two{1, 2};
  support::rendezvous both(2, "two threads that read an element");
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism, 2);
  tbb::task_arena arena(2);
  error const e = errgroup::for_each({.arena = &arena}, two | std::views::transform([&both](int i) {
                                                          both.arrive_and_wait();
                                                          return i;
                                                        }),
                                     [](int) {});
  EXPECT_FALSE(e) << e;
}

// --- iterators that throw --------------------------------------------------------------------

TEST_F(ForEach, an_iterator_that_throws_is_an_error) {
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    with_all_options(
        [](options const& opts) {
          for (int const bad : {0, 50, 98}) {
            std::atomic<int> calls{0};
            error const e =
                errgroup::for_each(opts, support::throws_at(100, bad), [&](int) { ++calls; });
            ASSERT_TRUE(e);
            EXPECT_EQ(e.what(), "a bad iterator");
            EXPECT_LE(calls, bad + 1);
          }
        },
        {.policy = policy});
  }
}

TEST_F(ForEach, so_is_one_of_an_indexed_range) {
  auto const throwing = std::views::iota(0, 100) | std::views::transform([](int i) {
                          if (i == 42) {
                            throw std::runtime_error("a bad iterator");
                          }
                          return i;
                        });
  with_all_options([&](options const& opts) {
    error const e = errgroup::for_each(opts, throwing, [](int) {});
    EXPECT_EQ(e.what(), "a bad iterator");
    EXPECT_EQ(e.origin().index, 42U);
  });
}

TEST_F(ForEach, what_the_range_throws_at_the_beginning_is_the_callers) {
  struct bad_range {
    int* begin() const { throw std::runtime_error("no beginning"); }
    int* end() const { return nullptr; }
  };
  EXPECT_THROW((void)errgroup::for_each(bad_range(), [](int) {}), std::runtime_error);
}

TEST_F(ForEach, E2_without_memory_it_is_not_a_success) {
  // Whichever allocation of the calling thread fails; while oneTBB starts it does not get over it.
  ASSERT_FALSE(errgroup::for_each(1, [](int) {}));
  with_all_options([](options const& opts) {
    for (long n = 0; n != 40; ++n) {
      std::atomic<int> calls{0};
      bool threw = false;
      error e;
      bool failed = false;
      std::list<int> const l(50, 1);
      try {
        support::failing_new const fails(n);
        e = errgroup::for_each(opts, l, [&](int) { ++calls; });
        failed = support::failing_new::has_failed();
      } catch (std::bad_alloc const&) {
        threw = true;
      }
      EXPECT_TRUE(threw || e || calls == 50);
      if (!failed && !threw) {
        break;
      }
    }
  });
}

// --- on_exception::terminate -----------------------------------------------------------------

struct says_unwound {
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

template <class Range>
void throw_in(options opts, Range const& range) {
  watchdog const guard("a for_each that throws");
  opts.exceptions = errgroup::on_exception::terminate;
  (void)errgroup::for_each(opts, range, fn([](int i) {
                             says_unwound const on_the_stack;
                             if (i == 3) {
                               throw std::runtime_error("the disk is full");
                             }
                             std::fputs("", stderr);
                           }));
}

TEST(ForEachDeathTest, an_exception_that_is_to_be_left_alone_ends_the_process) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto const ends = testing::HasSubstr("the disk is full");
  EXPECT_DEATH(throw_in({}, std::vector<int>{3}),
               testing::AllOf(ends, testing::Not(testing::HasSubstr("unwound"))));
  EXPECT_DEATH(throw_in({}, std::views::iota(0, 10)), ends);
  EXPECT_DEATH(throw_in({.limit = 2}, std::views::iota(0, 10)), ends);
  EXPECT_DEATH(throw_in({.limit = 2}, std::list<int>{3}),
               testing::AllOf(ends, testing::Not(testing::HasSubstr("unwound"))));
}

TEST(ForEachTerminate, failures_that_are_returned_are_errors_all_the_same) {
  with_all_options(
      [](options const& opts) {
        with_all_ranges(100, [&](loop const& range) {
          error const e =
              each(opts, range, [](int i) { return i == 42 ? failure() : std::error_code(); });
          EXPECT_EQ(e.code(), failure());
          EXPECT_EQ(e.origin().index, 42U);
        });
      },
      {.exceptions = errgroup::on_exception::terminate});
}

}  // namespace
