// A state is made of nothing.
// expect: the first argument of stage::with_state makes a state: it is called without arguments

#include <errgroup/pipeline.hpp>

#include <vector>

errgroup::error carry(std::vector<int>& v) {
  namespace stage = errgroup::stage;
  auto const add = [](int& sum, int i) { sum += i; };
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::pipeline(stage::source(v),
                            stage::parallel(stage::with_state([] { return 0; }, add)));
#else
  return errgroup::pipeline(stage::source(v),
                            stage::parallel(stage::with_state([](int n) { return n; }, add)));
#endif
}
