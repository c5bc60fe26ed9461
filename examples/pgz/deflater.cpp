#include "deflater.hpp"

#include <algorithm>  // copy
#include <new>        // bad_alloc
#include <stdexcept>  // logic_error
#include <utility>    // move

namespace pgz {
namespace {

constexpr int raw_window_bits = -15;  // no header of zlib's own, 32 KiB of window
constexpr int memory_level = 8;       // zlib's default

/// Z_SYNC_FLUSH adds an empty block, which deflateBound does not count.
constexpr std::size_t room_for_flush = 16;

void grow(buffer& bytes) {
  buffer larger(2 * (bytes.filled().size() + bytes.room().size()));
  std::copy(bytes.filled().begin(), bytes.filled().end(), larger.room().begin());
  larger.add(bytes.filled().size());
  bytes = std::move(larger);
}

}  // namespace

deflater::deflater(int level) {
  if (::deflateInit2(&stream_, level, Z_DEFLATED, raw_window_bits, memory_level,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
}

deflater::~deflater() { ::deflateEnd(&stream_); }

packed_block deflater::operator()(raw_block const& block) {
  auto const dictionary = block.dictionary();
  auto const content = block.content();
  if (::deflateReset(&stream_) != Z_OK ||
      (!dictionary.empty() &&
       ::deflateSetDictionary(&stream_, dictionary.data(), static_cast<uInt>(dictionary.size())) !=
           Z_OK)) {
    throw std::logic_error("zlib refuses a dictionary");
  }
  packed_block packed;
  packed.bytes = buffer(::deflateBound(&stream_, content.size()) + room_for_flush);
  packed.crc =
      static_cast<std::uint32_t>(::crc32(0, content.data(), static_cast<uInt>(content.size())));
  packed.raw_size = content.size();
  packed.is_last = block.is_last;
  stream_.next_in = content.data();
  stream_.avail_in = static_cast<uInt>(content.size());
  for (;;) {
    auto const room = packed.bytes.room();
    stream_.next_out = room.data();
    stream_.avail_out = static_cast<uInt>(room.size());
    int const state = ::deflate(&stream_, block.is_last ? Z_FINISH : Z_SYNC_FLUSH);
    packed.bytes.add(room.size() - stream_.avail_out);
    if (state == Z_STREAM_END || (!block.is_last && stream_.avail_out != 0)) {
      return packed;
    }
    grow(packed.bytes);
  }
}

}  // namespace pgz
