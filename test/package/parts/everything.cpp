// Something of every part. So each part is found if it is there.
// parts: all

#include <errgroup/errgroup.hpp>
#include <errgroup/testing.hpp>

#include <chrono>    // hours
#include <optional>  // nullopt, optional
#include <sstream>   // ostringstream
#include <vector>    // vector

int main() {
  errgroup::testing::test_clock clock;
  std::ostringstream text;

  errgroup::group g;
  g.run_after(std::chrono::hours(1), [] {});
  auto one = errgroup::spawn(g, [] { return 1; });
  clock.advance(std::chrono::hours(1));
  bool right = one.get().value() == 1 && !g.wait();

  g.cancel();
  errgroup::error const e = g.wait().with_context("parts");
  text << e << e.message(errgroup::with_stack);
  try {
    e.raise_all();
    right = false;
  } catch (errgroup::exception_group const&) {
    errgroup::dump(text);
  }

  right = right && errgroup::retry({.attempts = 2}, [] { return 1; }).value() == 1;

  errgroup::progress shown({}, [](errgroup::progress_view const&) {});
  shown.add(1);
  shown.finish();

  errgroup::limiter places(2);
  errgroup::group limited{{.limiter = &places}};
  limited.run({.weight = 2, .timeout = std::chrono::hours(1)}, [] {});
  right = right && !limited.wait();

  int left = 3;
  errgroup::pipeline_stats stats;
  auto const some = [&] { return left-- > 0 ? std::optional(left) : std::nullopt; };
  right = right && !errgroup::pipeline(errgroup::options{}, stats, errgroup::stage::source(some),
                                       errgroup::stage::in_order([](int) {}));
  text << stats;

  std::vector<int> results;
  errgroup::stream<int> in_order({.limit = 2}, [&](int i) { results.push_back(i); });
  in_order.run([] { return 1; });
  right = right && !in_order.wait() && results.size() == 1;
  return right && !text.str().empty() ? 0 : 1;
}
