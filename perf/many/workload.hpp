#ifndef ERRGROUP_PERF_MANY_WORKLOAD_HPP
#define ERRGROUP_PERF_MANY_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/tasks.hpp"

#include <chrono>       // duration, steady_clock
#include <concepts>     // convertible_to, same_as
#include <cstddef>      // size_t
#include <deque>        // deque
#include <string_view>  // string_view

/// Many groups are alive at once: does what one of them does cost more because of the others?
///
/// - `cancel_100`, `cancel_100k`: one thread outside cancels single groups beside 100 or 100,000
///   idle groups. Each group has a stop token, of which raw oneTBB has no equivalent. The time is
///   that of `cancel` alone.
/// - `limited_1k`, `limited_4k`, `limited_16k`: so many limited groups are made; each runs one task
///   and is waited for; then all are destroyed. A time per group that grows with their number is a
///   cost that is not linear.
namespace many {

inline constexpr int limit = 2;
inline constexpr std::size_t cancelled = 100;  // so many of the groups, in each iteration

template <class C>
concept contender = requires(typename C::cancellable& one, typename C::limited& small) {
  { C::name } -> std::convertible_to<std::string_view>;
  one.cancel();
  { one.is_canceled() } -> std::same_as<bool>;
  { one.renew() } -> std::same_as<bool>;  // as if never cancelled; whether it was
  { small.run_one() } -> std::same_as<bool>;
};

template <contender C>
void run_cancel(benchmark::State& state, std::size_t alive) {
  using clock = std::chrono::steady_clock;
  std::deque<typename C::cancellable> all(alive);
  std::size_t const step = alive / cancelled;
  perf::answer answer(state);
  for (auto _ : state) {
    auto const start = clock::now();
    perf::measured([&] {
      for (std::size_t i = 0; i < alive; i += step) all[i].cancel();
    });
    state.SetIterationTime(std::chrono::duration<double>(clock::now() - start).count());
    for (std::size_t i = 0; i < alive; i += step) {
      answer.expect(all[i].is_canceled() && all[i].renew() && !all[i].is_canceled());
      answer.expect(step == 1 || !all[i + 1].is_canceled());
    }
  }
  answer.settle(cancelled, 0);
}

template <contender C>
void run_limited(benchmark::State& state, std::size_t alive) {
  perf::answer answer(state);
  for (auto _ : state) {
    answer.expect(perf::measured([&] {
      std::deque<typename C::limited> all(alive);
      bool right = true;
      for (auto& each : all) right &= each.run_one();
      return right;
    }));
  }
  answer.settle(alive, alive);
}

/// Adds all of the above for one contender.
template <contender C>
void add_all() {
  auto const add_cancel = [](char const* what, std::size_t alive) {
    perf::add(
        "many", what, C::name, [=](benchmark::State& state) { run_cancel<C>(state, alive); },
        perf::timed::by_hand);
  };
  auto const add_limited = [](char const* what, std::size_t alive) {
    perf::add("many", what, C::name,
              [=](benchmark::State& state) { run_limited<C>(state, perf::sized(alive)); });
  };
  add_cancel("cancel_100", cancelled);
  add_cancel("cancel_100k", perf::smoke() ? 10 * cancelled : 1'000 * cancelled);
  add_limited("limited_1k", 1'000);
  add_limited("limited_4k", 4'000);
  add_limited("limited_16k", 16'000);
}

}  // namespace many

#endif
