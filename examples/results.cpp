// Every piece of code in docs/results.md, and the one about results in README.md, in functions that
// compile and run. docs/check.py compares them.

#include <errgroup/errgroup.hpp>

#include <algorithm>     // max
#include <atomic>        // atomic
#include <chrono>        // chrono_literals
#include <cstddef>       // size_t
#include <cstdio>        // fprintf
#include <functional>    // function, plus
#include <iostream>      // cerr
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <stop_token>    // stop_token
#include <string>        // stoi, string, to_string
#include <system_error>  // errc, make_error_code
#include <thread>        // sleep_for
#include <tuple>         // get, tuple
#include <type_traits>   // is_same_v
#include <variant>       // monostate
#include <vector>        // vector

namespace {

using errgroup::errc;
using namespace std::chrono_literals;

bool ok = true;

void expect(bool met, char const* what) {
  if (!met) {
    std::fprintf(stderr, "not so: %s\n", what);
    ok = false;
  }
}

// --- what the tasks do: pretend ---

struct city {
  std::string name;
};

struct weather {
  int degrees = 0;
};

struct report {
  weather sky;
  int jams = 0;
  std::size_t people = 0;
};

std::atomic<bool> south_is_down = true;
std::atomic<int> calls = 0;

auto weather_from(std::string const& station, city const&) {
  return [station](std::stop_token const&) -> errgroup::result<weather> {
    if (station == "south" && south_is_down) {
      return std::make_error_code(std::errc::host_unreachable);
    }
    return weather{21};
  };
}

errgroup::result<int> traffic_in(city const&) {
  if (++calls < 3) {
    return std::make_error_code(std::errc::connection_reset);
  }
  return 7;
}

errgroup::result<std::size_t> count_people(city const& c, std::stop_token const& stop) {
  for (int district = 0; district != 10; ++district) {
    if (stop.stop_requested()) {
      return errc::canceled;
    }
  }
  return c.name.size() * 100'000;
}

errgroup::result<int> parse(std::string const& text) {
  if (text.empty()) {
    return std::make_error_code(std::errc::invalid_argument);
  }
  return std::stoi(text);
}

void until_stopped(std::stop_token const& stop) {
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(1ms);
  }
}

// --- README.md ---

