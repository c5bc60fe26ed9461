// The algorithm of Go's github.com/mdlayher/schedgroup, on the standard library: what someone
// writes who wants that package and has std::thread.
//
// As there: one mutex; one binary heap by due time, of time and callable; one thread (there a
// goroutine) that takes what is due from the heap, starts a thread for each such task without
// waiting for it, sleeps until the next is due, and is woken by every insertion, be it for later
// than that; a wait group for what was started; a wait that returns when the heap is empty and all
// tasks have returned; a cancellation that forgets what is in the heap.
//
// Unlike there, a thread costs many times what a goroutine does, which is why it fires fewer
// tasks; inserting and dropping have nothing to do with that.

#include "../support/std_errgroup.hpp"
#include "workload.hpp"

#include <algorithm>           // pop_heap, push_heap
#include <condition_variable>  // condition_variable
#include <functional>          // function
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <thread>              // thread
#include <utility>             // move

namespace {

class schedgroup {
 public:
  static constexpr std::string_view name = "schedgroup";
  static constexpr std::size_t most = 1'000'000;
  static constexpr std::size_t most_fired = 10'000;

  schedgroup() : monitor_([this] { monitor(); }) {}

  void at(timed::clock::time_point due, std::function<void()> call) {
    std::scoped_lock const lock(mutex_);
    heap_.push_back({due, std::move(call)});
    std::push_heap(heap_.begin(), heap_.end());
    added_.notify_one();
  }

  bool wait() {
    {
      std::unique_lock lock(mutex_);
      emptied_.wait(lock, [this] { return heap_.empty(); });
      cancelled_ = true;
    }
    added_.notify_one();
    monitor_.join();
    running_.wait();
    return true;
  }

  std::size_t drop() {
    {
      std::scoped_lock const lock(mutex_);
      cancelled_ = true;
    }
    added_.notify_one();
    monitor_.join();
    running_.wait();
    std::size_t const dropped = heap_.size();
    heap_.clear();
    return dropped;
  }

 private:
  struct task {
    timed::clock::time_point due;
    std::function<void()> call;

    friend bool operator<(task const& a, task const& b) { return a.due > b.due; }
  };

  void monitor() {
    std::unique_lock lock(mutex_);
    while (!cancelled_) {
      trigger(timed::clock::now());
      if (heap_.empty()) {
        emptied_.notify_one();
        added_.wait(lock);
      } else {
        added_.wait_until(lock, heap_.front().due);
      }
    }
  }

  void trigger(timed::clock::time_point now) {
    while (!heap_.empty() && heap_.front().due <= now) {
      std::pop_heap(heap_.begin(), heap_.end());
      running_.add();
      std::thread([this, call = std::move(heap_.back().call)] {
        call();
        running_.done();
      }).detach();
      heap_.pop_back();
    }
  }

  std::mutex mutex_;
  std::vector<task> heap_;
  bool cancelled_ = false;
  std::condition_variable added_;
  std::condition_variable emptied_;
  perf::go::wait_group running_;
  std::thread monitor_;  // the last member: it uses the others
};

bool const enrolled = perf::enroll(timed::add_all<schedgroup>);

}  // namespace
