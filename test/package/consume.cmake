# One consumer of errgroup, from nothing to a program that ran; KIND says which. Called by CTest
# with the variables that test/package/CMakeLists.txt passes.

cmake_policy(SET CMP0057 NEW)  # if(… IN_LIST …)

set(here "${CMAKE_CURRENT_LIST_DIR}")
set(prefix "${WORK}/prefix")
set(scratch "${WORK}/${KIND}")

# Runs a command; when it fails, the test fails with all it printed. Leaves its output in `output`.
macro(must)
  execute_process(
    COMMAND ${ARGN}
    RESULT_VARIABLE status
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output
  )
  if(NOT status EQUAL 0)
    string(REPLACE ";" " " line "${ARGN}")
    message("${output}")  # apart, because FATAL_ERROR breaks lines anew
    message(FATAL_ERROR "failed (${status}): ${line}")
  endif()
endmacro()

# Runs a command that has to fail and to print the words, which may be broken into lines anywhere.
macro(must_not words)
  execute_process(
    COMMAND ${ARGN}
    RESULT_VARIABLE status
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output
  )
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  string(FIND "${output}" "${words}" at)
  if(status EQUAL 0 OR at EQUAL -1)
    string(REPLACE ";" " " line "${ARGN}")
    message("${output}")
    message(FATAL_ERROR "this did not fail with \"${words}\": ${line}")
  endif()
endmacro()

# gdb has to find the script for the program by itself, if the folder `safe` is in its safe path. More
# arguments are commands. Leaves what gdb prints in `output`.
macro(run_in_gdb program safe)
  set(line "${GDB}" -nx -batch -iex "set debuginfod enabled off" -iex "set width 0")
  list(APPEND line -iex "add-auto-load-safe-path ${safe}")
  foreach(command IN ITEMS ${ARGN})
    list(APPEND line -ex "${command}")
  endforeach()
  must(${line} "${program}")
endmacro()

# What was printed last has the words.
macro(must_have_printed words)
  string(FIND "${output}" "${words}" at)
  if(at EQUAL -1)
    message("${output}")
    message(FATAL_ERROR "this was not printed: ${words}")
  endif()
endmacro()

# Puts the installed package before those that pkg-config knows already.
macro(set_pkg_config_path)
  find_program(pkg_config NAMES pkg-config pkgconf REQUIRED)
  cmake_path(CONVERT "${prefix}/${LIBDIR}/pkgconfig;$ENV{PKG_CONFIG_PATH}" TO_NATIVE_PATH_LIST path)
  set(ENV{PKG_CONFIG_PATH} "${path}")
endmacro()

# Has pkg-config find nothing at all.
macro(hide_pkg_config_packages)
  file(MAKE_DIRECTORY "${scratch}/nothing")
  set(ENV{PKG_CONFIG_PATH} "")
  set(ENV{PKG_CONFIG_LIBDIR} "${scratch}/nothing")
endmacro()

# Configures the project in `source` in a fresh folder and builds it there; more arguments go to
# the configure step.
macro(build source binary)
  file(REMOVE_RECURSE "${binary}")
  must(
    ${CMAKE_COMMAND} -S "${source}" -B "${binary}" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}"
    "-DCMAKE_CXX_FLAGS=${FLAGS}"
    "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}"
    "-DTBB_DIR=${TBB_DIR}"
    "-DERRGROUP_EXPECTED_VERSION=${VERSION}"
    ${ARGN}
  )
  must(${CMAKE_COMMAND} --build "${binary}")
endmacro()

# The same in a quarter of the time, for tests that are about something else than the compilation of
# the library: several sources in one compile command, and no optimisation. No warnings: some are
# wrong about such a file.
macro(build_quickly source binary)
  build(
    "${source}" "${binary}"
    -DCMAKE_BUILD_TYPE=None
    -DCMAKE_CXX_FLAGS=
    -DCMAKE_UNITY_BUILD=ON
    -DCMAKE_UNITY_BUILD_BATCH_SIZE=12
    ${ARGN}
  )
endmacro()

# Runs a program, and looks for its task in the trace that it has to write.
macro(must_trace file)
  file(REMOVE "${file}")
  must(${ARGN})
  file(READ "${file}" trace)
  string(FIND "${trace}" "\"name\":\"recorded\"" at)
  if(at EQUAL -1)
    message("${trace}")
    message(FATAL_ERROR "the task is not in ${file}")
  endif()