namespace together {

errgroup::result<report> report_on(city const& c) {
  auto parts = errgroup::all(
      {.timeout = 2s},
      [&] { return errgroup::any(weather_from("north", c), weather_from("south", c)); },
      errgroup::retrying({.attempts = 5, .delay = 50ms}, [&] { return traffic_in(c); }),
      [&](std::stop_token stop) { return count_people(c, stop); });
  if (!parts) {
    return parts.error();  // the first failure; the others were cancelled, and have ended
  }
  auto& [sky, jams, people] = *parts;  // a weather, an int and a size_t
  return report{sky, jams, people};
}

void check() {
  auto const r = report_on({"Rome"});
  expect(r && r->sky.degrees == 21 && r->jams == 7 && r->people == 400'000, "a report");
}

}  // namespace together

// --- docs/results.md ---

namespace a_result {

int twice(std::string const& text) {
  errgroup::result<int> r = parse(text);
  if (!r) {
    std::cerr << r.error() << '\n';
    return 0;
  }
  return 2 * *r;
}

errgroup::result<std::string> twice_as_text(std::string const& text) {
  return parse(text).transform([](int n) { return 2 * n; }).transform([](int n) {
    return std::to_string(n);
  });
}

void check() {
  expect(twice("21") == 42 && twice("") == 0, "a value, or none");
  expect(twice_as_text("21") == "42", "transform");
  expect(twice_as_text("").error() == std::errc::invalid_argument, "transform of a failure");
}

}  // namespace a_result

namespace every_value {

struct person {
  std::string name;
  int age = 0;
};

errgroup::result<person> read(std::string const& name, std::string const& age) {
  auto both = errgroup::all([&] { return name; }, [&] { return parse(age); });
  if (!both) {
    return both.error();
  }
  return person{std::get<0>(*both), std::get<1>(*both)};
}

errgroup::result<std::vector<int>> parse_all(std::vector<std::string> const& texts) {
  std::vector<std::function<errgroup::result<int>()>> calls;
  for (std::string const& text : texts) {
    calls.emplace_back([&text] { return parse(text); });
  }
  return errgroup::all({.limit = 4}, calls);
}

void check() {
  expect(read("Ann", "30")->age == 30, "all");
  expect(read("Ann", "").error().origin().index == 1, "which task failed");
  expect(parse_all({"1", "2", "3"}) == std::vector{1, 2, 3}, "in the order of the callables");
  expect(!parse_all({"1", "", "3"}), "all or nothing");
  expect(parse_all({})->empty(), "of nothing, nothing");
}

}  // namespace every_value

namespace settled {

std::size_t bad(std::vector<std::function<int()>> const& calls) {
  std::size_t count = 0;
  for (errgroup::result<int> const& r : errgroup::all_settled(calls)) {
    count += r ? 0U : 1U;
  }
  return count;
}

void check() {
  expect(bad({[] { return 1; }, []() -> int { throw 2; }, [] { return 3; }}) == 1, "one of 3");
}

}  // namespace settled

namespace first {

errgroup::result<weather> ask(city const& c) {
  auto found = errgroup::any({.timeout = 2s}, weather_from("north", c), weather_from("south", c));
  if (!found) {
    for (errgroup::error const& why : found.error().all()) {
      std::cerr << "station " << why.origin().index << ": " << why.what() << '\n';
    }
  }
  return found;
}

void check() {
  expect(ask({"Rome"})->degrees == 21, "north answers");
  auto const both = errgroup::any(weather_from("south", {"Rome"}), weather_from("south", {"Rome"}));
  expect(both.error().all().size() == 2, "both are down");
  auto const raced = errgroup::race([] { return 1; },
                                    [](std::stop_token const& stop) {
                                      until_stopped(stop);
                                      return 2;
                                    });
  expect(raced == 1, "who does not wait wins");
}

}  // namespace first

namespace some {

errgroup::result<std::vector<int>> two_quotes(
    std::vector<std::function<errgroup::result<int>()>> const& shops) {
  return errgroup::take(2, shops);
}

errgroup::result<std::string> agreed(
    std::vector<std::function<errgroup::result<std::string>()>> const& replicas) {
  return errgroup::quorum(2, replicas);
}

void check() {
  auto const closed = [] { return errgroup::result<int>(errc::failed); };
  auto const open = [] { return errgroup::result<int>(5); };
  expect(two_quotes({open, closed, open}) == std::vector{5, 5}, "two of three");
  auto const few = two_quotes({open, closed, closed});
  expect(few.error() == errc::failed && few.error().others().size() == 1, "no two of three");
  expect(two_quotes({open}).error() == errc::too_few, "two of one");
  auto const says = [](std::string const& text) {
    return [text] { return errgroup::result<std::string>(text); };
  };
  expect(agreed({says("a"), says("b"), says("a")}) == "a", "two of three agree");
  expect(agreed({says("a"), says("b")}).error() == errc::too_few, "nobody agrees");
}

}  // namespace some

namespace many {

errgroup::result<int> sum_of(std::vector<std::string> const& texts) {
  auto numbers = errgroup::transform({.limit = 4}, texts, parse);
  return numbers.and_then([](std::vector<int> const& all) {
    return errgroup::reduce(all, 0, [](int sum, int n) { return sum + n; }, std::plus<>());
  });
}

errgroup::error double_all(std::vector<int>& numbers) {
  return errgroup::for_each(numbers, [](int& n) { n *= 2; });
}

void check() {
  expect(sum_of({"1", "2", "39"}) == 42, "the sum");
  auto const failed = sum_of({"1", "2", ""});
  expect(failed.error().origin().index == 2, "which element failed");
  std::vector<int> numbers(1000, 21);
  expect(!double_all(numbers) && numbers.back() == 42, "for_each");
}

}  // namespace many

namespace in_a_row {

errgroup::result<std::string> label(std::string const& text) {
  return errgroup::waterfall(
      {.timeout = 1s}, text, parse, [](int n) { return n + 1; },
      [](int n) { return "no. " + std::to_string(n); });
}

void check() {
  expect(label("41") == "no. 42", "one after another");
  expect(label("").error().origin().index == 0, "which step failed");
}

}  // namespace in_a_row

namespace again {

errgroup::result<int> traffic(city const& c) {
  return errgroup::retry({.timeout = 10s},  // for all of it
                         {.attempts = 5,    // the first one included
                          .delay = 10ms,    // then 20 ms, 40 ms, …
                          .max_delay = 1s,
                          .jitter = 0.5,  // each up to a half shorter
                          .timeout = 2s,  // for each attempt
                          .retry_if =
                              [](errgroup::error const& e) {
                                return e == std::errc::connection_reset ||
                                       e == errc::deadline_exceeded;
                              }},
                         [&] { return traffic_in(c); });
}

errgroup::result<std::vector<int>> traffic_in_all(std::vector<city> const& cities) {
  auto const call = [](city const& c) { return [&c] { return traffic_in(c); }; };
  std::vector<errgroup::retrying<decltype(call(cities.front()))>> calls;
  for (city const& c : cities) {
    calls.emplace_back(errgroup::retry_policy{.attempts = 5}, call(c));
  }
  return errgroup::all({.limit = 2}, calls);  // a pause holds no slot
}

void check() {
  calls = 0;
  expect(traffic({"Rome"}) == 7, "the third attempt");
  calls = -100;
  auto const failed = traffic({"Rome"});
  expect(failed.error() == std::errc::connection_reset, "the last error");
  expect(failed.error().attempts() == 5, "how often");
  calls = 1;
  expect(traffic_in_all({{"Rome"}, {"Oslo"}}) == std::vector{7, 7}, "several");
}

}  // namespace again

namespace one_task {

errgroup::result<int> best_of(std::string const& a, std::string const& b) {
  errgroup::group g;
  auto left = errgroup::spawn(g, [&] { return parse(a); });
  auto right = errgroup::spawn(g, [&] { return parse(b); });
  if (auto err = g.wait()) {
    return err;
  }
  return std::max(*left.get(), *right.get());
}

void check() {
  expect(best_of("1", "2") == 2, "both");
  expect(!best_of("1", ""), "one fails");
  errgroup::group g;
  auto task = errgroup::spawn(g, until_stopped);
  task.cancel();
  expect(task.get().error() == errc::canceled, "just this one is cancelled");
  expect(!g.wait(), "... and the group goes on");
}

}  // namespace one_task

namespace own_joiner {

/// The first value that is large enough; else the largest.
class large_enough {
 public:
  explicit large_enough(int enough) : enough_(enough) {}

