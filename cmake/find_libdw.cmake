# Makes the target PkgConfig::errgroup_libdw, if pkg-config finds libdw of elfutils.

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(errgroup_libdw QUIET IMPORTED_TARGET GLOBAL libdw libelf)
endif()
