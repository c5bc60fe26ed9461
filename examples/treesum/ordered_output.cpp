#include "ordered_output.hpp"

#include <unistd.h>  // isatty

#include <utility>  // move

namespace treesum {

ordered_output::ordered_output(std::size_t window, line_writer& lines, progress& progress)
    : lines_(lines), progress_(progress), at_once_(::isatty(STDOUT_FILENO) != 0), window_(window) {}

bool ordered_output::put(std::uint64_t place, std::string line) {
  std::scoped_lock const lock(filling_);
  fill(place, {.is_problem = false, .text = std::move(line)});
  return !lines_.failure();
}

void ordered_output::put_problem(std::uint64_t place, std::string message) {
  std::scoped_lock const lock(filling_);
  fill(place, {.is_problem = true, .text = std::move(message)});
}

bool ordered_output::has_room_for(std::uint64_t place) const {
  std::scoped_lock const lock(filling_);
  return place - first_open_ < window_.size();
}

void ordered_output::fill(std::uint64_t place, result filled) {
  window_[place % window_.size()] = std::move(filled);
  if (place != first_open_) {
    return;
  }
  while (auto& next = window_[first_open_ % window_.size()]) {
    if (next->is_problem) {
      progress_.say(next->text);
    } else {
      lines_.add(next->text);
    }
    next.reset();
    ++first_open_;
  }
  if (at_once_) {
    progress_.aside([&] { lines_.flush(); });
  }
}

void ordered_output::flush() {
  std::scoped_lock const lock(filling_);
  progress_.aside([&] { lines_.flush(); });
}

}  // namespace treesum
