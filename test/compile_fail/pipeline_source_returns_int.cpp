// A source that returns numbers could never end.
// expect: the source of a pipeline returns a std::optional<T>, whose empty one ends the input

#include <errgroup/pipeline.hpp>

#include <optional>

errgroup::error carry() {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source([] { return std::optional<int>(); }),
                            stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source([] { return 1; }), stage::in_order([](int) {}));
#endif
}
