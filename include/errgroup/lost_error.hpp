// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_LOST_ERROR_HPP
#define ERRGROUP_LOST_ERROR_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/error.hpp>

namespace errgroup {

/// What `set_lost_error_handler` sets.
using lost_error_handler = void (*)(error const&);

/// Sets who is told of errors that nobody was told of: of a group that had failed, and was
/// destroyed without a `wait` that returned the error. Returns who was told until now. Null, as at
/// the start of the program: nobody.
///
/// So a test suite can make them fatal:
///
///     errgroup::set_lost_error_handler([](errgroup::error const& e) {
///       std::cerr << "lost: " << e << '\n';
///       std::abort();
///     });
///
/// It is called in the group's destructor, when its tasks are done: an exception from it
/// terminates. (`reset` forgets an error without a word.) A cancellation alone, by `cancel()`, from
/// above, or by the destructor itself, is not an error that could be lost; a cause that was given
/// to `cancel` is one.
///
/// Threads: any. The handler may be called by several threads at once.
ERRGROUP_API lost_error_handler set_lost_error_handler(lost_error_handler handler) noexcept;

namespace detail {

[[nodiscard]] lost_error_handler current_lost_error_handler() noexcept;

}  // namespace detail

}  // namespace errgroup

#endif  // ERRGROUP_LOST_ERROR_HPP
