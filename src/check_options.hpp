// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_CHECK_OPTIONS_HPP
#define ERRGROUP_SRC_CHECK_OPTIONS_HPP

#include <errgroup/options.hpp>

namespace errgroup::inline v1::detail {

/// Throws `std::invalid_argument`, in words, for options that no group can have.
[[noreturn]] void refuse(options const& opts);

inline void check(options const& opts) {
  bool const has_slot = opts.limit > 0 || opts.limit == unlimited;
  bool const has_budget =
      opts.max_failures == npos || (opts.max_failures != 0 && opts.policy == on_error::keep_going);
  if (!has_slot || opts.max_errors == 0 || opts.progress != nullptr || !has_budget) [[unlikely]] {
    refuse(opts);
  }
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_CHECK_OPTIONS_HPP
