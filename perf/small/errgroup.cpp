// This library.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // group

namespace {

struct ours {
  static constexpr std::string_view name = "errgroup";
  using group = errgroup::group;
  static bool wait(group& g) { return !g.wait(); }
};

bool const enrolled = perf::enroll(small::add_all<ours>);

}  // namespace
