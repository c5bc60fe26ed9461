#include <errgroup/errgroup.hpp>

#include <cstddef>   // size_t
#include <iostream>  // cerr, cout
#include <numeric>   // reduce
#include <vector>    // vector

// How many prime numbers there are from begin to end - 1.
int primes_in(int begin, int end) {
  int count = 0;
  for (int n = begin < 2 ? 2 : begin; n < end; ++n) {
    int divisor = 2;
    while (divisor * divisor <= n && n % divisor != 0) {
      ++divisor;
    }
    count += divisor * divisor > n ? 1 : 0;
  }
  return count;
}

int main() {
  std::vector<int> found(10);
  errgroup::group g;
  for (std::size_t i = 0; i != found.size(); ++i) {
    g.run([&found, i] {
      int const begin = static_cast<int>(i) * 100'000;
      found[i] = primes_in(begin, begin + 100'000);
    });
  }
  if (auto err = g.wait()) {
    std::cerr << err << '\n';
    return 1;
  }
  std::cout << std::reduce(found.begin(), found.end()) << " primes below 1000000\n";
}
