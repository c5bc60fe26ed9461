// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_GROUP_PARTS_HPP
#define ERRGROUP_SRC_GROUP_PARTS_HPP

// The declarations that the files of group_core share. They are no part of their own, and know all
// parts: see docs/design.md.

#include "error_list.hpp"
#include "task_queue.hpp"
#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/submit.hpp>

#include <tbb/blocked_range.h>  // blocked_range
#include <tbb/parallel_for.h>   // parallel_for
#include <tbb/partitioner.h>    // simple_partitioner
#include <tbb/task_arena.h>     // task_arena
#include <tbb/task_group.h>     // task_group_status

#include <atomic>       // atomic
#include <cstddef>      // size_t
#include <cstdint>      // uint32_t
#include <mutex>        // mutex
#include <new>          // bad_alloc
#include <optional>     // optional
#include <stop_token>   // stop_callback, stop_source, stop_token
#include <string>       // string
#include <thread>       // yield
#include <type_traits>  // is_same_v
#include <utility>      // exchange, move

namespace errgroup::detail {

using lock_type = spin_mutex::scoped_lock;

/// The members for options that few groups have. A group whose only options are `exceptions` and
/// `detached` has none.
struct group_core::extras {
  struct stopper {
    group_core* g;
    void operator()() const noexcept { g->cancel(errc::canceled); }
  };

  std::string name;
  std::optional<error_list> all;  // with keep::all
  int limit = unlimited;
  std::size_t queue = npos;
  tbb::task_arena* arena = nullptr;
  std::optional<std::chrono::nanoseconds> timeout;

  std::mutex cause_lock;
  error cause;  // with on_error::keep_going: why it was stopped, if not by its first error

  queue_life pool;  // the life of the queue, if the group has an arena of its own
  std::optional<tbb::task_arena> slots;  // that arena: see set_limits
  std::optional<tbb::task_arena> home;   // the arena from which its runners come
  std::stop_token stop;
  std::optional<std::stop_callback<stopper>> on_stop;
};

/// Errors that `reset` or the destructor takes out of a group.
struct group_core::forgotten {
  error first;
  error cause;
  std::optional<note_ptr> others;
};

/// The source of a group's stop tokens.
struct group_core::token_link {
  explicit token_link(group_core& g) noexcept(false) : owner(g) {}

  std::stop_source source;  // under the group's `cold_`
  group_core& owner;
  token_link* previous = nullptr;
  token_link* next = nullptr;
};

/// The groups with a bound context that have stop tokens. oneTBB cancels their contexts, and has no
/// callback for that. But when `cancel_group_execution` returns, oneTBB has cancelled every context
/// below. So after a cancellation the canceller searches this list for groups that are cancelled
/// now.
///
/// Invariant: a group is in the list from its first `get_stop_token` to its destructor. A group
/// that has children or a deadline takes its own token, so the list has it, too.
///
/// Lock order: `lock`, then the lock of a frame.
struct group_core::bound_groups {
  static inline std::mutex lock;
  static inline token_link* first = nullptr;
  static inline std::atomic<std::size_t> count{0};

  /// Stops the groups of the list whose contexts are cancelled.
  static void stop_canceled(stopped_nodes& nodes) noexcept;
  static void add(token_link& link) noexcept;
  static void remove(token_link& link) noexcept;
};

/// A thread in `wait`. While it lives, the destructor of the group waits.
class group_core::waiting {
 public:
  waiting(group_core& g, thread_state& self) noexcept : g_(g), is_maker_(&self == g.origin_.maker) {
    if (!is_maker_) {
      g.note_event();
    }
    g_.waiters_.enter(is_maker_);
  }
  waiting(waiting const&) = delete;
  waiting& operator=(waiting const&) = delete;
  ~waiting() { g_.waiters_.leave(is_maker_); }

 private:
  group_core& g_;
  bool is_maker_;
};

/// A thread that takes tasks from a queue: see runner.cpp. It lives on the stack of that thread.
struct group_core::session {
  explicit session(session_kind k) noexcept : kind(k) {}