endmacro()

# Both consumers of errgroup::trace, in `binary`.
macro(trace_consumers_must_work binary)
  must_trace("${binary}/run.json" "${binary}/consumer" "${binary}/run.json")
  must_trace(
    "${binary}/silent.json"
    ${CMAKE_COMMAND} -E env "ERRGROUP_TRACE=${binary}/silent.json" "${binary}/silent"
  )
endmacro()

# Installs into one folder and moves the tree to another: nothing in it may know the first.
macro(install_and_move binary to)
  file(REMOVE_RECURSE "${WORK}/${KIND}-first-home" "${to}")
  must(${CMAKE_COMMAND} --install "${binary}" --prefix "${WORK}/${KIND}-first-home")
  file(RENAME "${WORK}/${KIND}-first-home" "${to}")
endmacro()

if(KIND STREQUAL "install")
  install_and_move("${BUILT}" "${prefix}")

  foreach(
    file IN ITEMS
    LICENSE README.md CHANGELOG.md SECURITY.md docs/guarantees.md docs/images/timeline.svg
    docs/decisions/0001-requests.md examples/CMakeLists.txt examples/readme.cpp
  )
    if(NOT EXISTS "${prefix}/${DOCDIR}/${file}")
      message(FATAL_ERROR "${DOCDIR}/${file} is not installed")
    endif()
  endforeach()

  # A package manager moves the tree, and its cache is used on other machines: no path of this one,
  # except in the data for debuggers.
  file(GLOB_RECURSE texts "${prefix}/*.cmake" "${prefix}/*.pc" "${prefix}/*.hpp")
  foreach(file IN LISTS texts)
    file(READ "${file}" text)
    foreach(path IN ITEMS "${ROOT}" "${BUILT}" "${WORK}")
      string(FIND "${text}" "${path}" at)
      if(NOT at EQUAL -1)
        message(FATAL_ERROR "${file} has the path ${path}")
      endif()
    endforeach()
  endforeach()

elseif(KIND STREQUAL "versions")
  # The version that is asked for, and whether 1.0.0 will do.
  set(configure ${CMAKE_COMMAND} --fresh -S "${here}/find_package" -B "${scratch}" -G "${GENERATOR}")
  list(APPEND configure "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DTBB_DIR=${TBB_DIR}")
  list(APPEND configure "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup")
  string(REGEX MATCH "^([0-9]+)\\.([0-9]+)" minor "${VERSION}")
  math(EXPR next_major "${CMAKE_MATCH_1} + 1")
  math(EXPR next_minor "${CMAKE_MATCH_2} + 1")
  foreach(wanted IN ITEMS "${CMAKE_MATCH_1}" "${minor}" "${VERSION}" "${minor}...<${next_major}")
    must(${configure} "-DERRGROUP_EXPECTED_VERSION=${wanted}")
  endforeach()
  foreach(wanted IN ITEMS "${next_major}.0" "${CMAKE_MATCH_1}.${next_minor}" "0.9")
    must_not(
      "is compatible with requested version \"${wanted}\""
      ${configure} "-DERRGROUP_EXPECTED_VERSION=${wanted}"
    )
    must_have_printed("version: ${VERSION}")
  endforeach()

elseif(KIND STREQUAL "installed_examples")
  # The copy of the examples in the installed tree, as the project that it is there.
  file(REMOVE_RECURSE "${scratch}")
  must(
    ${CMAKE_COMMAND} -S "${prefix}/${DOCDIR}/examples" -B "${scratch}" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_BUILD_TYPE=Debug" "-DTBB_DIR=${TBB_DIR}"
    "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup"
  )
  must(${CMAKE_COMMAND} --build "${scratch}" --target readme)
  must("${scratch}/readme" "${scratch}/CMakeCache.txt")
  must_have_printed(" bytes")

