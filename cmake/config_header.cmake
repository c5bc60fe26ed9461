# A build with other choices than the defaults has a copy of detail/config.hpp with its choices. The
# copy takes the place of the file, in the build and in the install, so that the code that uses
# errgroup is compiled with the same choices.

include(CheckIncludeFileCXX)

check_include_file_cxx(sys/sdt.h ERRGROUP_HAS_SYS_SDT_H)
if(NOT ERRGROUP_HAS_SYS_SDT_H)
  message(
    FATAL_ERROR
    "ERRGROUP_SDT=ON needs <sys/sdt.h>, which the compiler does not find: install it "
    "(Debian: systemtap-sdt-dev), or configure with -DERRGROUP_SDT=OFF"
  )
endif()

set(defaults include/errgroup/detail/config.hpp)
file(READ ${defaults} text)
string(REPLACE "#define ERRGROUP_SDT 0\n" "#define ERRGROUP_SDT 1\n" chosen "${text}")
if(chosen STREQUAL text)
  message(FATAL_ERROR "${defaults} does not define ERRGROUP_SDT as 0")
endif()
set_property(
  DIRECTORY
  APPEND
  PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${defaults}"
)
file(CONFIGURE OUTPUT ${defaults} CONTENT "${chosen}" @ONLY)
list(REMOVE_ITEM errgroup_headers ${defaults})
list(APPEND errgroup_headers "${CMAKE_CURRENT_BINARY_DIR}/${defaults}")
# In front, so that it is found first.
list(PREPEND errgroup_header_dirs "${CMAKE_CURRENT_BINARY_DIR}/include")
