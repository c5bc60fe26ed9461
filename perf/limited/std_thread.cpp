// Go's errgroup on std::thread: a thread per task, a semaphore on which the submitter blocks.

#include "../support/std_errgroup.hpp"
#include "workload.hpp"

#include <system_error>  // error_code

namespace {

struct threads {
  static constexpr std::string_view name = "std_thread";
  static constexpr std::size_t fewer = 100;

  static bool run_all(int limit, std::size_t tasks, auto make) {
    perf::go::group group;
    group.set_limit(limit);
    for (std::size_t i = 0; i < tasks; ++i) {
      group.go([task = make(i)] {
        task();
        return std::error_code();
      });
    }
    return !group.wait();
  }
};

bool const enrolled = perf::enroll(limited::add_all<threads>);

}  // namespace
