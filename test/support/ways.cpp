// SPDX-License-Identifier: Apache-2.0
#include "support/ways.hpp"

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // task_arena
#include <tbb/task_group.h>      // task_group

#include <cstddef>  // size_t

namespace support {

void on_every_way(std::function<void(errgroup::group&)> const& body,
                  errgroup::options const& base) {
  auto const here = [&](char const* where) {
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

void with_workers(int n, std::function<void()> const& body) {
  tbb::global_control const allowed(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(n) + 1);
  tbb::task_arena arena(n + 1);
  arena.execute([&] { body(); });
}

}  // namespace support
