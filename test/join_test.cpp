// SPDX-License-Identifier: Apache-2.0

// What holds for each function that hands on results, whatever it makes of them, and for joiners of
// one's own.

#include "support/callables.hpp"
#include "support/calls.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include <errgroup/all.hpp>
#include <errgroup/any.hpp>
#include <errgroup/group.hpp>
#include <errgroup/join.hpp>
#include <errgroup/take.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <algorithm>     // copy_if
#include <atomic>        // atomic
#include <chrono>        // milliseconds
#include <cstddef>       // ptrdiff_t, size_t
#include <functional>    // function
#include <iterator>      // back_inserter
#include <list>          // list
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <ostream>       // ostream
#include <ranges>        // views::iota, views::transform
#include <span>          // span
#include <stdexcept>     // invalid_argument, runtime_error
#include <stop_token>    // stop_source, stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <thread>        // thread
#include <tuple>         // apply
#include <utility>       // forward, move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::on_error;
using errgroup::options;
using errgroup::result;
using errgroup::verdict;
using support::await;
using support::counted;
using support::counts_copies;
using support::dawdle;
using support::gate;
using support::just_moved;
using support::rather_copied;
using support::watchdog;
using testing::HasSubstr;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }
std::error_code echo() { return std::make_error_code(std::errc::interrupted); }

// --- what all of them promise ----------------------------------------------------------------

/// Of one's own: counts, and gives up at the first failure.
struct counting_joiner {
  std::size_t good = 0;
  error failed = {};

  template <class T>
  verdict on_result(std::size_t /*index*/, result<T>&& r) {
    if (!r.has_value()) {
      failed = std::move(r).error();
      return verdict::enough;
    }
    ++good;
    return verdict::go_on;
  }
  result<std::size_t> finish() { return failed ? result<std::size_t>(failed) : good; }
};

template <class T>
error error_of(result<T> const& r) {
  return r.error();
}
template <class T>
error error_of(std::vector<result<T>> const& all) {
  for (auto const& r : all) {
    if (!r) {
      return r.error();
    }
  }
  return {};
}
template <class... T>
error error_of(std::tuple<result<T>...> const& all) {
  error e;
  std::apply([&](auto const&... r) { ((e = e ? e : r.error()), ...); }, all);
  return e;
}

struct use_all {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::all(o, std::forward<A>(a)...));
  }
};
struct use_all_settled {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::all_settled(o, std::forward<A>(a)...));
  }
};
struct use_any {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::any(o, std::forward<A>(a)...));
  }
};
struct use_race {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::race(o, std::forward<A>(a)...));
  }
};
struct use_take {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::take(o, 1, std::forward<A>(a)...));
  }
};
struct use_last {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::last(o, 1, std::forward<A>(a)...));
  }
};
struct use_quorum {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::quorum(o, 1, std::forward<A>(a)...));
  }
};
struct use_join {
  template <class... A>
  static error call(options const& o, A&&... a) {
    return error_of(errgroup::join(o, counting_joiner(), std::forward<A>(a)...));
  }
};

using fallible = std::vector<std::function<result<int>(std::stop_token)>>;

/// One of the functions, as a value: a test that is given this is compiled once, not once for each.
struct function {
  char const* name;
  error (*call)(options const&, fallible&);  // success, or the error that it tells
  bool takes_one = false;                    // it waits for none after the first that is good
  bool settles = false;                      // each callable has an answer of its own
};

template <class Use>
error call_with(options const& o, fallible& calls) {
  return Use::call(o, calls);
}

class Joins : public support::no_leaks, public testing::WithParamInterface<function> {
 protected:
  static error call(options const& o, fallible& calls) { return GetParam().call(o, calls); }
};

constexpr function every_function[] = {
    {"all", call_with<use_all>},
    {.name = "all_settled", .call = call_with<use_all_settled>, .settles = true},
    {"any", call_with<use_any>, true},
    {"race", call_with<use_race>, true},
    {"take", call_with<use_take>, true},
    {"last", call_with<use_last>},
    {"quorum", call_with<use_quorum>, true},
    {"join", call_with<use_join>},
};
std::string name_of(testing::TestParamInfo<function> const& tested) { return tested.param.name; }
void PrintTo(function const& f, std::ostream* out) { *out << f.name; }

INSTANTIATE_TEST_SUITE_P(Each, Joins, testing::ValuesIn(every_function), name_of);

