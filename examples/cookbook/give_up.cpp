// docs/cookbook.md: Hand work over, or give up.

#include <errgroup/errgroup.hpp>

#include <chrono>      // nanoseconds, operator""h, operator""ms, operator""s
#include <functional>  // function
#include <iostream>    // cout
#include <latch>       // latch
#include <stop_token>  // stop_source, stop_token
#include <utility>     // move

using namespace std::chrono_literals;

/// The answer for a client.
char const* in_words(errgroup::admission answer) {
  switch (answer) {
    case errgroup::admission::accepted:
      return "accepted";
    case errgroup::admission::full:
      return "busy, try again later";
    case errgroup::admission::stopped:
      return "not handed over";
    case errgroup::admission::canceled:
      return "the server has ended";
  }
  return "";
}

int main() {
  errgroup::group jobs{{.limit = 1, .queue = 0, .name = "jobs", .blocking = true}};
  auto const offer = [&jobs](std::chrono::nanoseconds patience, std::function<void()> job) {
    return in_words(jobs.try_run_for(patience, std::move(job)));
  };
  std::latch released(1);
  std::cout << "job 1: " << offer(0s, [&released] { released.wait(); }) << '\n';
  std::cout << "job 2: " << offer(20ms, [] {}) << '\n';
  released.count_down();
  std::cout << "job 3: " << offer(1h, [] {}) << '\n';

  std::stop_source ctrl_c;
  std::cout << "job 4: " << in_words(jobs.run(ctrl_c.get_token(), [] {})) << '\n';
  ctrl_c.request_stop();
  std::cout << "job 5: " << in_words(jobs.run(ctrl_c.get_token(), [] {})) << '\n';

  jobs.cancel();
  std::cout << "job 6: " << offer(1h, [] {}) << '\n';
  (void)jobs.wait();
}
