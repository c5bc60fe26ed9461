// SPDX-License-Identifier: Apache-2.0

// A group with one task. consume.cmake stops the program at its probes.

#include <errgroup/group.hpp>

#include <stdexcept>  // runtime_error

int main() {
  errgroup::group g{{.limit = 2, .name = "job"}};
  g.run("parse", [] { throw std::runtime_error("bad header"); });
  return g.wait() ? 0 : 1;
}
