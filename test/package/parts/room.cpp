// A group with a bounded queue, whose context the program uses: a thread that waits for room polls
// for a cancellation by oneTBB, with the timer's thread.
// parts: timer timetable cleanup

#include <errgroup/group.hpp>

#include <chrono>  // milliseconds
#include <thread>  // sleep_for

int main() {
  errgroup::group g{{.limit = 1, .queue = 1}};
  g.context();
  for (int i = 0; i != 5; ++i) {
    // Long enough for the submitter to go to sleep. If it runs the task itself, it does not sleep.
    g.run([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  }
  return g.wait() ? 1 : 0;
}
