// A function of the user's own that returns an error need not say that it must not be dropped.
// expect: nodiscard

#include <errgroup/error.hpp>

errgroup::error save();

void close() {
#ifdef ERRGROUP_COMPILE_OK
  if (auto failure = save()) failure.raise();
#else
  save();
#endif
}
