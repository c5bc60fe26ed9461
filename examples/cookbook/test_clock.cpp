// docs/cookbook.md: Test with the test clock.

#include <errgroup/errgroup.hpp>
#include <errgroup/testing.hpp>

#include <chrono>      // operator""h, operator""min, operator""ns
#include <functional>  // function
#include <iostream>    // cerr, cout

using namespace std::chrono_literals;

/// Asks once a minute whether a server is up, for an hour at most.
errgroup::error wait_for_server(std::function<bool()> const& is_up) {
  errgroup::group g{{.timeout = 1h, .name = "server"}};
  g.run_every(1min, [&is_up] {
    return is_up() ? errgroup::error(errgroup::stop_repeating) : errgroup::error();
  });
  return g.wait();
}

int failures = 0;

void check(bool holds, char const* what) {
  if (!holds) {
    std::cerr << "failed: " << what << '\n';
    ++failures;
  }
}

void test_that_it_ends_when_the_server_is_up() {
  using errgroup::testing::time_moves;
  errgroup::testing::test_clock const clock(time_moves::when_nothing_else_is_left);
  auto const begin = errgroup::clock::now();
  int asked = 0;
  auto err = wait_for_server([&asked] { return ++asked == 5; });
  check(!err && asked == 5, "it asks until the server is up");
  check(errgroup::clock::now() - begin == 5min, "it asks once a minute");
}

void test_that_it_gives_up_after_an_hour() {
  using errgroup::testing::time_moves;
  errgroup::testing::test_clock const clock(time_moves::when_nothing_else_is_left);
  auto const begin = errgroup::clock::now();
  auto err = wait_for_server([] { return false; });
  check(err == errgroup::errc::deadline_exceeded, "it gives up");
  check(errgroup::clock::now() - begin == 1h, "it gives up after an hour");
}

void test_the_last_moment() {
  errgroup::testing::test_clock clock;  // moves by hand
  errgroup::group g{{.timeout = 1h}};
  clock.advance(1h - 1ns);
  check(!g.is_canceling(), "there is time left");
  clock.advance(1ns);
  check(g.is_canceling(), "time is over");
  check(g.wait() == errgroup::errc::deadline_exceeded, "the error shows it");
}

int main() {
  test_that_it_ends_when_the_server_is_up();
  test_that_it_gives_up_after_an_hour();
  test_the_last_moment();
  std::cout << failures << " failures\n";
  return failures == 0 ? 0 : 1;
}
