// A program over tbb::task_group with everything that docs/from_tbb.md tells how to port. Read by
// test/porting_test.py. At the end of a line, "becomes" tells the line that a person writes after
// the commands of the document.
#define TBB_PREVIEW_ISOLATED_TASK_GROUP 1
#include <oneapi/tbb/task_group.h>

#include <utility>

namespace tbb_too {
using namespace tbb;
void left_over() {
  task_group g;  // becomes: errgroup::group g;
  g.run([] {});
  g.wait();
}
}  // namespace tbb_too

int compute() { return 3; }

void plain() {
  oneapi::tbb::task_group g;
  g.run([] {});
  g.wait();
}

void returns_an_int() {
  tbb::task_group group;
  group.run([] { return compute(); });  // becomes: group.run([] { (void)compute(); });
  group.wait();
}

bool compares() {
  tbb::task_group g;
  g.run([] {});
  return g.wait() == tbb::canceled;  // becomes: return g.wait() == errgroup::errc::canceled;
}

bool keeps_the_status() {
  tbb::task_group g;
  tbb::task_group_status s = g.run_and_wait([] {});  // becomes: auto s = g.run_and_wait([] {});
  return s == tbb::complete;                         // becomes: return !s;
}

void with_a_context() {
  tbb::task_group_context apart(tbb::task_group_context::isolated);  // becomes:
  tbb::task_group g(apart);  // becomes: errgroup::group g{{.detached = true}};
  g.run([] {});
  g.wait();
}

void isolated() {
  tbb::isolated_task_group g;
  g.run([] {});
  g.wait();
}

void deferred() {
  tbb::task_group g;
  auto later = g.defer([] {});  // becomes: auto later = [] {};
  g.run(std::move(later));
  g.wait();
}

int catches() {
  tbb::task_group g;
  g.run([] { throw 1; });
  try {
    g.wait();
  } catch (int n) {
    return n;
  }
  return 0;
}

int main() {
  tbb_too::left_over();
  plain();
  returns_an_int();
  with_a_context();
  isolated();
  deferred();
  return !compares() && keeps_the_status() && catches() == 1 ? 0 : 1;
}
