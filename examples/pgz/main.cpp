// pgz: a parallel gzip. Any gzip reads its output.
//
//     $ pgz -k big
//     $ gzip -dc big.gz | cmp - big

#include "../treesum/interrupt.hpp"
#include "../treesum/path_error.hpp"
#include "arguments.hpp"
#include "problem.hpp"
#include "work.hpp"

#include <fcntl.h>   // fcntl, open
#include <unistd.h>  // getpid, STDIN_FILENO, ...

#include <csignal>    // kill, sigaction
#include <cstdio>     // fprintf
#include <exception>  // exception
#include <string>     // string

namespace pgz {
namespace {

/// Opens /dev/null in the place of each standard stream that the caller has closed. Without this, a
/// file that pgz opens would become standard input, output or error. The mode is the wrong one on
/// purpose: a read from a closed input and a write to a closed output fail, as with gzip.
void hold_standard_streams() {
  for (int const fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) == -1) {
      (void)::open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY);  // the lowest: fd
    }
  }
}

/// `interrupt` knows SIGINT and SIGTERM. These signals, too, must not end the process while a file
/// has a temporary name.
void tame_other_signals(arguments const& args) {
  struct ::sigaction current{};
  if (::sigaction(SIGHUP, nullptr, &current) == 0 && current.sa_handler != SIG_IGN) {  // not nohup
    struct ::sigaction end{};
    end.sa_handler = [](int) { ::kill(::getpid(), SIGTERM); };
    end.sa_flags = SA_RESTART;
    ::sigaction(SIGHUP, &end, nullptr);
  }
  std::signal(SIGXFSZ, SIG_IGN);  // the write fails: File too large
  if (!args.writes_to_stdout && !args.paths.empty()) {
    std::signal(SIGPIPE, SIG_IGN);  // only messages can go to a pipe
  }
}

int run(arguments const& args) {
  treesum::interrupt const interrupted;
  tame_other_signals(args);
  int status = exit_ok;
  auto const attempt = [&](auto const& work) {
    try {
      work();
    } catch (problem const& found) {
      std::fprintf(stderr, "pgz: %s\n", found.what());
      if (status != exit_error) {  // an error weighs more than a warning
        status = found.status();
      }
    }
  };
  if (args.paths.empty()) {
    attempt([&] { do_standard_input(args, interrupted); });
  }
  for (std::string const& path : args.paths) {
    if (interrupted.signal() != 0) {
      break;
    }
    attempt([&] {
      if (path == "-") {
        do_standard_input(args, interrupted);
      } else {
        do_file(args, interrupted, path);
      }
    });
  }
  return interrupted.signal() != 0 ? 128 + interrupted.signal() : status;
}

}  // namespace
}  // namespace pgz

int main(int argc, char** argv) {
  pgz::hold_standard_streams();
  pgz::arguments args;
  if (auto const status = pgz::parse(argc, argv, args)) {
    return *status;
  }
  try {
    return pgz::run(args);
  } catch (std::exception const& wrong) {  // no memory, no file descriptor left
    std::fprintf(stderr, "pgz: %s\n", wrong.what());
    return pgz::exit_error;
  }
}
