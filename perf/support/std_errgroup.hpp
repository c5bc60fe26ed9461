#ifndef ERRGROUP_PERF_SUPPORT_STD_ERRGROUP_HPP
#define ERRGROUP_PERF_SUPPORT_STD_ERRGROUP_HPP

#include <condition_variable>  // condition_variable
#include <cstddef>             // ptrdiff_t, size_t
#include <memory>              // unique_ptr
#include <mutex>               // call_once, mutex, once_flag, scoped_lock, unique_lock
#include <semaphore>           // counting_semaphore
#include <stdexcept>           // logic_error
#include <stop_token>          // stop_source, stop_token
#include <system_error>        // error_code
#include <thread>              // thread
#include <utility>             // forward, move

namespace perf::go {

/// Go's sync.WaitGroup.
class wait_group {
 public:
  void add() {
    std::scoped_lock const lock(mutex_);
    ++count_;
  }

  void done() {
    // Notify under the lock: the waiter may destroy this object as soon as it has the lock, and
    // it cannot have it before we let go, which is the last we do here.
    std::scoped_lock const lock(mutex_);
    if (--count_ == 0) zero_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    zero_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable zero_;
  std::size_t count_ = 0;
};

/// golang.org/x/sync/errgroup, line by line, on the standard library: what someone writes who
/// wants Go's errgroup and has std::thread.
///
/// A thread per task, which nobody joins one by one; a semaphore for the limit, on which `go`
/// blocks; the first error by once; and a stop where Go's WithContext has a cancelled context.
/// As there, a stop skips nothing: a task that does not ask runs. As there, nobody catches what
/// a task throws: it ends the process, like a panic.
class group {
 public:
  /// Go's zero Group: an error stops nobody.
  group() = default;

  /// Go's WithContext: the first error, or else the return of `wait`, stops `context`.
  explicit group(std::stop_source context) : cancel_(std::move(context)) {}

  group(group const&) = delete;
  group& operator=(group const&) = delete;

  /// At most `n` tasks run at once; negative: no limit. Throws while tasks run under a limit.
  void set_limit(std::ptrdiff_t n) {
    for (std::ptrdiff_t held = 0; slots_ != nullptr && held < limit_; ++held) {
      if (slots_->try_acquire()) continue;
      slots_->release(held);
      throw std::logic_error("errgroup: modify limit while tasks in the group are still active");
    }
    slots_ = n < 0 ? nullptr : std::make_unique<std::counting_semaphore<>>(n);
    limit_ = n;
  }

  /// Runs `f`, which returns a std::error_code, on a new thread. Blocks until the limit has room.
  template <class F>
  void go(F&& f) {
    if (slots_ != nullptr) slots_->acquire();
    start(std::forward<F>(f));
  }

  /// The same, or false where `go` would block.
  template <class F>
  [[nodiscard]] bool try_go(F&& f) {
    if (slots_ != nullptr && !slots_->try_acquire()) return false;
    start(std::forward<F>(f));
    return true;
  }

  /// Blocks until all tasks have returned; the first error.
  std::error_code wait() {
    tasks_.wait();
    cancel_.request_stop();
    return error_;
  }

 private:
  template <class F>
  void start(F&& f) {
    tasks_.add();
    try {
      std::thread([this, f = std::forward<F>(f)]() mutable {
        if (std::error_code const error = f()) {
          std::call_once(error_once_, [&] {
            error_ = error;
            cancel_.request_stop();
          });
        }
        done();
      }).detach();
    } catch (...) {
      done();
      throw;
    }
  }

  void done() {
    if (slots_ != nullptr) slots_->release();
    tasks_.done();
  }

  std::stop_source cancel_{std::nostopstate};
  wait_group tasks_;
  std::unique_ptr<std::counting_semaphore<>> slots_;
  std::ptrdiff_t limit_ = -1;
  std::once_flag error_once_;
  std::error_code error_;
};

}  // namespace perf::go

#endif