elseif(KIND STREQUAL "warnings")
  # Headers that are found with -I, as a subfolder's are, give no warnings to a program that wants
  # them all. packaging/README.md names the warnings of clang that make no sense for C++20.
  file(REMOVE_RECURSE "${scratch}")
  file(GLOB headers RELATIVE "${prefix}/include" "${prefix}/include/errgroup/*.hpp")
  list(LENGTH headers count)
  if(count LESS 30)
    message(FATAL_ERROR "${prefix}/include has only ${count} headers of errgroup")
  endif()
  if(NOT TRACE)
    list(REMOVE_ITEM headers errgroup/trace.hpp)
  endif()
  list(REMOVE_ITEM headers errgroup/mpi.hpp)  # wants the headers of an MPI
  list(TRANSFORM headers REPLACE "(.+)" "#include <\\1>\n")
  string(JOIN "" text ${headers})
  file(WRITE "${scratch}/every_header.hpp" "${text}")

  file(READ "${ROOT}/packaging/README.md" text)
  string(REGEX MATCH "-Weverything[^`]*" everything "${text}")
  separate_arguments(everything UNIX_COMMAND "${everything}")
  list(LENGTH everything count)
  if(count LESS 2)
    message(FATAL_ERROR "packaging/README.md has no -Weverything with the exceptions from it")
  endif()

  set(compile -std=c++20 -Werror "-I${prefix}/include" "-I${scratch}" "${here}/warnings/main.cpp")
  set(usual -Wall -Wextra -Wconversion -Wshadow -Wpedantic)
  find_program(gcc NAMES g++)
  find_program(clang NAMES clang++-19 clang++)
  if(gcc)
    must(
      ${gcc} ${usual} ${compile} -o "${scratch}/consumer"
      "-L${prefix}/${LIBDIR}" -lerrgroup -ltbb
    )
    must("${scratch}/consumer")
  endif()
  if(clang)
    must(${clang} -fsyntax-only ${usual} ${everything} ${compile})
    # The same command fails for a warning: here, for the one that is taken from the list.
    must_not(
      "-Wc++98-compat"
      ${clang} -fsyntax-only ${everything} -Wc++98-compat -Werror -std=c++20 "-I${prefix}/include"
      -x c++ "${scratch}/every_header.hpp"
    )
  endif()
  if(NOT gcc AND NOT clang)
    message(FATAL_ERROR "neither g++ nor clang++ is there")
  endif()

