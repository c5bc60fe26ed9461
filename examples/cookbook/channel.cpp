// docs/cookbook.md: A bounded channel between tasks.

#include <errgroup/errgroup.hpp>

#include <atomic>              // atomic
#include <condition_variable>  // condition_variable_any
#include <cstddef>             // size_t
#include <deque>               // deque
#include <iostream>            // cerr, cout
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <optional>            // nullopt, optional
#include <stop_token>          // stop_token
#include <utility>             // move

/// Hands items from tasks to other tasks, at most `capacity` at a time.
template <class T>
class channel {
 public:
  explicit channel(std::size_t capacity) : capacity_(capacity) {}

  /// Waits for room. False if the channel was closed, or `stop` was requested.
  bool push(T item, std::stop_token stop) {
    std::unique_lock held(lock_);
    auto const may_go_on = [this] { return is_closed_ || items_.size() < capacity_; };
    if (!changed_.wait(held, std::move(stop), may_go_on) || is_closed_) {
      return false;
    }
    items_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }

  /// Waits for an item. Empty if the channel is closed and empty, or `stop` was requested.
  std::optional<T> pop(std::stop_token stop) {
    std::unique_lock held(lock_);
    auto const may_go_on = [this] { return is_closed_ || !items_.empty(); };
    if (!changed_.wait(held, std::move(stop), may_go_on) || items_.empty()) {
      return std::nullopt;
    }
    std::optional<T> item = std::move(items_.front());
    items_.pop_front();
    changed_.notify_all();
    return item;
  }

  /// No more items come.
  void close() {
    std::scoped_lock const held(lock_);
    is_closed_ = true;
    changed_.notify_all();
  }

 private:
  std::size_t capacity_;
  std::mutex lock_;
  std::condition_variable_any changed_;
  std::deque<T> items_;
  bool is_closed_ = false;
};

int main() {
  constexpr int workers = 4;
  channel<int> numbers(4);
  channel<long> squares(4);
  std::atomic<int> at_work = workers;
  long sum = 0;
  errgroup::group g{{.limit = 1 + workers + 1, .name = "channel", .blocking = true}};
  g.run("producer", [&](std::stop_token stop) {
    for (int i = 1; i <= 1000 && numbers.push(i, stop); ++i) {
    }
    numbers.close();
  });
  for (int i = 0; i != workers; ++i) {
    g.run("worker", [&](std::stop_token stop) {
      while (auto number = numbers.pop(stop)) {
        squares.push(long{*number} * *number, stop);
      }
      if (--at_work == 0) {
        squares.close();  // the last worker, as `wg.Wait(); close(squares)` in Go
      }
    });
  }
  g.run("consumer", [&](std::stop_token stop) {
    while (auto square = squares.pop(stop)) {
      sum += *square;
    }
  });
  if (auto err = g.wait()) {
    std::cerr << err << '\n';
    return 1;
  }
  std::cout << "the sum of the squares is " << sum << '\n';
}
