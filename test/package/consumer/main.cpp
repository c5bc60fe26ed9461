// The smallest program that has something of every part of errgroup in it: templates from the
// headers, code from the library, errors and exceptions that cross from one to the other.

#include <errgroup/errgroup.hpp>
#include <errgroup/version.hpp>

#include <atomic>        // atomic
#include <chrono>        // nanoseconds
#include <cstdio>        // fprintf
#include <exception>     // exception_ptr
#include <functional>    // function, plus
#include <list>          // list
#include <stdexcept>     // runtime_error
#include <string>        // string, to_string
#include <system_error>  // error_code, errc
#include <vector>        // vector

namespace {

int failures = 0;

void check(bool holds, char const* what) {
  if (holds) return;
  std::fprintf(stderr, "consumer: %s\n", what);
  ++failures;
}

// All that gives or takes a container of the standard library. The consumer may have containers of
// another layout than the library: it may be compiled with -D_GLIBCXX_DEBUG.
void containers() {
  errgroup::group g{{.policy = errgroup::on_error::keep_going,
                     .errors = errgroup::keep::all,
                     .name = "a name that is too long for the string itself"}};
  g.run("first", [] { throw std::runtime_error("bad header"); });
  g.run("second", [] { throw std::runtime_error("bad footer"); });
  errgroup::error const err = g.wait().with_context("publish x");
  check(err.all().size() == 2 && err.others().size() == 1, "both failures must be listed");
  for (errgroup::error const& one : err.all()) {
    check(one.origin().path.ends_with(one.origin().name), "a path ends with the task's name");
    for (errgroup::stack_frame const& call : one.stack()) {
      check(call.address != 0, "a call has an address");
    }
  }
  check(err.message(errgroup::with_stack).find("bad footer") != std::string::npos,
        "the message must have all failures");
  try {
    err.raise_all();
  } catch (errgroup::exception_group const& all) {
    std::vector<std::exception_ptr> const exceptions = all.exceptions();
    check(exceptions.size() == 2 && exceptions[1] == err.others()[0].exception(),
          "an exception_group must have both exceptions");
  }

  std::vector<errgroup::error> const list(err.all().begin(), err.all().end());
  errgroup::error const combined = errgroup::combine(list);
  check(combined.all().size() == 2, "combine must list what it was given");
  errgroup::error const made = errgroup::make_error(std::vector<int>{1, 2, 3});
  check(*made.get_if<std::vector<int>>() == std::vector<int>{1, 2, 3},
        "make_error must keep a container");

  std::list<int> const numbers{1, 2, 3};
  check(!errgroup::for_each(numbers, [](int) {}), "for_each must work on a list");
  auto const strings = errgroup::transform(numbers, [](int i) { return std::to_string(i); });
  check(strings && *strings == std::vector<std::string>{"1", "2", "3"},
        "transform must keep the order");
  check(*errgroup::reduce({.limit = 2}, numbers, 0, std::plus<>(), std::plus<>()) == 6,
        "reduce must add");

  std::vector<std::function<errgroup::result<std::vector<int>>()>> const calls(
      3, [] { return std::vector<int>{7}; });
  check(errgroup::all(calls)->size() == 3, "all must give a vector of vectors");
  std::vector<std::function<errgroup::error()>> const fail(
      2, [] { return errgroup::make_error("no"); });
  check(errgroup::any(fail).error().message().find("no") != std::string::npos,
        "any must tell a failure");
  errgroup::retry_policy const policy{
      .attempts = 2,
      .delay = std::chrono::nanoseconds(1),
      .retry_if = [](errgroup::error const& e) { return e == errgroup::errc::failed; }};
  check(errgroup::retry(policy, fail[0]).error().attempts() == 2, "retry must try twice");
}

}  // namespace

int main() {
  auto version = std::to_string(ERRGROUP_VERSION_MAJOR) + '.' +
                 std::to_string(ERRGROUP_VERSION_MINOR) + '.' +
                 std::to_string(ERRGROUP_VERSION_PATCH);
  check(version == EXPECTED_VERSION, "the headers are of another version than the package");

  errgroup::group fine{{.limit = 2}};
  std::atomic<int> ran = 0;
  for (int i = 0; i < 100; ++i) fine.run([&ran] { ++ran; });
  check(!fine.wait(), "a group whose tasks all succeed must succeed");
  check(ran == 100, "every task must have run");

  errgroup::group coded;
  coded.run([] { return std::make_error_code(std::errc::io_error); });
  check(coded.wait().code() == std::errc::io_error, "the code a task returns must be the error");

  errgroup::group thrown;
  thrown.run([] { throw std::runtime_error("the task's own words"); });
  std::string words;
  try {
    thrown.wait().raise();
  } catch (std::runtime_error const& e) {
    words = e.what();
  }
  check(words == "the task's own words", "what a task throws must arrive");

  errgroup::group canceled;
  canceled.cancel();
  check(canceled.wait().code() == errgroup::errc::canceled, "a cancelled group must say so");

  containers();

  return failures == 0 ? 0 : 1;
}
