// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_STACKTRACE_SYMBOLS_HPP
#define ERRGROUP_STACKTRACE_SYMBOLS_HPP

#include "captures.hpp"
#include <errgroup/stack.hpp>

#include <vector>  // vector

namespace errgroup::inline v1::detail {

/// Functions, files and lines of these calls, as far as they can be told from what the process has
/// mapped now and from separate debug information that lies on this machine. Asks no server.
///
/// Threads: any, one at a time is served.
[[nodiscard]] std::vector<stack_frame> read_symbols(raw_stack const& stack);

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_STACKTRACE_SYMBOLS_HPP
