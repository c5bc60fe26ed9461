// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TAKE_HPP
#define ERRGROUP_TAKE_HPP

#include <errgroup/detail/failures.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/join.hpp>
#include <errgroup/result.hpp>

#include <algorithm>    // find_if, max_element
#include <concepts>     // equality_comparable
#include <cstddef>      // ptrdiff_t, size_t
#include <deque>        // deque
#include <type_traits>  // is_void_v
#include <utility>      // forward, move
#include <vector>       // vector

namespace errgroup::inline v1 {
namespace detail {

template <class T, class U>
non_void<T> value_in(result<U>&& r) {
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return static_cast<T>(*std::move(r));  // the caller's compiler may warn of a conversion
  }
}

/// The common part of `take`, `last` and `quorum`: failures are tolerated as long as there may be
/// enough successes.
class shortage {
 public:
  shortage(options const& opts, std::size_t wanted, std::size_t size)
      : failures_(failures::every(opts)), wanted_(wanted), left_(size) {}

  /// A task has finished. False if the task does not count, because the join was stopped.
  bool count(std::size_t index) noexcept {
    --left_;
    if (canceled_) {
      return false;
    }
    failures_.end_tries(index);
    return true;
  }
  void fail_for_now(std::size_t index, error const& e) { failures_.add_try(index, e); }
  void fail(error e) { failures_.add(std::move(e)); }
  void cancel(error const& cause) { canceled_ = cause; }

  [[nodiscard]] std::size_t wanted() const noexcept { return wanted_; }
  [[nodiscard]] bool is_hopeless(std::size_t got) const noexcept {
    return wanted_ > got && wanted_ - got > left_;
  }

  /// The error if there were too few successes.
  [[nodiscard]] error why() const {
    error e = failures_.all_behind(canceled_);
    return e ? e : error(errc::too_few);
  }

 private:
  failures failures_;
  std::size_t wanted_;
  std::size_t left_;
  error canceled_;
};

/// The joiner of `take` and of `last`.
template <class T>
class take_joiner {
 public:
  take_joiner(options const& opts, std::size_t wanted, std::size_t size, bool takes_first)
      : short_(opts, wanted, size), takes_first_(takes_first) {}

  template <class U>
  verdict on_result(std::size_t index, result<U>&& r) {
    if (!short_.count(index)) {
      return verdict::go_on;
    }
    if (!r.has_value()) {
      short_.fail(std::move(r).error());
    } else {
      values_.push_back(value_in<T>(std::move(r)));
      if (values_.size() > short_.wanted()) {
        values_.pop_front();
      }
    }
    bool const has_all = takes_first_ && values_.size() == short_.wanted();
    return has_all || short_.is_hopeless(values_.size()) ? verdict::enough : verdict::go_on;
  }

  void on_retry(std::size_t index, error const& e) { short_.fail_for_now(index, e); }
  void on_cancel(error const& cause) {
    short_.cancel(cause);
    is_stopped_ = true;
  }

  result<std::vector<non_void<T>>> finish() {
    if (is_stopped_ || values_.size() < short_.wanted()) {
      return short_.why();
    }
    std::vector<non_void<T>> taken;
    taken.reserve(values_.size());
    for (auto& value : values_) {
      taken.push_back(std::move(value));
    }
    return taken;
  }

 private:
  shortage short_;
  std::deque<non_void<T>> values_;
  bool takes_first_;
  bool is_stopped_ = false;
};

/// The joiner of `quorum`.
template <class T>
class quorum_joiner {
 public:
  quorum_joiner(options const& opts, std::size_t wanted, std::size_t size)
      : short_(opts, wanted, size) {}

  template <class U>
  verdict on_result(std::size_t index, result<U>&& r) {
    if (!short_.count(index)) {
      return verdict::go_on;
    }
    if (!r.has_value()) {
      short_.fail(std::move(r).error());
    } else {
      add(value_in<T>(std::move(r)));
    }
    bool const agreed = most_ == short_.wanted();
    return agreed || short_.is_hopeless(most_) ? verdict::enough : verdict::go_on;
  }

  void on_retry(std::size_t index, error const& e) { short_.fail_for_now(index, e); }
  void on_cancel(error const& cause) { short_.cancel(cause); }

