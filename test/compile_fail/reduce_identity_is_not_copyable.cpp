// Each part of a reduce begins with an identity of its own.
// expect: for what cannot be copied, pass a callable without arguments that makes one

#include <errgroup/reduce.hpp>

#include <memory>
#include <vector>

bool collect(std::vector<int> const& v) {
  using value = std::unique_ptr<int>;
  auto const f = [](value p, int) { return p; };
  auto const combine = [](value p, value) { return p; };
#ifdef ERRGROUP_COMPILE_OK
  return errgroup::reduce(v, [] { return std::make_unique<int>(0); }, f, combine).has_value();
#else
  return errgroup::reduce(v, std::make_unique<int>(0), f, combine).has_value();
#endif
}
