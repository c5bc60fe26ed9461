#ifndef ERRGROUP_EXAMPLES_PROBE_CONNECT_HPP
#define ERRGROUP_EXAMPLES_PROBE_CONNECT_HPP

#include "../treesum/file_descriptor.hpp"

#include <sys/socket.h>  // sockaddr_storage, socklen_t

#include <chrono>        // nanoseconds
#include <string>        // string
#include <system_error>  // error_code

namespace probe {

/// Wakes everybody who waits in `connect_to`, now and from now on.
class bell {
 public:
  bell();
  void ring() const noexcept;
  [[nodiscard]] int fd() const noexcept { return rung_.get(); }

 private:
  treesum::file_descriptor rung_;  // readable once it has rung
};

struct address {
  ::sockaddr_storage bytes{};
  ::socklen_t size = 0;
};

/// The first address of HOST:PORT or [HOST]:PORT. Throws `std::runtime_error`, in words.
[[nodiscard]] address resolve(std::string const& endpoint);

/// Connects by TCP and hangs up. `std::errc::timed_out` after `timeout`,
/// `std::errc::operation_canceled` if the bell rings.
[[nodiscard]] std::error_code connect_to(address const& to, std::chrono::nanoseconds timeout,
                                         bell const& cancelled);

}  // namespace probe

#endif  // ERRGROUP_EXAMPLES_PROBE_CONNECT_HPP
