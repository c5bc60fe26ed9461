// A task with a name that try_run() had no room for does not run either.
// expect: nodiscard

#include <errgroup/group.hpp>

errgroup::error collect() {
  errgroup::group tasks;
#ifdef ERRGROUP_COMPILE_OK
  if (!tasks.try_run("name", [] {})) tasks.run("name", [] {});
#else
  tasks.try_run("name", [] {});
#endif
  return tasks.wait();
}
