# Sets errgroup_default_mpi: whether errgroup::mpi is built if the caller of CMake does not say so. A
# project that has errgroup as a subfolder asks for it; at the top level it is built if MPI is there.

set(errgroup_default_mpi OFF)
if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED ERRGROUP_BUILD_MPI)
  include(cmake/find_mpi.cmake)
  if(TARGET MPI::MPI_CXX)
    set(errgroup_default_mpi ON)
  else()
    message(
      STATUS
      "errgroup::mpi is not built: CMake does not find an MPI. If you need it, install one "
      "(Debian: apt-get install openmpi-bin libopenmpi-dev), and configure with "
      "-DERRGROUP_BUILD_MPI=ON"
    )
  endif()
endif()
