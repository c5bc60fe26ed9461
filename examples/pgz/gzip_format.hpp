#ifndef ERRGROUP_EXAMPLES_PGZ_GZIP_FORMAT_HPP
#define ERRGROUP_EXAMPLES_PGZ_GZIP_FORMAT_HPP

#include <array>    // array
#include <cstddef>  // size_t
#include <cstdint>  // int64_t, uint32_t, uint8_t
#include <string>   // string
#include <vector>   // vector

/// The frame around deflated data, by RFC 1952: a gzip file is a sequence of members, each of a
/// header, deflated data and a trailer.
namespace pgz {

inline constexpr std::uint8_t magic_1 = 0x1f;
inline constexpr std::uint8_t magic_2 = 0x8b;
inline constexpr std::uint8_t method_deflate = 8;

/// The flags of a header.
enum header_flag : std::uint8_t {
  has_header_crc = 0x02,
  has_extra = 0x04,
  has_name = 0x08,
  has_comment = 0x10,
  unknown_flags = 0xe0,
};

/// The variable part of the headers that pgz writes.
struct member_header {
  std::string name;           ///< without folders; empty for standard input
  std::int64_t modified = 0;  ///< seconds since 1970, 0 if unknown
  int level = 6;              ///< of the compression, from 1 to 9
};

/// The checks behind the deflated data of a member.
struct member_trailer {
  std::uint32_t crc = 0;   ///< of the data before compression
  std::uint32_t size = 0;  ///< of the data before compression, modulo 2^32
};

inline constexpr std::size_t trailer_size = 8;

[[nodiscard]] std::vector<unsigned char> bytes_of(member_header const& header);
[[nodiscard]] std::array<unsigned char, trailer_size> bytes_of(member_trailer trailer);
[[nodiscard]] member_trailer trailer_of(std::array<unsigned char, trailer_size> const& bytes);

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_GZIP_FORMAT_HPP
