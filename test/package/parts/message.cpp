// A group whose error is printed.
// parts: error_text exception_group

#include <errgroup/group.hpp>

#include <stdexcept>  // runtime_error

int main() {
  errgroup::group g;
  g.run([] { throw std::runtime_error("no reason"); });
  return g.wait().message().starts_with("no reason") ? 0 : 1;
}
