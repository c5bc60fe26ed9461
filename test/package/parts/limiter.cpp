// A group with a limiter, and tasks of several levels.
// parts: limiter

#include <errgroup/group.hpp>
#include <errgroup/limiter.hpp>

int main() {
  errgroup::limiter places(4);
  errgroup::group g{{.limiter = &places}};
  g.run({.weight = 2}, [] {});
  g.run({.priority = errgroup::priority::high}, [] {});
  bool const right = g.try_run([] {}) && !g.wait();
  places.resize(2);
  return right && places.in_use() == 0 ? 0 : 1;
}
