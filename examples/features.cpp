// The code in README.md under "Six features" that is in no other example. docs/check.py compares
// the two.

#include <errgroup/errgroup.hpp>

#include <oneapi/tbb/parallel_for.h>

#include <atomic>        // atomic
#include <chrono>        // chrono_literals
#include <cstddef>       // size_t
#include <cstdio>        // fprintf
#include <filesystem>    // directory_entry, directory_iterator, path, temp_directory_path
#include <ostream>       // ostream
#include <sstream>       // ostringstream
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <utility>       // move
#include <vector>        // vector

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

bool ok = true;

void expect(bool met, char const* what) {
  if (!met) {
    std::fprintf(stderr, "not so: %s\n", what);
    ok = false;
  }
}

// --- every failure ---

struct row {
  int number = 0;
};

std::error_code store(row const& r) {
  return r.number % 40 == 7 ? std::make_error_code(std::errc::no_space_on_device)
                            : std::error_code{};
}

void parse(row const& r) {
  if (r.number == 50) {
    throw std::runtime_error("line 50: no date");
  }
}

void import(std::vector<row> const& rows, std::ostream& out) {
  errgroup::group g{
      {.policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all, .name = "import"}};
  for (row const& r : rows) {
    g.run("row " + std::to_string(r.number), [&r] {
      parse(r);         // what it throws is a failure
      return store(r);  // and so is an error code
    });
  }
  if (auto err = g.wait()) {
    for (errgroup::error const& each : err.all()) {
      out << each << '\n';
    }
  }
}

void check_errors() {
  std::vector<row> rows(100);
  for (int i = 0; i != 100; ++i) {
    rows[static_cast<std::size_t>(i)].number = i;
  }
  std::ostringstream out;
  import(rows, out);
  std::string const text = out.str();
  for (char const* each :
       {"import/row 7: No space left on device (task 7, run at features.cpp:57)\n",
        "import/row 47: ", "import/row 50: line 50: no date (task 50, ", "import/row 87: "}) {
    expect(text.find(each) != std::string::npos, each);
  }
}

// --- tasks that submit tasks, at a limit ---

class tree_size {
 public:
  errgroup::result<std::size_t> of(fs::path const& root) {
    group_.run([this, root] { add(root); });
    if (auto err = group_.wait()) {
      return err;
    }
    return total_.load();
  }

 private:
  void add(fs::path const& folder) {
    for (fs::directory_entry const& entry : fs::directory_iterator(folder)) {
      if (entry.is_directory() && !entry.is_symlink()) {
        group_.run([this, path = entry.path()] { add(path); });
      } else if (entry.is_regular_file()) {
        total_ += entry.file_size();
      }
    }
  }

  std::atomic<std::size_t> total_ = 0;
  errgroup::group group_{{.limit = 4}};
};

void check_limit() {
  auto const size = tree_size().of(".");
  expect(size && *size > 0, "the size of a tree");
  auto const nothing = tree_size().of("./nowhere-at-all");
  expect(nothing.error() == std::errc::no_such_file_or_directory, "a tree that is not there");
}

// --- cancellation and deadlines ---

struct cell {
  double heat = 1;
};

void step(cell& c) { c.heat *= 0.9; }

errgroup::error simulate(std::vector<cell>& cells, std::stop_token stopped_by_user) {
  errgroup::group g{{.stop = std::move(stopped_by_user), .timeout = 30s, .name = "simulate"}};
  g.run([&](std::stop_token const& stop) -> errgroup::error {
    for (int i = 0; i != 100 && !stop.stop_requested(); ++i) {  // a task that looks
      tbb::parallel_for(std::size_t{0}, cells.size(), [&](std::size_t c) { step(cells[c]); });
    }
    return errgroup::check();  // a loop of oneTBB ends early and reports nothing
  });
  return g.wait();  // success, errc::canceled or errc::deadline_exceeded
}

void check_cancellation() {
  std::vector<cell> cells(1000);
  expect(!simulate(cells, {}), "a simulation");
  expect(cells[999].heat < 0.001, "the last cell");
  std::stop_source user;
  user.request_stop();
  expect(simulate(cells, user.get_token()) == errgroup::errc::canceled, "stopped by the user");
}

}  // namespace

int main() {
  check_errors();
  check_limit();
  check_cancellation();
  return ok ? 0 : 1;
}
