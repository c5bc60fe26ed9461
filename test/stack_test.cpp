// SPDX-License-Identifier: Apache-2.0

// A program that is not linked with errgroup::stacktrace. stacktrace_test.cpp is one that is.

#include <errgroup/error.hpp>
#include <errgroup/group.hpp>

#include <gtest/gtest.h>

#include <stdexcept>  // runtime_error

namespace {

TEST(Stack, is_empty_where_errgroup_stacktrace_is_not_linked) {
  errgroup::group g;
  g.run([] { throw std::runtime_error("thrown"); });
  auto const err = g.wait();
  EXPECT_TRUE(err);
  EXPECT_TRUE(err.stack().empty());
}

}  // namespace
