// transform keeps values.
// expect: this returns nothing but success or failure: use for_each

#include <errgroup/transform.hpp>

#include <system_error>
#include <vector>

bool collect(std::vector<int> const& v) {
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::transform(v, [](int i) { return i; }).has_value();
#else
  return errgroup::transform(v, [](int) { return std::error_code(); }).has_value();
#endif
}
