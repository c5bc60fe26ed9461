// SPDX-License-Identifier: Apache-2.0
#include "chrome.hpp"
#include "recorder.hpp"
#include <errgroup/trace.hpp>

#include <fcntl.h>   // open, fcntl
#include <unistd.h>  // close, ftruncate, getpid, lseek, write

#include <cerrno>        // errno
#include <cstdio>        // fputs
#include <cstdlib>       // atexit, secure_getenv
#include <exception>     // exception
#include <mutex>         // mutex
#include <stdexcept>     // invalid_argument, logic_error
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // generic_category, system_error
#include <utility>       // exchange

namespace errgroup::inline v1 {
namespace detail {
namespace {

[[noreturn]] void fail(std::string const& words) {
  throw std::system_error(errno, std::generic_category(), words);
}

/// The file of a session. It stays open, so that a failure to open it is found at once.
class output_file final : public text_sink {
 public:
  explicit output_file(std::string path) : path_(std::move(path)) {
    constexpr unsigned readable = 0666;  // less the umask
    int const file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, readable);
    if (file < 0) {
      fail("errgroup::trace: cannot open '" + path_ + "' for writing");
    }
    file_ = file;
    if (file <= STDERR_FILENO) {  // a standard stream was closed, and must not write here
      file_ = ::fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      int const reason = errno;
      ::close(file);
      if (file_ < 0) {
        errno = reason;
        fail("errgroup::trace: cannot open '" + path_ + "' for writing");
      }
    }
  }
  output_file(output_file const&) = delete;
  output_file& operator=(output_file const&) = delete;
  ~output_file() override { ::close(file_); }

  [[nodiscard]] std::string const& path() const noexcept { return path_; }

  /// Empties the file. A pipe or a terminal is not emptied: what comes is appended.
  void begin() {
    // Fails for a device. glibc warns about a result that is cast to void.
    [[maybe_unused]] bool const is_empty =
        ::lseek(file_, 0, SEEK_SET) == 0 && ::ftruncate(file_, 0) == 0;
  }

  void write(std::string const& text) override {
    std::string_view rest = text;
    while (!rest.empty()) {
      ssize_t const n = ::write(file_, rest.data(), rest.size());
      if (n > 0) {
        rest.remove_prefix(static_cast<std::size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        fail("errgroup::trace: cannot write '" + path_ + "'");
      }
    }
  }

 private:
  std::string path_;
  int file_ = -1;
};

// The path of the session that records, for the message to the program that wants another.
constinit std::mutex session_lock;
std::string const* session_path = nullptr;

/// The right to record: there is one.
class recording_right {
 public:
  explicit recording_right(std::string const& path) {
    std::scoped_lock const held(session_lock);
    if (session_path != nullptr) {
      throw std::logic_error("errgroup::trace: cannot record to '" + path +
                             "', because another session records to '" + *session_path +
                             "': a process has one session at a time (ERRGROUP_TRACE in the "
                             "environment begins one)");
    }
    path_ = path;
    session_path = &path_;
  }
  recording_right(recording_right const&) = delete;
  recording_right& operator=(recording_right const&) = delete;
  ~recording_right() {
    std::scoped_lock const held(session_lock);
    session_path = nullptr;
  }

 private:
  std::string path_;
};

std::size_t checked(trace_options const& how) {
  if (how.events == 0) {
    throw std::invalid_argument(
        "errgroup::trace_options::events is 0: a session without an event records nothing");
  }
  return how.events;
}

}  // namespace
}  // namespace detail

struct trace::session {
  session(std::string const& path, trace_options const& how)
      : events(detail::checked(how)), right(path), file(path) {
    recorder.start(events);
    before = observe(&recorder);
  }
  session(session const&) = delete;
  session& operator=(session const&) = delete;
  ~session() {
    observer* const last = observe(before);
    if (last != &recorder) {  // the program has set another observer meanwhile: it stays
      observe(last);
    }
    recorder.stop();
    if (::getpid() != process) {
      return;
    }
    try {
      write();
    } catch (std::exception const& e) {
      std::fputs((std::string(e.what()) + "\n").c_str(), stderr);
    }
  }

  void write() {
    std::scoped_lock const held(writing);
    auto picture = recorder.read();
    file.begin();
    detail::write_chrome(picture, file);
  }

  std::size_t events;
  detail::recording_right right;
  detail::output_file file;
  detail::recorder& recorder = detail::recorder::instance();
  observer* before = nullptr;
  pid_t process = ::getpid();
  std::mutex writing;
};

trace::trace(std::string const& path, trace_options const& how)
    : session_(std::make_unique<session>(path, how)) {}

trace::~trace() = default;

void trace::flush() { session_->write(); }

std::size_t trace::dropped() const noexcept {
  return static_cast<std::size_t>(session_->recorder.dropped());
}

namespace detail {
namespace {

trace* of_the_environment = nullptr;

void end_environment_session() { delete std::exchange(of_the_environment, nullptr); }

/// Runs before `main`. The end is registered with `atexit` here, so it comes after the destructors
/// of objects with static storage duration that are made later: groups in these are recorded.
bool begin_environment_session() noexcept {
  char const* const path = ::secure_getenv("ERRGROUP_TRACE");
  if (path == nullptr || *path == '\0') {
    return false;
  }
  try {
    of_the_environment = new trace(path);
    if (std::atexit(end_environment_session) != 0) {
      end_environment_session();
    }
    return true;
  } catch (std::exception const& e) {
    std::fputs(
        (std::string(e.what()) + " (named by ERRGROUP_TRACE); the program runs without a trace\n")
            .c_str(),
        stderr);
    return false;
  }
}

[[maybe_unused]] bool const is_set_up = begin_environment_session();

}  // namespace
}  // namespace detail
}  // namespace errgroup::inline v1

extern "C" {

/// The linker is told to look for this name, so that this file is part of every program that links
/// errgroup::trace, also of a program that does not name `errgroup::trace`.
extern char const errgroup_trace_is_linked;
char const errgroup_trace_is_linked = 1;
}
