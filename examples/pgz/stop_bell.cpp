#include "stop_bell.hpp"

#include "../treesum/path_error.hpp"

#include <poll.h>         // poll
#include <sys/eventfd.h>  // eventfd
#include <sys/stat.h>     // fstat
#include <unistd.h>       // write

#include <array>         // array
#include <cerrno>        // errno
#include <cstdint>       // uint64_t
#include <system_error>  // system_error

namespace pgz {

stop_bell::stop_bell() : rung_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!rung_) {
    throw std::system_error(treesum::last_error(), "eventfd");
  }
}

bool stop_bell::wait_for(int fd, short events, std::stop_token const& stop) const {
  std::stop_callback const ring(stop, [this] {
    std::uint64_t const one = 1;
    // The write cannot fail: the counter of the eventfd is far from its end.
    [[maybe_unused]] auto const written = ::write(rung_.get(), &one, sizeof one);
  });
  std::array<::pollfd, 2> both{{{fd, events, 0}, {rung_.get(), POLLIN, 0}}};
  while (::poll(both.data(), both.size(), -1) < 0 && errno == EINTR) {
  }
  return !stop.stop_requested();
}

bool may_block(int fd) noexcept {
  struct ::stat about{};
  return ::fstat(fd, &about) == 0 && !S_ISREG(about.st_mode);
}

}  // namespace pgz
