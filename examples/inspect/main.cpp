// inspect: an import that hangs on purpose, to be looked into. docs/observing.md finds out why.

#include "../treesum/interrupt.hpp"
#include <errgroup/errgroup.hpp>
#include <errgroup/trace.hpp>

#include <CLI/CLI.hpp>
#include <unistd.h>  // getpid

#include <chrono>              // seconds
#include <condition_variable>  // condition_variable_any
#include <csignal>             // SIGUSR1
#include <cstdlib>             // exit
#include <exception>           // exception
#include <iostream>            // cerr
#include <mutex>               // mutex, scoped_lock, unique_lock
#include <stop_token>          // stop_token
#include <string>              // string
#include <system_error>        // errc, error_code
#include <thread>              // jthread
#include <utility>             // move

namespace inspect {
namespace {

struct arguments {
  bool fixed = false;
  bool counts = false;
};

/// What every row needs. One task loads it, the others wait for it.
class dictionary {
 public:
  void load() {
    std::scoped_lock const held(lock_);
    loaded_ = true;
    changed_.notify_all();
  }

  std::error_code wait(std::stop_token const& stop) {
    std::unique_lock held(lock_);
    if (!loaded_ && !told_) {
      told_ = true;
      std::cerr << "inspect: a row waits for the dictionary, in process " << ::getpid() << '\n';
    }
    bool const is_loaded = changed_.wait(held, stop, [this] { return loaded_; });
    return is_loaded ? std::error_code() : std::make_error_code(std::errc::operation_canceled);
  }

 private:
  std::mutex lock_;
  std::condition_variable_any changed_;
  bool loaded_ = false;
  bool told_ = false;
};

/// A table of the import: its rows are tasks of a group of their own.
errgroup::error import_table(dictionary& words) {
  errgroup::group parse({.name = "parse"});
  for (int row = 0; row != 3; ++row) {
    parse.run("row", [&words](std::stop_token const& stop) { return words.wait(stop); });
  }
  return parse.wait();
}

/// Tells how the import stands, every second, from a thread of its own: the import's tasks may have
/// blocked all of oneTBB's threads.
void tell_counts(errgroup::group const& import, std::stop_token const& stop) {
  std::mutex lock;
  std::unique_lock held(lock);
  std::condition_variable_any never;
  while (!stop.stop_requested()) {
    never.wait_for(held, stop, std::chrono::seconds(1), [] { return false; });
    errgroup::group_counts const c = import.counts();
    std::cerr << "inspect: import: " << c.running << " running, " << c.waiting << " waiting, "
              << c.failed << " failed\n";
  }
}

errgroup::error run(arguments const& args, std::stop_token stop) {
  dictionary words;
  errgroup::group import({.limit = 2, .stop = std::move(stop), .name = "import"});
  std::jthread teller;
  if (args.counts) {
    teller = std::jthread([&import](std::stop_token const& end) { tell_counts(import, end); });
  }
  auto const load = [&words] { words.load(); };
  auto const table = [&words] { return import_table(words); };
  if (args.fixed) {
    import.run("dictionary", load);
  }
  import.run("cities", table);
  import.run("roads", table);
  if (!args.fixed) {
    import.run("dictionary", load);  // too late: both slots belong to tasks that wait for it
  }
  return import.wait();
}

arguments read(int argc, char const* const* argv) {
  arguments args;
  CLI::App app(
      "Imports two tables, and hangs: for practice in finding out why. SIGUSR1 writes what "
      "its groups do; Ctrl-C ends it.",
      "inspect");
  app.add_flag("--fixed", args.fixed, "The import without the fault: it ends");
  app.add_flag("--counts", args.counts, "Tell the counts of the import once a second");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    std::exit(app.exit(e) == 0 ? 0 : 2);
  }
  return args;
}

}  // namespace
}  // namespace inspect

int main(int argc, char** argv) {
  try {
    inspect::arguments const args = inspect::read(argc, argv);
    treesum::interrupt const interrupt;
    errgroup::dump_on(SIGUSR1);
    errgroup::error const e = inspect::run(args, interrupt.token());
    if (interrupt.signal() != 0) {
      return 128 + interrupt.signal();
    }
    if (e) {
      std::cerr << "inspect: " << e << '\n';
      return 1;
    }
    std::cerr << "inspect: imported\n";
    return 0;
  } catch (std::exception const& e) {
    std::cerr << "inspect: " << e.what() << '\n';
    return 1;
  }
}
