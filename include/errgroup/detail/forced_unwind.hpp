// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_FORCED_UNWIND_HPP
#define ERRGROUP_DETAIL_FORCED_UNWIND_HPP

/// How errgroup treats a task that ends its thread.
///
/// glibc's `pthread_exit`, and a `pthread_cancel` that takes effect, unwind the stack of the thread
/// with a special exception. A `catch (...)` catches this exception, and must throw it again.
/// errgroup cannot: the task's group would wait for ever, and oneTBB's worker would be gone. So
/// each place that calls user code and catches its exceptions has a handler for this exception,
/// too. The handler terminates the process with a message. It costs nothing while nothing is
/// thrown.
///
/// This exception cannot leave a `noexcept` function, such as a destructor: there, the C++ runtime
/// terminates the process, without a message of errgroup.

#include <errgroup/detail/export.hpp>

#include <version>  // __GLIBCXX__
#if defined(__GLIBCXX__)
#include <cxxabi.h>  // __forced_unwind
#endif

namespace errgroup::inline v1::detail {

#if defined(__GLIBCXX__)
using forced_unwind = abi::__forced_unwind;
#else
/// libc++ has no name for this exception: the handlers compile, and catch nothing. Then glibc
/// terminates the process at the end of the `catch (...)`, with its own message.
class forced_unwind {
 public:
  forced_unwind() = delete;
};
#endif

/// Terminates the process, and says that a task must return.
[[noreturn]] ERRGROUP_API void refuse_end_of_thread() noexcept;

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_FORCED_UNWIND_HPP
