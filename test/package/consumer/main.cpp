// The smallest program that has something of every part of errgroup in it: templates from the
// headers, code from the library, errors and exceptions that cross from one to the other.

#include <errgroup/errgroup.hpp>
#include <errgroup/version.hpp>

#include <atomic>        // atomic
#include <cstdio>        // fprintf
#include <stdexcept>     // runtime_error
#include <string>        // string, to_string
#include <system_error>  // error_code, errc

namespace {

int failures = 0;

void check(bool holds, char const* what) {
  if (holds) return;
  std::fprintf(stderr, "consumer: %s\n", what);
  ++failures;
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

  return failures == 0 ? 0 : 1;
}
