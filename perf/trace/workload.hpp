#ifndef ERRGROUP_PERF_TRACE_WORKLOAD_HPP
#define ERRGROUP_PERF_TRACE_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/spin.hpp"
#include "../support/tasks.hpp"
#include <errgroup/errgroup.hpp>  // group

#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <string_view>  // string_view

/// What it costs to be watched (P3): one thread outside feeds a group with tasks, and waits for it.
///
/// - `empty`: tasks that do nothing but be counted.
/// - `spin_1us`, `spin_10us`: tasks of that length.
/// - `named_1us`: the same with a name for each task.
///
/// The trace writes to /dev/null, after the time that counts. Its ring is smaller than the number
/// of events, so it is in the state that a long run leaves it in.
namespace trace {

inline constexpr std::size_t empty_tasks = 300'000;
inline constexpr std::size_t spin_tasks = 50'000;
inline constexpr std::size_t long_spin_tasks = 10'000;

/// Runs `run(group, make(i))` for each task. `make` is made in the run, by `make_make()`. `Watched`
/// is made before the time that counts, and destroyed after it.
template <class Watched>
void add(std::string_view what, std::size_t tasks, auto make_make, auto expected, auto run) {
  perf::add("trace", what, Watched::name, [=](benchmark::State& state) {
    [[maybe_unused]] Watched const watched;
    auto const make = make_make();
    perf::answer answer(state);
    for (auto _ : state) {
      answer.expect(perf::measured([&] {
        errgroup::group group;
        for (std::size_t i = 0; i < tasks; ++i) run(group, make(i));
        return !group.wait();
      }));
    }
    answer.settle(tasks, expected());
  });
}

template <class Watched>
void add_spin(std::string_view what, std::size_t tasks, double microseconds, auto run) {
  add<Watched>(
      what, tasks,
      [=] {
        return [rounds = perf::rounds_for(microseconds)](std::size_t i) {
          return perf::spin_task{i, rounds};
        };
      },
      [=] { return perf::sum_of_spins(tasks, perf::rounds_for(microseconds)); }, run);
}

template <class Watched>
void add_all() {
  auto const run = [](errgroup::group& g, auto task) { g.run(task); };
  auto const run_named = [](errgroup::group& g, auto task) { g.run("decode frame", task); };
  std::size_t const empty = perf::sized(empty_tasks);
  add<Watched>(
      "empty", empty, [] { return [](std::size_t) { return perf::count_task{}; }; },
      [=] { return empty; }, run);
  add_spin<Watched>("spin_1us", perf::sized(spin_tasks), 1, run);
  add_spin<Watched>("spin_10us", perf::sized(long_spin_tasks), 10, run);
  add_spin<Watched>("named_1us", perf::sized(spin_tasks), 1, run_named);
}

}  // namespace trace

#endif
