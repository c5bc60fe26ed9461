#include "tcp.hpp"

#include <netdb.h>        // getaddrinfo
#include <poll.h>         // poll
#include <sys/eventfd.h>  // eventfd
#include <sys/types.h>    // ssize_t
#include <unistd.h>       // write

#include <algorithm>  // clamp
#include <array>      // array
#include <cerrno>     // errno
#include <cstdint>    // uint64_t
#include <cstring>    // memcpy
#include <limits>     // numeric_limits
#include <stdexcept>  // runtime_error

namespace net {
namespace {

std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

}  // namespace

bell::bell() : rung_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!rung_) {
    throw std::system_error(last_error(), "eventfd");
  }
}

void bell::ring() const noexcept {
  std::uint64_t const one = 1;
  // It can only fail if it has rung very often.
  [[maybe_unused]] auto const written = ::write(rung_.get(), &one, sizeof one);
}

address resolve(std::string const& endpoint) {
  std::size_t const colon = endpoint.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == endpoint.size()) {
    throw std::runtime_error(endpoint + ": is not HOST:PORT");
  }
  std::string host = endpoint.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  ::addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  ::addrinfo* first = nullptr;
  int const status = ::getaddrinfo(host.c_str(), endpoint.c_str() + colon + 1, &wanted, &first);
  if (status != 0) {
    throw std::runtime_error(endpoint + ": " + ::gai_strerror(status));
  }
  address found;
  std::memcpy(&found.bytes, first->ai_addr, first->ai_addrlen);
  found.size = first->ai_addrlen;
  ::freeaddrinfo(first);
  return found;
}

std::error_code connection::open(address const& to,
                                 std::optional<std::chrono::nanoseconds> timeout) {
  socket_.emplace(::socket(to.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!*socket_) {
    return last_error();
  }
  if (::connect(socket_->get(), reinterpret_cast<::sockaddr const*>(&to.bytes), to.size) == 0) {
    return {};
  }
  if (errno != EINPROGRESS) {
    return last_error();
  }
  if (std::error_code const ec = wait_for(POLLOUT, timeout)) {
    return ec;
  }
  int error = 0;
  ::socklen_t size = sizeof error;
  ::getsockopt(socket_->get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? std::error_code() : std::error_code(error, std::generic_category());
}

std::error_code connection::send(std::string_view text) {
  while (!text.empty()) {
    ::ssize_t const sent = ::send(socket_->get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      text.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      return last_error();
    } else if (std::error_code const ec = wait_for(POLLOUT)) {
      return ec;
    }
  }
  return {};
}

errgroup::result<std::size_t> connection::receive(std::span<char> into) {
  for (;;) {
    if (std::error_code const ec = wait_for(POLLIN)) {
      return ec;
    }
    ::ssize_t const size = ::recv(socket_->get(), into.data(), into.size(), 0);
    if (size >= 0) {
      return static_cast<std::size_t>(size);
    }
    if (errno != EAGAIN && errno != EINTR) {
      return last_error();
    }
  }
}

std::error_code connection::wait_for(short events,
                                     std::optional<std::chrono::nanoseconds> timeout) {
  using std::chrono::steady_clock;
  auto const begin = steady_clock::now();
  std::array<::pollfd, 2> both{{{socket_->get(), events, 0}, {cancelled_.fd(), POLLIN, 0}}};
  for (;;) {
    int wait = -1;
    if (timeout) {
      auto const left =
          std::chrono::ceil<std::chrono::milliseconds>(*timeout - (steady_clock::now() - begin));
      wait = static_cast<int>(
          std::clamp<std::int64_t>(left.count(), 0, std::numeric_limits<int>::max()));
    }
    int const ready = ::poll(both.data(), both.size(), wait);
    if (ready < 0 && errno != EINTR) {
      return last_error();
    }
    if (ready == 0) {
      return std::make_error_code(std::errc::timed_out);
    }
    if (ready > 0 && both[1].revents != 0) {
      return std::make_error_code(std::errc::operation_canceled);
    }
    if (ready > 0) {
      return {};
    }
  }
}

}  // namespace net
