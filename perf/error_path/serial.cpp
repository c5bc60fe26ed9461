// A loop that ends at the first error.

#include "workload.hpp"

namespace {

bool by_code(std::size_t at) {
  for (std::size_t i = 0; i < error_path::group_of; ++i) {
    if (auto const error = error_path::fail_at(i, at)) return error_path::is_right(error, at);
  }
  return error_path::is_right({}, at);
}

bool none() { return by_code(error_path::group_of); }
bool code() { return by_code(error_path::failing); }

bool by_throw() {
  try {
    for (std::size_t i = 0; i < error_path::group_of; ++i) {
      error_path::throw_at(i, error_path::failing);
    }
  } catch (error_path::thrown const&) {
    return true;
  }
  return false;
}

bool latency(error_path::trial& trial) {
  for (std::size_t i = 0;; ++i) {
    if (auto const error = trial(i)) {
      trial.waited();
      return error == error_path::failure();
    }
  }
}

bool const enrolled = perf::enroll([] {
  error_path::add_group("none", "serial", none);
  error_path::add_group("code", "serial", code);
  error_path::add_group("throw", "serial", by_throw);
  error_path::add_latency("serial", latency);
});

}  // namespace
