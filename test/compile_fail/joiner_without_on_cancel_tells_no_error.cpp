// A joiner that is not told when it is cancelled leaves that to join, which has to tell it.
// expect: a joiner without on_cancel returns a result from finish\(\)

#include <errgroup/join.hpp>

#include <cstddef>  // size_t

struct counter {
  int results = 0;
  errgroup::verdict on_result(std::size_t, errgroup::result<int>&&) {
    ++results;
    return errgroup::verdict::go_on;
  }
#ifdef ERRGROUP_COMPILE_OK
  errgroup::result<int> finish() { return results; }
#else
  int finish() { return results; }
#endif
};

bool collect() {
  return static_cast<bool>(errgroup::join(counter(), [] { return 3; }));
}
