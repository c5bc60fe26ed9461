// Go's errgroup on std::thread: one thread per task.

#include "../support/std_errgroup.hpp"
#include "workload.hpp"

#include <system_error>  // error_code

namespace {

struct threads {
  static constexpr std::string_view name = "std_thread";
  static constexpr std::size_t fewer = 100;

  static bool run_all(std::size_t tasks, auto make) {
    perf::go::group group;
    for (std::size_t i = 0; i < tasks; ++i) {
      group.go([task = make(i)] {
        task();
        return std::error_code();
      });
    }
    return !group.wait();
  }
};

bool const enrolled = perf::enroll(flat::add_all<threads>);

}  // namespace
