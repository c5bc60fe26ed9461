// Raw oneTBB. It knows no error codes, so a task keeps the first one in an atomic and cancels.

#include "workload.hpp"

#include <oneapi/tbb/task_group.h>  // task_group, task_group_context

#include <atomic>  // atomic

namespace {

/// The first code that a task returned.
class first_code {
 public:
  void offer(std::error_code const& error) noexcept {
    int none = 0;
    code_.compare_exchange_strong(none, error.value());
  }
  std::error_code get() const noexcept { return {code_.load(), std::generic_category()}; }

 private:
  std::atomic<int> code_ = 0;
};

bool by_code(std::size_t at) {
  first_code first;
  tbb::task_group group;
  for (std::size_t i = 0; i < error_path::group_of; ++i) {
    group.run([&, i] {
      if (auto const error = error_path::fail_at(i, at)) {
        first.offer(error);
        group.cancel();
      }
    });
  }
  group.wait();
  return error_path::is_right(first.get(), at);
}

bool none() { return by_code(error_path::group_of); }
bool code() { return by_code(error_path::failing); }

/// Task number i throws if it is `at`, or `every` one does.
bool by_throw(std::size_t at, bool every) {
  tbb::task_group group;
  for (std::size_t i = 0; i < error_path::group_of; ++i) {
    group.run([=] { error_path::throw_at(i, every ? i : at); });
  }
  try {
    group.wait();
  } catch (error_path::thrown const&) {
    return true;
  }
  return false;
}

bool one_throws() { return by_throw(error_path::failing, false); }
bool all_throw() { return by_throw(error_path::failing, true); }

bool latency(error_path::trial& trial) {
  first_code first;
  tbb::task_group_context context;
  tbb::task_group group(context);  // a task_group's own context could not be asked
  for (std::size_t i = 0; !context.is_group_execution_cancelled() && trial.wants(i); ++i) {
    group.run([&, i] {
      if (auto const error = trial(i)) {
        first.offer(error);
        group.cancel();
      }
    });
  }
  group.wait();
  trial.waited();
  return first.get() == error_path::failure();
}

bool refused(std::size_t tasks) {
  tbb::task_group group;
  group.cancel();
  for (std::size_t i = 0; i < tasks; ++i) group.run(perf::count_task{});
  return group.wait() == tbb::canceled;
}

bool const enrolled = perf::enroll([] {
  error_path::add_group("none", "tbb", none);
  error_path::add_group("code", "tbb", code);
  error_path::add_group("throw", "tbb", one_throws);
  error_path::add_group("throws", "tbb", all_throw);
  error_path::add_latency("tbb", latency);
  error_path::add_refused("tbb", refused);
});

}  // namespace
