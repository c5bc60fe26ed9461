# Checks of the source tree itself, made while configuring.

# Stops when a file that matches the pattern (relative to the project, subfolders included) is
# missing from the list of that name. Without this a forgotten header is found by the first user
# of the installed package.
function(errgroup_check_listed pattern list_name)
  file(GLOB_RECURSE present CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/${pattern}")
  foreach(file IN LISTS present)
    if(NOT file IN_LIST ${list_name})
      cmake_path(RELATIVE_PATH CMAKE_CURRENT_LIST_FILE BASE_DIRECTORY "${PROJECT_SOURCE_DIR}" OUTPUT_VARIABLE where)
      message(FATAL_ERROR "${file} is in the tree but not in the list in ${where}: add it there")
    endif()
  endforeach()
endfunction()

# Stops when the version macros in the header are not the project's version, and sets
# errgroup_abi_version to the header's ERRGROUP_ABI_VERSION. The header is plain
# text rather than generated, so that errgroup can be used from its source tree with any build.
function(errgroup_check_version header)
  set_property(
    DIRECTORY
    APPEND
    PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${header}"
  )
  file(READ "${PROJECT_SOURCE_DIR}/${header}" text)
  foreach(part IN ITEMS MAJOR MINOR PATCH)
    if(NOT text MATCHES "#define ERRGROUP_VERSION_${part} ([0-9]+)")
      message(FATAL_ERROR "${header} does not define ERRGROUP_VERSION_${part}")
    endif()
    if(NOT CMAKE_MATCH_1 EQUAL PROJECT_VERSION_${part})
      message(
        FATAL_ERROR
        "${header} says ERRGROUP_VERSION_${part} ${CMAKE_MATCH_1}, "
        "project() in CMakeLists.txt says ${PROJECT_VERSION}: make them agree"
      )
    endif()
  endforeach()
  if(NOT text MATCHES "#define ERRGROUP_ABI_VERSION ([0-9]+)")
    message(FATAL_ERROR "${header} does not define ERRGROUP_ABI_VERSION")
  endif()
  set(errgroup_abi_version ${CMAKE_MATCH_1} PARENT_SCOPE)
endfunction()
