// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"

#include <tbb/task_arena.h>  // isolate

#include <algorithm>  // min
#include <atomic>     // memory_order
#include <cstddef>    // size_t
#include <thread>     // yield
#include <utility>    // exchange

// How a thread takes tasks from a group's queue, one after the other or a page of them: a
// *session*.
//
// A session is held by a runner, which has answered a request; by a waiter; by a submitter that
// needs room in the queue; or by a thread in `wait_until` or `extend::help_until`, which leaves at
// its time. A session counts as running until it has left the queue, so the group does not end
// before. The last access of a runner to the group is the release of the queue's lock.

namespace errgroup::detail {

namespace {

// How long, at most, a thread that takes tasks waits before it tries the queue's lock again.
constexpr int most_lock_pauses = 128;

/// Takes the lock for one that takes tasks, and has waited `pauses` for it lately. Where tasks are
/// so short that those who take them meet at the lock, fewer of them are faster: each that fails
/// stays away for longer, and the next time, too.
void acquire_politely(lock_type& lock, task_queue& q, int& pauses) noexcept {
  if (lock.try_acquire(q.lock)) {
    pauses /= 2;
    return;
  }
  do {
    pauses = std::min(2 * pauses + 2, most_lock_pauses);
    pause(pauses);
    if (pauses == most_lock_pauses) {
      std::this_thread::yield();  // whoever has the lock may have no processor
    }
  } while (!lock.try_acquire(q.lock));
}

}  // namespace

// Under the lock: takes a task, and maybe others with it.
void group_core::take(task_queue& q, session& s) noexcept {
  if (s.kind != session_kind::timed && q.pop(s.taken)) {
    s.next = s.taken.next();
    s.taken.prefetch();
  } else {
    s.next = q.pop();
  }
}

// Under the lock: a thread comes to take tasks.
void group_core::begin_session(task_queue& q, session& s) noexcept {
  q.running.store(q.running.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  take(q, s);
  s.call = q.take_request();
}

// Under the lock: a thread goes.
void group_core::end_session(task_queue& q, session& s, wake_list& awake) noexcept {
  q.running.store(q.running.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  s.over = true;
  s.idle = q.is_idle();
  s.pushed = q.pushed.load(std::memory_order_relaxed);
  if (s.idle && s.kind == session_kind::waiter) {
    q.joined.store(s.pushed, std::memory_order_relaxed);
  }
  if (s.call) {
    // The context let no task in, before which the request would have been sent. Nobody else has
    // it.
    q.request.store(false, std::memory_order_relaxed);
  }
  // A runner that leaves stays near the queue, as its request.
  s.stays = s.kind == session_kind::runner && !q.closed &&
            !q.request.exchange(true, std::memory_order_relaxed);
  // Of a closed queue, only batches are left, for those who have them. (A runner could not call
  // anybody: the group may be gone as soon as they are done.)
  s.call = !q.closed && q.take_request();
  if (q.sleepers != nullptr) {
    if (s.idle) {
      q.wake_all(awake);
    } else if (q.may_start()) {
      q.wake_one(awake, sleeper::work);
    }
  }
}

// Runs tasks from the queue in this thread.
void group_core::run_session(task_queue& q, session& s) noexcept {
  auto work = [&]() noexcept { drain(q, s); };
  for (;;) {
    if (counted_) {
      auto enter = [&]() noexcept {
        run_in(engine_.context, [&]() noexcept { in_isolation(work); });
      };
      if (extras_->slots) {
        insist([&] { extras_->slots->execute(enter); });
      } else {
        enter();
      }
    } else if (s.kind == session_kind::waiter) {
      engine_run_and_wait(work);  // cheaper, and this thread waits for what the tasks spawn anyway
    } else {
      run_in(engine_.context, [&] { in_isolation(work); });
    }
    if (s.over) {
      return;
    }
    wake_list awake;
    node* const refused = std::exchange(s.next, nullptr);
    if (refused != nullptr) {
      // The context did not let it in.
      if (!is_canceling()) {
        s.next = refused;
        std::this_thread::yield();  // oneTBB has no memory: try again
        continue;
      }
      record(errc::canceled, true);
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
      // Without a call, releasing the lock is the last access to the group. A call is left only by
      // one who is inside run(), or who waits.
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
      send_request(q);  // before the task, which may take its time
    }
    if (!is_stopped() && engine_.context.is_group_execution_cancelled()) {
      record(errc::canceled, true);
    }
    node* const n = std::exchange(s.next, nullptr);
    n->consume(*n, this);
    s.done += is_task(*n) ? 1U : 0U;
    if (has_due() && s.taken) [[unlikely]] {
      run_due();  // first: a due task may block, and a task that this thread has taken would wait
    }
    s.next = s.taken.next();
    if (s.next != nullptr) {
      continue;
    }
    acquire_politely(lock, q, s.pauses);
    finish(q, s, n, awake);
    // Too many for tasks that are so short.
    s.retires = s.pauses == most_lock_pauses && s.kind == session_kind::runner && q.running > 1;
    if (wants_more(q, s)) {
      take(q, s);
    }
    if (s.next != nullptr) {
      s.call = q.take_request();
    } else if (s.kind == session_kind::waiter && !counted_) {
      // It stays inside the group when it leaves the queue; others have to leave the context first.
      end_session(q, s, awake);
    }
    lock.release();
    awake.now();
  }
}

// Under the lock: whether a thread that has finished what it had is to take more.
bool group_core::wants_more(task_queue const& q, session const& s) noexcept {
  return !s.retires && (s.kind != session_kind::submitter || q.unfinished >= q.room) &&
         (s.kind != session_kind::timed || has_time(s));
}

bool group_core::has_time(session const& s) noexcept {
  return s.end != nullptr ? !s.end->load(std::memory_order_acquire) : clock::now() < s.until;
}

// Under the lock: a task is done, and its batch with it, if it was taken with one.
void group_core::finish(task_queue& q, session& s, node* n, wake_list& awake) noexcept {
  std::size_t const done = std::exchange(s.done, 0);
  if (s.taken) {
    q.unfinished -= done;
    q.give_back(s.taken);
  } else {
    finish(q, n, awake);
  }
}

// Under the lock: a task is done.
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

// Runs a task on the slot that the caller, who is inside the group, holds already.
void group_core::run_inline(node& n) noexcept {
  if (!run_in(engine_.context, [&]() noexcept { n.consume(n, this); })) {
    if (is_canceling()) {
      record(errc::canceled, true);
    }
    n.consume(n, this);  // skips it, if the group is cancelled
  }
}

}  // namespace errgroup::detail
