# Passes if SOURCE compiles with -DERRGROUP_COMPILE_OK, and without it fails with every message
# that its `// expect: <regex>` lines ask for. Besides, if SOURCE has such lines:
#
#   // flags: <more>     for the compilation that has to fail
#   // first: <regex>    the compiler's first error matches
#   // never: <regex>    nothing that the compiler says matches
#
#   cmake -DCOMPILER=g++ -DCOMPILER_ID=GNU -DSOURCE=x.cpp "-DINCLUDES=include;other" -P check.cmake

# The compilers translate their messages and their quotation marks.
set(ENV{LC_ALL} C)

# -I also for the folders of other libraries: GCC and Clang ignore it for a folder they search
# anyway, where -isystem would change the order and break #include_next. A discarded
# [[nodiscard]] is an error here, so that "must not be ignored" can be written as a program.
list(TRANSFORM INCLUDES PREPEND -I)
set(compile
    ${COMPILER} -std=c++20 -fsyntax-only -fdiagnostics-color=never -Werror=unused-result ${INCLUDES}
)

# Clang stops after 20 errors, GCC never does.
if(COMPILER_ID MATCHES "Clang")
  list(APPEND compile -ferror-limit=0)
endif()

file(STRINGS "${SOURCE}" expectations REGEX "^// expect: ")
if(NOT expectations)
  message(FATAL_ERROR "${SOURCE} has no `// expect: <regex>` line")
endif()

execute_process(
  COMMAND ${compile} -DERRGROUP_COMPILE_OK "${SOURCE}"
  RESULT_VARIABLE status
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output
)
if(NOT status EQUAL 0)
  message("${output}")  # apart, because FATAL_ERROR breaks lines anew
  message(FATAL_ERROR "the corrected program has to compile, but does not")
endif()

file(STRINGS "${SOURCE}" flags REGEX "^// flags: ")
string(REGEX REPLACE "^// flags: " "" flags "${flags}")
separate_arguments(flags)

execute_process(
  COMMAND ${compile} ${flags} "${SOURCE}"
  RESULT_VARIABLE status
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output
)
if(status EQUAL 0)
  message(FATAL_ERROR "this program must not compile, but does")
endif()
# Only what the compiler itself says counts: it also quotes the source, and a message must not be
# found in its own expectation, nor in a static_assert that did not fail.
# What it instantiates is said in a note by Clang, and in a line of its own by GCC.
string(REGEX MATCHALL "[^\n]*: (fatal error: |error: |warning: |note: |In instantiation of )[^\n]*" said
       "${output}"
)

file(STRINGS "${SOURCE}" unwanted REGEX "^// never: ")
foreach(line IN LISTS unwanted)
  string(REGEX REPLACE "^// never: " "" words "${line}")
  if(said MATCHES "${words}")
    message("${output}")
    message(FATAL_ERROR "the compiler says `${CMAKE_MATCH_0}`, and should not")
  endif()
endforeach()

file(STRINGS "${SOURCE}" first REGEX "^// first: ")
if(first)
  string(REGEX REPLACE "^// first: " "" first "${first}")
  string(REGEX MATCH "[^\n]*: (fatal error|error): [^\n]*" first_error "${output}")
  if(NOT first_error MATCHES "${first}")
    message("${output}")
    message(FATAL_ERROR "the first error is not `${first}`")
  endif()
  message(STATUS "said first: ${CMAKE_MATCH_0}")
endif()

foreach(line IN LISTS expectations)
  string(REGEX REPLACE "^// expect: " "" expectation "${line}")
  if(NOT said MATCHES "${expectation}")
    message("${output}")
    message(FATAL_ERROR "fails to compile, but nothing says `${expectation}`")
  endif()
  message(STATUS "said: ${CMAKE_MATCH_0}")
endforeach()
