#include "checksum_list.hpp"

#include <cstddef>  // size_t
#include <tuple>    // tuple_size_v
#include <utility>  // move

namespace treesum {
namespace {

constexpr std::size_t sum_digits = 2 * std::tuple_size_v<digest>;

std::string escaped(std::string_view path) {
  std::string text;
  text.reserve(path.size() + 8);
  for (char const c : path) {
    switch (c) {
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\\':
        text += "\\\\";
        break;
      default:
        text += c;
    }
  }
  return text;
}

/// Nothing if a backslash is followed by something that `escaped` never writes.
std::optional<std::string> unescaped(std::string_view text) {
  std::string path;
  path.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      path += text[i];
      continue;
    }
    if (++i == text.size()) {
      return std::nullopt;
    }
    switch (text[i]) {
      case 'n':
        path += '\n';
        break;
      case 'r':
        path += '\r';
        break;
      case '\\':
        path += '\\';
        break;
      default:
        return std::nullopt;
    }
  }
  return path;
}

/// The value of a hexadecimal digit, or -1.
int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<digest> parse_sum(std::string_view digits) {
  digest sum;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    int const high = digit_value(digits[2 * i]);
    int const low = digit_value(digits[2 * i + 1]);
    if (high < 0 || low < 0) {
      return std::nullopt;
    }
    sum[i] = static_cast<unsigned char>(high * 16 + low);
  }
  return sum;
}

}  // namespace

std::string list_line(digest const& sum, std::string_view path) {
  constexpr std::string_view digits = "0123456789abcdef";
  bool const escape = path.find_first_of("\n\r\\") != path.npos;

  std::string line;
  line.reserve(sum_digits + path.size() + 4);
  if (escape) {
    line += '\\';
  }
  for (unsigned char const byte : sum) {
    line += digits[byte >> 4U];
    line += digits[byte & 0xfU];
  }
  line += "  ";
  if (escape) {
    line += escaped(path);
  } else {
    line += path;
  }
  line += '\n';
  return line;
}

std::optional<list_entry> parse_list_line(std::string_view line) {
  // A list that went through a system with other line ends: a carriage return that belongs to
  // the name would have been written as `\r`.
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  bool const escape = line.starts_with('\\');
  if (escape) {
    line.remove_prefix(1);
  }
  if (line.size() <= sum_digits + 2 || line.find('\0') != line.npos) {
    return std::nullopt;
  }
  auto const between = line.substr(sum_digits, 2);
  if (between != "  " && between != " *") {
    return std::nullopt;
  }
  auto const sum = parse_sum(line.substr(0, sum_digits));
  auto const name = line.substr(sum_digits + 2);
  auto path = escape ? unescaped(name) : std::optional<std::string>(name);
  if (!sum || !path) {
    return std::nullopt;
  }
  return list_entry{*sum, std::move(*path)};
}

}  // namespace treesum
