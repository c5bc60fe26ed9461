#include "arguments.hpp"

#include "../support/paths_among.hpp"
#include "../treesum/path_error.hpp"
#include "problem.hpp"

#include <CLI/CLI.hpp>
#include <oneapi/tbb/info.h>  // default_concurrency

#include <cstdio>    // fprintf
#include <iostream>  // cout

namespace pgz {
namespace {

constexpr int most_jobs = 1024;

}  // namespace

arguments::arguments() : jobs(tbb::info::default_concurrency()) {}

std::optional<int> parse(int argc, char** argv, arguments& args) {
  CLI::App app(
      "Compresses each FILE to FILE.gz, in parallel, for any gzip to read, and removes FILE. With\n"
      "no FILE, or if FILE is -, standard input is compressed to standard output.",
      "pgz [FILE...]");
  int level = 0;  // CLI11 sets the variable of a missing flag to 0
  app.allow_extras();
  app.add_flag("-1{1},-2{2},-3{3},-4{4},-5{5},-6{6},-7{7},-8{8},-9{9},--fast{1},--best{9}",
               level)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->group("");  // CLI11 would list all names in one line; the footer tells of them
  app.add_option("-j,--jobs", args.jobs, "How many blocks to work on at once")
      ->check(CLI::Range(1, most_jobs).description(""))
      ->option_text("N (default: " + std::to_string(args.jobs) + ")");
  app.add_flag("-d,--decompress", args.decompresses, "Decompress");
  app.add_flag("-t,--test", args.tests, "Decompress and check, without output");
  app.add_flag("-k,--keep", args.keeps_input, "Do not remove FILE");
  app.add_flag("-f,--force", args.forces,
               "Overwrite the output, follow a symbolic link, write to a terminal");
  app.add_flag("-c,--stdout", args.writes_to_stdout, "Write to standard output, and keep FILE");
  app.add_flag("--stats", args.tells_stats, "Tell how long each stage took, on standard error");
  app.footer(
      "The compression is -1 (--fast) to -9 (--best), -6 if none is given.\n"
      "Exit status: 0 all is well, 1 an error, 2 a warning, 130 interrupted.");
  try {
    app.parse(argc, argv);
    args.level = level != 0 ? level : args.level;
    args.paths = paths_among(app.remaining());
  } catch (CLI::CallForHelp const&) {
    std::cout << app.help();
    return exit_ok;
  } catch (CLI::ParseError const& wrong) {
    std::fprintf(stderr, "pgz: %s (pgz --help tells more)\n",
                 treesum::printable(wrong.what()).c_str());
    return exit_error;
  }
  return std::nullopt;
}

}  // namespace pgz
