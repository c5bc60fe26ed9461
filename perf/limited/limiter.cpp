// This library: a limiter, and calls that are refused.
//
// A file beside errgroup.cpp: if several loops of one file call `run`, the compiler inserts less of
// `run` into each of them, and the loop that measures a limit would pay for that.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // group, limiter, options

#include <atomic>  // atomic
#include <thread>  // thread

namespace {

struct over_limiter {
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t fewer = 1;

  static bool run_all(int limit, std::size_t tasks, auto make) {
    errgroup::limiter places(limit);
    errgroup::group group{{.limiter = &places}};
    for (std::size_t i = 0; i < tasks; ++i) group.run(make(i));
    return !group.wait();
  }
};

struct two_over_limiter {
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t fewer = 1;

  static bool run_all(int limit, std::size_t tasks, auto make) {
    errgroup::limiter places(limit);
    errgroup::group even{{.limiter = &places}};
    errgroup::group odd{{.limiter = &places}};
    for (std::size_t i = 0; i < tasks; ++i) (i % 2 == 0 ? even : odd).run(make(i));
    bool const failed = static_cast<bool>(even.wait());
    return !odd.wait() && !failed;
  }
};

struct weighed {
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t fewer = 1;

  static bool run_all(int limit, std::size_t tasks, auto make) {
    errgroup::limiter places(2 * limit);
    errgroup::group group{{.limiter = &places}};
    for (std::size_t i = 0; i < tasks; ++i) group.run({.weight = 2}, make(i));
    return !group.wait();
  }
};

template <limited::contender C>
void add_over_limiter(char const* what) {
  std::size_t const tasks = perf::sized(limited::spin_tasks);
  perf::add("limited", what, C::name,
            [tasks](benchmark::State& state) { limited::run_spin<C>(state, 2, tasks, 1.0); });
}

/// Asks a group again and again that has no free slot, or no free place.
void run_refused(benchmark::State& state, errgroup::options const& opts) {
  static constexpr std::size_t calls = 1000;
  std::atomic<bool> has_begun = false;
  std::atomic<bool> goes_on = false;
  errgroup::group group(opts);
  group.run([&] {
    has_begun = true;
    has_begun.notify_one();
    goes_on.wait(false);
  });
  std::thread waiter([&] { (void)group.wait(); });
  has_begun.wait(false);
  perf::answer answer(state);
  for (auto _ : state) {
    answer.expect(perf::measured([&] {
      bool is_accepted = false;
      for (std::size_t i = 0; i < calls; ++i) is_accepted |= group.try_run([] {});
      return !is_accepted;
    }));
  }
  answer.settle(calls);
  goes_on = true;
  goes_on.notify_one();
  waiter.join();
}

void add_limiters() {
  perf::add("limited", "try_run_full", "errgroup",
            [](benchmark::State& state) { run_refused(state, {.limit = 1}); });
  perf::add("limited", "try_run_full_places", "errgroup", [](benchmark::State& state) {
    errgroup::limiter places(1);
    run_refused(state, {.limiter = &places});
  });
  add_over_limiter<over_limiter>("spin_1us_2_places");
  add_over_limiter<two_over_limiter>("spin_1us_2_shared");
  add_over_limiter<weighed>("spin_1us_2_weighed");
}

bool const enrolled = perf::enroll(add_limiters);

}  // namespace
