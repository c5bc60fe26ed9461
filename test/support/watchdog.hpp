// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_WATCHDOG_HPP
#define ERRGROUP_TEST_SUPPORT_WATCHDOG_HPP

#include "support/gate.hpp"

#include <condition_variable>  // condition_variable
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <thread>              // thread

namespace support {

/// Ends the program, with a word, if it lives for too long: for a hang inside the library, where no
/// gate of the test can see it.
class watchdog {
 public:
  /// `what` says what did not come to its end. Best written first in a test: it goes last.
  explicit watchdog(char const* what) : thread_([this, what] { watch(what); }) {}
  watchdog(watchdog const&) = delete;
  watchdog& operator=(watchdog const&) = delete;
  ~watchdog() {
    {
      std::scoped_lock guard(mutex_);
      over_ = true;
      ended_.notify_all();
    }
    thread_.join();
  }

 private:
  void watch(char const* what) {
    std::unique_lock lock(mutex_);
    if (!ended_.wait_for(lock, patience, [this] { return over_; })) {
      give_up(what);
    }
  }

  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_WATCHDOG_HPP
