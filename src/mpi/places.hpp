// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_PLACES_HPP
#define ERRGROUP_SRC_MPI_PLACES_HPP

#include <cstdint>          // uint_least32_t
#include <source_location>  // source_location
#include <string_view>      // string_view

namespace errgroup::inline v1::mpi::detail {

/// A source location with these contents, which came from another rank. The texts live until the
/// process ends; equal places share theirs. A location without a line if this compiler's locations
/// have another layout. Throws `std::bad_alloc`.
std::source_location place_of(std::string_view file, std::string_view function,
                              std::uint_least32_t line, std::uint_least32_t column);

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_PLACES_HPP
