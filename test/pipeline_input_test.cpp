// SPDX-License-Identifier: Apache-2.0

// pipeline: bad input, moves that throw, no memory, stages that run twice (rules R6 to R8), and
// exceptions that are left alone.

#include "support/assembly.hpp"
#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/failing_new.hpp"
#include "support/watchdog.hpp"
#include <errgroup/pipeline.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <cstddef>       // size_t
#include <cstdio>        // fputs
#include <functional>    // function
#include <limits>        // numeric_limits
#include <new>           // bad_alloc
#include <optional>      // optional
#include <stdexcept>     // invalid_argument, runtime_error
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code, system_error
#include <utility>       // move
#include <vector>        // vector

namespace {

namespace stage = errgroup::stage;
using errgroup::error;
using errgroup::npos;
using errgroup::options;
using errgroup::pipeline;
using support::assembly;
using support::counted;
using support::failure;
using support::numbers;
using support::up_to;
using support::watchdog;
using support::with_all_options;
using at = assembly::at;

class PipelineInput : public support::no_leaks {};

// --- R6: bad input ---------------------------------------------------------------------------

template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "accepted";
}

TEST_F(PipelineInput, R6_a_pipeline_without_stages_is_refused_in_words) {
  auto const words = testing::HasSubstr("at least a source and one more stage");
  EXPECT_THAT(refusal([] { (void)pipeline(); }), words);
  EXPECT_THAT(refusal([] { (void)pipeline(options{.limit = 2}); }), words);
  errgroup::pipeline_stats stats;
  EXPECT_THAT(refusal([&] { (void)pipeline({}, stats); }), words);
}

TEST_F(PipelineInput, R6_an_empty_function_is_refused_in_words) {
  auto const words = testing::HasSubstr("a stage of a pipeline has an empty function");
  std::function<std::optional<int>()> const no_source;
  std::function<int(int)> const no_function;
  int (*const no_pointer)(int) = nullptr;
  EXPECT_THAT(refusal([&] { (void)stage::source(no_source); }), words);
  EXPECT_THAT(refusal([&] { (void)stage::source("s", no_source, stage::batches(2)); }), words);
  EXPECT_THAT(refusal([&] { (void)stage::parallel(no_function); }), words);
  EXPECT_THAT(refusal([&] { (void)stage::serial("s", no_pointer); }), words);
  EXPECT_THAT(refusal([&] { (void)stage::in_order(std::function<int(int)>()); }), words);
  EXPECT_THAT(refusal([&] { (void)stage::many<int>("m", no_function); }), words);
  EXPECT_THAT(refusal([&] {
                (void)stage::parallel(stage::with_state(std::function<int()>(), [](int&, int) {}));
              }),
              words);
  EXPECT_THAT(refusal([&] {
                (void)stage::parallel(
                    stage::with_state([] { return 1; }, std::function<void(int&, int)>()));
              }),
              words);
}

TEST_F(PipelineInput, R6_a_batch_of_nothing_is_refused_in_words) {
  EXPECT_THAT(refusal([] { (void)stage::source(numbers(3), stage::batches(0)); }),
              testing::HasSubstr("batches(0)"));
}

TEST_F(PipelineInput, R6_options_that_cannot_be_are_refused) {
  int calls = 0;
  auto const run = [&](options const& opts) {
    (void)pipeline(opts, stage::source([&]() -> std::optional<int> {
                     ++calls;
                     return {};
                   }),
                   stage::in_order([](int) {}));
  };
  EXPECT_THAT(refusal([&] { run({.limit = 0}); }), testing::HasSubstr("limit"));
  EXPECT_THAT(refusal([&] { run({.limit = -2}); }), testing::HasSubstr("limit"));
  EXPECT_THROW(run({.queue = npos - 1}), std::bad_alloc);
  EXPECT_THROW(run({.limit = 1, .queue = std::numeric_limits<std::size_t>::max() / 50}),
               std::bad_alloc);
  EXPECT_EQ(calls, 0);
}

