// SPDX-License-Identifier: Apache-2.0
#include "require_mpi.hpp"
#include <errgroup/mpi/environment.hpp>

#include <mpi.h>

#include <stdexcept>  // logic_error, runtime_error
#include <string>     // string

namespace errgroup::inline v1::mpi {
namespace {

char const* level_name(int level) noexcept {
  switch (level) {
    case MPI_THREAD_SINGLE:
      return "MPI_THREAD_SINGLE";
    case MPI_THREAD_FUNNELED:
      return "MPI_THREAD_FUNNELED";
    case MPI_THREAD_SERIALIZED:
      return "MPI_THREAD_SERIALIZED";
    default:
      return "an unknown level";
  }
}

void require_level(char const* caller, int level) {
  if (level != MPI_THREAD_MULTIPLE) {
    throw std::runtime_error(std::string(caller) + ": MPI is initialised with " +
                             level_name(level) +
                             ", but groups call MPI from several threads: initialise it with "
                             "MPI_THREAD_MULTIPLE, or use an MPI that was built for it");
  }
}

}  // namespace

void detail::require_mpi(char const* caller) {
  int is_initialized = 0;
  int is_finalized = 0;
  MPI_Initialized(&is_initialized);
  MPI_Finalized(&is_finalized);
  if (is_initialized == 0) {
    throw std::logic_error(std::string(caller) +
                           ": MPI is not initialised: make an errgroup::mpi::environment first");
  }
  if (is_finalized != 0) {
    throw std::logic_error(std::string(caller) +
                           ": MPI is finalised: it is used after the end of the environment");
  }
  int level = MPI_THREAD_SINGLE;
  MPI_Query_thread(&level);
  require_level(caller, level);
}

environment::environment(int& argc, char**& argv) {
  constexpr char const* me = "errgroup::mpi::environment";
  int is_initialized = 0;
  MPI_Initialized(&is_initialized);
  if (is_initialized != 0) {
    detail::require_mpi(me);
    return;
  }
  int level = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  try {
    require_level(me, level);
  } catch (...) {
    MPI_Finalize();
    throw;
  }
  is_mine_ = true;
}

environment::~environment() {
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_mine_ && is_finalized == 0) {
    MPI_Finalize();
  }
}

}  // namespace errgroup::inline v1::mpi
