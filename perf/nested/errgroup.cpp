// This library: a group in every node, each `wait` looked at.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // group, options

namespace {

/// No value of fib: some group did not succeed.
constexpr std::uint64_t failed = ~std::uint64_t{0} / 4;

std::uint64_t fib(unsigned n) {
  if (n < 2) return n;
  std::uint64_t left = 0;
  errgroup::group group;
  group.run([&left, n] { left = fib(n - 1); });
  std::uint64_t const right = fib(n - 2);
  if (group.wait()) return failed;
  return left + right;
}

std::uint64_t fib_run_and_wait(unsigned n) {
  if (n < 2) return n;
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  errgroup::group group;
  group.run([&left, n] { left = fib_run_and_wait(n - 1); });
  if (group.run_and_wait([&right, n] { right = fib_run_and_wait(n - 2); })) return failed;
  return left + right;
}

std::uint64_t fib_isolated(unsigned n) {
  if (n < 2) return n;
  std::uint64_t left = 0;
  errgroup::group group{{.isolated = true}};
  group.run([&left, n] { left = fib_isolated(n - 1); });
  std::uint64_t const right = fib_isolated(n - 2);
  if (group.wait()) return failed;
  return left + right;
}

bool const enrolled = perf::enroll([] {
  nested::add("fib", "errgroup", fib);
  nested::add("run_and_wait", "errgroup", fib_run_and_wait);
  nested::add("isolated", "errgroup", fib_isolated);
});

}  // namespace
