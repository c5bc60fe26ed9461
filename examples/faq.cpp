// Every piece of C++ in docs/faq.md, as functions that compile and run. docs/check.py compares the
// two.

#include <errgroup/errgroup.hpp>

#include <atomic>        // atomic
#include <barrier>       // barrier
#include <cstddef>       // size_t
#include <cstdio>        // fprintf
#include <iostream>      // cerr
#include <system_error>  // errc, error_code, make_error_code, system_error

namespace {

bool disk_is_full = false;
std::atomic<int> loaded = 0;
std::atomic<int> saved = 0;

std::error_code load() {
  ++loaded;
  return std::make_error_code(disk_is_full ? std::errc::no_space_on_device : std::errc{});
}

std::error_code save() {
  ++saved;
  return {};
}

errgroup::error meet(int count) {
  std::barrier<> meeting(count);
  errgroup::group g{{.limit = count, .blocking = true}};
  for (int i = 0; i != count; ++i) {
    g.run([&] { meeting.arrive_and_wait(); });
  }
  return g.wait();
}

errgroup::error load_and_save(errgroup::group& g) {
  g.run(load);
  if (auto err = g.wait()) {
    std::cerr << err << '\n';
    g.reset();  // without it, `save` would be skipped
  }
  g.run(save);
  return g.wait();
}

errgroup::error load_two_then_save(errgroup::group& g) {
  g.run([]() -> errgroup::error {
    errgroup::group parts;  // belongs to this task, and is cancelled with it
    parts.run(load);
    parts.run(load);
    if (auto err = parts.wait()) {
      return err;
    }
    return save();
  });
  return g.wait();
}

void load_or_throw() {
  errgroup::group g;
  g.run(load);
  g.wait().raise();
}

int failures = 0;

void check(bool holds, char const* what) {
  if (!holds) {
    std::fprintf(stderr, "faq: %s\n", what);
    ++failures;
  }
}

bool throws() {
  try {
    load_or_throw();
    return false;
  } catch (std::system_error const& e) {
    return e.code() == std::errc::no_space_on_device;
  }
}

}  // namespace

int main() {
  check(!meet(8), "eight tasks meet, on any number of CPUs");
  errgroup::group g;
  check(!load_two_then_save(g) && loaded == 2 && saved == 1, "a group in a task");
  check(!throws(), "success");
  disk_is_full = true;
  check(throws(), "failure");
  saved = 0;
  check(!load_and_save(g) && saved == 1, "after reset the group runs tasks again");
  errgroup::group own;
  own.run([&own] { return own.wait(); });
  check(own.wait() == errgroup::errc::would_deadlock, "a task waits for its own group");
  return failures == 0 ? 0 : 1;
}
