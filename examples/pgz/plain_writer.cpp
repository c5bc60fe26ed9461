#include "plain_writer.hpp"

#include <zlib.h>  // crc32_combine

#include <cstdint>  // uint32_t
#include <utility>  // exchange

namespace pgz {

errgroup::error plain_writer::write(plain_block const& block, std::stop_token const& stop) {
  auto const bytes = block.bytes.filled();
  if (auto const failed = out_.write(bytes, stop)) {
    return failed;
  }
  so_far_.crc = static_cast<std::uint32_t>(
      ::crc32_combine(so_far_.crc, block.crc, static_cast<z_off_t>(bytes.size())));
  so_far_.size += static_cast<std::uint32_t>(bytes.size());
  if (block.failure) {
    return block.failure;
  }
  if (block.end) {
    member_trailer const whole = std::exchange(so_far_, {});
    if (whole.crc != block.end->crc) {
      return errgroup::make_error("invalid compressed data--crc error");
    }
    if (whole.size != block.end->size) {
      return errgroup::make_error("invalid compressed data--length error");
    }
  }
  return {};
}

}  // namespace pgz
