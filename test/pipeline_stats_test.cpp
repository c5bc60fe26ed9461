// SPDX-License-Identifier: Apache-2.0

// pipeline_stats: what a run has counted, and which stage is the bottleneck. Times are written by
// hand here: no test asserts how long something took.

#include "support/assembly.hpp"
#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/pipeline.hpp>
#include <errgroup/pipeline_stats.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>     // count
#include <array>         // array
#include <atomic>        // atomic
#include <chrono>        // microseconds, milliseconds, nanoseconds, seconds
#include <cstddef>       // size_t
#include <optional>      // nullopt, optional
#include <sstream>       // istringstream, ostringstream
#include <string>        // getline, string
#include <system_error>  // error_code
#include <utility>       // move

namespace {

namespace stage = errgroup::stage;
using errgroup::error;
using errgroup::on_error;
using errgroup::options;
using errgroup::pipeline;
using errgroup::pipeline_stats;
using errgroup::stage_kind;
using errgroup::stage_stats;
using support::assembly;
using support::failure;
using support::numbers;
using support::watchdog;
using support::with_all_options;
using support::with_workers;
using testing::HasSubstr;
using testing::Not;
using at = assembly::at;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

class PipelineStats : public support::no_leaks {};

// --- what a run has counted ------------------------------------------------------------------

TEST_F(PipelineStats, names_kinds_and_calls_of_each_stage) {
  watchdog const guard("a pipeline with statistics");
  with_all_options([](options const& opts) {
    assembly line(50);
    EXPECT_FALSE(line.run(opts, true));
    pipeline_stats const& stats = line.stats();
    constexpr std::array kinds{stage_kind::source,   stage_kind::parallel, stage_kind::serial,
                               stage_kind::in_order, stage_kind::many,     stage_kind::in_order};
    ASSERT_EQ(stats.stages.size(), kinds.size());
    for (std::size_t i = 0; i != kinds.size(); ++i) {
      stage_stats const& s = stats.stages[i];
      EXPECT_EQ(s.name, assembly::name(assembly::stages[i]));
      EXPECT_EQ(s.kind, kinds[i]);
      EXPECT_EQ(s.calls, i == 0 ? 51U : 50U) << "the source is called for the end, too";
      EXPECT_EQ(s.dropped, 0U);
      EXPECT_EQ(s.failed, 0U);
      EXPECT_GE(s.inside, nanoseconds(0));
      EXPECT_GE(s.waiting, nanoseconds(0));
    }
    EXPECT_EQ(stats.items, 50U);
    EXPECT_GE(stats.most_items, 1U);
    EXPECT_GE(stats.lanes, 1U);
    EXPECT_LE(stats.lanes, stats.most_lanes);
    EXPECT_GE(stats.elapsed, nanoseconds(0));
  });
}

TEST_F(PipelineStats, items_that_are_dropped_or_fail_are_counted_at_their_stage) {
  watchdog const guard("a pipeline that drops items");
  with_all_options(
      [](options const& opts) {
        pipeline_stats stats;
        auto const third = [](int n) { return n % 3 == 0 ? std::nullopt : std::optional<int>(n); };
        error const e = pipeline(
            opts, stats, stage::source(numbers(90)), stage::parallel(third),
            stage::serial([](int n) { return n % 3 == 1 ? std::optional<int>(n) : std::nullopt; }),
            stage::in_order([](int n) { return n % 2 == 0 ? failure() : std::error_code(); }));
        EXPECT_EQ(e.code(), failure());
        ASSERT_EQ(stats.stages.size(), 4U);
        EXPECT_EQ(stats.stages[0].dropped, 0U) << "the end of the input is no item";
        EXPECT_EQ(stats.stages[1].calls, 90U);
        EXPECT_EQ(stats.stages[1].dropped, 30U);
        EXPECT_EQ(stats.stages[2].calls, 60U);
        EXPECT_EQ(stats.stages[2].dropped, 30U);
        EXPECT_EQ(stats.stages[3].calls, 30U);
        EXPECT_EQ(stats.stages[3].failed, 15U);
        EXPECT_EQ(stats.stages[3].name, "");
      },
      {.policy = on_error::keep_going});
}

TEST_F(PipelineStats, they_are_filled_after_a_failure_too) {
  for (at const where : assembly::stages) {
    assembly line(100, [where](at s, int number, auto const&) {
      return s == where && number == 10 ? failure() : std::error_code();
    });
    EXPECT_EQ(line.run({.limit = 1}, true).code(), failure());
    auto const i = static_cast<std::size_t>(where);
    EXPECT_EQ(line.stats().stages[i].failed, 1U);
    EXPECT_EQ(line.stats().stages[i].calls, 11U);
    EXPECT_EQ(line.stats().items, where == at::read ? 10U : 11U);
    EXPECT_EQ(line.stats().most_items, 1U);
    EXPECT_EQ(line.stats().lanes, 1U);
    EXPECT_EQ(line.stats().most_lanes, 1U);
  }
}

TEST_F(PipelineStats, each_run_begins_from_nothing) {
  pipeline_stats stats;
  for (int i = 0; i != 2; ++i) {
    EXPECT_FALSE(pipeline({.limit = 1}, stats, stage::source("s", numbers(7)),
                          stage::in_order("w", [](int) {})));
    EXPECT_EQ(stats.items, 7U);
    ASSERT_EQ(stats.stages.size(), 2U);
    EXPECT_EQ(stats.stages[0].calls, 8U);
    EXPECT_EQ(stats.stages[1].calls, 7U);
  }
  EXPECT_EQ(stats.stages[0].name, "s") << "the name outlives the stage";
}

TEST_F(PipelineStats, the_most_items_and_the_most_that_waited) {
  // Every eighth item is in a stage until all others that there is room for are parked before it.
  watchdog const guard("a pipeline with everything parked");
  with_workers(1, [] {
    constexpr int most = 8;
    constexpr int rounds = 5;
    std::atomic<int> queued{0};
    assembly line(most * rounds, [&](at s, int number, auto const&) {
      if (s == at::queue) {
        ++queued;
      }
      if (s == at::order && number % most == 0) {
        support::await([&] { return queued == number + most; }, "all items to be parked");
        support::dawdle();
      }
      return std::error_code();
    });
    EXPECT_FALSE(line.run({.limit = 2, .queue = most - 2}, true));
    EXPECT_EQ(line.stats().most_items, most + 0U);
    EXPECT_EQ(line.stats().lanes, 2U);
    EXPECT_GE(line.stats().stages[3].most_waiting, most - 2U);
    EXPECT_LE(line.stats().stages[3].most_waiting, most - 1U);
    EXPECT_EQ(line.stats().stages[1].most_waiting, 0U) << "no item waits for a parallel stage";
    EXPECT_GT(line.stats().stages[0].waiting, nanoseconds(0)) << "no slot was free";
  });
}

// --- the bottleneck --------------------------------------------------------------------------

stage_stats stats_of(std::string name, stage_kind kind, milliseconds inside) {
  stage_stats s;
  s.name = std::move(name);
  s.kind = kind;
  s.calls = 10;
  s.inside = inside;
  return s;
}

/// A second on four lanes.
pipeline_stats of(milliseconds read, milliseconds work, milliseconds write) {
  pipeline_stats stats;
  stats.elapsed = std::chrono::seconds(1);
  stats.lanes = 3;
  stats.most_lanes = 4;
  stats.most_items = 16;
  stats.items = 10;
  stats.stages = {stats_of("read", stage_kind::source, read),
                  stats_of("work", stage_kind::parallel, work),
                  stats_of("write", stage_kind::in_order, write)};
  return stats;
}

std::string bottleneck(pipeline_stats const& stats) {
  stage_stats const* const s = stats.bottleneck();
  return s == nullptr ? "none" : s->name;
}

TEST_F(PipelineStats, a_source_that_is_busy_for_most_of_the_time_is_the_bottleneck) {
  EXPECT_EQ(bottleneck(of(milliseconds(900), milliseconds(500), milliseconds(100))), "read");
}

TEST_F(PipelineStats, a_stage_in_order_that_is_busy_for_most_of_the_time_is_the_bottleneck) {
  EXPECT_EQ(bottleneck(of(milliseconds(100), milliseconds(500), milliseconds(900))), "write");
  pipeline_stats stats = of(milliseconds(100), milliseconds(500), milliseconds(900));
  stats.stages[2].kind = stage_kind::serial;
  EXPECT_EQ(bottleneck(stats), "write");
}

TEST_F(PipelineStats, of_two_busy_stages_the_busiest_is_the_bottleneck) {
  EXPECT_EQ(bottleneck(of(milliseconds(900), milliseconds(500), milliseconds(950))), "write");
  EXPECT_EQ(bottleneck(of(milliseconds(950), milliseconds(1100), milliseconds(900))), "read");
}

TEST_F(PipelineStats, the_bound_is_four_fifths_of_the_time) {
  EXPECT_EQ(bottleneck(of(milliseconds(801), milliseconds(0), milliseconds(0))), "read");
  EXPECT_EQ(bottleneck(of(milliseconds(799), milliseconds(0), milliseconds(0))), "none");
}

TEST_F(PipelineStats, if_all_lanes_are_busy_the_stage_with_the_most_time_is_the_bottleneck) {
  EXPECT_EQ(bottleneck(of(milliseconds(300), milliseconds(3200), milliseconds(300))), "work");
  pipeline_stats stats = of(milliseconds(300), milliseconds(3200), milliseconds(300));
  stats.stages[1].kind = stage_kind::many;
  EXPECT_EQ(bottleneck(stats), "work");
  // All lanes that might be out, not those that were.
  EXPECT_EQ(bottleneck(of(milliseconds(300), milliseconds(2000), milliseconds(300))), "none");
}

TEST_F(PipelineStats, if_lanes_and_stages_are_idle_there_is_no_bottleneck) {
  EXPECT_EQ(bottleneck(of(milliseconds(100), milliseconds(1500), milliseconds(700))), "none");
  EXPECT_EQ(bottleneck(pipeline_stats()), "none");
  pipeline_stats stats = of(milliseconds(0), milliseconds(0), milliseconds(0));
  stats.elapsed = {};
  EXPECT_EQ(bottleneck(stats), "none");
}

TEST_F(PipelineStats, the_bottleneck_is_a_stage_of_these_statistics) {
  pipeline_stats const stats = of(milliseconds(900), milliseconds(0), milliseconds(0));
  EXPECT_EQ(stats.bottleneck(), stats.stages.data());
}

// --- the table -------------------------------------------------------------------------------

std::string table(pipeline_stats const& stats) {
  std::ostringstream out;
  out << stats;
  return out.str();
}

TEST_F(PipelineStats, the_table_has_a_line_for_each_stage_and_the_bottleneck) {
  pipeline_stats stats = of(milliseconds(100), milliseconds(1500), milliseconds(900));
  stats.stages[1].dropped = 7;
  stats.stages[2].failed = 4;
  stats.stages[2].waiting = std::chrono::microseconds(25);
  stats.stages[2].most_waiting = 13;
  std::string const text = table(stats);
  EXPECT_EQ(std::ranges::count(text, '\n'), 6) << text;
  EXPECT_THAT(text, HasSubstr("10 items in 1.00 s, 3 of 4 lanes, at most 16 items under way\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\nread +source +10 +0 +0 +100.00 ms +10% "));
  EXPECT_THAT(text, testing::ContainsRegex("\nwork +parallel +10 +7 +0 +1.50 s +150% "));
  EXPECT_THAT(
      text, testing::ContainsRegex("\nwrite +in order +10 +0 +4 +900.00 ms +90% +25.00 us +13\n"));
  EXPECT_THAT(text, HasSubstr("\nbottleneck: write\n"));
}

TEST_F(PipelineStats, the_columns_of_the_table_are_straight) {
  pipeline_stats stats = of(milliseconds(1), milliseconds(20), milliseconds(300));
  stats.stages[1].name = "a stage with a long name";
  std::istringstream lines(table(stats));
  std::string line;
  std::getline(lines, line);  // the totals
  std::getline(lines, line);
  std::size_t const width = line.size();
  for (int i = 0; i != 3; ++i) {
    std::getline(lines, line);
    EXPECT_EQ(line.size(), width) << line;
  }
}

TEST_F(PipelineStats, a_stage_without_a_name_has_its_number) {
  pipeline_stats stats = of(milliseconds(0), milliseconds(0), milliseconds(900));
  stats.stages[2].name.clear();
  EXPECT_THAT(table(stats), HasSubstr("\nstage 2 "));
  EXPECT_THAT(table(stats), HasSubstr("\nbottleneck: stage 2\n"));
}

TEST_F(PipelineStats, the_table_of_nothing_has_no_bottleneck) {
  EXPECT_THAT(table(pipeline_stats()), HasSubstr("bottleneck: none\n"));
  EXPECT_THAT(table(of(milliseconds(0), milliseconds(0), milliseconds(0))),
              testing::AllOf(HasSubstr("bottleneck: none\n"), Not(HasSubstr("nan"))));
}

}  // namespace