/// Those that wait for none after the first that is good.
class JoinsOfOne : public Joins {};
INSTANTIATE_TEST_SUITE_P(Each, JoinsOfOne, testing::ValuesIn([] {
                           std::vector<function> some;
                           std::ranges::copy_if(every_function, std::back_inserter(some),
                                                &function::takes_one);
                           return some;
                         }()),
                         name_of);

struct names {
  template <class Function>
  static std::string GetName(int i) {
    return std::vector<std::string>{"all",  "all_settled", "any",    "race",
                                    "take", "last",        "quorum", "join"}
        .at(static_cast<std::size_t>(i));
  }
};
using functions = testing::Types<use_all, use_all_settled, use_any, use_race, use_take, use_last,
                                 use_quorum, use_join>;

/// The functions, for what is about the types of values.
template <class Function>
class JoinsValues : public support::no_leaks {
 protected:
  template <class... A>
  static error call(options const& o, A&&... a) {
    return Function::call(o, std::forward<A>(a)...);
  }
};
TYPED_TEST_SUITE(JoinsValues, functions, names);

/// What may be called is read in one place, whatever is made of it.
class Calls : public support::no_leaks {
 protected:
  template <class... A>
  static error call(options const& o, A&&... a) {
    return use_all::call(o, std::forward<A>(a)...);
  }
};

TEST_F(Calls, one_that_succeeds_is_success) {
  EXPECT_FALSE(call({}, [] { return 3; }));
  EXPECT_FALSE(call({}, [] {}));
  EXPECT_FALSE(call({}, [] { return std::error_code(); }));
  EXPECT_FALSE(call({}, [] { return error(); }));
  EXPECT_FALSE(call({}, [] { return result<>(); }));
  EXPECT_FALSE(call({}, [] { return result<int>(3); }));
  EXPECT_FALSE(call({}, [] { return false; }));
  EXPECT_FALSE(call({}, [] { return errc{}; }));
  EXPECT_FALSE(call({}, [] { return tl::expected<int, std::error_code>(3); }));
  EXPECT_FALSE(call({}, [](std::stop_token const&) { return 3; }));
}

struct parse_error {
  int line;
};

TEST_F(Calls, E2_one_that_fails_is_a_failure_however_it_says_so) {
  EXPECT_EQ(call({}, [] { return cause(); }), cause());
  EXPECT_EQ(call({}, [] { return error(cause()); }), cause());
  EXPECT_EQ(call({}, [] { return errc::canceled; }), errc::canceled);
  EXPECT_EQ(call({}, []() -> result<> { return cause(); }), cause());
  EXPECT_EQ(call({}, []() -> result<int> { return cause(); }), cause());
  EXPECT_EQ(call({}, []() -> result<int> { return error(); }), errc::failed);
  EXPECT_EQ(call({}, []() -> int { throw std::runtime_error("thrown"); }).what(), "thrown");
  EXPECT_EQ(call({}, [] { throw std::runtime_error("thrown"); }).what(), "thrown");
  EXPECT_EQ(call({}, []() -> int { throw cause(); }), cause());
  EXPECT_EQ(call({}, []() -> int { throw error(); }), errc::failed);
  error const own =
      call({}, [] { return tl::expected<int, parse_error>(tl::unexpect, parse_error{4}); });
  ASSERT_NE(own.get_if<parse_error>(), nullptr);
  EXPECT_EQ(own.get_if<parse_error>()->line, 4);
}

TEST_P(Joins, an_error_says_whose_it_is) {
  fallible failing = {[](auto const&) -> result<int> { return cause(); }};
  error const e = call({.name = "job"}, failing);
  EXPECT_EQ(e.origin().index, 0U);
  EXPECT_EQ(e.origin().path, "job");
  EXPECT_THAT(e.message(), HasSubstr("job: "));
  EXPECT_THAT(e.message(), HasSubstr("task 0"));
  group outer{{.name = "outer"}};
  error inner;
  EXPECT_FALSE(outer.run_and_wait([&] { inner = call({.name = "job"}, failing); }));
  EXPECT_EQ(inner.origin().path, "outer/job");
}

TEST_P(Joins, an_error_from_within_keeps_its_origin) {
  fallible failing = {[](auto const&) -> result<int> { return cause(); }};
  fallible outside = {
      [&](auto const&) -> result<int> { return call({.name = "within"}, failing); }};
  error const e = call({.name = "outside"}, outside);
  EXPECT_EQ(e, cause());
  EXPECT_EQ(e.origin().path, "outside/within");
}

