// A number is no name: std::to_string makes one of it.
// expect: a named_by returns the name of an element

#include <errgroup/for_each.hpp>

#include <string>

errgroup::error collect() {
  auto const name = [](int i) {
#ifdef ERRGROUP_COMPILE_OK
    return std::to_string(i);
#else
    return i;
#endif
  };
  return errgroup::for_each(3, [](int) {}, errgroup::named_by(name));
}
