// A source alone carries its items nowhere.
// expect: a pipeline has a stage behind its source

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source(v));
#endif
}
