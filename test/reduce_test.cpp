// SPDX-License-Identifier: Apache-2.0

// reduce: one value of all elements, or an error; never a value of some of them.

#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include <errgroup/reduce.hpp>
#include <errgroup/result.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/task.h>        // current_context
#include <tbb/task_group.h>  // task_group_context

#include <atomic>           // atomic
#include <chrono>           // milliseconds
#include <cstddef>          // size_t
#include <functional>       // function, plus
#include <list>             // list
#include <memory>           // make_unique, unique_ptr
#include <numeric>          // iota
#include <ranges>           // iota
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
using errgroup::npos;
using errgroup::on_error;
using errgroup::options;
using errgroup::result;
using support::await;
using support::failure;
using support::watchdog;
using support::with_all_options;
using support::with_all_ranges;
using support::with_some_ranges;

class Reduce : public support::no_leaks {};

constexpr auto add = [](long sum, int i) { return sum + i; };

/// "0 1 2 ": tells the order.
std::string in_order(int n) {
  std::string s;
  for (int i = 0; i != n; ++i) {
    s += std::to_string(i) + ' ';
  }
  return s;
}
constexpr auto append = [](std::string s, int i) { return std::move(s) + std::to_string(i) + ' '; };

TEST_F(Reduce, sums_and_keeps_the_order) {
  watchdog const guard("reduce");
  for (int const n : {0, 1, 2, 7, 1000}) {
    long const sum = static_cast<long>(n) * (n - 1) / 2;
    with_all_options([&](options const& opts) {
      with_some_ranges(n, [&](auto&& range) {
        auto const total = errgroup::reduce(opts, range, 0L, add, std::plus<>());
        ASSERT_TRUE(total) << total.error();
        EXPECT_EQ(*total, sum);
      });
      with_all_ranges(n, [&](auto&& range) {
        auto const text = errgroup::reduce(opts, range, std::string(), append, std::plus<>());
        ASSERT_TRUE(text) << text.error();
        EXPECT_EQ(*text, in_order(n));
      });
    });
    with_all_ranges(
        n, [&](auto&& range) { EXPECT_EQ(errgroup::reduce(range, 0L, add, std::plus<>()), sum); });
  }
}

