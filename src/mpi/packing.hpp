// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_PACKING_HPP
#define ERRGROUP_SRC_MPI_PACKING_HPP

#include <errgroup/error.hpp>

#include <cstddef>      // size_t
#include <string>       // string
#include <string_view>  // string_view

namespace errgroup::inline v1::mpi::detail {

/// The most bytes that an error takes on its way to another rank.
inline constexpr std::size_t most_bytes = std::size_t{64} << 10U;

/// An error as bytes: code and category by name, words, contexts, origin, stack as text, and the
/// other failures. Long texts are cut, and failures for which there is no room are counted as
/// dropped. Throws `std::bad_alloc`.
std::string pack(error const& e);
/// The error in `bytes`, which came from `rank`. Its origin has a path that begins with the rank.
/// Bytes that `pack` has not made are an error, too, which says so. Throws `std::bad_alloc`.
error unpack(std::string_view bytes, int rank);

/// An error of this rank, as `unpack` would give it: with the rank in the path of each origin, but
/// with its own exceptions. Throws `std::bad_alloc`.
error on_rank(error const& e, int rank);

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_PACKING_HPP
