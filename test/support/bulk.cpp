// SPDX-License-Identifier: Apache-2.0
#include "support/bulk.hpp"

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/task_arena.h>      // task_arena

namespace support {

void with_all_options(std::function<void(errgroup::options const&)> const& body,
                      errgroup::options const& base) {
  auto const with = [&](char const* what, std::function<void(errgroup::options&)> const& change) {
    SCOPED_TRACE(what);
    errgroup::options opts = base;
    change(opts);
    body(opts);
  };
  with("no limit", [](auto&) {});
  with("a limit of 1", [](auto& o) { o.limit = 1; });
  with("a limit of 3", [](auto& o) { o.limit = 3; });
  with("a limit of 2, no queue", [](auto& o) {
    o.limit = 2;
    o.queue = 0;
  });
  with("isolated", [](auto& o) { o.isolated = true; });
  with("isolated, a limit of 2", [](auto& o) {
    o.isolated = true;
    o.limit = 2;
  });
  tbb::task_arena arena(2);
  with("an arena", [&](auto& o) { o.arena = &arena; });
  {
    tbb::global_control const alone(tbb::global_control::max_allowed_parallelism, 1);
    with("without workers", [](auto&) {});
    with("without workers, a limit of 2", [](auto& o) { o.limit = 2; });
  }
}

}  // namespace support
