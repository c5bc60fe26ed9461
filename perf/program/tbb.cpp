// A whole program with one raw group.

#include <tbb/task_group.h>  // task_group

int main() {
  int answer = 0;
  tbb::task_group group;
  group.run([&] { answer = 42; });
  return group.wait() == tbb::complete && answer == 42 ? 0 : 1;
}
