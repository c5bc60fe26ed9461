// What and_then goes on with is a result; transform is for what is not.
// expect: and_then takes what returns a result

#include <errgroup/result.hpp>

errgroup::result<int> twice(errgroup::result<int> n) {
#ifdef ERRGROUP_COMPILE_OK
  return n.transform([](int i) { return 2 * i; });
#else
  return n.and_then([](int i) { return 2 * i; });
#endif
}
