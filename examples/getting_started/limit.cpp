#include <errgroup/errgroup.hpp>

#include <atomic>    // atomic
#include <iostream>  // cerr, cout

int main() {
  std::atomic<int> running = 0;
  errgroup::group g{{.limit = 2, .name = "limited"}};
  for (int i = 0; i != 100; ++i) {
    g.run([&running] {
      int const now = ++running;
      errgroup::error const err =
          now > 2 ? errgroup::make_error("more than two tasks run") : errgroup::error();
      --running;
      return err;
    });
  }
  if (auto err = g.wait()) {
    std::cerr << err << '\n';
    return 1;
  }
  std::cout << "100 tasks have run, never more than two at once\n";
}
