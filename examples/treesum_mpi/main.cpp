// treesum_mpi: SHA-256 sums of whole trees, as sha256sum writes them, by all ranks of an MPI job.
//
//     $ mpirun -n 4 treesum_mpi /usr/include >list
//
// Rank 0 lists the files, each rank takes files as it has time, and rank 0 writes the sums in the
// order of the list. A file that cannot be read on one rank ends the work of all ranks: rank 0
// tells the problem in one line, and every rank exits with status 1.

#include "../support/paths_among.hpp"
#include "../treesum/checksum_list.hpp"
#include "../treesum/file_hasher.hpp"
#include "../treesum/path_error.hpp"
#include "../treesum/progress.hpp"
#include "../treesum/tree_walk.hpp"
#include <errgroup/mpi.hpp>

#include <CLI/CLI.hpp>
#include <mpi.h>

#include <cstddef>     // size_t
#include <cstdio>      // fflush, fprintf, fputs
#include <exception>   // exception
#include <iostream>    // cout
#include <mutex>       // mutex, scoped_lock
#include <optional>    // nullopt, optional
#include <stop_token>  // stop_token
#include <string>      // string
#include <vector>      // vector

namespace {

constexpr int exit_usage = 2;

struct arguments {
  int jobs = errgroup::unlimited;
  std::vector<std::string> paths;
};

int rank_of_this() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

/// Lists the files on rank 0. Every rank gets the list, or the same error.
errgroup::error list_files(arguments const& args, std::vector<std::string>& files) {
  std::string names;  // each ends with a null character
  errgroup::mpi::group listing(MPI_COMM_WORLD);
  if (listing.rank() == 0) {
    listing.run([&] {
      for (std::string const& root : args.paths) {
        treesum::tree_walk walk(root, false, std::nullopt);
        while (auto path = walk.next()) {
          names.append(*path).push_back('\0');
        }
      }
    });
  }
  if (auto err = listing.wait()) {
    return err;
  }
  // Now no rank can have failed, so a blocking operation is safe.
  unsigned long size = names.size();
  MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG, 0, MPI_COMM_WORLD);
  names.resize(size);
  MPI_Bcast(names.data(), static_cast<int>(size), MPI_CHAR, 0, MPI_COMM_WORLD);
  for (std::size_t i = 0; i != size; i += files.back().size() + 1) {
    files.emplace_back(names.c_str() + i);
  }
  return {};
}

/// The hashers that no thread uses at the moment. A hasher has a block of memory, which is worth
/// keeping.
class hashers {
 public:
  treesum::digest sum(std::string const& path, std::stop_token const& stop) {
    std::optional<treesum::file_hasher> mine = take();
    auto const sum = mine->sum(path, stop);
    std::scoped_lock const held(lock_);
    idle_.push_back(*std::move(mine));
    return sum.value_or(treesum::digest{});  // without a value the work is cancelled
  }

 private:
  std::optional<treesum::file_hasher> take() {
    std::scoped_lock const held(lock_);
    if (idle_.empty()) {
      return treesum::file_hasher(done_);
    }
    std::optional<treesum::file_hasher> last(std::move(idle_.back()));
    idle_.pop_back();
    return last;
  }

  treesum::progress done_;
  std::mutex lock_;
  std::vector<treesum::file_hasher> idle_;
};

/// Writes the sums, on rank 0.
int write(std::vector<std::string> const& files, std::vector<treesum::digest> const& sums) {
  bool written = true;
  for (std::size_t i = 0; i != files.size(); ++i) {
    written = std::fputs(treesum::list_line(sums[i], files[i]).c_str(), stdout) >= 0 && written;
  }
  if (std::fflush(stdout) != 0 || !written) {
    std::fprintf(stderr, "treesum_mpi: standard output: %s\n",
                 treesum::last_error().message().c_str());
    return 1;
  }
  return 0;
}

int run(arguments const& args) {
  int const rank = rank_of_this();
  std::vector<std::string> files;
  std::vector<treesum::digest> sums;
  errgroup::error err = list_files(args, files);
  if (!err) {
    sums.resize(files.size());
    hashers pool;
    err = errgroup::mpi::for_each(
        MPI_COMM_WORLD, {.limit = args.jobs, .name = "sum"}, files.size(),
        [&](std::size_t i, std::stop_token const& stop) { sums[i] = pool.sum(files[i], stop); });
  }
  if (err) {  // the same on all ranks
    if (rank == 0) {
      std::fprintf(stderr, "treesum_mpi: %s\n", std::string(err.what()).c_str());
    }
    return 1;
  }
  // A rank has the sums of its own files; the other sums are zero.
  int const bytes = static_cast<int>(sums.size() * sizeof(treesum::digest));
  MPI_Reduce(rank == 0 ? MPI_IN_PLACE : sums.data(), sums.data(), bytes, MPI_UNSIGNED_CHAR, MPI_BOR,
             0, MPI_COMM_WORLD);
  return rank == 0 ? write(files, sums) : 0;
}

/// The arguments, or the status with which to exit at once.
std::optional<int> parse(int argc, char** argv, arguments& args) {
  bool const tells = rank_of_this() == 0;
  CLI::App app("Writes the SHA-256 sum of each file below each PATH, by all ranks of an MPI job.",
               "mpirun treesum_mpi PATH...");
  app.allow_extras();
  app.add_option("-j,--jobs", args.jobs, "How many files each rank works on at once")
      ->check(CLI::Range(1, 1024).description(""))
      ->option_text("N (default: one per CPU)");
  try {
    app.parse(argc, argv);
    args.paths = paths_among(app.remaining());
    if (args.paths.empty()) {
      throw CLI::RequiredError("PATH");
    }
  } catch (CLI::CallForHelp const&) {
    if (tells) {
      std::cout << app.help();
    }
    return 0;
  } catch (CLI::ParseError const& wrong) {
    if (tells) {
      std::fprintf(stderr, "treesum_mpi: %s (treesum_mpi --help tells more)\n",
                   treesum::printable(wrong.what()).c_str());
    }
    return exit_usage;
  }
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    errgroup::mpi::environment const mpi(argc, argv);
    arguments args;
    if (auto const status = parse(argc, argv, args)) {
      return *status;
    }
    return run(args);
  } catch (std::exception const& problem) {
    std::fprintf(stderr, "treesum_mpi: %s\n", problem.what());
    return 1;
  }
}
