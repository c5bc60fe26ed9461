// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TRANSFORM_HPP
#define ERRGROUP_TRANSFORM_HPP

#include <errgroup/detail/bulk.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/named_by.hpp>
#include <errgroup/result.hpp>
#include <errgroup/task.hpp>

#include <algorithm>        // sort
#include <cstddef>          // size_t
#include <mutex>            // mutex, scoped_lock
#include <ranges>           // input_range
#include <source_location>  // source_location
#include <stop_token>       // stop_token
#include <type_traits>  // is_same_v, is_trivially_copyable_v, is_void_v, remove_reference_t, ...
#include <utility>      // forward, move
#include <vector>       // vector

namespace errgroup::inline v1 {
namespace detail {

/// Calls `f` with one element after the other, and hands each value to `put(value, i)`.
template <class F, class Put>
struct transform_step : plain_step<transform_step<F, Put>> {
  transform_step(bulk& run, F const& function, std::stop_token const& its_token, Put into) noexcept
      : b(run), f(function), token(its_token), put(into) {}

  bulk& b;
  F const& f;
  std::stop_token const& token;
  Put put;

  template <class Cursor, class Name = no_name>
  bool operator()(Cursor& cursor, std::size_t i, Name const& name = {}) {
    using R = called_with<F, decltype(*cursor)>;
    if constexpr (task_result<R>) {
      auto&& returned = call_with(f, token, *cursor);
      if (is_failure(returned)) [[unlikely]] {
        return b.fail(to_error(std::forward<R>(returned)), i, name());
      }
      put(*std::forward<R>(returned), i);
    } else {
      put(call_with(f, token, *cursor), i);
    }
    return true;
  }
};

template <class F, class Put>
transform_step(bulk&, F const&, std::stop_token const&, Put) -> transform_step<F, Put>;

/// The type of the values that `F` makes of elements of the type `T`.
template <class T, class F>
struct transformed {
  static consteval auto pick() {
    require_takes<F, T>();
    if constexpr (takes_with_token<F, T> || takes_without_token<F, T>) {
      using U = value_of<called_with<F, T>>;
      static_assert(!std::is_void_v<U>,
                    "errgroup: transform keeps what is returned, and this returns nothing but "
                    "success or failure: use for_each");
      return std::type_identity<non_void<U>>();
    } else {
      return std::type_identity<std::monostate>();
    }
  }

  using type = typename decltype(pick())::type;
};

/// Collects values in parts, in any order. At the end, the parts are put together in the order of
/// the elements.
template <class U>
class parts {
 public:
  struct part {
    std::size_t first;
    std::vector<U> values;
  };

  void add(std::size_t first, std::vector<U>&& values) {
    std::scoped_lock<std::mutex> const guard(mutex_);
    parts_.push_back({first, std::move(values)});
  }

  [[nodiscard]] std::vector<U> joined(std::size_t count) && {
    if (parts_.size() == 1) {
      return std::move(parts_.front().values);
    }
    std::sort(parts_.begin(), parts_.end(),
              [](part const& a, part const& b) { return a.first < b.first; });
    std::vector<U> all;
    all.reserve(count);
    for (part& p : parts_) {
      for (auto&& value : p.values) {
        all.push_back(std::move(value));
      }
      p.values = std::vector<U>();
    }
    return all;
  }

