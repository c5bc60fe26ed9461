// Raw oneTBB: contexts that can be cancelled, and arenas with two slots.

#include "workload.hpp"

#include <oneapi/tbb/task_arena.h>  // task_arena
#include <oneapi/tbb/task_group.h>  // task_group, task_group_context

namespace {

class cancellable {
 public:
  void cancel() { context_.cancel_group_execution(); }
  bool is_canceled() { return context_.is_group_execution_cancelled(); }
  bool renew() {
    bool const was = is_canceled();
    context_.reset();
    return was;
  }

 private:
  tbb::task_group_context context_;
};

class limited {
 public:
  bool run_one() {
    return arena_.execute([] {
      tbb::task_group group;
      group.run(perf::count_task{});
      return group.wait() == tbb::complete;
    });
  }

 private:
  tbb::task_arena arena_{many::limit};
};

struct raw {
  static constexpr std::string_view name = "tbb";
  using cancellable = ::cancellable;
  using limited = ::limited;
};

bool const enrolled = perf::enroll(many::add_all<raw>);

}  // namespace
