# Sets errgroup_default_stacktrace: whether errgroup::stacktrace is built if the caller of CMake does
# not say so. A project that has errgroup as a subfolder asks for it; at the top level it is built if
# libdw is there.

set(errgroup_default_stacktrace OFF)
if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED ERRGROUP_BUILD_STACKTRACE)
  include(cmake/find_libdw.cmake)
  if(TARGET PkgConfig::errgroup_libdw)
    set(errgroup_default_stacktrace ON)
  else()
    message(
      STATUS
      "errgroup::stacktrace is not built: pkg-config does not find libdw of elfutils. "
      "If you need it, install libdw (Debian: apt-get install libdw-dev pkg-config), and "
      "configure with -DERRGROUP_BUILD_STACKTRACE=ON"
    )
  endif()
endif()
