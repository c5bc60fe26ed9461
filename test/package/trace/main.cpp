// A program that begins a session: consumer PATH.
#include <errgroup/errgroup.hpp>
#include <errgroup/trace.hpp>

int main(int /*argc*/, char** argv) {
  errgroup::trace session(argv[1]);
  errgroup::group g;
  g.run("recorded", [] {});
  bool const failed = static_cast<bool>(g.wait());
  session.flush();
  return failed ? 1 : 0;
}
