// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_TIMER_HPP
#define ERRGROUP_SRC_TIMER_HPP

#include <errgroup/clock.hpp>

#include <cstddef>  // size_t

namespace errgroup::inline v1::detail {

/// An object that waits for a time. When the time has come, the timer's thread calls `ring`.
///
/// The process has one timer: a heap of alarms, and a thread. The first alarm that is set starts
/// the thread, which ends a while after the last alarm has rung or was stopped. Setting and
/// stopping take logarithmic time.
class alarm {
 public:
  /// Reserves a place in the timer's heap for this alarm. Throws `std::bad_alloc`.
  alarm();
  alarm(alarm const&) = delete;
  alarm& operator=(alarm const&) = delete;

  /// Sets the time to ring; `due` replaces an earlier time. Throws `std::system_error` if the timer
  /// has no thread and none can be started; nothing has changed then. In `ring` it does not throw.
  void set(clock::time_point due);

  /// Unsets the time: the alarm will not ring. Does not wait for a `ring` that is running.
  void unset() noexcept;

  /// Unsets the time. If `ring` is running, waits until `ring` has returned, and unsets a time that
  /// `ring` has set. Must not be called in `ring`.
  void stop() noexcept;

  /// The alarm must have been stopped, and must not be ringing.
  virtual ~alarm();

 private:
  friend struct timer;

  /// Called by the timer's thread without a lock, so it may set the alarm again. Runs no user code.
  virtual void ring(clock::time_point now) noexcept = 0;

  clock::time_point due_;
  std::size_t place_ = static_cast<std::size_t>(-1);  // in the heap
};

/// An object that the timer's thread polls from `join` to `leave`: every 0.25 ms of real time, even
/// if a test has replaced the clock.
class polled {
 public:
  polled() = default;
  polled(polled const&) = delete;
  polled& operator=(polled const&) = delete;
  virtual ~polled() = default;

 protected:
  /// Starts the polling. To be called last in the constructor. Throws `std::system_error` if the
  /// timer's thread cannot be started.
  void join();
  /// Ends the polling: `look` is not called any more. To be called first in the destructor.
  void leave() noexcept;

 private:
  friend struct timer;

  /// Called under the timer's lock. True if a test's clock that moves by itself may move on.
  [[nodiscard]] virtual bool look() noexcept = 0;

  polled* next_ = nullptr;
};

/// True if a test has set a clock that moves by itself when no other work is left.
[[nodiscard]] bool time_jumps() noexcept;

/// True on the timer's thread.
[[nodiscard]] bool is_timer_thread() noexcept;

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_TIMER_HPP