TEST_P(Joins, all_that_fail_are_a_failure) {
  fallible calls(20, [](auto const&) -> result<int> { return cause(); });
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    EXPECT_EQ(call({.limit = limit}, calls), cause());
  }
}

// --- what may be called ---

TEST_F(Calls, callables_are_called_where_they_are) {
  using counting = counts_copies<int (*)()>;
  counting::copies = counting::moves = 0;
  counting one(+[] { return 3; });
  EXPECT_FALSE(call({}, one, counting(+[] { return 3; })));
  std::list<counting> list;
  for (int i = 0; i != 20; ++i) {
    list.emplace_back(+[] { return 3; });
  }
  EXPECT_FALSE(call({}, list));
  EXPECT_FALSE(call({}, std::move(list)));
  EXPECT_FALSE(call({}, list | std::views::take(5)));
  EXPECT_EQ(counting::copies, 0);
  EXPECT_EQ(counting::moves, 0);
}

TEST_F(Calls, callables_that_a_range_does_not_hold_are_moved_and_not_copied) {
  using counting = counts_copies<int (*)()>;
  counting::copies = 0;
  auto made = std::views::iota(0, 20) |
              std::views::transform([](int) { return counting(+[] { return 3; }); });
  EXPECT_FALSE(call({}, made));
  std::vector<counting> calls;
  calls.reserve(20);
  for (int i = 0; i != 20; ++i) {
    calls.emplace_back(+[] { return 3; });
  }
  support::single_pass<counting> once(std::move(calls));
  EXPECT_FALSE(call({}, once));
  EXPECT_EQ(counting::copies, 0);
}

TEST_F(Calls, a_callable_may_be_all_sorts_of_things) {
  auto only_moved = [p = std::make_unique<int>(3)]() mutable { return ++*p; };
  EXPECT_FALSE(call({}, only_moved));
  EXPECT_EQ(only_moved(), 5) << "the caller's own was called";
  EXPECT_FALSE(call({}, [p = std::make_unique<int>(3)] { return *p; }));
  auto const constant = [] { return 3; };
  EXPECT_FALSE(call({}, constant, +constant));
  struct only_once {
    int operator()() && { return 3; }
  };
  EXPECT_FALSE(call({}, only_once()));
  std::function<int()> held = constant;
  EXPECT_FALSE(call({}, held));
  std::vector<std::unique_ptr<std::function<int()>>> none;
  int calls[] = {1, 2};
  auto refs = calls | std::views::transform([](int& n) { return [&n] { return ++n; }; });
  EXPECT_FALSE(call({}, refs));
}

int free_function() { return 3; }

TEST_F(Calls, a_callable_may_be_a_function) {
  EXPECT_FALSE(call({}, free_function, &free_function));
}

TEST_F(Calls, an_empty_callable_is_refused_before_any_runs) {
  std::atomic<int> ran{0};
  auto counts = [&] { return ++ran; };
  auto told = [](auto const& f) -> std::string {
    try {
      f();
    } catch (std::invalid_argument const& e) {
      return e.what();
    }
    return "nothing";
  };
  std::vector<std::function<int()>> calls = {counts, nullptr};
  EXPECT_THAT(told([&] { (void)call({}, calls); }), HasSubstr("a callable is empty"));
  int (*null)() = nullptr;
  EXPECT_THAT(told([&] { (void)call({}, counts, null); }), HasSubstr("a callable is empty"));
  EXPECT_THAT(told([&] { (void)call({}, counts, std::function<int()>()); }),
              HasSubstr("a callable is empty"));
  EXPECT_THAT(told([&] { (void)call({.limit = 0}, counts); }),
              HasSubstr("errgroup::options::limit is 0"));
  EXPECT_THAT(told([&] { (void)call({.max_errors = 0}, counts); }), HasSubstr("max_errors"));
  EXPECT_EQ(ran, 0);
}

TEST_F(Calls, what_a_range_throws_is_the_caller_s_and_nothing_runs_on) {
  auto made = std::views::iota(0, 20) | std::views::transform([](int i) {
                if (i == 10) {
                  throw std::runtime_error("in the range");
                }
                return [alive = counted()] { return 3; };
              });
  EXPECT_THROW((void)call({}, made), std::runtime_error);
}

// --- values ---