elseif(KIND STREQUAL "fetch_content")
  # A repository made of this tree, with the tag of the version, and a project that fetches it as
  # packaging/README.md says.
  find_program(git NAMES git REQUIRED)
  file(REMOVE_RECURSE "${scratch}")
  file(STRINGS "${ROOT}/include/errgroup/version.hpp" line REGEX "#define ERRGROUP_VERSION_SUFFIX ")
  string(REGEX REPLACE ".*\"(.*)\".*" "\\1" suffix "${line}")
  set(tag "v${VERSION}${suffix}")
  foreach(part IN ITEMS CMakeLists.txt cmake include src stacktrace trace gdb LICENSE README.md)
    file(COPY "${ROOT}/${part}" DESTINATION "${scratch}/repository")
  endforeach()
  set(commit ${git} -C "${scratch}/repository" -c user.name=test -c user.email=test@example.org)
  list(APPEND commit -c commit.gpgsign=false -c core.hooksPath=/dev/null)
  must(${git} init -q "${scratch}/repository")
  must(${commit} add .)
  must(${commit} commit -q -m "The tree")
  must(${commit} -c tag.gpgsign=false tag "${tag}")

  # The block of the document, with this repository instead of the placeholder.
  file(READ "${ROOT}/packaging/README.md" text)
  string(REGEX MATCH "include\\(FetchContent\\)\n[^`]*" block "${text}")
  string(FIND "${block}" "GIT_TAG ${tag}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "packaging/README.md has no FetchContent block with GIT_TAG ${tag}")
  endif()
  string(
    REGEX REPLACE "GIT_REPOSITORY [^\n]+" "GIT_REPOSITORY file://${scratch}/repository"
    block "${block}"
  )
  file(WRITE "${scratch}/project/fetch.cmake" "${block}")
  file(COPY "${here}/fetch_content/CMakeLists.txt" DESTINATION "${scratch}/project")
  file(COPY "${here}/consumer/main.cpp" DESTINATION "${scratch}/project")
  build_quickly("${scratch}/project" "${scratch}/build")
  must("${scratch}/build/app")

  # The project's own targets and its install have nothing of errgroup.
  must(${CMAKE_COMMAND} --build "${scratch}/build" --target help)
  string(FIND "${output}" "verify_interface_header_sets" at)
  if(NOT at EQUAL -1)
    message("${output}")
    message(FATAL_ERROR "errgroup adds the check of its headers to a project that fetches it")
  endif()
  must(${CMAKE_COMMAND} --install "${scratch}/build" --prefix "${scratch}/prefix")
  file(GLOB installed "${scratch}/prefix/*")
  if(installed)
    message(FATAL_ERROR "errgroup is installed with a project that fetches it: ${installed}")
  endif()

elseif(KIND STREQUAL "find_package")
  hide_pkg_config_packages()  # who does not ask for errgroup::stacktrace needs none of them
  build("${here}/find_package" "${scratch}" "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup")
  must("${scratch}/consumer")
  if(GDB)
    run_in_gdb("${scratch}/consumer" "${scratch}" "break main" run "errgroup groups")
    must_have_printed("No group is found.")
  endif()

elseif(KIND STREQUAL "debug_containers")
  # Consumers whose vectors have another layout than those of the libraries they link.
  build(
    "${here}/find_package" "${scratch}"
    "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup"
    "-DCMAKE_CXX_FLAGS=${FLAGS} -D_GLIBCXX_DEBUG"
  )
  must("${scratch}/consumer")
  if(STACKTRACE)
    build(
      "${here}/stacktrace" "${scratch}/stacktrace"
      "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup"
      "-DCMAKE_CXX_FLAGS=${FLAGS} -D_GLIBCXX_DEBUG"
    )
    must("${scratch}/stacktrace/consumer")
  endif()

elseif(KIND STREQUAL "pkg_config")
  set_pkg_config_path()
  must(${pkg_config} --exact-version=${VERSION} errgroup)
  must(${pkg_config} --cflags --libs errgroup)
  separate_arguments(link_line UNIX_COMMAND "${output}")
  separate_arguments(flags UNIX_COMMAND "${FLAGS}")
  file(MAKE_DIRECTORY "${scratch}")
  must(
    ${COMPILER} -std=c++20 ${flags} "-DEXPECTED_VERSION=\"${VERSION}\"" "${here}/consumer/main.cpp"
    -o "${scratch}/consumer" ${link_line}
  )
  must("${scratch}/consumer")

elseif(KIND STREQUAL "parts")
  # A program contains only the parts of the static library that it uses. Each program in parts/ names
  # those of the parts below that it contains; `everything` contains all. The linker drops no
  # sections here, so whole object files are missing. The programs are optimised: whether options
  # have a timeout is known to the compiler only then.
  set(function_of_timer "detail::(use_timer\\(|timer::)")
  set(function_of_timetable "detail::timetable::")
  set(function_of_cleanup "detail::cleanup::hand_over\\(")
  set(function_of_error_text "error::message[^ ]*\\(\\) const")
  set(function_of_error_context "error::with_context\\(")
  set(function_of_stacks "error::read_stack\\(")
  set(function_of_exception_group "exception_group::exception_group\\(errgroup::v1::error\\)")
  set(function_of_dump "errgroup::v1::dump\\(")
  set(function_of_progress "progress::progress\\(")
  set(function_of_retry "detail::pause_after\\(")
  set(function_of_spawn "detail::single_task::run\\(")
  set(function_of_pipeline "detail::pipeline_run::run\\(")
  set(function_of_pipeline_stats "detail::write_stats\\(")
  set(function_of_stream "detail::stream_core::begin_turn\\(")
  set(function_of_limiter "detail::(group_core::limiter_core|place_line)::")
  set(function_of_task_time "detail::group_core::run_in_time\\(")
  set(
    all_parts
    timer timetable cleanup error_text error_context stacks exception_group dump progress retry spawn
    pipeline pipeline_stats stream limiter task_time
  )
  set_pkg_config_path()
  must(${pkg_config} --cflags --libs errgroup)
  separate_arguments(link_line UNIX_COMMAND "${output}")
  separate_arguments(flags UNIX_COMMAND "${FLAGS}")
  file(MAKE_DIRECTORY "${scratch}")
  set(wrong "")
  file(GLOB sources "${here}/parts/*.cpp")
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM program)
    must(${COMPILER} -std=c++20 ${flags} -O2 "${source}" -o "${scratch}/${program}" ${link_line})
    must("${scratch}/${program}")
    file(STRINGS "${source}" lines REGEX "^// parts:")
    string(REGEX REPLACE "// parts:|;" " " expected "${lines}")
    separate_arguments(expected UNIX_COMMAND "${expected}")
    list(TRANSFORM expected REPLACE "^all$" "${all_parts}")
    must(${NM} -C --defined-only "${scratch}/${program}")
    foreach(part IN LISTS all_parts)
      if(part IN_LIST expected AND NOT output MATCHES "${function_of_${part}}")
        string(APPEND wrong "${program} does not contain ${part}\n")
      elseif(NOT part IN_LIST expected AND output MATCHES "${function_of_${part}}")
        string(APPEND wrong "${program} contains ${part}: ${CMAKE_MATCH_0}\n")
      endif()
    endforeach()
    list(REMOVE_ITEM expected ${all_parts})
    if(expected OR NOT lines)
      string(APPEND wrong "${program} names no parts, or parts that do not exist: ${expected}\n")
    endif()
  endforeach()
  if(wrong)
    message("${wrong}")
    message(FATAL_ERROR "these programs have other parts than they name")
  endif()

