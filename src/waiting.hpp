// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_WAITING_HPP
#define ERRGROUP_SRC_WAITING_HPP

#include "runner.hpp"
#include "sleeper.hpp"
#include "task_queue.hpp"
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <optional>  // optional

// How a thread waits: for the end of all tasks, for room in the queue, for a flag, each with or
// without an end time.
//
// A waiter runs the group's tasks until it finds none that it may run, and then sleeps
// (sleeper.hpp). A new task, a cancellation or the end of the last task wakes it. Before it sleeps,
// it prepares its sleep without the lock, and looks at the queue again.
//
// A thread with an end time or a flag leaves the tasks to others: a task that it runs might last
// beyond the end time, or might wait for this very thread. It takes part only where no other thread
// may come.

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// How a thread sleeps. The answer of a group to "how shall this thread sleep, now?".
struct sleep_mode {
  bool helps = true;                     // in oneTBB's loop
  sleeper::what wanted = sleeper::work;  // the event that wakes it, beside the end of all tasks
  bool is_watched = false;               // another thread looks for events that wake nobody

  friend bool operator==(sleep_mode const&, sleep_mode const&) = default;
};

// The group is the `owner` of the wait. Beside the functions of `run_session` it has these:
//
//   is_reached(q, g)         true if the goal is reached; called under the lock
//   takes_part(q)            true if the thread runs tasks now
//   cancellation_is_due()    true if oneTBB has cancelled the context, and the group does not know
//   note_cancellation()      records that
//   waits_in_line()          true if the group has a limiter
//   wait_in_line(g)          waits, as this function, for a group with a limiter
//   drop_timed(q)            drops the tasks of a closed queue that are not due
//   mode(q, g, takes_part)   how the thread sleeps
//   nap                      a class: a sleeper, and what wakes it at the end time. It is made from
//                            (owner, q, goal, mode), and sleeps in `sleep(lock)`
//   session_for(g)           the session of a thread that waits for `g`
//   serve(g, q, s)           calls `run_session`

/// Waits until `g` is reached, and returns true then; returns false at the end time. The caller
/// holds no lock, and keeps the group alive.
template <class Owner>
bool wait_for(task_queue& q, goal const& g, Owner& owner) {
  using nap = typename Owner::nap;
  bool has_dropped = false;
  std::optional<nap> prepared;  // destroyed without the lock, which its alarm takes
  wake_list awake;
  spin_mutex::scoped_lock lock(q.lock);
  for (;;) {
    bool const takes_part = owner.takes_part(q);
    if (owner.is_reached(q, g)) {
      if ((g.what == goal::flag || g.what == goal::slot) && takes_part) {
        q.tell_sleepers(awake);  // this thread may have been woken in the place of another
      }
      return true;
    }
    bool const is_over = g.what != goal::flag && g.has_ended();
    if (takes_part && !is_over && q.may_start()) {
      session s = owner.session_for(g);
      s.begin(q);
      lock.release();
      prepared.reset();
      owner.serve(g, q, s);
      if (s.left_idle() && g.what == goal::idle && !g.leaves_tasks) {
        return true;  // without another look: `end` has noted that the tasks were waited for
      }
      lock.acquire(q.lock);
    } else if (g.what != goal::flag && owner.cancellation_is_due()) {
      lock.release();
      owner.note_cancellation();
      lock.acquire(q.lock);
    } else if (g.what == goal::idle && q.closed && q.due.later != 0 && !has_dropped) {
      // The canceller may be in user code for another group first. That code may be what waits
      // here, or it may wait for this thread.
      lock.release();
      owner.drop_timed(q);
      has_dropped = true;  // once: another thread may still be dropping the tasks it has taken out
      lock.acquire(q.lock);
    } else if (is_over) {
      if (takes_part) {
        q.tell_sleepers(awake);  // as above
      }
      return false;
    } else if (owner.waits_in_line()) {
      lock.release();
      return owner.wait_in_line(g);
    } else {
      sleep_mode const mode = owner.mode(q, g, takes_part);
      bool const is_prepared = prepared && prepared->mode() == mode;
      if (is_prepared) {
        prepared->sleep(lock);
      }
      lock.release();
      prepared.reset();
      if (!is_prepared) {
        prepared.emplace(owner, q, g, mode);
      }
      lock.acquire(q.lock);
    }
  }
}

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_WAITING_HPP
