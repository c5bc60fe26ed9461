// SPDX-License-Identifier: Apache-2.0
#include "observation.hpp"
#include "worker.hpp"
#include <errgroup/admission.hpp>

#include <atomic>      // atomic, memory_order
#include <optional>    // optional
#include <stop_token>  // stop_callback, stop_token

// Waits that may end before their event: a submitter waits for room until a time, or until a stop
// token is stopped; a waiter waits until a stop token is stopped.
//
// The loop is that of all waits (waiting.hpp). A stop token ends a wait by a callback that sets a
// flag of the goal and wakes the group's sleepers. The sleeper looks at the flag under the queue's
// lock, and is in the list before it releases the lock: so it sees the flag or is woken.
//
// In a group with a limiter, a timed submitter waits for a slot of the group's own limit first, and
// then, counted in `unfinished`, for places (place_loops.hpp): as a task does. Threads that wait
// for places get them in the order of their calls, when no task waits in the line. A call with a
// stop token needs room in a bounded queue only, as `run` does.

namespace errgroup::inline v1::detail {

namespace {

/// Ends a wait when a stop token is stopped. The group's queue exists. The destructor waits for a
/// stop request in progress, so the group has to live until then.
class stop_bell {
 public:
  stop_bell(group_core& g, std::stop_token const& stop) : g_(g), on_stop_(stop, ring{this}) {}
  stop_bell(stop_bell const&) = delete;
  stop_bell& operator=(stop_bell const&) = delete;
  ~stop_bell() = default;

  [[nodiscard]] std::atomic<bool> const& has_rung() const noexcept { return has_rung_; }

 private:
  struct ring {
    stop_bell* of;
    void operator()() const noexcept {
      of->has_rung_.store(true, std::memory_order_release);  // with the acquire in goal::has_ended
      of->g_.notify();
    }
  };

  group_core& g_;
  std::atomic<bool> has_rung_{false};
  std::stop_callback<ring> on_stop_;  // the last member: it uses the others
};

}  // namespace

// Counts a task in `unfinished`, and waits for room for it if necessary; with an end time and a
// limiter, also for `weight` places. `runs_here`: there is no room, and the caller has to run the
// task itself, on the slot that it holds.
admission group_core::reserve_within(thread_state& self, patience const& p, std::int64_t weight,
                                     bool& runs_here) {
  if (is_unbound() || queue_.load(std::memory_order_acquire) == nullptr) {
    (void)route(self);
  }
  task_queue& q = *queue_.load(std::memory_order_acquire);
  bool const inside = is_inside(self);
  std::optional<stop_bell> bell;
  goal g{.what = p.stop != nullptr ? goal::room : goal::slot,
         .leaves_tasks = p.stop == nullptr,
         .until = p.until};
  lock_type lock(q.lock);
  while (!q.closed) {
    if (g.what == goal::room ? !q.is_full() : extras_->places.has_slot(q)) {
      ++q.unfinished;
      if (g.what == goal::slot && needs_places()) [[unlikely]] {
        lock.release();
        return await_places(self, p, weight, inside);
      }
      return admission::accepted;
    }
    if (inside) {
      // Waiting here could park every slot behind tasks that only the threads of those slots can
      // run. A call with an end time answers at once, as `wait_until` does inside the group: a task
      // that it ran might take longer than it has time.
      if (p.stop == nullptr) {
        return admission::full;
      }
      if (p.stop->stop_requested()) {
        return admission::stopped;
      }
      node* const oldest = q.pop();
      if (oldest == nullptr) {
        runs_here = true;
        return admission::accepted;
      }
      worker::run_here(*this, q, lock, *oldest);
      continue;
    }
    if (g.what == goal::slot) {
      q.take_singly();
    }
    lock.release();
    bool has_room = false;
    {
      observed_wait const seen(*this, wait_kind::room);
      if (p.stop != nullptr && !bell) {
        bell.emplace(*this, *p.stop);
        g.is_set = &bell->has_rung();
      }
      (void)use_timer();
      worker me(*this, g.leaves_tasks ? worker::share_beside_others(*this, self)
                                      : worker::share_of_submitter(*this));
      has_room = me.wait_for(q, g);
    }
    if (!has_room) {
      return p.stop != nullptr ? admission::stopped : admission::full;
    }
    lock.acquire(q.lock);
  }
  return admission::canceled;
}

// Reserves places for a task that `unfinished` counts. Waits for them until the end time, but not
// inside the group: the places that are missing may be the caller's own.
[[gnu::noinline, gnu::cold]] admission group_core::await_places(thread_state& self,
                                                                patience const& p,
                                                                std::int64_t weight, bool inside) {
  shared_places& shared = *extras_->shared;
  bool is_reserved = shared.reserve(weight);
  if (!is_reserved && !inside) {
    observed_wait const seen(*this, wait_kind::room);
    try {
      (void)use_timer();
      worker me(*this, worker::share_beside_others(*this, self));
      is_reserved =
          shared.wait_for_places(me, *this, weight, {.leaves_tasks = true, .until = p.until});
    } catch (...) {
      give_room();
      throw;
    }
  }
  if (is_reserved && !is_stopped()) {
    return admission::accepted;
  }
  if (is_reserved) {
    shared.unreserve(weight);
  }
  give_room();
  return is_stopped() ? admission::canceled : admission::full;
}

bool group_core::wait_until_at(clock::time_point until, std::stop_token const& stop) {
  (void)use_timer();
  thread_state& self = this_thread();
  (void)queue(self);
  waiting here(*this, self);  // the callback of `bell` uses the group
  stop_bell const bell(*this, stop);
  return wait_in_time(until, &bell.has_rung());
}

}  // namespace errgroup::inline v1::detail
