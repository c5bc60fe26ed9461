// A group, and nothing else.
// parts:

#include <errgroup/group.hpp>

int main() {
  errgroup::group g;
  g.run([] {});
  return g.wait() ? 1 : 0;
}
