// At most two tasks at once.

#include <errgroup/group.hpp>  // group

#include <atomic>  // atomic

int main() {
  std::atomic<int> sum{0};
  errgroup::group group{{.limit = 2}};
  for (int i = 1; i <= 10; ++i) {
    group.run([&sum, i] { sum += i; });
  }
  return !group.wait() && sum == 55 ? 0 : 1;
}
