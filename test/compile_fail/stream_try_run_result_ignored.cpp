// A task that was refused does not run; that must not be dropped unseen.
// expect: nodiscard

#include <errgroup/stream.hpp>

errgroup::error collect() {
  errgroup::stream<int> out({}, [](int) {});
#ifdef ERRGROUP_COMPILE_OK
  if (!out.try_run([] { return 1; })) out.cancel();
#else
  out.try_run([] { return 1; });
#endif
  return out.wait();
}
