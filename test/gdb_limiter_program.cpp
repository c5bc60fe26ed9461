// SPDX-License-Identifier: Apache-2.0

// A program that hangs in tasks of a limiter, for gdb_test.py. Then it raises SIGTRAP, at which gdb
// stops it. Without gdb, the signal ends the program.

#include <errgroup/errgroup.hpp>

#include <chrono>   // hours
#include <csignal>  // raise, SIGTRAP
#include <latch>    // latch
#include <thread>   // jthread

namespace {

std::latch submitted(1);
std::latch arrived(1);
std::latch never(1);

// A thread that the limiter sends runs the task of the nested group, on a place of its own.
void fetch() {
  errgroup::group links{{.limit = 2, .name = "links"}};
  links.run("link 3", [] {
    arrived.count_down();
    never.wait();
  });
  submitted.count_down();
  never.wait();
}

}  // namespace

int main() {
  errgroup::limiter places(3);
  errgroup::group crawl{{.name = "crawl", .limiter = &places}};
  errgroup::group other{{.limiter = &places}};
  crawl.run({.name = "fetch", .weight = 2, .timeout = std::chrono::hours(1)}, fetch);
  // These threads wait, so the program needs no workers of oneTBB.
  std::jthread const first([&] { (void)crawl.wait(); });
  submitted.wait();
  other.run([] {});
  std::jthread const second([&] { (void)other.wait(); });
  arrived.wait();
  crawl.run({.priority = errgroup::priority::low}, [] {});
  crawl.run([] {});
  crawl.run({.weight = 2, .priority = errgroup::priority::high}, [] {});
  (void)std::raise(SIGTRAP);
  never.wait();
}
