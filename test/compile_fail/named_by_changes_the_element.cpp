// The function that names an element reads it, and does not change it.
// expect: a named_by is called with a const element

#include <errgroup/transform.hpp>

#include <string>
#include <vector>

errgroup::result<std::vector<int>> collect(std::vector<std::string>& texts) {
#ifdef ERRGROUP_COMPILE_OK
  auto const name = [](std::string const& text) { return text; };
#else
  auto const name = [](std::string& text) { return text += "!"; };
#endif
  return errgroup::transform(texts, [](std::string const&) { return 1; }, errgroup::named_by(name));
}
