// SPDX-License-Identifier: Apache-2.0

// pipeline: it ends as a whole, and tells which item failed, and in which stage (rules R1 to R3).
// The other rules are in pipeline_lanes_test.cpp and pipeline_input_test.cpp.

#include "support/assembly.hpp"
#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/pipeline.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>     // is_sorted
#include <array>         // array
#include <atomic>        // atomic
#include <chrono>        // milliseconds
#include <cstddef>       // size_t
#include <functional>    // function
#include <optional>      // nullopt, optional
#include <stop_token>    // stop_source, stop_token
#include <string>        // string, to_string
#include <system_error>  // error_code, make_error_code, system_error

namespace {

namespace stage = errgroup::stage;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::on_error;
using errgroup::options;
using errgroup::pipeline;
using support::assembly;
using support::expect_end;
using support::failure;
using support::numbers;
using support::up_to;
using support::wait_for_stop;
using support::watchdog;
using support::with_all_options;
using support::with_workers;
using at = assembly::at;

class Pipeline : public support::no_leaks {};

// --- R1: it returns when nothing runs --------------------------------------------------------

TEST_F(Pipeline, R1_every_item_goes_through_every_stage_once_and_in_order) {
  watchdog const guard("a pipeline");
  for (int const n : {0, 1, 2, 100}) {
    with_all_options([n](options const& opts) {
      for (bool const is_timed : {false, true}) {
        assembly line(n);
        error const e = line.run(opts, is_timed);
        EXPECT_FALSE(e) << e;
        expect_end(line, e, 0);
        EXPECT_EQ(line.ordered(), up_to(n));
        EXPECT_EQ(line.written(), up_to(n));
        for (at const s : {at::work, at::queue, at::split}) {
          EXPECT_EQ(line.calls(s), n) << assembly::name(s);
        }
        EXPECT_EQ(line.calls(at::read), n + 1);
      }
    });
  }
}

/// A way in which a pipeline ends before its time.
struct ender {
  char const* what;
  /// Called in a stage.
  std::function<std::error_code(std::stop_source&, std::stop_token const&)> act;
  std::error_code expected;
  bool fails;  // the item has failed
  bool has_deadline = false;
};

std::array<ender, 4> enders() {
  return {
      ender{"an error", [](auto&, auto const&) { return failure(); }, failure(), true},
      ender{"an exception",
            [](auto&, auto const&) -> std::error_code { throw std::system_error(failure()); },
            failure(), true},
      ender{"a cancellation",
            [](std::stop_source& source, auto const&) {
              source.request_stop();
              return std::error_code();
            },
            errc::canceled, false},
      ender{"a deadline",
            [](auto&, std::stop_token const& token) {
              wait_for_stop(token);
              return std::error_code();
            },
            errc::deadline_exceeded, false, true},
  };
}

TEST_F(Pipeline, R1_it_returns_when_nothing_runs_whoever_ended_it_while_items_are_parked) {
  // Item 0 stays in the last stage until the pipeline is cancelled. Item 3 ends the pipeline in a
  // stage before that. Items 1 and 2 are parked, or on their way.
  watchdog const guard("a pipeline that is ended while items are parked");
  for (ender const& end : enders()) {
    for (at const where : {at::read, at::work, at::queue, at::order, at::split}) {
      SCOPED_TRACE(std::string(end.what) + " in " + assembly::name(where));
      with_workers(1, [&] {
        std::stop_source source;
        assembly line(1000, [&](at s, int number, std::stop_token const& token) {
          if (s == at::write) {
            EXPECT_EQ(number, 0);
            wait_for_stop(token);
          }
          return s == where && number == 3 ? end.act(source, token) : std::error_code();
        });
        options opts{.limit = 2, .queue = 6, .stop = source.get_token()};
        if (end.has_deadline) {
          opts.timeout = std::chrono::milliseconds(20);
        }
        error const e = line.run(opts);
        EXPECT_EQ(e.code(), end.expected) << e;
        expect_end(line, e, end.fails && where != at::read ? 1 : 0);
      });
    }
  }
}

/// Item 0 is in `order` until as many items as may be were read and are parked behind it. Then it
/// does what `end` does.
void end_with_everything_parked(ender const& end) {
  SCOPED_TRACE(end.what);
  with_workers(1, [&] {
    constexpr int most = 8;
    std::stop_source source;
    support::gate parked("all items to be parked");
    std::atomic<int> queued{0};
    std::atomic<bool> has_ended{false};
    assembly line(1000, [&](at s, int number, std::stop_token const& token) {
      EXPECT_FALSE(has_ended) << "item " << number << " comes to " << assembly::name(s);
      if (s == at::queue && ++queued == most) {
        parked.open();
      }
      if (s == at::order) {
        EXPECT_EQ(number, 0);
        parked.wait();
        has_ended = true;
        return end.act(source, token);
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2, .queue = most - 2, .stop = source.get_token()});
    EXPECT_EQ(e.code(), end.expected) << e;
    EXPECT_EQ(line.items_read(), most);
    EXPECT_EQ(e.skipped(), end.fails ? most - 1U : most + 0U);
    expect_end(line, e, end.fails ? 1 : 0);
  });
}

TEST_F(Pipeline, R1_R3_it_ends_with_everything_parked_behind_one_slow_item) {
  watchdog const guard("a pipeline that is ended with everything parked");
  for (ender const& end : enders()) {
    if (!end.has_deadline) {
      end_with_everything_parked(end);
    }
  }
}

TEST_F(Pipeline, R1_a_write_fails_with_everything_parked) {
  watchdog const guard("a pipeline whose write fails");
  with_workers(1, [] {
    constexpr int most = 12;
    support::gate parked("all items to be parked");
    std::atomic<int> split{0};
    assembly line(1000, [&](at s, int number, auto const&) {
      if (s == at::split && ++split == most) {
        parked.open();
      }
      if (s == at::write) {
        EXPECT_EQ(number, 0);
        parked.wait();
        return failure();
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2, .queue = most - 2});
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(e.skipped(), most - 1U);
    EXPECT_EQ(line.calls(at::write), 1);
    expect_end(line, e, 1);
  });
}

TEST_F(Pipeline, R1_a_source_that_blocks_is_woken_by_its_token) {
  watchdog const guard("a pipeline whose source blocks");
  for (bool const has_failed : {false, true}) {
    with_workers(1, [&] {
      std::stop_source source;
      support::gate reading("the source to be read again");
      assembly line(1000, [&](at s, int number, std::stop_token const& token) {
        if (s == at::read && number == 1) {
          reading.open();
          wait_for_stop(token);
          return make_error_code(errc::canceled);
        }
        if (s == at::work) {
          reading.wait();
          if (has_failed) {
            return failure();
          }
          source.request_stop();
        }
        return std::error_code();
      });
      error const e = line.run({.limit = 2, .stop = source.get_token()});
      EXPECT_EQ(e.code(), has_failed ? failure() : make_error_code(errc::canceled));
      expect_end(line, e, has_failed ? 1 : 0);
    });
  }
}

// --- R2: origin, skipped, message ------------------------------------------------------------

TEST_F(Pipeline, R2_the_origin_tells_the_item_the_stage_and_its_place) {
  watchdog const guard("a pipeline that fails");
  constexpr int n = 20;
  for (at const where : assembly::stages) {
    for (int const bad : {0, n / 2, n - 1}) {
      for (bool const throws : {false, true}) {
        SCOPED_TRACE(std::string(assembly::name(where)) + ", item " + std::to_string(bad) +
                     (throws ? ", thrown" : ""));
        with_all_options(
            [&](options const& opts) {
              assembly line(n, [&](at s, int number, auto const&) {
                if (s != where || number != bad) {
                  return std::error_code();
                }
                if (throws) {
                  throw std::system_error(failure());
                }
                return failure();
              });
              error const e = line.run(opts, bad == 0);
              EXPECT_EQ(e.code(), failure());
              EXPECT_EQ(e.origin().index, static_cast<std::size_t>(bad));
              EXPECT_EQ(e.origin().path, std::string("pack/") + assembly::name(where));
              EXPECT_EQ(e.origin().name, assembly::name(where));
              EXPECT_EQ(e.origin().where.line(), line.line(where));
              EXPECT_TRUE(e.origin().is_item);
              EXPECT_TRUE(e.others().empty());
              expect_end(line, e, where == at::read ? 0 : 1);
            },
            {.name = "pack"});
      }
    }
  }
}

TEST_F(Pipeline, R2_a_source_fails_where_others_end) {
  assembly line(3, [](at s, int number, auto const&) {
    return s == at::read && number == 3 ? failure() : std::error_code();
  });
  error const e = line.run({.limit = 1});
  EXPECT_EQ(e.code(), failure());
  EXPECT_EQ(e.origin().index, 3U);
  expect_end(line, e, 0);
}

TEST_F(Pipeline, R2_the_message_is_the_one_of_the_documentation) {
  auto const write = [](int n) { return n == 17 ? failure() : std::error_code(); };
  auto last = stage::in_order("write", write);
  std::string const line = std::to_string(__LINE__ - 1);
  error const e = pipeline({.limit = 1, .name = "pack"}, stage::source("read", numbers(100)), last);
  EXPECT_EQ(
      e.message(),
      "No space left on device (pack/write, item 17, stage at pipeline_test.cpp:" + line + ")");
}

TEST_F(Pipeline, R2_without_names_the_message_tells_the_item_and_the_place) {
  auto const write = [](int n) { return n == 2 ? failure() : std::error_code(); };
  auto last = stage::in_order(write);
  std::string const line = std::to_string(__LINE__ - 1);
  error const e = pipeline(stage::source(numbers(100)), last);
  EXPECT_EQ(e.message(),
            "No space left on device (item 2, stage at pipeline_test.cpp:" + line + ")");
  EXPECT_EQ(e.origin().path, "");
}

TEST_F(Pipeline, R2_items_that_were_dropped_are_not_skipped) {
  watchdog const guard("a pipeline that drops items");
  with_workers(1, [] {
    // Items 0 to 4 are dropped, 5 to 7 are parked behind item 8 or on their way, 8 fails.
    error const e = pipeline(
        {.limit = 1, .queue = 20}, stage::source(numbers(100)),
        stage::parallel([](int n) { return n < 5 ? std::nullopt : std::optional<int>(n); }),
        stage::in_order([](int n) { return n == 8 ? failure() : std::error_code(); }));
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(e.skipped(), 0U);
  });
}

TEST_F(Pipeline, R2_a_cancelled_pipeline_is_no_success_also_when_the_source_had_ended) {
  watchdog const guard("a pipeline that is cancelled after its source has ended");
  with_workers(1, [] {
    std::stop_source source;
    support::gate over("the source to end");
    assembly line(3, [&](at s, int number, auto const&) {
      if (s == at::read && number == 3) {
        over.open();
      }
      if (s == at::write && number == 0) {
        over.wait();
        source.request_stop();
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2, .queue = 2, .stop = source.get_token()});
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 2U);
    expect_end(line, e, 0);
  });
}

TEST_F(Pipeline, R2_a_source_that_ends_as_its_token_is_stopped_makes_no_success) {
  with_all_options([](options opts) {
    std::stop_source source;
    opts.stop = source.get_token();
    int n = 0;
    error const e =
        pipeline(opts, stage::source([&](std::stop_token const& token) {
                   if (n == 3) {
                     source.request_stop();
                   }
                   return token.stop_requested() ? std::optional<int>() : std::optional<int>(n++);
                 }),
                 stage::parallel([](int) {}));
    EXPECT_EQ(e, errc::canceled);
    EXPECT_LE(e.skipped(), 3U);
  });
}

TEST_F(Pipeline, R2_a_pipeline_that_is_cancelled_before_it_begins_calls_no_stage) {
  with_all_options([](options opts) {
    std::stop_source source;
    source.request_stop();
    opts.stop = source.get_token();
    assembly line(10);
    error const e = line.run(opts);
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(line.all_calls(), 0);
    EXPECT_EQ(e.skipped(), 0U);
  });
}

TEST_F(Pipeline, R2_a_cancelled_group_cancels_the_pipeline_in_its_task) {
  watchdog const guard("a pipeline in a task that is cancelled");
  with_workers(1, [] {
    group g{{.name = "outer"}};
    error inner;
    error const e = g.run_and_wait([&] {
      assembly line(1000, [&](at s, int number, std::stop_token const& token) {
        if (s == at::order && number == 1) {
          g.cancel();
          wait_for_stop(token);
        }
        return std::error_code();
      });
      inner = line.run({});
      expect_end(line, inner, 0);
    });
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(inner, errc::canceled);
  });
}

TEST_F(Pipeline, R2_the_path_begins_with_the_groups_above) {
  group g{{.name = "job"}};
  error const e = g.run_and_wait([] {
    return pipeline({.name = "pack"}, stage::source(numbers(1)),
                    stage::serial("write", [](int) { return failure(); }));
  });
  EXPECT_EQ(e.origin().path, "job/pack/write");
  EXPECT_EQ(e.origin().index, 0U);
}

// --- R3: after the first failure -------------------------------------------------------------

TEST_F(Pipeline, R3_after_a_failure_no_stage_is_called_on_one_lane) {
  for (at const where : assembly::stages) {
    int after = 0;
    bool has_failed = false;
    assembly line(100, [&](at s, int number, auto const&) {
      after += has_failed ? 1 : 0;
      has_failed = has_failed || (s == where && number == 10);
      return s == where && number == 10 ? failure() : std::error_code();
    });
    error const e = line.run({.limit = 1});
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(after, 0) << assembly::name(where);
    expect_end(line, e, where == at::read ? 0 : 1);
  }
}

TEST_F(Pipeline, R3_a_lane_that_returns_to_a_cancelled_pipeline_takes_its_item_no_further) {
  // Item 1 is in the parallel stage while item 0 fails in the next stage.
  watchdog const guard("a pipeline that fails beside a slow item");
  with_workers(1, [] {
    support::gate inside("item 1 to be in the parallel stage");
    assembly line(1000, [&](at s, int number, std::stop_token const& token) {
      if (s == at::work && number == 1) {
        inside.open();
        wait_for_stop(token);
      }
      if (s == at::queue) {
        EXPECT_EQ(number, 0);
        inside.wait();
        return failure();
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2});
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(line.calls(at::queue), 1);
    EXPECT_EQ(line.calls(at::order), 0);
    expect_end(line, e, 1);
  });
}

TEST_F(Pipeline, R3_keep_going_leaves_out_the_failed_items_and_goes_on) {
  watchdog const guard("a pipeline that keeps going");
  constexpr int n = 90;
  for (at const where : {at::work, at::queue, at::order, at::split, at::write}) {
    for (bool const throws : {false, true}) {
      SCOPED_TRACE(assembly::name(where));
      with_all_options(
          [&](options const& opts) {
            assembly line(n, [&](at s, int number, auto const&) {
              if (s != where || number % 3 != 1) {
                return std::error_code();
              }
              if (throws) {
                throw std::system_error(failure());
              }
              return failure();
            });
            error const e = line.run(opts, true);
            EXPECT_EQ(e.code(), failure());
            EXPECT_EQ(e.origin().index % 3, 1U);
            EXPECT_EQ(e.skipped(), 0U);
            EXPECT_EQ(line.items_read(), n);
            EXPECT_EQ(line.items_written(), n / 3 * 2);
            EXPECT_EQ(line.stats().stages[static_cast<std::size_t>(where)].failed, n / 3U);
            EXPECT_EQ(line.live_items(), 0);
            bool const is_before_order = where == at::work || where == at::queue;
            EXPECT_EQ(line.ordered().size(), is_before_order ? n / 3 * 2U : n + 0U);
            EXPECT_TRUE(std::ranges::is_sorted(line.ordered()));
            EXPECT_TRUE(std::ranges::is_sorted(line.written()));
          },
          {.policy = on_error::keep_going});
    }
  }
}

TEST_F(Pipeline, R3_with_keep_going_a_failed_source_ends_the_input) {
  watchdog const guard("a pipeline that keeps going without its source");
  with_all_options(
      [](options const& opts) {
        assembly line(100, [](at s, int number, auto const&) {
          return s == at::read && number == 10 ? failure() : std::error_code();
        });
        error const e = line.run(opts);
        EXPECT_EQ(e.code(), failure());
        EXPECT_EQ(e.origin().index, 10U);
        EXPECT_EQ(e.skipped(), 0U);
        EXPECT_EQ(line.calls(at::read), 11);
        EXPECT_EQ(line.written(), up_to(10));
        expect_end(line, e, 0);
      },
      {.policy = on_error::keep_going});
}

TEST_F(Pipeline, R3_keep_all_has_every_failure) {
  assembly line(10, [](at s, int number, auto const&) {
    return (s == at::work && number == 2) || (s == at::write && number == 5) ? failure()
                                                                             : std::error_code();
  });
  error const e = line.run({.limit = 1,
                            .queue = 0,
                            .policy = on_error::keep_going,
                            .errors = keep::all,
                            .name = "pack"});
  EXPECT_EQ(e.origin().path, "pack/work");
  EXPECT_EQ(e.origin().index, 2U);
  ASSERT_EQ(e.others().size(), 1U);
  EXPECT_EQ(e.others()[0].origin().path, "pack/write");
  EXPECT_EQ(e.others()[0].origin().index, 5U);
  EXPECT_EQ(line.items_written(), 8);
}

}  // namespace
