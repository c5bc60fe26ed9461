#ifndef ERRGROUP_PERF_TIMED_LOAD_HPP
#define ERRGROUP_PERF_TIMED_LOAD_HPP

#include "../support/harness.hpp"
#include "../support/spin.hpp"
#include <errgroup/errgroup.hpp>  // group

#include <cstdint>     // uint64_t
#include <stop_token>  // stop_token
#include <thread>      // jthread
#include <vector>      // vector

namespace timed {

/// Keeps the machine busy as long as it lives.
class load {
 public:
  enum class kind {
    none,
    tasks,    ///< of an errgroup, 20 us each: always one for each thread of oneTBB
    threads,  ///< as many threads that oneTBB knows nothing of
  };

  explicit load(kind what) {
    std::uint64_t const rounds = what == kind::none ? 0 : perf::rounds_for(length_in_us);
    switch (what) {
      case kind::none:
        break;
      case kind::tasks:
        // The workers, and this thread, which waits: that is one for each CPU.
        threads_.emplace_back([rounds](std::stop_token const& stop) {
          errgroup::group group;
          for (unsigned i = 0; i < perf::threads(); ++i) group.run(chain{group, stop, rounds});
          static_cast<void>(group.wait());
        });
        break;
      case kind::threads:
        for (unsigned i = 0; i < perf::threads(); ++i) {
          threads_.emplace_back([i, rounds](std::stop_token const& stop) {
            while (!stop.stop_requested()) benchmark::DoNotOptimize(perf::spin(i, rounds));
          });
        }
        break;
    }
  }

 private:
  static constexpr double length_in_us = 20;

  /// A task that submits itself again.
  struct chain {
    errgroup::group& group;
    std::stop_token stop;
    std::uint64_t rounds;

    void operator()() const {
      benchmark::DoNotOptimize(perf::spin(1, rounds));
      if (!stop.stop_requested()) group.run(*this);
    }
  };

  std::vector<std::jthread> threads_;
};

}  // namespace timed

#endif
