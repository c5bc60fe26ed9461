#ifndef ERRGROUP_EXAMPLES_TREESUM_ORDERED_OUTPUT_HPP
#define ERRGROUP_EXAMPLES_TREESUM_ORDERED_OUTPUT_HPP

#include "line_writer.hpp"
#include "progress.hpp"

#include <cstddef>   // size_t
#include <cstdint>   // uint64_t
#include <mutex>     // mutex
#include <optional>  // optional
#include <string>    // string
#include <vector>    // vector

namespace treesum {

/// Puts what tasks finish in any order back into the order in which they were handed out.
///
/// Each task has a place, counted from 0, and fills it once, from any thread. Whoever fills the
/// first open place writes it, and all that follow it without a gap. A place that is never filled,
/// as its task was skipped or stopped, ends the output there.
///
/// `window` places are kept: a place may be filled only if the first open one is less than
/// `window` before it. That is what bounds the memory behind one slow file.
class ordered_output {
 public:
  ordered_output(std::size_t window, line_writer& lines, progress& progress);

  /// `line`, a whole line or nothing at all, for standard output.
  /// False if standard output takes no more.
  [[nodiscard]] bool put(std::uint64_t place, std::string line);
  /// `message` for standard error.
  void put_problem(std::uint64_t place, std::string message);

  /// True if `place` is inside the window.
  [[nodiscard]] bool has_room_for(std::uint64_t place) const;

  /// Writes what is still held back for the sake of large writes.
  void flush();

 private:
  struct result {
    bool is_problem;
    std::string text;
  };
  void fill(std::uint64_t place, result filled);

  line_writer& lines_;
  progress& progress_;
  bool const at_once_;  // somebody is watching
  std::mutex mutable filling_;
  std::uint64_t first_open_ = 0;
  std::vector<std::optional<result>> window_;  // place p at p modulo its size
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_ORDERED_OUTPUT_HPP
