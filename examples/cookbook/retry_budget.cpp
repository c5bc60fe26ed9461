// docs/cookbook.md: Retry with a budget.

#include <errgroup/errgroup.hpp>

#include <atomic>        // atomic
#include <chrono>        // operator""ms, operator""min
#include <functional>    // function
#include <iostream>      // cout
#include <system_error>  // errc, error_code, make_error_code
#include <vector>        // vector

/// A number of retries that several calls share.
class retry_budget {
 public:
  explicit retry_budget(int retries) : left_(retries) {}

  /// Takes a retry, if one is left.
  bool take() { return left_.fetch_sub(1) > 0; }

 private:
  std::atomic<int> left_;
};

int main() {
  using namespace std::chrono_literals;

  std::atomic<int> calls = 0;
  auto const ask_server = [&calls] {  // a server that is down
    ++calls;
    return std::make_error_code(std::errc::connection_refused);
  };

  retry_budget budget(5);
  errgroup::retry_policy const policy = {
      .attempts = 4,
      .delay = 1ms,
      .max_delay = 10ms,
      .jitter = 1,
      .retry_if =
          [&budget](errgroup::error const& e) {
            return e == std::errc::connection_refused && budget.take();
          },
  };
  std::vector<errgroup::retrying<decltype(ask_server)>> requests;
  for (int i = 0; i != 20; ++i) {
    requests.emplace_back(policy, ask_server);
  }
  auto const answers = errgroup::all_settled({.limit = 4, .timeout = 10min}, requests);
  std::cout << answers.size() << " requests, " << calls << " calls of the server\n";
}
