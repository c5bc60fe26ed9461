// A pipeline has one source.
// expect: a pipeline has one source, its first stage

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source(v), stage::source(v), stage::in_order([](int) {}));
#endif
}
