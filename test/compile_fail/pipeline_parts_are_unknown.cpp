// The type of the parts cannot be read from a generic lambda.
// expect: the type of the parts of this stage is not known

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
  auto const twice = [](int i, auto emit) {
    emit(i);
    emit(i);
  };
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::many<int>(twice), stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source(v), stage::many(twice), stage::in_order([](int) {}));
#endif
}
