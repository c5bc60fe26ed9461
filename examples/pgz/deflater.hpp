#ifndef ERRGROUP_EXAMPLES_PGZ_DEFLATER_HPP
#define ERRGROUP_EXAMPLES_PGZ_DEFLATER_HPP

#include "buffer.hpp"

#include <zlib.h>  // z_stream

#include <cstddef>  // size_t
#include <cstdint>  // uint32_t
#include <span>     // span

namespace pgz {

/// Deflate looks back at most this far.
inline constexpr std::size_t window_size = std::size_t{32} * 1024;

/// A block of the input.
struct raw_block {
  /// The end of the block before, and the block.
  buffer bytes;
  std::size_t dictionary_size = 0;
  bool is_last = false;

  [[nodiscard]] std::span<unsigned char> dictionary() const noexcept {
    return bytes.filled().first(dictionary_size);
  }
  [[nodiscard]] std::span<unsigned char> content() const noexcept {
    return bytes.filled().subspan(dictionary_size);
  }
};

/// A deflated block.
struct packed_block {
  buffer bytes;
  std::uint32_t crc = 0;     ///< of the content
  std::size_t raw_size = 0;  ///< of the content
  bool is_last = false;
};

/// Deflates blocks, each alone, so that the results in a row are one deflate stream.
///
/// Each block except the last ends on a whole byte with an empty stored block (Z_SYNC_FLUSH), so
/// the results can be written one behind the other. The block before is the dictionary: matches
/// reach back across the border, as they would in a single stream.
///
/// A deflater has 256 KiB of tables, so a lane of the pipeline makes one and uses it for many
/// blocks.
class deflater {
 public:
  /// Throws `std::bad_alloc`.
  explicit deflater(int level);
  deflater(deflater const&) = delete;
  deflater& operator=(deflater const&) = delete;
  ~deflater();

  /// Throws `std::bad_alloc`.
  [[nodiscard]] packed_block operator()(raw_block const& block);

 private:
  ::z_stream stream_{};
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_DEFLATER_HPP
