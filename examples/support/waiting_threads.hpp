#ifndef ERRGROUP_EXAMPLES_SUPPORT_WAITING_THREADS_HPP
#define ERRGROUP_EXAMPLES_SUPPORT_WAITING_THREADS_HPP

#include <oneapi/tbb/global_control.h>  // global_control
#include <oneapi/tbb/task_arena.h>      // task_arena

#include <cstddef>  // size_t

/// Threads for tasks that sleep or wait for a socket: oneTBB has one for each CPU, and a task that
/// waits occupies one. While this lives there are as many as asked for, and one more.
class waiting_threads {
 public:
  explicit waiting_threads(int count)
      : allowed_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(count) + 1),
        arena_(count + 1) {}

  [[nodiscard]] tbb::task_arena& arena() noexcept { return arena_; }

 private:
  tbb::global_control allowed_;
  tbb::task_arena arena_;
};

#endif  // ERRGROUP_EXAMPLES_SUPPORT_WAITING_THREADS_HPP
