// SPDX-License-Identifier: Apache-2.0

// Pipelines with many items, many short pipelines, and pipelines that end at any moment.

#include "support/assembly.hpp"
#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/sanitizers.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/pipeline.hpp>

#include <gtest/gtest.h>

#include <algorithm>     // is_sorted
#include <atomic>        // atomic, atomic_signal_fence, memory_order_seq_cst
#include <cstddef>       // size_t
#include <cstdint>       // uint64_t
#include <optional>      // nullopt, optional
#include <stop_token>    // stop_source, stop_token
#include <string>        // to_string
#include <system_error>  // error_code, make_error_code, system_error
#include <thread>        // thread
#include <utility>       // move

namespace {

namespace stage = errgroup::stage;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::on_error;
using errgroup::options;
using errgroup::pipeline;
using support::assembly;
using support::expect_end;
using support::failure;
using support::numbers;
using support::up_to;
using support::watchdog;
using support::with_workers;
using at = assembly::at;

constexpr int slow = support::thread_sanitizer ? 10 : support::address_sanitizer ? 4 : 1;

class PipelineStress : public support::no_leaks {};

/// A number that looks random, the same for the same arguments (splitmix64).
std::uint64_t draw(std::uint64_t seed, std::uint64_t n) {
  std::uint64_t z = seed * 0x9e3779b97f4a7c15U + n * 0xd1342543de82ef95U + 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

void spin(std::uint64_t n) {
  for (; n != 0; --n) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

/// Takes a time that depends on the item and the stage: mostly little, now and then much.
void delay(std::uint64_t n, std::uint64_t where) {
  std::uint64_t const drawn = draw(where, n);
  spin(drawn % 64 == 0 ? drawn / 64 % 20'000 : drawn / 64 % 100);
}

// --- many items ------------------------------------------------------------------------------

/// Carries `n` numbers through stages of each kind that take random times. A third is dropped.
void carry_in_order(std::uint64_t n, options const& opts) {
  struct number {
    explicit number(std::uint64_t value) : n(value) {}
    number(number&&) noexcept = default;
    number(number const&) = delete;
    number& operator=(number&&) = delete;
    number& operator=(number const&) = delete;
    ~number() = default;

    std::uint64_t n;
  };
  std::uint64_t next = 0;
  std::uint64_t sum = 0;
  std::uint64_t passed = 0;
  std::uint64_t first = 0;   // the next number in the first stage in order
  std::uint64_t second = 1;  // and in the second
  errgroup::pipeline_stats stats;
  error const e = pipeline(opts, stats, stage::source([&]() -> std::optional<number> {
                             delay(next, 0);
                             if (next == n) {
                               return std::nullopt;
                             }
                             return number(next++);
                           }),
                           stage::parallel([](number&& x) {
                             delay(x.n, 1);
                             return std::move(x);
                           }),
                           stage::serial([&](number&& x) {
                             sum += x.n;
                             return std::move(x);
                           }),
                           stage::in_order([&](number&& x) -> errgroup::result<number> {
                             if (x.n != first++) {
                               return failure();
                             }
                             return std::move(x);
                           }),
                           stage::parallel([](number&& x) {
                             delay(x.n, 2);
                             return x.n % 3 == 0 ? std::optional<number>()
                                                 : std::optional<number>(std::move(x));
                           }),
                           stage::in_order([&](number&& x) {
                             bool const is_next = x.n == second;
                             second += x.n % 3 == 1 ? 1 : 2;
                             ++passed;
                             return is_next ? std::error_code() : failure();
                           }));
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(stats.items, n);
  EXPECT_EQ(sum, n * (n - 1) / 2);
  EXPECT_EQ(first, n);
  EXPECT_EQ(passed, n - (n + 2) / 3);
  EXPECT_LE(stats.most_items, static_cast<std::size_t>(opts.limit) + opts.queue);
}

constexpr std::uint64_t many = 1'000'000 / slow;

TEST_F(PipelineStress, R3_R4_a_million_items_in_order_with_one_slot) {
  watchdog const guard("many items with one slot");
  with_workers(3, [] { carry_in_order(many, {.limit = 1, .queue = 0}); });
}
TEST_F(PipelineStress, R3_R4_a_million_items_in_order_with_two_slots) {
  watchdog const guard("many items with two slots");
  with_workers(3, [] { carry_in_order(many, {.limit = 2, .queue = 0}); });
}
TEST_F(PipelineStress, R3_R4_a_million_items_in_order_with_sixteen_slots) {
  watchdog const guard("many items with sixteen slots");
  with_workers(3, [] { carry_in_order(many, {.limit = 4, .queue = 12}); });
}
TEST_F(PipelineStress, R3_R4_a_million_items_in_order_with_a_thousand_slots) {
  watchdog const guard("many items with a thousand slots");
  with_workers(3, [] { carry_in_order(many, {.limit = 4, .queue = 996}); });
}

// --- lanes that come and go ------------------------------------------------------------------

TEST_F(PipelineStress, R5_the_source_waits_for_its_items_again_and_again) {
  // Each call of the source waits until all items but the last `ahead` have come to the end. So
  // lanes end and are sent all the time, and no lane may be missing.
  watchdog const guard("a source that waits for its items");
  for (int const lanes : {2, 4}) {
    for (int const ahead : {0, 1, 3}) {
      with_workers(lanes - 1, [&] {
        constexpr int n = 20'000 / slow;
        std::atomic<int> done{0};
        int next = 0;
        int sum = 0;
        error const e = pipeline(
            {.limit = lanes}, stage::source([&]() -> std::optional<int> {
              support::await([&] { return done + ahead >= next; }, "an item to come to the end");
              return next == n ? std::optional<int>() : std::optional<int>(next++);
            }),
            stage::parallel([](int i) {
              delay(static_cast<std::uint64_t>(i), 3);
              return i;
            }),
            stage::in_order([&](int i) {
              sum += 1;
              return i;
            }),
            stage::parallel([](int i) {
              delay(static_cast<std::uint64_t>(i), 4);
              return i;
            }),
            stage::serial([&](int) { ++done; }));
        EXPECT_FALSE(e) << e;
        EXPECT_EQ(done, n);
        EXPECT_EQ(sum, n);
      });
    }
  }
}

TEST_F(PipelineStress, R4_stages_that_wait_run_other_lanes_underneath) {
  watchdog const guard("a pipeline whose stages wait");
  for (int const threads : {0, 1, 3}) {
    with_workers(threads, [] {
      constexpr int n = 3000 / slow;
      assembly line(n, [](at s, int number, auto const&) {
        if (draw(static_cast<std::uint64_t>(s), static_cast<std::uint64_t>(number)) % 4 == 0) {
          group g;
          std::atomic<int> ran{0};
          for (int i = 0; i != 3; ++i) {
            g.run([&] {
              spin(500);
              ++ran;
            });
          }
          EXPECT_FALSE(g.wait());
          EXPECT_EQ(ran, 3);
        }
        return std::error_code();
      });
      error const e = line.run({.limit = 4});
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(line.written(), up_to(n));
      expect_end(line, e, 0);
    });
  }
}

// --- short pipelines -------------------------------------------------------------------------

TEST_F(PipelineStress, a_hundred_thousand_short_pipelines) {
  watchdog const guard("many short pipelines");
  with_workers(3, [] {
    for (int round = 0; round != 100'000 / slow; ++round) {
      int const n = round % 7;
      int sum = 0;
      error const e = pipeline({.limit = 1 + round % 4}, stage::source(numbers(n)),
                               stage::parallel([](int i) { return i; }),
                               stage::in_order([&](int i) { sum += i + 1; }));
      ASSERT_FALSE(e) << e;
      ASSERT_EQ(sum, n * (n + 1) / 2);
    }
  });
}

// --- pipelines that end at any moment --------------------------------------------------------

TEST_F(PipelineStress, R1_R2_R3_an_item_fails_in_any_stage_and_the_books_balance) {
  watchdog const guard("pipelines that fail");
  with_workers(3, [] {
    for (std::uint64_t round = 0; round != 6000 / slow; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      std::uint64_t const drawn = draw(round, 5);
      at const where = assembly::stages[drawn % 6];
      int const bad = static_cast<int>(drawn / 8 % 40);
      bool const throws = drawn / 512 % 2 == 0;
      std::atomic<int> failed{0};
      assembly line(40, [&](at s, int number, auto const&) {
        delay(static_cast<std::uint64_t>(number) + round, static_cast<std::uint64_t>(s));
        // A second item may fail at the same time.
        if (s == where && (number == bad || number == bad + 1)) {
          failed += s == at::read ? 0 : 1;
          if (throws) {
            throw std::system_error(failure());
          }
          return failure();
        }
        return std::error_code();
      });
      error const e =
          line.run({.limit = 1 + static_cast<int>(drawn / 1024 % 4), .queue = drawn / 4096 % 8},
                   drawn / 65536 % 2 == 0);
      ASSERT_EQ(e.code(), failure());
      ASSERT_EQ(e.origin().name, assembly::name(where));
      ASSERT_TRUE(e.origin().index == static_cast<std::size_t>(bad) ||
                  e.origin().index == static_cast<std::size_t>(bad) + 1);
      expect_end(line, e, failed);
      if (testing::Test::HasFailure()) {
        return;
      }
    }
  });
}

TEST_F(PipelineStress, R3_items_fail_everywhere_and_the_others_go_on) {
  watchdog const guard("pipelines that keep going");
  with_workers(3, [] {
    for (std::uint64_t round = 0; round != 1000 / slow; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      std::atomic<int> failed{0};
      assembly line(100, [&](at s, int number, auto const&) {
        auto const n = static_cast<std::uint64_t>(number);
        delay(n + round, static_cast<std::uint64_t>(s));
        if (s != at::read && draw(round * 8 + static_cast<std::uint64_t>(s), n) % 10 == 0) {
          ++failed;
          return failure();
        }
        return std::error_code();
      });
      error const e = line.run({.limit = 1 + static_cast<int>(round % 4),
                                .queue = round % 5,
                                .policy = on_error::keep_going});
      ASSERT_EQ(e.skipped(), 0U);
      ASSERT_EQ(line.items_read(), 100);
      ASSERT_EQ(line.items_written() + failed, 100);
      ASSERT_EQ(line.live_items(), 0);
      ASSERT_TRUE(std::ranges::is_sorted(line.ordered()));
      ASSERT_TRUE(std::ranges::is_sorted(line.written()));
    }
  });
}

TEST_F(PipelineStress, R1_R2_it_is_cancelled_at_any_moment_from_outside) {
  watchdog const guard("pipelines that are cancelled");
  with_workers(3, [] {
    int succeeded = 0;
    int const rounds = 1500 / slow;
    for (int round = 0; round != rounds; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      std::stop_source source;
      assembly line(200, [&](at s, int number, auto const&) {
        delay(static_cast<std::uint64_t>(number), static_cast<std::uint64_t>(s));
        return std::error_code();
      });
      std::thread outside([&] {
        spin(draw(9, static_cast<std::uint64_t>(round)) % 3'000'000);
        source.request_stop();
      });
      error const e = line.run({.limit = 1 + round % 4,
                                .queue = static_cast<std::size_t>(round % 9),
                                .stop = source.get_token()});
      outside.join();
      if (e) {
        ASSERT_EQ(e, errc::canceled);
      } else {
        ++succeeded;
        ASSERT_EQ(line.items_written(), 200);
      }
      expect_end(line, e, 0);
      if (testing::Test::HasFailure()) {
        return;
      }
    }
    EXPECT_LT(succeeded, rounds);
  });
}

TEST_F(PipelineStress, no_more_comes_from_any_stage_at_any_moment) {
  watchdog const guard("pipelines that a stage ends");
  with_workers(3, [] {
    for (std::uint64_t round = 0; round != 6000 / slow; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      std::uint64_t const drawn = draw(round, 6);
      at const where = assembly::stages[drawn % 6];
      int const last = static_cast<int>(drawn / 8 % 40);
      assembly line(1'000'000, [&](at s, int number, auto const&) {
        delay(static_cast<std::uint64_t>(number) + round, static_cast<std::uint64_t>(s));
        // Items behind the last one may say the same.
        return s == where && number >= last ? make_error_code(errgroup::no_more)
                                            : std::error_code();
      });
      error const e =
          line.run({.limit = 1 + static_cast<int>(drawn / 1024 % 4), .queue = drawn / 4096 % 8});
      ASSERT_FALSE(e) << e;
      ASSERT_EQ(line.items_written(), last);
      ASSERT_EQ(line.written(), up_to(where == at::write ? last + 1 : last));
      ASSERT_EQ(line.live_items(), 0);
    }
  });
}

}  // namespace
