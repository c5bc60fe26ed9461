// SPDX-License-Identifier: Apache-2.0
#include <errgroup/detail/forced_unwind.hpp>
#include <errgroup/detail/thread_state.hpp>

namespace errgroup::inline v1::detail {

void refuse_end_of_thread() noexcept {
  die("a task, or another function that errgroup called, ended its thread: it called pthread_exit, "
      "or pthread_cancel was called for the thread. The thread is not the task's own, and the "
      "group "
      "waits for the task: return from the task instead. To stop a task from outside, cancel its "
      "group: the task sees that in its std::stop_token");
}

}  // namespace errgroup::inline v1::detail
