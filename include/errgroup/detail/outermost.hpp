// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_OUTERMOST_HPP
#define ERRGROUP_DETAIL_OUTERMOST_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/forced_unwind.hpp>

namespace errgroup::inline v1::detail {

/// Calls `f(argument)` from a function at which every search for a handler ends. So an exception
/// that leaves `f` terminates the process at once, and the stack of the throw is intact. (A
/// function that is noexcept terminates the process, too, but only after the stack was unwound up
/// to it.)
ERRGROUP_API void call_outermost(void (*f)(void*), void* argument);

#if defined(__cpp_exceptions)  // not in src/outermost.cpp
/// The same for a callable without arguments. If `body` ends its thread, the process terminates
/// with a message: without this handler, the thread would be gone without a trace. (For other
/// exceptions nothing changes: the handler does not match, so their stack is not unwound.)
template <class Body>
void call_outermost(Body& body) {
  call_outermost(
      [](void* p) {
        try {
          (*static_cast<Body*>(p))();
        } catch (forced_unwind const&) {
          refuse_end_of_thread();
        }
      },
      &body);
}
#endif

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_OUTERMOST_HPP
