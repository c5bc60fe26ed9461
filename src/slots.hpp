// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_SLOTS_HPP
#define ERRGROUP_SRC_SLOTS_HPP

#include "insist.hpp"
#include "task_queue.hpp"
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/options.hpp>

#include <tbb/task_arena.h>  // task_arena

#include <atomic>    // atomic, memory_order
#include <cstddef>   // size_t
#include <optional>  // optional

namespace errgroup::inline v1::detail {

/// An arena whose slots are all reserved, so it asks oneTBB for no workers of its own.
class reserved_arena {
 public:
  /// An arena with so many slots: a spare arena, or a new one. Throws `std::bad_alloc`, and what
  /// oneTBB throws.
  [[nodiscard]] static reserved_arena& take(int places);
  /// The arena is not used any more, and no thread is in it. It becomes a spare arena, or is
  /// destroyed if there are many. Threads: any, without a lock.
  void give_back() noexcept;
  /// This arena replaces `older`, in which threads may be, and which is given back with it.
  void replace(reserved_arena* older) noexcept { older_ = older; }

  /// A group that may take an arena begins and ends. When the last one has ended, the spare arenas
  /// are destroyed: an arena keeps oneTBB from being finalized.
  static void begin_user() noexcept;
  static void end_user() noexcept;

  template <class F>
  void execute(F& f) {
    arena_.execute(f);
  }

 private:
  explicit reserved_arena(int places)
      : places_(places), arena_(places, static_cast<unsigned>(places)) {}

  int places_;
  tbb::task_arena arena_;
  reserved_arena* next_ = nullptr;
  reserved_arena* older_ = nullptr;
};

/// The threads of a group that has threads of its own (`options::blocking`). The class behind it is
/// in own_threads.cpp, and is not linked into a program without such groups.
class thread_source {
 public:
  thread_source() = default;
  thread_source(thread_source const&) = delete;
  thread_source& operator=(thread_source const&) = delete;
  /// Waits until the threads have ended.
  virtual ~thread_source() = default;

  /// One of the threads answers the open request of the queue: now, or when the first of them has
  /// ended its session. Threads: any.
  virtual void call(queue_life const& life) noexcept = 0;
  /// From now on there are `n` threads, or more: threads do not end before the group. Under
  /// `cold_` of the group. Throws `std::bad_alloc` and `std::system_error`; there may be some more
  /// threads then.
  virtual void raise_to(int n) = 0;
};

/// At most N tasks at once: the limits of a group, and the arenas that follow from them.
///
/// A group with `options::limit` and without `options::arena` has an arena of its own, in which its
/// tasks run (`reserved_arena`). Its threads come as runners from the *home* arena, and each runner
/// has a slot of the limit (`task_queue::running`) before it enters. (An arena with workers runs
/// two tasks at once for a limit of 1, and prints a warning for a limit above the machine.)
///
/// With `options::blocking` the runners are threads of the group (`thread_source`), and there is no
/// home arena. There are as many threads as slots: if a slot is free, a thread has no session.
///
/// The group has that arena while it is busy. oneTBB goes through all arenas of the process each
/// time that one of them asks for workers, and when it destroys one: with an arena for each idle
/// group, every group would cost more the more groups there are.
///
/// Invariants:
/// - A thread enters the group's arena only in a session of the group, or as a `queue_guest`. Only
///   groups that were made in the group's tasks spawn tasks there. So each of these tasks is found.
/// - A thread that is about to enter, or inside, keeps the queue from being idle.
///
/// Lock order: `leave` is called under the queue's lock. `enter` and `give_back` take the lock of
/// the spare arenas, and locks of oneTBB.
///
/// May be destroyed when the group has ended.
class slots {
 public:
  struct layout;  // for debuggers: layout.cpp

  explicit slots(options const& opts) noexcept
      : is_limited_(opts.limit != unlimited),
        limit_(opts.limit),
        queue_(opts.queue),
        given_(opts.arena) {}
  slots(slots const&) = delete;
  slots& operator=(slots const&) = delete;
  ~slots();

