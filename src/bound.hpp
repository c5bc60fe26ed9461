// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_BOUND_HPP
#define ERRGROUP_SRC_BOUND_HPP

#include <errgroup/error.hpp>  // npos
#include <errgroup/options.hpp>

#include <tbb/task_arena.h>  // max_concurrency

#include <algorithm>  // max
#include <cstddef>    // size_t

// The bound of a pipeline and of a stream, from their options.

namespace errgroup::inline v1::detail {

/// The threads of the arena.
inline std::size_t threads_for(options const& opts) {
  return static_cast<std::size_t>(std::max(1, opts.arena != nullptr
                                                  ? opts.arena->max_concurrency()
                                                  : tbb::this_task_arena::max_concurrency()));
}

/// The limit; if none is given, the threads of the arena.
inline std::size_t limit_for(options const& opts) {
  return opts.limit > 0 ? static_cast<std::size_t>(opts.limit) : threads_for(opts);
}

/// The queue; if none is given, three times the limit.
inline std::size_t queue_for(options const& opts) {
  return opts.queue != npos ? opts.queue : 3 * limit_for(opts);
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_BOUND_HPP
