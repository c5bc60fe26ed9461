#ifndef ERRGROUP_EXAMPLES_PGZ_GZIP_WRITER_HPP
#define ERRGROUP_EXAMPLES_PGZ_GZIP_WRITER_HPP

#include "deflater.hpp"
#include "gzip_format.hpp"
#include "output_stream.hpp"

#include <stop_token>    // stop_token
#include <system_error>  // error_code
#include <vector>        // vector

namespace pgz {

/// Writes deflated blocks, in their order, as one member of a gzip file.
class gzip_writer {
 public:
  /// Throws `std::bad_alloc`.
  gzip_writer(output_stream& out, member_header const& header)
      : out_(out), header_(bytes_of(header)) {}

  /// Writes the header before the first block, and the trailer behind the last.
  [[nodiscard]] std::error_code write(packed_block const& block, std::stop_token const& stop);

 private:
  output_stream& out_;
  std::vector<unsigned char> header_;  // empty after the first block
  member_trailer trailer_;             // of the blocks so far
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_GZIP_WRITER_HPP
