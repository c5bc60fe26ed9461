// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_STREAM_HPP
#define ERRGROUP_STREAM_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/outermost.hpp>
#include <errgroup/detail/stream_core.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/options.hpp>
#include <errgroup/result.hpp>
#include <errgroup/task.hpp>
#include <errgroup/task_options.hpp>

#include <chrono>           // duration, time_point
#include <concepts>         // constructible_from, invocable
#include <functional>       // invoke
#include <memory>           // make_unique
#include <source_location>  // source_location
#include <stop_token>       // stop_callback, stop_token
#include <string_view>      // string_view
#include <type_traits>      // conditional_t, decay_t, invoke_result_t, is_object_v, is_same_v, ...
#include <utility>          // exchange, forward, move

namespace errgroup::inline v1 {
namespace detail {

/// A result of type `T` that waits for its turn.
template <class T>
class parked final : public parked_result {
 public:
  explicit parked(T&& v) : value(std::move(v)) {}

  T value;
};

/// Calls the user's consumer.
template <class T>
class consumer_of : public stream_consumer {
 public:
  /// Hands over a result that was not parked.
  virtual error consume(T&& value) noexcept = 0;
  error consume(parked_result& result) noexcept final {
    return consume(std::move(static_cast<parked<T>&>(result).value));
  }
};
template <class T, class C>
class kept_consumer final : public consumer_of<T> {
 public:
  template <class D>
  kept_consumer(D&& c, on_exception exceptions)
      : consumer_(std::forward<D>(c)), exceptions_(exceptions) {}

  using consumer_of<T>::consume;
  error consume(T&& value) noexcept override {
    error failed;
    auto call = [&] {
      using R = std::invoke_result_t<C&, T>;
      if constexpr (std::is_void_v<R>) {
        std::invoke(consumer_, std::move(value));
      } else {
        failed = to_error(std::invoke(consumer_, std::move(value)));
      }
    };
    if (exceptions_ == on_exception::terminate) [[unlikely]] {
      call_outermost(call);
    } else {
      report<void>(call, [&failed](error e) noexcept { failed = std::move(e); });
    }
    return failed;
  }

 private:
  C consumer_;
  on_exception exceptions_;
};

/// A task of a stream: calls `F`, and delivers its result.
template <class T, class F>
class stream_task : public extend::numbered_call {
 public:
  template <class G>
  stream_task(stream_core& core, G&& f) : core_(&core), f_(std::forward<G>(f)) {}
  stream_task(stream_task&& other) noexcept(std::is_nothrow_move_constructible_v<F>)
      : numbered_call(other), core_(other.core_), f_(std::move(other.f_)) {
    other.core_ = nullptr;
  }
  stream_task(stream_task const&) = delete;
  stream_task& operator=(stream_task const&) = delete;
  stream_task& operator=(stream_task&&) = delete;
  ~stream_task() {
    if (core_ != nullptr) {
      core_->leave_out(number);
    }
  }

  error operator()()
    requires(!takes_token<F>)
  {
    return run([this]() -> decltype(auto) { return invoke_task(f_, 0); });
  }
  error operator()(std::stop_token token)
    requires takes_token<F>
  {
    return run(
        [&]() -> decltype(auto) { return invoke_task(f_, [&token] { return std::move(token); }); });
  }

 private:
  template <class Call>
  error run(Call const& call) {
    using R = typename task_call<F>::result;
    if constexpr (task_result<R>) {
      auto&& returned = call();
      if (is_failure(returned)) {
        return to_error(std::forward<R>(returned));
      }
      deliver(held_value(std::forward<R>(returned)));
    } else {
      deliver(call());
    }
    return {};
  }

  // A result that the task does not return as a `T` is converted first, and an object that the task
  // refers to is copied: an exception of that is the task's failure, and the turn is not taken yet.
  template <class V>
  void deliver(V&& value) {
    if constexpr (std::is_same_v<V, T>) {
      hand_over(std::forward<V>(value));
    } else {
      T converted(std::forward<V>(value));
      hand_over(std::move(converted));
    }
  }

  void hand_over(T&& value) {
    switch (core_->begin_turn(number)) {
      case stream_core::turn::now: {
        stream_core& core = *std::exchange(core_, nullptr);
        auto& consumer = static_cast<consumer_of<T>&>(core.consumer());
        core.end_turn(number, consumer.consume(std::move(value)));
        break;
      }
      case stream_core::turn::later: {
        auto mine = std::make_unique<parked<T>>(std::move(value));
        std::exchange(core_, nullptr)->park(number, std::move(mine));
        break;
      }
      case stream_core::turn::never:
        core_ = nullptr;
        break;
    }
  }

  stream_core* core_;  // null: delivered, or moved from
  F f_;
};

/// The arguments of a task's constructor.
template <class T, class F>
struct stream_task_maker {
  operator stream_task<T, std::decay_t<F>>() const { return {core, std::forward<F>(f)}; }

