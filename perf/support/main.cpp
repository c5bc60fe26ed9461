// The main program of every workload: Google Benchmark's own, with the facts that a result needs
// beside it, a wrong answer as a failed run, and three options more:
//
//   --smoke        small sizes and one iteration of everything: are the answers right?
//   --threads=N    oneTBB uses N threads at most
//   --count-tasks  ends with a line that says how many tasks were inside `measured`, the trial
//                  runs that choose the number of iterations included

#include "harness.hpp"

#include <oneapi/tbb/global_control.h>  // global_control
#include <oneapi/tbb/task_group.h>      // task_group
#include <oneapi/tbb/version.h>         // TBB_runtime_version

#include <charconv>  // from_chars
#include <cstdio>    // fprintf, printf
#include <optional>  // optional
#include <vector>    // vector

namespace perf {
namespace {

bool only_smoke = false;
bool any_wrong = false;
double tasks_measured = 0;

std::vector<void (*)()>& contenders() {
  static std::vector<void (*)()> all;
  return all;
}

constexpr char const* compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

}  // namespace

bool smoke() noexcept { return only_smoke; }

unsigned threads() noexcept {
  return static_cast<unsigned>(
      tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism));
}

bool enroll(void (*contender)()) {
  contenders().push_back(contender);
  return true;
}

void answer::count(std::size_t tasks) {
  tasks_measured += static_cast<double>(tasks) * static_cast<double>(state_.iterations());
}

void answer::fail() {
  any_wrong = true;
  state_.SkipWithError("wrong answer");
}

}  // namespace perf

int main(int argc, char** argv) {
  std::optional<tbb::global_control> fewer_threads;
  bool count_tasks = false;
  std::vector<char*> theirs;
  for (int i = 0; i < argc; ++i) {
    std::string_view const argument = argv[i];
    constexpr std::string_view threads_option = "--threads=";
    if (argument == "--smoke") {
      perf::only_smoke = true;
    } else if (argument == "--count-tasks") {
      count_tasks = true;
    } else if (argument.starts_with(threads_option)) {
      std::size_t count = 0;
      auto const digits = argument.substr(threads_option.size());
      std::from_chars(digits.data(), digits.data() + digits.size(), count);
      if (count == 0) {
        std::fprintf(stderr, "--threads wants a number from 1\n");
        return 2;
      }
      fewer_threads.emplace(tbb::global_control::max_allowed_parallelism, count);
    } else {
      theirs.push_back(argv[i]);
    }
  }
  int their_count = static_cast<int>(theirs.size());
  theirs.push_back(nullptr);

  benchmark::AddCustomContext("threads", std::to_string(perf::threads()));
  benchmark::AddCustomContext("onetbb", TBB_runtime_version());
  benchmark::AddCustomContext("compiler", perf::compiler());
  benchmark::AddCustomContext("google_benchmark", ERRGROUP_PERF_BENCHMARK_VERSION);
  benchmark::AddCustomContext("build", ERRGROUP_PERF_BUILD);
  benchmark::Initialize(&their_count, theirs.data());
  if (benchmark::ReportUnrecognizedArguments(their_count, theirs.data())) return 2;
  for (auto const contender : perf::contenders()) contender();

  // Start oneTBB, so that whoever comes first does not pay for it.
  tbb::task_group starter;
  starter.run([] {});
  starter.wait();

  if (benchmark::RunSpecifiedBenchmarks() == 0) return 2;
  benchmark::Shutdown();
  if (count_tasks) std::printf("tasks measured: %.0f\n", perf::tasks_measured);
  return perf::any_wrong ? 1 : 0;
}
