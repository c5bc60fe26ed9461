// This library: the limit is an option.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // group, limiter, options, unlimited

namespace {

static_assert(limited::unlimited == errgroup::unlimited);

struct ours {
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t fewer = 1;

  static bool run_all(int limit, std::size_t tasks, auto make) {
    errgroup::group group{{.limit = limit}};
    for (std::size_t i = 0; i < tasks; ++i) group.run(make(i));
    return !group.wait();
  }
};

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

void add_limiters() {
  add_over_limiter<over_limiter>("spin_1us_2_places");
  add_over_limiter<two_over_limiter>("spin_1us_2_shared");
  add_over_limiter<weighed>("spin_1us_2_weighed");
}

bool const enrolled = perf::enroll(limited::add_all<ours>);
bool const enrolled_limiters = perf::enroll(add_limiters);

}  // namespace
