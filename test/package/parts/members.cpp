// Every member of a group, every option, and what `wait` returns. The only header is group.hpp: it
// includes all that its functions take and return.
// parts: timer timetable cleanup error_text error_context stacks exception_group task_time

#include <errgroup/group.hpp>

namespace {

int failures = 0;

void check(bool holds) { failures += holds ? 0 : 1; }

void runs() {
  using std::chrono::hours;
  using std::chrono::nanoseconds;
  errgroup::group g;
  g.run([] {});
  g.run("name", [](std::stop_token const&) {});
  g.run({.name = "name"}, [] { return std::error_code(); });
  check(g.try_run([] { return errgroup::error(); }));
  check(g.try_run("name", [] {}));
  check(!g.run_and_wait([] {}) && !g.run_and_wait("name", [] {}));
  g.run_after(nanoseconds(1), [] {});
  g.run_after(nanoseconds(1), "name", [] {});
  g.run_at(errgroup::clock::now(), [] {});
  g.run_at(std::chrono::system_clock::now(), "name", [] {});
  g.run_every(nanoseconds(1), [] { return errgroup::stop_repeating; });
  g.run_every(nanoseconds(1), "name", [] { return errgroup::stop_repeating; });
  check(g.wait_for(hours(1)) && g.wait_until(errgroup::clock::now() + hours(1)) && !g.wait());
  g.set_deadline(errgroup::clock::now() + hours(1));
  check(g.deadline() != errgroup::clock::time_point::max() && g.counts().submitted != 0);
}

void cancels() {
  errgroup::group g;
  bool called = false;
  auto const callback = g.on_cancel([&] { called = true; });
  std::stop_token const token = g.get_stop_token();
  g.cancel();
  check(called && token.stop_requested() && g.is_canceling() && g.first_error() && g.cause());
  check(g.wait() == errgroup::errc::canceled);
  g.reset();
  g.cancel(std::make_error_code(std::errc::io_error));
  check(g.wait() == std::errc::io_error);
  check(g.context().is_group_execution_cancelled());
}

void options() {
  std::stop_source source;
  tbb::task_arena arena;
  errgroup::group g{{
      .limit = 2,
      .queue = 8,
      .policy = errgroup::on_error::keep_going,
      .errors = errgroup::keep::all,
      .max_errors = 8,
      .stop = source.get_token(),
      .timeout = std::chrono::hours(1),
      .isolated = true,
      .name = "options",
      .arena = &arena,
      .exceptions = errgroup::on_exception::as_error,
      .detached = true,
  }};
  g.run("first", [] { return std::make_error_code(std::errc::io_error); });
  g.run([] { return std::make_error_code(std::errc::io_error); });
  errgroup::error const e = g.wait();
  check(e && e.code() && e.exception() && !e.message().empty() && !e.what().empty());
  check(e.others().size() == 1 && e.all().size() == 2 && e.dropped() == 0 && e.skipped() == 0);
  check(e.attempts() == 0 && e.with_context("more") && e.origin().where.line() != 0);
  check(e.get_if<int>() == nullptr && e.stack().empty());
  int raised = 0;
  try {
    e.raise();
  } catch (std::system_error const&) {
    ++raised;
  }
  try {
    e.raise_all();
  } catch (errgroup::exception_group const& all) {
    raised += all.exceptions().size() == 2 ? 1 : 0;
  }
  check(raised == 2);
  source.request_stop();
  check(g.is_canceling());
}

}  // namespace

int main() {
  runs();
  cancels();
  options();
  return failures == 0 ? 0 : 1;
}
