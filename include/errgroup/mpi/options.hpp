// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_OPTIONS_HPP
#define ERRGROUP_MPI_OPTIONS_HPP

#include <errgroup/options.hpp>

#include <tbb/task_arena.h>  // task_arena

#include <chrono>       // nanoseconds
#include <cstddef>      // size_t
#include <optional>     // optional
#include <stop_token>   // stop_token
#include <string_view>  // string_view

namespace errgroup::inline v1::mpi {

/// How a group over ranks behaves: the members of `errgroup::options`, for the local group of this
/// rank, and `patience`. Each rank may have its own.
struct options {
  int limit = unlimited;               ///< as in `errgroup::options`, on this rank
  std::size_t queue = npos;            ///< as in `errgroup::options`
  on_error policy = on_error::cancel;  ///< with `keep_going`, a failure is told in `wait`
  keep errors = keep::first;           ///< with `all`: the errors of all ranks that failed
  std::size_t max_errors = 64;         ///< as in `errgroup::options`; of all ranks together
  std::stop_token stop = {};           ///< a stop request cancels all ranks
  std::optional<std::chrono::nanoseconds> timeout = {};  ///< cancels all ranks
  bool isolated = false;                                 ///< as in `errgroup::options`
  std::string_view name = {};                            ///< as in `errgroup::options`
  tbb::task_arena* arena = nullptr;                      ///< as in `errgroup::options`
  on_exception exceptions = on_exception::as_error;      ///< as in `errgroup::options`
  bool detached = false;                                 ///< as in `errgroup::options`
  errgroup::progress* progress = nullptr;                ///< as in `errgroup::options`
  std::size_t max_failures = npos;       ///< as in `errgroup::options`, on this rank
  bool blocking = false;                 ///< as in `errgroup::options`
  errgroup::limiter* limiter = nullptr;  ///< as in `errgroup::options`
  /// How long this rank waits for the other ranks: in the constructor, if this is the first group
  /// on its communicator, and in `wait`, from the moment at which its own tasks are done. Then the
  /// constructor throws, and `wait` returns, `errc::lost_rank`. Empty: as long as it takes.
  std::optional<std::chrono::nanoseconds> patience = {};
};

}  // namespace errgroup::inline v1::mpi

#endif  // ERRGROUP_MPI_OPTIONS_HPP