  errgroup::verdict on_result(std::size_t /*index*/, errgroup::result<int>&& r) {
    if (r && (!best_ || *r > *best_)) {
      best_ = *r;
    }
    return best_ && *best_ >= enough_ ? errgroup::verdict::enough : errgroup::verdict::go_on;
  }

  void on_cancel(errgroup::error const& cause) { cause_ = cause; }  // the best until then will do

  errgroup::result<int> finish() {
    if (best_) {
      return *best_;
    }
    return cause_ ? cause_ : errgroup::error(errc::too_few);
  }

 private:
  int enough_;
  std::optional<int> best_;
  errgroup::error cause_;
};

errgroup::result<int> search(std::vector<std::function<int(std::stop_token)>> const& ways) {
  return errgroup::join({.timeout = 1s}, large_enough(10), ways);
}

void check() {
  auto const finds = [](int n) { return [n](std::stop_token const&) { return n; }; };
  expect(search({finds(1), finds(12)}) == 12, "large enough");
  expect(search({finds(1), finds(2)}) == 2, "the largest");
  expect(search({}).error() == errc::too_few, "nothing");
}

}  // namespace own_joiner

namespace not_copied {

void check() {
  auto const both = errgroup::all([] { return std::make_unique<int>(1); }, [] {});
  static_assert(
      std::is_same_v<decltype(both),
                     errgroup::result<std::tuple<std::unique_ptr<int>, std::monostate>> const>);
  expect(both && *std::get<0>(*both) == 1, "values are moved");
}

}  // namespace not_copied

namespace late {

void check() {
  errgroup::options const hurry{.timeout = 10ms};
  auto const half = [](std::stop_token const& stop) {
    until_stopped(stop);
    return 1;  // maybe half of what it should be
  };
  expect(errgroup::all(hurry, half).error() == errc::deadline_exceeded, "all");
  expect(errgroup::any(hurry, half).error() == errc::deadline_exceeded, "any");
  expect(errgroup::race(hurry, half).error() == errc::deadline_exceeded, "race");
  expect(errgroup::take(hurry, 1, half).error() == errc::deadline_exceeded, "take");
  expect(errgroup::last(hurry, 1, half).error() == errc::deadline_exceeded, "last");
  expect(errgroup::quorum(hurry, 1, half).error() == errc::deadline_exceeded, "quorum");
  expect(errgroup::retry(hurry, {}, half).error() == errc::deadline_exceeded, "retry");
  expect(errgroup::waterfall(hurry, 1, [&](int, std::stop_token s) { return half(s); }).error() ==
             errc::deadline_exceeded,
         "waterfall");
  auto const own = std::get<0>(errgroup::all_settled(hurry, half));
  expect(own ? own == 1 : own.error() == errc::deadline_exceeded, "all_settled keeps what it gave");
}

}  // namespace late

}  // namespace

int main() {
  together::check();
  a_result::check();
  every_value::check();
  settled::check();
  first::check();
  some::check();
  many::check();
  in_a_row::check();
  again::check();
  one_task::check();
  own_joiner::check();
  not_copied::check();
  late::check();
  return ok ? 0 : 1;
}
