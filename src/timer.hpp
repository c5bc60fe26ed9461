// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_TIMER_HPP
#define ERRGROUP_SRC_TIMER_HPP

#include <errgroup/clock.hpp>

#include <cstddef>  // size_t

namespace errgroup::detail {

/// Something that waits for a time, and is told by the timer's thread when that has come.
///
/// The process has one timer: a heap of alarms and a thread, which is started when the first alarm
/// is set and ends a while after the last one has rung or was stopped. Setting and stopping take
/// logarithmic time.
class alarm {
 public:
  /// Throws `std::bad_alloc`. From here on the timer has room for it.
  alarm();
  alarm(alarm const&) = delete;
  alarm& operator=(alarm const&) = delete;

  /// Has it ring at `due`, instead of any time before. Throws `std::system_error` if there is no
  /// thread to be had; it is as it was then. In `ring` it does not throw.
  void set(clock::time_point due);

  /// It will not ring.
  void unset() noexcept;

  /// It will not ring; if it is ringing right now, returns when it has. Not in `ring`.
  void stop() noexcept;

  /// Has to be stopped, and may not be ringing.
  virtual ~alarm();

 private:
  friend struct timer;

  /// On the timer's thread, which holds nothing: the alarm may be set again. No user's code belongs
  /// here.
  virtual void ring(clock::time_point now) noexcept = 0;

  clock::time_point due_;
  std::size_t place_ = static_cast<std::size_t>(-1);  // in the heap
};

/// Something that the timer's thread looks at every now and then, as long as it is there: a quarter
/// of a millisecond, whatever the clock says.
class polled {
 public:
  polled() = default;
  polled(polled const&) = delete;
  polled& operator=(polled const&) = delete;
  virtual ~polled() = default;

 protected:
  /// To be called last in the constructor. Throws `std::system_error` if there is no thread to be
  /// had.
  void join();
  /// To be called first in the destructor: `look` is not called any more.
  void leave() noexcept;

 private:
  friend struct timer;

  /// True if a test's clock that moves by itself is to move on. Under the timer's lock.
  [[nodiscard]] virtual bool look() noexcept = 0;

  polled* next_ = nullptr;
};

/// True if there is a test's clock that moves on by itself when nothing else is left.
[[nodiscard]] bool time_jumps() noexcept;

/// When to try again, in `ring`, what could not be done now: in 1 ms, or at once by a test's clock.
[[nodiscard]] clock::time_point a_little_later() noexcept;

/// True on the timer's thread.
[[nodiscard]] bool is_timer_thread() noexcept;

}  // namespace errgroup::detail

#endif  // ERRGROUP_SRC_TIMER_HPP
