// What scope() returns is the only word about a failure, with options, too.
// expect: nodiscard

#include <errgroup/scope.hpp>

void collect() {
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = errgroup::scope({.limit = 1}, [](errgroup::group&) {})) failure.raise();
#else
  errgroup::scope({.limit = 1}, [](errgroup::group&) {});
#endif
}
