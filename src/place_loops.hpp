// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_PLACE_LOOPS_HPP
#define ERRGROUP_SRC_PLACE_LOOPS_HPP

#include "place_line.hpp"
#include "runner.hpp"
#include "sleeper.hpp"
#include "task_queue.hpp"
#include "waiting.hpp"
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <atomic>    // memory_order
#include <cstdint>   // int64_t
#include <optional>  // optional
#include <utility>   // exchange

// How threads work for a limiter. A thread that has come takes the head of the line, runs it, gives
// the places back, and takes the next head (`serve`). It stays in the context of a group while that
// group is at the head of the line. A thread that waits for a group with a limiter serves the line
// until its group is idle (`wait_in_line`). It also serves other groups, whose tasks may be ahead
// in the line.
//
// Lock order: place_line.hpp.
//
// The limiter, as `host`, has these functions:
//
//   send_request()          sends the request of the host's queue
//   answer(request)         answers the request of another group
//   with(asker, f)          calls `f(owner)` with the group's side of these loops
//   enter(f)                calls `f` in the arena and context of the host
//   pass(is_other, f)       calls `f`; `is_other`: to run tasks of a group that the caller waits
//                           not for
//   is_holding()            true if the thread holds places of this limiter
//   make_turns(), make_node() allocate
//
// `owner` is the group's side of runner.hpp and waiting.hpp, with these functions beside:
//
//   enter_context(work)     calls `work` in the group's context, or does not call it
//   takes_only_its_own()    true if the waiter may run no task of another group

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// Takes the lock of the line, with a spare turn and a spare node for a call.
template <class Host>
void lock_line(place_line& line, spin_mutex::scoped_lock& lock, Host& host) noexcept {
  for (;;) {
    lock.acquire(line.host().lock);
    if (line.has_spares()) {
      return;
    }
    lock.release();
    turn_block* const b = host.make_turns();
    node* const n = host.make_node();
    lock.acquire(line.host().lock);
    line.add_spares(b, n);
    lock.release();
  }
}

/// Calls a thread, and wakes a waiter, if the head of the line may start. Grants places to threads
/// that wait for places. Wakes a waiter of `a` that holds places, if a task of `a` waits. Releases
/// the lock.
template <class Host>
void tell_line(place_line& line, spin_mutex::scoped_lock& lock, place_asker* a,
               Host& host) noexcept {
  wake_list awake;
  bool const call = line.call();
  line.tell(awake);
  line.grant(awake);
  if (a != nullptr) {
    line.tell_holder(*a, awake);
  }
  lock.release();
  if (call) {
    host.send_request();
  }
}

/// A task was put into the queue of `a`. `is_reserved`: `reserve` has returned true for it.
template <class Host>
void ask(place_line& line, place_asker& a, std::int64_t weight, bool is_reserved,
         Host& host) noexcept {
  spin_mutex::scoped_lock lock;
  lock_line(line, lock, host);
  if (is_reserved) {
    line.unreserve(weight);
  }
  a.has_weights = a.has_weights || weight != 1;
  if (!a.is_limited) {
    line.ask(a, weight);
  } else {
    while (!line.settle(a, false)) {
      lock.release();
      lock_line(line, lock, host);
    }
  }
  tell_line(line, lock, &a, host);
}

/// The tasks that wait in the queue of `a`, or its own limit, have changed.
template <class Host>
void settle(place_line& line, place_asker& a, Host& host) noexcept {
  spin_mutex::scoped_lock lock;
  lock_line(line, lock, host);
  while (!line.settle(a, false)) {
    lock.release();
    lock_line(line, lock, host);
  }
  tell_line(line, lock, &a, host);
}

/// A task of `s` is finished. Takes the next task of the same group, if that group is at the head
/// of the line.
template <class Host>
void go_on(place_line& line, started& s, node* n, Host& host) noexcept {
  place_asker& a = *s.of;
  wake_list awake;
  spin_mutex::scoped_lock lock;
  lock_line(line, lock, host);
  {
    spin_mutex::scoped_lock const held(a.queue->lock);
    session::finish_one(*a.queue, n, awake);
  }
  line.give_back(std::exchange(s.places, 0));
  if (s.is_borrowed) {
    (void)line.borrow(s, a, true);
  } else {
    (void)line.take(s, &a, true);
  }
  line.grant(awake);
  lock.release();
}

