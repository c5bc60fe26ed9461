#include "progress.hpp"

#include "../support/readable.hpp"
#include "../treesum/path_error.hpp"

#include <unistd.h>  // isatty

#include <algorithm>  // max, min
#include <cstddef>    // size_t
#include <cstdio>     // fputs

namespace pgz {
namespace {

using namespace std::chrono_literals;

/// The end of `name`, so short that the whole line fits in 80 columns. A longer line would be
/// broken in two, and could not be rewritten.
std::string shortened(std::string_view name) {
  constexpr std::size_t longest = 40;
  std::string text = treesum::printable(name);
  if (text.size() > longest) {
    std::size_t from = text.size() - longest;
    while (from != text.size() && (static_cast<unsigned char>(text[from]) & 0xc0U) == 0x80U) {
      ++from;  // the middle of a UTF-8 character
    }
    text.replace(0, from, "...");
  }
  return text;
}

}  // namespace

progress::progress(std::string_view name, std::uint64_t total)
    : name_(shortened(name)), total_(total) {
  if (::isatty(STDERR_FILENO) != 0) {
    ticker_ = std::jthread([this](std::stop_token const& stop) { show_until(stop); });
  }
}

void progress::show_until(std::stop_token const& stop) {
  bool shown = false;
  std::unique_lock lock(sleeping_);
  while (!leaving_.wait_for(lock, stop, 100ms, [&] { return stop.stop_requested(); })) {
    show();
    shown = true;
  }
  if (shown) {
    std::fputs("\r\033[K", stderr);
  }
}

void progress::show() const {
  double const seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  auto const bytes = static_cast<double>(bytes_.load(std::memory_order_relaxed));
  std::string line = "\r\033[K" + name_ + ": ";
  if (total_ != 0) {
    double const part = std::min(bytes / static_cast<double>(total_), 1.0);
    line += std::to_string(static_cast<int>(part * 100)) + " %, ";
  }
  line += readable(bytes) + ", " + readable(bytes / std::max(seconds, 1e-6)) + "/s";
  std::fputs(line.c_str(), stderr);
}

}  // namespace pgz
