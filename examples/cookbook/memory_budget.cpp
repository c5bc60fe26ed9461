// docs/cookbook.md: A memory budget.

#include <errgroup/errgroup.hpp>

#include <algorithm>  // min
#include <array>      // array
#include <atomic>     // atomic
#include <cstddef>    // size_t
#include <cstdint>    // int64_t
#include <iostream>   // cout
#include <string>     // string
#include <vector>     // vector

struct file {
  std::string name;
  std::int64_t megabytes;
};

/// How much memory is in use, and the most that ever was.
class meter {
 public:
  void add(std::int64_t megabytes) {
    std::int64_t const now = now_ += megabytes;
    std::int64_t most = most_;
    while (most < now && !most_.compare_exchange_weak(most, now)) {
    }
  }
  std::int64_t most() const { return most_; }

 private:
  std::atomic<std::int64_t> now_ = 0;
  std::atomic<std::int64_t> most_ = 0;
};

/// Holds a file in memory while it works on it.
void convert(file const& f, meter& memory) {
  memory.add(f.megabytes);
  // … read the file, and convert it …
  memory.add(-f.megabytes);
}

/// Submits a task for each file. The task takes as many places as its file has megabytes.
void submit(errgroup::group& g, errgroup::limiter const& budget, std::vector<file> const& files,
            meter& memory) {
  for (file const& f : files) {
    g.run({.name = f.name, .weight = std::min(f.megabytes, budget.capacity())},
          [&f, &memory] { convert(f, memory); });
  }
}

int main() {
  std::vector<file> const pictures(20, {"picture", 5});
  std::vector<file> const films = {{"short", 30}, {"long", 60}, {"longer", 50}};

  meter memory;
  errgroup::limiter megabytes(64);  // before the groups
  errgroup::group small{{.name = "pictures", .limiter = &megabytes}};
  errgroup::group large{{.limit = 2, .name = "films", .limiter = &megabytes}};
  submit(small, megabytes, pictures, memory);
  submit(large, megabytes, films, memory);
  std::array<errgroup::error, 2> const ends = {small.wait(), large.wait()};
  std::cout << "pictures: " << ends[0] << "\nfilms: " << ends[1] << '\n';
  std::cout << (memory.most() <= 64 ? "never more than 64 MB\n" : "too much memory\n");
}
