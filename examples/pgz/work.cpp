#include "work.hpp"

#include "../treesum/path_error.hpp"
#include "codec.hpp"
#include "gzip_format.hpp"
#include "input_file.hpp"
#include "input_stream.hpp"
#include "names.hpp"
#include "output_file.hpp"
#include "output_stream.hpp"
#include "problem.hpp"
#include "progress.hpp"

#include <poll.h>      // POLLIN
#include <sys/stat.h>  // fstat
#include <unistd.h>    // isatty, read

#include <cerrno>    // ENOENT, errno
#include <cstdint>   // uint64_t
#include <cstdio>    // fprintf
#include <iostream>  // cerr

namespace pgz {
namespace {

/// Data on their way from a file descriptor to another.
struct way {
  int from;
  int to;  // -1: nowhere
  std::string input_name;
  std::string output_name;
  struct ::stat about;           // of the input
  std::string stored_name = {};  // in the header of a compressed file
};

bool compresses(arguments const& args) noexcept { return !args.decompresses && !args.tests; }

/// The reason of a failure, as a line for the user. A failure of the system gets the number of the
/// block, from 0, and the stage; a fault of a compressed file is told in gzip's words alone.
std::string line_of(errgroup::error const& err, way const& data) {
  auto const& origin = err.origin();
  bool const is_fault_of_file = err.code() == errgroup::errc::failed;
  std::string const& name =
      origin.name == "write" && !is_fault_of_file ? data.output_name : data.input_name;
  std::string line = treesum::path_error(name, err.what()).what();
  if (!is_fault_of_file && origin.index != errgroup::npos) {
    line += " (block " + std::to_string(origin.index) + ", " + origin.name + ")";
  }
  return line;
}

/// Carries the data. Throws `problem`. Returns whether there are other data behind the end of a
/// compressed file. If a signal came, the data are not whole.
bool carry(arguments const& args, treesum::interrupt const& interrupted, way const& data) {
  run_settings run{.jobs = args.jobs, .stop = interrupted.token(), .stats = {}};
  bool found_garbage = false;
  errgroup::error err;
  {
    auto const total = S_ISREG(data.about.st_mode) ? data.about.st_size : 0;
    progress done(data.input_name, static_cast<std::uint64_t>(total));
    input_stream in(data.from, done);
    output_stream out(data.to);
    if (compresses(args)) {
      bool const has_time = S_ISREG(data.about.st_mode);
      err = compress(in, out,
                     {.name = data.stored_name,
                      .modified = has_time ? data.about.st_mtim.tv_sec : 0,
                      .level = args.level},
                     run);
    } else {
      err = decompress(in, out, run, found_garbage);
    }
  }
  if (args.tells_stats) {
    std::cerr << "pgz: " << treesum::printable(data.input_name) << '\n' << run.stats << std::flush;
  }
  if (err && interrupted.signal() == 0) {
    throw problem(line_of(err, data), exit_error);
  }
  return found_garbage;
}

[[noreturn]] void warn_of_garbage(std::string const& name) {
  throw problem(treesum::path_error(name, "decompression OK, trailing garbage ignored").what(),
                exit_warning);
}

void refuse_terminal(arguments const& args) {
  if (compresses(args) && !args.forces && ::isatty(STDOUT_FILENO) != 0) {
    throw problem("compressed data not written to a terminal; -f forces it", exit_error);
  }
}

std::string output_name(arguments const& args, std::string const& path) {
  auto const suffix = compressed_suffix(path);
  if (compresses(args)) {
    if (suffix) {
      throw problem(treesum::printable(path) + " already has " + *suffix + " suffix -- unchanged",
                    exit_warning);
    }
    return path + ".gz";
  }
  if (!suffix) {
    throw problem(treesum::printable(path) + ": unknown suffix -- ignored", exit_warning);
  }
  return decompressed_name(path);
}

/// The file at `path`; to decompress, also `path` with `.gz` behind it if there is no file `path`.
std::string input_name(arguments const& args, std::string const& path) {
  struct ::stat about{};
  bool const is_missing = ::lstat(path.c_str(), &about) != 0 && errno == ENOENT;
  return is_missing && !compresses(args) && !compressed_suffix(path) ? path + ".gz" : path;
}

/// Asks whether `path` is to be overwritten. Without a terminal the answer is no.
bool user_agrees(treesum::interrupt const& interrupted, std::string const& path) {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) {
    return false;
  }
  std::fprintf(stderr, "pgz: %s already exists; do you wish to overwrite (y or n)? ",
               treesum::printable(path).c_str());
  std::string answer;
  for (char letter = 0; letter != '\n'; answer += letter) {
    if (!interrupted.wait_for(STDIN_FILENO, POLLIN) || ::read(STDIN_FILENO, &letter, 1) != 1) {
      return false;
    }
  }
  return answer.starts_with('y') || answer.starts_with('Y');
}

/// Writes the output beside the input.
void replace_file(arguments const& args, treesum::interrupt const& interrupted,
                  input_file const& input) {
  output_file output(output_name(args, input.path()));
  bool replaces = args.forces;
  if (!replaces && output.is_taken()) {
    if (!user_agrees(interrupted, output.path())) {
      throw already_exists(output.path());
    }
    replaces = true;
  }
  bool const found_garbage = carry(args, interrupted,
                                   {.from = input.fd(),
                                    .to = output.fd(),
                                    .input_name = input.path(),
                                    .output_name = output.path(),
                                    .about = input.about(),
                                    .stored_name = base_name(input.path())});
  if (interrupted.signal() != 0) {
    return;
  }
  output.be_like(input.about());
  if (!args.keeps_input) {
    output.sync();
  }
  output.publish(replaces);
  if (!args.keeps_input) {
    input.remove();
  }
  if (found_garbage) {
    warn_of_garbage(input.path());
  }
}

}  // namespace

void do_file(arguments const& args, treesum::interrupt const& interrupted,
             std::string const& path) {
  bool const keeps_all = args.writes_to_stdout || args.tests;
  input_file const input(input_name(args, path), args.forces || keeps_all);
  if (!keeps_all) {
    replace_file(args, interrupted, input);
    return;
  }
  refuse_terminal(args);
  bool const found_garbage = carry(args, interrupted,
                                   {.from = input.fd(),
                                    .to = args.tests ? -1 : STDOUT_FILENO,
                                    .input_name = input.path(),
                                    .output_name = "stdout",
                                    .about = input.about(),
                                    .stored_name = base_name(input.path())});
  if (found_garbage) {
    warn_of_garbage(input.path());
  }
}

void do_standard_input(arguments const& args, treesum::interrupt const& interrupted) {
  refuse_terminal(args);
  if (!compresses(args) && !args.forces && ::isatty(STDIN_FILENO) != 0) {
    throw problem("compressed data not read from a terminal; -f forces it", exit_error);
  }
  struct ::stat about{};
  if (::fstat(STDIN_FILENO, &about) != 0) {
    throw problem(treesum::path_error("stdin", treesum::last_error()).what(), exit_error);
  }
  bool const found_garbage = carry(args, interrupted,
                                   {.from = STDIN_FILENO,
                                    .to = args.tests ? -1 : STDOUT_FILENO,
                                    .input_name = "stdin",
                                    .output_name = "stdout",
                                    .about = about});
  if (found_garbage) {
    warn_of_garbage("stdin");
  }
}

}  // namespace pgz
