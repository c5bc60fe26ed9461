#ifndef ERRGROUP_PERF_LIMITED_WORKLOAD_HPP
#define ERRGROUP_PERF_LIMITED_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/spin.hpp"
#include "../support/tasks.hpp"

#include <atomic>       // atomic
#include <concepts>     // convertible_to, same_as
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <string_view>  // string_view

/// One thread outside feeds a group that runs at most N tasks at once, and waits for it.
///
/// - `empty_unlimited`, `empty_1`, `empty_2`, `empty_4`: empty tasks without a limit and with
///   limits of 1, 2 and 4: what the limit itself costs (P2).
/// - `spin_1us_2`: tasks of 1 us at limit 2: 500 ns a task would be ideal.
/// - `spin_1us_2_places`, `spin_1us_2_shared`, `spin_1us_2_weighed`, of errgroup alone: the same
///   over a limiter, which one group has; two groups, which are fed in turns; one group, whose
///   tasks take two of four places.
/// - `try_run_full`, `try_run_full_places`, of errgroup alone: `try_run` in a group with a limit,
///   or with a limiter, while a task holds the only slot or place. It is refused.
///
/// Before the clock starts, each contender shows on a few tasks that its limit is one.
namespace limited {

inline constexpr std::size_t empty_tasks = 1'000'000;
inline constexpr std::size_t spin_tasks = 100'000;
inline constexpr int unlimited = -1;

/// Keeps the largest number of tasks that were running at once.
struct observe {
  std::atomic<int>* running;
  std::atomic<int>* most;
  std::uint64_t rounds;
  void operator()() const noexcept {
    int const now = running->fetch_add(1) + 1;
    int seen = most->load();
    while (seen < now && !most->compare_exchange_weak(seen, now)) {
    }
    benchmark::DoNotOptimize(perf::spin(0, rounds));
    running->fetch_sub(1);
  }
};

/// What runs the tasks. `run_all(limit, n, make)` runs `make(i)()` for each i in [0, n) in a new
/// group, at most `limit` at once, waits, and says whether the group reported success. `fewer`
/// divides the number of tasks.
template <class C>
concept contender = requires {
  { C::name } -> std::convertible_to<std::string_view>;
  { C::fewer } -> std::convertible_to<std::size_t>;
  {
    C::run_all(int{}, std::size_t{}, [](std::size_t) { return perf::count_task{}; })
  } -> std::same_as<bool>;
};

/// Whether no more than `limit` tasks ran at once when many could have.
template <contender C>
bool holds(int limit) {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  observe const task{&running, &most, perf::rounds_for(2.0)};
  bool const succeeded = C::run_all(limit, 500, [task](std::size_t) { return task; });
  return succeeded && most > 0 && (limit == unlimited || most <= limit);
}

template <contender C>
void run_empty(benchmark::State& state, int limit, std::size_t tasks) {
  bool const limit_holds = holds<C>(limit);
  perf::answer answer(state);
  answer.expect(limit_holds);
  for (auto _ : state) {
    answer.expect(perf::measured(
        [&] { return C::run_all(limit, tasks, [](std::size_t) { return perf::count_task{}; }); }));
  }
  answer.settle(tasks, tasks);
}

template <contender C>
void run_spin(benchmark::State& state, int limit, std::size_t tasks, double microseconds) {
  std::uint64_t const rounds = perf::rounds_for(microseconds);
  bool const limit_holds = holds<C>(limit);
  perf::answer answer(state);
  answer.expect(limit_holds);
  for (auto _ : state) {
    answer.expect(perf::measured([&] {
      return C::run_all(limit, tasks,
                        [rounds](std::size_t i) { return perf::spin_task{i, rounds}; });
    }));
  }
  answer.settle(tasks, perf::sum_of_spins(tasks, rounds));
}

/// Adds all of the above for one contender.
template <contender C>
void add_all() {
  auto const add = [](char const* what, auto function, auto... arguments) {
    perf::add("limited", what, C::name,
              [=](benchmark::State& state) { function(state, arguments...); });
  };
  std::size_t const tasks = perf::sized(empty_tasks / C::fewer);
  add("empty_unlimited", run_empty<C>, unlimited, tasks);
  add("empty_1", run_empty<C>, 1, tasks);
  add("empty_2", run_empty<C>, 2, tasks);
  add("empty_4", run_empty<C>, 4, tasks);
  add("spin_1us_2", run_spin<C>, 2, perf::sized(spin_tasks / C::fewer), 1.0);
}

}  // namespace limited

#endif
