// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_SPIN_MUTEX_HPP
#define ERRGROUP_DETAIL_SPIN_MUTEX_HPP

#include <errgroup/detail/sync.hpp>

#include <atomic>   // memory_order
#include <utility>  // exchange

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// A lock for a handful of instructions, with the interface of `tbb::spin_mutex`. (In debug builds,
/// oneTBB's mutex calls profilers through pointers. oneTBB 2021.8 changes the pointers when its
/// last worker leaves: a race.)
class spin_mutex {
 public:
  spin_mutex() noexcept = default;
  spin_mutex(spin_mutex const&) = delete;
  spin_mutex& operator=(spin_mutex const&) = delete;

  class scoped_lock {
   public:
    scoped_lock() noexcept = default;
    explicit scoped_lock(spin_mutex& m) noexcept { acquire(m); }
    scoped_lock(scoped_lock const&) = delete;
    scoped_lock& operator=(scoped_lock const&) = delete;
    ~scoped_lock() {
      if (held_ != nullptr) {
        release();
      }
    }

    void acquire(spin_mutex& m) noexcept {
      if (!m.try_lock()) [[unlikely]] {
        m.lock_later();
      }
      held_ = &m;
    }

    [[nodiscard]] bool try_acquire(spin_mutex& m) noexcept {
      if (!m.try_lock()) {
        return false;
      }
      held_ = &m;
      return true;
    }

    /// The store is the last access to the mutex.
    void release() noexcept {
      std::exchange(held_, nullptr)->taken_.store(false, std::memory_order_release);
    }

   private:
    spin_mutex* held_ = nullptr;
  };

 private:
  [[nodiscard]] bool try_lock() noexcept {
    // The load first: it does not take the cache line away from the owner.
    return !taken_.load(std::memory_order_relaxed) &&
           !taken_.exchange(true, std::memory_order_acquire);
  }

  // A function of the mutex, not of `scoped_lock`: no call gets the address of a `scoped_lock`, so
  // the compiler keeps it in a register.
  [[gnu::noinline, gnu::cold]] void lock_later() noexcept {
    for (int tries = 0; !try_lock(); ++tries) {
      if (tries < 256) {
        pause(4);
      } else {
        yield();  // the owner may have no processor
      }
    }
  }

  atomic<bool> taken_{false};
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_DETAIL_SPIN_MUTEX_HPP
