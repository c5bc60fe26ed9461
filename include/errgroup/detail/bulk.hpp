// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_BULK_HPP
#define ERRGROUP_DETAIL_BULK_HPP

/// The common part of `for_each`, `transform` and `reduce`: how a range is divided, when a thread
/// checks whether to go on, and how the failure of an element is handled.

#include <errgroup/detail/forced_unwind.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/outermost.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/named_by.hpp>
#include <errgroup/progress.hpp>
#include <errgroup/task.hpp>

#include <tbb/blocked_range.h>  // blocked_range
#include <tbb/parallel_for.h>   // parallel_for
#include <tbb/task_arena.h>     // current_thread_index, isolate, max_concurrency

#include <algorithm>        // clamp, max, min
#include <atomic>           // atomic
#include <bit>              // bit_ceil
#include <chrono>           // duration, microseconds, steady_clock
#include <concepts>         // constructible_from, integral, invocable, move_constructible, same_as
#include <cstddef>          // size_t
#include <functional>       // invoke
#include <iterator>         // iter_difference_t
#include <mutex>            // mutex, scoped_lock
#include <new>              // bad_alloc
#include <ranges>           // begin, end, input_range, range_reference_t, range_value_t, size, ...
#include <source_location>  // source_location
#include <stop_token>       // stop_token
#include <string_view>      // string_view
#include <system_error>     // errc, error_code
#include <type_traits>      // conditional_t, is_lvalue_reference_v, is_void_v, remove_cvref_t
#include <utility>          // declval, exchange, forward, in_place_t, move
#include <vector>           // vector

namespace errgroup::inline v1::detail {

/// The type of a number of elements; `bool` is no such type.
template <class N>
concept counts = std::integral<N> && !std::same_as<std::remove_cv_t<N>, bool>;

// --- calls -----------------------------------------------------------------------------------

/// Several threads call an `F` with elements at once, as a const object.
template <class F, class... Args>
concept takes_with_token = std::invocable<F const&, Args..., std::stop_token const&>;
template <class F, class... Args>
concept takes_without_token = std::invocable<F const&, Args...>;

/// Refuses an `F` that cannot be called with `Args`, with a message that gives the reason.
template <class F, class... Args>
constexpr void require_takes() {
  static_assert(takes_with_token<F, Args...> || takes_without_token<F, Args...>,
                "errgroup: several threads call this at once, so it is called as a const object "
                "(not a mutable lambda): with an element, or with an element and a "
                "std::stop_token; in reduce, with the value so far before those");
}

template <class F, class... Args>
decltype(auto) call_with(F const& f, std::stop_token const& token, Args&&... args) {
  if constexpr (takes_with_token<F, Args...>) {
    return std::invoke(f, std::forward<Args>(args)..., token);
  } else {
    return std::invoke(f, std::forward<Args>(args)...);
  }
}

template <class F, class... Args>
using called_with = decltype(call_with(
    std::declval<F const&>(), std::declval<std::stop_token const&>(), std::declval<Args>()...));

// --- pace ------------------------------------------------------------------------------------

/// How many elements a thread works on before it checks for a cancellation. The check must cost
/// nothing compared with short elements, and must not come late after long elements. So the
/// elements of a block take some microseconds, by the clock. Each thread has a pace of its own, as
/// long as there are enough.
struct alignas(64) pace {
  using clock = std::chrono::steady_clock;

  static constexpr std::chrono::microseconds brisk{4};
  static constexpr std::chrono::microseconds sluggish{16};
  static constexpr std::size_t most = std::size_t{1} << 20;

  std::atomic<std::size_t> block{1};
  std::atomic<std::size_t> untimed{0};  // elements since the clock was read
  std::atomic<std::size_t> called{0};   // elements that were worked on

