#include "progress.hpp"

#include "../support/readable.hpp"

#include <unistd.h>  // isatty

#include <algorithm>   // max
#include <cstdio>      // fputs, fprintf
#include <stop_token>  // stop_token

namespace treesum {
namespace {

using namespace std::chrono_literals;

}  // namespace

std::string number_of_files(std::uint64_t n) {
  return std::to_string(n) + (n == 1 ? " file" : " files");
}

progress::progress() {
  if (::isatty(STDERR_FILENO) == 0) {
    return;
  }
  ticker_ = std::jthread([this](std::stop_token stop) {
    std::unique_lock lock(writing_);
    while (!leaving_.wait_for(lock, stop, 100ms, [&] { return stop.stop_requested(); })) {
      show();
    }
    show();
    std::fputs("\n", stderr);
  });
}

progress::~progress() = default;  // jthread asks its thread to stop, and joins

void progress::say(std::string_view message) {
  std::string const line = std::string("treesum: ").append(message).append("\n");
  aside([&] { std::fputs(line.c_str(), stderr); });
}

void progress::show() {
  double const seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  double const bytes = static_cast<double>(bytes_);
  std::fprintf(stderr, "\r\033[K%s, %s, %s/s", number_of_files(files_).c_str(),
               readable(bytes).c_str(), readable(bytes / std::max(seconds, 1e-6)).c_str());
  visible_ = true;
}

void progress::erase() {
  if (visible_) {
    std::fputs("\r\033[K", stderr);
    visible_ = false;
  }
}

}  // namespace treesum
