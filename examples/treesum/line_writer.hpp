#ifndef ERRGROUP_EXAMPLES_TREESUM_LINE_WRITER_HPP
#define ERRGROUP_EXAMPLES_TREESUM_LINE_WRITER_HPP

#include "interrupt.hpp"

#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code

namespace treesum {

/// Standard output, a whole line or nothing.
///
/// Lines are gathered and written in pieces that a pipe takes at once or not at all, after waiting
/// for room: a Ctrl-C while the reader of the pipe sleeps ends the wait, and no half line is left.
///
/// Not for use by two threads at a time.
class line_writer {
 public:
  explicit line_writer(interrupt const& stop) : stop_(stop) {}

  /// Takes `line`, which ends in a newline. After a failure, or once a Ctrl-C has ended a wait,
  /// lines are dropped.
  void add(std::string_view line);
  void flush();

  /// Why a line could not be written: the disk is full. Zero if all is well.
  [[nodiscard]] std::error_code failure() const noexcept { return failure_; }

 private:
  void write(std::string_view lines);
  [[nodiscard]] bool wait_for_room();

  interrupt const& stop_;
  std::string gathered_;
  std::error_code failure_;
  bool interrupted_ = false;
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_LINE_WRITER_HPP
