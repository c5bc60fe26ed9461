// docs/cookbook.md: A time limit for each task.

#include <errgroup/errgroup.hpp>

#include <chrono>      // operator""h, operator""ms
#include <iostream>    // cout
#include <stop_token>  // stop_token

int main() {
  using namespace std::chrono_literals;

  errgroup::group g{{.limit = 2, .policy = errgroup::on_error::keep_going, .name = "requests"}};
  g.run({.name = "quick", .timeout = 1h}, [] { std::cout << "quick: done\n"; });
  g.run({.name = "endless", .timeout = 50ms}, [](std::stop_token stop) {
    while (!stop.stop_requested()) {
    }
  });
  auto err = g.wait();
  std::cout << err << '\n';
  std::cout << (g.is_canceling() ? "all of it was stopped\n" : "the rest went on\n");
}
