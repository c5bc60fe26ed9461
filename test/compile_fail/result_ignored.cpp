// A function of the user's own that returns a result need not say that it must not be dropped.
// expect: nodiscard

#include <errgroup/result.hpp>

errgroup::result<int> load();

void warm_up() {
#ifdef ERRGROUP_COMPILE_OK
  if (auto loaded = load()) return;
#else
  load();
#endif
}
