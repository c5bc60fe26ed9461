// A loop.

#include <tbb/parallel_for_each.h>  // parallel_for_each

#include <vector>  // vector

int main() {
  std::vector<int> numbers(1000, 21);
  tbb::parallel_for_each(numbers, [](int& n) { n *= 2; });
  return numbers.front() == 42 && numbers.back() == 42 ? 0 : 1;
}
