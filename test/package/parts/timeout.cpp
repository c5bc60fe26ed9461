// A group with a timeout. It has to stop the group: the timer is there, and is used.
// parts: timer timetable cleanup

#include <errgroup/group.hpp>

#include <chrono>      // milliseconds
#include <stop_token>  // stop_token
#include <thread>      // yield

int main() {
  errgroup::group g{{.timeout = std::chrono::milliseconds(1)}};
  g.run([](std::stop_token const& stop) {
    while (!stop.stop_requested()) {
      std::this_thread::yield();
    }
  });
  bool const in_time = g.wait() == errgroup::errc::deadline_exceeded;
  g.reset();  // the timeout begins anew
  while (!g.is_canceling()) {
    std::this_thread::yield();
  }
  return in_time && g.wait() == errgroup::errc::deadline_exceeded ? 0 : 1;
}
