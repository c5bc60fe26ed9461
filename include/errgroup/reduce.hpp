// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_REDUCE_HPP
#define ERRGROUP_REDUCE_HPP

#include <errgroup/detail/bulk.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/result.hpp>
#include <errgroup/task.hpp>

#include <tbb/blocked_range.h>    // blocked_range, split
#include <tbb/parallel_reduce.h>  // parallel_reduce

#include <concepts>         // convertible_to, copy_constructible, invocable, movable
#include <cstddef>          // size_t
#include <functional>       // invoke
#include <iterator>         // prev
#include <map>              // map
#include <mutex>            // mutex, unique_lock
#include <optional>         // optional
#include <ranges>           // input_range
#include <source_location>  // source_location
#include <stop_token>       // stop_token
#include <type_traits>      // invoke_result_t, remove_cvref_t, remove_reference_t
#include <utility>          // forward, in_place, move

namespace errgroup::inline v1 {
namespace detail {

/// The start of a partial value: a copy of a value, or the return value of a callable.
template <class Identity>
struct identity_of {
  using type = Identity;
  static_assert(std::copy_constructible<Identity>,
                "errgroup: each part of a reduce begins with a copy of the identity: for what "
                "cannot be copied, pass a callable without arguments that makes one");

  static type make(Identity const& identity) { return identity; }
};
template <class Identity>
  requires std::invocable<Identity const&>
struct identity_of<Identity> {
  using type = std::remove_cvref_t<std::invoke_result_t<Identity const&>>;

  static type make(Identity const& identity) { return std::invoke(identity); }
};

template <class T, class U, class F, class Combine>
constexpr void require_reduce() {
  static_assert(std::movable<U>, "errgroup: the values of a reduce have to be movable");
  require_takes<F, U, T>();
  if constexpr (takes_with_token<F, U, T> || takes_without_token<F, U, T>) {
    using V = value_of<called_with<F, U, T>>;
    static_assert(std::convertible_to<V, U>,
                  "errgroup: in reduce(range, identity, f, combine), f(value, element) returns the "
                  "new value, or a result or an expected of it, of the type of the identity");
  }
  static_assert(std::invocable<Combine const&, U, U>,
                "errgroup: in reduce(range, identity, f, combine), combine(value, value) puts two "
                "partial values together; several threads call it at once, as a const object (not "
                "a mutable lambda)");
  if constexpr (std::invocable<Combine const&, U, U>) {
    using V = value_of<std::invoke_result_t<Combine const&, U, U>>;
    static_assert(std::convertible_to<V, U>,
                  "errgroup: in reduce(range, identity, f, combine), combine(value, value) returns "
                  "a value, or a result or an expected of it, of the type of the identity");
  }
}

/// The callables of a reduce, and the calls of them.
template <class Identity, class F, class Combine>
struct reducer {
  using value = typename identity_of<Identity>::type;

  bulk& b;
  Identity const& identity;
  F const& f;
  Combine const& combine;
  std::stop_token const& token;

  /// Calls `f` with the value so far and one element after the other.
  struct step {
    reducer const& r;
    value running;

    // A step on the stack of the loop, where the compiler can keep it in a register.
    step begin() { return {r, std::move(running)}; }
    void end(step&& other) { running = std::move(other.running); }
    void resume() { running = r.make(); }

    template <class Cursor>
    bool operator()(Cursor& cursor, std::size_t i) {
      using R = called_with<F, value, decltype(*cursor)>;
      if constexpr (task_result<R>) {
        auto&& returned = call_with(r.f, r.token, std::move(running), *cursor);
        if (is_failure(returned)) [[unlikely]] {
          if (!r.b.fail(to_error(std::forward<R>(returned)), i)) {
            return false;
          }
          running = r.make();
        } else {
          running = *std::forward<R>(returned);
        }
      } else {
        running = call_with(r.f, r.token, std::move(running), *cursor);
      }
      return true;
    }
  };

  value make() const { return identity_of<Identity>::make(identity); }

