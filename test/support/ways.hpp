// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_WAYS_HPP
#define ERRGROUP_TEST_SUPPORT_WAYS_HPP

// The ways a task takes to a thread: through the group's queue, or straight to oneTBB.

#include "support/gate.hpp"
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>

#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // task_arena

#include <cstddef>     // size_t
#include <functional>  // function
#include <memory>      // make_shared, shared_ptr
#include <thread>      // thread
#include <vector>      // vector

namespace support {

/// Calls `body` with a fresh group, for each way that a task takes to a thread. `body` runs and
/// waits; it is given the group's options with a limit or without, and may be called in a task.
///
/// Not a template: a template would compile seven submissions for each test that calls it.
void on_every_way(std::function<void(errgroup::group&)> const& body,
                  errgroup::options const& base = {});

/// Calls `body` where oneTBB has `n` workers beside the calling thread, on a machine with any
/// number of CPUs: the process may have as many, and the arena that `body` is called in has room
/// for them.
///
/// A thread that `body` starts has an arena of its own, whose size follows the machine's CPUs.
void with_workers(int n, std::function<void()> const& body);

/// While it lives, no worker of oneTBB runs a task: oneTBB may have no workers, and the worker that
/// it starts nevertheless for enqueued tasks is kept busy. Best written before the groups of a
/// test.
class no_workers {
 public:
  no_workers() {
    elsewhere_.enqueue([g = gates_] {
      g->held.open();
      g->end.wait();
    });
    gates_->held.wait();
  }
  no_workers(no_workers const&) = delete;
  no_workers& operator=(no_workers const&) = delete;
  ~no_workers() { gates_->end.open(); }

 private:
  struct gates {
    gate held{"the worker for enqueued tasks to be kept busy"};
    gate end;
  };

  tbb::global_control one_{tbb::global_control::max_allowed_parallelism, 1};
  std::shared_ptr<gates> gates_ = std::make_shared<gates>();  // the worker may leave it later
  tbb::task_arena elsewhere_{1};
};

/// Threads that wait for a group: as many of its tasks run at once, on any machine and with any
/// number of oneTBB's workers. The tasks have to be submitted first.
class waiters {
 public:
  waiters(errgroup::group& g, std::size_t n) : errors_(n), met_(static_cast<int>(n)) {
    for (auto& e : errors_) {
      threads_.emplace_back([this, &g, &e] {
        met_.arrive_and_wait();
        e = g.wait();
      });
    }
  }
  waiters(waiters const&) = delete;
  waiters& operator=(waiters const&) = delete;
  ~waiters() { join(); }

  /// What each of them was told.
  std::vector<errgroup::error> const& errors() {
    join();
    return errors_;
  }

 private:
  void join() {
    for (auto& t : threads_) {
      if (t.joinable()) {
        t.join();
      }
    }
  }

  std::vector<errgroup::error> errors_;
  rendezvous met_;
  std::vector<std::thread> threads_;
};

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_WAYS_HPP
