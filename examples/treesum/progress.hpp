#ifndef ERRGROUP_EXAMPLES_TREESUM_PROGRESS_HPP
#define ERRGROUP_EXAMPLES_TREESUM_PROGRESS_HPP

#include <atomic>              // atomic
#include <chrono>              // steady_clock
#include <condition_variable>  // condition_variable_any
#include <cstdint>             // uint64_t
#include <mutex>               // mutex, scoped_lock
#include <string>              // string
#include <string_view>         // string_view
#include <thread>              // jthread

namespace treesum {

/// "1 file", "2 files".
[[nodiscard]] std::string number_of_files(std::uint64_t n);

/// What has been done so far, and a line about it on standard error, rewritten ten times a
/// second: files, bytes, rate. Only where standard error is a terminal; elsewhere there is no
/// line, and no thread that would write one.
///
/// `add_bytes`, `add_file`, `say` and `aside` may be called from any thread.
class progress {
 public:
  progress();
  ~progress();  // a last line, which stays

  void add_bytes(std::uint64_t n) noexcept { bytes_.fetch_add(n, std::memory_order_relaxed); }
  void add_file() noexcept { files_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t files() const noexcept { return files_; }

  /// Writes `treesum: MESSAGE` and a newline to standard error, in one piece.
  void say(std::string_view message);

  /// Calls `write`, which writes to a stream that may be the same terminal, with the progress line
  /// out of its way.
  template <class Write>
  void aside(Write&& write) {
    std::scoped_lock const lock(writing_);
    erase();
    write();
  }

 private:
  void show();   // with writing_ held
  void erase();  // with writing_ held

  std::atomic<std::uint64_t> bytes_ = 0;
  std::atomic<std::uint64_t> files_ = 0;
  std::chrono::steady_clock::time_point const began_ = std::chrono::steady_clock::now();
  std::mutex writing_;
  bool visible_ = false;
  std::condition_variable_any leaving_;
  std::jthread ticker_;  // the last member: it uses the others
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_PROGRESS_HPP