  /// Folds elements into `so_far`, or into the identity if `so_far` is empty. False if it did not
  /// reach the last element; `so_far` is empty then.
  template <class At>
  bool fold(std::optional<value>& so_far, pace& mine, std::size_t first, std::size_t last,
            At const& at) const noexcept {
    if (!so_far && !b.guarded([&] { so_far.emplace(make()); }, first)) {
      return false;
    }
    bool done = false;
    b.guarded(
        [&] {
          step s{*this, *std::move(so_far)};
          so_far.reset();
          if (b.work(mine, first, last, at, s)) {
            so_far.emplace(std::move(s.running));
            done = true;
          }
        },
        first);
    return done;
  }

  /// Combines both values, in this order, in `left`. After a failure, `left` is empty.
  void put_together(std::optional<value>& left, std::optional<value>& right) const noexcept {
    if (!left || !right) {
      left.reset();  // something has failed
      return;
    }
    auto both = [&] {
      using R = std::invoke_result_t<Combine const&, value, value>;
      if constexpr (task_result<R>) {
        auto&& returned = std::invoke(combine, *std::move(left), *std::move(right));
        if (is_failure(returned)) [[unlikely]] {
          b.fail(to_error(std::forward<R>(returned)), npos);
          left.reset();
        } else {
          *left = *std::forward<R>(returned);
        }
      } else {
        *left = std::invoke(combine, *std::move(left), *std::move(right));
      }
    };
    if (b.leaves_exceptions()) {
      call_outermost(both);
    } else if (!b.guarded(both, npos)) {
      left.reset();
    }
  }
};

/// The body for `tbb::parallel_reduce`.
template <class Reducer, class Source>
class reduce_body {
 public:
  reduce_body(Reducer const& r, Source const& all) noexcept : r_(r), all_(all) {}
  reduce_body(reduce_body& other, tbb::split /*unused*/) noexcept
      : r_(other.r_), all_(other.all_) {}

  void operator()(tbb::blocked_range<std::size_t> const& part) noexcept {
    r_.fold(value_, r_.b.pace_here(), part.begin(), part.end(), all_);
  }

  void join(reduce_body& right) noexcept { r_.put_together(value_, right.value_); }

  [[nodiscard]] std::optional<typename Reducer::value>& value() noexcept { return value_; }

 private:
  Reducer const& r_;
  Source const& all_;
  std::optional<typename Reducer::value> value_;
};

/// Partial values, in any order. As soon as two neighbours are there, the thread that brings the
/// second value combines them.
template <class Reducer>
class partial_values {
  using value = std::optional<typename Reducer::value>;

 public:
  explicit partial_values(Reducer const& r) : r_(r) {}

  /// Adds the value of the elements from `first` to `last`.
  void add(std::size_t first, std::size_t last, value&& v) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (v) {
      auto const right = values_.find(last);
      auto left = values_.lower_bound(first);
      left = left == values_.begin() ? values_.end() : std::prev(left);
      if (left != values_.end() && left->second.last != first) {
        left = values_.end();
      }
      // Extract before combining: other threads add values meanwhile, and do not see the extracted
      // value.
      if (left != values_.end()) {
        auto const taken = values_.extract(left);
        lock.unlock();
        r_.put_together(taken.mapped().v, v);
        v = std::move(taken.mapped().v);
        first = taken.key();
      } else if (right != values_.end()) {
        auto const taken = values_.extract(right);
        lock.unlock();
        r_.put_together(v, taken.mapped().v);
        last = taken.mapped().last;
      } else {
        values_.emplace(first, entry{last, std::move(v)});
        return;
      }
      lock.lock();
    }
  }

  /// The last value, when all parts have been added.
  [[nodiscard]] value take() {
    return values_.size() == 1 ? std::move(values_.begin()->second.v) : value();
  }

 private:
  struct entry {
    std::size_t last;
    value v;
  };