TYPED_TEST(JoinsValues, a_value_may_be_one_that_can_only_be_moved) {
  std::vector<std::function<just_moved()>> calls(20, [] { return just_moved(3); });
  EXPECT_FALSE(this->call({}, calls));
}

TYPED_TEST(JoinsValues, no_value_is_copied_even_if_moving_one_may_throw) {
  rather_copied::copies = 0;
  std::atomic<int> next{0};
  std::vector<std::function<rather_copied()>> calls(20, [&] { return rather_copied(++next); });
  EXPECT_FALSE(this->call({}, calls));
  if constexpr (std::same_as<TypeParam, use_quorum>) {
    EXPECT_EQ(errgroup::quorum(2, calls).error(), errc::too_few) << "each of them is kept";
  }
  if constexpr (std::same_as<TypeParam, use_take>) {
    EXPECT_TRUE(errgroup::take(20, calls).has_value());
    EXPECT_TRUE(errgroup::last(20, calls).has_value());
  }
  EXPECT_EQ(rather_copied::copies, 0);
}

struct throws_when_moved {
  explicit throws_when_moved(int* left) : left_(left) {}
  throws_when_moved(throws_when_moved&& other) noexcept(false) : left_(other.left_) {
    if ((*left_)-- <= 0) {
      throw std::runtime_error("moved once too often");
    }
  }

 private:
  counted alive_;
  int* left_;
};

TEST_F(Calls, E2_a_value_that_cannot_be_moved_is_a_failure_or_the_caller_s) {
  bool succeeded = false;
  for (int allowed = 0; !succeeded; ++allowed) {
    ASSERT_LT(allowed, 100);
    int left = allowed;
    bool told = false;
    try {
      told = static_cast<bool>(call({.limit = 1}, [&] { return throws_when_moved(&left); }));
    } catch (std::runtime_error const&) {
      told = true;
    }
    succeeded = !told;
    EXPECT_EQ(succeeded, left >= 0) << allowed;
  }
}

// --- cancellation ---

/// Calls that say how many of them run.
template <class Call>
class tells_of_runs {
 public:
  tells_of_runs(std::size_t n, Call call)
      : calls(n, [this, call](std::stop_token const& token) -> result<int> {
          ++started;
          struct at_end {
            std::atomic<int>& ended;
            ~at_end() { ++ended; }
          } const count{ended};
          return call(token);
        }) {}

  std::atomic<int> started{0};
  std::atomic<int> ended{0};
  std::vector<std::function<result<int>(std::stop_token)>> calls;
};

TEST_P(Joins, E3_cancelled_before_it_begins_nothing_runs) {
  tells_of_runs never(20, [](std::stop_token const&) { return 3; });
  std::stop_source source;
  source.request_stop();
  for (int const limit : {errgroup::unlimited, 1}) {
    SCOPED_TRACE(limit);
    error const e = call({.limit = limit, .stop = source.get_token()}, never.calls);
    EXPECT_EQ(e, errc::canceled);
    if (!GetParam().settles) {
      EXPECT_EQ(e.skipped(), 20U);
    }
    group outer;
    error inside;
    error const told = outer.run_and_wait([&] {
      outer.cancel(cause());
      inside = call({.limit = limit}, never.calls);
    });
    EXPECT_EQ(told, cause());
    EXPECT_EQ(inside, errc::canceled);
  }
  EXPECT_EQ(never.started, 0);
}

TEST_P(Joins, E3_C1_cancelled_meanwhile_all_that_began_has_ended) {
  watchdog const guard("a join that is stopped");
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    for (bool const fails : {true, false}) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", fails " << fails);
      std::stop_source source;
      tells_of_runs waiting(20, [&](std::stop_token const& token) -> result<int> {
        source.request_stop();
        await([&] { return token.stop_requested(); }, "the token to stop");
        if (fails) {
          return echo();
        }
        return 3;
      });
      error const e = call({.limit = limit, .stop = source.get_token()}, waiting.calls);
      EXPECT_EQ(waiting.started, waiting.ended);
      if (GetParam().settles) {
        // Each has its own; the first may be one that ran or one that was skipped.
        EXPECT_TRUE(e == errc::canceled || (fails && e == echo())) << e;
      } else {
        EXPECT_EQ(e, errc::canceled) << "E1: not what came of it";
        EXPECT_EQ(e.skipped(), static_cast<std::size_t>(20 - waiting.started));
      }
    }
  }
}

