// Nothing comes before a source.
// expect: the source of a pipeline is a range, or is called without arguments or with a std::stop

#include <errgroup/pipeline.hpp>

#include <optional>

errgroup::error carry() {
  namespace stage = errgroup::stage;
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source([] { return std::optional<int>(); }),
                            stage::in_order([](int) {}));
#else
  return errgroup::pipeline(stage::source([](int i) { return std::optional<int>(i); }),
                            stage::in_order([](int) {}));
#endif
}
