#ifndef ERRGROUP_EXAMPLES_PGZ_NAMES_HPP
#define ERRGROUP_EXAMPLES_PGZ_NAMES_HPP

#include <optional>  // optional
#include <string>    // string

/// The names of compressed files.
namespace pgz {

/// The suffix of `path` that says that the file is compressed: .gz, -gz, .z, -z, _z, .tgz or .taz.
/// Nothing if `path` has no such suffix, or if the suffix is the whole name.
[[nodiscard]] std::optional<std::string> compressed_suffix(std::string const& path);

/// The name of the decompressed file: `list.gz` becomes `list`, `tree.tgz` becomes `tree.tar`.
/// `path` has a compressed suffix.
[[nodiscard]] std::string decompressed_name(std::string const& path);

/// The name without folders.
[[nodiscard]] std::string base_name(std::string const& path);

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_NAMES_HPP