TEST_P(Joins, C2_cancelled_from_above_all_that_began_has_ended) {
  watchdog const guard("a join in a group that is cancelled");
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    for (bool const fails : {true, false}) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", fails " << fails);
      group outer;
      error inside;
      error const told = outer.run_and_wait([&] {
        tells_of_runs waiting(20, [&](std::stop_token const& token) -> result<int> {
          outer.cancel(cause());
          await([&] { return token.stop_requested(); }, "the token to stop");
          if (fails) {
            return echo();
          }
          return 3;
        });
        inside = call({.limit = limit}, waiting.calls);
        EXPECT_GT(waiting.started, 0);
        EXPECT_EQ(waiting.started, waiting.ended);
        return inside;
      });
      EXPECT_EQ(told, cause());
      if (GetParam().settles) {
        EXPECT_TRUE(inside) << "some were skipped, or failed";
      } else {
        EXPECT_EQ(inside, errc::canceled) << "E1: not what came of it";
      }
    }
  }
}

TEST_P(Joins, E1_a_deadline_is_the_cause_of_what_fails_because_of_it) {
  watchdog const guard("a join with a deadline");
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    for (bool const fails : {true, false}) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", fails " << fails);
      tells_of_runs waiting(20, [&](std::stop_token const& token) -> result<int> {
        await([&] { return token.stop_requested(); }, "the deadline");
        if (fails) {
          return echo();
        }
        return 3;
      });
      error const e =
          call({.limit = limit, .timeout = std::chrono::milliseconds(1)}, waiting.calls);
      EXPECT_EQ(waiting.started, waiting.ended);
      if (GetParam().settles) {
        if (waiting.started == 20) {
          EXPECT_EQ(e, fails ? error(echo()) : error()) << "each has its own";
          continue;
        }
        EXPECT_EQ(e == echo() || e == errc::deadline_exceeded, true);
      } else {
        EXPECT_EQ(e, errc::deadline_exceeded);
      }
    }
  }
}

TEST_P(Joins, a_deadline_that_has_passed_lets_nothing_run) {
  tells_of_runs never(20, [](std::stop_token const&) { return 3; });
  error const e = call({.timeout = std::chrono::milliseconds(0)}, never.calls);
  EXPECT_EQ(e, errc::deadline_exceeded);
  EXPECT_EQ(never.started, 0);
}

// --- how many run ---

TEST_P(Joins, L1_never_more_than_the_limit_run_at_once) {
  watchdog const guard("a join with a limit");
  for (int const limit : {1, 2, 3}) {
    support::highest at_once;
    fallible calls(100, [&](auto const&) {
      at_once.up();
      dawdle();
      at_once.down();
      return 3;
    });
    EXPECT_FALSE(call({.limit = limit}, calls));
    EXPECT_LE(at_once.most(), limit);
    EXPECT_FALSE(call({.limit = limit, .queue = 1}, calls));
    EXPECT_LE(at_once.most(), limit);
  }
}

TEST_P(Joins, L4_it_may_be_nested_in_itself_at_any_limit) {
  watchdog const guard("nested joins");
  for (int const outside : {errgroup::unlimited, 1, 2}) {
    for (int const within : {errgroup::unlimited, 1, 2}) {
      SCOPED_TRACE(testing::Message() << "limits " << outside << ", " << within);
      fallible leaves(10, [](auto const&) { return 3; });
      auto branch = [&](auto const&) {
        for (std::size_t const queue : {std::size_t{0}, errgroup::npos}) {
          error const e = call({.limit = within, .queue = queue}, leaves);
          EXPECT_TRUE(!e || (GetParam().takes_one && e == errc::canceled)) << e;
        }
        return 3;
      };
      fallible branches(10, branch);
      EXPECT_FALSE(call({.limit = outside}, branches));
      EXPECT_FALSE(call({.limit = outside, .queue = 0}, branches));
      group in{{.limit = 1}};
      in.run([&] { EXPECT_FALSE(call({.limit = outside}, branches)); });
      EXPECT_FALSE(in.wait());
    }
  }
}

TEST_P(Joins, W2_without_workers_it_finishes) {
  watchdog const guard("a join without workers");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (int const limit : {errgroup::unlimited, 1, 3}) {
    fallible calls(100, [](auto const&) { return 3; });
    EXPECT_FALSE(call({.limit = limit}, calls));
    std::thread([&] { EXPECT_FALSE(call({.limit = limit}, calls)); }).join();
    group outer;
    EXPECT_FALSE(outer.run_and_wait([&] { EXPECT_FALSE(call({.limit = limit}, calls)); }));
    fallible failing(100, [](auto const&) -> result<int> { throw cause(); });
    EXPECT_EQ(call({.limit = limit}, failing), cause());
  }
}

