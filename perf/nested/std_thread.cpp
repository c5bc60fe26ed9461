// Go's errgroup on std::thread: a thread in every node that is not a leaf.

#include "../support/std_errgroup.hpp"
#include "workload.hpp"

#include <system_error>  // error_code

namespace {

std::uint64_t fib(unsigned n) {
  if (n < 2) return n;
  std::uint64_t left = 0;
  perf::go::group group;
  group.go([&left, n] {
    left = fib(n - 1);
    return std::error_code();
  });
  std::uint64_t const right = fib(n - 2);
  group.wait();  // no task here fails
  return left + right;
}

bool const enrolled =
    perf::enroll([] { nested::add("fib", "std_thread", fib, nested::fib_of_threads); });

}  // namespace