// --- R7: moves that throw, no memory ---------------------------------------------------------

/// An item whose move throws when a countdown comes to its end.
class brittle {
 public:
  explicit brittle(int* left) noexcept : left_(left) {}
  brittle(brittle&& other) noexcept(false) : left_(other.left_) {
    if ((*left_)-- == 0) {
      throw std::system_error(failure());
    }
  }
  brittle(brittle const&) = delete;
  brittle& operator=(brittle&&) = delete;
  brittle& operator=(brittle const&) = delete;
  ~brittle() = default;

 private:
  counted alive_;
  int* left_;
};

TEST_F(PipelineInput, R7_an_exception_of_a_move_is_the_failure_of_the_stage) {
  bool is_over = false;
  for (int n = 0; !is_over; ++n) {
    ASSERT_LT(n, 1000);
    int left = n;
    int items = 0;
    error const e = pipeline(
        {.limit = 1, .name = "p"},
        stage::source("read",
                      [&] {
                        return items == 4 ? std::optional<brittle>()
                                          : (++items, std::optional<brittle>(&left));
                      }),
        stage::parallel("work", [](brittle&& b) { return brittle(std::move(b)); }),
        stage::serial("queue", [](brittle&& b) { return std::optional<brittle>(std::move(b)); }),
        stage::many<brittle>("split", [](brittle&& b, auto emit) { emit(std::move(b)); }),
        stage::in_order("order", [](brittle&& b) { return brittle(std::move(b)); }),
        stage::in_order("write", [](brittle b) { (void)b; }));
    is_over = !e;
    if (e) {
      EXPECT_EQ(e.code(), failure());
      EXPECT_TRUE(e.origin().is_item);
      EXPECT_LT(e.origin().index, 4U);
    }
    EXPECT_EQ(counted::live(), 0);
  }
}

TEST_F(PipelineInput, R7_without_memory_it_fails_before_the_source_is_called) {
  EXPECT_FALSE(assembly(1).run({.limit = 2}));  // oneTBB needs memory when it begins
  bool is_over = false;
  for (long n = 0; !is_over; ++n) {
    ASSERT_LT(n, 1000);
    int calls = 0;
    bool has_thrown = false;
    bool has_failed = false;
    int sum = 0;
    auto source = stage::source([&]() -> std::optional<int> {
      return ++calls == 20 ? std::optional<int>() : std::optional<int>(calls);
    });
    auto work = stage::parallel(stage::with_state([] { return 1; }, [](int&, int i) { return i; }));
    auto write = stage::in_order([&](int i) { sum += i; });
    error e;
    {
      support::failing_new const failing(n);
      try {
        e = pipeline({.limit = 2, .queue = 4}, source, work, write);
      } catch (std::bad_alloc const&) {
        has_thrown = true;
      }
      has_failed = support::failing_new::has_failed();
    }
    if (has_thrown) {
      EXPECT_EQ(calls, 0) << "allocation " << n;
    } else {
      EXPECT_FALSE(e) << e << ", allocation " << n;
      EXPECT_EQ(sum, 190) << "allocation " << n;
    }
    is_over = !has_failed;
  }
}

TEST_F(PipelineInput, R7_memory_for_the_statistics_is_found_before_the_source_is_called) {
  char const* const name = "a name that is too long for the small buffer of a string";
  errgroup::pipeline_stats stats;
  auto const run = [&](int& calls) {
    auto source = stage::source(name, [&]() -> std::optional<int> {
      return ++calls == 20 ? std::optional<int>() : std::optional<int>(calls);
    });
    auto last = stage::in_order(name, [](int) {});
    return [&stats, source, last]() mutable { return pipeline({.limit = 2}, stats, source, last); };
  };
  int warm = 0;
  EXPECT_FALSE(run(warm)());  // oneTBB needs memory when it begins
  bool is_over = false;
  for (long n = 0; !is_over; ++n) {
    ASSERT_LT(n, 1000);
    int calls = 0;
    auto one = run(calls);
    support::failing_new const failing(n);
    try {
      EXPECT_FALSE(one());
      EXPECT_EQ(stats.stages[1].name, std::string_view(name));
    } catch (std::bad_alloc const&) {
      EXPECT_EQ(calls, 0) << "allocation " << n;
    }
    is_over = !support::failing_new::has_failed();
  }
}

