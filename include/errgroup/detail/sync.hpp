// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_SYNC_HPP
#define ERRGROUP_DETAIL_SYNC_HPP

// The atomics of the engine's parts, under one name, so that a test can replace them.
//
// A test that explores the schedules of a part (test/parts) defines ERRGROUP_EXPLORED as the header
// that provides `explored::atomic` and `explored::yield`. The part is then compiled into a
// namespace of its own, so that it does not collide with the part in the library.

#ifdef ERRGROUP_EXPLORED

#include ERRGROUP_EXPLORED

#define ERRGROUP_PART explored_part

namespace errgroup::detail::inline explored_part {

template <class T>
using atomic = ::explored::atomic<T>;

/// In a loop that waits for another thread.
inline void yield() { ::explored::yield(); }

}  // namespace errgroup::detail::inline explored_part

#else

#include <atomic>  // atomic
#include <thread>  // yield

#define ERRGROUP_PART part

namespace errgroup::detail::inline part {

template <class T>
using atomic = std::atomic<T>;

/// In a loop that waits for another thread.
inline void yield() noexcept { std::this_thread::yield(); }

}  // namespace errgroup::detail::inline part

#endif

#endif  // ERRGROUP_DETAIL_SYNC_HPP
