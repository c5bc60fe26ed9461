// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_COMPILER_HPP
#define ERRGROUP_DETAIL_COMPILER_HPP

// What errgroup needs of the compiler, checked here before another line can fail, and what the
// compiler says if a result is ignored. Every header includes this one first.

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "errgroup needs C++20: compile with -std=c++20 or later (CMAKE_CXX_STANDARD 20)"
#endif

// Clang says that it is GCC 4, too.
#if defined(__clang__)
#if __clang_major__ < 16
#error "errgroup needs Clang 16 or later, or GCC 12 or later"
#endif
#elif defined(__GNUC__) && __GNUC__ < 12
#error "errgroup needs GCC 12 or later, or Clang 16 or later"
#endif

// src/outermost.cpp is compiled without exceptions on purpose, and says so.
#if !defined(__cpp_exceptions) && !defined(ERRGROUP_BUILDS_OUTERMOST)
#error "errgroup needs exceptions, to carry errors out of tasks: compile without -fno-exceptions"
#endif

// A [[nodiscard]] for each kind of result. Its text says what is lost, and what to do.
#define ERRGROUP_NODISCARD_ERROR                                                            \
  nodiscard(                                                                                \
      "errgroup: nothing else tells what failed: look at it, `if (auto err = ...)`; if no " \
      "failure matters, write (void) before the call")
#define ERRGROUP_NODISCARD_RESULT                                                          \
  nodiscard(                                                                               \
      "errgroup: it holds the values, or why there are none: look at it, `if (!r) return " \
      "r.error();`; if neither matters, write (void) before the call")
#define ERRGROUP_NODISCARD_ANSWER                                                   \
  nodiscard(                                                                        \
      "errgroup: this only answers, and changes nothing: use the answer, or leave " \
      "the call out")
#define ERRGROUP_NODISCARD_COPY \
  nodiscard("errgroup: this leaves the object as it is, and returns another: use that one")
#define ERRGROUP_NODISCARD_MADE \
  nodiscard("errgroup: this only makes an error: return it, or give it to group::cancel")
#define ERRGROUP_NODISCARD_CHECK                             \
  nodiscard(                                                 \
      "errgroup: it says whether the caller was cancelled: " \
      "`if (auto err = errgroup::check()) return err;`")
#define ERRGROUP_NODISCARD_ACCEPTED \
  nodiscard("errgroup: false means that the task was not accepted, and never runs: look at it")
#define ERRGROUP_NODISCARD_ADMISSION                                                             \
  nodiscard(                                                                                     \
      "errgroup: only with admission::accepted was the task accepted; otherwise it never runs: " \
      "look at it")
#define ERRGROUP_NODISCARD_IN_TIME                                                        \
  nodiscard(                                                                              \
      "errgroup: false means that tasks are unfinished, and true does not mean success: " \
      "look at it, and ask `wait` for the error")
#define ERRGROUP_NODISCARD_CALLBACK                                                        \
  nodiscard(                                                                               \
      "errgroup: the function is not called any more once this object is destroyed: keep " \
      "it")
#define ERRGROUP_NODISCARD_HANDLE                                                          \
  nodiscard(                                                                               \
      "errgroup: the handle tells what the task returns: keep it; for a task whose value " \
      "is not needed, use group::run")

#endif  // ERRGROUP_DETAIL_COMPILER_HPP