elseif(KIND STREQUAL "getting_started")
  # The project of docs/getting_started.md, as a reader types it.
  file(READ "${ROOT}/docs/getting_started.md" document)
  if(NOT document MATCHES "```cmake\n([^`]*)```")
    message(FATAL_ERROR "docs/getting_started.md shows no CMakeLists.txt")
  endif()
  file(WRITE "${scratch}/hello/CMakeLists.txt" "${CMAKE_MATCH_1}")
  file(COPY "${ROOT}/examples/getting_started/first.cpp" DESTINATION "${scratch}/hello")
  build("${scratch}/hello" "${scratch}/build" "-DCMAKE_PREFIX_PATH=${prefix}")
  must("${scratch}/build/first")
  must_have_printed("78498 primes below 1000000")

elseif(KIND STREQUAL "add_subdirectory")
  build_quickly("${here}/add_subdirectory" "${scratch}" "-DERRGROUP_ROOT=${ROOT}")
  must("${scratch}/consumer")

elseif(KIND STREQUAL "shared")
  build(
    "${ROOT}" "${scratch}/library"
    -DBUILD_SHARED_LIBS=ON
    -DERRGROUP_BUILD_TESTS=OFF
    -DERRGROUP_BUILD_EXAMPLES=OFF
    -DERRGROUP_BUILD_PERF=OFF
    -DERRGROUP_BUILD_STACKTRACE=${STACKTRACE}
    -DERRGROUP_BUILD_TRACE=${TRACE}
  )
  install_and_move("${scratch}/library" "${scratch}/prefix")
  build(
    "${here}/find_package" "${scratch}/consumer"
    "-Derrgroup_DIR=${scratch}/prefix/${LIBDIR}/cmake/errgroup"
  )
  must("${scratch}/consumer/consumer")
  if(GDB)
    run_in_gdb("${scratch}/consumer/consumer" "${scratch}/prefix" "break main" run "errgroup tasks")
    must_have_printed("No thread runs a task.")
  endif()
  if(STACKTRACE)
    build(
      "${here}/stacktrace" "${scratch}/stacktrace"
      "-Derrgroup_DIR=${scratch}/prefix/${LIBDIR}/cmake/errgroup"
    )
    must("${scratch}/stacktrace/consumer")
  endif()
  if(TRACE)
    build(
      "${here}/trace" "${scratch}/trace"
      "-Derrgroup_DIR=${scratch}/prefix/${LIBDIR}/cmake/errgroup"
    )
    trace_consumers_must_work("${scratch}/trace")
  endif()

  # Nothing but errgroup's own may leave the library: a host that has another copy of anything
  # else must keep using its own. Templates of the standard library are let through (libstdc++
  # marks its whole namespace visible; the loader merges them as it does for every library).
  must(${NM} -D --defined-only -C "${scratch}/prefix/${LIBDIR}/liberrgroup.so")
  string(REPLACE ";" "," output "${output}")
  string(REPLACE "\n" ";" symbols "${output}")
  set(own 0)
  set(strangers "")
  foreach(symbol IN LISTS symbols)
    # Address, kind, perhaps "vtable for" or a return type, and then the name.
    if(symbol MATCHES "^[0-9a-f]+ . ([^(<]* )?errgroup::")
      math(EXPR own "${own} + 1")
    elseif(symbol MATCHES " errgroup_layout_v[0-9]+$")
      # for debuggers
    elseif(symbol AND NOT symbol MATCHES "^[0-9a-f]+ [WVu] ([^(<]* )?(std|__gnu_cxx)::")
      string(APPEND strangers "${symbol}\n")
    endif()
  endforeach()
  if(own EQUAL 0)
    message("${output}")
    message(FATAL_ERROR "liberrgroup.so exports nothing of errgroup")
  endif()
  if(strangers)
    message("${strangers}")
    message(FATAL_ERROR "liberrgroup.so exports what is not errgroup's")
  endif()
  message(STATUS "${own} symbols of errgroup exported")

