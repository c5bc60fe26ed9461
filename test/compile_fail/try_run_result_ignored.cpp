// A task that try_run() had no room for does not run: who asks has to listen.
// expect: nodiscard

#include <errgroup/group.hpp>

errgroup::error collect() {
  errgroup::group tasks;
#ifdef ERRGROUP_COMPILE_OK
  if (!tasks.try_run([] {})) tasks.run([] {});
#else
  tasks.try_run([] {});
#endif
  return tasks.wait();
}
