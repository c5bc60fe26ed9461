// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SPAWN_HPP
#define ERRGROUP_SPAWN_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/detail/submit.hpp>
#include <errgroup/detail/task_start.hpp>
#include <errgroup/error.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/result.hpp>
#include <errgroup/task_options.hpp>

#include <atomic>           // atomic
#include <chrono>           // nanoseconds
#include <concepts>         // same_as
#include <memory>           // make_shared, shared_ptr
#include <mutex>            // mutex
#include <optional>         // optional
#include <source_location>  // source_location
#include <string>           // string
#include <string_view>      // string_view
#include <thread>           // thread
#include <type_traits>      // decay_t
#include <utility>          // exchange, forward, move

namespace errgroup::inline v1 {
namespace detail {

/// The time of a task with a handle: `task_options::timeout`. Only a program that uses it has the
/// function.
struct single_time {
  std::chrono::nanoseconds length{};
  void (*set)(group& own, std::chrono::nanoseconds length) = nullptr;  // null: no timeout
};

[[nodiscard]] inline single_time make_single_time(
    std::optional<std::chrono::nanoseconds> const& timeout) {
  if (!timeout) {
    return {};
  }
  return {*timeout, [](group& own, std::chrono::nanoseconds length) {
            own.set_deadline(after(clock::now(), length));
          }};
}

/// The state that a handle and its task share.
class ERRGROUP_API single_task {
 public:
  single_task(group& g, std::string_view name, single_time const& time, std::source_location where)
      : group_(g), name_(name), time_(time), where_(where) {}
  single_task(single_task const&) = delete;
  single_task& operator=(single_task const&) = delete;
  virtual ~single_task();

  /// The body of the group's task: runs the callable, unless the task was cancelled before.
  error run();
  /// Called when the group destroys its task. If the callable has not run, it never will: the group
  /// was cancelled.
  void skip() noexcept;

  [[nodiscard]] bool is_ready() const noexcept { return ready_.load(std::memory_order_acquire); }
  /// Waits until the result is ready, and returns success. In the task itself, returns
  /// `errc::would_deadlock` at once.
  error wait();
  void cancel() noexcept;

 protected:
  /// Calls the callable in a task of `own`, and keeps its result.
  virtual error call(group& own) = 0;
  /// The kept failure; success if there is none.
  [[nodiscard]] virtual error failure() const noexcept = 0;
  virtual void fail(error e) noexcept = 0;
  /// Destroys the callable.
  virtual void clear() noexcept = 0;

  bool is_stopped_ = false;  // the task was, when the callable returned

 private:
  enum class claim : unsigned char { none, run, drop };

  [[nodiscard]] bool take(claim as) noexcept {
    claim free = claim::none;
    return claimed_.compare_exchange_strong(free, as, std::memory_order_acq_rel);
  }
  void await_canceler() noexcept;
  group* begin();
  error run_now();
  void finish() noexcept;
  void drop(error const& cause) noexcept;
  [[nodiscard]] error described(error e) const noexcept;

  group& group_;
  std::string name_;
  single_time time_;
  std::source_location where_;
  std::mutex lock_;
  std::optional<group> own_;  // of the tasks that the callable starts
  bool is_canceled_ = false;
  std::atomic<claim> claimed_{claim::none};
  std::atomic<std::thread::id> canceler_{};  // the thread in `cancel` that destroys the callable
  std::atomic<bool> ready_{false};
  std::atomic<int> waiters_{0};
};

template <class T>
class single_result : public single_task {
 public:
  using single_task::single_task;

  [[nodiscard]] result<T> take() { return *std::move(got_); }

 protected:
  [[nodiscard]] error failure() const noexcept final { return got_ ? got_->error() : error(); }
  void fail(error e) noexcept final { got_.emplace(std::move(e)); }

  std::optional<result<T>> got_;
};

template <class F>
class single_call final : public single_result<value_of_call<F>> {
 public:
  template <class G>
  single_call(group& g, std::string_view name, single_time const& time, std::source_location where,
              G&& f)
      : single_result<value_of_call<F>>(g, name, time, where), f_(std::forward<G>(f)) {}

 private:
  error call(group& own) override {
    return own.run_and_wait([&] {
      this->got_.emplace(call_in(own, *f_));
      this->is_stopped_ = own.is_canceling();
    });
  }
  void clear() noexcept override { f_.reset(); }

  std::optional<F> f_;
};

/// The callable of the group's task.
class single_run {
 public:
  explicit single_run(std::shared_ptr<single_task> task) noexcept : task_(std::move(task)) {}
  single_run(single_run&&) noexcept = default;
  single_run(single_run const&) = delete;
  single_run& operator=(single_run&&) = delete;
  ~single_run() {
    if (task_) {
      task_->skip();
    }
  }

  error operator()() { return task_->run(); }