  /// The size of the next block, if `size` elements took this time and the last block had the size
  /// `block`.
  static std::size_t next(std::size_t block, std::size_t size, clock::duration took) noexcept {
    auto const parts = static_cast<clock::rep>(size);
    // The time of a block of such elements, times `size`.
    auto const whole =
        std::min<clock::duration>(took, std::chrono::seconds(1)) * static_cast<clock::rep>(block);
    if (whole < brisk * parts) {
      return std::min(most, (4 * whole < brisk * parts ? 4 : 2) * block);
    }
    if (whole > 4 * sluggish * parts) {
      return 1;
    }
    return whole > sluggish * parts ? std::max<std::size_t>(1, block / 2) : block;
  }
};

// --- elements --------------------------------------------------------------------------------

/// 0, 1, 2, … in the integer type of the caller. (A `std::ranges::iota_view` of 64-bit integers has
/// 128-bit differences.)
template <class N>
class counter {
 public:
  explicit counter(N n) noexcept : n_(n) {}
  N operator*() const noexcept { return n_; }
  counter& operator++() noexcept {
    ++n_;
    return *this;
  }

 private:
  N n_;
};

template <class N>
struct counted_source {
  using reference = N;
  static constexpr bool is_direct = true;

  std::size_t count;

  counter<N> operator()(std::size_t i) const noexcept { return counter<N>(static_cast<N>(i)); }
};

template <class S>
concept is_source = requires(S const& s) { s(s.count); };

/// A range whose elements can be accessed in any order.
template <class R>
concept indexable = std::ranges::random_access_range<R> && std::ranges::sized_range<R>;

template <class R>
struct indexed_source {
  using reference = std::ranges::range_reference_t<R>;
  /// True if it costs nothing to access each element anew.
  static constexpr bool is_direct = std::ranges::contiguous_range<R>;

  explicit indexed_source(R& range)
      : first(begin_of(range)), count(static_cast<std::size_t>(std::ranges::size(range))) {}

  static auto begin_of(R& range) {
    if constexpr (std::ranges::contiguous_range<R>) {
      return std::ranges::data(range);
    } else {
      return std::ranges::begin(range);
    }
  }

  using iterator = decltype(begin_of(std::declval<R&>()));

  iterator operator()(std::size_t i) const {
    return first + static_cast<std::iter_difference_t<iterator>>(i);
  }

  iterator first;
  std::size_t count;
};

/// The work on one element after the other: `step(cursor, i)` returns whether to go on. `begin` and
/// `end` enclose the work on some elements. `resume` follows an exception.
template <class Self>
struct plain_step {
  Self begin() const noexcept { return static_cast<Self const&>(*this); }
  void end(Self const& /*unused*/) const noexcept {}
  void resume() const noexcept {}
};

/// Calls `step(cursor, i)` for the elements from `i` to `end`, until a call returns false. `at(i)`
/// makes the cursor. Afterwards `i` is the first element without a call.
template <class At, class Step>
[[gnu::always_inline]] inline bool walk(std::size_t& i, std::size_t end, At const& at, Step& step) {
  auto mine = step.begin();
  if constexpr (At::is_direct) {
    for (; i != end; ++i) {
      auto cursor = at(i);
      if (!mine(cursor, i)) [[unlikely]] {
        ++i;
        return false;
      }
    }
  } else if (i != end) {
    for (auto cursor = at(i);;) {
      if (!mine(cursor, i)) [[unlikely]] {
        ++i;
        return false;
      }
      if (++i == end) {
        break;
      }
      ++cursor;  // not past the last element: the next may not be needed
    }
  }
  step.end(std::move(mine));
  return true;
}

// --- a run -----------------------------------------------------------------------------------

/// One call of `for_each` or the like: its group, and the outcome for the elements. A function that
/// runs tasks waits for them, even if something throws.
class bulk {
 public:
  bulk(options const& opts, std::source_location where)
      : options_(opts),
        where_(where),
        lanes_(lanes_for(opts)),
        paces_(std::bit_ceil(static_cast<std::size_t>(std::clamp(lanes_, 1, 128)))),
        group_(of_group(opts), where) {}

  [[nodiscard]] group& in() noexcept { return group_; }

  /// The group's stop token, if the callable takes a token.
  template <bool Wanted>
  [[nodiscard]] std::stop_token token() const {
    return Wanted ? group_.get_stop_token() : std::stop_token();
  }

  /// The number of tasks that share the elements, where oneTBB does not divide them.
  [[nodiscard]] std::size_t lanes() const noexcept { return static_cast<std::size_t>(lanes_); }
  [[nodiscard]] bool is_limited() const noexcept { return options_.limit != unlimited; }
  [[nodiscard]] pace& pace_here() noexcept {
    int const index = tbb::this_task_arena::current_thread_index();
    return paces_[static_cast<std::size_t>(index) & (paces_.size() - 1)];
  }
  [[nodiscard]] bool is_canceling() const noexcept { return group_.is_canceling(); }

