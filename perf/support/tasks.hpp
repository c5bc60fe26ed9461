#ifndef ERRGROUP_PERF_SUPPORT_TASKS_HPP
#define ERRGROUP_PERF_SUPPORT_TASKS_HPP

#include "spin.hpp"
#include "tally.hpp"

#include <cstdint>  // uint64_t

namespace perf {

/// An empty task, but for being counted: each adds 1 to the tally.
struct count_task {
  void operator()() const noexcept { tally::add(1); }
};

/// A task of a known length, which adds its result to the tally. Tasks with seeds from 0 to n - 1
/// add `sum_of_spins(n, rounds)`.
struct spin_task {
  std::uint64_t seed;
  std::uint64_t rounds;
  void operator()() const noexcept { tally::add(spin(seed, rounds)); }
};

}  // namespace perf

#endif
