#ifndef ERRGROUP_EXAMPLES_TREESUM_LINE_READER_HPP
#define ERRGROUP_EXAMPLES_TREESUM_LINE_READER_HPP

#include "file_descriptor.hpp"
#include "interrupt.hpp"

#include <array>        // array
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view

namespace treesum {

/// A file's lines, one by one, whatever their bytes. `-` is standard input.
///
/// A pipe that says nothing can be interrupted, and a line without an end takes no memory without
/// an end: of a line longer than any path could make it, only the beginning is kept.
class line_reader {
 public:
  /// Throws `path_error` if `path` cannot be opened.
  line_reader(std::string path, interrupt const& stop);

  /// The next line without its newline, valid until the next call; nothing at the end, or when
  /// interrupted. Throws `path_error` if it cannot be read.
  [[nodiscard]] std::optional<std::string_view> next();

  /// The number of the line that `next` gave last; the first is 1.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

 private:
  [[nodiscard]] bool fill();

  std::string path_;
  interrupt const& stop_;
  file_descriptor file_;
  std::array<char, 65536> block_;
  std::string_view unread_;
  std::string line_;
  std::uint64_t number_ = 0;
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_LINE_READER_HPP
