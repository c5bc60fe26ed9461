// This library.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>

#include <functional>    // plus
#include <system_error>  // errc, make_error_code
#include <tuple>         // get
#include <utility>       // move

namespace {

struct ours {
  static constexpr std::string_view name = "errgroup";

  static bool for_each(std::vector<bulk::number>& v, auto f) { return !errgroup::for_each(v, f); }

  static auto transform(std::vector<bulk::number> const& v, auto f) {
    return std::move(errgroup::transform(v, f)).value();
  }

  static std::uint64_t reduce(std::vector<bulk::number> const& v, auto f) {
    return errgroup::reduce(
               v, std::uint64_t{0}, [&f](std::uint64_t sum, bulk::number n) { return sum + f(n); },
               std::plus<>())
        .value();
  }
};

// --- progress ---

/// With `Shown`, a progress counts the elements, and is shown to no one.
template <bool Shown>
void run_short_for_each(benchmark::State& state, std::size_t elements) {
  auto const v = bulk::numbers(elements);
  std::vector<bulk::number> to(elements);
  bulk::heavy const work{perf::rounds_for(bulk::short_one)};
  auto const each = [&](bulk::number const& n) {
    to[static_cast<std::size_t>(&n - v.data())] = work(n);
  };
  perf::answer answer(state);
  for (auto _ : state) {
    std::size_t counted = Shown ? 0 : elements;
    answer.expect(perf::measured([&] {
      if constexpr (Shown) {
        errgroup::progress shown(elements, [&](errgroup::progress_view const& p) {
          if (p.is_final) counted = p.done;
        });
        return !errgroup::for_each({.progress = &shown}, v, each);
      } else {
        return !errgroup::for_each(v, each);
      }
    }));
    answer.expect(counted == elements);
  }
  std::uint64_t sum = 0;
  for (bulk::number const n : to) sum += n;
  answer.expect(sum == bulk::expected_sum(v, work));
  answer.settle(elements);
}

// --- one function for several calls ---

int next_to_nothing(int n) {
  benchmark::DoNotOptimize(n);
  return n + 1;
}

/// Three values from three calls, as it is written without `all`.
bool three_by_hand() {
  errgroup::group group;
  int a = 0;
  int b = 0;
  int c = 0;
  group.run([&a] { a = next_to_nothing(1); });
  group.run([&b] { b = next_to_nothing(2); });
  group.run([&c] { c = next_to_nothing(3); });
  return !group.wait() && a + b + c == 9;
}

bool three_by_all() {
  auto const all =
      errgroup::all([] { return next_to_nothing(1); }, [] { return next_to_nothing(2); },
                    [] { return next_to_nothing(3); });
  return all && std::get<0>(*all) + std::get<1>(*all) + std::get<2>(*all) == 9;
}

bool any_of_three() {
  auto const any =
      errgroup::any([] { return next_to_nothing(1); }, [] { return next_to_nothing(2); },
                    [] { return next_to_nothing(3); });
  return any && *any > 1;
}

bool retry_at_once() {
  auto const one = errgroup::retry({}, [] { return next_to_nothing(1); });
  return one && *one == 2;
}

/// Two failures, and no pause after them but what it takes to come round.
bool retry_twice() {
  int attempts = 0;
  auto const one = errgroup::retry({.delay = {}}, [&]() -> errgroup::result<int> {
    if (++attempts < 3) return std::make_error_code(std::errc::io_error);
    return attempts;
  });
  return one && *one == 3;
}

bool spawned() {
  errgroup::group group;
  auto handle = errgroup::spawn(group, [] { return next_to_nothing(1); });
  bool const right = !group.wait();
  return right && *handle.get() == 2;
}

template <bool (*Call)()>
void run_calls(benchmark::State& state) {
  perf::answer answer(state);
  for (auto _ : state) {
    answer.expect(perf::measured(Call));
  }
  answer.settle(1);
}

void add_calls() {
  bulk::add_all<ours>();
  std::size_t const elements = perf::sized(bulk::many);
  perf::add("bulk", "for_each_100ns", "errgroup",
            [=](benchmark::State& state) { run_short_for_each<false>(state, elements); });
  perf::add("bulk", "for_each_100ns_shown", "errgroup",
            [=](benchmark::State& state) { run_short_for_each<true>(state, elements); });
  perf::add("bulk", "three_calls", "by_hand", run_calls<three_by_hand>);
  perf::add("bulk", "three_calls", "errgroup", run_calls<three_by_all>);
  perf::add("bulk", "any", "errgroup", run_calls<any_of_three>);
  perf::add("bulk", "retry", "errgroup", run_calls<retry_at_once>);
  perf::add("bulk", "retry_twice", "errgroup", run_calls<retry_twice>);
  perf::add("bulk", "spawn", "errgroup", run_calls<spawned>);
}

bool const enrolled = perf::enroll(add_calls);

}  // namespace
