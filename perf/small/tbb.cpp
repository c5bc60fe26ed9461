// Raw oneTBB.

#include "workload.hpp"

#include <oneapi/tbb/task_group.h>  // task_group

namespace {

struct raw {
  static constexpr std::string_view name = "tbb";
  using group = tbb::task_group;
  static bool wait(group& g) { return g.wait() == tbb::complete; }
};

bool const enrolled = perf::enroll(small::add_all<raw>);

}  // namespace
