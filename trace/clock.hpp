// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TRACE_CLOCK_HPP
#define ERRGROUP_TRACE_CLOCK_HPP

#include <atomic>   // atomic
#include <chrono>   // steady_clock
#include <cstdint>  // int64_t, uint64_t

#if defined(__x86_64__)
#include <cpuid.h>      // __get_cpuid
#include <x86intrin.h>  // __rdtsc
#endif

namespace errgroup::inline v1::detail {

/// The clock of the recorder: the processor's time stamp counter where it runs at a constant rate,
/// in all states of the processor; otherwise `std::chrono::steady_clock`. The counter is read in
/// less than half of the time.
class trace_clock {
 public:
  using ticks = std::uint64_t;

  /// Chooses between the clocks. Before the first use of `now`; further calls change nothing.
  static void choose() noexcept {
#if defined(__x86_64__)
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    constexpr unsigned leaf = 0x80000007U;
    constexpr unsigned invariant = 0x100U;
    if (__get_cpuid(leaf, &a, &b, &c, &d) != 0 && (d & invariant) != 0) {
      has_constant_counter.store(true, std::memory_order_relaxed);
    }
#endif
  }

  [[nodiscard]] static ticks now() noexcept {
#if defined(__x86_64__)
    if (has_constant_counter.load(std::memory_order_relaxed)) [[likely]] {
      return __rdtsc();
    }
#endif
    return static_cast<ticks>(steady());
  }

  /// A moment on both clocks.
  struct pair {
    ticks t;
    std::int64_t ns;
  };
  [[nodiscard]] static pair both() noexcept {
    // The reading that took the least time is the most exact.
    pair best{};
    ticks shortest = ~ticks{0};
    for (int i = 0; i != 5; ++i) {
      ticks const before = now();
      std::int64_t const ns = steady();
      ticks const after = now();
      if (after - before < shortest) {
        shortest = after - before;
        best = {before + (after - before) / 2, ns};
      }
    }
    return best;
  }

  /// Converts ticks to nanoseconds after `from`.
  class scale {
   public:
    scale(pair const& from, pair const& to) noexcept : from_(from.t) {
      if (to.t > from.t && to.ns > from.ns) {
        ns_for_tick_ = static_cast<double>(to.ns - from.ns) / static_cast<double>(to.t - from.t);
      }
    }
    [[nodiscard]] std::int64_t operator()(ticks t) const noexcept {
      return t <= from_ ? 0
                        : static_cast<std::int64_t>(static_cast<double>(t - from_) * ns_for_tick_);
    }

   private:
    ticks from_;
    double ns_for_tick_ = 1;
  };

 private:
  static std::int64_t steady() noexcept {
    return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  }

#if defined(__x86_64__)
  static inline constinit std::atomic<bool> has_constant_counter{false};
#endif
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_TRACE_CLOCK_HPP
