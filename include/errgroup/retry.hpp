// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_RETRY_HPP
#define ERRGROUP_RETRY_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/join.hpp>
#include <errgroup/result.hpp>

#include <chrono>           // milliseconds, nanoseconds
#include <cstddef>          // size_t
#include <functional>       // function
#include <optional>         // optional
#include <source_location>  // source_location
#include <system_error>     // errc
#include <type_traits>      // decay_t, is_void_v, remove_reference_t
#include <utility>          // forward, move

namespace errgroup::inline v1 {

/// How often, and after which pauses, `retry` tries again.
///
///     {.attempts = 5, .delay = 50ms, .factor = 2, .max_delay = 1s, .jitter = 0.5}
struct retry_policy {
  /// The maximal number of attempts, the first attempt included. 0: no maximum, until a
  /// cancellation.
  int attempts = 3;
  /// The pause before the second attempt.
  std::chrono::nanoseconds delay = std::chrono::milliseconds(100);
  /// Each pause is the pause before times this factor: 1 for constant pauses.
  double factor = 2;
  /// The longest pause.
  std::chrono::nanoseconds max_delay = std::chrono::nanoseconds::max();
  /// From 0 to 1: each pause is shortened by a random part, of up to this fraction. So callers that
  /// failed together do not all come back together. (AWS calls the value 1 full jitter.)
  double jitter = 0;
  /// The time for each attempt. When the time has passed, the attempt is cancelled, and has failed
  /// with `errc::deadline_exceeded`.
  std::optional<std::chrono::nanoseconds> timeout = {};
  /// Whether to try again after an error; if empty, after any error. Called by the thread that made
  /// the attempt. If it throws, no further attempt is made: the exception is the failure, with the
  /// failure of the last attempt as its other.
  std::function<bool(error const&)> retry_if = {};
};

namespace detail {

/// Throws `std::invalid_argument`, with a message, for an invalid policy.
ERRGROUP_API void check_policy(retry_policy const& policy);

/// The pause after this number of attempts.
[[nodiscard]] ERRGROUP_API clock::duration pause_after(retry_policy const& policy,
                                                       std::size_t attempts);

/// The attempts at calling `f`, for a `joining`. The object is small, because each pause keeps one
/// of these objects.
template <class F>
class attempts_at {
 public:
  using value = value_of_call<F>;

  /// One attempt: its result, and the pause if there is to be another attempt.
  struct turn {
    result<value> got;
    std::optional<clock::duration> pause;
  };

  attempts_at(retry_policy const& policy, F& f) noexcept : policy_(&policy), f_(&f) {}

  [[nodiscard]] turn next(group& g, std::size_t index, std::source_location where) {
    turn t{policy_->timeout ? call_in_time(g, index, where) : call_in(g, *f_), {}};
    ++made_;
    if (!t.got.has_value()) {
      t.got.error() = extend::describe(g, std::move(t.got).error(), index, where);
      error_access::set_attempts(t.got.error(), made_);
      bool const is_last =
          policy_->attempts != 0 && made_ == static_cast<std::size_t>(policy_->attempts);
      if (!is_last && !g.is_canceling()) {
        auto const decide = [&] {
          if (!policy_->retry_if || policy_->retry_if(t.got.error())) {
            t.pause = pause_after(*policy_, made_);
          }
        };
        if (extend::exceptions(g) == on_exception::as_error) {
          report<void>(decide, [&](error thrown) noexcept {
            error const both[] = {extend::describe(g, std::move(thrown), index, where),
                                  t.got.error()};
            t.got.error() = combine(both);
            error_access::set_attempts(t.got.error(), made_);
          });
        } else {
          decide();
        }
      }
    }
    return t;
  }

 private:
  result<value> call_in_time(group& g, std::size_t index, std::source_location where) {
    std::optional<result<value>> got;
    group own({.timeout = policy_->timeout, .exceptions = extend::exceptions(g)}, where);
    error e = own.run_and_wait([&] {
      got.emplace(call_in(own, *f_));
      // The attempt's own failure comes before its deadline.
      return got->has_value() ? error() : extend::describe(g, got->error(), index, where);
    });
    return e || !got ? result<value>(certainly(std::move(e))) : *std::move(got);
  }

