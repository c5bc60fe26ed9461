#ifndef ERRGROUP_PERF_SMALL_WORKLOAD_HPP
#define ERRGROUP_PERF_SMALL_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/tasks.hpp"

#include <concepts>     // convertible_to, same_as
#include <cstddef>      // size_t
#include <memory>       // make_unique
#include <string_view>  // string_view

/// The parts of a group's cost, from one thread outside.
///
/// - `made`: a group constructed and destroyed, without a task.
/// - `one`: one task run and waited for, in a group that stays alive.
/// - `idle_wait`: `wait` of a group that has no unfinished task.
///
/// The whole, a group of one task made, run, waited for and destroyed, is `flat/one`; groups of 8
/// are in error_path.
namespace small {

/// So many operations are one iteration: a call of `perf::measured` costs as much as some of them.
inline constexpr std::size_t batch = 100;

/// `wait(group)` waits, and says whether the group reported success.
template <class C>
concept contender = requires(typename C::group& group) {
  { C::name } -> std::convertible_to<std::string_view>;
  { C::wait(group) } -> std::same_as<bool>;
  group.run(perf::count_task{});
};

/// Adds `small/what/contender`: `operation()` says whether it succeeded, and runs `tasks` counted
/// tasks.
template <contender C>
void add(std::string_view what, std::size_t tasks, auto make_operation) {
  perf::add("small", what, C::name, [=](benchmark::State& state) {
    auto operation = make_operation();
    perf::answer answer(state);
    for (auto _ : state) {
      answer.expect(perf::measured([&] {
        bool right = true;
        for (std::size_t i = 0; i < batch; ++i) right &= operation();
        return right;
      }));
    }
    answer.settle(batch, batch * tasks);
  });
}

/// Adds all of the above for one contender.
template <contender C>
void add_all() {
  using group = typename C::group;
  add<C>("made", 0, [] {
    return [] {
      group fresh;
      benchmark::DoNotOptimize(&fresh);
      return true;
    };
  });
  add<C>("one", 1, [] {
    return [kept = std::make_unique<group>()] {
      kept->run(perf::count_task{});
      return C::wait(*kept);
    };
  });
  add<C>("idle_wait", 0,
         [] { return [kept = std::make_unique<group>()] { return C::wait(*kept); }; });
}

}  // namespace small

#endif
