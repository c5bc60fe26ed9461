// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SPAWN_HPP
#define ERRGROUP_SPAWN_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/result.hpp>

#include <atomic>           // atomic
#include <memory>           // make_shared, shared_ptr
#include <mutex>            // mutex
#include <optional>         // optional
#include <source_location>  // source_location
#include <thread>           // thread
#include <type_traits>      // decay_t
#include <utility>          // exchange, forward, move

namespace errgroup {
namespace detail {

/// What a handle and its task share.
class ERRGROUP_API single_task {
 public:
  single_task(group& g, std::source_location where) noexcept : group_(g), where_(where) {}
  single_task(single_task const&) = delete;
  single_task& operator=(single_task const&) = delete;
  virtual ~single_task() = default;

  /// The task of the group: runs it, unless it was cancelled before.
  error run();
  /// It will not be run, if it was not: the group was cancelled.
  void skip() noexcept;

  [[nodiscard]] bool is_ready() const noexcept { return ready_.load(std::memory_order_acquire); }
  /// `errc::would_deadlock` in the task itself; success when it is ready.
  error wait();
  void cancel() noexcept;

 protected:
  /// Calls it in a task of `own`, and keeps what it gives.
  virtual error call(group& own) = 0;
  /// The failure that is kept, if there is one.
  [[nodiscard]] virtual error failure() const noexcept = 0;
  virtual void fail(error e) noexcept = 0;
  /// Destroys the callable.
  virtual void clear() noexcept = 0;

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

  group& group_;
  std::source_location where_;
  std::mutex lock_;
  std::optional<group> own_;  // what is started inside belongs to this
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
  single_call(group& g, std::source_location where, G&& f)
      : single_result<value_of_call<F>>(g, where), f_(std::forward<G>(f)) {}

 private:
  error call(group& own) override {
    return own.run_and_wait([&] { this->got_.emplace(call_in(own, *f_)); });
  }
  void clear() noexcept override { f_.reset(); }

  std::optional<F> f_;
};

/// The task as the group has it.
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

[[noreturn]] ERRGROUP_API void refuse_handle();

}  // namespace detail

/// One task of a group, and what it returns: what `spawn` gives. Moved, not copied.
///
/// It may be dropped: the task goes on as any of its group. It may outlive the group, which has
/// waited for the task then; but it may not be waited for beside the group's destructor.
///
/// A task that waits for others of its group by their handles, and beside that in another way (for
/// a nested group, in an algorithm of oneTBB's), may be handed one there that waits for itself:
/// that is answered `errc::would_deadlock`. See `options::isolated`.
///
/// Threads: any; `wait`, `ready` and `cancel` beside each other, not beside `get` or a move.
template <class T>
class [[ERRGROUP_NODISCARD_HANDLE]] handle {
 public:
  /// Of no task.
  handle() noexcept = default;
  handle(handle&&) noexcept = default;
  handle& operator=(handle&&) noexcept = default;
  handle(handle const&) = delete;
  handle& operator=(handle const&) = delete;
  ~handle() = default;

  /// True if it has a task whose result was not taken.
  [[ERRGROUP_NODISCARD_ANSWER]] bool valid() const noexcept { return task_ != nullptr; }

  /// True if the task has finished, or will not run: `get` does not wait.
  [[ERRGROUP_NODISCARD_ANSWER]] bool ready() const { return task().is_ready(); }

  /// Waits for this one task: its callable is destroyed, and what it did is visible.
  ///
  /// In a task of the same group this thread runs it if it has not started, so that it works at any
  /// limit. Else, and outside, it leaves it to oneTBB's threads, if there are any
  /// (`group::help_until`). In the task itself it returns at once.
  ///
  /// Throws `std::bad_alloc`; `std::logic_error` if this is not `valid`, as all others do.
  void wait() const { (void)task().wait(); }

  /// Waits, and gives what the task returned, or why it did not; the handle has no task then. In
  /// the task itself: `errc::would_deadlock`, and it keeps it.
  [[ERRGROUP_NODISCARD_RESULT]] result<T> get() {
    if (error e = task().wait()) {
      return result<T>(std::move(e));
    }
    return std::exchange(task_, nullptr)->take();
  }

  /// Cancels just this task: it is not run, or sees it by its `std::stop_token`, and so does what
  /// it started. Its result is `errc::canceled`, which is no failure of the group, unless it fails
  /// with something else.
  void cancel() const { task().cancel(); }

 private:
  template <class F>
  friend auto spawn(group& g, F&& f, std::source_location where);

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

/// Runs `f` as a task of `g`, and gives a `handle<T>` to what it returns.
///
///     auto left = errgroup::spawn(g, [&] { return sum(a); });
///     auto right = errgroup::spawn(g, [&] { return sum(b); });
///     if (auto err = g.wait()) return err;
///     use(*left.get(), *right.get());
///
/// It is a task of the group as any other: if it fails, the group has failed. `f` returns what a
/// callable of `join` may. It is destroyed when it has been called.
///
/// Throws what `group::run` throws.
/// Cost: a group inside the task, and an allocation.
template <class F>
[[ERRGROUP_NODISCARD_HANDLE]] auto spawn(
    group& g, F&& f, std::source_location where = std::source_location::current()) {
  using D = std::decay_t<F>;
  static_assert(detail::result_call<D>,
                "errgroup: what is spawned is called with nothing, or with a std::stop_token if it "
                "takes one: capture what else it needs");
  detail::refuse_null_call(f);
  auto task = std::make_shared<detail::single_call<D>>(g, where, std::forward<F>(f));
  g.run(detail::single_run(task), where);
  return handle<detail::value_of_call<D>>(std::move(task));
}

}  // namespace errgroup

#endif  // ERRGROUP_SPAWN_HPP
