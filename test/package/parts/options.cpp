// A group with options, but without a timeout and a bounded queue, whose tasks fail. It is used
// without its members that wait for a time.
//
// parts:

#include <errgroup/group.hpp>

#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_token
#include <system_error>  // errc, error_code, make_error_code

int main() {
  errgroup::group g{{.limit = 2,
                     .policy = errgroup::on_error::keep_going,
                     .errors = errgroup::keep::all,
                     .name = "parts"}};
  g.run("throws", [] { throw std::runtime_error("no reason"); });
  g.run([] { return std::make_error_code(std::errc::io_error); });
  g.run({.name = "a task with options"}, [] {});
  (void)g.try_run([](std::stop_token const& stop) { (void)stop.stop_requested(); });
  auto const callback = g.on_cancel([] {});
  g.context();
  bool const failed = bool(g.wait()) && g.first_error().code() && g.counts().failed == 2;
  g.cancel();
  (void)g.is_canceling();
  g.reset();
  return failed && !g.run_and_wait([] {}) ? 0 : 1;
}
