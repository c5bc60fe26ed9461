#ifndef ERRGROUP_EXAMPLES_SUPPORT_READABLE_HPP
#define ERRGROUP_EXAMPLES_SUPPORT_READABLE_HPP

#include <array>    // array
#include <cstddef>  // size_t
#include <cstdio>   // snprintf
#include <string>   // string

/// `bytes` to three digits: "5.69 GB".
inline std::string readable(double bytes) {
  constexpr std::array units = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < units.size()) {
    bytes /= 1000;
    ++unit;
  }
  std::array<char, 32> text;
  int const decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f %s", decimals, bytes, units[unit]);
  return text.data();
}

#endif  // ERRGROUP_EXAMPLES_SUPPORT_READABLE_HPP
