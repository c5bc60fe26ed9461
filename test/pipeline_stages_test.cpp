// SPDX-License-Identifier: Apache-2.0

// The stages of a pipeline: their kinds, and the types that they take and return. Batches, parts,
// states and `no_more` are tested in pipeline_kinds_test.cpp.

#include "support/assembly.hpp"
#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/pipeline.hpp>
#include <errgroup/result.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>         // array
#include <cstddef>       // size_t
#include <cstdint>       // uintptr_t
#include <functional>    // function
#include <iterator>      // istream_iterator
#include <list>          // list
#include <memory>        // make_unique, unique_ptr
#include <mutex>         // mutex, scoped_lock
#include <optional>      // nullopt, optional
#include <ranges>        // filter, iota, subrange, transform
#include <span>          // span
#include <sstream>       // istringstream
#include <stop_token>    // stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code, system_error
#include <type_traits>   // is_same_v
#include <utility>       // move
#include <vector>        // vector

namespace {

namespace stage = errgroup::stage;
using errgroup::errc;
using errgroup::error;
using errgroup::options;
using errgroup::pipeline;
using errgroup::result;
using support::failure;
using support::item;
using support::numbers;
using support::up_to;
using support::watchdog;
using support::with_all_options;
using support::with_workers;
using testing::ElementsAre;

class PipelineStages : public support::no_leaks {};

/// A last stage that writes the numbers it gets.
auto to(std::vector<int>& v) {
  return stage::in_order("to", [&v](int n) { v.push_back(n); });
}

// --- sources ---------------------------------------------------------------------------------

TEST_F(PipelineStages, a_range_of_every_kind_is_a_source) {
  watchdog const guard("pipelines of ranges");
  for (int const n : {0, 1, 100}) {
    support::with_all_ranges(n, [n](auto&& range) {
      std::vector<int> v;
      EXPECT_FALSE(pipeline({.limit = 3}, stage::source("range", range),
                            stage::parallel([](int i) { return i; }), to(v)));
      EXPECT_EQ(v, up_to(n));
    });
  }
}

TEST_F(PipelineStages, the_iterators_are_used_by_one_thread_and_once) {
  watchdog const guard("pipelines of ranges that watch");
  auto const carry = [](options const& opts, auto range) {
    EXPECT_FALSE(pipeline(opts, stage::source(range), stage::parallel([](int i) { return i; }),
                          stage::in_order([](int) {})));
  };
  support::expect_one_walk(50, carry);
  support::expect_one_reading(50, carry);
}

TEST_F(PipelineStages, an_iterator_that_throws_is_the_failure_of_the_source) {
  support::throws_at const range(100, 7);
  std::vector<int> v;
  error const e = pipeline({.limit = 1}, stage::source("range", range), to(v));
  EXPECT_THAT(e.message(), testing::HasSubstr("a bad iterator"));
  EXPECT_EQ(e.origin().name, "range");
  EXPECT_EQ(e.origin().index, 8U) << "items 0 to 7 were read";
  EXPECT_EQ(v, up_to(8));
}

TEST_F(PipelineStages, the_elements_of_a_range_that_stays_come_as_references) {
  watchdog const guard("a pipeline of references");
  std::vector<int> v(1000, 1);
  EXPECT_FALSE(pipeline(stage::source(v), stage::parallel([](auto&& x) {
                          static_assert(std::is_same_v<decltype(x), int&>);
                          ++x;
                        })));
  EXPECT_EQ(v, std::vector<int>(1000, 2));
  std::list<int> const l(3, 1);
  EXPECT_FALSE(pipeline(stage::source(l), stage::in_order([&](auto&& x) {
                          static_assert(std::is_same_v<decltype(x), int const&>);
                          EXPECT_EQ(&x, x == 1 ? &x : nullptr);
                        })));
  // A view that is given as a temporary does not own the elements.
  EXPECT_FALSE(pipeline(stage::source(std::span<int>(v)), stage::serial([](int& x) { ++x; })));
  EXPECT_EQ(v, std::vector<int>(1000, 3));
  int raw[] = {1, 2, 3};
  EXPECT_FALSE(pipeline(stage::source(raw), stage::serial([](int& x) { ++x; })));
  EXPECT_EQ(raw[2], 4);
  // Elements that can be neither copied nor moved.
  std::array<std::mutex, 3> locks;
  EXPECT_FALSE(pipeline(stage::source(locks),
                        stage::in_order([](std::mutex& m) { std::scoped_lock const lock(m); })));
}

TEST_F(PipelineStages, a_container_that_is_given_away_gives_its_elements_away) {
  support::highest census;
  std::vector<item> v;
  for (int i = 0; i != 10; ++i) {
    v.emplace_back(i, census);
  }
  std::vector<int> got;
  auto source = stage::source(std::move(v));
  EXPECT_FALSE(pipeline({.limit = 2}, source, stage::in_order([&](auto&& x) {
                          static_assert(std::is_same_v<decltype(x), item&&>);
                          got.push_back(x.number());
                        })));
  EXPECT_EQ(got, up_to(10));
  EXPECT_EQ(census.now(), 0) << "the elements were moved out of the container";
}

TEST_F(PipelineStages, the_elements_of_a_range_that_can_be_read_once_are_copied) {
  // The iterator has the element in itself, and reads the next one into it.
  std::istringstream in("0 1 2 3 4 5 6 7 8 9");
  std::ranges::subrange range{std::istream_iterator<int>(in), std::istream_iterator<int>()};
  std::vector<int> v;
  EXPECT_FALSE(pipeline(stage::source(range, stage::batches(4)), stage::in_order([&](auto&& b) {
                          static_assert(std::is_same_v<decltype(b), std::vector<int>&&>);
                          v.insert(v.end(), b.begin(), b.end());
                        })));
  EXPECT_EQ(v, up_to(10));
}

TEST_F(PipelineStages, elements_that_a_view_makes_are_items) {
  std::vector<int> v;
  EXPECT_FALSE(pipeline(
      stage::source(std::views::iota(0, 20) | std::views::filter([](int i) { return i % 2 == 0; }) |
                    std::views::transform([](int i) { return std::make_unique<int>(i / 2); })),
      stage::parallel([](std::unique_ptr<int>&& p) { return *p; }), to(v)));
  EXPECT_EQ(v, up_to(10));
}

// --- items -----------------------------------------------------------------------------------

struct alignas(256) wide {
  explicit wide(int i) : n(i), where(this) {}
  wide(wide&& other) noexcept : n(other.n), where(this) {}
  wide(wide const&) = delete;
  wide& operator=(wide const&) = delete;
  wide& operator=(wide&&) = delete;
  ~wide() = default;

