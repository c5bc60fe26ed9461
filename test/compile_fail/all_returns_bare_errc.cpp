// std::errc may be a value or a failure: nobody can tell.
// expect: nobody can tell whether this is a value or a failure: return a std::error_code

#include <errgroup/all.hpp>

#include <system_error>  // errc, make_error_code

bool collect() {
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::all([] { return std::make_error_code(std::errc::io_error); }).has_value();
#else
  return errgroup::all([] { return std::errc::io_error; }).has_value();
#endif
}