TEST_P(JoinsOfOne, W1_losers_are_stopped_and_joined) {
  watchdog const guard("a join with losers");
  for (int const limit : {errgroup::unlimited, 3}) {
    for (int round = 0; round != 20; ++round) {
      tells_of_runs losers(19, [&](std::stop_token const& token) -> result<int> {
        await([&] { return token.stop_requested(); }, "losers to be stopped");
        return echo();
      });
      // The winner is the last: in its own thread, if the others are all taken by losers.
      std::atomic<bool> done{false};
      fallible calls = losers.calls;
      calls.insert(calls.begin(), [&](std::stop_token const&) {
        done = true;
        return 3;
      });
      EXPECT_FALSE(call({.limit = limit}, calls));
      EXPECT_TRUE(done);
      EXPECT_EQ(losers.started, losers.ended);
    }
  }
}

// --- options::exceptions ---

struct says_unwound {
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

template <class Function>
void throw_unguarded(options o) {
  watchdog const guard("a task that throws");
  o.exceptions = errgroup::on_exception::terminate;
  (void)Function::call(o, []() -> int {
    says_unwound const on_the_stack;
    throw std::runtime_error("the disk is full");
  });
}

template <class Function>
class JoinsDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};
TYPED_TEST_SUITE(JoinsDeathTest, functions, names);

TYPED_TEST(JoinsDeathTest, an_exception_ends_the_process_where_it_was_thrown_if_asked_to) {
  auto in_place = testing::AllOf(HasSubstr("the disk is full"), testing::Not(HasSubstr("unwound")));
  EXPECT_DEATH(throw_unguarded<TypeParam>({}), in_place);
  EXPECT_DEATH(throw_unguarded<TypeParam>({.limit = 1}), in_place);
}

TEST_F(Calls, with_exceptions_left_alone_what_is_returned_is_told_all_the_same) {
  options o;
  o.exceptions = errgroup::on_exception::terminate;
  EXPECT_EQ(call(o, []() -> result<int> { return cause(); }), cause());
  EXPECT_EQ(call(o, [] { return cause(); }), cause());
  EXPECT_FALSE(call(o, [](std::stop_token const&) { return 3; }));
  EXPECT_FALSE(call(o, [] {}));
}

// --- joiners of one's own --------------------------------------------------------------------

class Joiner : public support::no_leaks {};

struct fastest_two {
  std::vector<int> found = {};
  verdict on_result(std::size_t /*index*/, result<int>&& r) {
    if (r) {
      found.push_back(*r);
    }
    return found.size() == 2 ? verdict::enough : verdict::go_on;
  }
  result<std::vector<int>> finish() { return std::move(found); }
};

TEST_F(Joiner, the_example_works) {
  auto const two = errgroup::join(
      {.limit = 1}, fastest_two(), []() -> result<int> { return cause(); }, [] { return 1; },
      [] { return 2; }, [] { return 3; });
  ASSERT_TRUE(two);
  EXPECT_EQ(*two, std::vector<int>({1, 2}));
  fastest_two mine;
  EXPECT_EQ(errgroup::join(mine, [] { return 1; })->size(), 1U);
  EXPECT_EQ(errgroup::join(mine, std::vector<std::function<int()>>())->size(), 0U);
  EXPECT_EQ(errgroup::join(mine)->size(), 0U) << "of no tasks at all";
}

TEST_F(Joiner, may_be_one_that_is_not_even_moved) {
  struct pinned {
    std::unique_ptr<int> sum = std::make_unique<int>(0);
    pinned() = default;
    pinned(pinned&&) = delete;
    verdict on_result(std::size_t index, result<int>&& r) {
      *sum += *r + static_cast<int>(index);
      return verdict::go_on;
    }
    std::unique_ptr<int> finish() { return std::move(sum); }
    void on_cancel(error const& /*cause*/) {}
  };
  pinned j;
  EXPECT_EQ(*errgroup::join(j, [] { return 1; }, [] { return 2; }), 4);
  EXPECT_EQ(*errgroup::join(pinned(), [] { return 1; }, [] { return 2; }), 4);
}

