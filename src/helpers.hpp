// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_HELPERS_HPP
#define ERRGROUP_SRC_HELPERS_HPP

#include "runner.hpp"
#include "task_queue.hpp"
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <atomic>   // memory_order
#include <cstdint>  // uint32_t

// How a thread is brought to a queue.
//
// A *request* asks oneTBB for a thread that takes tasks from the queue. It holds the queue and the
// serial number of the queue's life, and nothing of the group. It stands for no particular task. A
// thread that runs a request *answers* it: it becomes a runner (runner.hpp), unless it comes too
// late.
//
// Invariants:
// - At most one request of a queue is open (`task_queue::request`). A runner that stays near the
//   empty queue is the open request meanwhile.
// - If tasks wait and a slot is free, a request is open, unless there was no memory for it. Before
//   a thread runs the task that it has taken, it sends a request for the tasks that it leaves.
// - If maybe no thread answers the open request, it is *stranded*: then the threads that normally
//   leave the tasks to others run them.
// - No thread waits for a request. A request that is answered after the queue's life finds another
//   serial number, and does nothing.
// - A thread that sends a request keeps the group alive, by an unfinished task or by its own use.
//
// Queues and spawned requests are recycled, and never freed.

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

// A runner pauses so long between two looks at the queue, and leaves after so many looks at an
// empty queue: one to ten microseconds, and four times that. oneTBB's own workers stay for longer.
inline constexpr int watch_pauses = 64;
inline constexpr int watch_looks = 4;
// Tasks are short if so many were taken between two looks.
inline constexpr std::uint32_t watch_short = 2;

// A thread that answers a request takes tasks if no other thread takes tasks from the queue.
// Otherwise it watches, and joins when few tasks were taken between two looks. So a long task
// strands no other task. Very short tasks are left to one thread: several threads would pass the
// queue's cache line to and fro, which is slower. Returns false if the group is gone.
inline bool watch(task_queue const& q, queue_life const& life, int& looks) noexcept {
  for (;;) {
    bool const has_work = q.waiting() != 0;
    std::uint32_t const taken = q.taken();
    if (has_work && q.running.load(std::memory_order_relaxed) == 0) {
      return true;
    }
    linger(watch_pauses);
    if (!q.serves(life.serial)) {
      return false;
    }
    if (!has_work) {
      if (--looks <= 0 || !q.batches.is_empty()) {
        return true;  // a batch may have tasks
      }
    } else if (q.taken() - taken < watch_short) {
      return true;
    }
  }
}

/// Answers a request. `Owner` is the group's side of `run_session`, made from the queue's owner;
/// its function `answer(q, s)` calls `run_session`.
template <class Owner>
void answer_request(queue_life const& life) noexcept {
  task_queue& q = *life.of;
  if (!q.serves(life.serial)) {
    return;
  }
  int looks = watch_looks;
  while (watch(q, life, looks)) {
    spin_mutex::scoped_lock lock(q.lock);
    if (!q.serves(life.serial)) {
      return;
    }
    if (!q.may_start() && looks > 0 && q.waiting() == 0) {
      continue;
    }
    q.close_request();
    if (!q.may_start()) {
      return;
    }
    session s(session::runner);
    s.begin(q);  // from here on the group cannot end
    Owner owner(*q.current.owner);
    lock.release();
    owner.answer(q, s);
    if (!s.stays()) {
      return;  // the group may be gone, the queue is not
    }
    looks = watch_looks;
  }
}

/// Takes back a request that no thread will answer.
inline void revoke_request(queue_life const& life) noexcept {
  spin_mutex::scoped_lock const lock(life.of->lock);
  if (life.of->serves(life.serial)) {
    life.of->close_request();
  }
}

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#ifndef ERRGROUP_EXPLORED

#include <errgroup/detail/thread_state.hpp>

#include <tbb/task_arena.h>  // task_arena

#include <utility>  // exchange

namespace errgroup::inline v1::detail {

/// True if oneTBB has no workers.
[[nodiscard]] bool has_no_workers() noexcept;
/// As `has_no_workers`, but asks oneTBB once per task: oneTBB takes a lock that all threads share.
[[nodiscard]] bool has_no_workers(thread_state& self) noexcept;
/// True if oneTBB has no thread for tasks that this thread spawns: without workers, or in an arena
/// of one thread.
[[nodiscard]] bool nobody_comes(thread_state& self) noexcept;

/// For a thread that runs tasks of a group, and may leave before the group is done. Such a thread
/// does not spawn the tasks that its tasks submit, if no other thread would take them from its
/// deque: without workers, and in the arena of a limited group to which this group does not belong
/// (`is_elsewhere`).
class passing_by {
 public:
  passing_by(thread_state& self, bool is_elsewhere) noexcept
      : self_(self), was_alone_(std::exchange(self.is_alone, is_elsewhere || has_no_workers())) {}
  passing_by(passing_by const&) = delete;
  passing_by& operator=(passing_by const&) = delete;
  ~passing_by() { self_.is_alone = was_alone_; }

 private:
  thread_state& self_;
  bool was_alone_;
};

/// The arena for requests that have no better place: an arena like any outside thread's.
[[nodiscard]] tbb::task_arena& default_arena();

/// Spawns a request from the slot of the arena in which the caller is. The thread that takes it
/// calls `answer`. Returns false if maybe no thread comes for it. Throws `std::bad_alloc`.
[[nodiscard]] bool spawn_request(thread_state& self, queue_life const& life,
                                 void (*answer)(queue_life const&));

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_EXPLORED

#endif  // ERRGROUP_SRC_HELPERS_HPP
