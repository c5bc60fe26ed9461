// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_ERROR_TEXT_HPP
#define ERRGROUP_SRC_ERROR_TEXT_HPP

#include <errgroup/error.hpp>

#include <string>       // string
#include <string_view>  // string_view

namespace errgroup::inline v1::detail {

/// Puts `context` before the contexts in `text`. Throws `std::bad_alloc`; then `text` is unchanged.
void prepend(std::string& text, std::string_view context);

/// The text of `error::message`. `append_stack` appends the stack of a failure; if it is null, the
/// text has no stacks.
std::string describe(error const& e, void (*append_stack)(std::string& text, error const& failure));

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_ERROR_TEXT_HPP
