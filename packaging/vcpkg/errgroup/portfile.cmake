# An overlay port: the sources are the tree in which this file lies. In a registry,
# vcpkg_from_github or vcpkg_from_git sets SOURCE_PATH instead.
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../.." ABSOLUTE)
if(NOT EXISTS "${SOURCE_PATH}/include/errgroup/version.hpp")
  message(
    FATAL_ERROR
    "${SOURCE_PATH} is not the tree of errgroup: use this port in its tree with "
    "--overlay-ports=packaging/vcpkg, or set SOURCE_PATH with vcpkg_from_git"
  )
endif()

vcpkg_check_features(
  OUT_FEATURE_OPTIONS feature_options
  FEATURES
    stacktrace ERRGROUP_BUILD_STACKTRACE
    trace ERRGROUP_BUILD_TRACE
)

set(pkg_config "")
if("stacktrace" IN_LIST FEATURES)
  vcpkg_find_acquire_program(PKGCONFIG)  # finds libdw
  set(pkg_config "-DPKG_CONFIG_EXECUTABLE=${PKGCONFIG}")
endif()

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    ${feature_options}
    ${pkg_config}
    -DERRGROUP_BUILD_EXAMPLES=OFF
    -DERRGROUP_BUILD_MPI=OFF
    -DERRGROUP_BUILD_PERF=OFF
    -DERRGROUP_BUILD_TESTS=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/errgroup)
vcpkg_fixup_pkgconfig()

file(
  REMOVE_RECURSE
  "${CURRENT_PACKAGES_DIR}/debug/include"
  "${CURRENT_PACKAGES_DIR}/debug/share"
  "${CURRENT_PACKAGES_DIR}/share/doc"
)
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
