// What wait() returns is the only word about a failure; it must not be dropped unseen.
// expect: nodiscard

#include <errgroup/group.hpp>

void collect() {
  errgroup::group tasks;
  tasks.run([] {});
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = tasks.wait()) failure.raise();
#else
  tasks.wait();
#endif
}
