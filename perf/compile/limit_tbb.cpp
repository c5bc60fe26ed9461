// At most two tasks at once, which takes an arena. (The tasks of an arena of one would not be held
// to one.)

#include <tbb/task_arena.h>  // task_arena
#include <tbb/task_group.h>  // task_group

#include <atomic>  // atomic

int main() {
  std::atomic<int> sum{0};
  tbb::task_arena arena(2);
  tbb::task_group group;
  arena.execute([&] {
    for (int i = 1; i <= 10; ++i) {
      group.run([&sum, i] { sum += i; });
    }
    group.wait();
  });
  return sum == 55 ? 0 : 1;
}
