#ifndef ERRGROUP_EXAMPLES_TREESUM_TREE_WALK_HPP
#define ERRGROUP_EXAMPLES_TREESUM_TREE_WALK_HPP

#include <sys/types.h>  // dev_t, ino_t

#include <optional>  // optional
#include <string>    // string
#include <vector>    // vector

namespace treesum {

/// Which file it is, whatever its name.
struct file_id {
  dev_t device;
  ino_t inode;
  friend bool operator==(file_id const&, file_id const&) = default;
};

/// The id of a regular file that is open, or nothing.
[[nodiscard]] std::optional<file_id> regular_file_id(int fd) noexcept;

/// The regular files of a tree, one by one, in the same order every time.
///
/// Depth first, the names of each directory in the order of their bytes. The root may be a file,
/// a directory or a link to either. Below it links, sockets, pipes and devices are left out, as
/// `find ROOT -type f` does; with `follow_links`, links are followed to what they name, and a
/// directory that holds itself is told instead of walked for ever.
///
/// A directory is listed whole and closed before the walk goes on: the walk holds one open file
/// while `next` runs, none in between, and the names of the directories it is in.
class tree_walk {
 public:
  /// `left_out` is passed over: the list that is just being written into the tree.
  tree_walk(std::string root, bool follow_links, std::optional<file_id> left_out);

  /// The path of the next file, or nothing at the end.
  ///
  /// Throws `path_error` for what cannot be looked at; the next call goes on behind it.
  [[nodiscard]] std::optional<std::string> next();

 private:
  struct entry {
    std::string name;
    unsigned char type;  // as readdir tells it: DT_REG, DT_DIR, ...
    ino_t inode;
  };
  struct level {
    std::string prefix;          // the directory, with a slash at the end
    file_id id;                  // known only when links are followed
    std::vector<entry> entries;  // still to do, the next one last
  };

  void descend(std::string const& directory);
  [[nodiscard]] bool is_left_out(entry const& e, std::string const& path) const;

  std::string root_;
  bool follow_links_;
  std::optional<file_id> left_out_;
  bool started_ = false;
  std::vector<level> levels_;
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_TREE_WALK_HPP
