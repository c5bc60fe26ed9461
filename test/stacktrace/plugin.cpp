// SPDX-License-Identifier: Apache-2.0
// A shared library that the test opens while it runs. Its twin has other names for the same code at
// the same addresses.

#include <stdexcept>  // runtime_error

#ifdef ERRGROUP_TEST_TWIN
#define throw_in_plugin throw_in_the_twin
#endif

extern "C" {

void throw_in_plugin();
extern int const line_of_throw_in_plugin;

int const line_of_throw_in_plugin = __LINE__ + 1;
[[gnu::noinline]] void throw_in_plugin() { throw std::runtime_error("thrown in a plugin"); }

}  // extern "C"