  /// The element at `index` has failed with `e`. True if the other elements go on.
  [[gnu::noinline, gnu::cold]] bool fail(error e, std::size_t index,
                                         std::string_view name = {}) noexcept {
    bool const late = group_.is_canceling();
    if (options_.errors == keep::all && late && e == std::errc::operation_canceled) {
      echoes_.fetch_add(1, std::memory_order_relaxed);
      return options_.policy == on_error::keep_going;
    }
    if (options_.policy == on_error::cancel) {
      if (late) {
        if (options_.errors == keep::first) {
          return false;
        }
        group_.cancel();  // the cancellation from above came first, and may be the cause
      }
      group_.cancel(extend::describe(group_, std::move(e), index, where_, name));
      return false;
    }
    std::size_t const before = failures_.fetch_add(1, std::memory_order_relaxed);
    keep_failure(std::move(e), index, name, late, before != 0);
    if (before + 1 == options_.max_failures) {
      group_.cancel();
    }
    return before + 1 < options_.max_failures;
  }

  /// The same with the exception that is being handled.
  [[gnu::noinline, gnu::cold]] bool fail_caught(std::size_t index,
                                                std::string_view name = {}) noexcept {
    bool go_on = true;
    report<void>([] { throw; }, [&](error e) noexcept { go_on = fail(std::move(e), index, name); });
    return go_on;
  }

  /// Calls `f()`. Its exceptions are failures of the element at `index`, which `f` may change. With
  /// `on_exception::terminate`, an exception terminates the process.
  template <class F>
  bool guarded(F&& f, std::size_t const& index) noexcept {
    if (leaves_exceptions()) {
      try {
        f();
      } catch (forced_unwind const&) {
        refuse_end_of_thread();
      }
      return true;
    }
    bool done = true;
    report<void>(f, [&](error e) noexcept {
      done = false;
      fail(std::move(e), index);
    });
    return done;
  }

  [[nodiscard]] bool leaves_exceptions() const noexcept {
    return options_.exceptions == on_exception::terminate;
  }

  /// Walks from `first` to `last`, and checks from time to time whether the group was cancelled.
  /// After a failure, `step.resume()` is called before the next element. False if the walk did not
  /// reach the end.
  template <class At, class Step>
  bool work(pace& mine, std::size_t first, std::size_t last, At const& at, Step& step) noexcept {
    if (leaves_exceptions()) [[unlikely]] {
      bool done = false;
      auto body = [&] { done = pass<false>(mine, first, last, at, step); };
      call_outermost(body);
      return done;
    }
    return pass<true>(mine, first, last, at, step);
  }

  /// Runs `each(pace, first, last, source)` for parts of `source`, and waits. oneTBB divides the
  /// source recursively. With a limit, there is a task for each slot instead, which takes one part
  /// after the other.
  template <class Source, class Each>
  void split(Source const& source, Each const& each) {
    if (source.count == 0) {
      outcome_ = group_.wait();
    } else if (is_limited()) {
      split_in_lanes(source, each);
    } else {
      run_algorithm([&](tbb::task_group_context& context) {
        tbb::parallel_for(
            tbb::blocked_range<std::size_t>(0, source.count),
            [&](tbb::blocked_range<std::size_t> const& part) {
              each(pace_here(), part.begin(), part.end(), source);
            },
            context);
      });
    }
  }

  /// The same for the parts of a `stream`, which are not known beforehand.
  template <class Stream, class Each>
  void share(Stream& stream, Each const& each) {
    in_lanes(lanes(), [&] {
      pace mine;
      typename Stream::part part;
      while (!is_canceling()) {
        std::size_t const wanted = mine.block.load(std::memory_order_relaxed);
        auto const begin = pace::clock::now();
        if (!stream.take(*this, part, wanted)) {
          break;
        }
        auto const took = pace::clock::now() - begin;
        each(mine, part.first, part.first + part.count, part);
        if (took > pace::sluggish) {
          // If elements come slowly, do not hold them back until there are many.
          std::size_t const now = mine.block.load(std::memory_order_relaxed);
          mine.block.store(std::min(now, pace::next(wanted, part.count, took)),
                           std::memory_order_relaxed);
        }
      }
      add_called(mine);
    });
  }

