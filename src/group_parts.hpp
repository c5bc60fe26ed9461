// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_GROUP_PARTS_HPP
#define ERRGROUP_SRC_GROUP_PARTS_HPP

// What the files that make up errgroup::group share.

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

/// What only some groups have.
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
  error cause;  // why it was stopped, with on_error::keep_going, if that was not its first error

  queue_life pool;                       // what tasks of a group with an arena of its own run in
  std::optional<tbb::task_arena> slots;  // that arena: as many slots as the limit
  std::optional<tbb::task_arena> home;   // where its runners come from
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
/// callback for that, but it has told every context when `cancel_group_execution` returns. So a
/// thread that has cancelled a group looks through this list for groups that are cancelled now.
struct group_core::bound_groups {
  static inline std::mutex lock;
  static inline token_link* first = nullptr;
  static inline std::atomic<std::size_t> count{0};

  /// Stops the groups of the list whose contexts are cancelled.
  static void stop_canceled(stopped_nodes& nodes) noexcept;
  static void add(token_link& link) noexcept;
  static void remove(token_link& link) noexcept;
};

/// A thread in `wait`.
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

/// A thread that takes tasks from a queue.
struct group_core::session {
  explicit session(session_kind k) noexcept : kind(k) {}

  session_kind kind;
  node* next = nullptr;                                // taken, and not run yet
  batch taken;                                         // with that
  std::size_t done = 0;                                // tasks of the batch that are finished
  bool call = false;                                   // a request is to be sent
  bool over = false;                                   // it has left the queue
  bool retires = false;                                // it leaves although there is work
  bool stays = false;                                  // … and is its request now
  bool idle = false;                                   // … as the last one
  clock::time_point until = clock::time_point::max();  // a `timed` one leaves then
  std::atomic<bool> const* end = nullptr;              // … or when this is true, if there is one
  std::uint64_t pushed = 0;                            // … which has seen so many tasks
  int pauses = 0;                                      // what it waited for the lock lately
};

/// Does what oneTBB may not have the memory for, until it has.
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

// Calls `wait_there` in the arena of the limited group in which this group was made, if this thread
// is elsewhere. The tasks that were spawned in that arena sit there, and it has no threads but
// those that enter it.
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
  if (!guest) {  // that group is done
    wait_there();
    return;
  }
  auto enter = [&]() noexcept {
    queue_life& where = this_thread().top->pool;  // oneTBB may have sent another thread
    queue_life const before = std::exchange(where, origin_.pool);
    wait_there();
    where = before;
  };
  insist([&] { guest->owner->extras_->slots->execute(enter); });
}

// Waits for the tasks that went to oneTBB. Unlike oneTBB's own `wait`, it leaves the context
// cancelled.
inline void group_core::engine_wait() noexcept {
  in_pool([this]() noexcept {
    auto wait = [this] {
      tbb::detail::d1::wait(engine::task_group::count_of(engine_.tasks), engine_.context);
    };
    try {
      in_isolation(wait);
    } catch (...) {
      // Our tasks do not throw. An algorithm that was given context() did, and left it there.
    }
  });
}

// The same, after it has run `body`, which is a function or a task of this group, in the context.
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
      // As above.
    }
    if (status == tbb::canceled && !is_stopped()) {
      record(errc::canceled, true);
    } else if (is_stopped()) {
      // oneTBB takes the cancellation back when the wait is over, for every user of the context.
      engine_.context.cancel_group_execution();
    }
  });
}

/// Runs `body` in this thread, with `context` as what oneTBB runs: what it starts is cancelled with
/// it. False if it did not run, because `context` is cancelled. Binds `context`, if it is not bound
/// yet, to what runs here now.
///
/// An algorithm is the one way that neither waits for other tasks of the context nor takes its
/// cancellation back at the end, as task_group::run_and_wait does.
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
      // `body` does not throw. It is an exception that a user's algorithm left in the context, and
      // that algorithm has thrown it to its caller; or oneTBB has no memory.
    }
    if (ran || context.is_group_execution_cancelled()) {
      return ran;
    }
    std::this_thread::yield();
  }
}

[[nodiscard]] bool has_no_workers() noexcept;
/// The same, asked once per task: oneTBB takes a lock that all threads share.
[[nodiscard]] bool has_no_workers(thread_state& self) noexcept;
/// True if oneTBB has no thread for what this one spawns: without workers, or in an arena of one.
[[nodiscard]] bool nobody_comes(thread_state& self) noexcept;

/// While a thread runs tasks that it may leave before the group is done: it does not spawn what
/// they submit if nobody else would come to take that from its deque.
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

/// Where requests go that have no better place: an arena like any outside thread's.
tbb::task_arena& default_arena();

}  // namespace errgroup::detail

#endif  // ERRGROUP_SRC_GROUP_PARTS_HPP
