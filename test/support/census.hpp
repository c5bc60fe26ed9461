// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_CENSUS_HPP
#define ERRGROUP_TEST_SUPPORT_CENSUS_HPP

// How many tasks, or threads, there are inside of something at once, and the most there have been.

#include <errgroup/group.hpp>

#include <tbb/task_group.h>  // task_group

#include <atomic>   // atomic
#include <thread>   // yield
#include <utility>  // exchange, forward

namespace support {

/// A count that remembers its maximum.
class highest {
 public:
  void up() noexcept {
    int const n = ++now_;
    for (int m = most_.load(); m < n && !most_.compare_exchange_weak(m, n);) {
    }
  }
  void down() noexcept { --now_; }

  [[nodiscard]] int now() const noexcept { return now_.load(); }
  [[nodiscard]] int most() const noexcept { return most_.load(); }

 private:
  std::atomic<int> now_{0};
  std::atomic<int> most_{0};
};

/// Counts tasks that are started and unfinished. A task that its submitter runs itself, inside
/// `submit`, shares the submitter's place.
class task_census {
 public:
  class presence {
   public:
    explicit presence(task_census& c) noexcept
        : census_(c), shares_(std::exchange(submitting, false)) {
      if (!shares_) {
        census_.tasks_.up();
      }
    }
    presence(presence const&) = delete;
    presence& operator=(presence const&) = delete;
    ~presence() {
      if (!shares_) {
        census_.tasks_.down();
      }
      submitting = shares_;
    }

   private:
    task_census& census_;
    bool shares_;
  };

  /// From inside a task: g.run(f).
  template <class F>
  static void submit(errgroup::group& g, F&& f) {
    bool const before = std::exchange(submitting, true);
    g.run(std::forward<F>(f));
    submitting = before;
  }

  [[nodiscard]] int most() const noexcept { return tasks_.most(); }

 private:
  static inline constinit thread_local bool submitting = false;

  highest tasks_;
};

/// Counts threads: one that is inside twice is one.
class thread_census {
 public:
  class presence {
   public:
    explicit presence(thread_census& c) noexcept : census_(c) {
      if (depth++ == 0) {
        census_.threads_.up();
      }
    }
    presence(presence const&) = delete;
    presence& operator=(presence const&) = delete;
    ~presence() {
      if (--depth == 0) {
        census_.threads_.down();
      }
    }

   private:
    thread_census& census_;
  };

  [[nodiscard]] int most() const noexcept { return threads_.most(); }

 private:
  static inline constinit thread_local int depth = 0;  // one census at a time

  highest threads_;
};

/// Gives other threads every opportunity to do what they must not: yields a while.
inline void dawdle(int times = 20) {
  for (int i = 0; i != times; ++i) {
    std::this_thread::yield();
  }
}

/// Sees other work pass by: all of oneTBB's threads that have nothing else to do have been at it.
inline void let_others_work() {
  tbb::task_group others;
  for (int i = 0; i != 400; ++i) {
    others.run([] { dawdle(2); });
  }
  others.wait();
}

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_CENSUS_HPP
