// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_PLACE_TEXT_HPP
#define ERRGROUP_SRC_PLACE_TEXT_HPP

#include <source_location>  // source_location
#include <string>           // string, to_string
#include <string_view>      // string_view

namespace errgroup::inline v1::detail {

/// "decoder.cpp:42".
inline std::string place_text(std::source_location const& where) {
  std::string_view const path = where.file_name();
  std::string text(path.substr(path.rfind('/') + 1));
  return text.append(":").append(std::to_string(where.line()));
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_PLACE_TEXT_HPP
