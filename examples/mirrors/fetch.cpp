#include "fetch.hpp"

#include "../support/tcp.hpp"
#include "../treesum/sha256.hpp"

#include <algorithm>    // equal
#include <array>        // array
#include <charconv>     // from_chars
#include <cstddef>      // size_t
#include <optional>     // optional
#include <span>         // as_bytes, span
#include <stdexcept>    // runtime_error
#include <string_view>  // string_view

namespace mirrors {
namespace {

std::optional<std::size_t> number_in(std::string_view digits) {
  std::size_t number = 0;
  auto const [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return ec == std::errc() && end == digits.data() + digits.size() ? std::optional(number)
                                                                   : std::nullopt;
}

/// The value of a header field, without spaces around it.
std::optional<std::string_view> field(std::string_view head, std::string_view name) {
  auto const same = [](char a, char b) { return a == b || (a ^ 0x20) == b; };  // of letters and '-'
  for (std::size_t begin = head.find("\r\n"); begin != std::string_view::npos;) {
    begin += 2;
    std::size_t const end = head.find("\r\n", begin);
    std::string_view const line = head.substr(begin, end - begin);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        std::equal(name.begin(), name.end(), line.begin(), same)) {
      std::size_t const first = line.find_first_not_of(" \t", name.size() + 1);
      std::size_t const last = line.find_last_not_of(" \t");
      return first == std::string_view::npos ? std::string_view()
                                             : line.substr(first, last + 1 - first);
    }
    begin = end;
  }
  return std::nullopt;
}

/// The file in an answer, if it is there, and all of it.
errgroup::result<std::string> content_of(std::string answer) {
  std::size_t const end = answer.find("\r\n\r\n");
  std::string_view const head = std::string_view(answer).substr(0, end);
  // HTTP/1.0 200 OK
  std::string_view const status = head.substr(0, head.find("\r\n"));
  std::size_t const code = status.size() < 12 ? 0 : number_in(status.substr(9, 3)).value_or(0);
  if (end == std::string::npos || !status.starts_with("HTTP/1.") || code == 0) {
    return errgroup::make_error(refusal{"no answer in HTTP", false});
  }
  if (code != 200) {
    // What is a client's fault remains one; a server's may pass.
    return errgroup::make_error(refusal{std::string(status.substr(9)), code < 500});
  }
  std::size_t const size = answer.size() - (end + 4);
  if (auto const length = field(head, "content-length"); length && number_in(*length) != size) {
    return errgroup::make_error(refusal{
        "ended after " + std::to_string(size) + " of " + std::string(*length) + " bytes", false});
  }
  answer.erase(0, end + 4);
  return answer;
}

}  // namespace

url parse_url(std::string const& text) {
  std::string_view const scheme = "http://";
  std::size_t const host = scheme.size();
  std::size_t const slash = text.find('/', host);
  if (!text.starts_with(scheme) || slash == host || text.size() == host ||
      text.find_first_of(" \t\r\n") != std::string::npos) {
    throw std::runtime_error(text + ": is not http://HOST[:PORT]/PATH");
  }
  std::string endpoint = text.substr(host, slash - host);
  if (endpoint.find(':', endpoint.rfind(']') + 1) == std::string::npos) {
    endpoint += ":80";
  }
  return {text, endpoint, slash == std::string::npos ? "/" : text.substr(slash)};
}

errgroup::result<std::string> fetch(url const& from, std::stop_token const& stop) {
  net::bell cancelled;
  std::stop_callback const wakes(stop, [&cancelled] { cancelled.ring(); });
  net::connection server(cancelled);
  if (std::error_code const ec = server.open(net::resolve(from.endpoint))) {
    return ec;
  }
  if (std::error_code const ec =
          server.send("GET " + from.path + " HTTP/1.0\r\nHost: " + from.endpoint + "\r\n\r\n")) {
    return ec;
  }
  std::string answer;
  std::array<char, 65536> block;  // NOLINT(*-member-init): it is received into
  for (;;) {
    errgroup::result<std::size_t> const size = server.receive(block);
    if (!size) {
      return size.error();
    }
    if (*size == 0) {
      return content_of(std::move(answer));
    }
    answer.append(block.data(), *size);
  }
}

std::string sha256_of(std::string const& text) {
  treesum::sha256 sum;
  sum.start();
  sum.update(std::as_bytes(std::span(text)));
  std::string digits;
  for (unsigned char const byte : sum.finish()) {
    digits += "0123456789abcdef"[byte >> 4];
    digits += "0123456789abcdef"[byte & 15];
  }
  return digits;
}

}  // namespace mirrors
