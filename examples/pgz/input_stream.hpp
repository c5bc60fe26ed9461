#ifndef ERRGROUP_EXAMPLES_PGZ_INPUT_STREAM_HPP
#define ERRGROUP_EXAMPLES_PGZ_INPUT_STREAM_HPP

#include "progress.hpp"
#include "stop_bell.hpp"
#include <errgroup/result.hpp>

#include <cstddef>     // size_t
#include <span>        // span
#include <stop_token>  // stop_token

namespace pgz {

/// Reads a file descriptor from its place to its end, and tells `done` of the bytes. The descriptor
/// remains the caller's.
class input_stream {
 public:
  input_stream(int fd, progress& done);

  /// Fills `to`. Fewer bytes are read only at the end of the input. Fails with the reason of the
  /// system, or with `errgroup::errc::canceled` after `stop`.
  [[nodiscard]] errgroup::result<std::size_t> read(std::span<unsigned char> to,
                                                   std::stop_token const& stop);

 private:
  int fd_;
  bool may_block_;
  stop_bell bell_;
  progress& done_;
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_INPUT_STREAM_HPP
