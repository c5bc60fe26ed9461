#include "spin.hpp"

#include <benchmark/benchmark.h>  // DoNotOptimize

#include <algorithm>  // max, min
#include <chrono>     // steady_clock

namespace perf {
namespace {

constexpr std::uint64_t factor = 6364136223846793005U;  // Knuth's MMIX
constexpr std::uint64_t summand = 1442695040888963407U;

double rounds_per_microsecond() {
  using clock = std::chrono::steady_clock;
  constexpr std::uint64_t rounds = 100'000;
  double fastest = 1e9;
  for (int trial = 0; trial < 30; ++trial) {
    auto const start = clock::now();
    benchmark::DoNotOptimize(spin(static_cast<std::uint64_t>(trial), rounds));
    std::chrono::duration<double, std::micro> const took = clock::now() - start;
    fastest = std::min(fastest, took.count());
  }
  return static_cast<double>(rounds) / fastest;
}

}  // namespace

std::uint64_t spin(std::uint64_t seed, std::uint64_t rounds) noexcept {
  for (; rounds != 0; --rounds) seed = seed * factor + summand;
  return seed;
}

std::uint64_t rounds_for(double microseconds) {
  static double const speed = rounds_per_microsecond();
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(speed * microseconds));
}

std::uint64_t sum_of_spins(std::uint64_t count, std::uint64_t rounds) noexcept {
  // One round is x -> factor * x + summand. Squaring that map gives 2, 4, 8, ... rounds at once,
  // so `rounds` of them are x -> scale * x + shift, found in log2(rounds) steps.
  std::uint64_t scale = 1;
  std::uint64_t shift = 0;
  std::uint64_t step_scale = factor;
  std::uint64_t step_shift = summand;
  for (; rounds != 0; rounds /= 2) {
    if (rounds % 2 != 0) {
      scale *= step_scale;
      shift = shift * step_scale + step_shift;
    }
    step_shift = step_shift * step_scale + step_shift;
    step_scale *= step_scale;
  }
  std::uint64_t const sum_of_seeds =
      count % 2 == 0 ? count / 2 * (count - 1) : count * ((count - 1) / 2);
  return scale * sum_of_seeds + shift * count;
}

}  // namespace perf
