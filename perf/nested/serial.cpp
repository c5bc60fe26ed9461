// The recursion alone.

#include "workload.hpp"

namespace {

// Not inlined: a compiler that unrolls the recursion would remove most of the calls.
[[gnu::noinline]] std::uint64_t fib(unsigned n) {
  if (n < 2) return n;
  return fib(n - 1) + fib(n - 2);
}

bool const enrolled = perf::enroll([] { nested::add("fib", "serial", fib); });

}  // namespace
