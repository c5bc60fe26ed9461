// What run_and_wait() returns is the only word about a failure; it must not be dropped unseen.
// expect: nodiscard

#include <errgroup/group.hpp>

void collect() {
  errgroup::group tasks;
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = tasks.run_and_wait([] {})) failure.raise();
#else
  tasks.run_and_wait([] {});
#endif
}
