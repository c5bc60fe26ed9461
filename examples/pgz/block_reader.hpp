#ifndef ERRGROUP_EXAMPLES_PGZ_BLOCK_READER_HPP
#define ERRGROUP_EXAMPLES_PGZ_BLOCK_READER_HPP

#include "deflater.hpp"
#include "input_stream.hpp"
#include <errgroup/result.hpp>

#include <cstddef>     // size_t
#include <optional>    // optional
#include <stop_token>  // stop_token

namespace pgz {

/// As large as pigz's: large enough that the 32 KiB of dictionary and the flush at the end cost
/// little, small enough that every lane gets work from a small file.
inline constexpr std::size_t block_size = std::size_t{128} * 1024;

/// The blocks of an input, each with the end of the block before as its dictionary. There is always
/// a last block; for an empty input it is empty.
class block_reader {
 public:
  explicit block_reader(input_stream& in) noexcept : in_(in) {}

  /// The next block, or nothing behind the last.
  [[nodiscard]] errgroup::result<std::optional<raw_block>> next(std::stop_token const& stop);

 private:
  [[nodiscard]] errgroup::result<raw_block> read_after(raw_block const& before,
                                                       std::stop_token const& stop);

  input_stream& in_;
  // One block ahead, because a block has to know that it is the last.
  raw_block ahead_;
  bool has_begun_ = false;
  bool has_ended_ = false;
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_BLOCK_READER_HPP
