// Of no callables none can succeed, and a result would have no type.
// expect: there are no tasks to have a result of

#include <errgroup/any.hpp>

bool collect() {
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::any([] {}).has_value();
#else
  return errgroup::any().has_value();
#endif
}
