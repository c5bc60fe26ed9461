// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_STACK_HPP
#define ERRGROUP_STACK_HPP

#include <errgroup/detail/export.hpp>

#include <atomic>     // atomic
#include <cstdint>    // uint_least32_t, uintptr_t
#include <exception>  // exception_ptr
#include <iosfwd>     // ostream
#include <string>     // string

namespace errgroup::inline v1 {

/// One call in the stack of a throw.
///
/// `function` and `file` are empty, and `line` is 0, if the program's symbols and debug information
/// do not tell. An inlined call has a frame of its own, too, with the address of the call into
/// which it was inlined.
struct stack_frame {
  std::uintptr_t address = 0;    ///< of the call, in this process
  std::string function = {};     ///< as in the source: `ns::f(int)`
  std::string file = {};         ///< the source file of the call
  std::uint_least32_t line = 0;  ///< the line of the call in `file`
};

/// `ns::f(int) at file.cpp:42`, or the address.
ERRGROUP_API std::ostream& operator<<(std::ostream& out, stack_frame const& frame);

namespace detail {

/// Takes the calls of a stack, one after the other.
using frame_sink = void (*)(void* to, stack_frame const& call);

/// The function of errgroup::stacktrace that reads the stack of an exception. It hands the calls to
/// `sink(to, call)`, the innermost call first. `exception` is not null. If no task threw the
/// exception, there are no calls.
///
/// It returns no vector: the caller may be compiled with `_GLIBCXX_DEBUG`, which gives vectors
/// another layout.
using stack_reader = void (*)(std::exception_ptr const& exception, frame_sink sink, void* to);

/// The sink that appends to a container of the caller. A template, so that its name in the object
/// file tells containers of different layouts apart.
template <class Calls>
void append_call(void* to, stack_frame const& call) {
  static_cast<Calls*>(to)->push_back(call);
}

/// Null unless errgroup::stacktrace is linked, which sets it before `main`.
extern ERRGROUP_API constinit std::atomic<stack_reader> read_stack;

/// True in a thread that is running a task of a group.
[[nodiscard]] ERRGROUP_API bool runs_task() noexcept;

}  // namespace detail
}  // namespace errgroup::inline v1

#endif  // ERRGROUP_STACK_HPP
