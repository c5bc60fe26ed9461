// SPDX-License-Identifier: Apache-2.0
#include "stacktrace/thrower.hpp"

namespace thrower {

// The linker puts this section before all others, and what is in the usual one in order of files.
[[gnu::section(".text.unlikely")]] int neighbour_before(int n) { return n + 1; }

int neighbour_behind(int n) { return n + 2; }

}  // namespace thrower
