// Raw oneTBB: a task_arena of N slots, and inside it a task_group. The submitter works in the
// arena while it waits, so that N threads run tasks, not one more.

#include "workload.hpp"

#include <oneapi/tbb/task_arena.h>  // task_arena
#include <oneapi/tbb/task_group.h>  // task_group

namespace {

struct raw {
  static constexpr std::string_view name = "tbb";
  static constexpr std::size_t fewer = 1;

  static bool run_all(int limit, std::size_t tasks, auto make) {
    auto const feed = [&] {
      tbb::task_group group;
      for (std::size_t i = 0; i < tasks; ++i) group.run(make(i));
      return group.wait() == tbb::complete;
    };
    if (limit == limited::unlimited) return feed();
    return tbb::task_arena(limit).execute(feed);
  }
};

bool const enrolled = perf::enroll(limited::add_all<raw>);

}  // namespace
