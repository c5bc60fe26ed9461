// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_FOR_EACH_HPP
#define ERRGROUP_MPI_FOR_EACH_HPP

#include <errgroup/detail/bulk.hpp>
#include <errgroup/detail/compiler.hpp>
#include <errgroup/error.hpp>
#include <errgroup/for_each.hpp>
#include <errgroup/mpi/detail/work.hpp>
#include <errgroup/mpi/options.hpp>

#include <mpi.h>

#include <cstddef>          // size_t
#include <source_location>  // source_location
#include <type_traits>      // remove_reference_t

namespace errgroup::inline v1::mpi {

/// Calls `f(i)`, or `f(i, std::stop_token)`, once for each `i` from 0 to `count - 1`, on any rank
/// of `comm`, and waits for all ranks. The order is not defined, nor which rank calls `f` for which
/// `i`.
///
///     auto err = errgroup::mpi::for_each(MPI_COMM_WORLD, {.name = "render"}, rows,
///                                        [&](std::size_t row) { return render(row); });
///
/// Each rank takes one chunk of neighbouring elements after the other. A rank whose elements cost
/// more takes fewer chunks. There are 16 chunks for each rank, or as many as there are elements. On
/// the elements of a chunk a rank works as `errgroup::for_each` does, with several threads.
///
/// The first failure of any rank cancels all ranks; which failure is the first, and what the error
/// is on the other ranks, is as for `mpi::group`. `error::origin().index` is the number of the
/// element, on every rank. With `on_error::keep_going`, `f` is called for all elements. A call in a
/// task is cancelled with the task. `error::skipped` is the number of elements without a call in
/// the chunks that this rank had begun; no rank counts the elements of a chunk that no rank has
/// begun.
///
/// `limit`, `queue`, `arena`, `isolated`, `exceptions`, `progress`, `blocking` and `limiter` are
/// for the calls of `f` on this rank; `max_failures` is for each chunk of this rank. A rank with
/// `patience` waits when no chunk is left: so `patience` has to be longer than a chunk of another
/// rank takes.
///
/// Collective: all ranks of `comm` call it with the same `count`, in the same order as other groups
/// on `comm`. With another `count` on some rank, the error is `std::errc::invalid_argument`.
///
/// Throws `std::invalid_argument` for an empty `std::function`, on this rank only: the other ranks
///     then wait; what the constructor of `mpi::group` throws; `std::bad_alloc`.
/// Threads: any, tasks of a group included.
/// Cost: an `errgroup::for_each` and a message to rank 0 and back for each chunk. The rank asks for
///     a chunk while it works on the chunk before. Rank 0 answers when it takes a chunk itself, and
///     after at most a pause of the watcher (`set_poll`).
template <class F>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    MPI_Comm comm, options const& opts, std::size_t count, F&& f,
    std::source_location where = std::source_location::current()) {
  namespace core = errgroup::detail;
  using callable = std::remove_reference_t<F>;
  core::require_for_each<std::size_t, callable>();
  if (core::is_null(f)) {
    core::refuse_argument("errgroup: for_each of an empty function");
  }
  errgroup::options const inner = detail::options_of_chunk(opts);
  core::counted_source<std::size_t> const all{count};
  detail::work over_ranks(comm, opts, count, count, where);
  return over_ranks.run(
      [&](detail::part const& chunk) {
        return core::for_each_in<std::size_t, callable>(
            inner, f, core::without_names(), where, [&](core::bulk& b, auto const& each) {
              b.split(core::counted_source<std::size_t>{chunk.size()},
                      [&](core::pace& mine, std::size_t first, std::size_t last, auto const&) {
                        each(mine, chunk.first + first, chunk.first + last, all);
                      });
              return b.finish(chunk.size());
            });
      },
      [] { return error(); });
}

}  // namespace errgroup::inline v1::mpi

#endif  // ERRGROUP_MPI_FOR_EACH_HPP
