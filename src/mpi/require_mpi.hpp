// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_REQUIRE_MPI_HPP
#define ERRGROUP_SRC_MPI_REQUIRE_MPI_HPP

namespace errgroup::inline v1::mpi::detail {

/// Throws, in words, unless MPI is initialised with MPI_THREAD_MULTIPLE and not finalised.
void require_mpi(char const* caller);

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_REQUIRE_MPI_HPP
