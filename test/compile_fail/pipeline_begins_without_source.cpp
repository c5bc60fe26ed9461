// A pipeline begins with its source.
// expect: the first stage of a pipeline is its source: stage::source

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::in_order([](int) {}));
#else
  (void)v;
  return errgroup::pipeline(stage::parallel([](int i) { return i; }), stage::in_order([](int) {}));
#endif
}
