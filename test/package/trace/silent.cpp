// A program that does not name errgroup::trace.
#include <errgroup/errgroup.hpp>

int main() {
  errgroup::group g;
  g.run("recorded", [] {});
  return g.wait() ? 1 : 0;
}
