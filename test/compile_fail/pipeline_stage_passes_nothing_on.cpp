// A stage between others passes an item on.
// expect: this stage of a pipeline returns nothing for the stage behind it

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::parallel([](int i) { return i; }),
                            stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source(v), stage::parallel([](int) {}),
                            stage::in_order([](int) {}));
#endif
}
