// SPDX-License-Identifier: Apache-2.0

// The clock, and what becomes of times that it cannot tell.

#include <errgroup/clock.hpp>
#include <errgroup/testing.hpp>

#include <gtest/gtest.h>

#include <chrono>   // duration, hours, steady_clock, system_clock, …
#include <cmath>    // nextafter
#include <cstdint>  // int64_t, uint64_t
#include <limits>   // numeric_limits
#include <ratio>    // pico, ratio

namespace {

using errgroup::clock;
using errgroup::detail::after;
using errgroup::detail::saturated;
using errgroup::detail::to_clock;
using std::chrono::duration;
using std::chrono::hours;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr clock::duration longest = clock::duration::max();
constexpr clock::duration none = clock::duration::zero();

TEST(Clock, is_the_steady_clock) {
  auto const before = steady_clock::now();
  auto const now = clock::now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, steady_clock::now());
  EXPECT_TRUE(clock::is_steady);
}

TEST(Clock, a_duration_is_what_it_was) {
  EXPECT_EQ(saturated(nanoseconds(1)), nanoseconds(1));
  EXPECT_EQ(saturated(hours(-3)), hours(-3));
  EXPECT_EQ(saturated(longest), longest);
  EXPECT_EQ(saturated(longest - nanoseconds(1)), longest - nanoseconds(1));
  EXPECT_EQ(saturated(clock::duration::min()), clock::duration::min());
  EXPECT_EQ(saturated(duration<double>(0.5)), std::chrono::milliseconds(500));
  EXPECT_EQ(saturated(duration<std::uint64_t, std::nano>(7)), nanoseconds(7));
}

TEST(Clock, a_part_of_a_tick_is_a_tick_so_that_nothing_is_early) {
  using picoseconds = duration<std::int64_t, std::pico>;
  EXPECT_EQ(saturated(picoseconds(1)), nanoseconds(1));
  EXPECT_EQ(saturated(picoseconds(1001)), nanoseconds(2));
  EXPECT_EQ(saturated(picoseconds(-1)), none);
  EXPECT_EQ(saturated(duration<double, std::nano>(0.25)), nanoseconds(1));
}

TEST(Clock, what_is_longer_than_it_can_tell_is_for_ever) {
  EXPECT_EQ(saturated(hours::max()), longest);
  EXPECT_EQ(saturated(hours::min()), clock::duration::min());
  EXPECT_EQ(saturated(std::chrono::years(1'000'000)), longest);
  EXPECT_EQ(saturated(duration<std::uint64_t, std::nano>::max()), longest);
  EXPECT_EQ(saturated(duration<double>::max()), longest);
  EXPECT_EQ(saturated(-duration<double>::max()), clock::duration::min());
  EXPECT_EQ(saturated(duration<double>(std::numeric_limits<double>::infinity())), longest);
  EXPECT_EQ(saturated(duration<float>(-std::numeric_limits<float>::infinity())),
            clock::duration::min());
  EXPECT_EQ(saturated(duration<long double>::max()), longest);
}

TEST(Clock, what_is_no_number_is_no_time) {
  EXPECT_EQ(saturated(duration<double>(std::numeric_limits<double>::quiet_NaN())), none);
  EXPECT_EQ(saturated(duration<float>(std::numeric_limits<float>::quiet_NaN())), none);
}

/// Durations in `D`, step by step, around the longest.
template <class D>
void expect_no_overflow_near_the_end() {
  using R = typename D::rep;
  constexpr long double ticks = static_cast<long double>(longest.count());
  constexpr long double per_tick =
      1e9L * static_cast<long double>(D::period::num) / static_cast<long double>(D::period::den);
  R far = static_cast<R>(ticks / per_tick);
  for (int i = 0; i != 4; ++i) {
    far = std::nextafter(far, std::numeric_limits<R>::max());
  }
  for (int i = 0; i != 9; ++i) {
    EXPECT_GT(saturated(D(far)), hours(2'500'000)) << static_cast<double>(far);
    EXPECT_LT(saturated(D(-far)), hours(-2'500'000)) << static_cast<double>(far);
    far = std::nextafter(far, R(0));
  }
}

TEST(Clock, nothing_overflows_near_its_end_in_floating_point) {
  expect_no_overflow_near_the_end<duration<float, std::nano>>();
  expect_no_overflow_near_the_end<duration<float>>();
  expect_no_overflow_near_the_end<duration<float, std::ratio<60>>>();
  expect_no_overflow_near_the_end<duration<float, std::ratio<3600>>>();
  expect_no_overflow_near_the_end<duration<double, std::nano>>();
  expect_no_overflow_near_the_end<duration<double>>();
  expect_no_overflow_near_the_end<duration<double, std::ratio<60>>>();
  expect_no_overflow_near_the_end<duration<double, std::ratio<3600>>>();
  expect_no_overflow_near_the_end<duration<double, std::ratio<86400>>>();
}

TEST(Clock, a_sum_is_at_most_the_last_time_and_at_least_the_first) {
  constexpr auto last = clock::time_point::max();
  constexpr auto first = clock::time_point::min();
  constexpr clock::time_point epoch{};
  constexpr auto shortest = clock::duration::min();
  EXPECT_EQ(after(epoch, longest), last);
  EXPECT_EQ(after(epoch, shortest), first);
  EXPECT_EQ(after(epoch + hours(1), longest), last);
  EXPECT_EQ(after(epoch - hours(1), shortest), first);
  EXPECT_EQ(after(epoch + hours(1), shortest), first + hours(1));
  EXPECT_EQ(after(last, nanoseconds(1)), last);
  EXPECT_EQ(after(first, nanoseconds(-1)), first);
  EXPECT_EQ(after(last, none), last);
  EXPECT_EQ(after(first, longest), epoch - nanoseconds(1));
  EXPECT_EQ(after(epoch, hours(2)), epoch + hours(2));
}

TEST(Clock, a_time_of_the_steady_clock_is_itself_however_coarse) {
  auto const t = std::chrono::time_point_cast<hours>(steady_clock::now());
  EXPECT_EQ(to_clock(t), t);
  EXPECT_EQ(to_clock(steady_clock::time_point::max()), clock::time_point::max());
  EXPECT_EQ(to_clock(steady_clock::time_point::min()), clock::time_point::min());
  EXPECT_EQ(to_clock(std::chrono::time_point<steady_clock, hours>::max()),
            clock::time_point::max());
}

TEST(Clock, a_time_of_the_system_s_clock_is_as_far_away_as_it_is_there) {
  errgroup::testing::test_clock const still;
  auto const now = clock::now();
  auto const before = system_clock::now();
  auto const soon = to_clock(before + hours(1));
  auto const passed = system_clock::now() - before;
  EXPECT_LE(soon, now + hours(1));
  EXPECT_GE(soon, now + hours(1) - passed);
  EXPECT_LT(to_clock(before - hours(1)), now);
  // A hundred years, at least.
  EXPECT_GT(to_clock(system_clock::time_point::max()), now + hours(870'000));
  EXPECT_LT(to_clock(system_clock::time_point::min()), now - hours(870'000));
  EXPECT_GT(to_clock(std::chrono::sys_days::max()), now + hours(870'000));
  EXPECT_LT(to_clock(std::chrono::sys_days::min()), now - hours(870'000));
  EXPECT_LT(to_clock(system_clock::time_point{}), now);
}

}  // namespace
