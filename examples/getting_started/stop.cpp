#include <errgroup/errgroup.hpp>

#include <atomic>        // atomic
#include <iostream>      // cin, cout
#include <stop_token>    // stop_source, stop_token
#include <system_error>  // errc
#include <thread>        // jthread

void stop_at_enter(std::stop_source user) {
  std::cin.get();  // waits for the Enter key
  user.request_stop();
}

int main() {
  std::stop_source const user;
  std::jthread const keyboard(stop_at_enter, user);

  std::atomic<long> steps = 0;
  errgroup::group g{{.limit = 2, .stop = user.get_token(), .name = "search"}};
  for (int i = 0; i != 100; ++i) {
    g.run([&steps](std::stop_token stop) {
      while (!stop.stop_requested()) {
        ++steps;  // a step of a search that has no end
      }
    });
  }
  auto err = g.wait();
  std::cout << err << '\n';
  return err == std::errc::operation_canceled ? 0 : 1;
}