  /// Runs `algorithm(context)`, an algorithm of oneTBB, as a task of the group, and waits.
  template <class Algorithm>
  void run_algorithm(Algorithm const& algorithm) {
    auto const run = [&] { algorithm(group_.context()); };
    auto const task = [&] {
      if (options_.arena == nullptr) {
        run();  // isolated, if the group is
        return;
      }
      // This thread may have come from another arena. (An arena's `execute` begins a new
      // cancellation tree, and ends isolation; so the algorithm gets the context.)
      options_.arena->execute([&] {
        if (options_.isolated) {
          tbb::this_task_arena::isolate(run);
        } else {
          run();
        }
      });
    };
    outcome_ = group_.run_and_wait([&task] { task(); }, where_);
  }

  /// The group's error, completed with the errors under `on_error::keep_going`, and with the number
  /// of elements without a call. `count` is the number of all elements, or of the elements that
  /// were taken out of a range without a known size. `complete` means that no further elements will
  /// come.
  [[nodiscard]] error finish(std::size_t count, bool complete = true) {
    std::size_t called = 0;
    for (pace const& p : paces_) {
      called += p.called.load(std::memory_order_relaxed);
    }
    error e = all_failures();
    if (!e && (called < count || !complete)) {
      // Not known to happen: the group itself reports a cancellation. But an incomplete run is
      // never a success.
      e = extend::describe(group_, errc::canceled, npos, where_);
    }
    if (e) {
      error_access::set_skipped(e, count > called ? count - called : 0);
      if (std::size_t const echoes = echoes_.load(std::memory_order_relaxed)) {
        error_access::set_others(e, e.others().size(), e.dropped(), e.echoes() + echoes);
      }
    }
    return e;
  }

 private:
  static options of_group(options opts) {
    opts.progress = nullptr;  // this call counts, not its group
    return opts;
  }

  // Not more than there are threads: more would take turns. The threads of a group with `blocking`
  // are as many as its limit.
  static int lanes_for(options const& opts) {
    if (opts.blocking) {
      return opts.limit;
    }
    int const threads =
        std::max(1, opts.arena != nullptr ? opts.arena->max_concurrency()
                                          : tbb::this_task_arena::max_concurrency());
    return opts.limit > 0 ? std::min(opts.limit, threads) : threads;
  }

  /// Runs `walk`, and sets `reached` to the element at which it stopped. True if this is the end.
  /// The loop is a function of its own, to have all registers for itself.
  template <bool Catches, class At, class Step>
  [[gnu::noinline]] bool block(std::size_t first, std::size_t last, At const& at, Step& step,
                               std::size_t& reached) {
    std::size_t i = first;
    bool done = false;
    if constexpr (!Catches) {
      done = walk(i, last, at, step);
    } else {
      for (bool resumes = false, again = true; again;) {
        again = false;
        try {
          if (resumes) {
            step.resume();
            resumes = false;
          }
          done = walk(i, last, at, step);
        } catch (...) {
          if (resumes || i == last) {
            fail_caught(i - 1);  // the step's `resume`, or its `end` after the last element, threw
          } else {
            again = resumes = fail_caught(i++);
          }
        }
      }
    }
    reached = i;
    return done;
  }

  /// Counts the elements of a block in the progress, if there is one.
  void count_called(std::size_t n) noexcept {
    if (options_.progress != nullptr) [[unlikely]] {
      options_.progress->add(n);
    }
  }

