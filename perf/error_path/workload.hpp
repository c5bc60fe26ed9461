#ifndef ERRGROUP_PERF_ERROR_PATH_WORKLOAD_HPP
#define ERRGROUP_PERF_ERROR_PATH_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/tasks.hpp"

#include <algorithm>     // sort
#include <chrono>        // duration, steady_clock
#include <cstddef>       // size_t
#include <cstdint>       // uint64_t
#include <stdexcept>     // runtime_error
#include <string_view>   // string_view
#include <system_error>  // errc, error_code, make_error_code
#include <vector>        // vector

/// What a failure costs, and what it costs not to have one.
///
/// - `none`, `code`, `throw`, `throws`: a group of 8 tasks made, run, waited for, its result looked
///   at, and destroyed: no task fails; one returns an error code; one throws; all throw.
/// - the same `_named`: every task has a name; `_all`: with `keep::all`, and with `keep_going`
/// where
///   all throw, so that 8 errors are kept; `_all_named`: both. `_stacks`: in a program that is
///   linked with errgroup::stacktrace. (errgroup only.)
/// - `latency`, `latency_late`: one thread outside submits tasks of 1 us until it is told to
///   stop. Task 200 fails, or task 2,000, when more tasks wait. Measured from that task's return to
///   the return of `wait`: noticing, finishing what runs, throwing away what waits. The mean is
///   the benchmark's time, `p50` and `p99` (in seconds) are beside it, and in `untold` how often
///   the submitter gave up, because five million tasks later nobody had told it to stop. If
///   oneTBB has one thread, tasks may run only in `wait`. The submitter then gives up after twice
///   the number of the failing task: the first task first or the last task first, half are left.
/// - `refused`: 10^6 tasks submitted to a group that was cancelled before.
namespace error_path {

inline constexpr std::size_t group_of = 8;
inline constexpr std::size_t failing = 3;
inline constexpr std::size_t latency_failing = 200;
inline constexpr std::size_t latency_late_failing = 2'000;
inline constexpr std::size_t latency_most = 5'000'000;
inline constexpr std::size_t latency_trials = 200;
inline constexpr std::size_t refused_tasks = 1'000'000;

/// What the failing task returns.
inline std::error_code failure() noexcept { return std::make_error_code(std::errc::io_error); }

/// Whether `error` is what a group whose task number `at` fails has to report.
inline bool is_right(std::error_code const& error, std::size_t at) noexcept {
  return at < group_of ? error == failure() : !error;
}

/// What the failing task throws.
struct thrown : std::runtime_error {
  thrown() : std::runtime_error("task failed") {}
};

/// A group's task number `index`: fails where its number says so.
inline std::error_code fail_at(std::size_t index, std::size_t at) noexcept {
  benchmark::DoNotOptimize(index);
  return index == at ? failure() : std::error_code();
}

/// The same by exception.
inline void throw_at(std::size_t index, std::size_t at) {
  benchmark::DoNotOptimize(index);
  if (index == at) throw thrown();
}

/// Adds `error_path/what/contender`, where `group()` runs a group of 8 and says whether its
/// result was the right one.
inline void add_group(std::string_view what, std::string_view contender, bool (*group)()) {
  perf::add("error_path", what, contender, [=](benchmark::State& state) {
    perf::answer answer(state);
    for (auto _ : state) answer.expect(perf::measured(group));
    answer.settle(1);
  });
}

/// One trial of `latency`: the tasks to submit, and the moment at which one of them failed.
class trial {
 public:
  using clock = std::chrono::steady_clock;

  trial(std::size_t failing_task, std::uint64_t rounds)
      : failing_(failing_task),
        rounds_(rounds),
        most_(perf::threads() == 1 ? 2 * failing_task : latency_most) {}

  /// The work of task number `index`.
  std::error_code operator()(std::size_t index) {
    perf::spin_task{index, rounds_}();
    if (index != failing_) return {};
    failed_at_ = clock::now();
    return failure();
  }

  /// Whether task number `index` is to be submitted. It is, until the submitter is told to stop,
  /// or so many tasks wait that something is wrong: nobody runs them.
  bool wants(std::size_t index) noexcept {
    untold_ = index == most_;
    return !untold_;
  }

  /// Whether the submitter gave up before it was told to.
  bool untold() const noexcept { return untold_; }

  /// The submitter calls this first when its `wait` has returned.
  void waited() noexcept { waited_at_ = clock::now(); }

  std::chrono::duration<double> from_failure_to_wait() const { return waited_at_ - failed_at_; }

 private:
  std::size_t failing_;
  std::uint64_t rounds_;
  std::size_t most_;
  clock::time_point failed_at_{};
  clock::time_point waited_at_{};
  bool untold_ = false;
};

/// Adds `error_path/latency/contender` and `…/latency_late/…`, where `submit(trial)` submits
/// `trial(i)` for i from 0 until it is told to stop, waits, calls `trial.waited()`, and says
/// whether it got `failure()`.
inline void add_latency(std::string_view contender, bool (*submit)(trial&)) {
  auto const add = [=](std::string_view what, std::size_t failing_task) {
    auto const run = [=](benchmark::State& state) {
      std::uint64_t const rounds = perf::rounds_for(1.0);
      perf::answer answer(state);
      std::vector<double> seconds;
      std::size_t untold = 0;
      for (auto _ : state) {
        trial one(failing_task, rounds);
        bool const right = submit(one);
        seconds.push_back(one.from_failure_to_wait().count());
        state.SetIterationTime(seconds.back());
        answer.expect(right);
        untold += one.untold();
      }
      std::sort(seconds.begin(), seconds.end());
      state.counters["untold"] = static_cast<double>(untold);
      state.counters["p50"] = seconds[seconds.size() / 2];
      state.counters["p99"] = seconds[seconds.size() * 99 / 100];
      answer.settle(1);
    };
    auto* const added = perf::add("error_path", what, contender, run, perf::timed::by_hand);
    if (!perf::smoke()) added->Iterations(latency_trials);
  };
  add("latency", latency_failing);
  add("latency_late", latency_late_failing);
}

/// Adds `error_path/refused/contender`, where `submit(n)` submits n counted tasks to a cancelled
/// group, waits, and says whether the group reported the cancellation. `fewer` divides the number
/// of tasks; `all_run` says that a cancellation skips nothing there.
inline void add_refused(std::string_view contender, bool (*submit)(std::size_t),
                        std::size_t fewer = 1, bool all_run = false) {
  std::size_t const tasks = perf::sized(refused_tasks / fewer);
  perf::add("error_path", "refused", contender, [=](benchmark::State& state) {
    perf::answer answer(state);
    for (auto _ : state) answer.expect(perf::measured([&] { return submit(tasks); }));
    answer.settle(tasks, all_run ? tasks : 0);
  });
}

}  // namespace error_path

#endif
