#include "input_stream.hpp"

#include "../treesum/path_error.hpp"

#include <fcntl.h>   // posix_fadvise
#include <poll.h>    // POLLIN
#include <unistd.h>  // read

#include <cerrno>  // errno

namespace pgz {

input_stream::input_stream(int fd, progress& done)
    : fd_(fd), may_block_(may_block(fd)), done_(done) {
  // The system reads further ahead, while the stages work. The call fails for a pipe, which does
  // not matter.
  (void)::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

errgroup::result<std::size_t> input_stream::read(std::span<unsigned char> to,
                                                 std::stop_token const& stop) {
  std::size_t size = 0;
  while (size != to.size()) {
    if (may_block_ && !bell_.wait_for(fd_, POLLIN, stop)) {
      return errgroup::error(errgroup::errc::canceled);
    }
    auto const n = ::read(fd_, to.data() + size, to.size() - size);
    if (n == 0) {
      break;
    }
    if (n > 0) {
      size += static_cast<std::size_t>(n);
      done_.add(static_cast<std::size_t>(n));
    } else if (errno != EINTR && errno != EAGAIN) {
      return errgroup::error(treesum::last_error());
    }
  }
  return size;
}

}  // namespace pgz
