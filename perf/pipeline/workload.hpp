#ifndef ERRGROUP_PERF_PIPELINE_WORKLOAD_HPP
#define ERRGROUP_PERF_PIPELINE_WORKLOAD_HPP

#include "../support/harness.hpp"
#include "../support/spin.hpp"

#include <algorithm>    // sort
#include <chrono>       // duration, steady_clock
#include <concepts>     // convertible_to, same_as
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <memory>       // make_unique, unique_ptr
#include <optional>     // optional
#include <stdexcept>    // runtime_error
#include <string_view>  // string_view
#include <type_traits>  // is_same_v
#include <utility>      // move
#include <vector>       // vector

/// Items go through stages: a source, a parallel stage, and a last stage in order.
///
/// - `empty_16`, `empty_64`: 10^5 items that can only be moved, a `std::unique_ptr`, and next to no
///   work. At most 16 or 64 items are in the pipeline at once: the slots. What an item costs.
/// - `plain_64`: the same with items that are numbers, which oneTBB stores without an allocation.
/// - `deep_16`, `deep_64`: the same items as `empty` in 5 stages: source, in order, parallel, in
///   order, in order.
/// - `work_1us`, `work_10us`: the parallel stage takes that long for an item. There are four slots
///   for each thread. Efficiency is serial time / (threads * time).
/// - `throw`: a pipeline whose parallel stage throws for item 1,000, from the call to its return.
/// - `latency`: the same with 1 us of work for each item, from the throw to the return of the call.
///   The mean is the benchmark's time, `p50` and `p99` (in seconds) are beside it.
/// - `short`: a pipeline of 16 items, made and run.
/// - `stats_1us`: `work_1us` with statistics. (errgroup only.)
/// - `stream`, `stream_64`: 10^5 empty tasks from one thread, with a limit of the number of
///   threads, and a queue of three times the limit, or of 64. The contender `errgroup` is a stream,
///   `group` is a group with the same options, `unbounded` is a group without options.
///
/// The counter `cpu` is the processor time of the whole process for each item, in seconds.
///
/// Each stage in order checks the number in each item. So an item that is lost, doubled, or in the
/// wrong place is a wrong answer, and a call of the parallel stage that is missing is one, too.
namespace pipeline {

inline constexpr std::size_t empty_items = 100'000;
inline constexpr std::size_t work_items = 100'000;
inline constexpr std::size_t long_work_items = 10'000;
inline constexpr std::size_t short_items = 16;
inline constexpr std::size_t failing = 1'000;
inline constexpr std::size_t endless = 1'000'000'000;
inline constexpr std::size_t latency_trials = 200;
inline constexpr std::size_t stream_tasks = 100'000;

/// An item that can only be moved, and an item that is a number.
using boxed = std::unique_ptr<std::uint64_t>;
using plain = std::uint64_t;

inline std::uint64_t& number_in(boxed& one) noexcept { return *one; }
inline std::uint64_t& number_in(plain& one) noexcept { return one; }

/// The source: items with the numbers from 0.
template <class Item>
class numbers {
 public:
  explicit numbers(std::size_t count) : count_(count) {}

  std::optional<Item> operator()() {
    if (next_ == count_) return {};
    if constexpr (std::is_same_v<Item, boxed>) {
      return std::make_unique<std::uint64_t>(next_++);
    } else {
      return next_++;
    }
  }

 private:
  std::uint64_t next_ = 0;
  std::uint64_t count_;
};

/// What the parallel stage does with a number: next to nothing, or work of a known length.
struct light {
  std::uint64_t operator()(std::uint64_t n) const noexcept { return 3 * n + 1; }
};
struct heavy {
  std::uint64_t rounds;
  std::uint64_t operator()(std::uint64_t n) const noexcept { return perf::spin(n, rounds); }
};

using clock = std::chrono::steady_clock;

/// What the parallel stage throws.
struct thrown : std::runtime_error {
  thrown() : std::runtime_error("item failed") {}
};

/// The same work, but item number `failing` throws, and tells when.
template <class Work>
struct throwing {
  Work work;
  clock::time_point* at;
  std::uint64_t operator()(std::uint64_t n) const {
    std::uint64_t const result = work(n);
    if (n == failing) {
      *at = clock::now();
      throw thrown();
    }
    return result;
  }
};

/// The parallel stage.
template <class Item, class Work>
struct worker {
  Work work;
  Item operator()(Item&& one) const {
    number_in(one) = work(number_in(one));
    return std::move(one);
  }
};

/// Checks the numbers that a stage in order sees: those that `work` makes of 0, 1, 2 …
/// Each kind of work here maps n to scale * n + shift, modulo 2^64.
class alignas(128) order {
 public:
  /// The numbers that the source has made.
  order() : next_(0), scale_(1) {}
  template <class Work>
  explicit order(Work const& work) : next_(work(0)), scale_(work(1) - work(0)) {}

