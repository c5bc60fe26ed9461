#ifndef ERRGROUP_EXAMPLES_WORDCOUNT_COUNT_HPP
#define ERRGROUP_EXAMPLES_WORDCOUNT_COUNT_HPP

#include <cstdint>        // uint64_t
#include <string>         // string
#include <unordered_map>  // unordered_map
#include <vector>         // vector

namespace wordcount {

/// What was counted in some files. None is the identity of `merge`.
struct counts {
  std::unordered_map<std::string, std::uint64_t> words;
  std::uint64_t lines = 0;
  std::uint64_t files = 0;
  std::uint64_t others = 0;  // files that are no text
  std::vector<std::string> problems;
};

/// Adds the words of a file: of letters, small and capital ones alike, of digits, and of whatever
/// is not ASCII. A file with a zero byte in its first 64 KiB is no text.
///
/// Throws `treesum::path_error`.
void add_file(counts& to, std::string const& path);

/// Adds one to the other.
[[nodiscard]] counts merge(counts left, counts right);

/// What is in a folder.
struct listing {
  std::vector<std::string> files;
  std::vector<std::string> folders;
  std::vector<std::string> problems;
};

/// Lists a folder; of a file, that file. A link is followed if it is `path`, and else left out.
///
/// Throws `treesum::path_error`.
[[nodiscard]] listing list(std::string const& path);

}  // namespace wordcount

#endif  // ERRGROUP_EXAMPLES_WORDCOUNT_COUNT_HPP
