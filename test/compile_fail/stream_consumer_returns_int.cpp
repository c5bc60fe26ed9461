// A number is not an error, and a stream keeps no values.
// expect: the consumer of a stream returns what a task may return: void, std::error_code

#include <errgroup/stream.hpp>

errgroup::error collect() {
#ifdef ERRGROUP_COMPILE_OK
  errgroup::stream<int> out({}, [](int) {});
#else
  errgroup::stream<int> out({}, [](int n) { return n; });
#endif
  return out.wait();
}
