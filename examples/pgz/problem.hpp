#ifndef ERRGROUP_EXAMPLES_PGZ_PROBLEM_HPP
#define ERRGROUP_EXAMPLES_PGZ_PROBLEM_HPP

#include "../treesum/path_error.hpp"

#include <stdexcept>  // runtime_error
#include <string>     // string

namespace pgz {

/// The exit statuses of gzip.
inline constexpr int exit_ok = 0;
inline constexpr int exit_error = 1;
inline constexpr int exit_warning = 2;

/// The reason why a file was not done, as a line for the user, and the exit status.
class problem : public std::runtime_error {
 public:
  problem(std::string const& line, int status) : std::runtime_error(line), status_(status) {}

  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

/// The problem that a file already has the name of the output.
[[nodiscard]] inline problem already_exists(std::string const& path) {
  return {treesum::printable(path) + " already exists; not overwritten", exit_warning};
}

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_PROBLEM_HPP
