// SPDX-License-Identifier: Apache-2.0
// The `main` of the tests that run on several ranks. Rank 0 prints as usual; another rank prints
// its failures only. After MPI_Finalize, no nonblocking operation may be left.

#include "mpi/requests.hpp"
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
  int failures = 0;
  int rank = 0;
  {
    errgroup::mpi::environment const mpi(argc, argv);
    testing::InitGoogleTest(&argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank != 0) {
      auto& listeners = testing::UnitTest::GetInstance()->listeners();
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new only_failures(rank));
    }
    // MPI may bind each rank to one CPU, where oneTBB has no workers.
    support::with_workers(3, [&] { failures = RUN_ALL_TESTS(); });
  }
  if (long const open = support::open_requests(); open != 0) {
    std::fprintf(stderr, "rank %d: %ld of %ld requests are open after MPI_Finalize\n", rank, open,
                 support::begun_requests());
    failures = 1;
  }
  return failures;
}
