// A program that uses most of errgroup, so that its templates are instantiated. It is compiled with
// nearly all warnings as errors, and with the headers as the program's own (-I), not as a system's.

#include "every_header.hpp"  // written by the test

#include <array>         // array
#include <atomic>        // atomic
#include <chrono>        // milliseconds, seconds
#include <cstddef>       // size_t
#include <cstdio>        // fprintf
#include <functional>    // function, plus
#include <list>          // list
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <ranges>        // iota, filter
#include <sstream>       // ostringstream, istringstream
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_token
#include <string>        // string, to_string
#include <string_view>   // string_view
#include <system_error>  // errc, error_code, make_error_code
#include <tuple>         // get
#include <utility>       // move
#include <vector>        // vector

namespace {

namespace stage = errgroup::stage;
using errgroup::errc;
using errgroup::error;
using errgroup::result;

struct status {
  int number = 0;
};

std::error_code no_space() { return std::make_error_code(std::errc::no_space_on_device); }

bool groups() {
  errgroup::group g{{.limit = 2,
                     .queue = 8,
                     .policy = errgroup::on_error::keep_going,
                     .errors = errgroup::keep::all,
                     .timeout = std::chrono::seconds(60),
                     .name = "groups"}};
  std::atomic<int> ran = 0;
  g.run([&ran] { ++ran; });
  g.run("named", [&ran](std::stop_token const&) -> std::error_code {
    ++ran;
    return no_space();
  });
  g.run({.name = "with options"}, [] { throw std::runtime_error("bad header"); });
  g.run([own = std::make_unique<int>(3)]() -> error { return errgroup::make_error(*own); });
  g.run([]() -> result<int> { return 7; });
  (void)g.try_run([&ran] { ++ran; });
  g.run_after(std::chrono::nanoseconds(1), [&ran] { ++ran; });
  g.run_at(errgroup::clock::now(), [&ran] { ++ran; });
  (void)g.wait_for(std::chrono::nanoseconds(1));
  error const err = g.wait().with_context("groups");
  (void)g.counts();
  (void)g.is_canceling();
  (void)g.get_stop_token();
  std::size_t listed = 0;
  for (error const& one : err.all()) {
    listed += one.origin().path.empty() ? 0U : 1U;
    for (errgroup::stack_frame const& call : one.stack()) {
      listed += call.address == 0 ? 1U : 0U;
    }
  }
  std::ostringstream told;
  told << err << err.message(errgroup::with_stack) << err.code() << err.what();
  try {
    err.raise_all();
  } catch (errgroup::exception_group const& all) {
    listed += all.exceptions().size();
  } catch (std::runtime_error const&) {
    return false;
  }
  error const status_of = errgroup::make_error(status{4});
  errgroup::set_lost_error_handler(nullptr);
  return ran >= 4 && listed == 6 && err.dropped() == 0 &&
         err.find_if([](error const& one) { return one.get_if<int>() != nullptr; }) != nullptr &&
         err.get_if<status>() == nullptr && status_of.get_if<status>()->number == 4 &&
         !errgroup::check();
}

bool scopes_and_handles() {
  error const err = errgroup::scope({.limit = 1}, [](errgroup::group& g) { g.cancel(); });
  errgroup::group g;
  errgroup::handle<std::string> text = errgroup::spawn(g, [] { return std::string("text"); });
  errgroup::handle<void> nothing = errgroup::spawn(g, "nothing", [] {});
  bool const is_text = *text.get() == "text";
  bool const is_done = nothing.get().has_value();
  (void)errgroup::extend::is_inside(g);
  return err == errc::canceled && is_text && is_done && !g.wait();
}

bool joins() {
  auto const one = [] { return 1; };
  auto const two = [](std::stop_token const&) -> result<long> { return 2; };
  auto const fails = []() -> result<int> { return no_space(); };
  auto const all = errgroup::all(one, two, [] {});
  auto const settled = errgroup::all_settled(one, fails);
  auto const first = errgroup::any(fails, one);
  auto const raced = errgroup::race(one, one);
  std::vector<std::function<result<int>()>> const many(5, one);
  auto const taken = errgroup::take(2, many);
  auto const last = errgroup::last(2, many);
  auto const agreed = errgroup::quorum(3, many);
  auto const tried = errgroup::retry({.attempts = 2, .delay = std::chrono::nanoseconds(1)}, fails);
  auto const falls = errgroup::waterfall(
      20, [](int i) -> result<long> { return i + 1L; },
      [](long i) { return std::to_string(2 * i); });
  std::array<error, 2> const failures = {error(no_space()), error(errc::failed)};
  error const both = errgroup::combine(failures);
  result<std::unique_ptr<int>> owner = std::make_unique<int>(5);
  auto const chained = std::move(owner)
                           .transform([](std::unique_ptr<int>&& p) { return *p; })
                           .and_then([](int i) -> result<int> { return i + 1; })
                           .or_else([](error e) -> result<int> { return e; });
  return all && !std::get<1>(settled) && first.value_or(0) == 1 && raced && taken && last &&
         agreed && tried.error().attempts() == 2 && *falls == "42" && both.all().size() == 2 &&
         *chained == 6;
}

bool algorithms() {
  std::vector<int> const numbers = {1, 2, 3, 4};
  std::list<int> const list(numbers.begin(), numbers.end());
  std::istringstream words("a b c");
  auto odd = numbers | std::views::filter([](int i) { return i % 2 != 0; });
  std::atomic<int> calls = 0;
  auto const count = [&calls](int) { ++calls; };
  bool ok = !errgroup::for_each(numbers, count) && !errgroup::for_each(list, count) &&
            !errgroup::for_each({.limit = 2}, std::views::iota(0, 3), count) &&
            !errgroup::for_each(odd, count) &&
            !errgroup::for_each(std::ranges::istream_view<std::string>(words),
                                [](std::string const&, std::stop_token const&) {});
  error const err = errgroup::for_each(
      numbers, [](int i) { return i == 3 ? no_space() : std::error_code(); },
      errgroup::named_by([](int i) { return std::to_string(i); }));
  ok = ok && err.origin().name == "3";
  auto const twice = [](int i) { return 2 * i; };
  ok = ok && errgroup::transform(numbers, twice)->size() == 4;
  ok = ok && errgroup::transform({.limit = 2}, list, twice)->size() == 4;
  ok = ok && *errgroup::reduce(numbers, 0, std::plus<>(), std::plus<>()) == 10;
  ok = ok && *errgroup::reduce({.limit = 2}, list, 0, std::plus<>(), std::plus<>()) == 10;
  errgroup::progress shown(numbers.size(), [](errgroup::progress_view const& p) {
    std::ostringstream line;
    line << p;
  });
  ok = ok && !errgroup::for_each({.progress = &shown}, numbers, count);
  shown.finish();
  return ok && calls == 17;
}

bool pipelines() {
  int left = 20;
  std::vector<std::string> written;
  errgroup::pipeline_stats stats;
  error err = errgroup::pipeline(
      {.limit = 4, .name = "pack"}, stats,
      stage::source(
          "read",
          [&]() -> std::optional<int> { return left-- > 0 ? std::optional(left) : std::nullopt; }),
      stage::parallel(stage::with_state(
          [] { return 1; }, [](int& step, int&& i) -> result<int> { return i + step; })),
      stage::many("split",
                  [](int&& i, stage::emitter<int> emit) {
                    emit(i);
                    emit(-i);
                  }),
      stage::serial([](int&& i) { return std::to_string(i); }),
      stage::in_order("write", [&](std::string&& s) -> std::error_code {
        written.push_back(std::move(s));
        return {};
      }));
  long sum = 0;
  err = err ? err
            : errgroup::pipeline(
                  stage::source(std::views::iota(0, 100), stage::batches(16)),
                  stage::parallel([](std::vector<int>&& batch) { return batch.size(); }),
                  stage::in_order([&](std::size_t n) { sum += static_cast<long>(n); }));
  std::ostringstream told;
  told << stats;

  std::vector<int> results;
  errgroup::stream<int> stream({.limit = 2, .queue = 4}, [&](int&& i) { results.push_back(i); });
  for (int i = 0; i != 10; ++i) {
    stream.run([i] { return i; });
  }
  return !err && written.size() == 40 && sum == 100 && !stream.wait() && results.size() == 10;
}

class counter : public errgroup::observer {
 public:
  void task_end(errgroup::task_view task, error const* failure) noexcept override {
    tasks += task.index() + 1 + (failure == nullptr ? 0U : 100U);
  }
  std::atomic<std::size_t> tasks = 0;
};

bool observers() {
  counter seen;
  errgroup::observer* const before = errgroup::observe(&seen);
  {
    errgroup::group g;
    g.run([] {});
    (void)g.wait();
    std::ostringstream text;
    errgroup::dump(text);
  }
  errgroup::observe(before);
  return seen.tasks == 1;
}

}  // namespace

int main() {
  struct part {
    char const* name;
    bool (*works)();
  };
  std::array<part, 6> const parts = {{{"groups", groups},
                                      {"scopes_and_handles", scopes_and_handles},
                                      {"joins", joins},
                                      {"algorithms", algorithms},
                                      {"pipelines", pipelines},
                                      {"observers", observers}}};
  int failures = 0;
  for (part const& each : parts) {
    if (!each.works()) {
      std::fprintf(stderr, "not so: %s\n", each.name);
      ++failures;
    }
  }
  return failures;
}