/// Runs what a thread has taken, and maybe the next tasks of the same group; if `goes_on` is false,
/// one task. Gives the places back. Returns with the lock of the line, and adds the sleepers that
/// the caller has to wake without the lock to `awake`.
template <class Host>
void run_started(place_line& line, started& s, bool goes_on, Host& host,
                 spin_mutex::scoped_lock& lock, wake_list& awake) noexcept {
  if (s.of == nullptr) {
    if (std::exchange(s.call, false)) {
      host.send_request();
    }
    host.answer(s.request);
    lock_line(line, lock, host);
    line.give_back(s.places);
    line.grant(awake);
    return;
  }
  place_asker& a = *s.of;
  node* done = nullptr;  // a task that is finished, and is still counted as unfinished
  host.with(a, [&](auto& owner) noexcept {
    auto work = [&]() noexcept {
      while (s.task != nullptr) {
        if (std::exchange(s.call, false)) {
          host.send_request();  // before the task, which may be long
        }
        owner.begin_task();
        node* const n = std::exchange(s.task, nullptr);
        owner.run(*n);
        if (!goes_on || !line.may_go_on(s)) {
          done = n;
        } else {
          go_on(line, s, n, host);
        }
      }
    };
    for (;;) {
      owner.enter_context(work);
      if (s.task == nullptr) {
        return;
      }
      if (owner.refuse(*s.task)) {
        done = std::exchange(s.task, nullptr);
        if (std::exchange(s.call, false)) {
          host.send_request();
        }
        return;
      }
      yield();  // oneTBB has no memory: try again
    }
  });
  // Outside of the group's context. The release of the lock of the group's queue is the last access
  // to the group. While this thread holds the lock of the line, the asker is alive.
  lock_line(line, lock, host);
  {
    spin_mutex::scoped_lock const held(a.queue->lock);
    if (done != nullptr) {
      session::finish_one(*a.queue, done, awake);
      line.give_back(s.places);
    }
    place_line::count(*a.queue, -1);
    (void)line.settle(a, true);
    a.queue->tell_sleepers(awake);
  }
  line.grant(awake);
  line.tell_holder(a, awake);
}

/// A thread in the arena and the context of the host takes and runs the head of the line, again and
/// again, while the head may start.
template <class Host>
void serve(place_line& line, Host& host) noexcept {
  started s;
  wake_list awake;
  spin_mutex::scoped_lock lock;
  lock_line(line, lock, host);
  while (line.take(s)) {
    lock.release();
    awake.now();
    run_started(line, s, true, host, lock, awake);
  }
  line.grant(awake);  // `take` may have dropped turns
  lock.release();
}

