#include <errgroup/errgroup.hpp>

#include <atomic>        // atomic
#include <chrono>        // operator""ms
#include <iostream>      // cout
#include <stop_token>    // stop_token
#include <system_error>  // errc

int main() {
  using namespace std::chrono_literals;

  std::atomic<long> steps = 0;
  errgroup::group g{{.limit = 2, .timeout = 500ms, .name = "search"}};
  for (int i = 0; i != 100; ++i) {
    g.run([&steps](std::stop_token stop) {
      while (!stop.stop_requested()) {
        ++steps;  // a step of a search that has no end
      }
    });
  }
  auto err = g.wait();
  std::cout << err << '\n';
  return err == std::errc::timed_out ? 0 : 1;
}
