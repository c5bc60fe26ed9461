// julia_mpi: an image of a Julia set, whose rows cost very different times, by all ranks of an MPI
// job.
//
//     $ mpirun -n 4 julia_mpi -o julia.pgm
//     checksum b7f0a3… of 600 rows, for any number of ranks
//     fixed division 1.31 s, chunks 0.84 s
//
// First each rank works on a fixed part of the rows, then each rank takes rows as it has time.

#include <errgroup/mpi.hpp>

#include <CLI/CLI.hpp>
#include <mpi.h>

#include <chrono>        // duration, steady_clock
#include <complex>       // complex, norm
#include <cstddef>       // size_t
#include <cstdint>       // uint64_t
#include <cstdio>        // fprintf, printf
#include <exception>     // exception
#include <fstream>       // ofstream
#include <iostream>      // cout
#include <optional>      // nullopt, optional
#include <ranges>        // iota
#include <span>          // span
#include <string>        // string, to_string
#include <system_error>  // errc, make_error_code
#include <vector>        // vector

namespace {

constexpr int exit_usage = 2;

struct arguments {
  std::size_t size = 600;  // rows, and columns
  std::optional<std::size_t> fail_at;
  std::string output;
};

using image = std::vector<unsigned char>;
using seconds = std::chrono::duration<double>;

/// Fills one row. The rows in the middle cost a hundred times what those at the edges cost.
errgroup::error draw_row(arguments const& args, std::size_t row, image& pixels) {
  if (row == args.fail_at) {
    return errgroup::make_error("row " + std::to_string(row) + " was told to fail",
                                std::make_error_code(std::errc::io_error));
  }
  std::complex<double> const c(-0.12, 0.65);
  double const scale = 3.0 / static_cast<double>(args.size);
  for (std::size_t column = 0; column != args.size; ++column) {
    std::complex<double> z(static_cast<double>(column) * scale - 1.5,
                           static_cast<double>(row) * scale - 1.5);
    unsigned steps = 0;
    while (steps != 4000 && std::norm(z) < 4) {
      z = z * z + c;
      ++steps;
    }
    pixels[row * args.size + column] = static_cast<unsigned char>(1 + steps % 255);
  }
  return {};
}

/// Each rank works on its part of the rows.
errgroup::error draw_fixed(arguments const& args, image& pixels) {
  errgroup::mpi::group g(MPI_COMM_WORLD, {.name = "fixed"});
  for (std::size_t const row :
       errgroup::mpi::split(std::views::iota(std::size_t{0}, args.size), MPI_COMM_WORLD)) {
    g.run([&args, row, &pixels] { return draw_row(args, row, pixels); });
  }
  return g.wait();
}

/// Each rank takes rows as it has time.
errgroup::error draw_in_chunks(arguments const& args, image& pixels) {
  return errgroup::mpi::for_each(MPI_COMM_WORLD, {.name = "chunks"}, args.size,
                                 [&](std::size_t row) { return draw_row(args, row, pixels); });
}

/// Draws the image, and puts the rows of all ranks together in the image of rank 0.
template <class Draw>
errgroup::error timed(Draw const& draw, arguments const& args, image& pixels, seconds& took) {
  pixels.assign(args.size * args.size, 0);
  MPI_Barrier(MPI_COMM_WORLD);
  auto const begin = std::chrono::steady_clock::now();
  if (errgroup::error err = draw(args, pixels)) {
    return err;
  }
  took = std::chrono::steady_clock::now() - begin;
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Reduce(rank == 0 ? MPI_IN_PLACE : pixels.data(), pixels.data(),
             static_cast<int>(pixels.size()), MPI_UNSIGNED_CHAR, MPI_BOR, 0, MPI_COMM_WORLD);
  return {};
}

/// FNV-1a.
std::uint64_t checksum(std::span<unsigned char const> pixels) {
  std::uint64_t sum = 0xcbf29ce484222325U;
  for (unsigned char const p : pixels) {
    sum = (sum ^ p) * 0x100000001b3U;
  }
  return sum;
}

/// What rank 0 tells at the end.
int tell(arguments const& args, image const& fixed, image const& chunks, seconds fixed_took,
         seconds chunks_took) {
  if (fixed != chunks) {
    std::fprintf(stderr, "julia_mpi: the two images differ\n");
    return 1;
  }
  std::printf("checksum %016llx of %zu rows, for any number of ranks\n",
              static_cast<unsigned long long>(checksum(chunks)), args.size);
  std::printf("fixed division %.2f s, chunks %.2f s\n", fixed_took.count(), chunks_took.count());
  if (!args.output.empty()) {
    std::ofstream file(args.output, std::ios::binary);
    file << "P5 " << args.size << ' ' << args.size << " 255\n";
    file.write(reinterpret_cast<char const*>(chunks.data()),
               static_cast<std::streamsize>(chunks.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "julia_mpi: cannot write %s\n", args.output.c_str());
      return 1;
    }
  }
  return 0;
}

int run(arguments const& args, int rank) {
  image fixed;
  image chunks;
  seconds fixed_took{};
  seconds chunks_took{};
  errgroup::error err = timed(draw_fixed, args, fixed, fixed_took);
  if (!err) {
    err = timed(draw_in_chunks, args, chunks, chunks_took);
  }
  if (err) {  // the same on all ranks
    if (rank == 0) {
      std::fprintf(stderr, "julia_mpi: %s\n", err.message().c_str());
    }
    return 1;
  }
  return rank == 0 ? tell(args, fixed, chunks, fixed_took, chunks_took) : 0;
}

/// The arguments, or the status with which to exit at once.
std::optional<int> parse(int argc, char** argv, int rank, arguments& args) {
  CLI::App app("Draws a Julia set, by all ranks of an MPI job, and tells its checksum.",
               "mpirun julia_mpi");
  app.add_option("-s,--size", args.size, "The number of rows, and of columns")
      ->check(CLI::Range(1, 20000).description(""))
      ->option_text("N (default: 600)");
  app.add_option("-o,--output", args.output, "Write the image to FILE, in the format PGM")
      ->option_text("FILE");
  app.add_option("--fail-at", args.fail_at, "Fail at this row")->option_text("ROW");
  try {
    app.parse(argc, argv);
  } catch (CLI::CallForHelp const&) {
    if (rank == 0) {
      std::cout << app.help();
    }
    return 0;
  } catch (CLI::ParseError const& wrong) {
    if (rank == 0) {
      std::fprintf(stderr, "julia_mpi: %s (julia_mpi --help tells more)\n", wrong.what());
    }
    return exit_usage;
  }
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    errgroup::mpi::environment const mpi(argc, argv);
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    arguments args;
    if (auto const status = parse(argc, argv, rank, args)) {
      return *status;
    }
    return run(args, rank);
  } catch (std::exception const& problem) {
    std::fprintf(stderr, "julia_mpi: %s\n", problem.what());
    return 1;
  }
}
