// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_JSON_TEXT_HPP
#define ERRGROUP_SRC_JSON_TEXT_HPP

#include <algorithm>    // max
#include <cstddef>      // size_t
#include <cstdint>      // int64_t
#include <string>       // string, to_string
#include <string_view>  // string_view

namespace errgroup::inline v1::detail {

/// The number of bytes of the character of UTF-8 at the begin of `text`; 0 if there is none.
[[nodiscard]] inline std::size_t character(std::string_view text) noexcept {
  auto const byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned const first = byte(0);
  std::size_t const size = first < 0x80   ? 1
                           : first < 0xC2 ? 0
                           : first < 0xE0 ? 2
                           : first < 0xF0 ? 3
                           : first < 0xF5 ? 4
                                          : 0;
  if (size == 0 || size > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i != size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) {
      return 0;
    }
  }
  bool const is_overlong = (first == 0xE0 && byte(1) < 0xA0U) || (first == 0xF0 && byte(1) < 0x90U);
  bool const is_beyond = (first == 0xED && byte(1) > 0x9FU) || (first == 0xF4 && byte(1) > 0x8FU);
  return is_overlong || is_beyond ? 0 : size;
}

/// `n` thousandths with up to three digits behind the point, in every locale. `n` is not negative.
[[nodiscard]] inline std::string thousandths(std::int64_t n, std::size_t digits) {
  std::string const fraction = std::to_string(1000 + n % 1000);  // with a 1 before it
  return std::to_string(n / 1000).append(".").append(fraction, 1, digits);
}

/// `text` as a string of JSON, with its quotes.
[[nodiscard]] inline std::string quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    std::size_t const size = character(text);
    unsigned const first = static_cast<unsigned char>(text.front());
    if (size == 0) {
      out += "\xEF\xBF\xBD";  // U+FFFD stands for a byte that is not UTF-8
    } else if (first == '"' || first == '\\') {
      out += '\\';
      out += text.front();
    } else if (first < 0x20 || first == 0x7F) {
      constexpr std::string_view digits = "0123456789abcdef";
      out += "\\u00";
      out += digits[first >> 4U];
      out += digits[first & 15U];
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out + '"';
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_JSON_TEXT_HPP
