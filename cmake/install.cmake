# What `cmake --install` puts where: library, headers, the CMake package, errgroup.pc, the documents
# and the sources of the examples.

include(CMakePackageConfigHelpers)

set(errgroup_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/errgroup)

install(
  TARGETS errgroup
  EXPORT errgroupTargets
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
)
install(EXPORT errgroupTargets NAMESPACE errgroup:: DESTINATION ${errgroup_cmake_dir})

# In a file of its own, which is read if somebody asks for the component.
if(TARGET errgroup_stacktrace)
  install(
    TARGETS errgroup_stacktrace
    EXPORT errgroupStacktraceTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  )
  install(
    EXPORT errgroupStacktraceTargets
    NAMESPACE errgroup::
    DESTINATION ${errgroup_cmake_dir}
  )
endif()

# The script for gdb. For a shared library that has no copy of it, it is installed under the name of
# the library, too, in the folder auto-load of the data of a gdb with the same prefix.
install(FILES gdb/errgroup-gdb.py DESTINATION ${CMAKE_INSTALL_DATADIR}/errgroup/gdb)
if(errgroup_type STREQUAL "SHARED_LIBRARY" AND NOT ERRGROUP_EMBED_GDB_SCRIPT)
  set(errgroup_libdir "${CMAKE_INSTALL_LIBDIR}")
  if(NOT IS_ABSOLUTE "${errgroup_libdir}")
    set(errgroup_libdir "\${CMAKE_INSTALL_PREFIX}/${errgroup_libdir}")
  endif()
  set(errgroup_datadir "${CMAKE_INSTALL_DATADIR}")
  if(NOT IS_ABSOLUTE "${errgroup_datadir}")
    set(errgroup_datadir "\${CMAKE_INSTALL_PREFIX}/${errgroup_datadir}")
  endif()
  install(
    CODE
      "file(
        INSTALL \"${PROJECT_SOURCE_DIR}/gdb/errgroup-gdb.py\"
        DESTINATION \"${errgroup_datadir}/gdb/auto-load${errgroup_libdir}\"
        RENAME \"liberrgroup.so.${PROJECT_VERSION}-gdb.py\"
      )"
  )
endif()

# In a file of its own, too: it is not there if errgroup was built without it.
if(TARGET errgroup_trace)
  install(
    TARGETS errgroup_trace
    EXPORT errgroupTraceTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  )
  install(
    EXPORT errgroupTraceTargets
    NAMESPACE errgroup::
    DESTINATION ${errgroup_cmake_dir}
  )
endif()

# As the libraries above.
if(TARGET errgroup_mpi)
  install(
    TARGETS errgroup_mpi
    EXPORT errgroupMpiTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  )
  install(
    EXPORT errgroupMpiTargets
    NAMESPACE errgroup::
    DESTINATION ${errgroup_cmake_dir}
  )
endif()

configure_package_config_file(
  cmake/errgroupConfig.cmake.in errgroupConfig.cmake
  INSTALL_DESTINATION ${errgroup_cmake_dir}
)
write_basic_package_version_file(errgroupConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(
  FILES
    ${CMAKE_CURRENT_BINARY_DIR}/errgroupConfig.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/errgroupConfigVersion.cmake
  DESTINATION ${errgroup_cmake_dir}
)

# errgroup.pc finds its prefix from where it lies, so an installed tree can be moved. Only
# absolute folders, which no move could keep right, are written out.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(ERRGROUP_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  set(ERRGROUP_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(ERRGROUP_PC_PREFIX "\${pcfiledir}/${up}")
  set(ERRGROUP_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(ERRGROUP_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(ERRGROUP_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(ERRGROUP_PC_DEFINITION "")
if(errgroup_type STREQUAL "SHARED_LIBRARY")
  set(ERRGROUP_PC_DEFINITION " -DERRGROUP_SHARED")
endif()
configure_file(cmake/errgroup.pc.in errgroup.pc @ONLY)
install(
  FILES ${CMAKE_CURRENT_BINARY_DIR}/errgroup.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
)

if(TARGET errgroup_stacktrace)
  configure_file(cmake/errgroup-stacktrace.pc.in errgroup-stacktrace.pc @ONLY)
  install(
    FILES ${CMAKE_CURRENT_BINARY_DIR}/errgroup-stacktrace.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  )
endif()

if(TARGET errgroup_trace)
  configure_file(cmake/errgroup-trace.pc.in errgroup-trace.pc @ONLY)
  install(
    FILES ${CMAKE_CURRENT_BINARY_DIR}/errgroup-trace.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  )
endif()

if(TARGET errgroup_mpi)
  configure_file(cmake/errgroup-mpi.pc.in errgroup-mpi.pc @ONLY)
  install(
    FILES ${CMAKE_CURRENT_BINARY_DIR}/errgroup-mpi.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  )
endif()

# The folders are those of the tree, so that the links from one document to another work. (Links to
# sources that are not installed lead nowhere.) The examples are a project of their own there
# (examples/CMakeLists.txt). In a subfolder, CMAKE_INSTALL_DOCDIR is
# the folder of the project around errgroup.
set(errgroup_docdir ${CMAKE_INSTALL_DATAROOTDIR}/doc/errgroup)
if(PROJECT_IS_TOP_LEVEL)
  set(errgroup_docdir ${CMAKE_INSTALL_DOCDIR})
endif()
install(
  FILES LICENSE README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md
  DESTINATION ${errgroup_docdir}
)
install(FILES packaging/README.md DESTINATION ${errgroup_docdir}/packaging)
install(FILES perf/README.md DESTINATION ${errgroup_docdir}/perf)
install(
  DIRECTORY perf/results
  DESTINATION ${errgroup_docdir}/perf
  FILES_MATCHING
  PATTERN "*.md"
)
install(
  DIRECTORY docs
  DESTINATION ${errgroup_docdir}
  FILES_MATCHING
  PATTERN "*.md"
  PATTERN "images/*"
  PATTERN site EXCLUDE
)
install(
  DIRECTORY examples
  DESTINATION ${errgroup_docdir}
  FILES_MATCHING
  PATTERN "*.cpp"
  PATTERN "*.hpp"
  PATTERN "CMakeLists.txt"
  PATTERN "README.md"
)