elseif(KIND STREQUAL "probes")
  build_quickly(
    "${ROOT}" "${scratch}/library"
    -DERRGROUP_SDT=ON
    -DERRGROUP_BUILD_TESTS=OFF
    -DERRGROUP_BUILD_EXAMPLES=OFF
    -DERRGROUP_BUILD_PERF=OFF
    -DERRGROUP_BUILD_STACKTRACE=OFF
  )
  install_and_move("${scratch}/library" "${scratch}/prefix")
  build(
    "${here}/probes" "${scratch}/consumer"
    "-Derrgroup_DIR=${scratch}/prefix/${LIBDIR}/cmake/errgroup"
  )
  must("${scratch}/consumer/consumer")

  # A task's probe is in the program, and a group's in the library.
  run_in_gdb(
    "${scratch}/consumer/consumer" "${scratch}"
    "break -probe-stap errgroup:task_begin" run
    "printf \"task %d %s\\n\", $_probe_arg1, $_probe_arg2" "errgroup tasks" delete
    "break -probe-stap errgroup:group_begin" run
    "printf \"group %s limit %d\\n\", $_probe_arg1, $_probe_arg2"
    "info probes stap errgroup"
  )
  must_have_printed("task 0 parse")
  must_have_printed("group job limit 2")
  foreach(
    probe IN ITEMS
    group_begin group_end first_error cancelled wait_begin wait_end task_begin task_end
  )
    must_have_printed("stap errgroup ${probe} ")
  endforeach()

elseif(KIND STREQUAL "stacktrace_find_package")
  build("${here}/stacktrace" "${scratch}/consumer" "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup")
  must("${scratch}/consumer/consumer")

  # An errgroup that was built without it, and a system without libdw, say so.
  set(
    configure
    ${CMAKE_COMMAND} --fresh -S "${here}/stacktrace" -B "${scratch}/fails" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DTBB_DIR=${TBB_DIR}"
    "-DERRGROUP_EXPECTED_VERSION=${VERSION}"
  )
  file(REMOVE_RECURSE "${scratch}/prefix")
  file(COPY "${prefix}" DESTINATION "${scratch}" PATTERN "errgroupStacktrace*" EXCLUDE)
  must_not(
    "this errgroup was built with ERRGROUP_BUILD_STACKTRACE=OFF"
    ${configure} "-Derrgroup_DIR=${scratch}/prefix/${LIBDIR}/cmake/errgroup"
  )
  hide_pkg_config_packages()
  must_not(
    "errgroup::stacktrace needs libdw of elfutils"
    ${configure} "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup"
  )

elseif(KIND STREQUAL "stacktrace_pkg_config")
  set_pkg_config_path()
  must(${pkg_config} --cflags --libs errgroup-stacktrace)
  separate_arguments(link_line UNIX_COMMAND "${output}")
  separate_arguments(flags UNIX_COMMAND "${FLAGS}")
  file(MAKE_DIRECTORY "${scratch}")
  must(
    ${COMPILER} -std=c++20 ${flags} "${here}/stacktrace/main.cpp" -o "${scratch}/consumer"
    ${link_line}
  )
  must("${scratch}/consumer")

elseif(KIND STREQUAL "stacktrace_add_subdirectory")
  build_quickly("${here}/stacktrace" "${scratch}" "-DERRGROUP_ROOT=${ROOT}")
  must("${scratch}/consumer")

elseif(KIND STREQUAL "trace_find_package")
  hide_pkg_config_packages()
  build("${here}/trace" "${scratch}/consumer" "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup")
  trace_consumers_must_work("${scratch}/consumer")

  # An errgroup that was built without it says so.
  file(REMOVE_RECURSE "${scratch}/prefix")
  file(COPY "${prefix}" DESTINATION "${scratch}" PATTERN "errgroupTrace*" EXCLUDE)
  must_not(
    "this errgroup was built with ERRGROUP_BUILD_TRACE=OFF"
    ${CMAKE_COMMAND} --fresh -S "${here}/trace" -B "${scratch}/fails" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DTBB_DIR=${TBB_DIR}"
    "-DERRGROUP_EXPECTED_VERSION=${VERSION}"
    "-Derrgroup_DIR=${scratch}/prefix/${LIBDIR}/cmake/errgroup"
  )

