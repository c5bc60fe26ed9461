// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_SYNC_HPP
#define ERRGROUP_DETAIL_SYNC_HPP

// The atomics of the engine's parts, under one name, so that a test can replace them.
//
// A test that explores the schedules of a part (test/parts) defines ERRGROUP_EXPLORED as the header
// that provides `explored::atomic` and `explored::yield`. The part is then compiled into a
// namespace of its own, and does not collide with the part in the library.

#include <errgroup/clock.hpp>

#ifdef ERRGROUP_EXPLORED

#include ERRGROUP_EXPLORED

#define ERRGROUP_PART explored_part

namespace errgroup::inline v1::detail::inline explored_part {

template <class T>
using atomic = ::explored::atomic<T>;

/// In a loop that waits for another thread.
inline void yield() { ::explored::yield(); }

/// In a loop that another thread will end soon.
inline void pause(int /*times*/) { ::explored::yield(); }

/// Lets a short time pass, for a thread that does not wait for another thread.
inline void linger(int /*pauses*/) {}

/// The time of the groups, and the real time. Both stand still while schedules are explored.
inline clock::time_point now() noexcept { return {}; }
inline clock::time_point real_time() noexcept { return {}; }

/// Orders the stores that this thread made before it took a lock, before the loads that it makes
/// after that lock. The explorer's read-modify-writes are full barriers, as those of x86 are.
inline void fence_after_lock() {}

}  // namespace errgroup::inline v1::detail::inline explored_part

#else

#include <atomic>  // atomic, atomic_thread_fence
#include <thread>  // yield

#define ERRGROUP_PART part

namespace errgroup::inline v1::detail::inline part {

template <class T>
using atomic = std::atomic<T>;

/// In a loop that waits for another thread.
inline void yield() noexcept { std::this_thread::yield(); }

/// Tells the processor that this thread waits for another thread, for a short time.
inline void pause(int times) noexcept {
  for (int i = 0; i != times; ++i) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#endif
  }
}

/// Lets a short time pass, for a thread that does not wait for another thread.
inline void linger(int pauses) noexcept { pause(pauses); }

/// The time of the groups, and the real time, which no test changes.
inline clock::time_point now() noexcept { return clock::now(); }
inline clock::time_point real_time() noexcept { return std::chrono::steady_clock::now(); }

/// Orders the stores that this thread made before it took a lock, before the loads that it makes
/// after that lock. On x86 the exchange that takes the lock is a full barrier already.
inline void fence_after_lock() noexcept {
#if !defined(__x86_64__) && !defined(__i386__)
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace errgroup::inline v1::detail::inline part

#endif

#endif  // ERRGROUP_DETAIL_SYNC_HPP
