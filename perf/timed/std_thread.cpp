// A thread per timer, which sleeps until it is due or all are dropped.

#include "workload.hpp"

#include <condition_variable>  // condition_variable
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <thread>              // thread

namespace {

class threads {
 public:
  static constexpr std::string_view name = "std_thread";
  static constexpr std::size_t most = 1'000;
  static constexpr std::size_t most_fired = 1'000;

  template <class F>
  void at(timed::clock::time_point due, F f) {
    threads_.emplace_back([this, due, f] {
      {
        std::unique_lock lock(mutex_);
        if (stop_.wait_until(lock, due, [this] { return stopped_; })) {
          ++dropped_;
          return;
        }
      }
      f();
    });
  }

  bool wait() {
    for (auto& thread : threads_) thread.join();
    return dropped_ == 0;
  }

  std::size_t drop() {
    {
      std::scoped_lock const lock(mutex_);
      stopped_ = true;
    }
    stop_.notify_all();
    wait();
    return dropped_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  std::size_t dropped_ = 0;
  std::vector<std::thread> threads_;
};

bool const enrolled = perf::enroll(timed::add_all<threads>);

}  // namespace
