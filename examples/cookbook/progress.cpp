// docs/cookbook.md: Progress.

#include <errgroup/errgroup.hpp>

#include <iostream>  // cerr
#include <string>    // string, to_string
#include <vector>    // vector

errgroup::progress::function line_about(std::string what) {
  return [what = std::move(what)](errgroup::progress_view const& p) {
    std::cerr << '\r' + std::to_string(p.done) + " of " + std::to_string(p.total) + ' ' + what;
    if (p.is_final) {
      std::cerr << '\n';
    }
  };
}

errgroup::error double_all(std::vector<int>& numbers) {
  errgroup::progress shown(numbers.size(), line_about("numbers doubled"));
  return errgroup::for_each({.progress = &shown}, numbers, [](int& n) { n *= 2; });
}

errgroup::error write_pages(int count) {
  errgroup::progress shown(count, line_about("pages written"));
  errgroup::group g{{.limit = 2}};
  for (int i = 0; i != count; ++i) {
    g.run([&shown] {
      // … write the page …
      shown.add();
    });
  }
  return g.wait();
}

int main() {
  std::vector<int> numbers(100'000, 21);
  if (auto err = double_all(numbers)) {
    std::cerr << err << '\n';
    return 1;
  }
  if (auto err = write_pages(50)) {
    std::cerr << err << '\n';
    return 1;
  }
}
