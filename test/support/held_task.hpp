// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_HELD_TASK_HPP
#define ERRGROUP_TEST_SUPPORT_HELD_TASK_HPP

#include "support/gate.hpp"
#include <errgroup/group.hpp>
#include <errgroup/task_options.hpp>

#include <memory>  // make_shared, shared_ptr

namespace support {

/// A task of a group that has begun, and ends when the test says so, or at the end of the object.
/// The constructor needs a thread that runs the task: a worker, or a waiter.
class held_task {
 public:
  explicit held_task(errgroup::group& g, errgroup::task_options const& opts = {}) {
    g.run(opts, [s = state_] {
      s->begun.open();
      s->go_on.wait();
    });
    state_->begun.wait();
  }
  held_task(held_task const&) = delete;
  held_task& operator=(held_task const&) = delete;
  ~held_task() { end(); }

  void end() { state_->go_on.open(); }

 private:
  struct gates {
    gate begun{"a task to begin"};
    gate go_on{"the test to end a task"};
  };

  std::shared_ptr<gates> state_ = std::make_shared<gates>();  // the task may end after this object
};

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_HELD_TASK_HPP
