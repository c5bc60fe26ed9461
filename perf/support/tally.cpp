#include "tally.hpp"

#include <deque>   // deque
#include <mutex>   // mutex, scoped_lock
#include <vector>  // vector

namespace perf {
namespace {

struct alignas(128) slot {  // two cache lines: the neighbour's prefetcher stays out too
  std::uint64_t sum = 0;
};

struct pool {
  std::mutex mutex;
  std::deque<slot> all;  // never moves what it holds
  std::vector<slot*> free;
};

// Never destroyed: detached threads may give their slots back while the process ends.
pool& slots() {
  static pool& the_pool = *new pool;
  return the_pool;
}

struct lease {
  slot* held = nullptr;
  ~lease() {
    if (held == nullptr) return;
    std::scoped_lock const lock(slots().mutex);
    slots().free.push_back(held);
  }
};

}  // namespace

std::uint64_t* tally::claim() {
  thread_local lease mine;
  auto& [mutex, all, free] = slots();
  std::scoped_lock const lock(mutex);
  if (free.empty()) {
    mine.held = &all.emplace_back();
  } else {
    mine.held = free.back();
    free.pop_back();
  }
  return &mine.held->sum;
}

std::uint64_t tally::total() {
  auto& [mutex, all, free] = slots();
  std::scoped_lock const lock(mutex);
  std::uint64_t sum = 0;
  for (auto const& each : all) sum += each.sum;
  return sum;
}

}  // namespace perf
