// docs/cookbook.md: A time limit for each task.

#include <errgroup/errgroup.hpp>

#include <chrono>      // nanoseconds, operator""h, operator""ms
#include <iostream>    // cout
#include <stop_token>  // stop_token
#include <utility>     // move

/// A task that calls `f`, and is cancelled `time` after it has begun.
template <class F>
auto within(std::chrono::nanoseconds time, F f) {
  return [time, f = std::move(f)]() mutable {
    errgroup::group own{{.timeout = time}};
    return own.run_and_wait(std::move(f));
  };
}

int main() {
  using namespace std::chrono_literals;

  errgroup::group g{{.limit = 2, .policy = errgroup::on_error::keep_going, .name = "requests"}};
  g.run("quick", within(1h, [] { std::cout << "quick: done\n"; }));
  g.run("endless", within(50ms, [](std::stop_token stop) {
          while (!stop.stop_requested()) {
          }
        }));
  auto err = g.wait();
  std::cout << err << '\n';
  std::cout << (g.is_canceling() ? "all of it was stopped\n" : "the rest went on\n");
}
