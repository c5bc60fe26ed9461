// SPDX-License-Identifier: Apache-2.0

// A program that hangs, for gdb_test.py: five threads are in tasks, or wait, in known places. Then
// it raises SIGTRAP, at which gdb stops it. Without gdb, the signal ends the program.

#include <errgroup/errgroup.hpp>

#include <atomic>     // atomic
#include <csignal>    // raise, SIGTRAP
#include <cstdio>     // fflush, puts
#include <latch>      // latch
#include <stdexcept>  // runtime_error
#include <thread>     // jthread

// The test prints these.
errgroup::error the_error;
errgroup::error the_code;
errgroup::error no_error;
errgroup::result<int> the_value = 7;
errgroup::result<int> no_value;
errgroup::result<void> success;
errgroup::group* the_crawl = nullptr;

namespace {

std::latch arrived(3);
std::latch never(1);

void hang() {
  arrived.count_down();
  never.wait();
}

std::atomic<bool> all_hang{false};

struct trap final : errgroup::observer {
  void wait_begin(errgroup::group_view /*g*/, errgroup::wait_kind /*kind*/) noexcept override {
    if (all_hang) {
      (void)std::raise(SIGTRAP);
    }
  }
};

void fetch() {
  errgroup::group const seeds{{.name = "seeds"}};
  errgroup::group links;
  links.run_and_wait("link 3", hang).raise();
}

}  // namespace

int main() {
  static trap on_wait;
  errgroup::group crawl{{.limit = 2, .name = "crawl"}};
  the_crawl = &crawl;
  errgroup::observe(&on_wait);
  errgroup::group broken{{.name = "broken"}};
  errgroup::group parse{{.name = "parse"}};
  errgroup::observe(nullptr);

  the_error = broken.run_and_wait("header", [] { throw std::runtime_error("bad header"); });
  the_code = errgroup::errc::deadline_exceeded;
  no_value = the_error;

  crawl.run("fetch", fetch);
  crawl.run(hang);
  for (int i = 0; i != 3; ++i) {
    crawl.run([] {});
  }
  std::jthread const first([&] { (void)crawl.wait(); });
  std::jthread const second([&] { (void)crawl.wait(); });
  std::jthread const third([&] { (void)parse.run_and_wait("page 7", hang); });
  arrived.wait();
  (void)std::puts("hangs");
  (void)std::fflush(stdout);
  all_hang = true;
  (void)parse.wait();
}
