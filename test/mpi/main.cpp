// SPDX-License-Identifier: Apache-2.0
// The `main` of the tests that run on several ranks. Rank 0 prints as usual; another rank prints
// its failures only.

#include "support/ways.hpp"
#include <errgroup/mpi.hpp>

#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>  // fprintf

namespace {

class only_failures : public testing::EmptyTestEventListener {
 public:
  explicit only_failures(int rank) : rank_(rank) {}

  void OnTestPartResult(testing::TestPartResult const& result) override {
    if (result.failed()) {
      std::fprintf(stderr, "rank %d: %s:%d: %s\n", rank_,
                   result.file_name() != nullptr ? result.file_name() : "?", result.line_number(),
                   result.message());
    }
  }

 private:
  int rank_;
};

}  // namespace

int main(int argc, char** argv) {
  errgroup::mpi::environment mpi(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new only_failures(rank));
  }
  int failures = 0;
  // MPI may bind each rank to one CPU, where oneTBB has no workers.
  support::with_workers(3, [&] { failures = RUN_ALL_TESTS(); });
  return failures;
}
