// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_GROUP_PARTS_HPP
#define ERRGROUP_SRC_GROUP_PARTS_HPP

// What the files that make up errgroup::group share.

#include "error_list.hpp"
#include "queue.hpp"
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/group.hpp>

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

namespace errgroup {

using detail::queue;
using detail::queue_life;
using detail::thread_state;
using lock_type = detail::spin_mutex::scoped_lock;

/// What only some groups have.
struct group::extras {
  struct stopper {
    group* g;
    void operator()() const noexcept { g->cancel(); }
  };

  std::string name;
  std::optional<detail::error_list> all;  // with keep::all
  int limit = unlimited;
  std::size_t queue = npos;
  bool isolated = false;
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
struct group::forgotten {
  error first;
  error cause;
  std::optional<detail::note_ptr> others;
};

/// Where a group is made.
struct group::place {
  explicit place(bool belongs);

  thread_state& self;
  tbb::task_group_context* context;  // null: in no task, or detached
  bool is_child;                     // of the task of ours that runs here
  bool is_bound;                     // below a raw oneTBB task
  bool is_stopped;                   // the group of the task that runs here is
};

/// The source of a group's stop tokens.
struct group::token_link {
  explicit token_link(group& g) noexcept(false) : owner(g) {}

  std::stop_source source;  // under the group's `cold_`
  group& owner;
  token_link* previous = nullptr;
  token_link* next = nullptr;
};

/// The groups with a bound context that have stop tokens. oneTBB cancels their contexts, and has no
/// callback for that, but it has told every context when `cancel_group_execution` returns. So a
/// thread that has cancelled a group looks through this list for groups that are cancelled now.
struct group::bound_groups {
  static inline std::mutex lock;
  static inline token_link* first = nullptr;
  static inline std::atomic<std::size_t> count{0};

  /// Stops the groups of the list whose contexts are cancelled.
  static void stop_canceled(detail::stopped_nodes& nodes) noexcept;
  static void add(token_link& link) noexcept;
  static void remove(token_link& link) noexcept;
};

/// A thread in `wait`. The thread that made the group, which is the usual one, says so with plain
/// stores; other threads count themselves.
class group::waiting {
 public:
  waiting(group& g, thread_state& self) noexcept : g_(g), is_maker_(&self == g.maker_) {
    if (is_maker_) {
      g_.maker_waits_.store(g_.maker_waits_.load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
    } else {
      g_.eventful_.store(true, std::memory_order_relaxed);
      g_.others_wait_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  waiting(waiting const&) = delete;
  waiting& operator=(waiting const&) = delete;
  ~waiting() {
    // The last access to the group, in either case: the destructor waits for this.
    if (is_maker_) {
      g_.maker_waits_.store(g_.maker_waits_.load(std::memory_order_relaxed) - 1,
                            std::memory_order_release);
    } else {
      g_.others_wait_.fetch_sub(1, std::memory_order_release);
    }
  }

 private:
  group& g_;
  bool is_maker_;
};

/// A thread that takes tasks from a queue.
struct group::session {
  explicit session(helper h) noexcept : who(h) {}

  helper who;
  detail::node* next = nullptr;                        // taken, and not run yet
  detail::batch batch;                                 // taken with that
  std::size_t done = 0;                                // tasks of the batch that are finished
  bool call = false;                                   // a ticket is to be sent
  bool over = false;                                   // it has left the queue
  bool retires = false;                                // it leaves although there is work
  bool stays = false;                                  // … and is its ticket now
  bool idle = false;                                   // … as the last one
  clock::time_point until = clock::time_point::max();  // a `timed` one leaves then
  std::atomic<bool> const* end = nullptr;              // … or when this is true, if there is one
  std::uint64_t pushed = 0;                            // … which has seen so many tasks
  int pauses = 0;                                      // what it waited for the lock lately
};

namespace detail {

/// For a wait that has nothing to run first.
struct no_body {
  void operator()() const noexcept {}
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

}  // namespace detail

// oneTBB's own wait. If there is a `body`, which is a function or a task of this group, it runs
// first, in the group's context.
template <class Body>
void group::engine_wait(Body* body) noexcept {
  if (made_pool_.of == nullptr || detail::this_thread().top->pool == made_pool_ ||
      !engine_wait_in_pool(body)) [[likely]] {
    engine_wait_here(body);
  }
}

// What was spawned inside a limited group sits in that group's arena, which has no threads but
// those that enter it: so one that waits elsewhere enters it, too. False if that group is done.
template <class Body>
bool group::engine_wait_in_pool(Body* body) noexcept {
  detail::queue_guest const guest(made_pool_);
  if (!guest) {
    return false;
  }
  tbb::task_arena& slots = *guest->owner->extras_->slots;
  auto wait_there = [&]() noexcept {
    queue_life& where = detail::this_thread().top->pool;  // oneTBB may have sent another thread
    queue_life const before = std::exchange(where, made_pool_);
    engine_wait_here(body);
    where = before;
  };
  detail::insist([&] { slots.execute(wait_there); });
  return true;
}

template <class Body>
void group::engine_wait_here(Body* body) noexcept {
  tbb::task_group_status status = tbb::canceled;
  try {
    if (body == nullptr) {
      status = engine_.tasks.wait();
    } else if constexpr (std::is_same_v<Body, tbb::task_handle>) {
      status = engine_.tasks.run_and_wait(std::move(*body));
    } else {
      status = engine_.tasks.run_and_wait(*body);
    }
  } catch (...) {
    // Our tasks do not throw. An algorithm that was given context() did, and left it there.
  }
  if (status == tbb::canceled && !is_stopped()) {
    record(errc::canceled, true);
  } else if (is_stopped()) {
    // oneTBB takes the cancellation back when a wait is over, for everybody who uses the context.
    engine_.context.cancel_group_execution();
  }
}

namespace detail {

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

/// Where tickets go that have no better place: an arena like any outside thread's.
tbb::task_arena& default_arena();

}  // namespace detail
}  // namespace errgroup

#endif  // ERRGROUP_SRC_GROUP_PARTS_HPP
