// SPDX-License-Identifier: Apache-2.0
#include <errgroup/lost_error.hpp>

#include <atomic>  // atomic

namespace errgroup::inline v1 {
namespace {

std::atomic<lost_error_handler> current{nullptr};

}  // namespace

// Release and acquire: what the caller did before is visible in the handler.
lost_error_handler set_lost_error_handler(lost_error_handler handler) noexcept {
  return current.exchange(handler, std::memory_order_acq_rel);
}

lost_error_handler detail::current_lost_error_handler() noexcept {
  return current.load(std::memory_order_acquire);
}

}  // namespace errgroup::inline v1
