// Several threads call the same object: one that changes would be a race.
// expect: several threads call this at once, so it is called as a const object

#include <errgroup/for_each.hpp>

errgroup::error collect() {
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::for_each(3, [n = 0](int i) { (void)(n + i); });
#else
  return errgroup::for_each(3, [n = 0](int i) mutable { n += i; });
#endif
}
