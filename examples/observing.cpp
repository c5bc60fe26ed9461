// The pieces of code in docs/observing.md that are not in examples/inspect, as functions that
// compile and run. docs/check.py compares the two.

#include <errgroup/errgroup.hpp>
#include <errgroup/trace.hpp>

#include <cstdio>        // remove
#include <filesystem>    // temp_directory_path
#include <iomanip>       // setw
#include <iostream>      // cerr, clog
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <vector>        // vector

namespace {

std::error_code check(int number) {
  return number == 3 ? std::make_error_code(std::errc::io_error) : std::error_code();
}

struct failures_log : errgroup::observer {
  void task_end(errgroup::task_view t, errgroup::error const* failure) noexcept override {
    if (failure != nullptr) {
      std::clog << t.group().name() << ": task " << t.index() << " failed\n";
    }
  }
};

errgroup::error import_everything() {
  errgroup::group g({.limit = 2, .policy = errgroup::on_error::keep_going, .name = "import"});
  for (int i = 0; i != 5; ++i) {
    g.run({.name = "row " + std::to_string(i)}, [i] { return check(i); });
  }
  return g.wait();
}

void make_visible() {
  static errgroup::observer visible;
  errgroup::observe(&visible);
}

void record(std::string const& file) {
  errgroup::trace session(file);
  (void)import_everything();  // the groups that are made in here are recorded
}

errgroup::error show(std::vector<int> const& files) {
  errgroup::progress shown(files.size(), [](errgroup::progress_view const& p) {
    std::cerr << '\r' << std::left << std::setw(60) << p;
  });
  auto err = errgroup::for_each({.progress = &shown}, files, check);
  shown.finish();
  return err;
}

}  // namespace

int main() {
  static failures_log log;
  errgroup::observe(&log);
  bool const has_failed = import_everything() == std::errc::io_error;
  make_visible();
  std::string const file = std::filesystem::temp_directory_path() / "errgroup_observing.json";
  record(file);
  bool const is_written = std::filesystem::file_size(file) > 0;
  std::filesystem::remove(file);
  std::vector<int> const files = {0, 1, 2};
  bool const is_shown = !show(files);
  std::cerr << '\n';
  return has_failed && is_written && is_shown ? 0 : 1;
}