  template <bool Catches, class At, class Step>
  bool pass(pace& mine, std::size_t first, std::size_t last, At const& at, Step& step) {
    std::size_t size = mine.block.load(std::memory_order_relaxed);
    std::size_t i = first;
    bool done = true;
    if (last - first < size) {
      // The elements are short, as far as is known: reading the clock would cost as much as they
      // do.
      std::size_t const untimed = mine.untimed.load(std::memory_order_relaxed) + (last - first);
      if (untimed < size) [[likely]] {
        mine.untimed.store(untimed, std::memory_order_relaxed);
        done = block<Catches>(i, last, at, step, i);
        count_called(i - first);
        mine.called.fetch_add(i - first, std::memory_order_relaxed);
        return done;
      }
    }
    auto begin = pace::clock::now();
    for (;;) {
      std::size_t const from = i;
      done = block<Catches>(i, i + std::min(size, last - i), at, step, i);
      count_called(i - from);
      auto const end = pace::clock::now();
      size = pace::next(size, i - from, end - begin);
      begin = end;
      if (!done || i == last) {
        break;
      }
      if (is_canceling()) {
        done = false;
        break;
      }
    }
    mine.block.store(size, std::memory_order_relaxed);
    mine.untimed.store(0, std::memory_order_relaxed);
    mine.called.fetch_add(i - first, std::memory_order_relaxed);
    return done;
  }

  /// Runs `lane()` in as many tasks as there are lanes, but not more than `most`, and waits.
  template <class Lane>
  void in_lanes(std::size_t most, Lane const& lane) {
    std::size_t const tasks = std::min(lanes(), most);
    try {
      for (std::size_t i = 0; i != tasks; ++i) {
        group_.run([&lane] { lane(); }, where_);
      }
    } catch (...) {
      group_.cancel();
      (void)group_.wait();  // before the objects are destroyed that the tasks use
      throw;
    }
    outcome_ = group_.wait();
  }

  template <class Source, class Each>
  void split_in_lanes(Source const& source, Each const& each) {
    std::atomic<std::size_t> next{0};
    std::size_t const count = source.count;
    std::size_t const share = 4 * lanes();
    auto const lane = [&] {
      pace mine;
      std::size_t first = next.load(std::memory_order_relaxed);
      while (first < count && !is_canceling()) {
        std::size_t const size = std::max<std::size_t>(1, (count - first) / share);
        if (next.compare_exchange_weak(first, first + size, std::memory_order_relaxed)) {
          each(mine, first, first + size, source);
          first = next.load(std::memory_order_relaxed);
        }
      }
      add_called(mine);
    };
    in_lanes(count, lane);
  }

  void add_called(pace const& p) noexcept {
    paces_.front().called.fetch_add(p.called.load(std::memory_order_relaxed),
                                    std::memory_order_relaxed);
  }

  // Under on_error::keep_going. `late`: the group was cancelled before. `is_further`: not the
  // first.
  void keep_failure(error e, std::size_t index, std::string_view name, bool late,
                    bool is_further) noexcept {
    if (options_.errors == keep::first && is_further) {
      return;
    }
    e = extend::describe(group_, std::move(e), index, where_, name);
    std::scoped_lock<std::mutex> const guard(mutex_);
    if (!first_) {
      first_ = std::move(e);
      first_is_late_ = late;
      return;
    }
    if (others_.size() + 1 < options_.max_errors) {
      try {
        others_.push_back(std::move(e));
        return;
      } catch (std::bad_alloc const&) {
        // counted
      }
    }
    ++dropped_;
  }

  [[nodiscard]] error all_failures() noexcept {
    if (!first_) {
      return outcome_;
    }
    if (options_.errors == keep::first) {
      return first_is_late_ && outcome_ ? outcome_ : first_;
    }
    // If the group's error came first, it is the first of the list. Otherwise it is the last.
    std::vector<error> list;
    try {
      list.reserve(others_.size() + 2);
    } catch (std::bad_alloc const&) {
      error e = first_is_late_ && outcome_ ? outcome_ : first_;
      error_access::set_others(e, 0, dropped_ + others_.size(), 0);
      return e;
    }
    if (first_is_late_) {
      list.push_back(outcome_);
    }
    list.push_back(first_);
    list.insert(list.end(), others_.begin(), others_.end());
    bool const is_plain = outcome_ == errc::canceled && outcome_.others().empty();
    if (!first_is_late_ && !is_plain) {
      list.push_back(outcome_);
    }
    error e = combine(list, options_.max_errors);
    error_access::set_others(e, e.others().size(), e.dropped() + dropped_, e.echoes());
    return e;
  }

