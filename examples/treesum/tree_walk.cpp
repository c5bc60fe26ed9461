#include "tree_walk.hpp"

#include "path_error.hpp"

#include <dirent.h>    // opendir, readdir, closedir, DT_*
#include <sys/stat.h>  // stat, lstat, fstat

#include <algorithm>    // sort
#include <cerrno>       // errno
#include <memory>       // unique_ptr
#include <string_view>  // string_view
#include <utility>      // move

namespace treesum {
namespace {

struct close_directory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

struct ::stat look_at(std::string const& path, bool follow_link) {
  struct ::stat about{};
  int const failed = follow_link ? ::stat(path.c_str(), &about) : ::lstat(path.c_str(), &about);
  if (failed != 0) {
    throw path_error(path, last_error());
  }
  return about;
}

unsigned char type_of(struct ::stat const& about) {
  if (S_ISREG(about.st_mode)) return DT_REG;
  if (S_ISDIR(about.st_mode)) return DT_DIR;
  if (S_ISLNK(about.st_mode)) return DT_LNK;
  return DT_UNKNOWN;
}

}  // namespace

std::optional<file_id> regular_file_id(int fd) noexcept {
  struct ::stat about{};
  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
    return std::nullopt;
  }
  return file_id{about.st_dev, about.st_ino};
}

tree_walk::tree_walk(std::string root, bool follow_links, std::optional<file_id> left_out)
    : root_(std::move(root)), follow_links_(follow_links), left_out_(left_out) {}

std::optional<std::string> tree_walk::next() {
  if (!started_) {
    started_ = true;
    switch (type_of(look_at(root_, true))) {
      case DT_REG:
        return root_;
      case DT_DIR:
        descend(root_);
        break;
      default:
        throw path_error(root_, "neither a file nor a directory");
    }
  }
  while (!levels_.empty()) {
    level& here = levels_.back();
    if (here.entries.empty()) {
      levels_.pop_back();
      continue;
    }
    entry const e = std::move(here.entries.back());
    here.entries.pop_back();
    std::string path = here.prefix + e.name;

    unsigned char type = e.type;
    if (type == DT_UNKNOWN) {
      type = type_of(look_at(path, false));
    }
    if (type == DT_LNK && follow_links_) {
      type = type_of(look_at(path, true));
    }
    if (type == DT_DIR) {
      descend(path);
    } else if (type == DT_REG && !is_left_out(e, path)) {
      return path;
    }
  }
  return std::nullopt;
}

void tree_walk::descend(std::string const& directory) {
  level below;
  below.prefix = directory.ends_with('/') ? directory : directory + '/';
  if (follow_links_) {
    auto const about = look_at(directory, true);
    below.id = {about.st_dev, about.st_ino};
    for (level const& above : levels_) {
      if (above.id == below.id) {
        throw path_error(directory,
                         "a loop of links: this is " + printable(above.prefix) + " again");
      }
    }
  }

  std::unique_ptr<DIR, close_directory> const open(::opendir(directory.c_str()));
  if (open == nullptr) {
    throw path_error(directory, last_error());
  }
  for (;;) {
    errno = 0;
    ::dirent const* const found = ::readdir(open.get());
    if (found == nullptr) {
      break;
    }
    std::string_view const name = found->d_name;
    if (name != "." && name != "..") {
      below.entries.push_back({std::string(name), found->d_type, found->d_ino});
    }
  }
  if (errno != 0) {
    throw path_error(directory, last_error());
  }
  std::sort(below.entries.begin(), below.entries.end(),
            [](entry const& a, entry const& b) { return a.name > b.name; });
  levels_.push_back(std::move(below));
}

bool tree_walk::is_left_out(entry const& e, std::string const& path) const {
  // The inode number comes with the name for nothing, and nearly always says no.
  if (!left_out_ || (e.type == DT_REG && e.inode != left_out_->inode)) {
    return false;
  }
  auto const about = look_at(path, true);
  return file_id{about.st_dev, about.st_ino} == *left_out_;
}

}  // namespace treesum
