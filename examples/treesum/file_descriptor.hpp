#ifndef ERRGROUP_EXAMPLES_TREESUM_FILE_DESCRIPTOR_HPP
#define ERRGROUP_EXAMPLES_TREESUM_FILE_DESCRIPTOR_HPP

#include <unistd.h>  // close

namespace treesum {

/// An open file, closed at the end of its scope. Holds -1 where there is none.
class file_descriptor {
 public:
  explicit file_descriptor(int number) noexcept : number_(number) {}
  file_descriptor(file_descriptor const&) = delete;
  file_descriptor& operator=(file_descriptor const&) = delete;
  ~file_descriptor() {
    if (number_ >= 0) {
      ::close(number_);
    }
  }

  [[nodiscard]] int get() const noexcept { return number_; }
  explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_;
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_FILE_DESCRIPTOR_HPP
