#ifndef ERRGROUP_EXAMPLES_TREESUM_PATH_ERROR_HPP
#define ERRGROUP_EXAMPLES_TREESUM_PATH_ERROR_HPP

#include <cerrno>        // errno
#include <stdexcept>     // runtime_error
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code

namespace treesum {

/// `path` on one line: newlines, backslashes and other control characters are written as `\n`,
/// `\\` and `\x1b`, so that no file name can break an error line in two or talk to the terminal.
[[nodiscard]] std::string printable(std::string_view path);

/// A file or a directory that could not be done, and why. `what()` is `PATH: REASON`, one line.
class path_error : public std::runtime_error {
 public:
  path_error(std::string_view path, std::string_view reason);
  path_error(std::string_view path, std::error_code reason) : path_error(path, reason.message()) {}
};

/// Why the last system call failed.
[[nodiscard]] inline std::error_code last_error() noexcept {
  return {errno, std::generic_category()};
}

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_PATH_ERROR_HPP
