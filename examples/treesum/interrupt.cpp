#include "interrupt.hpp"

#include "path_error.hpp"

#include <poll.h>         // poll
#include <sys/eventfd.h>  // eventfd
#include <unistd.h>       // _exit

#include <array>         // array
#include <cstdint>       // uint64_t
#include <system_error>  // system_error

namespace treesum {

interrupt::interrupt() : came_(::eventfd(0, EFD_CLOEXEC)) {
  if (!came_) {
    throw std::system_error(last_error(), "eventfd");
  }
  ::sigemptyset(&signals_);
  ::sigaddset(&signals_, SIGINT);
  ::sigaddset(&signals_, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  watcher_ = std::thread(&interrupt::watch, this);
}

interrupt::~interrupt() {
  leaving_ = true;
  ::pthread_kill(watcher_.native_handle(), SIGINT);  // to the watcher alone: it wakes up
  watcher_.join();
}

void interrupt::watch() {
  for (;;) {
    int signal = 0;
    ::sigwait(&signals_, &signal);
    if (leaving_) {
      return;
    }
    if (signal_ != 0) {
      ::_exit(128 + signal);
    }
    signal_ = signal;
    std::uint64_t const one = 1;
    if (::write(came_.get(), &one, sizeof one) < 0) {
      ::_exit(128 + signal);
    }
    stop_.request_stop();
  }
}

bool interrupt::wait_for(int fd, short events) const noexcept {
  std::array<::pollfd, 2> both{{{fd, events, 0}, {came_.get(), POLLIN, 0}}};
  while (::poll(both.data(), both.size(), -1) < 0 && errno == EINTR) {
  }
  return both[0].revents != 0;
}

}  // namespace treesum