/// As `wait_for` (waiting.hpp), for a group with a limiter. Returns true when `g` is reached, and
/// false at the end time.
template <class Owner, class Host>
bool wait_in_line(place_line& line, place_asker& a, goal const& g, Owner& owner, Host& host) {
  using nap = typename Owner::nap;
  task_queue& q = *a.queue;
  task_queue& all = line.host();
  bool const is_holding = host.is_holding();
  bool const goes_on = g.what == goal::idle && !g.leaves_tasks;
  bool has_dropped = false;
  wake_list awake;
  std::optional<nap> prepared;  // destroyed without a lock
  spin_mutex::scoped_lock lock;
  spin_mutex::scoped_lock held;
  auto const release = [&]() noexcept {
    held.release();
    lock.release();
  };
  bool const only_own = owner.takes_only_its_own();
  // Runs what the thread has taken. Then takes and runs the next head of the line, as long as the
  // thread would come back for it.
  auto const serve_on = [&](started& s) noexcept {
    for (;;) {
      bool const is_own = s.of == &a;
      host.pass(!is_own,
                [&]() noexcept { run_started(line, s, goes_on && is_own, host, lock, awake); });
      held.acquire(q.lock);
      bool const is_over = !goes_on || owner.is_reached(q, g);
      held.release();
      if (is_over || !line.take(s, only_own ? &a : nullptr)) {
        lock.release();
        return;
      }
      line.tell(awake);
      lock.release();
      awake.now();
    }
  };
  for (;;) {
    lock_line(line, lock, host);
    held.acquire(q.lock);
    bool const takes_part = owner.takes_part(q);
    bool const is_over = g.what != goal::flag && g.has_ended();
    bool const is_reached = owner.is_reached(q, g);
    if (is_reached || is_over) {
      held.release();
      if (takes_part) {
        // This thread may have been woken instead of another waiter. After the release of the lock
        // another waiter may destroy the group.
        tell_line(line, lock, &a, host);
      } else {
        lock.release();
      }
      return is_reached;
    }
    if (takes_part) {
      held.release();
      started s;
      if (is_holding) {
        if (line.borrow(s, a)) {
          lock.release();
          prepared.reset();
          run_started(line, s, goes_on, host, lock, awake);
          tell_line(line, lock, nullptr, host);
          awake.now();
          continue;
        }
      } else if (all.running.load(std::memory_order_relaxed) < all.limits.slots &&
                 line.take(s, only_own ? &a : nullptr)) {
        place_line::count(all, 1);
        lock.release();
        prepared.reset();
        host.enter([&]() noexcept { serve_on(s); });
        lock_line(line, lock, host);
        place_line::count(all, -1);
        all.tell_sleepers(awake);
        tell_line(line, lock, nullptr, host);
        awake.now();
        continue;
      }
      held.acquire(q.lock);
      if (owner.is_reached(q, g)) {
        release();
        continue;
      }
    }
    if (g.what != goal::flag && owner.cancellation_is_due()) {
      release();
      owner.note_cancellation();
    } else if (g.what == goal::idle && q.closed && q.due.later != 0 && !has_dropped) {
      release();
      owner.drop_timed(q);
      has_dropped = true;
    } else {
      sleep_mode mode = owner.mode(q, g, takes_part);
      if (is_holding && mode.wanted == sleeper::work) {
        mode.wanted = sleeper::own;
      }
      bool const is_prepared = prepared && prepared->mode() == mode;
      if (is_prepared) {
        if (mode.wanted == sleeper::own) {
          a.has_holder = true;
        } else if (takes_part && !is_holding) {
          line.add_helper(a);
        }
        lock.release();
        prepared->sleep(held);  // releases and takes the lock of the group's queue
        held.release();
      } else {
        release();
      }
      prepared.reset();
      if (!is_prepared) {
        prepared.emplace(owner, q, g, mode);
      }
    }
  }
}

/// Reserves places for a task of `a` that will ask for them. Waits for them until `end`. A thread
/// that holds places does not wait, since the missing places may be its own. Returns false if the
/// places are not reserved.
template <class Owner, class Host>
bool wait_for_places(place_line& line, place_asker& a, std::int64_t weight, goal const& end,
                     Owner& owner, Host& host) {
  place_request mine{&a, weight};
  {
    spin_mutex::scoped_lock const lock(line.host().lock);
    line.request(mine);
  }
  auto const end_request = [&](bool keeps) noexcept {
    wake_list awake;
    spin_mutex::scoped_lock const lock(line.host().lock);
    bool const is_reserved = line.end_request(mine);
    if (is_reserved && !keeps) {
      line.unreserve(weight);
    }
    line.grant(awake);
    return is_reserved;
  };
  if (!host.is_holding()) {
    goal g = end;
    g.what = goal::places;
    g.is_granted = &mine.is_granted;
    try {
      (void)wait_in_line(line, a, g, owner, host);
    } catch (...) {  // no memory to sleep
      (void)end_request(false);
      throw;
    }
  }
  return end_request(true);
}

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_PLACE_LOOPS_HPP
