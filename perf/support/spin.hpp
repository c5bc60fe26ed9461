#ifndef ERRGROUP_PERF_SUPPORT_SPIN_HPP
#define ERRGROUP_PERF_SUPPORT_SPIN_HPP

#include <cstdint>  // uint64_t

namespace perf {

/// Work of a known size: `rounds` steps of a linear congruential generator, each of which needs
/// the one before. It touches no memory and reads no clock, so that a busy machine makes it
/// slower instead of smaller, and its result is worth checking.
std::uint64_t spin(std::uint64_t seed, std::uint64_t rounds) noexcept;

/// How many rounds of `spin` take `microseconds` on this machine when nobody disturbs them.
/// Measured once per process: the fastest of many short trials.
std::uint64_t rounds_for(double microseconds);

/// The sum of `spin(i, rounds)` for i in [0, count), modulo 2^64, without spinning.
std::uint64_t sum_of_spins(std::uint64_t count, std::uint64_t rounds) noexcept;

}  // namespace perf

#endif
