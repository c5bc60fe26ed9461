// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_ANY_HPP
#define ERRGROUP_ANY_HPP

#include <errgroup/detail/failures.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/join.hpp>
#include <errgroup/result.hpp>

#include <optional>     // optional
#include <type_traits>  // is_void_v
#include <utility>      // forward, move

namespace errgroup::inline v1 {
namespace detail {

/// The joiner of `any` and of `race`.
template <class T>
class first_joiner {
 public:
  first_joiner(options const& opts, bool takes_failures)
      : failures_(failures::every(opts)), takes_failures_(takes_failures) {}

  template <class U>
  verdict on_result(std::size_t index, result<U>&& r) {
    if (canceled_) {
      return verdict::go_on;
    }
    failures_.end_tries(index);
    if (!r.has_value()) {
      failures_.add(std::move(r).error());
      return takes_failures_ ? verdict::enough : verdict::go_on;
    }
    if constexpr (std::is_void_v<T>) {
      value_.emplace();
    } else {
      value_.emplace(*std::move(r));
    }
    return verdict::enough;
  }

  void on_retry(std::size_t index, error const& e) { failures_.add_try(index, e); }
  void on_cancel(error const& cause) { canceled_ = cause; }

  result<T> finish() {
    if (value_) {
      if constexpr (std::is_void_v<T>) {
        return {};
      } else {
        return result<T>(std::in_place, *std::move(value_));
      }
    }
    return result<T>(failures_.all_behind(canceled_));
  }

 private:
  std::optional<non_void<T>> value_;
  failures failures_;
  error canceled_;
  bool takes_failures_;
};

template <class... A>
auto first_of(options const& opts, bool takes_failures, char const* words, A&... f) {
  auto source = source_of(f...);
  using T = typename decltype(source)::value::type;
  if (source.size() == 0) {
    refuse_argument(words);
  }
  first_joiner<T> j(opts, takes_failures);
  return join_source(opts, {}, j, source);
}

}  // namespace detail

/// Runs `f...`, or a range of callables, until the first success, and returns the value of this
/// task: a `result<T>`, where `T` is the common type of the tasks' values. The other tasks are
/// cancelled, and waited for.
///
///     auto page = errgroup::any({.timeout = 2s}, mirror("de"), mirror("us"), mirror("jp"));
///
/// If all tasks fail, the error is the first failure, with the rest as `error::others()`. If the
/// call is stopped before a task has succeeded, the error is the cause of the stop, with all
/// earlier failures as its others. (`options::policy` has no effect here. `max_errors` has an
/// effect only with `keep::all`.)
///
/// Callables, exceptions and cost are as for `join`. Throws `std::invalid_argument` also for a call
/// without callables.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto any(options const& opts, A&&... f) {
  return detail::first_of(opts, false, "errgroup: any() of no callables: none can succeed", f...);
}
/// The same without options.
template <class... A>
  requires(!detail::begins_with_options<A...>)
[[ERRGROUP_NODISCARD_RESULT]] auto any(A&&... f) {
  return errgroup::any(options{}, std::forward<A>(f)...);
}

/// Like `any`, but returns the result of the first task that finishes, even if the result is a
/// failure.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto race(options const& opts, A&&... f) {
  return detail::first_of(opts, true, "errgroup: race() of no callables: none can finish", f...);
}
/// The same without options.
template <class... A>
  requires(!detail::begins_with_options<A...>)
[[ERRGROUP_NODISCARD_RESULT]] auto race(A&&... f) {
  return errgroup::race(options{}, std::forward<A>(f)...);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_ANY_HPP
