// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_STACK_HPP
#define ERRGROUP_STACK_HPP

#include <errgroup/detail/export.hpp>

#include <atomic>     // atomic
#include <cstdint>    // uint_least32_t, uintptr_t
#include <exception>  // exception_ptr
#include <iosfwd>     // ostream
#include <string>     // string
#include <vector>     // vector

namespace errgroup {

/// One call in the stack of a place that threw.
///
/// `function`, `file` and `line` are empty and 0 where the program's symbols and debug information
/// do not tell. There is one for each call that was inlined, too, with the address of the call that
/// it was inlined into.
struct stack_frame {
  std::uintptr_t address = 0;  ///< of the call, in this process
  std::string function = {};   ///< as in the source: `ns::f(int)`
  std::string file = {};
  std::uint_least32_t line = 0;
};

/// `ns::f(int) at file.cpp:42`, or the address.
ERRGROUP_API std::ostream& operator<<(std::ostream& out, stack_frame const& frame);

namespace detail {

/// What errgroup::stacktrace, if it is linked, reads the stack of an exception with: the innermost
/// call first. Not null and no task's exception: an empty one.
using stack_reader = std::vector<stack_frame> (*)(std::exception_ptr const& exception);

/// Null unless errgroup::stacktrace is linked, which sets it before `main`.
extern ERRGROUP_API constinit std::atomic<stack_reader> read_stack;

/// True in a thread that is running a task of a group.
[[nodiscard]] ERRGROUP_API bool runs_task() noexcept;

}  // namespace detail
}  // namespace errgroup

#endif  // ERRGROUP_STACK_HPP
