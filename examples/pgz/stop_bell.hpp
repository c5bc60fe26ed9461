#ifndef ERRGROUP_EXAMPLES_PGZ_STOP_BELL_HPP
#define ERRGROUP_EXAMPLES_PGZ_STOP_BELL_HPP

#include "../treesum/file_descriptor.hpp"

#include <stop_token>  // stop_token

namespace pgz {

/// Lets a thread wait for a pipe or a terminal, and wakes the thread if the work is stopped: by
/// Ctrl-C, or because another stage has failed. Without the bell, `pgz </dev/tty >/dev/full` would
/// hang until the user types a line.
///
/// A bell belongs to one thread at a time and to one run of a pipeline.
class stop_bell {
 public:
  /// Throws `std::system_error` if the process has no file descriptor left.
  stop_bell();

  /// Waits until a read or write of `fd` would not block (`events` are those of `poll`). False if
  /// `stop` was requested.
  [[nodiscard]] bool wait_for(int fd, short events, std::stop_token const& stop) const;

 private:
  treesum::file_descriptor rung_;  // an eventfd, readable after the stop
};

/// True if reads and writes of `fd` may wait for another process or for a user.
[[nodiscard]] bool may_block(int fd) noexcept;

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_STOP_BELL_HPP