TEST_F(PipelineInput, R7_no_memory_is_needed_for_an_item) {
  tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
  auto const allocations = [](int n) {
    long const before = support::allocations;
    EXPECT_FALSE(pipeline({.limit = 4}, stage::source(numbers(n)),
                          stage::parallel([](int i) { return i; }),
                          stage::serial([](int i) { return i; }), stage::in_order([](int) {})));
    return support::allocations - before;
  };
  (void)allocations(1000);
  EXPECT_NEAR(static_cast<double>(allocations(1000)), static_cast<double>(allocations(10'000)), 20);
}

// --- R8: two runs ----------------------------------------------------------------------------

TEST_F(PipelineInput, R8_after_a_run_that_failed_the_stages_run_again_whole) {
  watchdog const guard("two runs");
  with_all_options([](options const& opts) {
    for (at const where : assembly::stages) {
      bool fails = true;
      int next = 0;
      std::vector<int> written;
      auto const may_fail = [&](at s, int n) {
        return fails && s == where && n == 7 ? failure() : std::error_code();
      };
      auto source = stage::source("read", [&]() -> errgroup::result<std::optional<int>> {
        if (auto e = may_fail(at::read, next)) {
          return e;
        }
        return next == 50 ? std::optional<int>() : std::optional<int>(next++);
      });
      auto const pass = [&](at s) {
        return [&, s](int n) -> errgroup::result<int> {
          if (auto e = may_fail(s, n)) {
            return e;
          }
          return n;
        };
      };
      auto work = stage::parallel("work", pass(at::work));
      auto queue = stage::serial("queue", pass(at::queue));
      auto order = stage::in_order("order", pass(at::order));
      auto split = stage::many<int>("split", [&](int n, auto emit) {
        emit(n);
        return may_fail(at::split, n);
      });
      auto write = stage::in_order("write", [&](int n) {
        written.push_back(n);
        return may_fail(at::write, n);
      });
      error const first = pipeline(opts, source, work, queue, order, split, write);
      EXPECT_EQ(first.code(), failure());
      fails = false;
      next = 0;
      written.clear();
      error const second = pipeline(opts, source, work, queue, order, split, write);
      EXPECT_FALSE(second) << second;
      EXPECT_EQ(written, up_to(50));
    }
  });
}

// --- on_exception::terminate -----------------------------------------------------------------

struct says_unwound {
  says_unwound() = default;
  says_unwound(says_unwound const&) = delete;
  says_unwound& operator=(says_unwound const&) = delete;
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

void throw_in(at where, options opts) {
  watchdog const guard("a pipeline that throws");
  opts.exceptions = errgroup::on_exception::terminate;
  assembly line(10, [&](at s, int number, auto const&) -> std::error_code {
    if (s == where && number == 3) {
      says_unwound const on_the_stack;
      throw std::runtime_error("the disk is full");
    }
    return {};
  });
  (void)line.run(opts);
}

TEST(PipelineDeathTest, an_exception_that_is_to_be_left_alone_ends_the_process) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (at const where : assembly::stages) {
    EXPECT_DEATH(throw_in(where, {.limit = 1}),
                 testing::AllOf(testing::HasSubstr("the disk is full"),
                                testing::Not(testing::HasSubstr("unwound"))));
  }
}

TEST(PipelineTerminate, failures_that_are_returned_are_errors_all_the_same) {
  for (at const where : assembly::stages) {
    assembly line(10, [where](at s, int number, auto const&) {
      return s == where && number == 3 ? failure() : std::error_code();
    });
    error const e = line.run({.exceptions = errgroup::on_exception::terminate});
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(e.origin().index, 3U);
  }
}

}  // namespace
