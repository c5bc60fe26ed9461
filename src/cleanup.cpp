// SPDX-License-Identifier: Apache-2.0
#include "cleanup.hpp"

#include <chrono>              // milliseconds, steady_clock
#include <condition_variable>  // condition_variable
#include <cstddef>             // size_t
#include <cstdint>             // uint64_t
#include <mutex>               // mutex, unique_lock
#include <new>                 // bad_alloc
#include <system_error>        // system_error
#include <thread>              // thread
#include <utility>             // exchange

namespace errgroup::inline v1::detail {

namespace {

// An idle thread stays for this time: starting a thread takes some 50 us.
constexpr std::chrono::milliseconds lingers{100};
// If no thread takes a cleanup for this time, while some wait, another thread is needed.
constexpr std::chrono::milliseconds stuck_after{1};

}  // namespace

// `lock` guards everything. It is the innermost lock.
//
// While a cleanup waits, either a thread is about to take it, or the timer's thread looks at the
// queue every 0.25 ms. Only the timer's thread adds to the queue while all cleanup threads run user
// code: a cleanup thread adds between two cleanups, and takes the next cleanup itself.
struct cleanup_threads {
  std::mutex lock;
  std::condition_variable came;
  cleanup* first = nullptr;
  cleanup* last = nullptr;
  std::size_t threads = 0;  // started, and not ended
  std::size_t idle = 0;     // threads that wait for a cleanup
  bool starting = false;    // a started thread has not begun yet
  std::uint64_t taken = 0;  // cleanups that threads have taken so far
  // For the timer's thread: `taken` when it last looked, and the time of the last change.
  std::uint64_t seen_taken = 0;
  std::chrono::steady_clock::time_point seen_at{};

  static cleanup_threads& the() {
    static cleanup_threads& instance = *new cleanup_threads;  // threads outlive static destructors
    return instance;
  }

  void push(cleanup& c) noexcept {
    c.waits_ = true;
    (first == nullptr ? first : last->next_) = &c;
    last = &c;
  }

  void run_next(std::unique_lock<std::mutex>& held) noexcept {
    cleanup& c = *std::exchange(first, first->next_);
    c.next_ = nullptr;
    c.waits_ = false;
    ++taken;
    held.unlock();
    c.clean_(c);
    held.lock();
  }

  /// Under the lock. False if the system has no thread.
  bool start(std::unique_lock<std::mutex>& held) noexcept {
    ++threads;
    starting = true;
    held.unlock();
    bool started = true;
    try {
      std::thread([this] { serve(); }).detach();
    } catch (std::system_error const&) {
      started = false;
    } catch (std::bad_alloc const&) {
      started = false;
    }
    held.lock();
    if (!started) {
      --threads;
      starting = false;
    }
    return started;
  }

  void serve() noexcept {
    std::unique_lock held(lock);
    starting = false;
    for (bool stays = true; stays;) {
      while (first != nullptr) {
        run_next(held);
      }
      stays = idle == 0;  // one thread is enough to wait for the next cleanup
      if (stays) {
        ++idle;
        stays = came.wait_for(held, lingers, [&] { return first != nullptr; });
        --idle;
      }
    }
    --threads;
  }
};

void cleanup::hand_over() noexcept {
  cleanup_threads& t = cleanup_threads::the();
  std::unique_lock held(t.lock);
  if (waits_) {
    return;
  }
  t.push(*this);
  if (t.idle != 0) {
    t.came.notify_one();
  } else if (t.threads == 0 && !t.start(held)) {
    // Late alarms for other groups are better than no cleanup for this group.
    while (t.first != nullptr) {
      t.run_next(held);
    }
  }
}

bool cleanup_waits() noexcept {
  cleanup_threads& t = cleanup_threads::the();
  std::unique_lock const held(t.lock);
  return t.first != nullptr;
}

bool needs_cleanup_thread(std::chrono::steady_clock::time_point now) noexcept {
  cleanup_threads& t = cleanup_threads::the();
  std::unique_lock const held(t.lock);
  if (t.first == nullptr || t.starting || t.idle != 0 || t.taken != t.seen_taken) {
    t.seen_taken = t.taken;
    t.seen_at = now;
    return false;
  }
  bool const is_stuck = now - t.seen_at >= stuck_after;
  if (is_stuck) {
    t.seen_at = now;  // if no thread can be started, try again after the same time
  }
  return is_stuck;
}

void start_cleanup_thread() noexcept {
  cleanup_threads& t = cleanup_threads::the();
  std::unique_lock held(t.lock);
  (void)t.start(held);
}

}  // namespace errgroup::inline v1::detail
