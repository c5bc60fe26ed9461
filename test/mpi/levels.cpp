// SPDX-License-Identifier: Apache-2.0
// A program for one rank: levels KIND. It uses errgroup::mpi where MPI is not ready for it, and
// prints the answers.
//
//     ends         before MPI is initialised, and after it is finalised
//     serialized   MPI is initialised with MPI_THREAD_SERIALIZED
//     refuses      MPI is asked for MPI_THREAD_MULTIPLE, and gives MPI_THREAD_FUNNELED

#include <errgroup/mpi.hpp>

#include <mpi.h>

#include <cstdio>       // printf
#include <exception>    // exception
#include <ranges>       // iota
#include <string_view>  // string_view

namespace {

bool gives_less = false;

template <class F>
void tell(char const* what, F const& f) {
  try {
    f();
    std::printf("%s: no answer\n", what);
  } catch (std::exception const& e) {
    std::printf("%s: %s\n", what, e.what());
  }
}

void use(char const* when, int argc, char** argv) {
  std::printf("%s\n", when);
  tell("group", [] { errgroup::mpi::group const g(MPI_COMM_WORLD); });
  tell("split", [] { (void)errgroup::mpi::split(std::views::iota(0, 7), MPI_COMM_WORLD); });
  tell("for_each",
       [] { (void)errgroup::mpi::for_each(MPI_COMM_WORLD, {}, 7, [](std::size_t) {}); });
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) {
    tell("environment", [&] { errgroup::mpi::environment const mpi(argc, argv); });
  }
}

}  // namespace

extern "C" int MPI_Query_thread(int* level) {
  int const rc = PMPI_Query_thread(level);
  *level = gives_less ? MPI_THREAD_FUNNELED : *level;
  return rc;
}

extern "C" int MPI_Init_thread(int* argc, char*** argv, int wanted, int* level) {
  int const rc = PMPI_Init_thread(argc, argv, wanted, level);
  *level = gives_less ? MPI_THREAD_FUNNELED : *level;
  return rc;
}

int main(int argc, char** argv) {
  std::string_view const kind = argc > 1 ? argv[1] : "";
  if (kind == "ends") {
    use("before", argc, argv);
    {
      errgroup::mpi::environment const mpi(argc, argv);
      errgroup::mpi::environment const again(argc, argv);  // only looks
      errgroup::mpi::group g(MPI_COMM_WORLD);
      g.run([] {});
      if (g.wait()) {
        return 1;
      }
    }
    use("after", argc, argv);
    return 0;
  }
  if (kind == "serialized") {
    int level = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &level);
    use("serialized", argc, argv);
    MPI_Finalize();
    return 0;
  }
  gives_less = true;
  tell("environment", [&] { errgroup::mpi::environment const mpi(argc, argv); });
  int finalized = 0;
  MPI_Finalized(&finalized);  // the environment has ended what it has begun
  std::printf("finalized %d\n", finalized);
  return 0;
}
