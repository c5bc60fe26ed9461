#include "output_stream.hpp"

#include "../treesum/path_error.hpp"
#include <errgroup/error.hpp>

#include <poll.h>    // POLLOUT
#include <unistd.h>  // write

#include <algorithm>  // min
#include <cerrno>     // errno
#include <climits>    // PIPE_BUF
#include <cstddef>    // size_t

namespace pgz {

std::error_code output_stream::write(std::span<unsigned char const> bytes,
                                     std::stop_token const& stop) {
  if (fd_ < 0) {
    return {};
  }
  while (!bytes.empty()) {
    if (may_block_ && !bell_.wait_for(fd_, POLLOUT, stop)) {
      return errgroup::errc::canceled;
    }
    // A pipe that is ready takes PIPE_BUF bytes at once. A longer write may block in the middle,
    // where the bell does not wake it.
    std::size_t const size =
        may_block_ ? std::min<std::size_t>(bytes.size(), PIPE_BUF) : bytes.size();
    auto const n = ::write(fd_, bytes.data(), size);
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno != EINTR && errno != EAGAIN) {
      return treesum::last_error();
    }
  }
  return {};
}

}  // namespace pgz
