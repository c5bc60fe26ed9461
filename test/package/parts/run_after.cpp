// A task that waits for a time.
// parts: timer timetable cleanup

#include <errgroup/group.hpp>

#include <chrono>  // milliseconds

int main() {
  errgroup::group g;
  g.run_after(std::chrono::milliseconds(1), [] {});
  return g.wait() ? 1 : 0;
}
