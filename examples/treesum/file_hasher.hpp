#ifndef ERRGROUP_EXAMPLES_TREESUM_FILE_HASHER_HPP
#define ERRGROUP_EXAMPLES_TREESUM_FILE_HASHER_HPP

#include "progress.hpp"
#include "sha256.hpp"

#include <cstddef>     // byte
#include <memory>      // unique_ptr
#include <optional>    // optional
#include <stop_token>  // stop_token
#include <string>      // string

namespace treesum {

/// Sums up files, one at a time, a block at a time. It keeps the block and OpenSSL's state from
/// file to file, so one for each thread is enough, and a file costs no allocation.
class file_hasher {
 public:
  explicit file_hasher(progress& done);

  /// The sum of the regular file `path`, which is open only in here. Nothing if `stop` was
  /// requested meanwhile: it is looked at before every block. Throws `path_error`.
  [[nodiscard]] std::optional<digest> sum(std::string const& path, std::stop_token const& stop);

 private:
  progress& done_;
  sha256 sha256_;
  std::unique_ptr<std::byte[]> block_;
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_FILE_HASHER_HPP
