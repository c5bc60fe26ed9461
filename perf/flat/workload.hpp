#ifndef ERRGROUP_PERF_FLAT_WORKLOAD_HPP
#define ERRGROUP_PERF_FLAT_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/peak_memory.hpp"
#include "../support/spin.hpp"
#include "../support/tasks.hpp"

#include <concepts>     // convertible_to, same_as
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <string>       // string
#include <string_view>  // string_view

/// One thread outside feeds a group with independent tasks, and waits for it (P1).
///
/// - `empty`: 10^6 tasks that do nothing but be counted: what a task costs.
/// - `spin_0.5us`, `spin_1us`, `spin_10us`: tasks of that length: how many threads one producer
///   keeps busy. Efficiency is serial time / (threads * time).
/// - `one`: a group of one task made, run, waited for and destroyed: what a group costs.
/// - `memory`: the peak of a process that runs `empty` once.
///
/// `errgroup_queue` is the group with `options::queue` of 64, which runs `empty` and `memory`.
namespace flat {

inline constexpr std::size_t empty_tasks = 1'000'000;
inline constexpr std::size_t spin_tasks = 100'000;
inline constexpr std::size_t long_spin_tasks = 20'000;

/// What runs the tasks. `run_all(n, make)` runs `make(i)()` for each i in [0, n) in a new group,
/// waits, and says whether the group reported success. `fewer` divides the number of tasks, for
/// those to whom a million would be a matter of minutes.
template <class C>
concept contender = requires {
  { C::name } -> std::convertible_to<std::string_view>;
  { C::fewer } -> std::convertible_to<std::size_t>;
  {
    C::run_all(std::size_t{}, [](std::size_t) { return perf::count_task{}; })
  } -> std::same_as<bool>;
};

template <contender C>
void run_empty(benchmark::State& state, std::size_t tasks) {
  perf::answer answer(state);
  for (auto _ : state) {
    answer.expect(perf::measured(
        [&] { return C::run_all(tasks, [](std::size_t) { return perf::count_task{}; }); }));
  }
  answer.settle(tasks, tasks);
}

template <contender C>
void run_spin(benchmark::State& state, std::size_t tasks, double microseconds) {
  std::uint64_t const rounds = perf::rounds_for(microseconds);
  perf::answer answer(state);
  for (auto _ : state) {
    answer.expect(perf::measured([&] {
      return C::run_all(tasks, [rounds](std::size_t i) { return perf::spin_task{i, rounds}; });
    }));
  }
  answer.settle(tasks, perf::sum_of_spins(tasks, rounds));
}

template <contender C>
void run_memory(benchmark::State& state, std::size_t tasks) {
  run_empty<C>(state, tasks);
  state.counters["peak_bytes"] = static_cast<double>(perf::peak_memory());
}

/// Adds the benchmark `flat/what/contender`, which calls `function(state, arguments...)`.
template <contender C>
auto* add(char const* what, auto function, auto... arguments) {
  return perf::add("flat", what, C::name,
                   [=](benchmark::State& state) { function(state, arguments...); });
}

/// Adds `empty` and `memory` for one contender.
template <contender C>
void add_empty() {
  std::size_t const tasks = perf::sized(empty_tasks / C::fewer);
  add<C>("empty", run_empty<C>, tasks);
  add<C>("memory", run_memory<C>, tasks)->Iterations(1);
}

/// Adds all of the above for one contender.
template <contender C>
void add_all() {
  add_empty<C>();
  add<C>("spin_0.5us", run_spin<C>, perf::sized(spin_tasks / C::fewer), 0.5);
  add<C>("spin_1us", run_spin<C>, perf::sized(spin_tasks / C::fewer), 1.0);
  add<C>("spin_10us", run_spin<C>, perf::sized(long_spin_tasks / C::fewer), 10.0);
  add<C>("one", run_empty<C>, std::size_t{1});
}

}  // namespace flat

#endif
