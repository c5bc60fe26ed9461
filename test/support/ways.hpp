// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_WAYS_HPP
#define ERRGROUP_TEST_SUPPORT_WAYS_HPP

// The ways a task takes to a thread: through the group's queue, or straight to oneTBB.

#include "support/gate.hpp"
#include <errgroup/group.hpp>

#include <gtest/gtest.h>
#include <tbb/task_group.h>  // task_group

#include <cstddef>  // size_t
#include <thread>   // thread
#include <utility>  // move
#include <vector>   // vector

namespace support {

/// Calls `body` with a fresh group, for each way that a task takes to a thread. `body` runs and
/// waits; it is given the group's options with a limit or without, and may be called in a task.
template <class Body>
void on_every_way(Body body, errgroup::options base = {}) {
  auto const here = [&body, base](char const* where) {
    SCOPED_TRACE(where);
    errgroup::options opts = base;
    {
      SCOPED_TRACE("no limit");
      errgroup::group g(opts);
      body(g);
    }
    {
      SCOPED_TRACE("a limit of 1");
      opts.limit = 1;
      errgroup::group g(opts);
      body(g);
    }
  };
  here("made and used outside of any task");
  {
    errgroup::group outer;
    auto const err = outer.run_and_wait([&] { here("made and used in a task"); });
    EXPECT_FALSE(err) << err;
  }
  {
    errgroup::group outer{{.limit = 1}};
    auto const err =
        outer.run_and_wait([&] { here("made and used in a task of a limited group"); });
    EXPECT_FALSE(err) << err;
  }
  {
    tbb::task_group outer;
    outer.run_and_wait([&] { here("made and used in a raw task"); });
  }
  {
    SCOPED_TRACE("made outside and used in a task of another group");
    errgroup::group g(base);
    errgroup::group outer;
    auto const err = outer.run_and_wait([&] { body(g); });
    EXPECT_FALSE(err) << err;
  }
}

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
