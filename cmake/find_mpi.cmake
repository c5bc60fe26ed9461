# Makes the target MPI::MPI_CXX, if CMake finds an MPI. Without the C++ bindings of old MPIs, which no
# source of errgroup uses.

set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI QUIET COMPONENTS CXX)

# For mpirun in tests. Open MPI starts more ranks than there are CPUs, and as root, only if it is asked
# to, and binds each rank to a CPU. Other MPIs ignore these variables.
set(errgroup_mpirun_environment
    OMPI_ALLOW_RUN_AS_ROOT=1
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    OMPI_MCA_rmaps_base_oversubscribe=1
    OMPI_MCA_hwloc_base_binding_policy=none
    OMPI_MCA_btl_vader_single_copy_mechanism=none
)
