// docs/cookbook.md: A limit that changes.

#include <errgroup/errgroup.hpp>

#include <algorithm>   // max
#include <csignal>     // pthread_kill, pthread_sigmask, sigaddset, sigemptyset, sigset_t, sigwait
#include <cstdint>     // int64_t
#include <iostream>    // cout, endl
#include <stop_token>  // stop_token
#include <thread>      // thread

/// Changes the number of places while tasks run: one more for each SIGUSR1, one less for each
/// SIGUSR2, as `xargs -P` does. SIGTERM cancels the group.
///
/// Make the object before the first thread: threads inherit the mask of blocked signals.
class control {
 public:
  control(errgroup::limiter& places, errgroup::group& work) : places_(places), work_(work) {
    ::sigemptyset(&signals_);
    for (int const signal : {SIGUSR1, SIGUSR2, SIGTERM}) {
      ::sigaddset(&signals_, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    thread_ = std::thread(&control::run, this);
  }
  control(control const&) = delete;
  control& operator=(control const&) = delete;
  ~control() {
    ::pthread_kill(thread_.native_handle(), SIGTERM);  // for that thread, and no other
    thread_.join();
  }

 private:
  void run() {
    for (int signal = 0; ::sigwait(&signals_, &signal) == 0 && signal != SIGTERM;) {
      std::int64_t const n = places_.capacity() + (signal == SIGUSR1 ? 1 : -1);
      places_.resize(std::max<std::int64_t>(n, 1));  // 0 places would be refused
      std::cout << "places: " << places_.capacity() << std::endl;
    }
    work_.cancel();
  }

  errgroup::limiter& places_;
  errgroup::group& work_;
  ::sigset_t signals_;
  std::thread thread_;
};

int main() {
  errgroup::limiter places(2);
  errgroup::group work{{.name = "work", .limiter = &places}};
  control const by_signals(places, work);  // before the first task
  for (int i = 0; i != 100; ++i) {
    work.run([](std::stop_token stop) {
      while (!stop.stop_requested()) {  // … work …
      }
    });
  }
  std::cout << "places: " << places.capacity() << std::endl;
  auto err = work.wait();
  std::cout << err << '\n';
}
