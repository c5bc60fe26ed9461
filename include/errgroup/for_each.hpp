// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_FOR_EACH_HPP
#define ERRGROUP_FOR_EACH_HPP

#include <errgroup/detail/bulk.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/named_by.hpp>
#include <errgroup/task.hpp>

#include <cstddef>          // size_t
#include <ranges>           // input_range
#include <source_location>  // source_location
#include <stop_token>       // stop_token
#include <type_traits>      // is_void_v, remove_reference_t
#include <utility>          // forward

namespace errgroup::inline v1 {
namespace detail {

/// Calls `f` with one element after the other.
template <class F>
struct for_each_step : plain_step<for_each_step<F>> {
  for_each_step(bulk& run, F const& function, std::stop_token const& its_token) noexcept
      : b(run), f(function), token(its_token) {}

  bulk& b;
  F const& f;
  std::stop_token const& token;

  template <class Cursor, class Name = no_name>
  bool operator()(Cursor& cursor, std::size_t i, Name const& name = {}) {
    using R = called_with<F, decltype(*cursor)>;
    if constexpr (std::is_void_v<R>) {
      call_with(f, token, *cursor);
    } else {
      auto&& returned = call_with(f, token, *cursor);
      if (is_failure(returned)) [[unlikely]] {
        return b.fail(to_error(std::forward<R>(returned)), i, name());
      }
    }
    return true;
  }
};

/// `T` is the type as which `f` gets an element.
template <class T, class F>
constexpr void require_for_each() {
  require_takes<F, T>();
  if constexpr (takes_with_token<F, T> || takes_without_token<F, T>) {
    static_assert(task_result<called_with<F, T>>,
                  "errgroup: for_each calls what returns void, std::error_code, errgroup::error or "
                  "a type of std::expected's shape; to keep what it returns, use transform");
  }
}

template <class T, class F, class Names, class Run>
error for_each_in(options const& opts, F const& f, Names const& names, std::source_location where,
                  Run const& run) {
  require_names_of<T>(names);
  if (is_null(f)) {
    refuse_argument("errgroup: for_each of an empty function");
  }
  bulk b(opts, where);
  std::stop_token const token = b.token<takes_with_token<F, T>>();
  return run(b, [&](pace& mine, std::size_t first, std::size_t last, auto const& at) {
    auto step = with_names(for_each_step<F>(b, f, token), names);
    b.work(mine, first, last, at, step);
  });
}

template <class R, class F, class Names>
error for_each_of(options const& opts, R& range, F& f, Names const& names,
                  std::source_location where) {
  if constexpr (indexable<R>) {
    using source = indexed_source<R>;
    require_for_each<typename source::reference, F>();
    source const all(range);
    return for_each_in<typename source::reference, F>(opts, f, names, where,
                                                      [&](bulk& b, auto const& each) {
                                                        b.split(all, each);
                                                        return b.finish(all.count);
                                                      });
  } else {
    using stream = stream_of<R>;
    require_for_each<typename stream::reference, F>();
    stream all(range);
    return for_each_in<typename stream::reference, F>(
        opts, f, names, where, [&](bulk& b, auto const& each) {
          b.share(all, each);
          return b.finish(all.count(), all.is_complete());
        });
  }
}

template <class N, class F, class Names>
error for_each_below(options const& opts, N n, F& f, Names const& names,
                     std::source_location where) {
  require_for_each<N, F>();
  if constexpr (std::is_signed_v<N>) {
    if (n < 0) {
      refuse_argument("errgroup: for_each of a negative number of elements");
    }
  }
  counted_source<N> const all{static_cast<std::size_t>(n)};
  return for_each_in<N, F>(opts, f, names, where, [&](bulk& b, auto const& each) {
    b.split(all, each);
    return b.finish(all.count);
  });
}

}  // namespace detail

/// Calls `f(element)`, or `f(element, std::stop_token)`, for each element of `range`, in parallel,
/// and waits. The order is not defined.
///
///     std::vector<image> images = …;
///     auto err = errgroup::for_each(images, [](image& i) -> std::error_code { return i.scale(2);
///     });
///
/// `f` may return every type that a task may return: void, a `std::error_code`, an
/// `errgroup::error`, an expected of any kind. `f` is neither copied nor moved. Several threads
/// call `f` at once, as a const object. When `for_each` has returned, nothing runs any more.
///
/// The first failure, returned or thrown, is the error. After it, elements that no thread has begun
/// with are left out, and counted (`error::skipped`, as far as `range` tells its size). The error
/// names the element that failed: `error::origin().index` is its position, and with a `named_by`
/// the error tells its name, too. With `on_error::keep_going`, `f` is called for all elements, or
/// until it has failed for `max_failures` of them; with `keep::all`, all failures are reported. A
/// call in a task is cancelled with the task. Every cancellation is an error, wherever it comes
/// from.
///
/// The elements of a range with random access and a size are divided as by `tbb::parallel_for`.
/// With `options::limit`, at most so many threads take one chunk after the other, so never more
/// threads are in `f` at once. The threads dereference iterators without a lock: the function of a
/// `views::transform` is called by several threads at once.
///
/// For other ranges, threads take turns in taking a few elements under a lock:
///
/// - Under the lock, the iterators of the range are copied, incremented and compared. Each iterator
///   is incremented once. So the predicate of a `views::filter` is called once for each element, by
///   one thread at a time.
/// - If the range can be read more than once, a thread takes an iterator for each element. The
///   thread that calls `f` dereferences the iterator once, without the lock, at the same time as
///   other threads. So the function of a `views::transform` runs in parallel, as `f` does. (If a
///   `views::filter` follows the `views::transform`, the filter dereferences the iterator once
///   more, under the lock.)
/// - If the range can be read only once, its iterator is dereferenced under the lock, and `f` gets
///   the elements themselves: by reference, if the range gives references, else as rvalues.
///
/// If calls of `f` are short, a thread takes up to 1024 elements before it works on the first of
/// them. So a range must not wait for the calls of `f` with elements that the range has given out.
///
/// Call it as `errgroup::for_each`: with arguments from `std`, the bare name finds
/// `std::for_each` as well.
///
/// Throws: `std::invalid_argument` for invalid options and for an empty `std::function`; exceptions
///     of the range's `begin`, `end` and `size`; `std::bad_alloc`. Later exceptions of the range's
///     iterators are errors.
/// Threads: any, tasks of a group included.
/// Cost: as `tbb::parallel_for`. A range without random access costs in addition a lock for every
///     few elements, and memory for up to 1024 iterators or elements for each thread. Each thread
///     checks every few microseconds whether the group was cancelled; see perf/bulk.
///
/// `where` is the place of the call, for `error::origin`.
template <std::ranges::input_range R, class F>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    options const& opts, R&& range, F&& f,
    std::source_location where = std::source_location::current()) {
  return detail::for_each_of(opts, range, f, detail::without_names(), where);
}
/// The same with a group that has no limit and cancels itself at the first error.
template <std::ranges::input_range R, class F>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    R&& range, F&& f, std::source_location where = std::source_location::current()) {
  return detail::for_each_of(options{}, range, f, detail::without_names(), where);
}

