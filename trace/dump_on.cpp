// SPDX-License-Identifier: Apache-2.0
#include <errgroup/observer.hpp>
#include <errgroup/trace.hpp>

#include <fcntl.h>      // fcntl
#include <semaphore.h>  // sem_init, sem_post, sem_wait
#include <unistd.h>     // write

#include <array>         // array
#include <atomic>        // atomic
#include <cerrno>        // errno, EINTR, EINVAL
#include <csignal>       // pthread_sigmask, sigaction, sigset_t
#include <cstddef>       // size_t
#include <cstring>       // sigdescr_np
#include <exception>     // exception
#include <mutex>         // mutex, scoped_lock
#include <sstream>       // ostringstream
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // generic_category, system_error
#include <thread>        // thread

// The handler may call next to nothing, so it wakes a thread, with `sem_post`. A semaphore belongs
// to the process: in a child after `fork`, which has no such thread, the call has no effect. (A
// pipe would be shared with the parent, and the parent would write the dump.)

namespace errgroup::inline v1 {
namespace {

struct signal_state {
  std::atomic<bool> has_come{false};
  std::atomic<int> file{2};
  std::atomic<dump_format> format{dump_format::text};
};
static_assert(std::atomic<bool>::is_always_lock_free);  // for the handler

constexpr std::size_t most_signals = 65;
constinit std::array<signal_state, most_signals> signals;
sem_t wake_up;

std::mutex setting_up;
bool has_thread = false;

extern "C" void errgroup_dump_on_signal(int signal) {
  int const before = errno;
  signals[static_cast<std::size_t>(signal)].has_come.store(true, std::memory_order_release);
  (void)::sem_post(&wake_up);
  errno = before;
}

void write_dump(signal_state& s) {
  std::string text;
  try {
    std::ostringstream out;
    dump(out, s.format.load(std::memory_order_relaxed));
    text = out.str();
  } catch (std::exception const&) {
    text = "errgroup::dump_on: out of memory for the dump\n";
  }
  std::string_view rest = text;
  while (!rest.empty()) {
    ssize_t const n = ::write(s.file.load(std::memory_order_relaxed), rest.data(), rest.size());
    if (n > 0) {
      rest.remove_prefix(static_cast<std::size_t>(n));
    } else if (n == 0 || errno != EINTR) {
      return;
    }
  }
}

[[noreturn]] void serve() {
  for (;;) {
    while (::sem_wait(&wake_up) != 0) {
      // interrupted
    }
    for (signal_state& s : signals) {
      if (s.has_come.exchange(false, std::memory_order_acquire)) {
        write_dump(s);
      }
    }
  }
}

[[noreturn]] void fail(int reason, std::string const& words) {
  throw std::system_error(reason, std::generic_category(), "errgroup::dump_on: " + words);
}

std::string name_of(int signal) {
  char const* const name = ::sigdescr_np(signal);
  return "signal " + std::to_string(signal) +
         (name != nullptr ? " (" + std::string(name) + ")" : std::string());
}

/// Under the lock.
void start_thread() {
  if (has_thread) {
    return;
  }
  if (::sem_init(&wake_up, 0, 0) != 0) {
    fail(errno, "cannot make a semaphore");
  }
  // The thread inherits the mask: signals of the program are for the program's threads.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread(serve).detach();
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  has_thread = true;
}

/// Groups tell an observer, or `dump` does not know them.
void make_groups_visible() {
  static observer& visible = *new observer;  // never destroyed: groups may use it until the end
  if (observer* const before = observe(&visible)) {
    observe(before);
  }
}

}  // namespace

void dump_on(int signal, int file, dump_format format) {
  switch (signal) {
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP:
      fail(EINVAL, name_of(signal) +
                       " reports a fault after which the program cannot go on: choose another, "
                       "such as SIGUSR1");
    default:
      break;
  }
  // Also tells numbers that are no signal's.
  struct sigaction before = {};
  if (signal <= 0 || static_cast<std::size_t>(signal) >= most_signals || signal == SIGKILL ||
      signal == SIGSTOP || ::sigaction(signal, nullptr, &before) != 0) {
    fail(EINVAL, name_of(signal) + " cannot be caught: choose another, such as SIGUSR1");
  }
  if (::fcntl(file, F_GETFD) == -1) {
    fail(errno, "the file descriptor " + std::to_string(file) + " is not open");
  }
  std::scoped_lock const held(setting_up);
  start_thread();
  make_groups_visible();
  signal_state& s = signals[static_cast<std::size_t>(signal)];
  s.file.store(file, std::memory_order_relaxed);
  s.format.store(format, std::memory_order_relaxed);
  struct sigaction action = {};
  action.sa_handler = errgroup_dump_on_signal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  if (::sigaction(signal, &action, nullptr) != 0) {
    fail(errno, name_of(signal) + " cannot be caught: choose another, such as SIGUSR1");
  }
}

}  // namespace errgroup::inline v1
