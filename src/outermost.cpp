// SPDX-License-Identifier: Apache-2.0
#define ERRGROUP_BUILDS_OUTERMOST  // compiled without exceptions: see below
#include <errgroup/detail/outermost.hpp>

// This file is compiled without unwind information (see CMakeLists.txt). An exception that gets
// here finds no way on: the search for a handler, which comes before anything is unwound, ends, and
// the C++ library terminates the process in the place that threw.

namespace errgroup::inline v1::detail {

void call_outermost(void (*f)(void*), void* argument) {
  f(argument);
  // Not a jump to `f`: then this function would not be on the stack.
  asm volatile("" ::: "memory");
}

}  // namespace errgroup::inline v1::detail
