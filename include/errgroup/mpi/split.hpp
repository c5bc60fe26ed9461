// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_SPLIT_HPP
#define ERRGROUP_MPI_SPLIT_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/mpi/detail/work.hpp>

#include <mpi.h>

#include <cstddef>  // size_t
#include <ranges>   // begin, borrowed_range, random_access_range, size, sized_range, subrange, ...

namespace errgroup::inline v1::mpi {
namespace detail {

part part_of_rank(MPI_Comm comm, std::size_t count);

}  // namespace detail

/// This rank's part of `range`: neighbouring elements, as many as on the other ranks, or one more.
/// The parts of all ranks of `comm`, in the order of the ranks, are the range, if the range has the
/// same size on all ranks.
///
///     for (auto const& cell : errgroup::mpi::split(cells, MPI_COMM_WORLD))
///       g.run([&] { return assemble(cell); });
///
/// The answer refers to the range. Of numbers, divide `std::views::iota(0, n)`. No message is sent;
/// if the elements cost very different times, use `mpi::for_each`.
///
/// Throws `std::logic_error` if MPI is not initialised, or finalised; `std::runtime_error` if it
///     does not have MPI_THREAD_MULTIPLE; `std::invalid_argument` for a null communicator.
template <std::ranges::random_access_range R>
  requires std::ranges::sized_range<R> && std::ranges::borrowed_range<R>
[[ERRGROUP_NODISCARD_ANSWER]] auto split(R&& range, MPI_Comm comm) {
  using difference = std::ranges::range_difference_t<R>;
  detail::part const mine =
      detail::part_of_rank(comm, static_cast<std::size_t>(std::ranges::size(range)));
  auto const begin = std::ranges::begin(range);
  return std::ranges::subrange(begin + static_cast<difference>(mine.first),
                               begin + static_cast<difference>(mine.last));
}

}  // namespace errgroup::inline v1::mpi

#endif  // ERRGROUP_MPI_SPLIT_HPP
