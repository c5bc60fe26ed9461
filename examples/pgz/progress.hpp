#ifndef ERRGROUP_EXAMPLES_PGZ_PROGRESS_HPP
#define ERRGROUP_EXAMPLES_PGZ_PROGRESS_HPP

#include <atomic>              // atomic
#include <chrono>              // steady_clock
#include <condition_variable>  // condition_variable_any
#include <cstdint>             // uint64_t
#include <mutex>               // mutex
#include <stop_token>          // stop_token
#include <string>              // string
#include <string_view>         // string_view
#include <thread>              // jthread

namespace pgz {

/// A line on standard error about the file in work, rewritten ten times a second and erased at the
/// end. Only where standard error is a terminal; elsewhere there is no line, and no thread.
///
///     big: 45 %, 1.20 GB, 301 MB/s
///
/// `add` may be called from any thread.
class progress {
 public:
  /// `total` is the size of the input; 0 if the size is not known.
  progress(std::string_view name, std::uint64_t total);

  void add(std::uint64_t bytes) noexcept { bytes_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  void show() const;
  void show_until(std::stop_token const& stop);

  std::string const name_;
  std::uint64_t const total_;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::chrono::steady_clock::time_point const began_ = std::chrono::steady_clock::now();
  std::mutex sleeping_;
  std::condition_variable_any leaving_;
  std::jthread ticker_;  // the last member: it uses the others
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_PROGRESS_HPP
