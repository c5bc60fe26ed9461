// A loop: what the work itself costs, and what efficiency is measured against.

#include "workload.hpp"

namespace {

struct serial {
  static constexpr std::string_view name = "serial";
  static constexpr std::size_t fewer = 1;

  static bool run_all(std::size_t tasks, auto make) {
    for (std::size_t i = 0; i < tasks; ++i) {
      auto task = make(i);
      benchmark::DoNotOptimize(task);  // else a loop of empty tasks becomes one addition
      task();
    }
    return true;
  }
};

bool const enrolled = perf::enroll(flat::add_all<serial>);

}  // namespace