  stream_core& core;
  F&& f;
};

/// Checks, when it is compiled, that `F` can be a task of a stream of `T`; throws
/// `std::invalid_argument` for a null pointer or an empty function.
template <class T, class F>
void require_stream_task(std::remove_reference_t<F> const& f) {
  using D = std::decay_t<F>;
  static_assert(std::constructible_from<D, F>,
                "errgroup: the task is kept by value, so it has to be copied or moved in: pass a "
                "move-only callable with std::move");
  static_assert(takes_token<D> || takes_nothing<D>,
                "errgroup: a task is called with nothing, or with a std::stop_token if it takes "
                "one; capture what else it needs");
  if constexpr (takes_token<D> || takes_nothing<D>) {
    using R = typename task_call<D>::result;
    using V = std::conditional_t<task_result<R>, value_of<R>, R>;
    static_assert(std::constructible_from<T, V>,
                  "errgroup: a task of an errgroup::stream<T> returns a T, or an errgroup::result "
                  "or an expected of any kind with a T");
  }
  if (is_null(f)) {
    refuse_argument("errgroup: stream::run of an empty function");
  }
}

template <class T, class C>
constexpr void require_consumer() {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>,
                "errgroup: a stream is of objects: of pointers, if the results are references");
  static_assert(std::invocable<C&, T>,
                "errgroup: the consumer of an errgroup::stream<T> is called with a T&&");
  if constexpr (std::invocable<C&, T>) {
    static_assert(task_result<std::invoke_result_t<C&, T>>,
                  "errgroup: the consumer of a stream returns what a task may return: void, "
                  "std::error_code, errgroup::error or a type of std::expected's shape");
  }
}

/// A stream names its tasks, and has no other options of tasks.
template <class Label>
std::string_view name_in_stream(Label const& label) {
  if (!rank_of(label).is_usual() || timeout_of(label)) {
    refuse_argument(
        "errgroup::stream: a task of a stream has a name and no other options; give the stream "
        "options::timeout, or take a group");
  }
  return name_of(label);
}

}  // namespace detail

/// Runs tasks in parallel, and hands their results to a consumer, one at a time, in the order in
/// which the tasks were submitted.
///
///     errgroup::stream<packed> out{{.limit = 8, .queue = 24},
///                                  [&](packed&& p) -> std::error_code { return file.write(p); }};
///     while (auto b = in.next()) out.run([b = *std::move(b)] { return deflate(b); });
///     if (auto err = out.wait()) std::cerr << err << '\n';
///
/// For a source that cannot be called by the library, or that spreads over the code of the caller;
/// otherwise see `pipeline`. A stream is a group whose tasks return a `T`, or an `errgroup::result`
/// or an expected of any kind with a `T`. Options, errors, cancellation and waiting are those of
/// the group.
///
/// The consumer is called as soon as it is a result's turn, by the thread that has the result or
/// one before it, as a part of its task. It may return what a task may return; `errgroup::no_more`
/// is a failure here. A failure of the consumer is an error of the stream, with the number of the
/// result as `error::origin().index`.
/// After the first failure, whether of a task or of the consumer, the consumer is not called again:
/// it has got a prefix of the results without a gap. With `on_error::keep_going`, a task that fails
/// has no result, and the results behind it follow.
///
/// At most `limit + queue` tasks are accepted whose results have not been handed over. A further
/// `run` from outside helps, waits for room, and returns when the stream is cancelled. `run` in a
/// task of the stream does not wait: if there is no room, it runs waiting tasks, the new one last,
/// in the calling thread. Their results wait for the result of the calling task; so there are more
/// results then, by as many as the task submits. (If another thread runs the body of an algorithm
/// for the task, `run` there counts as a call from outside, and may wait for ever, unless the
/// stream has a limit and no arena: see `extend::is_inside`.) Without `options::queue`, it is three
/// times the limit; without a limit, the limit is the concurrency of the arena.
///
/// A thread that calls `run` or `wait` may run tasks and the consumer meanwhile. So do not hold a
/// lock that tasks or the consumer take.
///
/// Threads: as a group. Results are moved, never copied, and need no default constructor.
///
/// Cost: as a task of a group with a bounded queue, and a lock; an allocation for a result that has
/// to wait. See perf/pipeline.
template <class T>
class stream {
 public:
  /// `consume` is kept by value. `where` is the place in the origin of the consumer's failure.
  ///
  /// Throws `std::invalid_argument`, in words, for invalid options and an empty function;
  /// `std::bad_alloc`.
  template <class C>
  explicit stream(options const& opts, C&& consume,
                  std::source_location where = std::source_location::current())
      : consumer_(make(opts, std::forward<C>(consume))), core_(opts, *consumer_, where) {}

  stream(stream const&) = delete;
  stream& operator=(stream const&) = delete;
  /// Cancels and joins a stream that was not waited for.
  ~stream() = default;

