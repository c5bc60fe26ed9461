// SPDX-License-Identifier: Apache-2.0

// The program of test/trace_test.py: traced MODE [PATH [EVENTS [FLUSHES]]]. It prints what the file
// has to tell, as `name=value` lines.

#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/errgroup.hpp>
#include <errgroup/trace.hpp>

#include <signal.h>  // raise, SIGUSR1

#include <atomic>        // atomic
#include <cstdio>        // printf
#include <cstdlib>       // exit
#include <exception>     // exception
#include <filesystem>    // copy_file
#include <optional>      // optional
#include <stdexcept>     // runtime_error
#include <string>        // stoi, stoul, string
#include <string_view>   // string_view
#include <system_error>  // errc
#include <thread>        // thread
#include <vector>        // vector

namespace {

std::atomic<int> tasks{0};

void count() { tasks.fetch_add(1); }

/// A task in a task, with a wait between them.
void run_nested(int depth) {
  count();
  if (depth != 0) {
    errgroup::group inner{{.name = "inner"}};
    inner.run([depth] { run_nested(depth - 1); });
    inner.run([] { count(); });
    (void)inner.wait();
  }
}

void run_tree(int depth) {
  errgroup::group g{{.name = "tree"}};
  (void)g.run_and_wait([depth] { run_nested(depth); });
}

void run_many(std::size_t n) {
  errgroup::group g{{.limit = 2, .queue = 8}};
  for (std::size_t i = 0; i != n; ++i) {
    g.run([] { count(); });
  }
  (void)g.wait();
}

void tell(std::size_t skipped) { std::printf("tasks=%d\nskipped=%zu\n", tasks.load(), skipped); }

/// All kinds of events.
void story() {
  errgroup::group g{{.name = "outer \"quoted\" \\ \n \xff\xfe größe"}};
  g.run("first \"task\" \xc3", [] { run_nested(3); });
  g.run([] { run_nested(2); });
  (void)g.wait();

  run_many(100);  // waits for room, if its tasks are slow

  errgroup::group h{{.name = "handles"}};
  auto answer = errgroup::spawn(h, [] {
    count();
    return 42;
  });
  count();  // `spawn` gives each task a group, with one more task
  (void)answer.get();
  (void)h.wait();

  // One task fails; the second has begun before that; the rest is skipped.
  errgroup::group fails{{.limit = 1, .name = "fails"}};
  fails.run("bad", []() -> std::error_code {
    count();
    return std::make_error_code(std::errc::no_space_on_device);
  });
  (void)fails.wait();
  for (int i = 0; i != 5; ++i) {
    fails.run([] { count(); });
  }
  auto const err = fails.wait();

  errgroup::group throws{{.policy = errgroup::on_error::keep_going}};
  throws.run([] {
    count();
    throw std::runtime_error(std::string(300, 'x') +
                             " a long message, "
                             "to the end");
  });
  (void)throws.wait();
  tell(err.skipped());
}

/// Four threads feed groups, while the main thread flushes, some times. PATH.0 and so on are the
/// files.
void busy(errgroup::trace& session, std::string const& path, int flushes) {
  std::atomic<bool> is_over{false};
  std::atomic<int> begun{0};
  std::vector<std::thread> feeders;
  for (int i = 0; i != 4; ++i) {
    feeders.emplace_back([&] {
      while (!is_over) {
        errgroup::group g{{.limit = 2, .name = "busy"}};
        g.run([] { run_nested(4); });
        g.run("named", [] { count(); });
        (void)g.wait();
        ++begun;
      }
    });
  }
  for (int i = 0; i != flushes; ++i) {
    int const before = begun;
    support::await([&] { return begun >= before + 8; }, "tasks to run");
    session.flush();
    std::filesystem::copy_file(path, path + "." + std::to_string(i),
                               std::filesystem::copy_options::overwrite_existing);
  }
  is_over = true;
  for (std::thread& t : feeders) {
    t.join();
  }
  tell(0);
}

/// A task that has not ended at the flush.
void unfinished(errgroup::trace& session) {
  support::with_workers(1, [&] {
    support::gate is_inside("the task to begin");
    support::gate may_end("the flush");
    errgroup::group g{{.limit = 1, .name = "slow"}};
    g.run("sleeper", [&] {
      errgroup::group inner{{.limit = 1, .name = "within"}};
      inner.run("deep", [&] {
        is_inside.open();
        may_end.wait();
      });
      (void)inner.wait();
    });
    is_inside.wait();
    session.flush();
    std::fflush(stdout);
    std::_Exit(0);  // what the flush has written stays
  });
}

struct at_exit {
  ~at_exit() { run_many(7); }
};

int run(std::string_view mode, std::string const& path, std::size_t events, int flushes) {
  if (mode == "environment") {
    run_many(50);
    tell(0);
    return 0;
  }
  if (mode == "exit") {  // with a group in a destructor that comes after main
    static at_exit const late;
    errgroup::group g;
    std::printf("tasks=%d\nskipped=0\n", 50 + 7);
    run_many(50);
    std::exit(3);
  }
  if (mode == "dump") {
    errgroup::dump_on(SIGUSR1, 1);
    errgroup::group g{{.name = "watched"}};
    (void)g.run_and_wait([] { (void)::raise(SIGUSR1); });
    return 0;
  }
  errgroup::trace session(path, {.events = events});
  if (mode == "story") {
    story();
  } else if (mode == "many") {
    run_many(20'000);
    run_tree(3);
    tell(0);
  } else if (mode == "deep") {
    run_tree(300);
    tell(0);
  } else if (mode == "busy") {
    busy(session, path, flushes);
  } else if (mode == "unfinished") {
    unfinished(session);
  } else {
    throw std::runtime_error("unknown mode");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argv[1], argc > 2 ? argv[2] : "",
               argc > 3 ? std::stoul(argv[3]) : errgroup::trace_options().events,
               argc > 4 ? std::stoi(argv[4]) : 0);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "traced: %s\n", e.what());
    return 1;
  }
}
