// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_STACKTRACE_THROWER_HPP
#define ERRGROUP_TEST_STACKTRACE_THROWER_HPP

// A shared library that throws, linked at start; plugin.cpp is one that is opened later.

namespace thrower {

void throw_in_library();
extern int const line_of_throw_in_library;

/// Throws what only the library knows, a std::exception.
void throw_local_type();

/// Of another file, before and behind the others in memory. They throw nothing.
int neighbour_before(int n);
int neighbour_behind(int n);

}  // namespace thrower

#endif  // ERRGROUP_TEST_STACKTRACE_THROWER_HPP
