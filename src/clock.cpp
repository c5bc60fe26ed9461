// SPDX-License-Identifier: Apache-2.0
#include "test_time.hpp"
#include <errgroup/clock.hpp>

#include <atomic>  // memory_order
#include <chrono>  // steady_clock

namespace errgroup::inline v1 {

clock::time_point clock::now() noexcept {
  using detail::test_time;
  if (test_time::replaces.load(std::memory_order_acquire)) {
    return time_point(duration(test_time::now.load(std::memory_order_acquire)));
  }
  return std::chrono::steady_clock::now();
}

}  // namespace errgroup::inline v1
