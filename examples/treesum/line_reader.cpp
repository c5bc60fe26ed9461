#include "line_reader.hpp"

#include "path_error.hpp"

#include <fcntl.h>   // open
#include <poll.h>    // POLLIN
#include <unistd.h>  // read, dup

#include <algorithm>  // min
#include <cerrno>     // errno
#include <utility>    // move

namespace treesum {
namespace {

constexpr std::size_t longest_line = 65536;

}  // namespace

line_reader::line_reader(std::string path, interrupt const& stop)
    : path_(std::move(path)),
      stop_(stop),
      file_(path_ == "-" ? ::dup(STDIN_FILENO)
                         : ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) {
  if (!file_) {
    throw path_error(path_, last_error());
  }
}

std::optional<std::string_view> line_reader::next() {
  line_.clear();
  for (bool something = false;; something = true) {
    if (unread_.empty() && !fill()) {
      if (!something || stop_.signal() != 0) {
        return std::nullopt;
      }
      break;
    }
    auto const piece = unread_.substr(0, unread_.find('\n'));
    line_.append(piece.substr(0, std::min(piece.size(), longest_line - line_.size())));
    bool const whole = piece.size() < unread_.size();
    unread_.remove_prefix(piece.size() + (whole ? 1 : 0));
    if (whole) {
      break;
    }
  }
  ++number_;
  return line_;
}

bool line_reader::fill() {
  for (;;) {
    if (!stop_.wait_for(file_.get(), POLLIN) || stop_.signal() != 0) {
      return false;
    }
    auto const n = ::read(file_.get(), block_.data(), block_.size());
    if (n >= 0) {
      unread_ = {block_.data(), static_cast<std::size_t>(n)};
      return n > 0;
    }
    if (errno != EAGAIN && errno != EINTR) {
      throw path_error(path_, last_error());
    }
  }
}

}  // namespace treesum
