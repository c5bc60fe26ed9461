// The result of a task is what its stream is of.
// expect: a task of an errgroup::stream<T> returns a T, or an errgroup::result

#include <errgroup/stream.hpp>

#include <string>  // string

errgroup::error collect() {
  errgroup::stream<int> out({}, [](int) {});
#ifdef ERRGROUP_COMPILE_OK
  out.run([] { return 1; });
#else
  out.run([] { return std::string(); });
#endif
  return out.wait();
}
