#ifndef ERRGROUP_SCOPE_HPP
#define ERRGROUP_SCOPE_HPP

#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/task.hpp>

#include <functional>    // invoke
#include <system_error>  // system_error
#include <type_traits>   // invoke_result_t, is_void_v
#include <utility>       // forward, move

namespace errgroup {

/// Calls `body` with a group made with `opts`, and waits for that group whatever `body` does.
///
///     auto err = errgroup::scope({.limit = 4}, [&](errgroup::group& g) {
///       for (auto& part : parts) g.run([&part] { part.sort(); });
///     });
///
/// What `body` throws, or returns as a failure (it may return whatever a task may), is an error of
/// the group like that of a task: it cancels the group, whatever the policy, and if it is the first
/// it is what `scope` returns. `body` itself is no task: it may wait for the group.
///
/// Throws: `std::invalid_argument` for options that no group can be made with; `std::bad_alloc`.
template <class Body>
  requires task_result<std::invoke_result_t<Body, group&>>
[[nodiscard]] error scope(options const& opts, Body&& body) {
  group g(opts);
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Body, group&>>) {
      std::invoke(std::forward<Body>(body), g);
    } else if (error e = detail::to_error(std::invoke(std::forward<Body>(body), g))) {
      g.cancel(std::move(e));
    }
  } catch (std::system_error const& e) {
    g.cancel(detail::caught(e.code()));
  } catch (...) {
    g.cancel(detail::caught());
  }
  return g.wait();
}

/// The same with a group that has no limit and cancels itself at the first error.
template <class Body>
  requires task_result<std::invoke_result_t<Body, group&>>
[[nodiscard]] error scope(Body&& body) {
  return scope(options{}, std::forward<Body>(body));
}

}  // namespace errgroup

#endif  // ERRGROUP_SCOPE_HPP
