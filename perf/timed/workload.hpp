#ifndef ERRGROUP_PERF_TIMED_WORKLOAD_HPP
#define ERRGROUP_PERF_TIMED_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/peak_memory.hpp"
#include "../support/tasks.hpp"
#include "load.hpp"

#include <sys/resource.h>  // getrusage

#include <algorithm>    // min, sort
#include <chrono>       // duration, hours, milliseconds, nanoseconds, steady_clock
#include <concepts>     // convertible_to, same_as
#include <cstddef>      // size_t
#include <random>       // mt19937_64
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

/// Timers: tasks that wait for a time, in one group.
///
/// - `insert_1k` to `insert_1m`: that many tasks get a random time between one and two hours ahead.
///   Only that is measured.
/// - `cancel_1k` to `cancel_1m`: that many, not due yet, are dropped: from the cancellation to the
///   return of `wait`, when all callables are destroyed.
/// - `fire_1k` to `fire_1m`: that many are all due at one time: from then until all have run and
///   `wait` has returned. All were inserted before.
/// - `spread_1k` to `spread_1m`: the same with times that are spread evenly over 100 ms: from the
///   first. So it takes 100 ms at least; the counter `cpu` is the processor time for each task,
///   that of the whole process.
/// - `lateness_idle`, `lateness_busy`, `lateness_spinning`: for two seconds a task is due every
///   100 us, all inserted before. How much later than that does it begin? The mean is the
///   benchmark's time, `p50`, `p99` and `max` (in seconds) are beside it. Idle: nothing else runs,
///   and `cpu` tells what the waiting costs. Busy: another errgroup keeps all workers of oneTBB,
///   and the thread that waits for it, occupied with tasks of 20 us. Spinning: as many threads that
///   have nothing to do with oneTBB compete for the CPUs.
/// - `memory`: what `insert` of a million adds to the peak of a process, in bytes for each timer.
///
/// A contender that has to start a thread for each task, or each timer, gets fewer.
namespace timed {

using clock = std::chrono::steady_clock;
using seconds = std::chrono::duration<double>;

struct size {
  std::string_view name;
  std::size_t timers;
};
inline constexpr size sizes[] = {
    {"_1k", 1'000}, {"_10k", 10'000}, {"_100k", 100'000}, {"_1m", 1'000'000}};
inline constexpr std::size_t memory_timers = 1'000'000;
inline constexpr std::chrono::milliseconds spread{100};
inline constexpr std::chrono::microseconds lateness_period{100};
inline constexpr std::size_t lateness_timers = 20'000;

/// A group of timers. `at(due, f)` has `f()` run then, `wait()` waits for all and says whether the
/// group reported success, `drop()` instead cancels those that are not due, waits, and says how
/// many they were. `most` is how many timers it is asked to have, `most_fired` how many to run.
template <class C>
concept contender = requires(C group, clock::time_point due) {
  { C::name } -> std::convertible_to<std::string_view>;
  { C::most } -> std::convertible_to<std::size_t>;
  { C::most_fired } -> std::convertible_to<std::size_t>;
  group.at(due, perf::count_task{});
  { group.wait() } -> std::same_as<bool>;
  { group.drop() } -> std::same_as<std::size_t>;
};

/// Times between one and two hours ahead, the same each time but for the hour.
inline std::vector<clock::time_point> far_times(std::size_t timers) {
  std::mt19937_64 random(timers);
  auto const begin = clock::now() + std::chrono::hours(1);
  std::uint64_t const hour = std::chrono::nanoseconds(std::chrono::hours(1)).count();
  std::vector<clock::time_point> times(timers);
  for (auto& time : times) time = begin + std::chrono::nanoseconds(random() % hour);
  return times;
}

enum class part { insert, cancel };

template <contender C>
void run_pending(benchmark::State& state, std::size_t timers, part measured) {
  auto const times = far_times(timers);
  perf::answer answer(state);
  for (auto _ : state) {
    C group;
    auto const begin = clock::now();
    for (auto const due : times) group.at(due, perf::count_task{});
    auto const inserted = clock::now();
    answer.expect(group.drop() == timers);
    auto const dropped = clock::now();
    seconds const time = measured == part::insert ? inserted - begin : dropped - inserted;
    state.SetIterationTime(time.count());
  }
  answer.settle(timers, 0);
}

/// The time that this process has had of all processors.
inline seconds processor_time() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto const in_seconds = [](timeval const& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime));
}

inline double per_task(seconds all, std::size_t tasks, benchmark::State const& state) {
  return all.count() / static_cast<double>(tasks) / static_cast<double>(state.iterations());
}

template <contender C>
void run_due(benchmark::State& state, std::size_t timers, std::chrono::nanoseconds over) {
  perf::answer answer(state);
  std::size_t runs = 0;
  seconds cpu{};
  // So long before the first is due insertion begins; more if that turns out to be too little.
  std::chrono::nanoseconds lead =
      std::chrono::milliseconds(1) + timers * std::chrono::nanoseconds(500);
  for (auto _ : state) {
    for (bool in_time = false; !in_time; ++runs) {
      C group;
      auto const first = clock::now() + lead;
      for (std::size_t i = 0; i < timers; ++i) {
        group.at(first + over * i / timers, perf::count_task{});
      }
      in_time = clock::now() < first;
      if (!in_time) lead *= 2;
      seconds const before = processor_time();
      answer.expect(group.wait());
      auto const end = clock::now();
      if (in_time) {
        cpu += processor_time() - before;
        state.SetIterationTime(seconds(end - first).count());
      }
    }
  }
  state.counters["cpu"] = per_task(cpu, timers, state);
  answer.settle_all(timers, runs * timers);
}

template <contender C>
void run_lateness(benchmark::State& state, std::size_t timers, load::kind busy) {
  perf::answer answer(state);
  std::vector<double> late(timers);
  seconds cpu{};
  for (auto _ : state) {
    std::chrono::nanoseconds lead = std::chrono::milliseconds(20) +
                                    timers * std::chrono::microseconds(C::most < 100'000 ? 50 : 2);
    load const others(busy);
    C group;
    auto const first = clock::now() + lead;
    for (std::size_t i = 0; i < timers; ++i) {
      auto const due = first + i * lateness_period;
      group.at(due, [&late, i, due] {
        late[i] = seconds(clock::now() - due).count();
        perf::tally::add(1);
      });
    }
    seconds const before = processor_time();
    answer.expect(group.wait());
    cpu += processor_time() - before;
    double sum = 0;
    for (double const each : late) sum += each;
    state.SetIterationTime(sum);
  }
  std::sort(late.begin(), late.end());
  answer.expect(late.front() >= 0);  // never too early
  state.counters["p50"] = late[timers / 2];
  state.counters["p99"] = late[timers * 99 / 100];
  state.counters["max"] = late.back();
  if (busy == load::kind::none) state.counters["cpu"] = per_task(cpu, timers, state);
  answer.settle(timers, timers);
}

template <contender C>
void run_memory(benchmark::State& state, std::size_t timers) {
  auto const times = far_times(timers);
  perf::answer answer(state);
  for (auto _ : state) {
    auto const before = static_cast<double>(perf::peak_memory());
    C group;
    for (auto const due : times) group.at(due, perf::count_task{});
    double const bytes = static_cast<double>(perf::peak_memory()) - before;
    answer.expect(group.drop() == timers);
    state.counters["bytes_each"] = bytes / static_cast<double>(timers);
  }
  answer.settle(timers, 0);
}

/// Adds all of the above for one contender.
template <contender C>
void add_all() {
  auto const add = [](std::string const& what, auto function, auto... arguments) {
    return perf::add(
        "timed", what, C::name, [=](benchmark::State& state) { function(state, arguments...); },
        perf::timed::by_hand);
  };
  for (auto const& [name, timers] : sizes) {
    auto const count = perf::sized(timers);
    if (timers <= C::most) {
      add(std::string("insert").append(name), run_pending<C>, count, part::insert);
      add(std::string("cancel").append(name), run_pending<C>, count, part::cancel);
    }
    if (timers <= C::most_fired) {
      add(std::string("fire").append(name), run_due<C>, count, std::chrono::nanoseconds::zero());
      add(std::string("spread").append(name), run_due<C>, count, std::chrono::nanoseconds(spread));
    }
  }
  auto const at_a_rate = perf::sized(std::min(C::most, lateness_timers));
  add("lateness_idle", run_lateness<C>, at_a_rate, load::kind::none)->Iterations(1);
  add("lateness_busy", run_lateness<C>, at_a_rate, load::kind::tasks)->Iterations(1);
  add("lateness_spinning", run_lateness<C>, at_a_rate, load::kind::threads)->Iterations(1);
  auto const in_memory = perf::sized(std::min(C::most, memory_timers));
  perf::add("timed", "memory", C::name, [=](benchmark::State& state) {
    run_memory<C>(state, in_memory);
  })->Iterations(1);
}

}  // namespace timed

#endif
