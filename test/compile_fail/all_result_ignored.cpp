// What all() returns is the only word about a failure; it must not be dropped unseen.
// expect: nodiscard

#include <errgroup/all.hpp>

void collect() {
#ifdef ERRGROUP_COMPILE_OK
  if (auto done = errgroup::all([] {}, [] {})) return;
#else
  errgroup::all([] {}, [] {});
#endif
}
