// A stage takes what the stage before it returns. The message shows the stage and the item.
// expect: this stage of a pipeline cannot be called with the items of the stage before it
// expect: stage_fits<2, .*in_order.*basic_string<char> ?&&, false>

#include <errgroup/pipeline.hpp>

#include <string>
#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
  auto const text = [](int i) { return std::to_string(i); };
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v), stage::parallel(text),
                            stage::in_order([](std::string const&) {}));
#else
  return errgroup::pipeline(stage::source(v), stage::parallel(text),
                            stage::in_order([](std::vector<char>&&) {}));
#endif
}