  /// The runners are the threads of `source`, as many as the limit. Comes before `open`. Takes
  /// `source` over.
  void use(thread_source* source) noexcept { threads_ = source; }
  /// The threads of the group; null if it has none of its own.
  [[nodiscard]] thread_source* threads() const noexcept { return threads_; }

  /// Sets the limits of `q`, and finds the arenas. Comes before the first task. `is_nested`: inside
  /// another limited group. Throws `std::bad_alloc`, and what oneTBB throws.
  void open(task_queue& q, bool is_nested);

  /// The number of unfinished tasks at which `try_run` refuses a task. Under the queue's lock.
  [[nodiscard]] std::size_t most_unfinished(task_queue const& q) const noexcept {
    // If the queue is unbounded, `try_run` needs a free slot, not room in the queue.
    bool const needs_slot = queue_ == npos && is_limited_;
    return needs_slot ? static_cast<std::size_t>(limit_) + q.batches.finished() : q.limits.room;
  }

  /// True if `try_run` accepts a task. Under the queue's lock.
  [[nodiscard]] bool has_slot(task_queue const& q) const noexcept {
    return q.unfinished < most_unfinished(q);
  }

  /// Changes the limit of a limited group. The first function is for a group without a queue. The
  /// others: `larger_arena` returns an arena for more threads, or null; throws what `open` throws.
  /// `set_limit` is called under the queue's lock, with that arena, and returns an arena that the
  /// caller has to give back without the lock, or null.
  ///
  /// Threads that come later enter the new arena, while tasks go on in the old one. So the threads
  /// of one arena are never more than its slots.
  [[nodiscard]] bool is_limited() const noexcept { return is_limited_; }
  void set_limit(int limit) noexcept { limit_ = limit; }
  [[nodiscard]] reserved_arena* larger_arena(int limit) const;
  [[nodiscard]] reserved_arena* set_limit(task_queue& q, int limit,
                                          reserved_arena* larger) noexcept;

  /// True if the group's queue is bounded.
  [[nodiscard]] bool is_bounded() const noexcept { return queue_ != npos; }
  /// The number of tasks that are accepted beside those that wait: `held` hold a slot.
  [[nodiscard]] std::size_t room_beside(std::size_t held) const noexcept {
    return queue_ > npos - held ? task_queue::unbounded : queue_ + held;
  }

  /// The queue of the group, if the group has an arena of its own; null otherwise.
  [[nodiscard]] queue_life const* pool() const noexcept { return has_arena() ? &pool_ : nullptr; }

  /// Calls `f` in the arena of the group, if it has one. Threads: as in the invariant.
  template <class F>
  void enter(F& f) noexcept {
    if (has_arena()) {
      insist([&] { arena().execute(f); });
    } else {
      f();
    }
  }
  /// The queue is idle, and its lock is held. Returns the group's arena, which the caller has to
  /// give back when it has released the lock; null if the group has none now.
  [[nodiscard]] reserved_arena* leave() noexcept {
    return borrowed_.exchange(nullptr, std::memory_order_acq_rel);
  }

  /// The arena in which the user wants the tasks; null if the user does not mind.
  [[nodiscard]] tbb::task_arena* given() const noexcept { return given_; }
  /// The arena from which the runners come; null if that is `given()`, and if they are `threads()`.
  [[nodiscard]] tbb::task_arena* home() noexcept { return home_ ? &*home_ : nullptr; }

 private:
  [[nodiscard]] bool has_arena() const noexcept {
    return arena_size_.load(std::memory_order_relaxed) != 0;
  }
  reserved_arena& arena();
  [[nodiscard]] int slots_for(int limit) const noexcept;

  bool const is_limited_;
  int limit_;  // under the queue's lock, once there is a queue
  std::size_t queue_;
  tbb::task_arena* given_;
  queue_life pool_;
  std::atomic<int> arena_size_{0};  // the slots of the group's arena; 0: it never has one
  int most_slots_ = 0;              // more would cost memory and change nothing
  std::atomic<reserved_arena*> borrowed_{nullptr};
  std::optional<tbb::task_arena> home_;
  thread_source* threads_ = nullptr;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_SLOTS_HPP
