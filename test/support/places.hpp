// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_PLACES_HPP
#define ERRGROUP_TEST_SUPPORT_PLACES_HPP

#include "support/gate.hpp"
#include <errgroup/limiter.hpp>

namespace support {

/// Waits until no place is in use. A thread that has come for a group inside a task, and found that
/// group without tasks, holds its place a moment longer than the tasks take.
inline void await_free(errgroup::limiter const& places) {
  await([&] { return places.in_use() == 0; }, "all places of a limiter to be free");
}

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_PLACES_HPP
