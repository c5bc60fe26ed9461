// What a pipeline returns is the only word about a failure; it must not be dropped unseen.
// expect: nodiscard

#include <errgroup/pipeline.hpp>

#include <vector>

void carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = errgroup::pipeline(stage::source(v), stage::in_order([](int) {}))) {
    failure.raise();
  }
#else
  errgroup::pipeline(stage::source(v), stage::in_order([](int) {}));
#endif
}