  options const& options_;
  std::source_location where_;
  int lanes_;
  std::vector<pace> paces_;  // their number is a power of two
  std::atomic<std::size_t> echoes_{0};
  std::atomic<std::size_t> failures_{0};  // under on_error::keep_going
  std::mutex mutex_;                      // guards the members below
  error first_;
  std::vector<error> others_;
  std::size_t dropped_ = 0;
  bool first_is_late_ = false;
  error outcome_;  // the return value of the group's wait
  group group_;    // the last member: its tasks use the other members
};

// --- names -----------------------------------------------------------------------------------

/// Instead of a `named_by`: the elements have no names.
struct without_names {};

/// The name of an element that has none.
struct no_name {
  std::string_view operator()() const noexcept { return {}; }
};

/// A cursor at an element that a thread has taken from another cursor.
template <class Reference>
struct cursor_at {
  Reference&& operator*() const noexcept { return static_cast<Reference&&>(element); }

  std::remove_reference_t<Reference>& element;
};

/// A step that names an element that fails. The cursor is read once, because the name has to be
/// that of the very object that the callable got: a second reading may make another object.
template <class Step, class P>
struct naming_step : plain_step<naming_step<Step, P>> {
  naming_step(Step const& inner, named_by<P> const& projection) noexcept
      : step(inner), names(projection) {}

  Step step;
  named_by<P> const& names;

  template <class Cursor>
  bool operator()(Cursor& cursor, std::size_t i) {
    auto&& element = *cursor;
    cursor_at<decltype(*cursor)> here{element};
    auto const name = [&]() noexcept { return names(element); };
    if (step.b.leaves_exceptions()) [[unlikely]] {
      return step(here, i, name);
    }
    try {
      return step(here, i, name);
    } catch (...) {
      return step.b.fail_caught(i, name());
    }
  }
};

template <class Step>
Step with_names(Step const& step, without_names const& /*unused*/) noexcept {
  return step;
}
template <class Step, class P>
naming_step<Step, P> with_names(Step const& step, named_by<P> const& names) noexcept {
  return {step, names};
}

template <class T>
constexpr void require_names_of(without_names const& /*unused*/) {}
template <class T, class P>
constexpr void require_names_of(named_by<P> const& /*unused*/) {
  require_names<P, T>();
}

// --- streams ---------------------------------------------------------------------------------

/// A range that is read once, by one thread at a time. A thread takes out some elements, and then
/// leaves the range to the next thread.
///
/// Under the lock, once for each element, the thread compares the iterator with the end, increments
/// it, and takes the element: a copy of the iterator, or the element itself.
template <class R>
class stream_base {
 public:
  explicit stream_base(R& range)
      : size_(size_of(range)), it_(std::ranges::begin(range)), end_(std::ranges::end(range)) {}

  /// The size of the range; if the range has no size, the number of elements taken so far.
  [[nodiscard]] std::size_t count() const noexcept { return size_ != npos ? size_ : taken_; }
  /// True if a thread has seen the end of the range.
  [[nodiscard]] bool is_complete() const noexcept { return over_; }

 protected:
  /// Calls `add(iterator)` for the next elements, at most `wanted`, and returns their number.
  template <class Add>
  std::size_t take_some(bulk& b, std::size_t wanted, std::size_t& first, Add const& add) {
    // Isolated: the iterator's own code may wait in oneTBB, for a `parallel_for` say. Without
    // isolation, the wait could take on another lane of this call, which would want the mutex, too.
    return tbb::this_task_arena::isolate([&] {
      std::scoped_lock<std::mutex> const guard(mutex_);
      return take_next(b, wanted, first, add);
    });
  }

 private:
  /// Under the lock.
  template <class Add>
  std::size_t take_next(bulk& b, std::size_t wanted, std::size_t& first, Add const& add) {
    first = taken_;
    if (over_ || broken_) {
      return 0;
    }
    wanted = std::min(wanted, most);
    if (size_ != npos && size_ > taken_) {
      wanted = std::min(wanted, std::max<std::size_t>(1, (size_ - taken_) / (2 * b.lanes())));
    }
    broken_ = !b.guarded(
        [&] {
          while (taken_ - first != wanted) {
            // Increment only now: finding the next element may take time, and perhaps the element
            // is not wanted.
            if (std::exchange(is_behind_, false)) {
              ++it_;
            }
            if (it_ == end_) {
              over_ = true;
              return;
            }
            add(it_);
            ++taken_;
            is_behind_ = true;
          }
        },
        taken_);
    return taken_ - first;
  }

