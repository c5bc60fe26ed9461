// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_TEST_TIME_HPP
#define ERRGROUP_SRC_TEST_TIME_HPP

#include <errgroup/clock.hpp>

#include <atomic>  // atomic

namespace errgroup::inline v1::detail {

/// The clock that a test has set. `testing::test_clock` writes it, under the timer's lock. The
/// reader is `clock::now`, which is apart from the timer: a program that reads the clock, and waits
/// for no time, does not contain the timer.
struct test_time {
  static inline constinit std::atomic<bool> replaces{false};  // the steady clock
  static inline constinit std::atomic<clock::rep> now{0};
  static inline constinit std::atomic<bool> jumps{false};  // when no other work is left
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_TEST_TIME_HPP
