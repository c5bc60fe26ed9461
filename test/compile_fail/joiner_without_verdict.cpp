// A joiner says whether it goes on.
// expect: a joiner has a verdict on_result\(std::size_t, result<T>&&\)

#include <errgroup/join.hpp>

#include <cstddef>  // size_t

struct counter {
  int results = 0;
#ifdef ERRGROUP_COMPILE_OK
  errgroup::verdict on_result(std::size_t, errgroup::result<int>&&) {
    ++results;
    return errgroup::verdict::go_on;
  }
#else
  void on_result(std::size_t, errgroup::result<int>&&) { ++results; }
#endif
  errgroup::result<int> finish() { return results; }
};

bool collect() {
  return errgroup::join(counter(), [] { return 3; }).has_value();
}
