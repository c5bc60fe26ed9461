// A task that waits for a time. Raw oneTBB has no timers.

#include <errgroup/group.hpp>  // group

#include <chrono>  // hours, milliseconds

int main() {
  int answer = 0;
  errgroup::group group{{.timeout = std::chrono::hours(1)}};
  group.run_after(std::chrono::milliseconds(1), [&] { answer = 42; });
  return !group.wait() && answer == 42 ? 0 : 1;
}