TEST_F(Reduce, a_million_elements) {
  std::vector<int> v(1'000'000);
  std::iota(v.begin(), v.end(), 0);
  for (int const limit : {errgroup::unlimited, 2}) {
    EXPECT_EQ(errgroup::reduce({.limit = limit}, v, 0L, add, std::plus<>()), 499'999'500'000L);
  }
}

TEST_F(Reduce, the_type_is_that_of_the_identity) {
  std::vector<int> const v{1, 2, 3};
  auto const r = errgroup::reduce(
      v, 0.5, [](double d, int i) { return d + i; },
      [](double a, double b) { return a + b - 0.5; });
  static_assert(std::is_same_v<decltype(r), result<double> const>);
  EXPECT_EQ(r, 6.5);
}

TEST_F(Reduce, results_and_expecteds_are_values) {
  with_all_options([](options const& opts) {
    with_some_ranges(100, [&](auto&& range) {
      auto const r = errgroup::reduce(
          opts, range, 0L, [](long sum, int i) -> result<long> { return sum + i; },
          [](long a, long b) -> tl::expected<long, std::error_code> { return a + b; });
      EXPECT_EQ(r, 4950L);
    });
  });
}

TEST_F(Reduce, values_that_can_only_be_moved_are_made_by_a_callable) {
  with_all_options([](options const& opts) {
    with_some_ranges(100, [&](auto&& range) {
      auto const r = errgroup::reduce(
          opts, range, [] { return std::make_unique<std::string>(); },
          [](std::unique_ptr<std::string> s, int i) {
            *s += std::to_string(i) + ' ';
            return s;
          },
          [](std::unique_ptr<std::string> a, std::unique_ptr<std::string> b) {
            *a += *b;
            return a;
          });
      ASSERT_TRUE(r) << r.error();
      EXPECT_EQ(**r, in_order(100));
    });
    auto const none = errgroup::reduce(
        opts, std::list<int>(), [] { return std::make_unique<int>(7); },
        [](std::unique_ptr<int> p, int) { return p; },
        [](std::unique_ptr<int> p, std::unique_ptr<int>) { return p; });
    ASSERT_TRUE(none);
    EXPECT_EQ(**none, 7);
  });
}

TEST_F(Reduce, only_the_identity_is_copied) {
  struct sum {
    std::atomic<int>* copies;
    long n = 0;
    explicit sum(std::atomic<int>& counts) : copies(&counts) {}
    sum(sum const& other) : copies(other.copies), n(other.n) {
      EXPECT_EQ(n, 0);
      ++*copies;
    }
    sum(sum&&) noexcept = default;
    sum& operator=(sum&&) noexcept = default;
    sum& operator=(sum const&) = delete;
    ~sum() = default;
  };
  with_all_options([](options const& opts) {
    with_some_ranges(100, [&](auto&& range) {
      std::atomic<int> copies{0};
      auto const r = errgroup::reduce(
          opts, range, sum(copies),
          [](sum s, int) {
            ++s.n;
            return s;
          },
          [](sum a, sum&& b) {
            a.n += b.n;
            return a;
          });
      ASSERT_TRUE(r) << r.error();
      EXPECT_EQ(r->n, 100);
      EXPECT_GE(copies, 1);
      EXPECT_LE(copies, 100);
    });
  });
}

TEST_F(Reduce, what_cannot_be_is_refused_in_words) {
  std::vector<int> const v(3);
  EXPECT_THROW((void)errgroup::reduce({.limit = 0}, v, 0L, add, std::plus<>()),
               std::invalid_argument);
  EXPECT_THROW((void)errgroup::reduce(v, 0L, std::function<long(long, int)>(), std::plus<>()),
               std::invalid_argument);
  EXPECT_THROW((void)errgroup::reduce(v, 0L, add, std::function<long(long, long)>()),
               std::invalid_argument);
  EXPECT_THROW((void)errgroup::reduce(v, std::function<long()>(), add, std::plus<>()),
               std::invalid_argument);
}

// --- failures --------------------------------------------------------------------------------

/// What most of the tests below call: one type, so that reduce is compiled for it only once for
/// each kind of range.
using function = std::function<long(long, int, std::stop_token const&)>;

/// reduce of a range of some kind. A test whose body is given this is compiled once.
using loop = std::function<result<long>(options const&, function const&,
                                        std::function<long(long, long)> const&)>;

/// Calls `body(loop)` with the numbers from 0 to n - 1 in some ranges.
void in_some_ranges(int n, std::function<void(loop const&)> const& body) {
  with_some_ranges(n, [&](auto&& range) {
    body([&](options const& opts, function const& f,
             std::function<long(long, long)> const& combine) {
      return errgroup::reduce(opts, range, 0L, f, combine);
    });
  });
}

/// reduce of some range with a function of some kind, its error, and the line of that call.
class kind {
 public:
  template <class Range, class F>
  kind(Range& range, F f)
      : call_([this, &range, f](options const& opts) {
          line_ = std::source_location::current().line() + 1;
          auto const r = errgroup::reduce(opts, range, 0L, f, std::plus<>());
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
  with("a result", [fails](long sum, int i) -> result<long> {
    if (fails(i)) {
      return failure();
    }
    return sum + i;
  });
  with("an expected, with a token",
       [fails](long sum, int i, std::stop_token const&) -> tl::expected<long, std::error_code> {
         if (fails(i)) {
           return tl::make_unexpected(failure());
         }
         return sum + i;
       });
  with("an exception", [fails](long sum, int i) {
    if (fails(i)) {
      throw std::system_error(failure());
    }
    return sum + i;
  });
}

TEST_F(Reduce, the_error_says_which_element_and_where) {
  watchdog const guard("reduce");
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

TEST_F(Reduce, all_fail) {
  with_all_options([](options const& opts) {
    in_all_kinds(
        50, [](int) { return true; }, [&](kind& one) { EXPECT_EQ(one(opts).code(), failure()); });
  });
}

TEST_F(Reduce, E5_keep_going_calls_all_with_whole_values_and_tells_the_first) {
  with_all_options(
      [](options const& opts) {
        with_some_ranges(90, [&](auto&& range) {
          std::atomic<int> calls{0};
          auto const r = errgroup::reduce(
              opts, range, [] { return std::make_unique<int>(1); },
              [&](std::unique_ptr<int> p, int i) -> result<std::unique_ptr<int>> {
                ++calls;
                EXPECT_NE(p, nullptr);
                if (i % 3 == 0) {
                  return failure();
                }
                if (i % 3 == 1) {
                  throw std::system_error(failure());
                }
                return p;
              },
              [](std::unique_ptr<int> p, std::unique_ptr<int>) {
                EXPECT_NE(p, nullptr);
                return p;
              });
          EXPECT_EQ(calls, 90);
          EXPECT_EQ(r.error().code(), failure());
          EXPECT_EQ(r.error().all().size(), 60U);
        });
      },
      {.policy = on_error::keep_going, .errors = keep::all});
}

/// At least two parts, whatever the range and the number of threads: each is a limited group's.
TEST_F(Reduce, a_combine_that_fails_is_an_error_of_no_element) {
  with_some_ranges(100, [](auto&& range) {
    auto const returned = errgroup::reduce({.limit = 2}, range, 0L, add,
                                           [](long, long) -> result<long> { return failure(); });
    ASSERT_FALSE(returned);
    EXPECT_EQ(returned.error().code(), failure());
    EXPECT_EQ(returned.error().origin().index, npos);
    EXPECT_NE(returned.error().origin().where.line(), 0U);
    auto const thrown = errgroup::reduce({.limit = 2}, range, 0L, add, [](long, long) -> long {
      throw std::system_error(failure());
    });
    EXPECT_EQ(thrown.error().code(), failure());
  });
}

TEST_F(Reduce, an_identity_that_throws_is_an_error) {
  with_all_options([](options const& opts) {
    with_some_ranges(100, [&](auto&& range) {
      auto const r = errgroup::reduce(
          opts, range, []() -> long { throw std::runtime_error("nobody"); }, add, std::plus<>());
      EXPECT_EQ(r.error().what(), "nobody");
    });
  });
}

TEST_F(Reduce, iterators_are_incremented_once_and_by_one_thread_at_a_time) {
  support::expect_one_walk(3000, [](options const& opts, auto&& range) {
    EXPECT_EQ(errgroup::reduce(opts, range, 0L, add, std::plus<>()), 3000L * 2999 / 2);
  });
}

TEST_F(Reduce, each_element_is_read_once) {
  support::expect_one_reading(3000, [](options const& opts, auto&& range) {
    EXPECT_EQ(errgroup::reduce(opts, range, 0L, add, std::plus<>()), 3000L * 2999 / 2);
  });
}

TEST_F(Reduce, an_iterator_that_throws_is_an_error) {
  with_all_options([](options const& opts) {
    for (int const bad : {0, 50, 98}) {
      auto const r = errgroup::reduce(opts, support::throws_at(100, bad), 0L, add, std::plus<>());
      EXPECT_EQ(r.error().what(), "a bad iterator");
    }
  });
}

TEST_F(Reduce, when_it_has_returned_nothing_runs) {
  with_all_options([](options const& opts) {
    in_some_ranges(200, [&](loop const& reduce) {
      std::atomic<int> running{0};
      std::atomic<int> calls{0};
      auto const r = reduce(
          opts,
          [&](long sum, int i, auto const&) {
            ++running;
            support::dawdle(2);
            --running;
            if (++calls == 20) {
              throw std::runtime_error("enough");
            }
            return sum + i;
          },
          std::plus<>());
      EXPECT_EQ(running, 0);
      EXPECT_EQ(r.error().what(), "enough");
    });
  });
}

// --- cancelled is an error, never a wrong number ---------------------------------------------

TEST_F(Reduce, stopped_before_it_begins_nothing_runs) {
  std::stop_source source;
  source.request_stop();
  with_all_options(
      [](options const& opts) {
        in_some_ranges(10, [&](loop const& reduce) {
          auto const r = reduce(
              opts,
              [](long sum, int, auto const&) {
                ADD_FAILURE();
                return sum;
              },
              std::plus<>());
          EXPECT_EQ(r.error(), errc::canceled);
        });
      },
      {.stop = source.get_token()});
}

TEST_F(Reduce, stopped_in_the_middle_it_is_an_error) {
  watchdog const guard("reduce with a stop token");
  with_all_options([](options opts) {
    in_some_ranges(1000, [&](loop const& reduce) {
      std::stop_source source;
      opts.stop = source.get_token();
      std::atomic<int> calls{0};
      auto const r = reduce(
          opts,
          [&](long sum, int i, std::stop_token const& token) {
            if (++calls == 3) {
              source.request_stop();
            }
            if (calls >= 3) {
              await([&] { return token.stop_requested(); }, "the token to be stopped");
            }
            return sum + i;
          },
          std::plus<>());
      EXPECT_EQ(r.error(), errc::canceled);
    });
  });
}

TEST_F(Reduce, who_cancels_what_the_elements_run_in_is_noticed) {
  with_all_options([](options const& opts) {
    auto const r = errgroup::reduce(
        opts, std::views::iota(0, 1000), 0L,
        [](long sum, int i) {
          tbb::task::current_context()->cancel_group_execution();
          return sum + i;
        },
        std::plus<>());
    EXPECT_EQ(r.error(), errc::canceled);
  });
}

TEST_F(Reduce, C2_it_is_cancelled_with_the_task_that_it_was_called_in) {
  watchdog const guard("reduce in a task that is cancelled");
  with_all_options([](options const& opts) {
    errgroup::group outer;
    error inner;
    outer.run([&] {
      inner = errgroup::reduce(
                  opts, std::views::iota(0, 1000), 0L,
                  [&](long sum, int i, std::stop_token const& token) {
                    outer.cancel(failure());
                    await([&] { return token.stop_requested(); }, "the token to be stopped");
                    return sum + i;
                  },
                  std::plus<>())
                  .error();
    });
    EXPECT_EQ(outer.wait().code(), failure());
    EXPECT_EQ(inner, errc::canceled);
  });
}

/// A value whose move assignment throws, at the time that `assignments` counts down to.
struct throws_when_assigned {
  explicit throws_when_assigned(int* n) : assignments(n) {}
  throws_when_assigned(throws_when_assigned const&) = default;
  throws_when_assigned(throws_when_assigned&&) noexcept = default;
  throws_when_assigned& operator=(throws_when_assigned const&) = default;
  throws_when_assigned& operator=(throws_when_assigned&& other) {
    if (--*other.assignments == 0) {
      throw std::runtime_error("a value cannot be assigned");
    }
    assignments = other.assignments;
    return *this;
  }
  ~throws_when_assigned() = default;

  int* assignments;
};

TEST_F(Reduce, E5_no_element_is_made_up_when_a_value_cannot_be_assigned) {
  std::vector<int> const numbers(10);
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    bool failed = true;
    for (int at = 1; failed; ++at) {
      ASSERT_LT(at, 100);
      int left = at;
      int calls = 0;
      auto const sum = errgroup::reduce(
          {.limit = 1, .policy = policy}, numbers, throws_when_assigned(&left),
          [&](throws_when_assigned value, int const& element) {
            EXPECT_GE(&element, numbers.data());
            EXPECT_LT(&element, numbers.data() + numbers.size());
            ++calls;
            return value;
          },
          [](throws_when_assigned a, throws_when_assigned const&) { return a; });
      EXPECT_LE(calls, 10);
      failed = !sum;
    }
  }
}

TEST_F(Reduce, a_timeout_is_the_error) {
  watchdog const guard("reduce with a timeout");
  with_all_options(
      [](options const& opts) {
        in_some_ranges(20, [&](loop const& reduce) {
          auto const r = reduce(
              opts,
              [](long sum, int i, std::stop_token const& token) {
                await([&] { return token.stop_requested(); }, "the token to be stopped");
                return sum + i;
              },
              std::plus<>());
          EXPECT_EQ(r.error(), errc::deadline_exceeded);
        });
      },
      {.timeout = std::chrono::milliseconds(1)});
}

// --- limits and nesting ----------------------------------------------------------------------

TEST_F(Reduce, L1_never_more_than_the_limit_at_once) {
  for (int const limit : {1, 2, 3}) {
    in_some_ranges(200, [limit](loop const& reduce) {
      support::highest inside;
      auto const r = reduce(
          {.limit = limit},
          [&](long sum, int i, auto const&) {
            inside.up();
            support::dawdle(2);
            inside.down();
            return sum + i;
          },
          [&](long a, long b) {
            inside.up();
            support::dawdle(2);
            inside.down();
            return a + b;
          });
      EXPECT_EQ(r, 19'900L);
      EXPECT_LE(inside.most(), limit);
    });
  }
}

TEST_F(Reduce, L4_nested_in_itself_at_any_limit) {
  watchdog const guard("reduce in reduce");
  for (int const outer_limit : {errgroup::unlimited, 1, 2}) {
    for (int const inner_limit : {errgroup::unlimited, 1, 2}) {
      auto const r = errgroup::reduce(
          {.limit = outer_limit}, std::views::iota(0, 10), 0L,
          [&](long sum, int i) {
            return errgroup::reduce({.limit = inner_limit}, std::list<int>(10, i), 0L, add,
                                    std::plus<>())
                .transform([sum](long inner) { return sum + inner; });
          },
          std::plus<>());
      EXPECT_EQ(r, 450L);
    }
  }
}

}  // namespace
