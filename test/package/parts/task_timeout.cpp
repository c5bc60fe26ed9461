// A task with a timeout. It has to stop the task: the timer is there, and is used.
// parts: timer timetable cleanup task_time

#include <errgroup/group.hpp>

#include <chrono>      // milliseconds
#include <stop_token>  // stop_token
#include <thread>      // yield

int main() {
  errgroup::group g;
  g.run({.timeout = std::chrono::milliseconds(1)}, [](std::stop_token const& stop) {
    while (!stop.stop_requested()) {
      std::this_thread::yield();
    }
  });
  return g.wait() == errgroup::errc::deadline_exceeded ? 0 : 1;
}
