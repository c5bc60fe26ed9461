// An answer with four values is no condition: full and cancelled call for different things.
// expect: admission

#include <errgroup/group.hpp>

#include <chrono>  // milliseconds

errgroup::error collect() {
  errgroup::group tasks;
#ifdef ERRGROUP_COMPILE_OK
  if (tasks.try_run_for(std::chrono::milliseconds(1), [] {}) != errgroup::admission::accepted) {
#else
  if (!tasks.try_run_for(std::chrono::milliseconds(1), [] {})) {
#endif
    tasks.run([] {});
  }
  return tasks.wait();
}
