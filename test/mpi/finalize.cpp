// SPDX-License-Identifier: Apache-2.0
// A program for three ranks: finalize KIND. The last rank does not come to `wait`.
//
//     throw   it ends before it makes its group
//     kill    it is killed

#include <errgroup/mpi.hpp>

#include <mpi.h>

#include <csignal>      // raise
#include <cstdio>       // printf
#include <string_view>  // string_view

int main(int argc, char** argv) {
  errgroup::mpi::environment mpi(argc, argv);
  std::string_view const kind = argc > 1 ? argv[1] : "throw";
  // The channel is there before the rank goes.
  {
    errgroup::mpi::group first(MPI_COMM_WORLD);
  }
  int rank = 0;
  int ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (rank == ranks - 1 && kind == "kill") {
    (void)std::raise(SIGKILL);
  }
  if (rank == ranks - 1) {
    return 0;
  }
  errgroup::mpi::group g(MPI_COMM_WORLD);
  g.run([] {});
  auto const err = g.wait();
  std::printf("rank %d: %s\n", rank, err.message().c_str());
  return err ? 0 : 1;
}
