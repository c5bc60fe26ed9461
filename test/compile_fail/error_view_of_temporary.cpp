// What all() and its like return refers to the error: it may not be that of a temporary.
// expect: all\(\) of a temporary error refers to what is gone with it: keep the error first
// expect: others\(\) of a temporary error refers to what is gone with it: keep the error first
// expect: get_if\(\) of a temporary error points to what is gone with it: keep the error first
// expect: find_if\(\) of a temporary error points to what is gone with it: keep the error first

#include <errgroup/group.hpp>

#include <stdexcept>  // runtime_error

std::size_t count(errgroup::group& g) {
  std::size_t n = 0;
#ifdef ERRGROUP_COMPILE_OK
  auto const err = g.wait();
  for (auto const& e : err.all()) n += e.skipped();
  for (auto const& e : err.others()) n += e.skipped();
  if (auto const* x = err.get_if<std::runtime_error>()) n += x->what()[0];
  if (auto const* e = err.find_if([](errgroup::error const&) { return true; })) n += e->skipped();
#else
  for (auto const& e : g.wait().all()) n += e.skipped();
  for (auto const& e : g.wait().others()) n += e.skipped();
  if (auto const* x = g.wait().get_if<std::runtime_error>()) n += x->what()[0];
  if (auto const* e = g.wait().find_if([](errgroup::error const&) { return true; })) {
    n += e->skipped();
  }
#endif
  return n;
}