  retry_policy const* policy_;
  F* f_;
  std::size_t made_ = 0;
};

}  // namespace detail

/// A callable that is tried again when it fails, for the functions that take several callables:
///
///     auto page = errgroup::any(errgroup::retrying(policy, mirror("de")),
///                               errgroup::retrying(policy, mirror("us")));
///
/// In `join` and in all functions that are built on `join`, such as `all` and `any`, each attempt
/// is a task of its own: a pause holds neither a thread nor a slot of the limit. A direct call is
/// the same as `retry`, which waits.
template <class F>
class retrying {
  static_assert(
      detail::result_call<F>,
      "errgroup: what is tried again is called with nothing, or with a std::stop_token if "
      "it takes one: capture what else it needs");

 public:
  /// For errgroup: the attempts of one run.
  using attempts = detail::attempts_at<std::remove_reference_t<F>>;

  /// Throws `std::invalid_argument`, with a message, for an invalid policy; exceptions of moving
  /// `f`.
  retrying(retry_policy policy, F f) : policy_(std::move(policy)), f_(std::forward<F>(f)) {
    detail::check_policy(policy_);
    detail::refuse_null_call(f_);
  }

  /// Tries until an attempt succeeds or the policy is used up, as `retry` does, and waits. Returns
  /// the value, or the last attempt's failure.
  ///
  /// Throws what `retry` throws.
  result<typename attempts::value> operator()();

  /// For errgroup: begins a run.
  [[nodiscard]] attempts begin() noexcept { return attempts(policy_, f_); }

 private:
  retry_policy policy_;
  F f_;
};

/// `retrying(policy, f)` keeps `f` by value.
template <class F>
retrying(retry_policy, F) -> retrying<F>;

namespace detail {

/// The joiner of `retry`.
template <class T>
class retry_joiner {
 public:
  verdict on_result(std::size_t /*index*/, result<T>&& r) {
    ++attempts_;
    if (!canceled_) {
      got_.emplace(std::move(r));
    } else if (!r.has_value() && (!last_ || r.error() != std::errc::operation_canceled)) {
      last_ = std::move(r).error();
    }
    return verdict::enough;
  }
  void on_retry(std::size_t /*index*/, error const& e) noexcept {
    ++attempts_;
    last_ = e;
  }
  void on_cancel(error const& cause) noexcept { canceled_ = cause; }

  result<T> finish() {
    if (got_) {
      return *std::move(got_);
    }
    error const both[] = {canceled_, last_};
    error e = combine(both);
    if (attempts_ != 0) {
      error_access::set_attempts(e, attempts_);
    }
    return result<T>(std::move(e));
  }

 private:
  std::optional<result<T>> got_;
  error last_;
  error canceled_;
  std::size_t attempts_ = 0;
};

}  // namespace detail

/// Calls `f` until it succeeds, and returns the result. `policy` sets the number of attempts and
/// the pauses. `f` may take and return the same types as a callable of `join`.
///
///     auto page = errgroup::retry({.attempts = 5, .delay = 50ms}, [&] { return fetch(url); });
///
/// If no attempt succeeds, the error is the failure of the last attempt. If the call is cancelled
/// before the last attempt, by a deadline or the like, the error is the cause, with the last
/// failure as its other. `error::attempts` tells the number of attempts.
///
/// Each attempt is a task of a group with the options `opts`. During a pause nothing runs. The
/// calling thread waits, and if it is a thread of oneTBB, it runs other tasks meanwhile. (In a task
/// that has a slot of a limit, the task keeps its slot: give `retrying` to `all` and the like
/// instead.)
///
/// Throws: `std::invalid_argument` for an invalid policy, for invalid options, and for an empty
///     callable; `std::bad_alloc`.
template <class F>
[[ERRGROUP_NODISCARD_RESULT]] auto retry(
    options const& opts, retry_policy policy, F&& f,
    std::source_location where = std::source_location::current()) {
  retrying<F&> turns(std::move(policy), f);
  auto source = detail::source_of(turns);
  detail::retry_joiner<typename retrying<F&>::attempts::value> j;
  return detail::join_source(opts, where, j, source);
}
/// The same without options.
template <class F>
[[ERRGROUP_NODISCARD_RESULT]] auto retry(
    retry_policy policy, F&& f, std::source_location where = std::source_location::current()) {
  return errgroup::retry(options{}, std::move(policy), f, where);
}

template <class F>
result<typename retrying<F>::attempts::value> retrying<F>::operator()() {
  return errgroup::retry(policy_, f_);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_RETRY_HPP
