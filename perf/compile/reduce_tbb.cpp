// A sum.

#include <tbb/blocked_range.h>    // blocked_range
#include <tbb/parallel_reduce.h>  // parallel_reduce

#include <functional>  // plus
#include <numeric>     // accumulate
#include <vector>      // vector

int main() {
  std::vector<int> const numbers(1000, 2);
  using range = tbb::blocked_range<std::vector<int>::const_iterator>;
  int const sum = tbb::parallel_reduce(
      range(numbers.begin(), numbers.end()), 0,
      [](range const& r, int before) { return std::accumulate(r.begin(), r.end(), before); },
      std::plus<>());
  return sum == 2000 ? 0 : 1;
}