  void see(std::uint64_t n) noexcept {
    right_ = right_ && n == next_;
    next_ += scale_;
    ++seen_;
  }
  /// Whether the numbers were right, as far as they came.
  bool right() const noexcept { return right_; }
  bool right(std::size_t count) const noexcept { return right_ && seen_ == count; }
  std::size_t seen() const noexcept { return seen_; }

 private:
  std::uint64_t next_;
  std::uint64_t scale_;
  std::size_t seen_ = 0;
  bool right_ = true;
};

/// A stage in order that passes an item on.
template <class Item>
struct passer {
  order& seen;
  Item operator()(Item&& one) {
    seen.see(number_in(one));
    return std::move(one);
  }
};

/// The last stage, in order.
template <class Item>
struct taker {
  order& seen;
  void operator()(Item&& one) {
    Item taken = std::move(one);
    seen.see(number_in(taken));
  }
};

/// How a pipeline has ended.
enum class ending { done, thrown, wrong };

/// `three(slots, read, work, write)` carries items from the source `read` through the parallel
/// stage `work` to the last stage `write`, which gets them in order, and tells how that ended.
/// `five(slots, read, first, work, second, write)` has a stage in order before and after `work`.
/// At most `slots` items are in the pipeline at once. `fewer` divides the number of items, for a
/// contender that takes microseconds for each.
template <class C>
concept contender =
    requires(std::size_t slots, numbers<boxed> read, worker<boxed, light> const& work,
             passer<boxed> pass, taker<boxed> write) {
      { C::name } -> std::convertible_to<std::string_view>;
      { C::fewer } -> std::convertible_to<std::size_t>;
      { C::template three<boxed>(slots, read, work, write) } -> std::same_as<ending>;
      { C::template five<boxed>(slots, read, pass, work, pass, write) } -> std::same_as<ending>;
    };

/// The processor time of the whole process since this object was made.
class processor_time {
 public:
  /// Sets the counter `cpu` to the time for each of `each` parts of an iteration.
  void tell(benchmark::State& state, std::size_t each) const {
    double const parts = static_cast<double>(each) * static_cast<double>(state.iterations());
    state.counters["cpu"] = (perf::cpu_time::now().process - before_) / parts;
  }

