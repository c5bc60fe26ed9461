// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_ADMISSION_HPP
#define ERRGROUP_ADMISSION_HPP

#include <errgroup/clock.hpp>

#include <stop_token>  // stop_token

namespace errgroup::inline v1 {

/// Whether a group has accepted a task, and if not, why: the result of `group::try_run_for`,
/// `group::try_run_until`, and `group::run` with a stop token.
///
/// Unless the answer is `accepted`, the callable was not touched, and nothing is counted.
///
///     switch (g.try_run_for(100ms, f)) {
///       case errgroup::admission::accepted: break;
///       case errgroup::admission::full: return reply("busy, try again later");
///       default: return reply("the server ends");
///     }
///
/// There is no conversion to `bool`: `if (g.try_run_for(…))` does not compile.
enum class admission {
  accepted,  ///< the group has the task, as after `run`
  full,      ///< until the end of the time there was no room
  stopped,   ///< the submitter's stop token was stopped before there was room, or before the call
  canceled,  ///< the group is cancelled, and accepts no tasks until `group::reset`
};

namespace detail {

/// What ends the wait of a submitter for room.
struct patience {
  /// If `stop` is null: the submitter waits while `try_run` would refuse the task, until this time.
  clock::time_point until;
  /// If not null: the submitter waits while `run` would have to make room, until the token is
  /// stopped.
  std::stop_token const* stop = nullptr;
};

}  // namespace detail
}  // namespace errgroup::inline v1

#endif  // ERRGROUP_ADMISSION_HPP
