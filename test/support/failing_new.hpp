// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_FAILING_NEW_HPP
#define ERRGROUP_TEST_SUPPORT_FAILING_NEW_HPP

// Replaces the global operator new by one that fails when a test says so. A replacement cannot be
// inline: include this in one file of a program. It counts, too.

#include <atomic>   // atomic
#include <cstddef>  // size_t
#include <cstdlib>  // aligned_alloc, free, malloc
#include <new>      // align_val_t, bad_alloc, nothrow_t

namespace support {

/// While it lives, this thread's n-th allocation from now on fails, counted from 0; the others
/// succeed. With `and_after`, those after it fail, too.
class failing_new {
 public:
  explicit failing_new(long n, bool and_after = false) noexcept {
    left = n;
    all_after = and_after;
    failed = false;
    armed = true;
  }
  failing_new(failing_new const&) = delete;
  failing_new& operator=(failing_new const&) = delete;
  ~failing_new() { armed = false; }

  /// True if there was an n-th allocation.
  [[nodiscard]] static bool has_failed() noexcept { return failed; }

  /// Called by operator new: true if this one fails.
  [[nodiscard]] static bool strikes() noexcept {
    if (!armed) {
      return false;
    }
    long const n = left--;
    if (n == 0 || (n < 0 && all_after)) {
      failed = true;
      return true;
    }
    return false;
  }

 private:
  static inline constinit thread_local long left = 0;
  static inline constinit thread_local bool all_after = false;
  static inline constinit thread_local bool failed = false;
  static inline constinit thread_local bool armed = false;
};

/// Calls of operator new so far, and those of them whose memory was not given back yet. oneTBB's
/// own memory is not counted.
inline std::atomic<long> allocations{0};
inline std::atomic<long> live_allocations{0};

inline void* allocate(std::size_t size, std::size_t alignment) noexcept {
  if (failing_new::strikes()) {
    return nullptr;
  }
  allocations.fetch_add(1, std::memory_order_relaxed);
  live_allocations.fetch_add(1, std::memory_order_relaxed);
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
    return std::malloc(size == 0 ? 1 : size);
  }
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

inline void release(void* p) noexcept {
  if (p != nullptr) {
    live_allocations.fetch_sub(1, std::memory_order_relaxed);
  }
  std::free(p);
}

inline void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  if (void* p = allocate(size, alignment)) {
    return p;
  }
  throw std::bad_alloc();
}

}  // namespace support

void* operator new(std::size_t n) {
  return support::allocate_or_throw(n, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new[](std::size_t n) {
  return support::allocate_or_throw(n, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t n, std::align_val_t a) {
  return support::allocate_or_throw(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return support::allocate_or_throw(n, static_cast<std::size_t>(a));
}
void* operator new(std::size_t n, std::nothrow_t const&) noexcept {
  return support::allocate(n, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new[](std::size_t n, std::nothrow_t const&) noexcept {
  return support::allocate(n, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t n, std::align_val_t a, std::nothrow_t const&) noexcept {
  return support::allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, std::nothrow_t const&) noexcept {
  return support::allocate(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { support::release(p); }
void operator delete[](void* p) noexcept { support::release(p); }
void operator delete(void* p, std::size_t) noexcept { support::release(p); }
void operator delete[](void* p, std::size_t) noexcept { support::release(p); }
void operator delete(void* p, std::align_val_t) noexcept { support::release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { support::release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { support::release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { support::release(p); }
void operator delete(void* p, std::nothrow_t const&) noexcept { support::release(p); }
void operator delete[](void* p, std::nothrow_t const&) noexcept { support::release(p); }
void operator delete(void* p, std::align_val_t, std::nothrow_t const&) noexcept {
  support::release(p);
}
void operator delete[](void* p, std::align_val_t, std::nothrow_t const&) noexcept {
  support::release(p);
}

#endif  // ERRGROUP_TEST_SUPPORT_FAILING_NEW_HPP
