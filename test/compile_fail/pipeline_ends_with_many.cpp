// Parts need a stage that takes them.
// expect: the last stage of a pipeline passes nothing on, so it cannot be made by stage::many

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
  auto const twice = [](int i, stage::emitter<int> emit) {
    emit(i);
    emit(i);
  };
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::many(twice), stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source(v), stage::many(twice));
#endif
}
