// A wait with an end time.
// parts: timer timetable cleanup

#include <errgroup/group.hpp>

#include <atomic>  // atomic
#include <chrono>  // microseconds
#include <thread>  // thread

int main() {
  std::atomic<bool> runs{false};
  std::atomic<bool> go{false};
  errgroup::group g;
  std::thread other([&] {
    (void)g.run_and_wait([&] {
      runs = true;
      runs.notify_all();
      go.wait(false);
    });
  });
  runs.wait(false);
  bool const in_time = g.wait_for(std::chrono::microseconds(10));
  go = true;
  go.notify_all();
  other.join();
  return !in_time && !g.wait() ? 0 : 1;
}
