#include "names.hpp"

#include <string_view>  // string_view

namespace pgz {

std::optional<std::string> compressed_suffix(std::string const& path) {
  std::string const name = base_name(path);
  for (std::string_view const suffix : {".gz", "-gz", ".z", "-z", "_z", ".tgz", ".taz"}) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) {
      return std::string(suffix);
    }
  }
  return std::nullopt;
}

std::string decompressed_name(std::string const& path) {
  std::string const suffix = compressed_suffix(path).value();
  std::string name = path.substr(0, path.size() - suffix.size());
  if (suffix == ".tgz" || suffix == ".taz") {
    name += ".tar";
  }
  return name;
}

std::string base_name(std::string const& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace pgz
