// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_JOIN_HPP
#define ERRGROUP_JOIN_HPP

#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/result.hpp>
#include <errgroup/task.hpp>

#include <concepts>         // same_as
#include <cstddef>          // size_t
#include <mutex>            // mutex, scoped_lock
#include <source_location>  // source_location
#include <type_traits>      // remove_cvref_t, remove_reference_t
#include <utility>          // forward, move

namespace errgroup::inline v1 {

/// A joiner's answer to a result.
enum class verdict {
  go_on,   ///< the joiner wants further results
  enough,  ///< the other tasks are cancelled, and their results dropped
};

/// Makes one answer of the results of several tasks: `join` hands the results to the joiner, one
/// after another. `all`, `any` and the like have joiners. (Java's StructuredTaskScope has joiners,
/// too.)
///
///     struct fastest_two {
///       std::vector<int> found;
///       errgroup::verdict on_result(std::size_t, errgroup::result<int>&& r) {
///         if (r) found.push_back(*r);
///         return found.size() == 2 ? errgroup::verdict::enough : errgroup::verdict::go_on;
///       }
///       errgroup::result<std::vector<int>> finish() { return std::move(found); }
///     };
///
/// `on_result(index, result<T>&&)` is called once for each task that has run, in the order in which
/// the tasks finish. The threads that ran the tasks call it, one thread at a time, and never after
/// it returned `enough`. It must not wait for other tasks. If it throws, the join ends, the
/// exception is its failure, and no further result is handed over.
///
/// `finish()` is called by the thread that called `join`, when no task is left. `join` returns the
/// return value of `finish()`.
///
/// A joiner need not have `on_cancel(error const& cause)`. It is called once if the join is stopped
/// by another cause than `enough`: by its deadline, by its stop token, by the task around it (the
/// cause is then `errc::canceled`), or by an exception of `on_result`. The call comes before any
/// result that comes after the stop. The joiner then decides on the return value of `finish`. If a
/// joiner has no `on_cancel`, `finish` is not called, and `join` returns the cause: an answer that
/// may be incomplete is not reported as a complete answer.
template <class J, class T>
concept joiner = requires(J& j, std::size_t index, result<T>&& r) {
  { j.on_result(index, std::move(r)) } -> std::same_as<verdict>;
  j.finish();
};

namespace detail {

template <class J>
concept told_of_cancel = requires(J& j, error const& cause) { j.on_cancel(cause); };

/// A callable that is called several times, with pauses in between: `errgroup::retrying`.
template <class F>
concept repeating = requires { typename std::remove_cv_t<F>::attempts; };

/// A running join.
template <class J>
class joining {
 public:
  joining(options const& opts, J& j, std::source_location where)
      : joiner_(j), where_(where), group_(with_own_policy(opts), where) {}
  joining(joining const&) = delete;
  joining& operator=(joining const&) = delete;

  template <class Source>
  auto run(Source& source) {
    source.each([this](std::size_t index, auto& f) { this->start(index, f); });
    return finish();
  }

 private:
  static options with_own_policy(options opts) {
    if (opts.policy == on_error::keep_going && opts.max_failures != 0) {
      opts.max_failures = npos;  // for the joiner to count; other values are refused by the group
    }
    opts.policy = on_error::cancel;  // no task fails unless the joiner throws
    opts.errors = keep::first;
    return opts;
  }

  template <class F>
  void start(std::size_t index, F& f) {
    static_assert(
        joiner<J, value_of_call<F>>,
        "errgroup: a joiner has a verdict on_result(std::size_t, result<T>&&) for the T of "
        "each task, and a finish()");
    if constexpr (repeating<F>) {
      group_.run([this, index, turns = f.begin()]() mutable { attempt(index, turns); }, where_);
    } else {
      group_.run([this, index, &f] { report(index, call_in(group_, f)); }, where_);
    }
  }

