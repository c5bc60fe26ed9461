// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_LOST_ERROR_HPP
#define ERRGROUP_LOST_ERROR_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/error.hpp>

namespace errgroup::inline v1 {

/// The type of a handler for lost errors.
using lost_error_handler = void (*)(error const&);

/// Sets the handler for lost errors, and returns the previous handler. An error is lost if its
/// group is destroyed before a `wait` has returned the error. Null means that no handler is called,
/// as at the start of the program.
///
/// For example, a test suite can make lost errors fatal:
///
///     errgroup::set_lost_error_handler([](errgroup::error const& e) {
///       std::cerr << "lost: " << e << '\n';
///       std::abort();
///     });
///
/// The group's destructor calls the handler, when the group's tasks are done. An exception from the
/// handler terminates the process. (`reset` forgets an error without calling the handler.) A
/// cancellation alone, by `cancel()`, from above, or by the destructor itself, is not an error that
/// can be lost. A cause that was given to `cancel` is such an error.
///
/// Threads: any. The handler may be called by several threads at once.
ERRGROUP_API lost_error_handler set_lost_error_handler(lost_error_handler handler) noexcept;

namespace detail {

[[nodiscard]] lost_error_handler current_lost_error_handler() noexcept;

}  // namespace detail

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_LOST_ERROR_HPP
