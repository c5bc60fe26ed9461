#ifndef ERRGROUP_EXAMPLES_PGZ_OUTPUT_STREAM_HPP
#define ERRGROUP_EXAMPLES_PGZ_OUTPUT_STREAM_HPP

#include "stop_bell.hpp"

#include <span>          // span
#include <stop_token>    // stop_token
#include <system_error>  // error_code

namespace pgz {

/// Writes to a file descriptor, which remains the caller's; or nowhere, for `-t`.
class output_stream {
 public:
  /// Drops the bytes.
  output_stream() = default;
  explicit output_stream(int fd) : fd_(fd), may_block_(may_block(fd)) {}

  /// Writes all bytes. Fails with the reason of the system, or with `errgroup::errc::canceled`
  /// after `stop`.
  [[nodiscard]] std::error_code write(std::span<unsigned char const> bytes,
                                      std::stop_token const& stop);

 private:
  int fd_ = -1;
  bool may_block_ = false;
  stop_bell bell_;
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_OUTPUT_STREAM_HPP
