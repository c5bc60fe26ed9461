// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_GROUP_PARTS_HPP
#define ERRGROUP_SRC_GROUP_PARTS_HPP

// The declarations that the files of group_core share. They are no part of their own, and know all
// parts: see docs/design.md.

#include "error_list.hpp"
#include "slots.hpp"
#include "task_queue.hpp"
#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/submit.hpp>

#include <tbb/task_group.h>  // task_group_status

#include <atomic>       // atomic
#include <cstddef>      // size_t
#include <cstdint>      // int64_t
#include <mutex>        // mutex
#include <optional>     // optional
#include <stop_token>   // stop_callback, stop_source, stop_token
#include <string>       // string
#include <type_traits>  // is_same_v
#include <utility>      // exchange, move

namespace errgroup::inline v1::detail {

inline namespace ERRGROUP_PART {
struct goal;
struct place_asker;
}  // namespace ERRGROUP_PART

using lock_type = spin_mutex::scoped_lock;

/// The members for options that few groups have. A group whose only options are `exceptions` and
/// `detached` has none.
struct group_core::extras {
  struct stopper {
    group_core* g;
    void operator()() const noexcept { g->cancel(errc::canceled); }
  };

  explicit extras(options const& opts, void (*with_time)(group_core&) = nullptr)
      : name(opts.name),
        places(opts),
        timeout(opts.timeout),
        max_failures(opts.max_failures),
        use_time(with_time),
        stop(opts.stop) {}

  std::string name;
  std::optional<error_list> all;  // with keep::all
  slots places;
  std::optional<std::chrono::nanoseconds> timeout;
  std::size_t max_failures;       // npos, unless on_error::keep_going
  void (*use_time)(group_core&);  // not null if the options need it

  std::mutex cause_lock;
  error cause;  // with on_error::keep_going: why it was stopped, if not by its first error

  std::stop_token stop;
  std::optional<std::stop_callback<stopper>> on_stop;

  observation* observed = nullptr;  // if an observer was set when the group was made
  shared_places* shared = nullptr;  // with `placed`; in the host of a limiter, that limiter
  place_asker* asker = nullptr;     // of this group, in the line of the limiter
};

/// A limiter, as the groups that use it see it. The class behind it, `limiter_core`, is in
/// limiter.cpp, and is not linked into a program without a limiter.
class group_core::shared_places {
 public:
  shared_places() = default;
  shared_places(shared_places const&) = delete;
  shared_places& operator=(shared_places const&) = delete;

  /// A group with the limiter begins, and ends. Throws `std::bad_alloc`.
  virtual void begin(group_core& g, int limit) = 0;
  virtual void end(group_core& g) noexcept = 0;
  /// Before the first task of the group: sets the limits of its queue, and its arena. Throws
  /// `std::bad_alloc`, and what oneTBB throws.
  virtual void open(group_core& g, thread_state& self, task_queue& q) = 0;

  virtual void check(std::int64_t weight) const = 0;
  /// Reserves places for a task, unless the task would have to wait.
  [[nodiscard]] virtual bool reserve(std::int64_t weight) noexcept = 0;
  virtual void unreserve(std::int64_t weight) noexcept = 0;
  /// A task was put into the group's queue.
  virtual void ask(group_core& g, std::int64_t weight, bool is_reserved) noexcept = 0;
  /// Tasks were taken out of the group's queue, or the group's own limit has changed.
  virtual void settle(group_core& g) noexcept = 0;
  virtual void set_limit(group_core& g, int limit) noexcept = 0;
  /// Waits until `what` is reached, as `worker::wait_for`.
  [[nodiscard]] virtual bool wait_for(worker& me, group_core& g, goal const& what) = 0;
  /// The request of a group that was made in a task that holds places.
  virtual void ask_request(queue_life const& life) noexcept = 0;
  /// Reserves places for a task, and waits for them until `end`, as detail::wait_for_places.
  [[nodiscard]] virtual bool wait_for_places(worker& me, group_core& g, std::int64_t weight,
                                             goal const& end) = 0;
  [[nodiscard]] virtual place_use use() const noexcept = 0;

 protected:
  ~shared_places() = default;
};

/// The deadline of a group, and its tasks that are not due: the functions that are called in every
/// program. The class behind them, `timed`, is in group_time.cpp, and is not linked into a program
/// that uses no time.
class group_core::times {
 public:
  times() = default;
  times(times const&) = delete;
  times& operator=(times const&) = delete;
  virtual ~times() = default;

  /// The queue is closed: destroys the tasks that are not due yet.
  virtual void drop_pending(task_queue& q) noexcept = 0;
  /// Takes the deadline back. No task is kept.
  virtual void take_back() noexcept = 0;
  /// The group is being destroyed: waits until the timer's thread has left it.
  virtual void stop_for_good() noexcept = 0;
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

// Calls `wait_there` in the arena of the limited group inside which this group was made. A thread
// that is elsewhere enters that arena first: the tasks that were spawned there sit there, and all
// threads of the arena have entered it in this way or as runners.
template <class Wait>
[[gnu::always_inline]] inline void group_core::in_pool(Wait const& wait_there) noexcept {
  if (origin_.pool.of != nullptr && !(this_thread().top->pool == origin_.pool)) [[unlikely]] {
    Wait const copy = wait_there;  // so `wait_there` itself can stay in registers
    auto call = [](void const* w) noexcept { (*static_cast<Wait const*>(w))(); };
    enter_pool(call, &copy);
  } else {
    wait_there();
  }
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

/// Calls `call(body)` in this thread, in a oneTBB task of `context`: what it starts is cancelled
/// with the context. Returns false, without the call, if `context` is cancelled. If `context` is
/// not bound yet, this function binds it to the context of the caller.
bool run_in(tbb::task_group_context& context, void (*call)(void const* body) noexcept,
            void const* body) noexcept;

template <class Body>
bool run_in(tbb::task_group_context& context, Body const& body) noexcept {
  auto call = [](void const* b) noexcept { (*static_cast<Body const*>(b))(); };
  return run_in(context, call, &body);
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_GROUP_PARTS_HPP
