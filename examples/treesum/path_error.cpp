#include "path_error.hpp"

namespace treesum {

std::string printable(std::string_view path) {
  constexpr std::string_view hex_digits = "0123456789abcdef";
  std::string text;
  text.reserve(path.size());
  for (char const c : path) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\\') {
      text += "\\\\";
    } else if (byte < 0x20 || byte == 0x7f) {
      text += "\\x";
      text += hex_digits[byte >> 4U];
      text += hex_digits[byte & 0xfU];
    } else {
      text += c;
    }
  }
  return text;
}

path_error::path_error(std::string_view path, std::string_view reason)
    : std::runtime_error(printable(path).append(": ").append(reason)) {}

}  // namespace treesum
