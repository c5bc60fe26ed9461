// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_THREADS_HPP
#define ERRGROUP_TEST_SUPPORT_THREADS_HPP

// Which threads the process has, on Linux.

#include <sys/syscall.h>  // SYS_gettid
#include <unistd.h>       // syscall

#include <filesystem>  // directory_iterator
#include <set>         // set
#include <string>      // stol

namespace support {

using thread_number = long;

[[nodiscard]] inline thread_number this_thread_number() { return ::syscall(SYS_gettid); }

[[nodiscard]] inline std::set<thread_number> all_threads() {
  std::set<thread_number> all;
  for (auto const& e : std::filesystem::directory_iterator("/proc/self/task")) {
    all.insert(std::stol(e.path().filename().string()));
  }
  return all;
}

/// Those that are not in `known`.
[[nodiscard]] inline std::set<thread_number> threads_beside(std::set<thread_number> const& known) {
  std::set<thread_number> others;
  for (thread_number const t : all_threads()) {
    if (!known.contains(t)) {
      others.insert(t);
    }
  }
  return others;
}

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_THREADS_HPP
