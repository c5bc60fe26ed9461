#ifndef ERRGROUP_EXAMPLES_PGZ_INPUT_FILE_HPP
#define ERRGROUP_EXAMPLES_PGZ_INPUT_FILE_HPP

#include "../treesum/file_descriptor.hpp"

#include <sys/stat.h>  // stat

#include <string>  // string

namespace pgz {

/// A regular file that is open for reading.
class input_file {
 public:
  /// Throws `problem`: the file is missing, is a directory, a FIFO or a device, may not be read.
  input_file(std::string path, bool follows_links);

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  /// The state of the file when it was opened.
  [[nodiscard]] struct ::stat const& about() const noexcept { return about_; }

  /// Removes the file. If the file was changed after the constructor opened it, or if another file
  /// has its name now, the output lacks data: then `remove` leaves the file alone and throws
  /// `problem`.
  void remove() const;

 private:
  std::string path_;
  treesum::file_descriptor file_;
  struct ::stat about_{};
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_INPUT_FILE_HPP
