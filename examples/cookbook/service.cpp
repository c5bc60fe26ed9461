// docs/cookbook.md: A group in a long-lived service.

#include <errgroup/errgroup.hpp>

#include <chrono>      // operator""min
#include <csignal>     // pthread_sigmask, sigaddset, sigemptyset, sigset_t, sigwait
#include <exception>   // current_exception
#include <functional>  // function
#include <iostream>    // cout
#include <stdexcept>   // runtime_error
#include <string>      // string
#include <syncstream>  // osyncstream
#include <utility>     // move

class service {
 public:
  using job = std::function<errgroup::error()>;

  /// False if the service has too much to do: the caller has to refuse the request.
  bool submit(std::string const& name, job todo) {
    return group_.try_run(name, [name, todo = std::move(todo)] { run_job(name, todo); });
  }

  /// Does a job now and then.
  template <class Period>
  void every(Period period, std::string const& name, job todo) {
    group_.run_every(period, name, [name, todo = std::move(todo)] { run_job(name, todo); });
  }

  /// Skips what waits, and waits for the jobs that run.
  errgroup::error stop() {
    group_.cancel();
    return group_.wait();
  }

 private:
  /// A failure of a job is reported, and ends here: it must not become an error of the group.
  static void run_job(std::string const& name, job const& todo) {
    errgroup::error err;
    try {
      err = todo();
    } catch (...) {
      err = std::current_exception();
    }
    if (err) {
      std::osyncstream(std::cout) << name << ": " << err.what() << std::endl;
    }
  }

  errgroup::group group_{{.limit = 4, .queue = 1000, .name = "service"}};
};

int main() {
  using namespace std::chrono_literals;

  ::sigset_t signals;
  ::sigemptyset(&signals);
  for (int const signal : {SIGHUP, SIGINT, SIGTERM}) {
    ::sigaddset(&signals, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before the first thread

  service s;
  s.every(1min, "clean up", [] { return errgroup::error(); });
  if (!s.submit("request 1",
                []() -> errgroup::error { throw std::runtime_error("no such page"); })) {
    std::osyncstream(std::cout) << "request 1: too busy" << std::endl;
  }
  std::osyncstream(std::cout) << "ready" << std::endl;

  for (int signal = 0; ::sigwait(&signals, &signal) == 0;) {
    if (signal != SIGHUP) {
      break;
    }
    if (!s.submit("reload", [] {
          std::osyncstream(std::cout) << "the configuration was read" << std::endl;
          return errgroup::error();
        })) {
      std::osyncstream(std::cout) << "reload: too busy" << std::endl;
    }
  }
  auto err = s.stop();
  std::cout << "stopped: " << err.what() << '\n';
}
