#ifndef ERRGROUP_EXAMPLES_TREESUM_CHECKSUM_LIST_HPP
#define ERRGROUP_EXAMPLES_TREESUM_CHECKSUM_LIST_HPP

#include "sha256.hpp"

#include <optional>     // optional
#include <string>       // string
#include <string_view>  // string_view

namespace treesum {

/// The lines that coreutils' `sha256sum` writes and `sha256sum --check` reads:
///
///     64 hexadecimal digits, two blanks (or a blank and a `*`), the name
///
/// A name with a newline, a carriage return or a backslash in it is written with `\n`, `\r` and
/// `\\` instead, and the whole line then begins with a backslash.
struct list_entry {
  digest sum;
  std::string path;
};

/// The line for `path`, newline included.
[[nodiscard]] std::string list_line(digest const& sum, std::string_view path);

/// What a line, given without its newline, says; nothing if it is not such a line.
[[nodiscard]] std::optional<list_entry> parse_list_line(std::string_view line);

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_CHECKSUM_LIST_HPP
