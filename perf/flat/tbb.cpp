// Raw oneTBB, as its documentation shows it.

#include "workload.hpp"

#include <oneapi/tbb/task_group.h>  // task_group

namespace {

struct raw {
  static constexpr std::string_view name = "tbb";
  static constexpr std::size_t fewer = 1;

  static bool run_all(std::size_t tasks, auto make) {
    tbb::task_group group;
    for (std::size_t i = 0; i < tasks; ++i) group.run(make(i));
    return group.wait() == tbb::complete;
  }
};

bool const enrolled = perf::enroll(flat::add_all<raw>);

}  // namespace
