// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "slots.hpp"

#include <condition_variable>  // condition_variable
#include <cstddef>             // size_t
#include <memory>              // make_unique
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <thread>              // thread
#include <utility>             // exchange
#include <vector>              // vector

namespace errgroup::inline v1::detail {

namespace {

/// Threads that sleep until a request comes, answer it, and sleep again.
///
/// A queue has at most one open request, so there is room for one. If it comes while all threads
/// have sessions, the first thread whose session is over takes it.
class own_threads final : public thread_source {
 public:
  using answer = void (*)(queue_life const&) noexcept;

  /// Starts `n` threads, or none. Throws `std::bad_alloc` and `std::system_error`.
  own_threads(int n, answer how) : answer_(how) {
    try {
      raise_to(n);
    } catch (...) {
      end();
      throw;
    }
  }
  own_threads(own_threads const&) = delete;
  own_threads& operator=(own_threads const&) = delete;
  ~own_threads() override { end(); }

  void call(queue_life const& life) noexcept override {
    std::scoped_lock const held(lock_);
    request_ = life;
    // Notify under the lock: when the lock is free, a thread may run the group's last task, and
    // this object may be destroyed.
    changed_.notify_one();
  }
  void raise_to(int n) override {
    all_.reserve(static_cast<std::size_t>(n));
    while (all_.size() < static_cast<std::size_t>(n)) {
      all_.emplace_back([this] { serve(); });
    }
  }

 private:
  void serve() noexcept {
    std::unique_lock held(lock_);
    for (;;) {
      changed_.wait(held, [this] { return is_over_ || request_.of != nullptr; });
      if (is_over_) {
        return;
      }
      queue_life const life = std::exchange(request_, {});
      held.unlock();
      answer_(life);
      held.lock();
    }
  }

  void end() noexcept {
    {
      std::scoped_lock const held(lock_);
      is_over_ = true;
      changed_.notify_all();
    }
    for (std::thread& t : all_) {
      t.join();
    }
  }

  answer answer_;
  std::mutex lock_;
  std::condition_variable changed_;
  queue_life request_;  // `of` is null: none
  bool is_over_ = false;
  std::vector<std::thread> all_;
};

}  // namespace

// The threads start here, and not when a task needs them: so a missing thread is an exception of
// the constructor, and not a hang.
void group_core::start_threads(int n) {
  extras_->places.use(std::make_unique<own_threads>(n, &group_core::answer).release());
}

}  // namespace errgroup::inline v1::detail
