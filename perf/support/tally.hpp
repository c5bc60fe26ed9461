#ifndef ERRGROUP_PERF_SUPPORT_TALLY_HPP
#define ERRGROUP_PERF_SUPPORT_TALLY_HPP

#include <cstdint>  // uint64_t

namespace perf {

/// The sum of what all tasks of all threads added, modulo 2^64: how a benchmark knows that its
/// tasks ran, each of them once.
///
/// Every thread adds to a slot of its own, without a lock or an atomic instruction, so that an
/// "empty" task stays nearly empty (about a nanosecond) and tasks do not slow each other down. A
/// thread's slot goes back to a pool when the thread ends and keeps its sum there.
class tally {
 public:
  /// Adds `amount` for the calling thread.
  static void add(std::uint64_t amount) noexcept { *mine() += amount; }

  /// The sum so far. Only what happened before the call is certain to be in it, so the caller
  /// has waited for the tasks it asks about.
  static std::uint64_t total();

 private:
  static std::uint64_t* mine() {
    thread_local std::uint64_t* const slot = claim();
    return slot;
  }
  static std::uint64_t* claim();
};

}  // namespace perf

#endif
