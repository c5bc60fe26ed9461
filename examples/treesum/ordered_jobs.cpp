#include "ordered_jobs.hpp"

#include <unistd.h>  // STDOUT_FILENO, isatty

#include <cstddef>  // size_t

namespace treesum {
namespace {

// The number of files that wait for a thread, or whose result waits for the result of an earlier
// file. At this number, the thread that walks works, too. It may be busy with a large file for a
// while; meanwhile the other threads have these files.
constexpr std::size_t waiting_files = 64 * 1024;

}  // namespace

ordered_jobs::ordered_jobs(settings const& how, interrupt const& stop, progress& done)
    : stop_(stop),
      progress_(done),
      keep_going_(how.keep_going),
      at_once_(::isatty(STDOUT_FILENO) != 0),
      lines_(stop),
      hashers_([&done] { return file_hasher(done); }),
      results_({.limit = how.jobs, .queue = waiting_files, .stop = stop.token(), .name = "files"},
               [this](result const& next) { return write(next); }) {}

void ordered_jobs::add_problem(path_error problem) {
  add("a problem",
      [problem = std::move(problem)](file_hasher&, std::stop_token const&) -> std::string {
        throw problem;
      });
}

int ordered_jobs::finish() {
  errgroup::error const err = results_.wait();
  flush();
  if (stop_.signal() != 0) {
    return 128 + stop_.signal();
  }
  if (lines_.failure()) {
    progress_.say(path_error("standard output", lines_.failure()).what());
    return 1;
  }
  if (err) {
    progress_.say(err.what());
  }
  return err || has_problem_ ? 1 : 0;
}

// The consumer of the stream. A failure of standard output ends the stream.
std::error_code ordered_jobs::write(result const& next) {
  if (next.is_problem) {
    has_problem_ = true;
    progress_.say(next.text);
    return {};
  }
  lines_.add(next.text);
  if (at_once_) {
    flush();
  }
  return lines_.failure();
}

void ordered_jobs::flush() {
  progress_.aside([this] { lines_.flush(); });
}

}  // namespace treesum
