// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_QUEUE_LIFE_HPP
#define ERRGROUP_DETAIL_QUEUE_LIFE_HPP

#include <errgroup/detail/sync.hpp>

#include <cstdint>  // uint64_t

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

struct task_queue;

/// A life of a `queue`: the queue and the serial number it has while it serves one group. Queues
/// are recycled and never freed, so a life that is over can be told from one that is not.
struct queue_life {
  task_queue* of = nullptr;
  std::uint64_t serial = 0;

  friend bool operator==(queue_life const&, queue_life const&) = default;
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_DETAIL_QUEUE_LIFE_HPP
