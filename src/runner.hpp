// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_RUNNER_HPP
#define ERRGROUP_SRC_RUNNER_HPP

#include "task_queue.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <algorithm>  // min
#include <atomic>     // memory_order
#include <chrono>     // microseconds
#include <cstddef>    // size_t
#include <cstdint>    // uint8_t
#include <utility>    // exchange

// How a thread takes tasks from a queue: a *session*. It takes single tasks, or a page of tasks at
// once (a batch).

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// The event that a thread waits for, or until which it takes tasks.
struct goal {
  enum kind : std::uint8_t {
    idle,    // all tasks are finished
    room,    // there is room in the queue, or the queue is closed
    slot,    // `try_run` would accept a task, or the queue is closed
    places,  // places of a limiter were granted (`is_granted`), or the queue is closed
    flag     // `is_set` is true
  };

  kind what = idle;
  /// The thread runs tasks only if no other thread may come for them: a task might last beyond the
  /// end time, or might wait for this very thread.
  bool leaves_tasks = false;
  atomic<bool> const* is_set = nullptr;  // if the goal is no flag: the wait ends once it is true
  clock::time_point until = clock::time_point::max();  // the wait ends then in any case
  atomic<bool> const* is_granted = nullptr;            // with `places`

  [[nodiscard]] bool is_timed() const noexcept { return until != clock::time_point::max(); }
  /// The flag is set, or the end time has come.
  [[nodiscard]] bool has_ended() const noexcept {
    return (is_set != nullptr && is_set->load(std::memory_order_acquire)) ||
           (what != flag && is_timed() && now() >= until);
  }
};

/// The tasks that a thread takes from a queue. It lives on the stack of that thread.
///
/// Four kinds of threads have sessions: a runner, which has answered a request; a waiter; a
/// submitter that needs room in the queue; and a thread that leaves the group's tasks to others if
/// it can (in `wait_until` or `extend::help_until`), and leaves when its goal is over.
///
/// Invariants:
/// - A session counts in `task_queue::running` from `begin` to `end`, so the group does not end
///   before. It holds a slot of the limit meanwhile.
/// - The last access of a runner to the group is the release of the queue's lock.
/// - A session sends the request that it has taken before it runs its task.
///
/// Lock order: the functions that are given the queue are called under the queue's lock.
class session {
 public:
  enum kind : std::uint8_t { runner, passer, submitter, leaver, waiter, leaving_waiter };

  explicit session(kind k) noexcept : kind_(k) {}
  /// A passer takes tasks until its goal has ended.
  explicit session(goal const& g) noexcept : kind_(passer), goal_(&g) {}
  /// A submitter takes tasks until there is room, or its goal has ended.
  session(kind k, goal const& g) noexcept : kind_(k), goal_(&g) {}

