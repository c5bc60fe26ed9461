// SPDX-License-Identifier: Apache-2.0
#include <errgroup/extend.hpp>
#include <errgroup/spawn.hpp>

#include <chrono>        // nanoseconds
#include <mutex>         // scoped_lock
#include <stdexcept>     // logic_error
#include <system_error>  // errc
#include <thread>        // this_thread
#include <utility>       // move

namespace errgroup::inline v1::detail {

void refuse_handle() {
  throw std::logic_error(
      "errgroup: this handle has no task: its result was taken, or it was moved");
}

single_task::~single_task() = default;

// The task gets a group of its own. All tasks that it starts inside belong to this group, so the
// handle can cancel them without the other tasks of `group_`.
group* single_task::begin() {
  std::scoped_lock const held(lock_);
  own_.emplace(options{.exceptions = extend::exceptions(group_)}, where_);
  // `group_` may be cancelled already: a wait in a task of another group can run this task in a
  // context that oneTBB has not cancelled.
  if (is_canceled_ || group_.is_canceling()) {
    own_->cancel();
  } else if (time_.set != nullptr) {
    time_.set(*own_, time_.length);
  }
  return &*own_;
}

error single_task::run() { return take(claim::run) ? run_now() : error(); }

error single_task::run_now() {
  group* own = nullptr;
  try {
    own = begin();
  } catch (...) {
    error const e = described(caught());
    drop(e);
    return e;
  }
  error const stopped = call(*own);
  error failed = failure();
  if (time_.set != nullptr) {
    time_.set(*own, std::chrono::nanoseconds::max());  // the handle may keep the group for long
    // A failure from before the end of the time stays.
    if (stopped == errc::deadline_exceeded && (is_stopped_ || !failed)) {
      failed = stopped;
    }
  }
  bool const is_canceled = stopped == std::errc::operation_canceled &&
                           (!failed || failed == std::errc::operation_canceled);
  error told;  // reported to the group
  if (is_canceled) {
    error const cause = group_.cause();
    failed = cause ? cause : stopped;  // a returned value may be incomplete
    told = cause ? stopped : error();
  } else if (!failed) {
    failed = stopped;
  }
  if (failed) {
    failed = described(std::move(failed));
    fail(failed);
  }
  finish();
  return is_canceled ? told : failed;
}

void single_task::skip() noexcept {
  if (take(claim::drop)) {
    error const cause = group_.cause();
    drop(cause ? cause : error(errc::canceled));
  } else {
    await_canceler();
  }
}

// The group may be destroyed as soon as its task has ended. So if a thread in `cancel` is
// destroying the callable, the task waits for that thread. The task may run on the very same
// thread: if the callable's destructor waits, the wait may run this task. Then the task must not
// wait for its own thread.
void single_task::await_canceler() noexcept {
  if (claimed_.load(std::memory_order_acquire) == claim::drop &&
      canceler_.load(std::memory_order_relaxed) != std::this_thread::get_id()) {
    while (!is_ready()) {
      std::this_thread::yield();
    }
    std::scoped_lock const until_woken(lock_);
  }
}

void single_task::drop(error const& cause) noexcept {
  fail(cause);
  finish();
}

error single_task::described(error e) const noexcept {
  return extend::describe(group_, std::move(e), npos, where_, name_);
}

void single_task::finish() noexcept {
  clear();
  std::scoped_lock const held(lock_);
  ready_.store(true, std::memory_order_seq_cst);
  // seq_cst: either this load sees the waiter's increment, or the waiter's load sees `ready_`.
  if (waiters_.load(std::memory_order_seq_cst) != 0) {
    extend::notify(group_);
  }
}

error single_task::wait() {
  if (is_ready()) {
    return {};
  }
  group const* own = nullptr;
  {
    std::scoped_lock const held(lock_);
    own = own_ ? &*own_ : nullptr;
  }
  if (own != nullptr && extend::is_inside(*own)) {
    return errc::would_deadlock;
  }
  // Run this task only. Other tasks of the group might wait for the calling task, which cannot
  // continue underneath them. The awaited task is not expected to wait for its waiter.
  if (extend::is_inside(group_) && take(claim::run)) {
    extend::run_inside(group_, [this]() noexcept { return run_now(); }, where_);
    return {};
  }
  waiters_.fetch_add(1, std::memory_order_seq_cst);
  try {
    extend::help_until(group_, ready_);
  } catch (...) {
    waiters_.fetch_sub(1, std::memory_order_relaxed);
    throw;
  }
  waiters_.fetch_sub(1, std::memory_order_relaxed);
  return {};
}

void single_task::cancel() noexcept {
  group* own = nullptr;
  {
    std::scoped_lock const held(lock_);
    is_canceled_ = true;
    own = own_ ? &*own_ : nullptr;
  }
  if (own != nullptr) {
    own->cancel();
  } else if (take(claim::drop)) {
    canceler_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    extend::discard_inside(group_, [this]() noexcept { clear(); });
    canceler_.store(std::thread::id(), std::memory_order_relaxed);
    drop(errc::canceled);
  }
}

}  // namespace errgroup::inline v1::detail
