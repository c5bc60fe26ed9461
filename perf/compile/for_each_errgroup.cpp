// A loop.

#include <errgroup/for_each.hpp>  // for_each

#include <vector>  // vector

int main() {
  std::vector<int> numbers(1000, 21);
  errgroup::error const error = errgroup::for_each(numbers, [](int& n) { n *= 2; });
  return !error && numbers.front() == 42 && numbers.back() == 42 ? 0 : 1;
}
