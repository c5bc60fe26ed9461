// What wait() returns is the only word about a failure; it must not be dropped unseen.
// expect: nodiscard

#include <errgroup/stream.hpp>

void collect() {
  errgroup::stream<int> out({}, [](int) {});
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = out.wait()) failure.raise();
#else
  out.wait();
#endif
}
