// The first that succeeds gives the result: so all of them return something of one kind.
// expect: the results of these tasks have no common type

#include <errgroup/any.hpp>

#include <string>  // string

bool collect() {
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::any([] { return 3; }, [] { return 4.5; }).has_value();
#else
  return errgroup::any([] { return 3; }, [] { return std::string(); }).has_value();
#endif
}
