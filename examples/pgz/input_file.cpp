#include "input_file.hpp"

#include "../treesum/path_error.hpp"
#include "problem.hpp"

#include <fcntl.h>   // open
#include <unistd.h>  // unlink

#include <cerrno>   // ELOOP, errno
#include <utility>  // move

namespace pgz {
namespace {

bool is_unchanged(struct ::stat const& before, struct ::stat const& now) noexcept {
  return before.st_dev == now.st_dev && before.st_ino == now.st_ino &&
         before.st_size == now.st_size && before.st_mtim.tv_sec == now.st_mtim.tv_sec &&
         before.st_mtim.tv_nsec == now.st_mtim.tv_nsec;
}

}  // namespace

// Non-blocking makes no difference to a regular file, but the open of a FIFO would wait for a
// writer.
input_file::input_file(std::string path, bool follows_links)
    : path_(std::move(path)),
      file_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
                                      (follows_links ? 0 : O_NOFOLLOW))) {
  if (!file_) {
    if (errno == ELOOP && !follows_links) {
      throw problem(treesum::printable(path_) + ": is a symbolic link; -f or -c follows it",
                    exit_error);
    }
    throw problem(treesum::path_error(path_, treesum::last_error()).what(), exit_error);
  }
  if (::fstat(file_.get(), &about_) != 0) {
    throw problem(treesum::path_error(path_, treesum::last_error()).what(), exit_error);
  }
  if (S_ISDIR(about_.st_mode)) {
    throw problem(treesum::printable(path_) + " is a directory -- ignored", exit_warning);
  }
  if (!S_ISREG(about_.st_mode)) {
    throw problem(treesum::printable(path_) + " is not a directory or a regular file - ignored",
                  exit_warning);
  }
}

void input_file::remove() const {
  struct ::stat now{};
  if (::stat(path_.c_str(), &now) != 0 || !is_unchanged(about_, now)) {
    throw problem(treesum::printable(path_) + " was changed meanwhile -- not removed",
                  exit_warning);
  }
  if (::unlink(path_.c_str()) != 0) {
    throw problem(treesum::path_error(path_, treesum::last_error()).what(), exit_warning);
  }
}

}  // namespace pgz
