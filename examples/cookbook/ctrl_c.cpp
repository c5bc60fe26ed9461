// docs/cookbook.md: Ctrl-C.

#include <errgroup/errgroup.hpp>

#include <unistd.h>  // _exit

#include <atomic>      // atomic
#include <csignal>     // pthread_kill, pthread_sigmask, sigaddset, sigemptyset, sigset_t, sigwait
#include <iostream>    // cout
#include <stop_token>  // stop_source, stop_token
#include <thread>      // thread

/// Turns Ctrl-C (SIGINT) and SIGTERM into a stop token. A second signal ends the process at once.
///
/// Make the object before the first thread: threads inherit the mask of blocked signals.
class interrupt {
 public:
  interrupt() {
    ::sigemptyset(&signals_);
    ::sigaddset(&signals_, SIGINT);
    ::sigaddset(&signals_, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    watcher_ = std::thread(&interrupt::watch, this);
  }
  interrupt(interrupt const&) = delete;
  interrupt& operator=(interrupt const&) = delete;
  ~interrupt() {
    leaving_ = true;
    ::pthread_kill(watcher_.native_handle(), SIGINT);  // wakes the watcher, and no other thread
    watcher_.join();
  }

  std::stop_token token() const { return stop_.get_token(); }
  int signal() const { return signal_; }  // the signal that came, or 0

 private:
  void watch() {
    for (;;) {
      int signal = 0;
      ::sigwait(&signals_, &signal);
      if (leaving_) {
        return;
      }
      if (signal_.exchange(signal) != 0) {
        ::_exit(128 + signal);
      }
      stop_.request_stop();
    }
  }

  ::sigset_t signals_;
  std::stop_source stop_;
  std::atomic<int> signal_ = 0;
  std::atomic<bool> leaving_ = false;
  std::thread watcher_;
};

int main() {
  interrupt const interrupted;  // before the first thread
  std::atomic<long> steps = 0;
  errgroup::group g{{.limit = 2, .stop = interrupted.token(), .name = "search"}};
  for (int i = 0; i != 100; ++i) {
    g.run([&steps](std::stop_token stop) {
      while (!stop.stop_requested()) {
        ++steps;
      }
    });
  }
  std::cout << "searching; Ctrl-C ends it" << std::endl;
  auto err = g.wait();
  std::cout << err << '\n';
  return interrupted.signal() != 0 ? 128 + interrupted.signal() : 0;
}
