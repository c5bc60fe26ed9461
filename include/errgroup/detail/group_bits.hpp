// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_GROUP_BITS_HPP
#define ERRGROUP_DETAIL_GROUP_BITS_HPP

#include <cstdint>  // uint32_t

namespace errgroup::inline v1::detail {

/// The bits of `group_core::state`, beside `cancel_node::stopped`. docs/design.md tells of the
/// threads that set them.
struct group_bits {
  static constexpr std::uint32_t told = 8;            // a caller was told of the error
  static constexpr std::uint32_t unguarded = 16;      // on_exception::terminate
  static constexpr std::uint32_t due_waits = 32;      // a due task waits, or was just taken
  static constexpr std::uint32_t context_given = 64;  // the user has this context, or a parent's
  static constexpr std::uint32_t bound = 128;         // oneTBB cancels the context
  static constexpr std::uint32_t unbound = 256;       // the first use has still to bind the context
  // Other threads use the group, or it has failed: the destructor has something to tidy up.
  static constexpr std::uint32_t eventful = 512;
  static constexpr std::uint32_t isolated = 1024;  // options::isolated
  // The group is isolated, or was made in a task of a group with this bit: oneTBB marks the tasks
  // that its tasks spawn with an isolation region.
  static constexpr std::uint32_t in_region = 2048;
  static constexpr std::uint32_t orphan = 4096;     // the context is bound, to nothing
  static constexpr std::uint32_t resetting = 8192;  // `reset` changes the errors and the state
  // Every task goes through the queue, which has slots, a bound, or an arena of its own.
  static constexpr std::uint32_t counted = 16384;
  static constexpr std::uint32_t keeps_going = 32768;     // on_error::keep_going
  static constexpr std::uint32_t observed = 65536;        // an observer was set when it was made
  static constexpr std::uint32_t heard = 131072;          // `on_failure` was called
  static constexpr std::uint32_t placed = 1U << 18U;      // options::limiter
  static constexpr std::uint32_t over_limit = 1U << 19U;  // the limit was lowered below `running`

  /// The ways of a submitted task: into the queue; to oneTBB; to oneTBB from a task of this group,
  /// which the group does not count; to oneTBB, in an observed group.
  enum class path : std::uint8_t { queue, spawn, spawn_inside, spawn_observed };
  /// What the short way to wait has done. `refused`: nothing. `succeeded`: the whole wait, and
  /// there is no error. `undecided`: it has waited, but there may be an error; this thread is still
  /// counted in `waiters_`, so that no other waiter destroys the group.
  enum class short_wait : std::uint8_t { refused, succeeded, undecided };
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_GROUP_BITS_HPP
