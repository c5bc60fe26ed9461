// What scope() returns is the only word about a failure; it must not be dropped unseen.
// expect: nodiscard

#include <errgroup/scope.hpp>

void collect() {
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = errgroup::scope([](errgroup::group&) {})) failure.raise();
#else
  errgroup::scope([](errgroup::group&) {});
#endif
}
