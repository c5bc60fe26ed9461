// SPDX-License-Identifier: Apache-2.0
// What errgroup::stacktrace adds to errors of other ranks.

#include "mpi/ranks.hpp"
#include "support/watchdog.hpp"
#include <errgroup/mpi.hpp>
#include <errgroup/stack.hpp>

#include <gmock/gmock.h>
#include <mpi.h>

#include <stdexcept>

namespace {

using testing::HasSubstr;

[[gnu::noinline]] void throw_on_this_rank() { throw std::runtime_error("thrown on one rank"); }

TEST(MpiStack, M4_the_stack_of_a_throw_arrives_as_text) {
  support::watchdog const watched("the test on several ranks");
  int const culprit = support::world_size() - 1;
  errgroup::mpi::group g(MPI_COMM_WORLD);
  if (g.rank() == culprit) {
    g.run([] { throw_on_this_rank(); });
  }
  auto const err = g.wait();
  EXPECT_EQ(err.what(), "thrown on one rank");
  auto const* const remote = err.get_if<errgroup::mpi::remote_error>();
  if (g.rank() == culprit) {
    EXPECT_EQ(remote, nullptr);
    EXPECT_FALSE(err.stack().empty());
  } else {
    ASSERT_NE(remote, nullptr);
    EXPECT_THAT(remote->stack(), HasSubstr("throw_on_this_rank"));
    EXPECT_THAT(remote->stack(), HasSubstr("stack_test.cpp"));
  }
}

}  // namespace
