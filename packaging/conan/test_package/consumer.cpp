// The program that `conan create` builds with the package: a task fails, and its error arrives.

#include <errgroup/errgroup.hpp>

#include <stdexcept>  // runtime_error
#include <string>     // string

int main() {
  errgroup::group g{{.limit = 2}};
  g.run("parse", [] { throw std::runtime_error("bad header"); });
  errgroup::error const err = g.wait();
  return err.message().find("bad header") != std::string::npos ? 0 : 1;
}
