#include "gzip_writer.hpp"

#include <zlib.h>  // crc32_combine

#include <cstdint>  // uint32_t
#include <utility>  // exchange

namespace pgz {

std::error_code gzip_writer::write(packed_block const& block, std::stop_token const& stop) {
  auto const header = std::exchange(header_, {});
  if (auto const failed = out_.write(header, stop)) {
    return failed;
  }
  if (auto const failed = out_.write(block.bytes.filled(), stop)) {
    return failed;
  }
  trailer_.crc = static_cast<std::uint32_t>(
      ::crc32_combine(trailer_.crc, block.crc, static_cast<z_off_t>(block.raw_size)));
  trailer_.size += static_cast<std::uint32_t>(block.raw_size);
  return block.is_last ? out_.write(bytes_of(trailer_), stop) : std::error_code();
}

}  // namespace pgz