 private:
  std::shared_ptr<single_task> task_;
};

/// Runs `task` as a task of `g`. The task itself keeps the name and the time.
template <class Label>
void start_single(group& g, Label const& label, single_run&& task, std::source_location where) {
  if constexpr (std::same_as<Label, task_options>) {
    auto const here = [&] { return where; };
    group_core& core = extend::access::core_of(g);
    with_rank<located<single_run>>(core, rank_of(label), here, [&]<class K>(auto const& as) {
      core.start<K>(as(), std::move(task));
    });
  } else {
    g.run(std::move(task), where);
  }
}

[[noreturn]] ERRGROUP_API void refuse_handle();

}  // namespace detail

/// A handle of one task of a group and of the task's result. `spawn` returns a handle. It can be
/// moved, but not copied.
///
/// A handle may be destroyed at any time: the task goes on like any other task of its group. A
/// handle may outlive the group, which has then waited for the task. But no thread may wait for the
/// handle while the group's destructor runs.
///
/// A task may wait for tasks of its group by their handles, and also in another way: for a nested
/// group, or in an algorithm of oneTBB. In the second kind of wait, oneTBB may run a task on top of
/// the waiting task that waits for the waiting task itself. Then the wait on top returns
/// `errc::would_deadlock`. See `options::isolated`.
///
/// Threads: any. `wait`, `ready` and `cancel` may run at the same time as each other, but not at
///     the same time as `get` or a move.
template <class T>
class [[ERRGROUP_NODISCARD_HANDLE]] handle {
 public:
  /// A handle without a task.
  handle() noexcept = default;
  handle(handle&&) noexcept = default;
  handle& operator=(handle&&) noexcept = default;
  handle(handle const&) = delete;
  handle& operator=(handle const&) = delete;
  ~handle() = default;

  /// True if the handle has a task, and the result was not taken.
  [[ERRGROUP_NODISCARD_ANSWER]] bool valid() const noexcept { return task_ != nullptr; }

  /// True if the task has finished, or will never run: `get` does not wait.
  [[ERRGROUP_NODISCARD_ANSWER]] bool ready() const { return task().is_ready(); }

  /// Waits for this task only. Afterwards the callable is destroyed, and the effects of the task
  /// are visible.
  ///
  /// In a task of the same group: if the awaited task has not started, this thread runs it, so the
  /// wait works at any limit. If the task has started, or outside of the group, the wait leaves the
  /// tasks to oneTBB's threads, if there are any (`extend::help_until`). In the awaited task
  /// itself, the wait returns at once.
  ///
  /// Throws `std::bad_alloc`; `std::logic_error` if the handle is not `valid`, like all other
  /// functions of the handle.
  void wait() const { (void)task().wait(); }

  /// Waits, and returns the task's value or the task's error. Afterwards the handle has no task. In
  /// the task itself, returns `errc::would_deadlock`, and the handle keeps the task.
  [[ERRGROUP_NODISCARD_RESULT]] result<T> get() {
    if (error e = task().wait()) {
      return result<T>(std::move(e));
    }
    return std::exchange(task_, nullptr)->take();
  }

  /// Cancels this task only. If the task has not started, it never runs. If it runs, its
  /// `std::stop_token` is stopped, and the tasks that it has started are cancelled, too. The task's
  /// result is `errc::canceled`, unless the task fails with another error. The cancellation is no
  /// failure of the group.
  void cancel() const { task().cancel(); }

 private:
  template <class F, detail::task_label Label>
  friend auto spawn(group& g, Label const& label, F&& f, std::source_location where);

  explicit handle(std::shared_ptr<detail::single_result<T>> task) noexcept
      : task_(std::move(task)) {}

  [[nodiscard]] detail::single_result<T>& task() const {
    if (task_ == nullptr) {
      detail::refuse_handle();
    }
    return *task_;
  }

  std::shared_ptr<detail::single_result<T>> task_;
};

/// Runs `f` as a task of `g`, and returns a `handle<T>` to its result. The task has options, or a
/// name, which the errors of the group and of the handle tell if `f` fails.
///
///     auto left = errgroup::spawn(g, {.name = "left"}, [&] { return sum(a); });
///     auto right = errgroup::spawn(g, "right", [&] { return sum(b); });
///     if (auto err = g.wait()) return err;
///     use(*left.get(), *right.get());
///
/// The task is like any other task of the group: if it fails, the group has failed. `f` may have
/// the same return types as a callable of `join`. `f` is destroyed after its call.
///
/// Throws: as `group::run`.
/// Cost: a group inside the task, and an allocation; a second one for a name of more than 15
///     characters.
template <class F, detail::task_label Label = task_options>
[[ERRGROUP_NODISCARD_HANDLE]] auto spawn(
    group& g, Label const& label, F&& f,
    std::source_location where = std::source_location::current()) {
  using D = std::decay_t<F>;
  static_assert(detail::result_call<D>,
                "errgroup: what is spawned is called with nothing, or with a std::stop_token if it "
                "takes one: capture what else it needs");
  detail::refuse_null_call(f);
  auto task = std::make_shared<detail::single_call<D>>(
      g, detail::name_of(label), detail::make_single_time(detail::timeout_of(label)), where,
      std::forward<F>(f));
  detail::start_single(g, label, detail::single_run(task), where);
  return handle<detail::value_of_call<D>>(std::move(task));
}
/// The same for a task without a name.
template <class F>
[[ERRGROUP_NODISCARD_HANDLE]] auto spawn(
    group& g, F&& f, std::source_location where = std::source_location::current()) {
  return errgroup::spawn(g, task_options{}, std::forward<F>(f), where);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_SPAWN_HPP
