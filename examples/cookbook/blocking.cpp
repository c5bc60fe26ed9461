// docs/cookbook.md: Tasks that block.

#include <errgroup/errgroup.hpp>

#include <tbb/global_control.h>  // global_control

#include <chrono>              // operator""ms
#include <condition_variable>  // condition_variable_any
#include <iostream>            // cout
#include <mutex>               // mutex, unique_lock
#include <stop_token>          // stop_token
#include <utility>             // move

/// Two tasks meet here: each waits until the other has come.
class meeting {
 public:
  /// False if the other task did not come before `stop` was requested.
  bool come(std::stop_token stop) {
    std::unique_lock held(lock_);
    ++present_;
    changed_.notify_all();
    return changed_.wait(held, std::move(stop), [this] { return present_ == 2; });
  }

 private:
  std::mutex lock_;
  std::condition_variable_any changed_;
  int present_ = 0;
};

errgroup::error meet(errgroup::options const& opts) {
  meeting place;
  errgroup::group g(opts);
  for (int i = 0; i != 2; ++i) {
    g.run([&place](std::stop_token stop) {
      return place.come(stop) ? errgroup::error() : errgroup::errc::canceled;
    });
  }
  return g.wait();
}

int main() {
  using namespace std::chrono_literals;
  // As on a machine with one CPU.
  tbb::global_control const allowed(tbb::global_control::max_allowed_parallelism, 1);
  std::cout << "one thread: " << meet({.timeout = 500ms}) << '\n';
  std::cout << "a thread for each: " << meet({.limit = 2, .blocking = true}) << '\n';
}
