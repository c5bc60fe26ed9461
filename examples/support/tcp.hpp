#ifndef ERRGROUP_EXAMPLES_SUPPORT_TCP_HPP
#define ERRGROUP_EXAMPLES_SUPPORT_TCP_HPP

#include "../treesum/file_descriptor.hpp"
#include <errgroup/result.hpp>

#include <sys/socket.h>  // sockaddr_storage, socklen_t

#include <chrono>        // nanoseconds
#include <cstddef>       // size_t
#include <optional>      // optional
#include <span>          // span
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code

namespace net {

/// Wakes every `connection` that was made with it, now and from now on.
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

/// A connection by TCP. All that waits ends with `std::errc::operation_canceled` if the bell rings.
class connection {
 public:
  explicit connection(bell const& cancelled) noexcept : cancelled_(cancelled) {}

  /// `std::errc::timed_out` after `timeout`.
  [[nodiscard]] std::error_code open(address const& to,
                                     std::optional<std::chrono::nanoseconds> timeout = {});
  [[nodiscard]] std::error_code send(std::string_view text);
  /// How many bytes have come; 0 at the end.
  [[nodiscard]] errgroup::result<std::size_t> receive(std::span<char> into);

 private:
  [[nodiscard]] std::error_code wait_for(short events,
                                         std::optional<std::chrono::nanoseconds> timeout = {});

  bell const& cancelled_;
  std::optional<treesum::file_descriptor> socket_;
};

}  // namespace net

#endif  // ERRGROUP_EXAMPLES_SUPPORT_TCP_HPP
