// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"

#include <tbb/task_arena.h>  // task_arena

#include <algorithm>  // min
#include <atomic>     // memory_order
#include <cstddef>    // size_t
#include <thread>     // yield
#include <utility>    // exchange

// How a thread takes tasks from a group's queue: a *session*. It takes single tasks, or a page of
// tasks at once (a batch).
//
// Four kinds of threads have sessions: a runner, which has answered a request; a waiter; a
// submitter that needs room in the queue; and a thread in `wait_until` or `extend::help_until`,
// which leaves at its time.
//
// Invariants:
// - A session counts in `task_queue::running` from `begin_session` to `end_session`, so the group
//   does not end before. It holds a slot of the limit meanwhile.
// - The last access of a runner to the group is the release of the queue's lock.
// - A session sends the request that it has taken before it runs its task.

namespace errgroup::detail {

namespace {

// The longest pause of a thread that takes tasks before it tries the queue's lock again.
constexpr int most_lock_pauses = 128;

/// Takes the lock for a session. `pauses` is the length of the session's recent pauses. If tasks
/// are so short that sessions meet at the lock, fewer threads are faster. So a thread that does not
/// get the lock stays away for longer each time, and begins with a long pause the next time, too.
void acquire_politely(lock_type& lock, task_queue& q, int& pauses) noexcept {
  if (lock.try_acquire(q.lock)) {
    pauses /= 2;
    return;
  }
  do {
    pauses = std::min(2 * pauses + 2, most_lock_pauses);
    pause(pauses);
    if (pauses == most_lock_pauses) {
      std::this_thread::yield();  // the owner of the lock may have no processor
    }
  } while (!lock.try_acquire(q.lock));
}

}  // namespace

// Under the lock: takes a task, and a batch if the queue gives one.
void group_core::take(task_queue& q, session& s) noexcept {
  if (s.kind != session_kind::timed && q.pop(s.taken)) {
    s.next = s.taken.next();
    s.taken.prefetch();
  } else {
    s.next = q.pop();
  }
}

// Under the lock: the session begins, and takes a task.
void group_core::begin_session(task_queue& q, session& s) noexcept {
  q.running.store(q.running.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  take(q, s);
  s.call = q.take_request();
}

// Under the lock: the session ends.
void group_core::end_session(task_queue& q, session& s, wake_list& awake) noexcept {
  q.running.store(q.running.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  s.over = true;
  s.idle = q.is_idle();
  s.pushed = q.pushed.load(std::memory_order_relaxed);
  if (s.idle && s.kind == session_kind::waiter) {
    q.joined.store(s.pushed, std::memory_order_relaxed);
  }
  if (s.call) {
    // The session has not sent its request, because the context let no task in. No other thread has
    // the request.
    q.request.store(false, std::memory_order_relaxed);
  }
  // A runner that leaves stays near the queue, and is the open request meanwhile.
  s.stays = s.kind == session_kind::runner && !q.closed &&
            !q.request.exchange(true, std::memory_order_relaxed);
  // After the queue was closed, only batches have tasks, and their own threads run these. (A runner
  // could not send a request: the group may be gone as soon as the batches are done.)
  s.call = !q.closed && q.take_request();
  if (q.sleepers != nullptr) {
    if (s.idle) {
      q.wake_all(awake);
    } else if (q.may_start()) {
      q.wake_one(awake, sleeper::work);
    }
  }
}

// Runs tasks from the queue in this thread: in the group's context, in the arena of a limited
// group, isolated if the group is.
void group_core::run_session(task_queue& q, session& s) noexcept {
  auto work = [&]() noexcept { drain(q, s); };
  auto enter = [&]() noexcept { run_in(engine_.context, [&]() noexcept { in_isolation(work); }); };
  for (;;) {
    if (extras_ && extras_->slots) {
      insist([&] { extras_->slots->execute(enter); });
    } else if (s.kind == session_kind::waiter && !counted_) {
      engine_run_and_wait(work);  // cheaper; a waiter also waits for spawned tasks
    } else {
      enter();
    }
    if (s.over) {
      return;
    }
    wake_list awake;
    node* const refused = std::exchange(s.next, nullptr);
    if (refused != nullptr) {
      // The context did not let the task in.
      if (!is_canceling()) {
        s.next = refused;
        std::this_thread::yield();  // oneTBB has no memory: try again
        continue;
      }
      record_inside();
      drop(*refused);
      std::size_t const task = is_task(*refused) ? 1U : 0U;
      skip(task);
      s.done += task;
      s.next = s.taken.next();
      if (s.next != nullptr) {
        continue;
      }
    }
    lock_type lock(q.lock);
    if (refused != nullptr) {
      finish(q, s, refused, awake);
    }
    if (wants_more(q, s)) {
      take(q, s);
    }
    if (s.next == nullptr) {
      end_session(q, s, awake);
      // If there is no request to send, the release of the lock is the last access to the group. A
      // runner has none to send. A waiter or a submitter may have one: it keeps the group alive.
      lock.release();
      if (s.call) {
        send_request(q);
      }
      return;
    }
    s.call = s.call || q.take_request();
  }
}

// Runs tasks until the queue is empty or, for a submitter, has room.
void group_core::drain(task_queue& q, session& s) noexcept {
  wake_list awake;
  lock_type lock;
  while (s.next != nullptr) {
    if (std::exchange(s.call, false)) {
      send_request(q);  // before the task, which may be long
    }
    if (!is_stopped() && engine_.context.is_group_execution_cancelled()) {
      record_inside();
    }
    node* const n = std::exchange(s.next, nullptr);
    n->consume(*n, this);
    s.done += is_task(*n) ? 1U : 0U;
    if (has_due() && s.taken) [[unlikely]] {
      run_due();  // before the next task is claimed, which would wait if the due task blocks
    }
    s.next = s.taken.next();
    if (s.next != nullptr) {
      continue;
    }
    acquire_politely(lock, q, s.pauses);
    finish(q, s, n, awake);
    // So many runners are too many for tasks this short.
    s.retires = s.pauses == most_lock_pauses && s.kind == session_kind::runner && q.running > 1;
    if (wants_more(q, s)) {
      take(q, s);
    }
    if (s.next != nullptr) {
      s.call = q.take_request();
    } else if (s.kind == session_kind::waiter && !counted_) {
      // A waiter without a limit leaves the queue here: it stays in the group. Every other session
      // has to leave the context first (`run_session`).
      end_session(q, s, awake);
    }
    lock.release();
    awake.now();
  }
}

// Under the lock: true if the session should take more tasks.
bool group_core::wants_more(task_queue const& q, session const& s) noexcept {
  return !s.retires && (s.kind != session_kind::submitter || q.unfinished >= q.room) &&
         (s.kind != session_kind::timed || has_time(s));
}

bool group_core::has_time(session const& s) noexcept {
  return s.end != nullptr ? !s.end->load(std::memory_order_acquire) : clock::now() < s.until;
}

// Under the lock: a task is finished. If it came from a batch, so is the batch.
void group_core::finish(task_queue& q, session& s, node* n, wake_list& awake) noexcept {
  std::size_t const done = std::exchange(s.done, 0);
  if (s.taken) {
    q.unfinished -= done;
    q.give_back(s.taken);
  } else {
    finish(q, n, awake);
  }
}

// Under the lock: a task is finished.
void group_core::finish(task_queue& q, node* n, wake_list& awake) noexcept {
  if (is_task(*n)) {
    --q.unfinished;
    if (q.sleepers != nullptr && q.unfinished < q.room) {
      q.wake_one(awake, sleeper::room);
    }
  }
  q.give_back(n);
}

// Destroys a task that does not run. The destructor of its callable belongs to the task, as in
// `execute`.
void group_core::drop(node& n) noexcept {
  discard_inside([&n]() noexcept { n.consume(n, nullptr); });
}

// A thread that has tasks of the group has found it cancelled. Callbacks of the stop token, which
// may run here, are inside the group: a wait for it would wait for those tasks.
[[gnu::noinline, gnu::cold]] void group_core::record_inside() noexcept {
  discard_inside([this]() noexcept { record(errc::canceled, true); });
}

// Runs a task on the slot of the caller, which is inside the group.
void group_core::run_inline(node& n) noexcept {
  if (!run_in(engine_.context, [&]() noexcept { n.consume(n, this); })) {
    if (is_canceling()) {
      record_inside();
    }
    n.consume(n, this);  // skips it, if the group is cancelled
  }
}

}  // namespace errgroup::detail
