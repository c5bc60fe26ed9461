// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_GATE_HPP
#define ERRGROUP_TEST_SUPPORT_GATE_HPP

// Things that force an interleaving: what a test waits for has happened, whatever the machine's
// speed. A wait that would hang for ever ends the program instead, and says what did not happen.

#include <chrono>              // seconds, steady_clock
#include <condition_variable>  // condition_variable
#include <cstdio>              // fprintf
#include <cstdlib>             // abort
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <thread>              // yield

namespace support {

/// A wait of a test that takes longer has failed, also on one CPU, under a sanitizer and on a busy
/// machine. On a busy machine each `yield` of a test may cost a time slice of every other program.
inline constexpr std::chrono::seconds patience{110};

[[noreturn]] inline void give_up(char const* what) {
  std::fprintf(stderr, "the test has waited %d seconds for this, in vain: %s\n",
               static_cast<int>(patience.count()), what);
  std::abort();
}

/// Closed until somebody opens it, for good.
///
/// What happened before `open` is visible after `wait`.
class gate {
 public:
  /// `name` says what has happened when it is open; a wait in vain prints it.
  explicit gate(char const* name = "a gate to open") : name_(name) {}

  void open() {
    std::scoped_lock guard(mutex_);
    open_ = true;
    // Under the lock: who is woken may destroy the gate.
    opened_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    if (!opened_.wait_for(lock, patience, [this] { return open_; })) {
      give_up(name_);
    }
  }

  [[nodiscard]] bool is_open() {
    std::scoped_lock guard(mutex_);
    return open_;
  }

 private:
  char const* name_;
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

/// Opens a gate when it goes, so that a test that fails half-way does not wait for it.
class opens_at_end {
 public:
  explicit opens_at_end(gate& g) : gate_(g) {}
  opens_at_end(opens_at_end const&) = delete;
  opens_at_end& operator=(opens_at_end const&) = delete;
  ~opens_at_end() { gate_.open(); }

 private:
  gate& gate_;
};

/// Where `n` threads meet, once: nobody leaves before all have come.
class rendezvous {
 public:
  explicit rendezvous(int n, char const* name = "all to meet") : missing_(n), name_(name) {}

  void arrive_and_wait() {
    std::unique_lock lock(mutex_);
    if (--missing_ <= 0) {
      met_.notify_all();
      return;
    }
    if (!met_.wait_for(lock, patience, [this] { return missing_ <= 0; })) {
      give_up(name_);
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable met_;
  int missing_;
  char const* name_;
};

/// Waits for what is sure to come, but does not say when.
template <class Condition>
void await(Condition condition, char const* what) {
  auto const end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      give_up(what);
    }
    std::this_thread::yield();
  }
}

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_GATE_HPP
