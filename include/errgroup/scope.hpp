// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SCOPE_HPP
#define ERRGROUP_SCOPE_HPP

#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/task.hpp>

#include <concepts>         // invocable
#include <functional>       // invoke
#include <source_location>  // source_location
#include <type_traits>      // invoke_result_t
#include <utility>          // forward, move

namespace errgroup::inline v1 {
namespace detail {

/// Refuses a `Body` that cannot be the body of a scope, with a message that gives the reason.
template <class Body>
constexpr void require_body() {
  static_assert(std::invocable<Body, group&>,
                "errgroup: the body of a scope is called with the group, an errgroup::group&");
  if constexpr (std::invocable<Body, group&>) {
    static_assert(task_result<std::invoke_result_t<Body, group&>>,
                  "errgroup: the body of a scope returns what a task may: void, std::error_code, "
                  "errgroup::error or a type of std::expected's shape");
  }
}

}  // namespace detail

/// Calls `body` with a group that is made with `opts`. Waits for the group, even if `body` fails.
///
///     auto err = errgroup::scope({.limit = 4}, [&](errgroup::group& g) {
///       for (auto& part : parts) g.run([&part] { part.sort(); });
///     });
///
/// `body` may return every type that a task may return. If `body` throws or returns a failure, the
/// failure is an error of the group, like the failure of a task. The failure cancels the group,
/// under every policy. If it is the group's first error, `scope` returns it. `body` itself is no
/// task: it may wait for the group.
///
/// Throws: `std::invalid_argument` for invalid options; `std::bad_alloc`. `where` is the place of
/// the group; leave it, or pass the caller's on.
template <class Body>
[[ERRGROUP_NODISCARD_ERROR]] error scope(
    options const& opts, Body&& body,
    std::source_location where = std::source_location::current()) {
  detail::require_body<Body>();
  group g(opts, where);
  using R = std::invoke_result_t<Body, group&>;
  detail::report<R>([&]() -> R { return std::invoke(std::forward<Body>(body), g); },
                    [&](error e) noexcept { g.cancel(std::move(e)); });
  return g.wait();
}

/// The same with a group that has no limit and cancels itself at the first error.
template <class Body>
[[ERRGROUP_NODISCARD_ERROR]] error scope(
    Body&& body, std::source_location where = std::source_location::current()) {
  return scope(options{}, std::forward<Body>(body), where);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_SCOPE_HPP
