#ifndef ERRGROUP_PERF_BULK_WORKLOAD_HPP
#define ERRGROUP_PERF_BULK_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/spin.hpp"

#include <concepts>     // convertible_to, same_as
#include <cstddef>      // size_t
#include <cstdint>      // uint32_t, uint64_t
#include <numeric>      // accumulate, iota
#include <string_view>  // string_view
#include <vector>       // vector

/// One function for all elements of a vector.
///
/// - `for_each`, `transform`, `reduce`: 10^6 elements that take less than a nanosecond: each is
///   changed in place; into a new vector; summed up. What dividing a range costs.
/// - `for_each_10us`, `transform_10us`, `reduce_10us`: 10^4 elements of 10 us each: what looking
///   whether to go on costs, and whether threads are done at the same time.
/// - `for_each_100ns`: 10^6 elements of 100 ns each. errgroup only, without a progress and with one
///   (`for_each_100ns_shown`). What counting costs.
/// - `for_each_few`: 16 elements of next to nothing: what a call costs.
namespace bulk {

inline constexpr std::size_t many = 1'000'000;
inline constexpr std::size_t long_ones = 10'000;
inline constexpr double short_one = 0.1;  // us
inline constexpr std::size_t few = 16;

using number = std::uint32_t;

/// `for_each(v, f)` calls `f(number&)` for each element, `transform(v, f)` gives a vector of what
/// `f(number)` makes of them, `reduce(v, f)` the sum of what `f(number)` makes of them, a
/// `std::uint64_t`. Each as somebody would write it who wants to know whether it succeeded.
template <class C>
concept contender = requires(std::vector<number>& v) {
  { C::name } -> std::convertible_to<std::string_view>;
  {
    C::for_each(v, [](number&) {})
  } -> std::same_as<bool>;
  {
    C::transform(v, [](number n) { return n; })
  } -> std::same_as<std::vector<number>>;
  {
    C::reduce(v, [](number n) { return n; })
  } -> std::same_as<std::uint64_t>;
};

inline std::vector<number> numbers(std::size_t count) {
  std::vector<number> v(count);
  std::iota(v.begin(), v.end(), number{1});
  return v;
}

inline number step(number n) { return n * 3 + 1; }

/// What is done with an element: next to nothing, or work of a known length.
struct light {
  number operator()(number n) const { return step(n); }
};
struct heavy {
  std::uint64_t rounds;
  number operator()(number n) const { return static_cast<number>(perf::spin(n, rounds)); }
};

template <class Work>
std::uint64_t expected_sum(std::vector<number> const& v, Work work) {
  std::uint64_t sum = 0;
  for (number const n : v) sum += work(n);
  return sum;
}

/// The elements change each time, so their last values tell whether each was changed each time.
template <contender C>
void run_for_each(benchmark::State& state, std::size_t elements) {
  auto v = numbers(elements);
  auto check = v;
  perf::answer answer(state);
  std::uint64_t times = 0;
  for (auto _ : state) {
    answer.expect(perf::measured([&] { return C::for_each(v, [](number& n) { n = step(n); }); }));
    ++times;
  }
  for (; times != 0; --times) {
    for (number& n : check) n = step(n);
  }
  answer.expect(v == check);
  answer.settle(elements);
}

/// Only that each element was changed is checked here; what long work gives is `reduce_10us`' to
/// tell.
template <contender C>
void run_long_for_each(benchmark::State& state, std::size_t elements) {
  heavy const work{perf::rounds_for(10)};
  auto v = numbers(elements);
  perf::answer answer(state);
  number times = 0;
  for (auto _ : state) {
    answer.expect(perf::measured(
        [&] { return C::for_each(v, [work](number& n) { n += 1 + (work(n) & 0); }); }));
    ++times;
  }
  auto expected = numbers(elements);
  for (number& n : expected) n += times;
  answer.expect(v == expected);
  answer.settle(elements);
}

template <contender C, class Work>
void transform_with(benchmark::State& state, std::size_t elements, Work work) {
  auto const v = numbers(elements);
  std::uint64_t const expected = expected_sum(v, work);
  perf::answer answer(state);
  for (auto _ : state) {
    auto const made = perf::measured([&] { return C::transform(v, work); });
    benchmark::DoNotOptimize(made.data());
  }
  auto const made = C::transform(v, work);
  answer.expect(made.size() == elements &&
                std::accumulate(made.begin(), made.end(), std::uint64_t{0}) == expected);
  answer.settle(elements);
}

template <contender C, class Work>
void reduce_with(benchmark::State& state, std::size_t elements, Work work) {
  auto const v = numbers(elements);
  std::uint64_t const expected = expected_sum(v, work);
  perf::answer answer(state);
  for (auto _ : state) {
    answer.expect(perf::measured([&] { return C::reduce(v, work); }) == expected);
  }
  answer.settle(elements);
}

template <contender C>
void run_transform(benchmark::State& state, std::size_t elements) {
  transform_with<C>(state, elements, light{});
}
template <contender C>
void run_long_transform(benchmark::State& state, std::size_t elements) {
  transform_with<C>(state, elements, heavy{perf::rounds_for(10)});
}
template <contender C>
void run_reduce(benchmark::State& state, std::size_t elements) {
  reduce_with<C>(state, elements, light{});
}
template <contender C>
void run_long_reduce(benchmark::State& state, std::size_t elements) {
  reduce_with<C>(state, elements, heavy{perf::rounds_for(10)});
}

/// Adds all of the above for one contender.
template <contender C>
void add_all() {
  auto const add = [](char const* what, auto function, auto... arguments) {
    return perf::add("bulk", what, C::name,
                     [=](benchmark::State& state) { function(state, arguments...); });
  };
  add("for_each", run_for_each<C>, perf::sized(many));
  add("transform", run_transform<C>, perf::sized(many));
  add("reduce", run_reduce<C>, perf::sized(many));
  add("for_each_10us", run_long_for_each<C>, perf::sized(long_ones));
  add("transform_10us", run_long_transform<C>, perf::sized(long_ones));
  add("reduce_10us", run_long_reduce<C>, perf::sized(long_ones));
  add("for_each_few", run_for_each<C>, few);
}

}  // namespace bulk

#endif
