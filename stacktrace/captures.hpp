// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_STACKTRACE_CAPTURES_HPP
#define ERRGROUP_STACKTRACE_CAPTURES_HPP

// The stacks that were captured, each as long as the exception that it belongs to.

#include <array>    // array
#include <cstddef>  // size_t
#include <cstdint>  // uintptr_t

namespace errgroup::inline v1::detail {

/// Where an exception was thrown: the calls that were under way, the innermost first. The innermost
/// ones only, if there were more than it holds.
struct raw_stack {
  static constexpr std::size_t most = 64;

  std::array<std::uintptr_t, most> calls;  // addresses within the calls
  std::size_t size = 0;
};

/// The stack that was captured when this exception object was thrown; an empty one if none was.
///
/// The exception has to live meanwhile. Threads: any. Never throws.
[[nodiscard]] raw_stack captured_stack(void const* exception) noexcept;

/// How many are kept now. For tests.
[[nodiscard]] std::size_t captured_stacks() noexcept;

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_STACKTRACE_CAPTURES_HPP
