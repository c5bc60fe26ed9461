// SPDX-License-Identifier: Apache-2.0

// A thread that finds the tasks of a group waited for by another thread sees what the tasks wrote.
// ThreadSanitizer proves it: it reports a race where nothing orders the write before the read.

#include "../../src/task_queue.hpp"
#include <errgroup/detail/group_core.hpp>

#include <gtest/gtest.h>

#include <atomic>  // memory_order
#include <thread>  // this_thread, thread

namespace {

using errgroup::detail::spawn_count;
using errgroup::detail::task_queue;

/// Another thread writes and calls `join`; this thread reads once `is_joined()`.
template <class Join, class Test>
void expect_visible(Join join, Test is_joined) {
  int written = 0;
  std::thread waiter([&] {
    written = 1;
    join();
  });
  while (!is_joined()) {
    std::this_thread::yield();
  }
  EXPECT_EQ(written, 1);
  waiter.join();
}

TEST(Joined, C3_W1_another_thread_sees_what_the_spawned_tasks_wrote) {
  spawn_count spawned;
  spawned.add();
  EXPECT_FALSE(spawned.is_joined());
  expect_visible([&] { spawned.join(1); }, [&] { return spawned.is_joined(); });
}

TEST(Joined, C3_W1_another_thread_sees_what_the_tasks_of_the_maker_wrote) {
  spawn_count spawned;
  spawned.add_by_maker();
  EXPECT_FALSE(spawned.is_joined());
  expect_visible([&] { spawned.join_alone(); }, [&] { return spawned.is_joined(); });
}

TEST(Joined, C3_W1_another_thread_sees_what_the_queued_tasks_wrote) {
  task_queue q;
  q.pushed.store(1, std::memory_order_relaxed);
  EXPECT_FALSE(q.is_joined());
  expect_visible([&] { q.join(); }, [&] { return q.is_joined(); });
}

}  // namespace
