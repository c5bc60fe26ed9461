// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_WATERFALL_HPP
#define ERRGROUP_WATERFALL_HPP

#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/result.hpp>

#include <concepts>      // invocable, same_as
#include <cstddef>       // size_t
#include <functional>    // invoke
#include <optional>      // optional
#include <stop_token>    // stop_token
#include <system_error>  // errc
#include <type_traits>   // is_void_v, remove_cvref_t
#include <utility>       // forward, move

namespace errgroup::inline v1 {
namespace detail {

/// Calls the steps, one after another.
class falling {
 public:
  explicit falling(group& g) noexcept : group_(g) {}

  template <class T>
  result<T> run(std::size_t /*index*/, result<T>&& given) {
    return std::move(given);
  }
  template <class T, class F, class... Rest>
  auto run(std::size_t index, result<T>&& given, F& f, Rest&... rest) {
    using answer = decltype(run(index + 1, step(std::move(given), f), rest...));
    if (!given.has_value()) {
      return answer(std::move(given).error());
    }
    if (group_.is_canceling()) {
      return answer(certainly(group_.first_error()));
    }
    auto got = step(std::move(given), f);
    if (!got.has_value()) {
      got.error() = extend::describe(group_, std::move(got).error(), index);
    }
    return run(index + 1, std::move(got), rest...);
  }

 private:
  template <class T, class F>
  auto step(result<T>&& given, F& f) {
    auto token = [this] { return group_.get_stop_token(); };
    auto invoke = [&]() -> decltype(auto) {
      if constexpr (std::is_void_v<T>) {
        static_assert(result_call<F>,
                      "errgroup: after a step without a value, a step of waterfall() is called "
                      "with nothing, or with a std::stop_token");
        return invoke_task(f, token);
      } else if constexpr (std::invocable<F&, T, std::stop_token>) {
        return std::invoke(f, *std::move(given), token());
      } else {
        static_assert(std::invocable<F&, T>,
                      "errgroup: a step of waterfall() is called with what the one before gave, "
                      "and with a std::stop_token if it takes one");
        return std::invoke(f, *std::move(given));
      }
    };
    return outcome_in(group_, invoke);
  }

  group& group_;
};

}  // namespace detail

/// Calls `f...` one after another: the first step with `init`, and each other step with the value
/// of the step before. Returns the value of the last step: a `result<T>`. Without any `f`, returns
/// `init`.
///
///     auto picture = errgroup::waterfall(path, read, decode, scale);
///
/// The first failure ends the waterfall, and is its error, with the number of the step as its
/// index. If `init` is a failure, the error has no index. A deadline, a stop token, or a
/// cancellation from above also ends the waterfall. A step may return the same types as a callable
/// of `join`. A step gets its value as an rvalue, and a `std::stop_token`, too, if it takes a
/// token.
///
/// The waterfall is one task of a group with the options `opts`, so that all these options take
/// effect.
///
/// Throws: `std::invalid_argument` for invalid options and for an empty callable; `std::bad_alloc`.
template <class T, class... F>
  requires(!std::same_as<std::remove_cvref_t<T>, options>)
[[ERRGROUP_NODISCARD_RESULT]] auto waterfall(options const& opts, T&& init, F&&... f) {
  (detail::refuse_null_call(f), ...);
  group g(opts);
  detail::falling steps(g);
  auto first = detail::read(std::forward<T>(init));
  using answer = decltype(steps.run(0, std::move(first), f...));
  if (!first.has_value()) {
    return answer(std::move(first).error());  // no step has failed
  }
  std::optional<answer> got;
  error e = g.run_and_wait([&] {
    got.emplace(steps.run(0, std::move(first), f...));
    return got->error();
  });
  return e || !got ? answer(detail::certainly(std::move(e))) : *std::move(got);
}
/// The same without options.
template <class T, class... F>
  requires(!std::same_as<std::remove_cvref_t<T>, options>)
[[ERRGROUP_NODISCARD_RESULT]] auto waterfall(T&& init, F&&... f) {
  return errgroup::waterfall(options{}, std::forward<T>(init), std::forward<F>(f)...);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_WATERFALL_HPP
