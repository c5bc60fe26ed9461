// docs/cookbook.md: Go on after failures, up to a number.

#include <errgroup/errgroup.hpp>

#include <functional>  // function
#include <iostream>    // clog, cout
#include <stdexcept>   // runtime_error
#include <string>      // to_string
#include <syncstream>  // osyncstream

using read_row = std::function<void(int)>;  // throws if the row is bad

/// Imports 100 rows. Logs each failure at once; gives up at the fifth.
void import(read_row const& read) {
  errgroup::group g{{.limit = 4,
                     .policy = errgroup::on_error::keep_going,
                     .errors = errgroup::keep::all,
                     .name = "import",
                     .max_failures = 5}};
  auto const logged = g.on_failure([](errgroup::error const& e) {
    std::osyncstream(std::clog) << e << std::endl;  // tasks may fail at the same time
  });
  for (int row = 0; row != 100; ++row) {
    g.run("row " + std::to_string(row), [row, &read] { read(row); });
  }
  auto err = g.wait();
  if (g.is_canceling()) {
    std::cout << "too many failures, the import was given up\n";
    return;
  }
  for (errgroup::error const& each : err.by_index()) {
    std::cout << each.origin().name << ": " << each.what() << '\n';
  }
  std::cout << 100 - err.all().size() << " rows imported\n";
}

int main() {
  import([](int row) {
    if (row % 40 == 7) {
      throw std::runtime_error("no date");
    }
  });
  import([](int /*row*/) { throw std::runtime_error("the disk is full"); });
}