  template <class Attempts>
  void attempt(std::size_t index, Attempts& turns) {
    auto turn = turns.next(group_, index, where_);
    if (!turn.pause) {
      report(index, std::move(turn.got));
      return;
    }
    if constexpr (requires { joiner_.on_retry(index, turn.got.error()); }) {
      std::scoped_lock<std::mutex> const one_at_a_time(lock_);
      joiner_.on_retry(index, turn.got.error());
    }
    group_.run_after(
        *turn.pause, [this, index, next = std::move(turns)]() mutable { attempt(index, next); },
        where_);
  }

  template <class T>
  void report(std::size_t index, result<T>&& got) {
    if (!got.has_value()) {
      got.error() = extend::describe(group_, std::move(got).error(), index, where_);
    }
    bool is_enough = false;
    {
      std::scoped_lock<std::mutex> const one_at_a_time(lock_);
      if (is_over_ || has_thrown_) {
        return;
      }
      if (group_.is_canceling()) {
        note_cancel(group_.first_error());
      }
      if (told_of_cancel<J> || !cause_) {
        // Set during the call: if the call throws, no later verdict can make a success of the join.
        has_thrown_ = true;
        is_enough = is_over_ = joiner_.on_result(index, std::move(got)) == verdict::enough;
        has_thrown_ = false;
      }
    }
    if (is_enough) {
      group_.cancel();
    }
  }

  void note_cancel(error const& cause) {
    if (!cause_) {
      if constexpr (told_of_cancel<J>) {
        joiner_.on_cancel(cause);
      }
      cause_ = cause;  // not set if `on_cancel` threw: the end calls it again
    }
  }

  auto finish() {
    using answer = decltype(joiner_.finish());
    error const told = group_.wait();
    if (told && !is_over_) {
      note_cancel(told);
    }
    if constexpr (!told_of_cancel<J>) {
      static_assert(std::constructible_from<answer, error>,
                    "errgroup: a joiner without on_cancel returns a result from finish()");
      if (cause_) {
        return answer(with_skipped(cause_, told));
      }
    }
    answer given = joiner_.finish();
    if constexpr (is_result<answer>) {
      if (!given.has_value()) {
        given.error() = with_skipped(std::move(given).error(), told);
      }
    }
    return given;
  }

  static error with_skipped(error e, error const& told) noexcept {
    error_access::set_skipped(e, told.skipped());
    return e;
  }

  J& joiner_;
  std::source_location where_;
  std::mutex lock_;
  bool is_over_ = false;     // the joiner answered `enough`
  bool has_thrown_ = false;  // the joiner threw
  error cause_;              // why the join was stopped otherwise
  group group_;              // destroyed first
};

template <class J, class Source>
auto join_source(options const& opts, std::source_location where, J& j, Source& source) {
  return joining<J>(opts, j, where).run(source);
}

}  // namespace detail

/// Runs `f...`, or each callable of a range, as tasks of one group. Hands their results to
/// `joiner`, waits for all tasks, and returns the return value of `joiner.finish()`. When `join`
/// has returned, no task runs any more.
///
/// A callable returns a `T`, a `result<T>`, any type of `std::expected`'s shape, or a type without
/// a value that a task may return. An exception is a failure. A callable may take a
/// `std::stop_token`, which is stopped when the remaining results are not wanted any more. The
/// callables are called in place, neither moved nor copied, except for a range that does not store
/// its callables.
///
/// `opts` are the options of the group; its `policy` and `errors` are for the joiner to decide.
///
/// Throws: `std::invalid_argument` for invalid options and for an empty callable; exceptions of
///     `finish()` and of the range; `std::bad_alloc`. After an exception, too, no task runs any
///     more.
/// Cost: a group, and a lock and a call for each result.
template <class J, class... A>
[[ERRGROUP_NODISCARD_RESULT]] auto join(options const& opts, J&& joiner, A&&... f) {
  auto source = detail::source_of(f...);
  return detail::join_source(opts, {}, joiner, source);
}

/// The same without options.
template <class J, class... A>
  requires(!std::same_as<std::remove_cvref_t<J>, options>)
[[ERRGROUP_NODISCARD_RESULT]] auto join(J&& joiner, A&&... f) {
  return errgroup::join(options{}, std::forward<J>(joiner), std::forward<A>(f)...);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_JOIN_HPP
