// The main program of every workload: Google Benchmark's own, with the facts that a result needs
// beside it, a wrong answer as a failed run, and four options more:
//
//   --smoke        small sizes and one iteration of everything: are the answers right?
//   --threads=N    oneTBB uses N threads at most
//   --iterations=N each benchmark's loop runs N times, however long that takes
//   --count-tasks  ends with a line that says how many tasks were inside `measured`, the trial
//                  runs that choose the number of iterations included, and with a line that says
//                  which percentage of the processor time other threads used

#include "harness.hpp"

#include <oneapi/tbb/global_control.h>  // global_control, task_scheduler_handle
#include <oneapi/tbb/task_group.h>      // task_group
#include <oneapi/tbb/version.h>         // TBB_runtime_version
#include <time.h>                       // clock_gettime

#include <charconv>  // from_chars
#include <cstdio>    // fprintf, printf
#include <optional>  // optional
#include <vector>    // vector

namespace perf {
namespace {

bool only_smoke = false;
std::size_t fixed_iterations = 0;
bool any_wrong = false;
double tasks_measured = 0;
cpu_time used{};

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

/// The number after `option` in `argument`; nothing if `argument` is another option, 0 if what
/// follows is no number from 1.
std::optional<std::size_t> number_of(std::string_view argument, std::string_view option) {
  if (!argument.starts_with(option)) return {};
  std::size_t count = 0;
  argument.remove_prefix(option.size());
  std::from_chars(argument.data(), argument.data() + argument.size(), count);
  if (count == 0) std::fprintf(stderr, "%s wants a number from 1\n", std::string(option).c_str());
  return count;
}

}  // namespace

bool smoke() noexcept { return only_smoke; }

benchmark::IterationCount iterations() noexcept {
  return only_smoke ? 1 : static_cast<benchmark::IterationCount>(fixed_iterations);
}

unsigned threads() noexcept {
  return static_cast<unsigned>(
      tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism));
}

bool enroll(void (*contender)()) {
  contenders().push_back(contender);
  return true;
}

cpu_time cpu_time::now() noexcept {
  auto const read = [](clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  return {read(CLOCK_THREAD_CPUTIME_ID), read(CLOCK_PROCESS_CPUTIME_ID)};
}

void answer::count(std::size_t tasks) {
  cpu_time const now = cpu_time::now();
  used.thread += now.thread - started_.thread;
  used.process += now.process - started_.process;
  tasks_measured += static_cast<double>(tasks) * static_cast<double>(state_.iterations());
}

void answer::fail() {
  any_wrong = true;
  state_.SkipWithError("wrong answer");
}

}  // namespace perf

int main(int argc, char** argv) {
  // Keeps oneTBB's workers until the end. When the last arena goes, oneTBB detaches its workers,
  // which end at the same time, and pthread_detach of glibc may then read memory that is gone.
  tbb::task_scheduler_handle const keeps_workers{tbb::attach{}};
  std::optional<tbb::global_control> fewer_threads;
  bool count_tasks = false;
  std::vector<char*> theirs;
  for (int i = 0; i < argc; ++i) {
    std::string_view const argument = argv[i];
    if (argument == "--smoke") {
      perf::only_smoke = true;
    } else if (argument == "--count-tasks") {
      count_tasks = true;
    } else if (auto const threads = perf::number_of(argument, "--threads=")) {
      if (*threads == 0) return 2;
      fewer_threads.emplace(tbb::global_control::max_allowed_parallelism, *threads);
    } else if (auto const iterations = perf::number_of(argument, "--iterations=")) {
      if (*iterations == 0) return 2;
      perf::fixed_iterations = *iterations;
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
  if (count_tasks) {
    std::printf("tasks measured: %.0f\n", perf::tasks_measured);
    std::printf("other threads: %.1f\n", 100 * (1 - perf::used.thread / perf::used.process));
  }
  return perf::any_wrong ? 1 : 0;
}
