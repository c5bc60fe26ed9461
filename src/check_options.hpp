// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_CHECK_OPTIONS_HPP
#define ERRGROUP_SRC_CHECK_OPTIONS_HPP

#include <errgroup/options.hpp>

#include <cstdint>  // int64_t

namespace errgroup::inline v1::detail {

/// Throws `std::invalid_argument`, in words, for options that no group can have.
[[noreturn]] void refuse(options const& opts);

/// The most threads that a group with `options::blocking` may have. Each has a place in an arena,
/// and oneTBB counts places in 16 bits. (Go's runtime allows as many threads by default.)
inline constexpr int most_blocking = 10'000;

/// True if these options may have `blocking`.
[[nodiscard]] inline bool can_block(options const& opts) noexcept {
  return opts.limit > 0 && opts.limit <= most_blocking && opts.arena == nullptr &&
         opts.limiter == nullptr;
}

/// Throws `std::invalid_argument`, in words, for a limit that no group can have, or no group with
/// threads of its own.
void check_new_limit(int limit, bool is_blocking);

/// Throws `std::invalid_argument`, in words: a task with a weight needs a limiter.
[[noreturn]] void refuse_weight(std::int64_t weight);

/// The same for a priority that is no enumerator.
[[noreturn]] void refuse_priority(int value);

inline void check(options const& opts) {
  bool const has_slot = opts.limit > 0 || opts.limit == unlimited;
  bool const has_budget =
      opts.max_failures == npos || (opts.max_failures != 0 && opts.policy == on_error::keep_going);
  bool const has_threads = !opts.blocking || can_block(opts);
  bool const has_two_arenas = opts.limiter != nullptr && opts.arena != nullptr;
  if (!has_slot || opts.max_errors == 0 || opts.progress != nullptr || !has_budget ||
      !has_threads || has_two_arenas) [[unlikely]] {
    refuse(opts);
  }
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_CHECK_OPTIONS_HPP
