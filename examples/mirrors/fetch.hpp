#ifndef ERRGROUP_EXAMPLES_MIRRORS_FETCH_HPP
#define ERRGROUP_EXAMPLES_MIRRORS_FETCH_HPP

#include <errgroup/result.hpp>

#include <stop_token>  // stop_token
#include <string>      // string

namespace mirrors {

/// Where a file is: http://HOST[:PORT]/PATH.
struct url {
  std::string text;
  std::string endpoint;  // HOST:PORT
  std::string path;
};

/// Throws `std::runtime_error`, in words, for what is no such URL.
[[nodiscard]] url parse_url(std::string const& text);

/// A mirror has answered, but not with the file.
struct refusal {
  std::string words;
  bool is_final;  // it will not do better the next time

  [[nodiscard]] std::string const& message() const noexcept { return words; }
};

/// Gets a file by HTTP/1.0. The error is a `refusal`, or what connection and name service say;
/// `std::errc::operation_canceled` if it was stopped.
[[nodiscard]] errgroup::result<std::string> fetch(url const& from, std::stop_token const& stop);

/// The SHA-256 sum of a text, in hexadecimal digits.
[[nodiscard]] std::string sha256_of(std::string const& text);

}  // namespace mirrors

#endif  // ERRGROUP_EXAMPLES_MIRRORS_FETCH_HPP
