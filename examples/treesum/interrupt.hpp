#ifndef ERRGROUP_EXAMPLES_TREESUM_INTERRUPT_HPP
#define ERRGROUP_EXAMPLES_TREESUM_INTERRUPT_HPP

#include "file_descriptor.hpp"

#include <atomic>      // atomic
#include <csignal>     // sigset_t
#include <stop_token>  // stop_source, stop_token
#include <thread>      // thread

namespace treesum {

/// Turns Ctrl-C (SIGINT), and SIGTERM, into a stop token, to be handed to `errgroup::options`.
///
/// The signals are blocked for every thread and awaited by one, so that stopping runs as ordinary
/// code, free to lock and to allocate, rather than in a signal handler. For that the object has to
/// be made before any other thread is started; those inherit what is blocked.
///
/// The first signal asks for a stop. A second one ends the process at once, for the case that
/// something cannot be stopped: a read from a server that does not answer.
class interrupt {
 public:
  interrupt();
  interrupt(interrupt const&) = delete;
  interrupt& operator=(interrupt const&) = delete;
  ~interrupt();

  [[nodiscard]] std::stop_token token() const noexcept { return stop_.get_token(); }

  /// The signal that came, or 0. By convention the process then exits with 128 plus this.
  [[nodiscard]] int signal() const noexcept { return signal_; }

  /// Waits until `fd` is ready for `events` (poll's), or the signal came. True if `fd` is ready,
  /// or in a state that its next use will tell.
  [[nodiscard]] bool wait_for(int fd, short events) const noexcept;

 private:
  void watch();

  ::sigset_t signals_;
  file_descriptor came_;  // readable once the signal came
  std::stop_source stop_;
  std::atomic<int> signal_ = 0;
  std::atomic<bool> leaving_ = false;
  std::thread watcher_;  // the last member: it uses the others
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_INTERRUPT_HPP
