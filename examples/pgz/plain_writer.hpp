#ifndef ERRGROUP_EXAMPLES_PGZ_PLAIN_WRITER_HPP
#define ERRGROUP_EXAMPLES_PGZ_PLAIN_WRITER_HPP

#include "gzip_format.hpp"
#include "inflater.hpp"
#include "output_stream.hpp"
#include <errgroup/error.hpp>

#include <stop_token>  // stop_token

namespace pgz {

/// Writes inflated blocks, in their order, and compares each member with its trailer.
class plain_writer {
 public:
  explicit plain_writer(output_stream& out) noexcept : out_(out) {}

  /// Writes the block first, and then fails with the failure that the block carries.
  [[nodiscard]] errgroup::error write(plain_block const& block, std::stop_token const& stop);

 private:
  output_stream& out_;
  member_trailer so_far_;  // of the blocks of the member
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_PLAIN_WRITER_HPP