  static constexpr std::size_t most = 1024;

  static std::size_t size_of(R& range) {
    if constexpr (std::ranges::sized_range<R>) {
      return static_cast<std::size_t>(std::ranges::size(range));
    } else {
      return npos;
    }
  }

  std::mutex mutex_;
  std::size_t size_;  // npos: the range has no size
  std::ranges::iterator_t<R> it_;
  std::ranges::sentinel_t<R> end_;
  std::size_t taken_ = 0;
  bool is_behind_ = false;
  bool over_ = false;
  bool broken_ = false;
};

/// A stream whose parts are iterators: a copy for each element, made while the range is locked.
///
/// A thread that works on a part does not increment iterators. So `operator++`, and with it the
/// predicate of a `views::filter`, is called once for each element, under the lock. The body's
/// thread dereferences each iterator once, outside of the lock.
///
/// Rejected: a part that keeps its first iterator and is walked again by its thread. Such a part
/// takes less memory, but calls the predicate a second time, at the same time as the thread that
/// holds the lock.
template <std::ranges::forward_range R>
class forward_stream : public stream_base<R> {
  using iterator = std::ranges::iterator_t<R>;

 public:
  using reference = std::ranges::range_reference_t<R>;

  class cursor {
   public:
    explicit cursor(iterator const* at) noexcept : at_(at) {}
    reference operator*() const { return **at_; }
    cursor& operator++() noexcept {
      ++at_;
      return *this;
    }

   private:
    iterator const* at_;
  };

  struct part {
    static constexpr bool is_direct = false;

    std::size_t first = 0;
    std::size_t count = 0;
    std::vector<iterator> places;

    cursor operator()(std::size_t i) const noexcept { return cursor(places.data() + (i - first)); }
  };

  using stream_base<R>::stream_base;

  bool take(bulk& b, part& p, std::size_t wanted) {
    p.places.clear();
    p.count = this->take_some(b, wanted, p.first, [&](auto const& it) { p.places.push_back(it); });
    return p.count != 0;
  }
};

/// A stream whose parts are elements, moved or copied out of a range that can be read once.
template <class R>
class input_stream : public stream_base<R> {
  using value = std::ranges::range_value_t<R>;
  using yielded = std::ranges::range_reference_t<R>;
  static_assert(std::constructible_from<value, yielded>,
                "errgroup: the elements of a range that can be read once are taken out of it, so "
                "they have to be copied, or moved if the range gives them away: see "
                "std::move_iterator");
  static_assert(std::move_constructible<value>,
                "errgroup: the elements of a range that can be read once have to be movable");

 public:
  /// The type as which an element is handed on: as the range gives it, but never a reference to the
  /// range's own element.
  using reference = std::conditional_t<
      std::is_lvalue_reference_v<yielded>,
      std::conditional_t<std::is_const_v<std::remove_reference_t<yielded>>, value const&, value&>,
      value&&>;

  struct element {  // so that a `bool` in a vector is an object, too
    template <class V>
    explicit element(std::in_place_t, V&& v) : kept(std::forward<V>(v)) {}

    value kept;
  };

  class cursor {
   public:
    explicit cursor(element* at) noexcept : at_(at) {}
    reference operator*() const noexcept { return static_cast<reference>(at_->kept); }
    cursor& operator++() noexcept {
      ++at_;
      return *this;
    }

   private:
    element* at_;
  };

  struct part {
    static constexpr bool is_direct = false;

    std::size_t first = 0;
    std::size_t count = 0;
    mutable std::vector<element> elements;

    cursor operator()(std::size_t i) const noexcept {
      return cursor(elements.data() + (i - first));
    }
  };

  using stream_base<R>::stream_base;

  bool take(bulk& b, part& p, std::size_t wanted) {
    p.elements.clear();
    p.count = this->take_some(b, wanted, p.first,
                              [&](auto const& it) { p.elements.emplace_back(std::in_place, *it); });
    return p.count != 0;
  }
};

template <class R>
struct stream_for {
  using type = input_stream<R>;
};
template <std::ranges::forward_range R>
struct stream_for<R> {
  using type = forward_stream<R>;
};
template <class R>
using stream_of = typename stream_for<R>::type;

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_BULK_HPP
