// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_CHECK_OPTIONS_HPP
#define ERRGROUP_SRC_CHECK_OPTIONS_HPP

#include <errgroup/options.hpp>

#include <cstdint>  // int64_t

namespace errgroup::inline v1::detail {

/// Throws `std::invalid_argument`, in words, for options that no group can have.
[[noreturn]] void refuse(options const& opts);

/// Throws `std::invalid_argument`, in words: a task with a weight needs a limiter.
[[noreturn]] void refuse_weight(std::int64_t weight);

inline void check(options const& opts) {
  bool const has_slot = opts.limit > 0 || opts.limit == unlimited;
  bool const has_two_arenas = opts.limiter != nullptr && opts.arena != nullptr;
  if (!has_slot || opts.max_errors == 0 || opts.progress != nullptr || has_two_arenas)
      [[unlikely]] {
    refuse(opts);
  }
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_CHECK_OPTIONS_HPP
