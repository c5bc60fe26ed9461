// Read, work, write.

#include <errgroup/pipeline.hpp>  // pipeline
#include <errgroup/stage.hpp>     // in_order, parallel, source

#include <optional>  // nullopt, optional

namespace stage = errgroup::stage;

int main() {
  int next = 0;
  int sum = 0;
  errgroup::error const error = errgroup::pipeline(
      {.limit = 2}, stage::source([&]() -> std::optional<int> {
        return next < 10 ? std::optional(++next) : std::nullopt;
      }),
      stage::parallel([](int n) { return 2 * n; }), stage::in_order([&](int n) { sum += n; }));
  return !error && sum == 110 ? 0 : 1;
}
