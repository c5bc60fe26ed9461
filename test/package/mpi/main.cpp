// A program that runs on any number of ranks, also without mpirun.
#include <errgroup/mpi.hpp>

#include <atomic>  // atomic

int main(int argc, char** argv) {
  errgroup::mpi::environment mpi(argc, argv);
  std::atomic<int> ran{0};
  errgroup::mpi::group g(MPI_COMM_WORLD, {.limit = 2, .name = "consumer"});
  g.run([&] { ++ran; });
  return g.wait() || ran != 1 ? 1 : 0;
}
