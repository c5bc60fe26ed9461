// Go's errgroup on std::thread. There is no `throw` here: as with a panic in Go, what a task
// throws ends the process.

#include "../support/std_errgroup.hpp"
#include "workload.hpp"

#include <stop_token>  // stop_source

namespace {

bool by_code(std::size_t at) {
  std::stop_source context;
  perf::go::group group(context);
  for (std::size_t i = 0; i < error_path::group_of; ++i) {
    group.go([i, at] { return error_path::fail_at(i, at); });
  }
  return error_path::is_right(group.wait(), at);
}

bool none() { return by_code(error_path::group_of); }
bool code() { return by_code(error_path::failing); }

bool latency(error_path::trial& trial) {
  std::stop_source context;
  perf::go::group group(context);
  for (std::size_t i = 0; !context.stop_requested() && trial.wants(i); ++i) {
    group.go([&trial, i] { return trial(i); });
  }
  auto const error = group.wait();
  trial.waited();
  return error == error_path::failure();
}

// Go's group does not know that its context is done: every task starts, and runs.
bool refused(std::size_t tasks) {
  std::stop_source context;
  perf::go::group group(context);
  context.request_stop();
  for (std::size_t i = 0; i < tasks; ++i) {
    group.go([] {
      perf::count_task{}();
      return std::error_code();
    });
  }
  return !group.wait() && context.stop_requested();
}

bool const enrolled = perf::enroll([] {
  constexpr std::size_t fewer = 100;
  constexpr bool all_run = true;
  error_path::add_group("none", "std_thread", none);
  error_path::add_group("code", "std_thread", code);
  error_path::add_latency("std_thread", latency);
  error_path::add_refused("std_thread", refused, fewer, all_run);
});

}  // namespace
