// A task is called with the stream's stop token, or with nothing.
// expect: a task is called with nothing, or with a std::stop_token

#include <errgroup/stream.hpp>

#include <stop_token>  // stop_token

errgroup::error collect() {
  errgroup::stream<int> out({}, [](int) {});
#ifdef ERRGROUP_COMPILE_OK
  out.run([](std::stop_token) { return 1; });
#else
  out.run([](int n) { return n; });
#endif
  return out.wait();
}
