// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_ALL_HPP
#define ERRGROUP_ALL_HPP

#include <errgroup/detail/failures.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/join.hpp>
#include <errgroup/result.hpp>

#include <concepts>      // same_as
#include <cstddef>       // size_t
#include <optional>      // optional
#include <system_error>  // errc
#include <tuple>         // get, tuple, tuple_element_t
#include <type_traits>   // is_void_v, remove_cvref_t
#include <utility>       // forward, index_sequence, index_sequence_for, move
#include <vector>        // vector

namespace errgroup::inline v1 {
namespace detail {

/// A place for each result of a pack of callables.
template <template <class> class Slot, class... T>
class pack_slots {
 public:
  explicit pack_slots(std::size_t /*size*/) {}

  /// Calls `store(slot)` with the slot at `index`, whose result is a `U`.
  template <class U, class Store>
  void at(std::size_t index, Store const& store) {
    [&]<std::size_t... I>(std::index_sequence<I...> /*unused*/) {
      (at_one<I, U>(index, store), ...);
    }(std::index_sequence_for<T...>());
  }

  /// Returns `take(slot)` for each slot.
  template <class Take>
  auto all(Take const& take) {
    return std::apply(
        [&](auto&... slot) { return std::tuple<decltype(take(slot))...>(take(slot)...); }, slots_);
  }

 private:
  template <std::size_t I, class U, class Store>
  void at_one(std::size_t index, Store const& store) {
    if constexpr (std::same_as<std::tuple_element_t<I, std::tuple<std::type_identity<T>...>>,
                               std::type_identity<U>>) {
      if (index == I) {
        store(std::get<I>(slots_));
      }
    }
  }

  std::tuple<Slot<T>...> slots_;
};

/// The same for a range of callables.
template <template <class> class Slot, class T>
class range_slots {
 public:
  explicit range_slots(std::size_t size) : slots_(size) {}

  template <class U, class Store>
  void at(std::size_t index, Store const& store) {
    store(slots_[index]);
  }

  template <class Take>
  auto all(Take const& take) {
    std::vector<decltype(take(slots_.front()))> taken;
    taken.reserve(slots_.size());
    for (auto& slot : slots_) {
      taken.push_back(take(slot));
    }
    return taken;
  }

 private:
  std::vector<Slot<T>> slots_;
};

template <class T>
using value_slot = std::optional<non_void<T>>;
template <class T>
using result_slot = std::optional<result<T>>;

template <template <class> class Slot, class Source>
struct slots_of;
template <template <class> class Slot, class... F>
struct slots_of<Slot, pack_of_calls<F...>> {
  using type = pack_slots<Slot, value_of_call<F>...>;
};
template <template <class> class Slot, class R>
struct slots_of<Slot, range_of<R>> {
  using type = range_slots<Slot, typename range_of<R>::value::type>;
};

/// The joiner of `all`.
template <class Slots>
class all_joiner {
 public:
  all_joiner(options const& opts, std::size_t size)
      : slots_(size),
        failures_(opts),
        left_(opts.policy == on_error::cancel ? 1 : opts.max_failures) {}

  template <class T>
  verdict on_result(std::size_t index, result<T>&& r) {
    if (!r.has_value()) {
      failures_.add(std::move(r).error());
      left_ -= left_ != npos && left_ != 0 ? 1U : 0U;
      return left_ == 0 ? verdict::enough : verdict::go_on;
    }
    slots_.template at<T>(index, [&](auto& slot) {
      if constexpr (std::is_void_v<T>) {
        slot.emplace();
      } else {
        slot.emplace(*std::move(r));
      }
    });
    return verdict::go_on;
  }

  void on_cancel(error const& cause) { failures_.add_cause(cause); }

  auto finish() {
    auto take = [](auto& slot) { return *std::move(slot); };
    using values = decltype(slots_.all(take));
    error failed = failures_.all();
    return failed ? result<values>(std::move(failed))
                  : result<values>(std::in_place, slots_.all(take));
  }

 private:
  Slots slots_;
  failures failures_;
  std::size_t left_;  // the number of failures that end the join
};

/// The joiner of `all_settled`.
template <class Slots>
class all_settled_joiner {
 public:
  explicit all_settled_joiner(std::size_t size) : slots_(size) {}

  template <class T>
  verdict on_result(std::size_t index, result<T>&& r) {
    if (cause_ && !r.has_value() && r.error() == std::errc::operation_canceled) {
      return verdict::go_on;  // it only echoes the cancellation
    }
    slots_.template at<T>(index, [&](auto& slot) { slot.emplace(std::move(r)); });
    return verdict::go_on;
  }

  void on_cancel(error const& cause) { cause_ = cause; }

  auto finish() {
    return slots_.all([this](auto& slot) {
      using R = typename std::remove_cvref_t<decltype(slot)>::value_type;
      return slot.has_value() ? *std::move(slot) : R(cause_);
    });
  }

 private:
  Slots slots_;
  error cause_;
};

}  // namespace detail

/// Runs all of `f...`, and returns all their values: a `result<std::tuple<T...>>`, in the order of
/// the arguments, with `std::monostate` for a callable without a value. For a range of callables,
/// returns a `result<std::vector<T>>`. Without callables, the tuple or the vector is empty.
///
///     auto both = errgroup::all([&] { return load(left); }, [&] { return load(right); });
///     if (!both) return both.error();
///     auto& [l, r] = *both;
///
/// The first failure is the error. It cancels the other tasks, which are waited for; their results
/// are dropped. With `on_error::keep_going` all tasks run, or until `max_failures` of them have
/// failed. With `keep::all` in addition, the other failures are `error::others()`.
///
/// Callables, exceptions and cost are as for `join`.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto all(options const& opts, A&&... f) {
  auto source = detail::source_of(f...);
  using slots = typename detail::slots_of<detail::value_slot, decltype(source)>::type;
  detail::all_joiner<slots> j(opts, source.size());
  return detail::join_source(opts, {}, j, source);
}
/// The same without options.
template <class... A>
  requires(!detail::begins_with_options<A...>)
[[ERRGROUP_NODISCARD_RESULT]] auto all(A&&... f) {
  return errgroup::all(options{}, std::forward<A>(f)...);
}

/// Runs all of `f...`, even if some of them fail, and returns all results: a
/// `std::tuple<result<T>...>`, or, for a range of callables, a `std::vector<result<T>>`. If the
/// call is stopped, by a deadline or the like, the cause is the result of every task that did not
/// run, or that only reports its cancellation. Other results that arrive after the stop are kept.
///
/// Callables, exceptions and cost are as for `join`.
template <class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto all_settled(options const& opts, A&&... f) {
  auto source = detail::source_of(f...);
  using slots = typename detail::slots_of<detail::result_slot, decltype(source)>::type;
  detail::all_settled_joiner<slots> j(source.size());
  return detail::join_source(opts, {}, j, source);
}
/// The same without options.
template <class... A>
  requires(!detail::begins_with_options<A...>)
[[ERRGROUP_NODISCARD_RESULT]] auto all_settled(A&&... f) {
  return errgroup::all_settled(options{}, std::forward<A>(f)...);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_ALL_HPP
