// Raw oneTBB: a task_group in every node.

#define TBB_PREVIEW_ISOLATED_TASK_GROUP 1
#include "workload.hpp"

#include <oneapi/tbb/task_group.h>  // isolated_task_group, task_group

namespace {

template <class Group>
std::uint64_t fib(unsigned n) {
  if (n < 2) return n;
  std::uint64_t left = 0;
  Group group;
  group.run([&left, n] { left = fib<Group>(n - 1); });
  std::uint64_t const right = fib<Group>(n - 2);
  group.wait();
  return left + right;
}

std::uint64_t fib_run_and_wait(unsigned n) {
  if (n < 2) return n;
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  tbb::task_group group;
  group.run([&left, n] { left = fib_run_and_wait(n - 1); });
  group.run_and_wait([&right, n] { right = fib_run_and_wait(n - 2); });
  return left + right;
}

bool const enrolled = perf::enroll([] {
  nested::add("fib", "tbb", fib<tbb::task_group>);
  nested::add("run_and_wait", "tbb", fib_run_and_wait);
  nested::add("isolated", "tbb", fib<tbb::isolated_task_group>);
});

}  // namespace