  result<T> finish() {
    if (most_ < short_.wanted()) {
      return result<T>(short_.why());
    }
    if constexpr (std::is_void_v<T>) {
      return {};
    } else {
      return result<T>(std::in_place, std::move(votes_[winner_].value));
    }
  }

 private:
  struct vote {
    non_void<T> value;
    std::size_t count;
  };

  void add(non_void<T> value) {
    std::size_t at = 0;
    while (at != votes_.size() && !(votes_[at].value == value)) {
      ++at;
    }
    if (at == votes_.size()) {
      votes_.push_back({std::move(value), 0});
    }
    if (++votes_[at].count > most_) {
      most_ = votes_[at].count;
      winner_ = at;
    }
  }

  shortage short_;
  std::deque<vote> votes_;  // values stay where they are
  std::size_t winner_ = 0;
  std::size_t most_ = 0;
};

inline std::size_t wanted_of(std::ptrdiff_t k) {
  if (k < 0) {
    refuse_argument("errgroup: a negative number of results was asked for");
  }
  return static_cast<std::size_t>(k);
}

template <class... A>
auto take_of(options const& opts, std::ptrdiff_t k, bool takes_first, A&... f) {
  std::size_t const wanted = wanted_of(k);
  auto source = source_of(f...);
  take_joiner<typename decltype(source)::value::type> j(opts, wanted, source.size(), takes_first);
  if (wanted == 0 || wanted > source.size()) {
    auto nothing = source_of();  // the join may be cancelled all the same
    return join_source(opts, {}, j, nothing);
  }
  return join_source(opts, {}, j, source);
}

}  // namespace detail

/// Runs `f...`, or a range of callables, until `k` tasks have succeeded. Returns the values of
/// these tasks, in the order in which the tasks finished: a `result<std::vector<T>>`. The other
/// tasks are cancelled, and waited for.
///
/// Failures are tolerated until fewer than `k` tasks can succeed. The error is then the first
/// failure, with the rest as `error::others()`. For `k` = 0 nothing runs, and the vector is empty.
/// With fewer than `k` callables nothing runs, and the error is `errc::too_few`.
///
/// Callables, exceptions and cost are as for `join`. Throws `std::invalid_argument` also for a
/// negative `k`.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto take(options const& opts, std::ptrdiff_t k, A&&... f) {
  return detail::take_of(opts, k, true, f...);
}
/// The same without options.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto take(std::ptrdiff_t k, A&&... f) {
  return errgroup::take(options{}, k, std::forward<A>(f)...);
}

/// Runs all of `f...`, or of a range of callables. Returns the values of the last `k` tasks that
/// succeeded, in the order in which the tasks finished. The rest is as for `take`.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto last(options const& opts, std::ptrdiff_t k, A&&... f) {
  return detail::take_of(opts, k, false, f...);
}
/// The same without options.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto last(std::ptrdiff_t k, A&&... f) {
  return errgroup::last(options{}, k, std::forward<A>(f)...);
}

/// Runs `f...`, or a range of callables, until `k` of them agree. Returns the value on which they
/// agree: a `result<T>`. Callables with values agree if the values are equal (`==`). Callables
/// without values agree if they succeed. The other tasks are cancelled, and waited for.
///
/// As soon as no `k` callables can agree any more, the call fails with the first failure, and the
/// rest as `error::others()`. If nothing has failed, the error is `errc::too_few`.
///
/// Callables, exceptions and cost are as for `join`. Throws `std::invalid_argument` also for a `k`
/// below 1. Costs in addition a comparison with each different value.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto quorum(options const& opts, std::ptrdiff_t k, A&&... f) {
  std::size_t const wanted = detail::wanted_of(k);
  if (wanted == 0) {
    detail::refuse_argument("errgroup: a quorum of none has no result");
  }
  auto source = detail::source_of(f...);
  using T = typename decltype(source)::value::type;
  static_assert(std::equality_comparable<detail::non_void<T>>,
                "errgroup: quorum() compares what the tasks return: it needs an operator==");
  detail::quorum_joiner<T> j(opts, wanted, source.size());
  if (wanted > source.size()) {
    auto nothing = detail::source_of();
    return detail::join_source(opts, {}, j, nothing);
  }
  return detail::join_source(opts, {}, j, source);
}
/// The same without options.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto quorum(std::ptrdiff_t k, A&&... f) {
  return errgroup::quorum(options{}, k, std::forward<A>(f)...);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_TAKE_HPP
