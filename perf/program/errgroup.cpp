// A whole program with one group.

#include <errgroup/group.hpp>  // group

int main() {
  int answer = 0;
  errgroup::group group;
  group.run([&] { answer = 42; });
  return !group.wait() && answer == 42 ? 0 : 1;
}