  /// Runs `f` as a task of the stream. Its result has its turn behind the results of earlier calls:
  /// of this thread, and of all threads whose calls have returned. See `group::run`.
  template <class F>
  void run(F&& f, std::source_location where = std::source_location::current()) {
    detail::require_stream_task<T, F>(f);
    engine().template start<detail::located<task<F>>>(where, made<F>(std::forward<F>(f)));
  }
  /// The same for a task with a name: `run({.name = "row 7"}, f)`, or `run("row 7", f)`. Throws
  /// `std::invalid_argument` for other options of the task.
  template <class F, detail::task_label Label = task_options>
  void run(Label const& label, F&& f,
           std::source_location where = std::source_location::current()) {
    std::string_view const name = detail::name_in_stream(label);
    if (name.empty()) {
      run(std::forward<F>(f), where);
      return;
    }
    detail::require_stream_task<T, F>(f);
    if (!engine().refuse()) {
      engine().template start<detail::named<task<F>>>(detail::make_note(name, where),
                                                      made<F>(std::forward<F>(f)));
    }
  }
  /// Runs `f` if there is room. If it returns false, `f` was not touched, and nothing is counted.
  /// See `group::try_run`.
  template <class F>
  [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      F&& f, std::source_location where = std::source_location::current()) {
    detail::require_stream_task<T, F>(f);
    return engine().template try_start<detail::located<task<F>>>(where,
                                                                 made<F>(std::forward<F>(f)));
  }
  /// The same for a task with options, or with a name.
  template <class F, detail::task_label Label = task_options>
  [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      Label const& label, F&& f, std::source_location where = std::source_location::current()) {
    std::string_view const name = detail::name_in_stream(label);
    if (name.empty()) {
      return try_run(std::forward<F>(f), where);
    }
    detail::require_stream_task<T, F>(f);
    return !engine().is_stopped() &&
           engine().template try_start<detail::named<task<F>>>(detail::make_note(name, where),
                                                               made<F>(std::forward<F>(f)));
  }

  /// Helps until every task is finished and every result was handed over, and tells the first
  /// error. See `group::wait`.
  [[ERRGROUP_NODISCARD_ERROR]] error wait() { return core_.in().wait(); }
  /// See `group::wait_until`.
  template <class Clock, class Duration>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_until(
      std::chrono::time_point<Clock, Duration> const& until) {
    return core_.in().wait_until(until);
  }
  /// See `group::wait_for`.
  template <class Rep, class Period>
  [[ERRGROUP_NODISCARD_IN_TIME]] bool wait_for(std::chrono::duration<Rep, Period> const& time) {
    return core_.in().wait_for(time);
  }

  /// See `group::cancel`. The consumer may be in a call, which is not followed by another.
  void cancel() noexcept { core_.in().cancel(); }
  /// The same with a cause that `wait` returns.
  void cancel(error cause) noexcept { core_.in().cancel(std::move(cause)); }
  /// See `group::is_canceling`.
  [[ERRGROUP_NODISCARD_ANSWER]] bool is_canceling() const noexcept {
    return core_.in().is_canceling();
  }
  /// See `group::get_stop_token`.
  [[ERRGROUP_NODISCARD_ANSWER]] std::stop_token get_stop_token() const {
    return core_.in().get_stop_token();
  }
  /// See `group::first_error`.
  [[ERRGROUP_NODISCARD_ANSWER]] error first_error() const noexcept {
    return core_.in().first_error();
  }
  /// See `group::cause`.
  [[ERRGROUP_NODISCARD_ANSWER]] error cause() const noexcept { return core_.in().cause(); }
  /// See `group::on_cancel`.
  template <class F>
  [[ERRGROUP_NODISCARD_CALLBACK]] std::stop_callback<std::decay_t<F>> on_cancel(F&& f) const {
    return core_.in().on_cancel(std::forward<F>(f));
  }
  /// See `group::set_deadline`.
  template <class Clock, class Duration>
  void set_deadline(std::chrono::time_point<Clock, Duration> const& time) {
    core_.in().set_deadline(time);
  }
  /// See `group::deadline`.
  [[ERRGROUP_NODISCARD_ANSWER]] clock::time_point deadline() const noexcept {
    return core_.in().deadline();
  }
  /// A fresh start after a failure. See `group::reset`.
  void reset() { core_.reset(); }

 private:
  template <class C>
  static std::unique_ptr<detail::consumer_of<T>> make(options const& opts, C&& consume) {
    using D = std::decay_t<C>;
    detail::require_consumer<T, D>();
    if (detail::is_null(consume)) {
      detail::refuse_argument("errgroup: the consumer of a stream is an empty function");
    }
    return std::make_unique<detail::kept_consumer<T, D>>(std::forward<C>(consume), opts.exceptions);
  }

  template <class F>
  using task = detail::stream_task<T, std::decay_t<F>>;
  /// Becomes a task when the group has accepted it. Until then `f` is not touched.
  template <class F>
  detail::stream_task_maker<T, F> made(F&& f) noexcept {
    return {core_, std::forward<F>(f)};
  }
  [[nodiscard]] detail::group_core& engine() noexcept {
    return extend::access::core_of(core_.in());
  }

  std::unique_ptr<detail::consumer_of<T>> consumer_;
  detail::stream_core core_;
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_STREAM_HPP
