// std::errc is an error condition, an enum that no category comes with.
// expect: for a std::errc, return std::make_error_code

#include <errgroup/group.hpp>

#include <system_error>  // errc, make_error_code

errgroup::error collect() {
  errgroup::group tasks;
#ifdef ERRGROUP_COMPILE_OK
  tasks.run([] { return std::make_error_code(std::errc::io_error); });
#else
  tasks.run([] { return std::errc::io_error; });
#endif
  return tasks.wait();
}
