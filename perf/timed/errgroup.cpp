// This library.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // errc, group

#include <utility>  // forward

namespace {

class ours {
 public:
  static constexpr std::string_view name = "errgroup";
  static constexpr std::size_t most = 1'000'000;
  static constexpr std::size_t most_fired = 1'000'000;

  template <class F>
  void at(timed::clock::time_point due, F&& f) {
    group_.run_at(due, std::forward<F>(f));
  }

  bool wait() { return !group_.wait(); }

  std::size_t drop() {
    group_.cancel();
    auto const error = group_.wait();
    return error.code() == errgroup::errc::canceled ? error.skipped() : 0;
  }

 private:
  errgroup::group group_;
};

bool const enrolled = perf::enroll(timed::add_all<ours>);

}  // namespace