  Reducer const& r_;
  std::mutex mutex_;
  std::map<std::size_t, entry> values_;
};

template <class Identity, class F, class Combine, class Elements>
auto reduce_in(options const& opts, Elements& all, Identity const& identity, F const& f,
               Combine const& combine, std::source_location where) {
  using T = typename Elements::reference;
  using reducer_type = reducer<Identity, F, Combine>;
  using U = typename reducer_type::value;
  require_reduce<T, U, F, Combine>();
  bulk b(opts, where);
  std::stop_token const token = b.token<takes_with_token<F, U, T>>();
  reducer_type const r{b, identity, f, combine, token};

  partial_values<reducer_type> partial(r);
  auto const each = [&](pace& mine, std::size_t first, std::size_t last, auto const& at) {
    std::optional<U> value;
    if (r.fold(value, mine, first, last, at)) {
      b.guarded([&] { partial.add(first, last, std::move(value)); }, npos);
    }
  };
  std::optional<U> value;
  error e;
  if constexpr (is_source<Elements>) {
    if (b.is_limited() || all.count == 0) {
      b.split(all, each);
      value = partial.take();
    } else {
      reduce_body<reducer_type, Elements> body(r, all);
      b.run_algorithm([&](tbb::task_group_context& context) {
        tbb::parallel_reduce(tbb::blocked_range<std::size_t>(0, all.count), body, context);
      });
      value = std::move(body.value());
    }
    e = b.finish(all.count);
  } else {
    b.share(all, each);
    value = partial.take();
    e = b.finish(all.count(), all.is_complete());
  }
  if (e) {
    return result<U>(std::move(e));
  }
  return value ? result<U>(std::in_place, *std::move(value)) : result<U>(std::in_place, r.make());
}

}  // namespace detail

/// Folds the elements of `range` into one value, in parallel.
///
///     auto const total = errgroup::reduce(
///         files, std::size_t{0},
///         [](std::size_t sum, path const& p) -> errgroup::result<std::size_t> {
///           return add(sum, count_words(p));
///         },
///         std::plus<>());
///
/// Each part of the range begins with a copy of `identity`, or with the return value of
/// `identity()` if it can be called without arguments. The part goes on with `f(value, element)`,
/// or `f(value, element, std::stop_token)`. `combine(left, right)` puts the values of neighbouring
/// parts together. So `combine` has to be associative, and `identity` has to be neutral to it;
/// `combine` need not be commutative. All these callables return a value, and `f` and `combine` may
/// return an `errgroup::result` or an expected of any kind with a value. For an empty range, the
/// result is the identity.
///
/// After a cancellation, `tbb::parallel_reduce` returns a wrong number, but `reduce` returns an
/// error. The rest is as for `for_each`. A failure of `combine` belongs to no element: its
/// `origin().index` is `npos`.
///
/// Throws: as `for_each`; for an empty range, exceptions of copying or making the identity.
/// Threads: any, tasks of a group included.
/// Cost: as `tbb::parallel_reduce`; see perf/bulk.
template <std::ranges::input_range R, class Identity, class F, class Combine>
[[ERRGROUP_NODISCARD_RESULT]] auto reduce(
    options const& opts, R&& range, Identity&& identity, F&& f, Combine&& combine,
    std::source_location where = std::source_location::current()) {
  using range_type = std::remove_reference_t<R>;
  using made = std::remove_cvref_t<Identity>;
  using callable = std::remove_reference_t<F>;
  using combiner = std::remove_reference_t<Combine>;
  if (detail::is_null(f) || detail::is_null(combine)) {
    detail::refuse_argument("errgroup: reduce with an empty function");
  }
  if constexpr (std::invocable<made const&>) {
    if (detail::is_null(identity)) {
      detail::refuse_argument("errgroup: reduce with an empty function for the identity");
    }
  }
  if constexpr (detail::indexable<range_type>) {
    detail::indexed_source<range_type> const all(range);
    return detail::reduce_in<made, callable, combiner>(opts, all, identity, f, combine, where);
  } else {
    detail::stream_of<range_type> all(range);
    return detail::reduce_in<made, callable, combiner>(opts, all, identity, f, combine, where);
  }
}

/// The same with a group that has no limit and cancels itself at the first error.
template <std::ranges::input_range R, class Identity, class F, class Combine>
[[ERRGROUP_NODISCARD_RESULT]] auto reduce(
    R&& range, Identity&& identity, F&& f, Combine&& combine,
    std::source_location where = std::source_location::current()) {
  return reduce(options{}, std::forward<R>(range), std::forward<Identity>(identity),
                std::forward<F>(f), std::forward<Combine>(combine), where);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_REDUCE_HPP
