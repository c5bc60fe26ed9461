// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_FORCED_UNWIND_HPP
#define ERRGROUP_DETAIL_FORCED_UNWIND_HPP

/// What becomes of a task that ends its thread.
///
/// glibc's `pthread_exit`, and a `pthread_cancel` that takes effect, unwind the stack of the thread
/// with an exception of their own. A `catch (...)` catches it, and must throw it again. errgroup
/// cannot: the task's group would wait for ever, and oneTBB's worker would be gone. So each place
/// that calls user's code and catches what that throws has a handler for it, which terminates the
/// process with words. A handler costs nothing while nothing is thrown.
///
/// A function that is `noexcept`, such as a destructor, is not left in this way: the C++ runtime
/// terminates the process there, without words of errgroup.

#include <errgroup/detail/export.hpp>

#include <version>  // __GLIBCXX__
#if defined(__GLIBCXX__)
#include <cxxabi.h>  // __forced_unwind
#endif

namespace errgroup::detail {

#if defined(__GLIBCXX__)
using forced_unwind = abi::__forced_unwind;
#else
/// libc++ has no name for it: the handlers compile, and catch nothing. Then glibc terminates the
/// process at the end of the `catch (...)`, with words of its own.
class forced_unwind {
 public:
  forced_unwind() = delete;
};
#endif

/// Terminates the process, and says that a task must return.
[[noreturn]] ERRGROUP_API void refuse_end_of_thread() noexcept;

}  // namespace errgroup::detail

#endif  // ERRGROUP_DETAIL_FORCED_UNWIND_HPP