TEST_F(Joiner, is_asked_one_at_a_time_and_never_after_enough) {
  watchdog const guard("many results at once");
  for (int round = 0; round != 50; ++round) {
    struct exacting {
      std::atomic<int> inside{0};
      int left = 30;
      verdict on_result(std::size_t /*index*/, result<int>&& /*r*/) {
        EXPECT_EQ(++inside, 1);
        EXPECT_GT(left, 0) << "it had enough";
        dawdle(2);
        --left;
        --inside;
        return left == 0 ? verdict::enough : verdict::go_on;
      }
      result<int> finish() {
        EXPECT_EQ(inside, 0);
        return left;
      }
    } j;
    std::vector<std::function<int()>> calls(60, [] { return 3; });
    EXPECT_EQ(errgroup::join(j, calls), 0);
  }
}

TEST_F(Joiner, finish_comes_when_no_task_is_left_in_the_caller_s_thread) {
  struct last_word {
    std::atomic<int>& running;
    std::thread::id thread;
    verdict on_result(std::size_t /*index*/, result<int>&& /*r*/) { return verdict::enough; }
    result<int> finish() {
      EXPECT_EQ(std::this_thread::get_id(), thread);
      return running.load();
    }
  };
  std::atomic<int> running{0};
  std::vector<std::function<int(std::stop_token)>> calls(
      20, [&, first = std::make_shared<std::atomic<bool>>(true)](std::stop_token const& token) {
        ++running;
        if (!first->exchange(false)) {
          await([&] { return token.stop_requested(); }, "the others to be stopped");
        }
        --running;
        return 3;
      });
  EXPECT_EQ(errgroup::join(last_word{running, std::this_thread::get_id()}, calls), 0);
}

TEST_F(Joiner, is_told_of_what_stops_it_once_and_before_what_comes_after) {
  struct told {
    std::vector<std::string> what = {};
    verdict on_result(std::size_t /*index*/, result<>&& r) {
      what.push_back(r ? "good" : r.error().what());
      return verdict::go_on;
    }
    void on_cancel(error const& e) { what.push_back(e.what()); }
    std::vector<std::string> finish() { return std::move(what); }
  };
  std::stop_source source;
  auto stops = [&] { source.request_stop(); };
  auto const canceled = error(errc::canceled).what();
  EXPECT_EQ(errgroup::join(
                {.limit = 1, .stop = source.get_token()}, told(), [] {}, stops, [] {}),
            std::vector<std::string>({"good", canceled, "good"}));
  EXPECT_EQ(errgroup::join({.stop = source.get_token()}, told(), [] {}),
            std::vector<std::string>({canceled}));
  EXPECT_EQ(errgroup::join(told(), [] {}), std::vector<std::string>({"good"}));
}

TEST_F(Joiner, E3_that_knows_nothing_of_cancellation_is_not_asked_for_an_answer) {
  struct simple {
    int results = 0;
    verdict on_result(std::size_t /*index*/, result<>&& /*r*/) {
      ++results;
      return verdict::go_on;
    }
    result<int> finish() { return results; }
  };
  std::stop_source source;
  simple j;
  auto const r = errgroup::join(
      {.limit = 1, .stop = source.get_token()}, j, [] {}, [&] { source.request_stop(); }, [] {});
  EXPECT_EQ(r.error(), errc::canceled);
  EXPECT_EQ(r.error().skipped(), 1U);
  EXPECT_EQ(j.results, 1) << "none of what came after";
}

TEST_F(Joiner, that_had_enough_is_not_told_of_a_cancellation) {
  struct early {
    verdict on_result(std::size_t /*index*/, result<>&& /*r*/) { return verdict::enough; }
    void on_cancel(error const& e) { ADD_FAILURE() << e; }
    result<int> finish() { return 3; }
  };
  std::stop_source source;
  EXPECT_EQ(
      errgroup::join(
          {.limit = 1, .stop = source.get_token()}, early(), [] {}, [&] { source.request_stop(); }),
      3);
}

TEST_F(Joiner, E2_what_on_result_throws_is_a_failure_of_the_join) {
  struct throws {
    verdict on_result(std::size_t index, result<int>&& /*r*/) {
      if (index == 1) {
        throw std::runtime_error("in on_result");
      }
      return verdict::go_on;
    }
    result<int> finish() { return 3; }
  };
  for (int const limit : {errgroup::unlimited, 1}) {
    auto const r = errgroup::join(
        {.limit = limit}, throws(), [] { return 1; }, [] { return 2; }, [] { return 3; });
    EXPECT_EQ(r.error().what(), "in on_result");
  }
}

