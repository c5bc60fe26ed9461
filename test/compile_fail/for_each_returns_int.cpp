// A number is not an error, and for_each keeps no values.
// expect: for_each calls what returns void, std::error_code, errgroup::error
// expect: to keep what it returns, use transform

#include <errgroup/for_each.hpp>

errgroup::error collect() {
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::for_each(3, [](int) {});
#else
  return errgroup::for_each(3, [](int i) { return i; });
#endif
}