  session_kind kind;
  node* next = nullptr;                                // the task that was taken, and has not run
  batch taken;                                         // the batch of that task
  std::size_t done = 0;                                // finished tasks of the batch
  bool call = false;                                   // a request is to be sent
  bool over = false;                                   // has left the queue
  bool retires = false;                                // leaves although there is work
  bool stays = false;                                  // near the queue, and is its open request
  bool idle = false;                                   // has left the queue idle
  clock::time_point until = clock::time_point::max();  // a `timed` session leaves then
  std::atomic<bool> const* end = nullptr;              // or when this is true, if not null
  std::uint64_t pushed = 0;                            // `task_queue::pushed` at the end
  int pauses = 0;                                      // length of the recent pauses at the lock
};

/// Calls `f` again until oneTBB has the memory for it.
template <class F>
void insist(F const& f) noexcept {
  for (;;) {
    try {
      f();
      return;
    } catch (std::bad_alloc const&) {
      std::this_thread::yield();
    }
  }
}

// Calls `wait_there` in the arena of the limited group inside which this group was made. A thread
// that is elsewhere enters that arena first: the tasks that were spawned there sit there, and all
// threads of the arena have entered it in this way or as runners.
template <class Wait>
void group_core::in_pool(Wait const& wait_there) noexcept {
  if (origin_.pool.of != nullptr && !(this_thread().top->pool == origin_.pool)) [[unlikely]] {
    enter_pool(wait_there);
  } else {
    wait_there();
  }
}

template <class Wait>
[[gnu::noinline, gnu::cold]] void group_core::enter_pool(Wait const& wait_there) noexcept {
  queue_guest const guest(origin_.pool);
  if (!guest) {  // the limited group is done
    wait_there();
    return;
  }
  auto enter = [&]() noexcept {
    queue_life& where = this_thread().top->pool;  // oneTBB may have chosen another thread
    queue_life const before = std::exchange(where, origin_.pool);
    wait_there();
    where = before;
  };
  insist([&] { guest->owner->extras_->slots->execute(enter); });
}

// Waits for the spawned tasks. oneTBB's own `wait` would take back the cancellation of the context.
inline void group_core::engine_wait() noexcept {
  in_pool([this]() noexcept {
    auto wait = [this] {
      tbb::detail::d1::wait(engine::task_group::count_of(engine_.tasks), engine_.context);
    };
    try {
      in_isolation(wait);
    } catch (...) {
      // Tasks do not throw. A user's algorithm in context() did, and left its exception there.
    }
  });
}

// As `engine_wait`, after it has run `body` in the context. `body` is a function, or a task of this
// group.
template <class Body>
void group_core::engine_run_and_wait(Body& body) noexcept {
  in_pool([&]() noexcept {
    tbb::task_group_status status = tbb::canceled;
    auto run = [&] {
      if constexpr (std::is_same_v<Body, tbb::task_handle>) {
        status = engine_.tasks.run_and_wait(std::move(body));
      } else {
        status = engine_.tasks.run_and_wait(body);
      }
    };
    try {
      in_isolation(run);
    } catch (...) {
      // As in `engine_wait`.
    }
    if (status == tbb::canceled || is_stopped()) {
      // oneTBB takes the cancellation back at the end of the wait, for every user of the context.
      // If the group does not know of the cancellation yet, the caller notices it in the context.
      // It is not recorded here: this thread may hold a task, and a callback may wait for the
      // group.
      engine_.context.cancel_group_execution();
    }
  });
}

/// Runs `body` in this thread, as a oneTBB task in `context`: what `body` starts is cancelled with
/// the context. Returns false, without running `body`, if `context` is cancelled. If `context` is
/// not bound yet, this call binds it to the context of the caller.
///
/// The implementation is an algorithm of oneTBB. task_group::run_and_wait would wait for other
/// tasks of the context, and would take back the cancellation of the context at the end.
template <class Body>
bool run_in(tbb::task_group_context& context, Body const& body) noexcept {
  bool ran = false;
  auto run = [&] {
    tbb::parallel_for(
        tbb::blocked_range<int>(0, 1),
        [&](tbb::blocked_range<int> const&) noexcept {
          ran = true;
          body();
        },
        tbb::simple_partitioner{}, context);
  };
  for (;;) {
    try {
      run();
    } catch (...) {
      // `body` does not throw. Either oneTBB has no memory, or a user's algorithm has left an
      // exception in the context (which it has thrown to its caller, too).
    }
    if (ran || context.is_group_execution_cancelled()) {
      return ran;
    }
    std::this_thread::yield();
  }
}

[[nodiscard]] bool has_no_workers() noexcept;
/// As `has_no_workers`, but asks oneTBB once per task: oneTBB takes a lock that all threads share.
[[nodiscard]] bool has_no_workers(thread_state& self) noexcept;
/// True if oneTBB has no thread for tasks that this thread spawns: without workers, or in an arena
/// of one thread.
[[nodiscard]] bool nobody_comes(thread_state& self) noexcept;

/// For a thread that runs tasks of a group, and may leave before the group is done. Without
/// workers, such a thread does not spawn the tasks that its tasks submit: no other thread would
/// take them from its deque.
class passing_by {
 public:
  explicit passing_by(thread_state& self) noexcept
      : self_(self), was_alone_(std::exchange(self.is_alone, has_no_workers())) {}
  passing_by(passing_by const&) = delete;
  passing_by& operator=(passing_by const&) = delete;
  ~passing_by() { self_.is_alone = was_alone_; }

 private:
  thread_state& self_;
  bool was_alone_;
};

/// The arena for requests that have no better place: an arena like any outside thread's.
tbb::task_arena& default_arena();

}  // namespace errgroup::detail

#endif  // ERRGROUP_SRC_GROUP_PARTS_HPP
