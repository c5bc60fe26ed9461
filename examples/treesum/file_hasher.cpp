#include "file_hasher.hpp"

#include "file_descriptor.hpp"
#include "path_error.hpp"

#include <fcntl.h>     // open
#include <sys/stat.h>  // fstat
#include <unistd.h>    // read

#include <cerrno>   // errno
#include <cstdint>  // uint64_t

namespace treesum {
namespace {

// Small enough to be still in the second-level cache when it is hashed; larger ones were not
// faster, 32 KiB was slower.
constexpr std::size_t block_size = std::size_t{128} * 1024;

}  // namespace

file_hasher::file_hasher(progress& done)
    : done_(done), block_(std::make_unique_for_overwrite<std::byte[]>(block_size)) {}

std::optional<digest> file_hasher::sum(std::string const& path, std::stop_token const& stop) {
  // Non-blocking makes no difference to a regular file. But what was one when the tree was walked
  // may be a pipe by now, and opening that would wait for somebody to write.
  file_descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) {
    throw path_error(path, last_error());
  }
  struct ::stat about{};
  if (::fstat(file.get(), &about) != 0) {
    throw path_error(path, last_error());
  }
  if (!S_ISREG(about.st_mode)) {
    throw path_error(path, S_ISDIR(about.st_mode) ? "is a directory" : "not a regular file");
  }

  sha256_.start();
  std::uint64_t total = 0;
  while (!stop.stop_requested()) {
    auto const n = ::read(file.get(), block_.get(), block_size);
    if (n < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw path_error(path, last_error());
    }
    auto const size = static_cast<std::size_t>(n);
    sha256_.update({block_.get(), size});
    done_.add_bytes(size);
    total += size;
    // A short read at the expected end is the end, which saves a small file a system call. Only
    // there: files in /proc say they are empty, and give what they hold in short reads.
    if (size == 0 || (size < block_size && total == static_cast<std::uint64_t>(about.st_size))) {
      done_.add_file();
      return sha256_.finish();
    }
  }
  return std::nullopt;
}

}  // namespace treesum
