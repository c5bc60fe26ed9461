// This library: the limit is an option.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // group, unlimited

namespace {

static_assert(limited::unlimited == errgroup::unlimited);

struct ours {
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t fewer = 1;

  static bool run_all(int limit, std::size_t tasks, auto make) {
    errgroup::group group{{.limit = limit}};
    for (std::size_t i = 0; i < tasks; ++i) group.run(make(i));
    return !group.wait();
  }
};

bool const enrolled = perf::enroll(limited::add_all<ours>);

}  // namespace
