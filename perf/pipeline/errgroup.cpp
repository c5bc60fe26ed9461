// This library: pipeline; and stream, beside a group with the same options.

#include "../support/tasks.hpp"
#include "workload.hpp"
#include <errgroup/errgroup.hpp>

#include <algorithm>  // min

namespace {

using pipeline::ending;
namespace stage = errgroup::stage;

/// At most `slots` items at once.
errgroup::options options_for(std::size_t slots) {
  std::size_t const lanes = std::min<std::size_t>(slots, perf::threads());
  return {.limit = static_cast<int>(lanes), .queue = slots - lanes};
}

ending ending_of(errgroup::error const& error) {
  if (!error) return ending::done;
  return error.code() == errgroup::errc::exception ? ending::thrown : ending::wrong;
}

struct ours {
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t fewer = 1;

  template <class Item>
  static ending three(std::size_t slots, auto& read, auto const& work, auto& write) {
    return ending_of(errgroup::pipeline(options_for(slots), stage::source(read),
                                        stage::parallel(work), stage::in_order(write)));
  }

  template <class Item>
  static ending five(std::size_t slots, auto& read, auto& first, auto const& work, auto& second,
                     auto& write) {
    return ending_of(errgroup::pipeline(options_for(slots), stage::source(read),
                                        stage::in_order(first), stage::parallel(work),
                                        stage::in_order(second), stage::in_order(write)));
  }
};

struct with_statistics {
  template <class Item>
  static ending three(std::size_t slots, auto& read, auto const& work, auto& write) {
    errgroup::pipeline_stats stats;
    auto const error = errgroup::pipeline(options_for(slots), stats, stage::source(read),
                                          stage::parallel(work), stage::in_order(write));
    bool const right = stats.stages.size() == 3 && stats.stages[1].calls == stats.items &&
                       stats.stages[2].calls == stats.items && stats.most_items <= slots;
    return right ? ending_of(error) : ending::wrong;
  }
};

void run_stats(benchmark::State& state, std::size_t slots, std::size_t items) {
  pipeline::run_three<with_statistics, pipeline::boxed>(state, slots, items,
                                                        pipeline::heavy{perf::rounds_for(1.0)});
}

// --- stream ---

void run_stream(benchmark::State& state, errgroup::options const& options, std::size_t tasks) {
  perf::answer answer(state);
  pipeline::processor_time const cpu;
  for (auto _ : state) {
    pipeline::order seen;
    bool const passed = perf::measured([&] {
      errgroup::stream<std::uint64_t> out{options, [&seen](std::uint64_t&& n) { seen.see(n); }};
      for (std::uint64_t i = 0; i < tasks; ++i) out.run([i] { return i; });
      return !out.wait();
    });
    answer.expect(passed && seen.right(tasks));
  }
  cpu.tell(state, tasks);
  answer.settle(tasks);
}

void run_group(benchmark::State& state, errgroup::options const& options, std::size_t tasks) {
  perf::answer answer(state);
  pipeline::processor_time const cpu;
  for (auto _ : state) {
    answer.expect(perf::measured([&] {
      errgroup::group group{options};
      for (std::size_t i = 0; i < tasks; ++i) group.run(perf::count_task{});
      return !group.wait();
    }));
  }
  cpu.tell(state, tasks);
  answer.settle(tasks, tasks);
}

void add_streams() {
  using perf::timed;
  int const limit = static_cast<int>(perf::threads());
  std::size_t const tasks = perf::sized(pipeline::stream_tasks);
  auto const add = [tasks](char const* what, errgroup::options const& options) {
    pipeline::add(what, "errgroup", timed::by_the_wall, run_stream, options, tasks);
    pipeline::add(what, "group", timed::by_the_wall, run_group, options, tasks);
  };
  add("stream", {.limit = limit, .queue = 3 * static_cast<std::size_t>(limit)});
  add("stream_64", {.limit = limit, .queue = 64});
  pipeline::add("stream", "unbounded", timed::by_the_wall, run_group, errgroup::options{}, tasks);
}

bool const enrolled = perf::enroll([] {
  pipeline::add_all<ours>();
  pipeline::add("stats_1us", ours::name, perf::timed::by_the_wall, run_stats,
                pipeline::slots_for_work(), perf::sized(pipeline::work_items));
  add_streams();
});

}  // namespace
