// This library; and a group with a bounded queue, whose submitter helps when the queue is full.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // group, options

namespace {

struct ours {
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t fewer = 1;

  static bool run_all(std::size_t tasks, auto make) {
    errgroup::group group;
    for (std::size_t i = 0; i < tasks; ++i) group.run(make(i));
    return !group.wait();
  }
};

struct bounded {
  static constexpr std::string_view name = "errgroup_queue";
  static constexpr std::size_t fewer = 1;

  static bool run_all(std::size_t tasks, auto make) {
    errgroup::group group{{.queue = 64}};
    for (std::size_t i = 0; i < tasks; ++i) group.run(make(i));
    return !group.wait();
  }
};

bool const enrolled = perf::enroll([] {
  flat::add_all<ours>();
  flat::add_empty<bounded>();
});

}  // namespace
