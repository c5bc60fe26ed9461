#ifndef ERRGROUP_PERF_SUPPORT_HARNESS_HPP
#define ERRGROUP_PERF_SUPPORT_HARNESS_HPP

#include "tally.hpp"

#include <benchmark/benchmark.h>  // State, RegisterBenchmark, Counter

#include <algorithm>    // max
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // forward

namespace perf {

/// Whether this run only asks if the answers are right: sizes shrink, every benchmark runs once.
bool smoke() noexcept;

/// `count`, or a hundredth of it when only the answers matter.
inline std::size_t sized(std::size_t count) noexcept {
  return smoke() ? std::max<std::size_t>(1, count / 100) : count;
}

/// How often each benchmark's loop runs; 0: until it has taken the time that Google Benchmark
/// wants.
benchmark::IterationCount iterations() noexcept;

/// How many threads oneTBB uses here; what an efficiency is divided by.
unsigned threads() noexcept;

/// Has `contender` called after the command line was read; it adds its benchmarks. Contenders
/// say `bool const enrolled = perf::enroll(contender);` at namespace scope.
bool enroll(void (*contender)());

/// Whose time counts: the wall clock's around the loop, or what `State::SetIterationTime` is told.
enum class timed { by_the_wall, by_hand };

/// Adds the benchmark `workload/what/contender`.
template <class Function>
benchmark::internal::Benchmark* add(std::string_view workload, std::string_view what,
                                    std::string_view contender, Function&& function,
                                    timed time = timed::by_the_wall) {
  std::string const name =
      std::string(workload) + '/' + std::string(what) + '/' + std::string(contender);
  auto* const added = benchmark::RegisterBenchmark(name.c_str(), std::forward<Function>(function));
  time == timed::by_hand ? added->UseManualTime() : added->UseRealTime();
  return iterations() != 0 ? added->Iterations(iterations()) : added;
}

/// Runs `f` where an instruction counter finds it: `scripts/bench --callgrind` counts between
/// the entry and the exit of this function and nowhere else.
template <class F>
[[gnu::noinline]] auto measured(F&& f) {
  return std::forward<F>(f)();
}

/// Processor time so far, in seconds: of the calling thread, and of the whole process.
struct cpu_time {
  double thread;
  double process;
  static cpu_time now() noexcept;
};

/// Checks one benchmark's answers, and turns a wrong one into a failed run. It lives around
/// the benchmark's loop.
class answer {
 public:
  explicit answer(benchmark::State& state) : state_(state), before_(tally::total()) {}

  /// Something that has to be true each time.
  void expect(bool right) noexcept { right_ = right_ && right; }

  /// Ends the check: beside every `expect`, the tasks of each iteration added `each_iteration`
  /// to the tally. A wrong answer fails this benchmark and the process. `tasks` is what the time
  /// is divided by to give the time per task.
  void settle(std::size_t tasks, std::uint64_t each_iteration) {
    auto const iterations = static_cast<std::uint64_t>(state_.iterations());
    settle_all(tasks, iterations * each_iteration);
  }

  /// The same where all iterations together added `all` to the tally.
  void settle_all(std::size_t tasks, std::uint64_t all) {
    expect(tally::total() - before_ == all);
    settle(tasks);
  }

  /// The same where the number of tasks that ran is not known beforehand.
  void settle(std::size_t tasks) {
    state_.counters["tasks"] = benchmark::Counter(static_cast<double>(tasks));
    state_.counters["per_task"] = benchmark::Counter(
        static_cast<double>(tasks),
        benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
    count(tasks);
    if (!right_) fail();
  }

 private:
  void count(std::size_t tasks);
  void fail();

  benchmark::State& state_;
  cpu_time started_ = cpu_time::now();
  std::uint64_t before_;
  bool right_ = true;
};

}  // namespace perf

#endif
