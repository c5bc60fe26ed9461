#include "line_writer.hpp"

#include "path_error.hpp"

#include <poll.h>    // POLLOUT
#include <unistd.h>  // write

#include <cerrno>   // errno
#include <climits>  // PIPE_BUF
#include <cstddef>  // size_t

namespace treesum {

void line_writer::add(std::string_view line) {
  if (gathered_.size() + line.size() > PIPE_BUF) {
    flush();
  }
  gathered_ += line;
}

void line_writer::flush() {
  write(gathered_);
  gathered_.clear();
}

void line_writer::write(std::string_view lines) {
  if (lines.empty() || failure_ || !wait_for_room()) {
    return;
  }
  // One turn, unless a single line is longer than PIPE_BUF or the disk fills up: then there is
  // nothing better than to write on.
  while (!lines.empty()) {
    auto const n = ::write(STDOUT_FILENO, lines.data(), lines.size());
    if (n >= 0) {
      lines.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {  // somebody shares this pipe, and made it non-blocking
      if (!wait_for_room()) {
        return;
      }
    } else if (errno != EINTR) {
      failure_ = last_error();
      return;
    }
  }
}

bool line_writer::wait_for_room() {
  // Once given up, for good: the reader may make room later, and would then miss what was dropped.
  interrupted_ = interrupted_ || !stop_.wait_for(STDOUT_FILENO, POLLOUT);
  return !interrupted_;
}

}  // namespace treesum
