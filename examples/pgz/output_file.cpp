#include "output_file.hpp"

#include "../treesum/path_error.hpp"
#include "names.hpp"
#include "problem.hpp"

#include <fcntl.h>   // open, openat
#include <unistd.h>  // access, fchown, fsync, linkat, unlinkat

#include <array>    // array
#include <cerrno>   // errno
#include <cstdio>   // renameat, renameat2, snprintf
#include <random>   // random_device
#include <utility>  // move

namespace pgz {
namespace {

std::string folder_of(std::string const& path) {
  auto const slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string temporary_name() {
  std::random_device random;
  std::array<char, 32> name;
  std::snprintf(name.data(), name.size(), ".pgz-%08x%08x", random(), random());
  return name.data();
}

/// The path by which `linkat` finds a file without a name.
std::string place_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

/// Opens a file without a name in `folder`; if the file system cannot, a file with a temporary
/// name, and puts that name into `temporary`. Returns -1 after a failure, with the reason in errno.
int open_in(int folder, std::string& temporary) {
  int const unnamed = ::openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (unnamed >= 0) {
    // Without /proc the file could not get its name at the end.
    if (::access(place_of(unnamed).c_str(), F_OK) == 0) {
      return unnamed;
    }
    ::close(unnamed);
  } else if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    return -1;
  }
  for (;;) {
    std::string const name = temporary_name();
    int const named = ::openat(folder, name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (named >= 0) {
      temporary = name;
      return named;
    }
    if (errno != EEXIST) {
      return -1;
    }
  }
}

}  // namespace

output_file::output_file(std::string path)
    : path_(std::move(path)),
      name_(base_name(path_)),
      folder_(::open(folder_of(path_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      file_(folder_ ? open_in(folder_.get(), temporary_) : -1) {
  if (!file_) {
    fail();
  }
  // A name that is too long must not be found out only at the end.
  struct ::stat about{};
  if (::fstatat(folder_.get(), name_.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0 &&
      errno != ENOENT) {
    auto const reason = treesum::last_error();
    if (!temporary_.empty()) {
      ::unlinkat(folder_.get(), temporary_.c_str(), 0);  // no destructor runs after the exception
    }
    errno = reason.value();
    fail();
  }
}

output_file::~output_file() {
  if (!temporary_.empty()) {
    ::unlinkat(folder_.get(), temporary_.c_str(), 0);
  }
}

void output_file::fail() const {
  throw problem(treesum::path_error(path_, treesum::last_error()).what(), exit_error);
}

bool output_file::is_taken() const noexcept {
  struct ::stat about{};
  return ::fstatat(folder_.get(), name_.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
}

void output_file::be_like(struct ::stat const& other) const {
  ::mode_t mode = other.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
  // Permissions of a group must not go to another group.
  if (::fchown(file_.get(), static_cast<::uid_t>(-1), other.st_gid) != 0) {
    mode &= ~static_cast<::mode_t>(S_IRWXG);
  }
  std::array<::timespec, 2> const times{other.st_atim, other.st_mtim};
  if (::fchmod(file_.get(), mode) != 0 || ::futimens(file_.get(), times.data()) != 0) {
    fail();
  }
  // The owner comes last: the process may not change the mode of another user's file.
  [[maybe_unused]] int const given = ::fchown(file_.get(), other.st_uid, static_cast<::gid_t>(-1));
}

void output_file::sync() const {
  if (::fsync(file_.get()) != 0 && errno != EINVAL) {
    fail();
  }
}

void output_file::publish(bool replaces) {
  int const folder = folder_.get();
  if (temporary_.empty()) {
    std::string const place = place_of(file_.get());
    if (::linkat(AT_FDCWD, place.c_str(), folder, name_.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      return;
    }
    if (errno != EEXIST) {
      fail();
    }
    if (replaces) {
      // A link cannot replace a file, but a rename can. Removing the earlier file first would lose
      // it if the process is killed in between; this way, a kill here leaves a second name of the
      // whole output.
      std::string name = temporary_name();
      if (::linkat(AT_FDCWD, place.c_str(), folder, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
        fail();
      }
      temporary_ = std::move(name);
    }
  }
  if (!temporary_.empty()) {
    int const renamed =
        replaces ? ::renameat(folder, temporary_.c_str(), folder, name_.c_str())
                 : ::renameat2(folder, temporary_.c_str(), folder, name_.c_str(), RENAME_NOREPLACE);
    if (renamed == 0) {
      temporary_.clear();
      return;
    }
    // A file system without RENAME_NOREPLACE: link and remove the temporary name, in the
    // destructor.
    if (!replaces && errno == EINVAL &&
        ::linkat(folder, temporary_.c_str(), folder, name_.c_str(), 0) == 0) {
      return;
    }
    if (errno != EEXIST) {
      fail();
    }
  }
  throw already_exists(path_);
}

}  // namespace pgz