 private:
  double before_ = perf::cpu_time::now().process;
};

/// Times are for each item, or for the whole pipeline.
enum class per { item, run };

template <class C, class Item, class Work>
void run_three(benchmark::State& state, std::size_t slots, std::size_t items, Work work,
               per what = per::item) {
  worker<Item, Work> const middle{work};
  perf::answer answer(state);
  processor_time const cpu;
  for (auto _ : state) {
    numbers<Item> read(items);
    order seen(work);
    taker<Item> write{seen};
    answer.expect(perf::measured([&] {
                    return C::template three<Item>(slots, read, middle, write);
                  }) == ending::done);
    answer.expect(seen.right(items));
  }
  std::size_t const each = what == per::item ? items : 1;
  cpu.tell(state, each);
  answer.settle(each);
}

template <contender C>
void run_five(benchmark::State& state, std::size_t slots, std::size_t items) {
  worker<boxed, light> const middle{};
  perf::answer answer(state);
  processor_time const cpu;
  for (auto _ : state) {
    numbers<boxed> read(items);
    order seen_first;
    order seen_second(middle.work);
    order seen_last(middle.work);
    passer<boxed> first{seen_first};
    passer<boxed> second{seen_second};
    taker<boxed> write{seen_last};
    answer.expect(perf::measured([&] {
                    return C::template five<boxed>(slots, read, first, middle, second, write);
                  }) == ending::done);
    answer.expect(seen_first.right(items) && seen_second.right(items) && seen_last.right(items));
  }
  cpu.tell(state, items);
  answer.settle(items);
}

/// What a pipeline has cost that fails.
struct failure_times {
  std::chrono::duration<double> whole;
  std::chrono::duration<double> from_throw;
};

template <contender C, class Work>
failure_times fail_once(std::size_t slots, Work work, perf::answer& answer) {
  clock::time_point at;
  worker<boxed, throwing<Work>> const middle{{work, &at}};
  numbers<boxed> read(endless);
  order seen(work);
  taker<boxed> write{seen};
  auto const begin = clock::now();
  ending const end =
      perf::measured([&] { return C::template three<boxed>(slots, read, middle, write); });
  auto const returned = clock::now();
  answer.expect(end == ending::thrown && seen.right() && seen.seen() <= failing);
  return {returned - begin, returned - at};
}

template <contender C>
void run_throw(benchmark::State& state, std::size_t slots) {
  perf::answer answer(state);
  processor_time const cpu;
  for (auto _ : state) state.SetIterationTime(fail_once<C>(slots, light{}, answer).whole.count());
  cpu.tell(state, 1);
  answer.settle(1);
}

template <contender C>
void run_latency(benchmark::State& state, std::size_t slots) {
  heavy const work{perf::rounds_for(1.0)};
  perf::answer answer(state);
  std::vector<double> seconds;
  for (auto _ : state) {
    seconds.push_back(fail_once<C>(slots, work, answer).from_throw.count());
    state.SetIterationTime(seconds.back());
  }
  std::sort(seconds.begin(), seconds.end());
  state.counters["p50"] = seconds[seconds.size() / 2];
  state.counters["p99"] = seconds[seconds.size() * 99 / 100];
  answer.settle(1);
}

template <contender C>
void run_work(benchmark::State& state, std::size_t slots, std::size_t items, double microseconds) {
  run_three<C, boxed>(state, slots, items, heavy{perf::rounds_for(microseconds)});
}

/// Adds the benchmark `pipeline/what/contender`, which calls `function(state, arguments...)`.
auto* add(std::string_view what, std::string_view contender, perf::timed time, auto function,
          auto... arguments) {
  return perf::add(
      "pipeline", what, contender, [=](benchmark::State& state) { function(state, arguments...); },
      time);
}

/// Four items for each thread, as oneTBB's documentation and `errgroup::options` have it.
inline std::size_t slots_for_work() { return std::size_t{4} * perf::threads(); }

/// Adds all of the above for one contender.
template <contender C>
void add_all() {
  using perf::timed;
  std::size_t const empty = perf::sized(empty_items / C::fewer);
  auto const measure = [](std::string_view what, auto function, auto... arguments) {
    add(what, C::name, timed::by_the_wall, function, arguments...);
  };
  measure("empty_16", run_three<C, boxed, light>, std::size_t{16}, empty, light{}, per::item);
  measure("empty_64", run_three<C, boxed, light>, std::size_t{64}, empty, light{}, per::item);
  measure("plain_64", run_three<C, plain, light>, std::size_t{64}, empty, light{}, per::item);
  measure("deep_16", run_five<C>, std::size_t{16}, empty);
  measure("deep_64", run_five<C>, std::size_t{64}, empty);
  measure("work_1us", run_work<C>, slots_for_work(), perf::sized(work_items / C::fewer), 1.0);
  measure("work_10us", run_work<C>, slots_for_work(), perf::sized(long_work_items / C::fewer),
          10.0);
  measure("short", run_three<C, boxed, light>, std::size_t{16}, short_items, light{}, per::run);
  add("throw", C::name, timed::by_hand, run_throw<C>, slots_for_work());
  auto* const latency = add("latency", C::name, timed::by_hand, run_latency<C>, slots_for_work());
  if (!perf::smoke()) latency->Iterations(latency_trials);
}

}  // namespace pipeline

#endif
