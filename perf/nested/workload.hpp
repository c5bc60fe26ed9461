#ifndef ERRGROUP_PERF_NESTED_WORKLOAD_HPP
#define ERRGROUP_PERF_NESTED_WORKLOAD_HPP

#include "../support/harness.hpp"

#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <string_view>  // string_view

/// Recursion with a group in every node: Fibonacci's numbers the slow way, without a cutoff, so
/// that nothing but the cost of groups and tasks is left (P1).
///
/// - `fib`: a node runs one branch, computes the other itself, and waits.
/// - `run_and_wait`: the same, the second branch given to `run_and_wait`.
/// - `isolated`: as `fib`, with waits that run only the group's own work.
namespace nested {

inline constexpr unsigned fib_of = 30;

/// Small enough for a thread per node: every node of the tree may be alive at once.
inline constexpr unsigned fib_of_threads = 14;

/// fib(n), and with `fib(n + 1) - 1` how many tasks a tree of groups runs for it: one per node
/// that is not a leaf.
constexpr std::uint64_t fib(unsigned n) noexcept {
  std::uint64_t current = 0;
  for (std::uint64_t next = 1; n != 0; --n) {
    std::uint64_t const after = current + next;
    current = next;
    next = after;
  }
  return current;
}
static_assert(fib(10) == 55 && fib(30) == 832'040);

/// Adds `nested/what/contender`: `compute(n)` returns fib(n).
inline void add(std::string_view what, std::string_view contender,
                std::uint64_t (*compute)(unsigned), unsigned n = fib_of) {
  if (perf::smoke()) n = n / 2 + 1;
  perf::add("nested", what, contender, [=](benchmark::State& state) {
    perf::answer answer(state);
    for (auto _ : state) {
      answer.expect(perf::measured([&] { return compute(n); }) == fib(n));
    }
    answer.settle(fib(n + 1) - 1);
  });
}

}  // namespace nested

#endif
