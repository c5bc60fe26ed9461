// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TESTING_HPP
#define ERRGROUP_TESTING_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/export.hpp>

namespace errgroup::inline v1::testing {

/// When a test's clock moves.
enum class time_moves {
  by_hand,                   ///< only in `advance` and the like
  when_nothing_else_is_left  ///< also in a wait for a group whose tasks all wait for a time
};

/// Replaces the steady clock for all groups, as long as the object lives. The clock stands still
/// except for the functions below, so tests of hours run in milliseconds, and no test sleeps.
///
///     errgroup::testing::test_clock clock;
///     errgroup::group g{{.timeout = std::chrono::hours(1)}};
///     …
///     clock.advance(std::chrono::hours(1));
///     EXPECT_TRUE(g.is_canceling());
///
/// The clock begins at the present time. With `when_nothing_else_is_left` it also moves by itself:
/// if a thread waits for a group that has nothing to run before the next time that anything in the
/// process waits for, the clock jumps to that time. Trio has the same as its autojump clock.
///
/// There is at most one test clock at a time. Create the clock before the groups of the test, and
/// destroy it after the groups.
class test_clock {
 public:
  /// Throws `std::logic_error` if another test clock exists; `std::bad_alloc`.
  ERRGROUP_API explicit test_clock(time_moves moves = time_moves::by_hand);
  test_clock(test_clock const&) = delete;
  test_clock& operator=(test_clock const&) = delete;
  ERRGROUP_API ~test_clock();

  /// Moves the clock by `d`. When the call returns, everything that was due meanwhile has begun:
  /// deadlines have been noticed, and due tasks were handed over in the order of their times, each
  /// at its own time. Tasks may still run, or wait for a thread: wait for the group. Another thread
  /// stops the stop tokens of a group whose deadline has passed, soon afterwards.
  ///
  /// Threads: any, but not in a task of a group.
  ERRGROUP_API void advance(clock::duration d);
  /// The same, until `time`. The clock never moves back.
  ERRGROUP_API void advance_to(clock::time_point time);
  /// The same, until the next time that anything in the process waits for. False if nothing waits
  /// for a time.
  ERRGROUP_API bool advance_to_next();
};

}  // namespace errgroup::inline v1::testing

#endif  // ERRGROUP_TESTING_HPP
