#ifndef ERRGROUP_EXAMPLES_PGZ_ARGUMENTS_HPP
#define ERRGROUP_EXAMPLES_PGZ_ARGUMENTS_HPP

#include <optional>  // optional
#include <string>    // string
#include <vector>    // vector

namespace pgz {

/// The command line.
struct arguments {
  arguments();

  int level = 6;
  int jobs;  ///< blocks in work at once; by default as many as processors
  bool decompresses = false;
  bool tests = false;  ///< decompresses, and drops the data
  bool keeps_input = false;
  bool forces = false;
  bool writes_to_stdout = false;
  bool tells_stats = false;
  std::vector<std::string> paths;  ///< no path, or the path `-`: standard input
};

/// Reads the command line into `args`. The exit status if the program is to end at once: after
/// `--help`, or for a wrong option, which is told on standard error.
[[nodiscard]] std::optional<int> parse(int argc, char** argv, arguments& args);

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_ARGUMENTS_HPP
