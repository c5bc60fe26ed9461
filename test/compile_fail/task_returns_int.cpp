// A number is not an error: 0 may mean success, or nothing done, or stdin.
// expect: a task returns void, std::error_code, errgroup::error
// expect: for an int, .*return std::make_error_code

#include <errgroup/group.hpp>

errgroup::error collect() {
  errgroup::group tasks;
#ifdef ERRGROUP_COMPILE_OK
  tasks.run([] {});
#else
  tasks.run([] { return 0; });
#endif
  return tasks.wait();
}
