// What for_each returns is the only word about a failure; it must not be dropped unseen.
// expect: nodiscard

#include <errgroup/for_each.hpp>

void collect() {
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = errgroup::for_each(3, [](int) {})) failure.raise();
#else
  errgroup::for_each(3, [](int) {});
#endif
}