  [[nodiscard]] bool is_aligned() const {
    return where == this && reinterpret_cast<std::uintptr_t>(this) % 256 == 0;
  }

  int n;
  wide* where;
};

TEST_F(PipelineStages, items_of_every_alignment_lie_where_they_should) {
  watchdog const guard("a pipeline of wide items");
  with_all_options([](options const& opts) {
    std::vector<int> v;
    EXPECT_FALSE(pipeline(opts, stage::source(numbers(50)), stage::parallel([](int n) {
                            return std::make_unique<char>(static_cast<char>(n));
                          }),
                          stage::serial([](std::unique_ptr<char> p) { return wide(*p); }),
                          stage::parallel([](wide&& w) {
                            EXPECT_TRUE(w.is_aligned());
                            return std::optional<wide>(std::move(w));
                          }),
                          stage::many<wide>([](wide&& w, auto emit) { emit(std::move(w)); }),
                          stage::in_order([](wide&& w) -> result<int> {
                            EXPECT_TRUE(w.is_aligned());
                            return w.n;
                          }),
                          to(v)));
    EXPECT_EQ(v, up_to(50));
  });
}

TEST_F(PipelineStages, a_stage_may_return_its_item_as_a_reference) {
  support::highest census;
  std::vector<int> v;
  int n = 0;
  EXPECT_FALSE(pipeline({.limit = 2}, stage::source([&] {
                          return n == 20 ? std::optional<item>()
                                         : std::optional<item>(std::in_place, n++, census);
                        }),
                        stage::parallel([](item&& x) -> item&& { return std::move(x); }),
                        stage::in_order([](item&& x) -> item&& {
                          EXPECT_FALSE(x.is_moved_from());
                          return std::move(x);
                        }),
                        stage::serial(&item::number), to(v)));
  EXPECT_EQ(v, up_to(20));
  EXPECT_EQ(census.now(), 0);
  // A reference to what stays is copied.
  std::vector<std::string> words{"one", "two"};
  std::string all;
  EXPECT_FALSE(pipeline(stage::source(words),
                        stage::parallel([](std::string& s) -> std::string& { return s; }),
                        stage::in_order([&](std::string&& s) { all += std::move(s); })));
  EXPECT_EQ(all, "onetwo");
  EXPECT_EQ(words[0], "one");
}

TEST_F(PipelineStages, an_item_is_destroyed_before_its_lane_goes_on) {
  support::highest census;
  int n = 0;
  EXPECT_FALSE(pipeline({.limit = 1, .queue = 0}, stage::source([&] {
                          EXPECT_EQ(census.now(), 0);
                          return n == 5 ? std::optional<item>()
                                        : std::optional<item>(std::in_place, n++, census);
                        }),
                        stage::parallel([](item&& x) { return x.number(); }),
                        stage::in_order([&](int) { EXPECT_EQ(census.now(), 0); })));
}

// --- callables -------------------------------------------------------------------------------

int twice(int n) { return 2 * n; }

TEST_F(PipelineStages, callables_of_every_kind_fit) {
  struct doubles {
    int operator()(int n) const { return 2 * n; }
  };
  struct stays {  // it is borrowed, so it need not be movable
    stays() = default;
    stays(stays const&) = delete;
    stays& operator=(stays const&) = delete;
    ~stays() = default;
    int operator()(int n) { return calls += n; }
    int calls = 0;
  };
  stays borrowed;
  std::function<int(int)> const f = twice;
  std::vector<int> v;
  auto const p = std::make_unique<int>(1);
  error const e = pipeline({.limit = 2}, stage::source(numbers(3)), stage::parallel(twice),
                           stage::parallel(&twice), stage::parallel(f), stage::parallel(doubles()),
                           stage::in_order(borrowed),
                           stage::serial([own = std::make_unique<int>(1), k = 0](int n) mutable {
                             return n + *own + ++k;
                           }),
                           to(v));
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(borrowed.calls, 48);
  EXPECT_THAT(v, ElementsAre(2, 19, 52));
}

TEST_F(PipelineStages, every_stage_gets_the_token_of_the_pipeline_if_it_takes_one) {
  std::stop_source source;
  int stopped = 0;
  int calls = 0;
  auto const note = [&](std::stop_token const& token) {
    ++calls;
    EXPECT_TRUE(token.stop_possible());
    stopped += token.stop_requested() ? 1 : 0;
  };
  int n = 0;
  error const e = pipeline(
      {.limit = 1, .stop = source.get_token()}, stage::source([&](std::stop_token const& token) {
        note(token);
        return std::optional<int>(n++);
      }),
      stage::parallel([&](int i, std::stop_token token) {
        note(token);
        return i;
      }),
      stage::many([&](int i, stage::emitter<int> emit, std::stop_token const& token) {
        note(token);
        emit(i);
      }),
      stage::serial(stage::with_state([] { return 1; },
                                      [&](int&, int i, std::stop_token const& token) {
                                        note(token);
                                        return i;
                                      })),
      stage::in_order([&](int, std::stop_token const& token) {
        note(token);
        source.request_stop();
        EXPECT_TRUE(token.stop_requested());
      }));
  EXPECT_EQ(e, errc::canceled);
  EXPECT_EQ(calls, 5);
  EXPECT_EQ(stopped, 0);
}

TEST_F(PipelineStages, names_are_copied) {
  std::vector<int> v;
  auto source = stage::source(std::string("a source with a name that is long"), numbers(3));
  auto last = stage::in_order(std::string("a stage with a name that is long"),
                              [](int) { return failure(); });
  EXPECT_EQ(source.name(), "a source with a name that is long");
  EXPECT_EQ(pipeline(source, last).origin().name, "a stage with a name that is long");
}

TEST_F(PipelineStages, a_serial_stage_gets_the_items_in_the_order_in_which_they_come) {
  watchdog const guard("an item that is overtaken");
  with_workers(1, [] {
    // Item 0 is in the parallel stage until item 1 is in the serial stage.
    support::gate overtaken("item 1 to overtake item 0");
    std::vector<int> came;
    std::vector<int> v;
    EXPECT_FALSE(pipeline({.limit = 2}, stage::source(numbers(2)), stage::parallel([&](int n) {
                            if (n == 0) {
                              overtaken.wait();
                            }
                            return n;
                          }),
                          stage::serial([&](int n) {
                            came.push_back(n);
                            overtaken.open();
                            return n;
                          }),
                          to(v)));
    EXPECT_THAT(came, ElementsAre(1, 0));
    EXPECT_THAT(v, ElementsAre(0, 1));
  });
}

// --- results ---------------------------------------------------------------------------------

using expected = tl::expected<int, std::error_code>;
using maybe_expected = tl::expected<std::optional<int>, std::error_code>;
using spoken = tl::expected<int, std::string>;

/// Runs stages of each kind that return what `f` returns for items 0 to 9, and calls
/// `check(error, numbers that were passed on)` for each.
template <class F>
void in_each_kind(F const& f,
                  std::function<void(error const&, std::vector<int> const&)> const& check) {
  auto const with = [&](char const* what, auto s) {
    SCOPED_TRACE(what);
    for (int const limit : {1, 3}) {
      std::vector<int> v;
      error const e = pipeline({.limit = limit}, stage::source(numbers(10)), s, to(v));
      check(e, v);
    }
  };
  with("parallel", stage::parallel("stage", f));
  with("serial", stage::serial("stage", f));
  with("in order", stage::in_order("stage", f));
  with("with a state",
       stage::parallel("stage",
                       stage::with_state([] { return 0; }, [f](int&, int n) { return f(n); })));
}

TEST_F(PipelineStages, a_stage_returns_a_value_in_each_of_its_forms) {
  auto const all = [](error const& e, std::vector<int> const& v) {
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(v, up_to(10));
  };
  in_each_kind([](int n) { return n; }, all);
  in_each_kind([](int n) { return std::optional<int>(n); }, all);
  in_each_kind([](int n) { return result<int>(n); }, all);
  in_each_kind([](int n) { return result<std::optional<int>>(n); }, all);
  in_each_kind([](int n) { return expected(n); }, all);
  in_each_kind([](int n) { return maybe_expected(n); }, all);
}

TEST_F(PipelineStages, an_empty_optional_drops_the_item) {
  auto const odd = [](error const& e, std::vector<int> const& v) {
    EXPECT_FALSE(e) << e;
    EXPECT_THAT(v, ElementsAre(1, 3, 5, 7, 9));
  };
  auto const drop = [](int n) { return n % 2 == 0 ? std::nullopt : std::optional<int>(n); };
  in_each_kind([drop](int n) { return drop(n); }, odd);
  in_each_kind([drop](int n) { return result<std::optional<int>>(drop(n)); }, odd);
  in_each_kind([drop](int n) { return maybe_expected(drop(n)); }, odd);
  // All are dropped.
  in_each_kind([](int) { return std::optional<int>(); },
               [](error const& e, std::vector<int> const& v) {
                 EXPECT_FALSE(e) << e;
                 EXPECT_TRUE(v.empty());
               });
}

TEST_F(PipelineStages, a_failure_is_returned_in_each_of_its_forms) {
  auto const fourth = [](error const& e, std::vector<int> const& v) {
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(e.origin().index, 4U);
    EXPECT_EQ(e.origin().name, "stage");
    EXPECT_EQ(v, up_to(static_cast<int>(v.size())));
    EXPECT_LE(v.size(), 4U);
  };
  auto const fails = [](auto none) {
    return [none](int n) -> decltype(none) {
      if (n == 4) {
        return none;
      }
      return n;
    };
  };
  in_each_kind(fails(result<int>(failure())), fourth);
  in_each_kind(fails(result<std::optional<int>>(failure())), fourth);
  in_each_kind(fails(expected(tl::make_unexpected(failure()))), fourth);
  in_each_kind(fails(maybe_expected(tl::make_unexpected(failure()))), fourth);
  in_each_kind(
      [](int n) {
        if (n == 4) {
          throw std::system_error(failure());
        }
        return n;
      },
      fourth);
  in_each_kind(fails(spoken(tl::make_unexpected(std::string("no more paper")))),
               [](error const& e, std::vector<int> const&) {
                 EXPECT_EQ(e, errc::failed);
                 EXPECT_THAT(e.message(), testing::HasSubstr("no more paper"));
                 EXPECT_EQ(e.origin().index, 4U);
               });
}

TEST_F(PipelineStages, the_last_stage_returns_what_a_task_may_return) {
  auto const with = [](char const* what, auto const& f) {
    SCOPED_TRACE(what);
    for (int const limit : {1, 3}) {
      auto const run = [&](auto last) {
        error const e = pipeline({.limit = limit}, stage::source(numbers(10)), std::move(last));
        EXPECT_EQ(e.code(), failure());
        EXPECT_EQ(e.origin().index, 4U);
      };
      run(stage::parallel(f));
      run(stage::serial(f));
      run(stage::in_order(f));
    }
  };
  with("a code", [](int n) { return n == 4 ? failure() : std::error_code(); });
  with("an error", [](int n) { return n == 4 ? error(failure()) : error(); });
  with("a result", [](int n) -> result<> {
    if (n == 4) {
      return failure();
    }
    return {};
  });
  with("a result with a value", [](int n) -> result<int> {
    if (n == 4) {
      return failure();
    }
    return n;
  });
  with("an expected", [](int n) { return n == 4 ? expected(tl::make_unexpected(failure())) : n; });
  with("nothing", [](int n) {
    if (n == 4) {
      throw std::system_error(failure());
    }
  });
}

TEST_F(PipelineStages, a_source_returns_an_optional_in_each_of_its_forms) {
  auto const with = [](char const* what, auto none, bool fails) {
    SCOPED_TRACE(what);
    int n = 0;
    std::vector<int> v;
    error const e = pipeline({.limit = 2}, stage::source([&]() -> decltype(none) {
                               if (n == 5) {
                                 return none;
                               }
                               return n++;
                             }),
                             to(v));
    if (fails) {
      EXPECT_EQ(e.code(), failure());
      EXPECT_EQ(e.origin().index, 5U);
    } else {
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(v, up_to(5));
    }
  };
  with("an optional", std::optional<int>(), false);
  with("a result", result<std::optional<int>>(std::optional<int>()), false);
  with("an expected", maybe_expected(std::optional<int>()), false);
  with("a result that fails", result<std::optional<int>>(failure()), true);
  with("an expected that fails", maybe_expected(tl::make_unexpected(failure())), true);
}

}  // namespace
