// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TESTING_HPP
#define ERRGROUP_TESTING_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/export.hpp>

namespace errgroup::testing {

/// What moves a test's clock.
enum class time_moves {
  by_hand,                   ///< `advance` and the like
  when_nothing_else_is_left  ///< also whoever waits for a group all of whose tasks wait for a time
};

/// While it lives, groups go by this clock instead of the steady one. It stands still but for the
/// functions below, so tests of hours run in milliseconds, and none sleeps.
///
///     errgroup::testing::test_clock clock;
///     errgroup::group g{{.timeout = std::chrono::hours(1)}};
///     …
///     clock.advance(std::chrono::hours(1));
///     EXPECT_TRUE(g.is_canceling());
///
/// It begins at the present time. With `when_nothing_else_is_left` it jumps to the next time that
/// anything in the process waits for, as soon as somebody waits for a group that has nothing to run
/// before that: Trio calls it an autojump clock.
///
/// There is one at a time. Make it before the groups that go by it, and let it go after them.
class test_clock {
 public:
  /// Throws `std::logic_error` if there is one already; `std::bad_alloc`.
  ERRGROUP_API explicit test_clock(time_moves moves = time_moves::by_hand);
  test_clock(test_clock const&) = delete;
  test_clock& operator=(test_clock const&) = delete;
  ERRGROUP_API ~test_clock();

  /// Lets `d` pass. When it returns, whatever was to happen meanwhile has begun: deadlines have
  /// been noticed, tasks that were due were handed over in due order, each at its own time. They
  /// may still run, or wait for a thread: wait for the group. Stop tokens of a group whose deadline
  /// has passed are stopped by another thread, soon afterwards.
  ///
  /// Threads: any, but not in a task of a group.
  ERRGROUP_API void advance(clock::duration d);
  /// The same, until `time`. What is past stays past.
  ERRGROUP_API void advance_to(clock::time_point time);
  /// The same, until the next time that anything waits for; false if nothing does.
  ERRGROUP_API bool advance_to_next();
};

}  // namespace errgroup::testing

#endif  // ERRGROUP_TESTING_HPP
