#include <errgroup/errgroup.hpp>

#include <chrono>    // operator""h, operator""ms
#include <iostream>  // cout

int main() {
  using namespace std::chrono_literals;

  errgroup::group g;
  g.run_after(1h, "reminder", [] { std::cout << "an hour has passed\n"; });
  if (!g.wait_for(100ms)) {
    std::cout << "a task is left after 100 ms\n";
    g.cancel();
  }
  auto err = g.wait();
  std::cout << err << '\n' << err.skipped() << " task has not run\n";
}
