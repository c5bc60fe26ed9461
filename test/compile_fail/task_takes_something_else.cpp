// A task is called with the group's stop token, or with nothing.
// expect: a task is called with nothing, or with a std::stop_token

#include <errgroup/group.hpp>

#include <stop_token>  // stop_token

errgroup::error collect() {
  errgroup::group tasks;
#ifdef ERRGROUP_COMPILE_OK
  tasks.run([](std::stop_token) {});
#else
  tasks.run([](int) {});
#endif
  return tasks.wait();
}
