// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_ADMISSION_HPP
#define ERRGROUP_ADMISSION_HPP

#include <errgroup/clock.hpp>

#include <stop_token>  // stop_token

namespace errgroup::inline v1 {

/// The answer of a group to a task that did not want to wait for room for ever: the result of
/// `group::try_run_for`, `group::try_run_until` and `group::run` with a stop token.
///
/// Only with `accepted` does the group have the task. With every other answer the callable was not
/// touched, and nothing is counted.
enum class admission {
  accepted,  ///< the group has the task, as after `run`
  full,      ///< there was no room until the end of the time
  stopped,   ///< the stop token was stopped, and there was no room then
  canceled,  ///< the group is cancelled, and takes no tasks
};

namespace detail {

/// For how long a submitter waits for room.
struct patience {
  /// Waits as long as `try_run` would refuse the task, until this time.
  clock::time_point until;
  /// If not null: waits as long as `run` would have to make room, until the token is stopped.
  std::stop_token const* stop = nullptr;
};

}  // namespace detail
}  // namespace errgroup::inline v1

#endif  // ERRGROUP_ADMISSION_HPP
