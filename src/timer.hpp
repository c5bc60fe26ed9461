// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_TIMER_HPP
#define ERRGROUP_SRC_TIMER_HPP

#include <errgroup/clock.hpp>

#include <atomic>   // atomic
#include <cassert>  // assert
#include <cstddef>  // size_t

namespace errgroup::inline v1::detail {

class alarm;
class polled;

/// The functions of the timer. Alarms call them through this table: a program that is linked with
/// the static library contains the timer only if it contains a call of `use_timer`.
struct timer_functions {
  void (*add)(alarm&);
  void (*remove)(alarm&) noexcept;
  void (*set)(alarm&, clock::time_point);
  void (*unset)(alarm&) noexcept;
  void (*stop)(alarm&) noexcept;
  void (*join)(polled&);
  void (*leave)(polled&) noexcept;

  /// Null before the first call of `use_timer`.
  static inline constinit std::atomic<timer_functions const*> used{nullptr};
};

/// The timer, for the function of the library that is the first to use it. Threads: any.
timer_functions const& use_timer() noexcept;

/// The timer, for code that runs only after a call of `use_timer`: the code of all waiters, which
/// must not bring the timer into a program that waits for no time.
inline timer_functions const& used_timer() noexcept {
  timer_functions const* const timer = timer_functions::used.load(std::memory_order_acquire);
  assert(timer != nullptr);
  return *timer;
}

/// An object that waits for a time. When the time has come, the timer's thread calls `ring`.
///
/// The process has one timer: a heap of alarms, and a thread. The first alarm that is set starts
/// the thread, which ends a while after the last alarm has rung or was stopped. Setting and
/// stopping take logarithmic time.
class alarm {
 public:
  /// Reserves a place in the timer's heap for this alarm. Throws `std::bad_alloc`.
  explicit alarm(timer_functions const& timer) { timer.add(*this); }
  alarm(alarm const&) = delete;
  alarm& operator=(alarm const&) = delete;

  /// Sets the time to ring; `due` replaces an earlier time. Throws `std::system_error` if the timer
  /// has no thread and none can be started; nothing has changed then. In `ring` it does not throw.
  void set(clock::time_point due) { used_timer().set(*this, due); }

  /// Unsets the time: the alarm will not ring. Does not wait for a `ring` that is running.
  void unset() noexcept { used_timer().unset(*this); }

  /// Unsets the time. If `ring` is running, waits until `ring` has returned, and unsets a time that
  /// `ring` has set. Must not be called in `ring`.
  void stop() noexcept { used_timer().stop(*this); }

  /// The alarm must have been stopped, and must not be ringing.
  virtual ~alarm() { used_timer().remove(*this); }

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
  /// timer's thread cannot be started. The timer is in use.
  void join() { used_timer().join(*this); }
  /// Ends the polling: `look` is not called any more. To be called first in the destructor.
  void leave() noexcept { used_timer().leave(*this); }

 private:
  friend struct timer;

  /// Called under the timer's lock. True if a test's clock that moves by itself may move on.
  [[nodiscard]] virtual bool look() noexcept = 0;

  polled* next_ = nullptr;
};

/// True on the timer's thread.
inline constinit thread_local bool is_timer_thread = false;

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_TIMER_HPP
