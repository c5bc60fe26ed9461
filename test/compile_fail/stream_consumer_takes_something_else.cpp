// The consumer of a stream is called with a result.
// expect: the consumer of an errgroup::stream<T> is called with a T&&

#include <errgroup/stream.hpp>

#include <string>  // string

errgroup::error collect() {
#ifdef ERRGROUP_COMPILE_OK
  errgroup::stream<int> out({}, [](int) {});
#else
  errgroup::stream<int> out({}, [](std::string) {});
#endif
  return out.wait();
}
