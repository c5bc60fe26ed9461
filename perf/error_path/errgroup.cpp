// This library: a task returns its error, or throws it, and `wait` says so.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // errc, error, group

namespace {

bool by_code(std::size_t at) {
  errgroup::group group;
  for (std::size_t i = 0; i < error_path::group_of; ++i) {
    group.run([i, at] { return error_path::fail_at(i, at); });
  }
  auto const error = group.wait();
  return error_path::is_right(error.code(), at);
}

bool none() { return by_code(error_path::group_of); }
bool code() { return by_code(error_path::failing); }

bool by_throw() {
  errgroup::group group;
  for (std::size_t i = 0; i < error_path::group_of; ++i) {
    group.run([i] { error_path::throw_at(i, error_path::failing); });
  }
  auto const error = group.wait();
  return error.code() == errgroup::errc::exception;
}

bool latency(error_path::trial& trial) {
  errgroup::group group;
  for (std::size_t i = 0; !group.is_canceling() && trial.wants(i); ++i) {
    group.run([&trial, i] { return trial(i); });
  }
  auto const error = group.wait();
  trial.waited();
  return error.code() == error_path::failure();
}

bool refused(std::size_t tasks) {
  errgroup::group group;
  group.cancel();
  for (std::size_t i = 0; i < tasks; ++i) group.run(perf::count_task{});
  auto const error = group.wait();
  return error.code() == errgroup::errc::canceled && error.skipped() == tasks;
}

bool const enrolled = perf::enroll([] {
  error_path::add_group("none", "errgroup", none);
  error_path::add_group("code", "errgroup", code);
  error_path::add_group("throw", "errgroup", by_throw);
  error_path::add_latency("errgroup", latency);
  error_path::add_refused("errgroup", refused);
});

}  // namespace
