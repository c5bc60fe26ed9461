// What must not be ignored says why, and what to do.
// expect: nothing else tells what failed: look at it
// expect: false means that the task was not accepted
// expect: only with admission::accepted was the task accepted
// expect: false means that tasks are unfinished
// expect: it holds the values, or why there are none
// expect: the handle tells what the task returns: keep it
// expect: this only answers, and changes nothing

#include <errgroup/errgroup.hpp>

#include <chrono>  // milliseconds

void use(errgroup::group& g, errgroup::error const& e) {
#ifdef ERRGROUP_COMPILE_OK
  (void)g.wait();
  (void)g.try_run([] {});
  (void)g.try_run_for(std::chrono::milliseconds(1), [] {});
  (void)g.wait_for(std::chrono::milliseconds(1));
  (void)errgroup::all([] { return 1; });
  (void)errgroup::spawn(g, [] {});
  (void)e.message();
#else
  g.wait();
  g.try_run([] {});
  g.try_run_for(std::chrono::milliseconds(1), [] {});
  g.wait_for(std::chrono::milliseconds(1));
  errgroup::all([] { return 1; });
  errgroup::spawn(g, [] {});
  e.message();
#endif
}
