// A callable alone is no stage: nobody could tell whether several threads may call it at once.
// expect: and its stages: errgroup::stage::source

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source(v), [](int) {});
#endif
}