 private:
  std::mutex mutex_;
  std::vector<part> parts_;
};

/// True if each thread may write its own elements of a vector of default values, and no program can
/// see the difference.
template <class U>
inline constexpr bool can_be_overwritten =
    std::is_trivially_default_constructible_v<U> && std::is_trivially_copyable_v<U> &&
    std::is_copy_assignable_v<U> && !std::is_same_v<U, bool>;

template <class U, class Source, class F, class Names>
result<std::vector<U>> transform_in_place(options const& opts, Source const& all, F const& f,
                                          Names const& names, std::source_location where) {
  std::vector<U> values(all.count);
  bulk b(opts, where);
  std::stop_token const token = b.token<takes_with_token<F, typename Source::reference>>();
  b.split(all, [&](pace& mine, std::size_t first, std::size_t last, auto const& at) {
    U* const to = values.data();
    auto step = with_names(
        transform_step(b, f, token,
                       [to](auto&& value, std::size_t i) { to[i] = static_cast<U>(value); }),
        names);
    b.work(mine, first, last, at, step);
  });
  if (error e = b.finish(all.count)) {
    return e;
  }
  return result<std::vector<U>>(std::in_place, std::move(values));
}

template <class U, class T, class F, class Names, class Run>
result<std::vector<U>> transform_in_parts(options const& opts, F const& f, Names const& names,
                                          std::source_location where, Run const& run) {
  parts<U> done;
  bulk b(opts, where);
  std::stop_token const token = b.token<takes_with_token<F, T>>();
  std::size_t count = 0;
  error e = run(b, count, [&](pace& mine, std::size_t first, std::size_t last, auto const& at) {
    std::vector<U> values;
    if (!b.guarded([&] { values.reserve(last - first); }, first)) {
      return;
    }
    auto step =
        with_names(transform_step(b, f, token,
                                  [&values](auto&& value, std::size_t /*i*/) {
                                    values.emplace_back(std::forward<decltype(value)>(value));
                                  }),
                   names);
    if (b.work(mine, first, last, at, step)) {
      b.guarded([&] { done.add(first, std::move(values)); }, first);
    }
  });
  if (e) {
    return e;
  }
  return std::move(done).joined(count);
}

template <class R, class F, class Names>
auto transform_of(options const& opts, R& range, F& f, Names const& names,
                  std::source_location where) {
  if (is_null(f)) {
    refuse_argument("errgroup: transform with an empty function");
  }
  if constexpr (indexable<R>) {
    using source = indexed_source<R>;
    using U = typename transformed<typename source::reference, F>::type;
    require_names_of<typename source::reference>(names);
    source const all(range);
    if constexpr (can_be_overwritten<U>) {
      return transform_in_place<U, source, F>(opts, all, f, names, where);
    } else {
      return transform_in_parts<U, typename source::reference, F>(
          opts, f, names, where, [&](bulk& b, std::size_t& count, auto const& each) {
            b.split(all, each);
            count = all.count;
            return b.finish(count);
          });
    }
  } else {
    using stream = stream_of<R>;
    using U = typename transformed<typename stream::reference, F>::type;
    require_names_of<typename stream::reference>(names);
    stream all(range);
    return transform_in_parts<U, typename stream::reference, F>(
        opts, f, names, where, [&](bulk& b, std::size_t& count, auto const& each) {
          b.share(all, each);
          count = all.count();
          return b.finish(count, all.is_complete());
        });
  }
}

}  // namespace detail

/// Calls `f` for each element of `range`, in parallel, and returns the values in the order of
/// `range`.
///
///     auto const pages = errgroup::transform({.limit = 8}, urls, fetch);  // result<vector<page>>
///
/// `f(element)`, or `f(element, std::stop_token)`, returns a value, or an `errgroup::result` or an
/// expected of any kind with a value. The rest is as for `for_each`: the first failure is the
/// error, and there are no values then. When `transform` has returned, nothing runs any more.
///
/// Values are moved, never copied, and need no default constructor. Until the last value is made,
/// the values are kept in parts. At the end the parts are put together: for a moment the values
/// take twice the memory, unless they are trivially copied.
///
/// Throws: as `for_each`, and at the end exceptions of moving a value.
/// Threads: any, tasks of a group included.
/// Cost: as `tbb::parallel_for`, if the values are trivially copied, and the range has random
///     access and a size. Otherwise in addition a move for each value. See perf/bulk.
template <std::ranges::input_range R, class F>
[[ERRGROUP_NODISCARD_RESULT]] auto transform(
    options const& opts, R&& range, F&& f,
    std::source_location where = std::source_location::current()) {
  return detail::transform_of(opts, range, f, detail::without_names(), where);
}
/// The same with a group that has no limit and cancels itself at the first error.
template <std::ranges::input_range R, class F>
[[ERRGROUP_NODISCARD_RESULT]] auto transform(
    R&& range, F&& f, std::source_location where = std::source_location::current()) {
  return detail::transform_of(options{}, range, f, detail::without_names(), where);
}

/// The same with a name for an element that fails, as in `for_each`. See `named_by`.
template <std::ranges::input_range R, class F, class P>
[[ERRGROUP_NODISCARD_RESULT]] auto transform(
    options const& opts, R&& range, F&& f, named_by<P> const& names,
    std::source_location where = std::source_location::current()) {
  return detail::transform_of(opts, range, f, names, where);
}
/// The same with a group that has no limit and cancels itself at the first error.
template <std::ranges::input_range R, class F, class P>
[[ERRGROUP_NODISCARD_RESULT]] auto transform(
    R&& range, F&& f, named_by<P> const& names,
    std::source_location where = std::source_location::current()) {
  return detail::transform_of(options{}, range, f, names, where);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_TRANSFORM_HPP
