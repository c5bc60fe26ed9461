# Makes the target MPI::MPI_CXX, if CMake finds an MPI. Without the C++ bindings of old MPIs, which no
# source of errgroup uses.

set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI QUIET COMPONENTS CXX)
