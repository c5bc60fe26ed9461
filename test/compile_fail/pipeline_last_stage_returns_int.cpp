// No stage takes what the last stage returns, and a number is no error.
// expect: this stage of a pipeline returns what no stage takes

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source(v), stage::in_order([](int i) { return i; }));
#endif
}
