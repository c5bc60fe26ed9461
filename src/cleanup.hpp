// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_CLEANUP_HPP
#define ERRGROUP_SRC_CLEANUP_HPP

#include <chrono>  // steady_clock

namespace errgroup::inline v1::detail {

/// User code that has to run after a deadline: destructors of callables, and callbacks that are
/// registered with stop tokens. The timer's thread never runs user code, so it hands a cleanup over
/// to the cleanup threads.
///
/// A cleanup thread takes cleanups in the order in which they were handed over. The first cleanup
/// starts the first thread. A thread ends when no cleanup has come for 0.1 s. Usually there is one
/// thread.
///
/// User code may block, and may even wait for a later cleanup. So if cleanups wait, and no thread
/// has taken a cleanup for 1 ms, another thread is started. The timer's thread checks this
/// condition every 0.25 ms while a cleanup waits. Therefore many short cleanups share one or two
/// threads, and each thread that blocks delays the cleanups behind it by about 1 ms.
class cleanup {
 public:
  /// `clean` may end the life of the cleanup. The cleanup may be handed over again as soon as the
  /// call begins.
  using function = void (*)(cleanup&) noexcept;

  constexpr explicit cleanup(function clean) noexcept : clean_(clean) {}
  cleanup(cleanup const&) = delete;
  cleanup& operator=(cleanup const&) = delete;

  /// Has a cleanup thread call the function. If this cleanup waits for its call already, nothing
  /// changes. If the process has no cleanup thread and cannot start one, the caller runs all
  /// cleanups that wait, now.
  ///
  /// Threads: the timer's, or a cleanup thread. The caller holds no lock.
  void hand_over() noexcept;

 private:
  friend struct cleanup_threads;

  function clean_;
  cleanup* next_ = nullptr;
  bool waits_ = false;
};

/// True if a cleanup waits for a thread: then `needs_cleanup_thread` has to be asked every 0.25 ms.
/// Threads: the timer's.
[[nodiscard]] bool cleanup_waits() noexcept;

/// True if cleanups wait and no thread has taken a cleanup for 1 ms. `now` is the time.
/// Threads: the timer's.
[[nodiscard]] bool needs_cleanup_thread(std::chrono::steady_clock::time_point now) noexcept;

/// Starts another thread. If the system has no thread, the timer's thread tries again later.
/// Threads: the timer's, which holds no lock and blocks no signal that its starter did not block.
void start_cleanup_thread() noexcept;

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_CLEANUP_HPP
