// A pipeline by hand on the standard library: the calling thread reads, as many workers as oneTBB
// has threads are the parallel stage, and each stage in order has a thread of its own. A queue with
// a mutex lies before each stage, and puts the items in order.

#include "workload.hpp"

#include <algorithm>           // min
#include <condition_variable>  // condition_variable
#include <exception>           // current_exception, exception_ptr, rethrow_exception
#include <limits>              // numeric_limits
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <thread>              // jthread

namespace {

using pipeline::ending;

/// An item, and its place in the order of the source.
template <class Item>
struct numbered {
  std::size_t number;
  Item item;
};

/// The items that wait before a stage. Items come in any order, and leave it in the order of the
/// source. The source lets at most as many items into the pipeline as a queue has places, so no
/// thread but the source waits for room.
template <class Item>
class ordered_queue {
 public:
  explicit ordered_queue(std::size_t places) : places_(places) {}

  void push(numbered<Item>&& one) {
    bool is_next = false;
    {
      std::scoped_lock const lock(mutex_);
      is_next = one.number == next_;
      places_[one.number % places_.size()] = std::move(one.item);
    }
    if (is_next) filled_.notify_one();
  }

  /// Waits for the next item. Nothing: there will be none.
  std::optional<numbered<Item>> pop() {
    std::unique_lock lock(mutex_);
    auto const place = [this]() -> auto& { return places_[next_ % places_.size()]; };
    filled_.wait(lock, [&] { return place() || next_ >= end_; });
    if (next_ >= end_) return {};
    numbered<Item> one{next_, std::move(*place())};
    place().reset();
    ++next_;
    bool const was_last = next_ == end_;
    bool const another = place().has_value();
    lock.unlock();
    if (was_last) {
      filled_.notify_all();
    } else if (another) {
      filled_.notify_one();
    }
    return one;
  }

  /// No item from number `end` on will come. 0: the items in the queue are not wanted, either.
  void finish(std::size_t end) {
    {
      std::scoped_lock const lock(mutex_);
      end_ = std::min(end_, end);
    }
    filled_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::vector<std::optional<Item>> places_;
  std::size_t next_ = 0;
  std::size_t end_ = std::numeric_limits<std::size_t>::max();
};

/// How many items may be read, and the exception that ends the pipeline.
class bound {
 public:
  explicit bound(std::size_t slots) : free_(slots) {}

  /// Waits until another item may be read. False: the pipeline has failed.
  bool take() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [this] { return free_ != 0 || failure_; });
    if (failure_) return false;
    --free_;
    return true;
  }
  void give() {
    bool was_none = false;
    {
      std::scoped_lock const lock(mutex_);
      was_none = free_++ == 0;
    }
    if (was_none) freed_.notify_one();
  }

  void fail(std::exception_ptr failure) {
    {
      std::scoped_lock const lock(mutex_);
      if (!failure_) failure_ = std::move(failure);
    }
    freed_.notify_one();
  }
  std::exception_ptr failure() {
    std::scoped_lock const lock(mutex_);
    return failure_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  std::size_t free_;
  std::exception_ptr failure_;
};

template <class Item>
class by_hand {
 public:
  by_hand(std::size_t slots, std::size_t stages) : bound_(slots) {
    for (std::size_t i = 0; i < stages; ++i) {
      queues_.push_back(std::make_unique<ordered_queue<Item>>(slots));
    }
  }

  /// The next stage, which passes items on, called by `threads` threads.
  void then(auto& stage, unsigned threads) {
    auto& from = *queues_[started_++];
    auto& to = *queues_[started_];
    for (unsigned i = 0; i < threads; ++i) {
      start(from, [&](numbered<Item>&& one) { to.push({one.number, stage(std::move(one.item))}); });
    }
  }

  /// The last stage, called by one thread.
  void finally(auto& stage) {
    start(*queues_[started_], [&](numbered<Item>&& one) {
      stage(std::move(one.item));
      bound_.give();
    });
  }

  /// Reads everything, and waits. Throws what a stage has thrown.
  void run(auto& read) {
    std::size_t number = 0;
    while (bound_.take()) {
      auto one = read();
      if (!one) break;
      queues_.front()->push({number++, std::move(*one)});
    }
    finish(number);
    threads_.clear();
    if (auto const failure = bound_.failure()) std::rethrow_exception(failure);
  }

 private:
  void start(ordered_queue<Item>& from, auto f) {
    threads_.emplace_back([this, &from, f] {
      try {
        while (auto one = from.pop()) f(std::move(*one));
      } catch (...) {
        bound_.fail(std::current_exception());
        finish(0);
      }
    });
  }

  void finish(std::size_t end) {
    for (auto& queue : queues_) queue->finish(end);
  }

  bound bound_;
  std::vector<std::unique_ptr<ordered_queue<Item>>> queues_;
  std::size_t started_ = 0;
  std::vector<std::jthread> threads_;  // joined first
};

struct threads {
  static constexpr std::string_view name = "std_thread";
  static constexpr std::size_t fewer = 10;

  template <class Item>
  static ending three(std::size_t slots, auto& read, auto const& work, auto& write) {
    by_hand<Item> stages(slots, 2);
    stages.then(work, perf::threads());
    stages.finally(write);
    return run(stages, read);
  }

  template <class Item>
  static ending five(std::size_t slots, auto& read, auto& first, auto const& work, auto& second,
                     auto& write) {
    by_hand<Item> stages(slots, 4);
    stages.then(first, 1);
    stages.then(work, perf::threads());
    stages.then(second, 1);
    stages.finally(write);
    return run(stages, read);
  }

 private:
  static ending run(auto& stages, auto& read) {
    try {
      stages.run(read);
    } catch (pipeline::thrown const&) {
      return ending::thrown;
    }
    return ending::done;
  }
};

bool const enrolled = perf::enroll(pipeline::add_all<threads>);

}  // namespace
