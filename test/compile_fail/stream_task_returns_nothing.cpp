// A task without a result is a task of a group.
// expect: a task of an errgroup::stream<T> returns a T, or an errgroup::result

#include <errgroup/result.hpp>
#include <errgroup/stream.hpp>

#include <system_error>  // error_code

struct anything {
  template <class T>
  anything(T) {}
};

errgroup::error collect() {
  errgroup::stream<anything> out({}, [](anything) {});
#ifdef ERRGROUP_COMPILE_OK
  out.run([] { return 1; });
#else
  out.run([] {});
  out.run([] { return std::error_code(); });
  out.run([] { return errgroup::result<>(); });
#endif
  return out.wait();
}
