// A sum.

#include <errgroup/reduce.hpp>  // reduce

#include <functional>  // plus
#include <vector>      // vector

int main() {
  std::vector<int> const numbers(1000, 2);
  errgroup::result<int> const sum = errgroup::reduce(numbers, 0, std::plus<>(), std::plus<>());
  return sum && *sum == 2000 ? 0 : 1;
}