  /// The session begins, and takes a task.
  void begin(task_queue& q) noexcept {
    q.running.store(q.running.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    take(q);
    call = q.take_request();
    if (kind_ == submitter) {
      soon_ = real_time() + short_time;
    }
  }

  /// The session has no task left. Takes another task, unless the session has to leave.
  void go_on(task_queue& q) noexcept {
    if (wants_more(q)) {
      take(q);
    }
  }

  /// The task is finished. If it came from a batch, so is the batch.
  void finish(task_queue& q, node* n, wake_list& awake) noexcept {
    std::size_t const done = std::exchange(done_, 0);
    if (taken_) {
      q.unfinished -= done;
      q.give_back(taken_);
    } else {
      finish_one(q, n, awake);
    }
  }
  /// A task is finished that was taken without a session.
  static void finish_one(task_queue& q, node* n, wake_list& awake) noexcept {
    if (n->is_task()) {
      --q.unfinished;
      if (!q.sleepers.is_empty() && q.unfinished < q.limits.room) {
        q.sleepers.wake_one(awake, sleeper::room);
      }
    }
    q.give_back(n);
  }

  /// The session ends.
  [[gnu::noinline]] void end(task_queue& q, wake_list& awake) noexcept {
    q.running.store(q.running.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    over_ = true;
    idle_ = q.is_idle();
    if (idle_ && kind_ >= waiter) {
      q.join();
    }
    if (call) {
      // The session has not sent its request, because the context let no task in. No other thread
      // has the request.
      q.close_request();
    }
    // A runner that leaves stays near the queue, and is the open request meanwhile.
    stays_ = kind_ == runner && !q.closed && q.open_request();
    // After the queue was closed, only batches have tasks, and their own threads run these. (A
    // runner could not send a request: the group may be gone as soon as the batches are done.)
    call = !q.closed && q.take_request();
    q.tell_sleepers(awake);
  }

  /// Notes that `n` has run. Then takes the next task of the batch; without the lock.
  void next_in_batch(node const& n) noexcept {
    done_ += n.is_task() ? 1U : 0U;
    next = taken_.next();
  }

  /// The session ends as soon as its batch is empty: more threads have slots than the limit allows.
  void leave_soon() noexcept { kind_ = kind_ == waiter ? leaving_waiter : leaver; }

  [[nodiscard]] kind of_kind() const noexcept { return kind_; }
  [[nodiscard]] bool has_batch() const noexcept { return static_cast<bool>(taken_); }
  [[nodiscard]] bool is_over() const noexcept { return over_; }
  /// It is over, and has left the queue idle.
  [[nodiscard]] bool left_idle() const noexcept { return idle_; }
  /// It is over, and the thread is the queue's open request.
  [[nodiscard]] bool stays() const noexcept { return stays_; }

  /// Takes the queue's lock. If tasks are so short that sessions meet at the lock, fewer threads
  /// are faster. So a thread that does not get the lock stays away for longer each time, and begins
  /// with a long pause the next time, too. In the end a runner leaves, if it is not the only one.
  void acquire(spin_mutex::scoped_lock& lock, task_queue& q) noexcept {
    if (lock.try_acquire(q.lock)) {
      pauses_ /= 2;
      return;
    }
    do {
      pauses_ = std::min(2 * pauses_ + 2, most_pauses);
      pause(pauses_);
      if (pauses_ == most_pauses) {
        yield();  // the owner of the lock may have no processor
      }
    } while (!lock.try_acquire(q.lock));
  }

  node* next = nullptr;  // the task that was taken, and has not run
  bool call = false;     // a request is to be sent

 private:
  // The longest pause of a thread that takes tasks before it tries the queue's lock again.
  static constexpr int most_pauses = 128;
  // A submitter that runs short tasks goes on until half of the queue is free, but no longer.
  static constexpr std::chrono::microseconds short_time{10};

  // Takes a task, and a batch if the queue gives one.
  void take(task_queue& q) noexcept {
    if (kind_ != passer && q.pop(taken_)) {
      next = taken_.next();
      taken_.prefetch();
    } else {
      next = q.pop();
    }
  }

  [[nodiscard]] bool wants_more(task_queue const& q) noexcept {
    switch (kind_) {
      case runner:
        return pauses_ != most_pauses || q.running.load(std::memory_order_relaxed) == 1;
      case waiter:
        return true;
      case leaver:
      case leaving_waiter:
        return false;
      case passer:
        return goal_->what != goal::slot && !goal_->has_ended();
      case submitter:
        break;
    }
    if (goal_ != nullptr && goal_->has_ended()) {
      return false;
    }
    if (q.unfinished >= q.limits.room) {
      return true;
    }
    if (q.unfinished <= q.limits.room / 2) {
      return false;
    }
    return real_time() < soon_;
  }

  kind kind_;
  bool over_ = false;
  bool idle_ = false;
  bool stays_ = false;
  int pauses_ = 0;        // the length of the recent pauses at the lock
  batch taken_;           // the batch of the task
  std::size_t done_ = 0;  // finished tasks of the batch
  goal const* goal_ = nullptr;
  clock::time_point soon_{};  // a submitter leaves then, if there is room
};

// The rest of the session is done by the group, as `owner`. It has these functions:
//
//   enter(s, work)       calls `work` in the group's context and arena, or does not call it
//   ends_in_context(s)   true if the session may end inside `enter`
//   begin_task()         records that oneTBB has cancelled the context, if it has
//   run(n)               runs a task, and destroys its callable
//   refuse(n)            drops a task that the context did not let in; false if the group goes on
//   has_news()           true if tasks are due, or the limit was lowered
//   run_due()            runs the tasks that are due
//   is_over_limit(q)     true if more threads have slots than the limit allows
//   send_request(q)      sends the request that the session has taken

/// Runs the tasks of a session inside `enter`, until the session has to leave.
template <class Owner>
[[gnu::noinline]] void drain(task_queue& q, session& s, Owner& owner) noexcept {
  wake_list awake;
  spin_mutex::scoped_lock lock;
  while (s.next != nullptr) {
    if (std::exchange(s.call, false)) {
      owner.send_request(q);  // before the task, which may be long
    }
    owner.begin_task();
    node* const n = std::exchange(s.next, nullptr);
    owner.run(*n);
    if (owner.has_news()) [[unlikely]] {
      if (s.has_batch()) {
        owner.run_due();  // before the next task is claimed, which would wait if the due one blocks
      }
      if (owner.is_over_limit(q)) {
        s.leave_soon();
      }
    }
    s.next_in_batch(*n);
    if (s.next != nullptr) {
      continue;
    }
    s.acquire(lock, q);
    s.finish(q, n, awake);
    s.go_on(q);
    if (s.next != nullptr) {
      s.call = q.take_request();
    } else if (owner.ends_in_context(s)) {
      s.end(q, awake);
    }
    lock.release();
    awake.now();
  }
}

/// Runs tasks from the queue in this thread, until the session is over. The session has begun.
template <class Owner>
[[gnu::noinline]] void run_session(task_queue& q, session& s, Owner& owner) noexcept {
  auto work = [&]() noexcept { drain(q, s, owner); };
  for (;;) {
    owner.enter(s, work);
    if (s.is_over()) {
      return;
    }
    wake_list awake;
    node* const refused = std::exchange(s.next, nullptr);
    if (refused != nullptr) {
      if (!owner.refuse(*refused)) {
        s.next = refused;
        yield();  // oneTBB has no memory: try again
        continue;
      }
      s.next_in_batch(*refused);
      if (s.next != nullptr) {
        continue;
      }
    }
    spin_mutex::scoped_lock lock(q.lock);
    if (refused != nullptr) {
      s.finish(q, refused, awake);
    }
    s.go_on(q);
    if (s.next == nullptr) {
      s.end(q, awake);
      // If there is no request to send, the release of the lock is the last access to the group. A
      // runner has none to send. A waiter or a submitter may have one: it keeps the group alive.
      lock.release();
      if (s.call) {
        owner.send_request(q);
      }
      return;
    }
    s.call = s.call || q.take_request();
  }
}

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_RUNNER_HPP