/// The same with a name for an element that fails, behind the names of the group and of the groups
/// above: `for_each(files, check, errgroup::named_by(&file::path))`. See `named_by`.
template <std::ranges::input_range R, class F, class P>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    options const& opts, R&& range, F&& f, named_by<P> const& names,
    std::source_location where = std::source_location::current()) {
  return detail::for_each_of(opts, range, f, names, where);
}
/// The same with a group that has no limit and cancels itself at the first error.
template <std::ranges::input_range R, class F, class P>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    R&& range, F&& f, named_by<P> const& names,
    std::source_location where = std::source_location::current()) {
  return detail::for_each_of(options{}, range, f, names, where);
}

/// Calls `f(i)`, or `f(i, std::stop_token)`, for each `i` from 0 to `n - 1`, in parallel, and
/// waits: `for_each` of these numbers.
///
/// Throws `std::invalid_argument` also for a negative `n`.
template <detail::counts N, class F>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    options const& opts, N n, F&& f, std::source_location where = std::source_location::current()) {
  return detail::for_each_below(opts, n, f, detail::without_names(), where);
}
/// The same with a group that has no limit and cancels itself at the first error.
template <detail::counts N, class F>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    N n, F&& f, std::source_location where = std::source_location::current()) {
  return detail::for_each_below(options{}, n, f, detail::without_names(), where);
}

/// The same with a name for a number whose call fails. See `named_by`.
template <detail::counts N, class F, class P>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    options const& opts, N n, F&& f, named_by<P> const& names,
    std::source_location where = std::source_location::current()) {
  return detail::for_each_below(opts, n, f, names, where);
}
/// The same with a group that has no limit and cancels itself at the first error.
template <detail::counts N, class F, class P>
[[ERRGROUP_NODISCARD_ERROR]] error for_each(
    N n, F&& f, named_by<P> const& names,
    std::source_location where = std::source_location::current()) {
  return detail::for_each_below(options{}, n, f, names, where);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_FOR_EACH_HPP
