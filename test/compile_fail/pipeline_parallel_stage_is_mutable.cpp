// Several threads call a parallel stage at once, so it is called as a const object.
// expect: a parallel stage is called as a const object .not a mutable lambda

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
  auto count = [n = 0](int) mutable { ++n; };
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::serial(count));
#else
  return errgroup::pipeline(stage::source(v), stage::parallel(count));
#endif
}