elseif(KIND STREQUAL "trace_pkg_config")
  set_pkg_config_path()
  must(${pkg_config} --cflags --libs errgroup-trace)
  separate_arguments(link_line UNIX_COMMAND "${output}")
  separate_arguments(flags UNIX_COMMAND "${FLAGS}")
  file(MAKE_DIRECTORY "${scratch}")
  foreach(program IN ITEMS main silent)
    must(
      ${COMPILER} -std=c++20 ${flags} "${here}/trace/${program}.cpp" -o "${scratch}/${program}"
      ${link_line}
    )
  endforeach()
  file(RENAME "${scratch}/main" "${scratch}/consumer")
  trace_consumers_must_work("${scratch}")

elseif(KIND STREQUAL "trace_add_subdirectory")
  build_quickly("${here}/trace" "${scratch}" "-DERRGROUP_ROOT=${ROOT}")
  trace_consumers_must_work("${scratch}")

elseif(KIND STREQUAL "mpi_find_package")
  build("${here}/mpi" "${scratch}/consumer" "-Derrgroup_DIR=${prefix}/${LIBDIR}/cmake/errgroup")
  must("${scratch}/consumer/consumer")

  # An errgroup that was built without it says so.
  file(REMOVE_RECURSE "${scratch}/prefix")
  file(COPY "${prefix}" DESTINATION "${scratch}" PATTERN "errgroupMpi*" EXCLUDE)
  must_not(
    "this errgroup was built with ERRGROUP_BUILD_MPI=OFF"
    ${CMAKE_COMMAND} --fresh -S "${here}/mpi" -B "${scratch}/fails" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DTBB_DIR=${TBB_DIR}"
    "-DERRGROUP_EXPECTED_VERSION=${VERSION}"
    "-Derrgroup_DIR=${scratch}/prefix/${LIBDIR}/cmake/errgroup"
  )

elseif(KIND STREQUAL "mpi_pkg_config")
  set_pkg_config_path()
  must(${pkg_config} --cflags --libs errgroup-mpi)
  separate_arguments(link_line UNIX_COMMAND "${output}")
  separate_arguments(flags UNIX_COMMAND "${FLAGS}")
  find_program(mpicxx NAMES mpicxx REQUIRED)
  file(MAKE_DIRECTORY "${scratch}")
  set(ENV{OMPI_CXX} "${COMPILER}")
  must(
    ${mpicxx} -std=c++20 ${flags} -Wno-error "${here}/mpi/main.cpp" -o "${scratch}/consumer"
    ${link_line}
  )
  must("${scratch}/consumer")

elseif(KIND STREQUAL "mpi_add_subdirectory")
  build_quickly("${here}/mpi" "${scratch}" "-DERRGROUP_ROOT=${ROOT}")

elseif(KIND STREQUAL "without_libdw")
  hide_pkg_config_packages()
  set(
    configure
    ${CMAKE_COMMAND} --fresh -S "${ROOT}" -B "${scratch}/build" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DTBB_DIR=${TBB_DIR}"
    -DERRGROUP_BUILD_TESTS=OFF -DERRGROUP_BUILD_EXAMPLES=OFF -DERRGROUP_BUILD_PERF=OFF
  )
  # Without a word of the caller it is left out; with ON, a missing libdw is an error.
  must(${configure})
  must_have_printed("errgroup::stacktrace is not built: pkg-config does not find libdw")
  must_not("configure with -DERRGROUP_BUILD_STACKTRACE=OFF" ${configure} -DERRGROUP_BUILD_STACKTRACE=ON)
  must(${configure} -DERRGROUP_BUILD_STACKTRACE=OFF)
  string(FIND "${output}" "errgroup::stacktrace is not built" at)
  if(NOT at EQUAL -1)
    message(FATAL_ERROR "with OFF there is nothing to say about libdw")
  endif()

else()
  message(FATAL_ERROR "no such consumer: ${KIND}")
endif()
