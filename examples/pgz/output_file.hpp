#ifndef ERRGROUP_EXAMPLES_PGZ_OUTPUT_FILE_HPP
#define ERRGROUP_EXAMPLES_PGZ_OUTPUT_FILE_HPP

#include "../treesum/file_descriptor.hpp"

#include <sys/stat.h>  // stat

#include <string>  // string

namespace pgz {

/// An output that gets its name when the data are whole. Until then, an earlier file of the same
/// name stays unchanged, and the destructor leaves nothing behind.
///
/// The file has no name at all where the file system can make such a file (O_TMPFILE): then not
/// even SIGKILL leaves half a file. A file system without O_TMPFILE (NFS, FAT, some of FUSE) gets a
/// temporary name, `.pgz-` and 16 hexadecimal digits. The destructor removes that file, so an
/// error, SIGINT, SIGTERM and SIGHUP leave nothing. SIGKILL, a crash of the machine and a second
/// Ctrl-C leave the half file under its temporary name.
class output_file {
 public:
  /// Makes the file in the folder of `path`. Throws `problem`: no permission, no folder, a name
  /// that is too long.
  explicit output_file(std::string path);
  output_file(output_file const&) = delete;
  output_file& operator=(output_file const&) = delete;
  ~output_file();

  [[nodiscard]] std::string const& path() const noexcept { return path_; }
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

  /// True if a file of the final name exists.
  [[nodiscard]] bool is_taken() const noexcept;

  /// Takes over the permissions and the times of another file, and the owner if the process may
  /// give files away.
  void be_like(struct ::stat const& other) const;

  /// Waits until the data are on the disk. Some file systems tell only then that the disk is full.
  void sync() const;

  /// Gives the file its name. An existing file of that name makes way at the same moment if
  /// `replaces` is true; otherwise it stays, and `publish` throws `problem`.
  void publish(bool replaces);

 private:
  [[noreturn]] void fail() const;

  std::string path_;
  std::string name_;  // without the folder
  treesum::file_descriptor folder_;
  std::string temporary_;  // the name in folder_; empty while there is none
  treesum::file_descriptor file_;
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_OUTPUT_FILE_HPP
