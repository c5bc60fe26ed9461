#include "gzip_format.hpp"

#include <algorithm>  // copy
#include <limits>     // numeric_limits

namespace pgz {
namespace {

constexpr int fixed_size = 10;  // the part of every header; a name may follow
constexpr unsigned char best_compression = 2;
constexpr unsigned char fastest_compression = 4;
constexpr unsigned char made_by_unix = 3;

void put(unsigned char* to, std::uint32_t value) {
  for (int i = 0; i != 4; ++i, value >>= 8U) {
    to[i] = static_cast<unsigned char>(value & 0xffU);
  }
}

std::uint32_t get(unsigned char const* from) {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) {
    value = value << 8U | from[i];
  }
  return value;
}

}  // namespace

std::vector<unsigned char> bytes_of(member_header const& header) {
  // A time before 1970 or after 2106 does not fit into the format, and is left out.
  bool const time_fits =
      header.modified > 0 && header.modified <= std::numeric_limits<std::uint32_t>::max();
  bool const is_named = !header.name.empty();
  std::vector<unsigned char> bytes(fixed_size + (is_named ? header.name.size() + 1 : 0));
  bytes[0] = magic_1;
  bytes[1] = magic_2;
  bytes[2] = method_deflate;
  bytes[3] = is_named ? has_name : 0;
  put(&bytes[4], time_fits ? static_cast<std::uint32_t>(header.modified) : 0);
  bytes[8] = header.level == 9 ? best_compression : header.level == 1 ? fastest_compression : 0;
  bytes[9] = made_by_unix;
  std::copy(header.name.begin(), header.name.end(), bytes.begin() + fixed_size);
  return bytes;
}

std::array<unsigned char, trailer_size> bytes_of(member_trailer trailer) {
  std::array<unsigned char, trailer_size> bytes;
  put(bytes.data(), trailer.crc);
  put(bytes.data() + 4, trailer.size);
  return bytes;
}

member_trailer trailer_of(std::array<unsigned char, trailer_size> const& bytes) {
  return {get(bytes.data()), get(bytes.data() + 4)};
}

}  // namespace pgz
