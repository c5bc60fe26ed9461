#ifndef ERRGROUP_EXAMPLES_PGZ_INFLATER_HPP
#define ERRGROUP_EXAMPLES_PGZ_INFLATER_HPP

#include "buffer.hpp"
#include "gzip_format.hpp"
#include "input_stream.hpp"
#include <errgroup/error.hpp>

#include <zlib.h>  // z_stream

#include <cstdint>     // uint32_t, uint8_t
#include <optional>    // optional
#include <stop_token>  // stop_token

namespace pgz {

/// A piece of inflated data.
struct plain_block {
  buffer bytes;
  std::uint32_t crc = 0;              ///< of the bytes; the stage "check" computes the sum
  std::optional<member_trailer> end;  ///< the trailer, if the member ends behind the bytes
  /// The reason why nothing follows the bytes. It travels as a part of the block: an error of the
  /// stage would stop the pipeline, and the data before it, which may be all that is left of a
  /// broken file, would not be written.
  errgroup::error failure;
};

/// The inflated data of a gzip file: of all members, one after the other.
///
/// Zero bytes behind the last member are ignored, as gzip does: tapes and some file systems fill up
/// with them.
class inflater {
 public:
  /// Throws `std::bad_alloc`.
  explicit inflater(input_stream& in);
  inflater(inflater const&) = delete;
  inflater& operator=(inflater const&) = delete;
  ~inflater();

  /// The next block. Nothing after the last block and after a block with a failure.
  [[nodiscard]] std::optional<plain_block> next(std::stop_token const& stop);

  /// True if other data than members and zero bytes was found at the end of the file.
  [[nodiscard]] bool found_garbage() const noexcept { return found_garbage_; }

 private:
  [[nodiscard]] bool begin_member(std::stop_token const& stop);
  void read_header(std::stop_token const& stop);
  void fill(plain_block& block, std::stop_token const& stop);
  [[nodiscard]] member_trailer read_trailer(std::stop_token const& stop);
  [[nodiscard]] bool refill(std::stop_token const& stop);
  [[nodiscard]] std::optional<std::uint8_t> next_byte(std::stop_token const& stop);
  [[nodiscard]] std::uint8_t need_byte(std::stop_token const& stop);
  [[nodiscard]] std::uint8_t header_byte(std::stop_token const& stop);

  input_stream& in_;
  buffer compressed_;
  ::z_stream stream_{};  // its input is the rest of compressed_
  std::uint32_t header_crc_ = 0;
  bool is_first_ = true;
  bool in_member_ = false;
  bool has_ended_ = false;
  bool found_garbage_ = false;
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_INFLATER_HPP