TEST_F(Joiner, what_on_result_throws_is_told_to_the_joiner) {
  struct throws {
    error cause = {};
    verdict on_result(std::size_t /*index*/, result<int>&& /*r*/) {
      EXPECT_FALSE(cause) << "no result comes after";
      throw std::runtime_error("in on_result");
    }
    void on_cancel(error const& e) {
      EXPECT_FALSE(cause) << "once";
      cause = e;
    }
    error finish() { return cause; }
  };
  std::vector<std::function<int()>> calls(20, [] { return 3; });
  EXPECT_EQ(errgroup::join(throws(), calls).what(), "in on_result");
}

TEST_F(Joiner, E2_no_verdict_after_a_throw_makes_a_success_of_it) {
  watchdog const guard("a joiner that throws");
  // The second result waits for its turn while on_result throws for the first. The value of the
  // first is destroyed on the way out, when it is the second's turn: the group does not know yet.
  using value = std::shared_ptr<void>;
  struct throws_first {
    gate& thrown;
    bool has_thrown = false;
    verdict on_result(std::size_t index, result<value>&& /*r*/) {
      if (index == 0) {
        has_thrown = true;
        thrown.open();
        throw std::runtime_error("in on_result");
      }
      EXPECT_FALSE(has_thrown);
      return verdict::enough;
    }
    result<int> finish() { return 3; }
  };
  tbb::global_control const some(tbb::global_control::max_allowed_parallelism, 3);
  gate thrown("on_result to throw");
  gate second_is_over("the second result to be dropped");
  auto const r = errgroup::join(
      {.limit = 2}, throws_first{thrown},
      [&] { return value(nullptr, [&](void*) { second_is_over.wait(); }); },
      [&] {
        thrown.wait();
        return value(nullptr, [&](void*) { second_is_over.open(); });
      });
  EXPECT_EQ(r.error().what(), "in on_result");
}

TEST_F(Joiner, what_on_result_throws_skips_the_rest_whatever_the_policy) {
  struct throws {
    verdict on_result(std::size_t /*index*/, result<>&& /*r*/) {
      throw std::runtime_error("in on_result");
    }
    result<> finish() { return {}; }
  };
  std::atomic<int> ran{0};
  std::vector<std::function<void()>> calls(20, [&] { ++ran; });
  auto const r = errgroup::join({.limit = 1, .policy = on_error::keep_going}, throws(), calls);
  EXPECT_EQ(r.error().what(), "in on_result");
  EXPECT_EQ(r.error().skipped(), 19U);
  EXPECT_EQ(ran, 1);
}

TEST_F(Joiner, what_finish_throws_is_the_caller_s) {
  struct throws {
    verdict on_result(std::size_t /*index*/, result<int>&& /*r*/) { return verdict::go_on; }
    result<int> finish() { throw std::runtime_error("in finish"); }
  };
  EXPECT_THROW((void)errgroup::join(throws(), [] { return 1; }), std::runtime_error);
}

TEST_F(Joiner, an_on_cancel_that_throws_is_the_caller_s_and_nothing_runs_on) {
  struct throws {
    verdict on_result(std::size_t /*index*/, result<>&& /*r*/) { return verdict::go_on; }
    void on_cancel(error const& /*e*/) { throw std::runtime_error("in on_cancel"); }
    result<int> finish() { return 3; }
  };
  std::stop_source source;
  EXPECT_THROW((void)errgroup::join(
                   {.limit = 1, .stop = source.get_token()}, throws(),
                   [&] { source.request_stop(); }, [] {}),
               std::runtime_error);
}

TEST_F(Joiner, gets_the_results_of_several_types) {
  struct sorted {
    int ints = 0;
    int others = 0;
    verdict on_result(std::size_t /*index*/, result<int>&& /*r*/) {
      ++ints;
      return verdict::go_on;
    }
    verdict on_result(std::size_t /*index*/, result<>&& /*r*/) {
      ++others;
      return verdict::go_on;
    }
    result<int> finish() { return ints * 10 + others; }
  };
  EXPECT_EQ(errgroup::join(sorted(), [] { return 1; }, [] {}, [] { return cause(); }), 12);
}

}  // namespace
