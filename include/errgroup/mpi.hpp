// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_HPP
#define ERRGROUP_MPI_HPP

/// Groups over the ranks of an MPI program: the first error of any rank cancels all ranks. Part of
/// the library errgroup::mpi, which a program links beside errgroup.

#include <errgroup/mpi/environment.hpp>  // IWYU pragma: export
#include <errgroup/mpi/error.hpp>        // IWYU pragma: export
#include <errgroup/mpi/for_each.hpp>     // IWYU pragma: export
#include <errgroup/mpi/group.hpp>        // IWYU pragma: export
#include <errgroup/mpi/operation.hpp>    // IWYU pragma: export
#include <errgroup/mpi/options.hpp>      // IWYU pragma: export
#include <errgroup/mpi/reduce.hpp>       // IWYU pragma: export
#include <errgroup/mpi/split.hpp>        // IWYU pragma: export

#endif  // ERRGROUP_MPI_HPP
