// SPDX-License-Identifier: Apache-2.0
#include "check_options.hpp"
#include "group_parts.hpp"
#include "listeners.hpp"
#include "observation.hpp"
#include "queue_pool.hpp"
#include <errgroup/detail/config.hpp>
#include <errgroup/limiter.hpp>
#include <errgroup/lost_error.hpp>

#include <atomic>     // atomic_thread_fence, memory_order
#include <mutex>      // defer_lock, scoped_lock, unique_lock
#include <stdexcept>  // invalid_argument, logic_error
#include <thread>     // yield
#include <utility>    // exchange, swap

// The life of a group: constructors, destructor, `reset`. The parent and the context of a group,
// and the constructor without options, are in place.cpp, errors and cancellation in
// cancellation.cpp.

namespace errgroup::inline v1::detail {

group_core::group_core(options const& opts, std::source_location where,
                       void (*use_time)(group_core&))
    : group_core(!opts.detached) {
  check(opts);
  if (opts.policy == on_error::keep_going) {
    state.fetch_or(keeps_going, std::memory_order_relaxed);
  }
  if (opts.exceptions == on_exception::terminate) {
    state.fetch_or(unguarded, std::memory_order_relaxed);
  }
  bool const counts_tasks = opts.limit != unlimited || opts.queue != npos ||
                            opts.arena != nullptr || opts.limiter != nullptr;
  if (opts.isolated) {
    state.fetch_or(isolated | in_region, std::memory_order_relaxed);
  }
  if (counts_tasks) {
    state.fetch_or(counted, std::memory_order_relaxed);
    // `queue` makes the queue at the first use, when the arena is known. So the queue that the
    // first constructor took goes back.
    if (task_queue* q = queue_.exchange(nullptr, std::memory_order_relaxed)) {
      put_queue(*origin_.maker, *q);
    }
  }
  if (!counts_tasks && opts.policy == on_error::cancel && opts.errors == keep::first &&
      opts.name.empty() && !opts.stop.stop_possible() && !opts.timeout) {
    begin_observed(where);
    attach_to_task();
    ERRGROUP_PROBE(group_begin, this, "", opts.limit);
    return;
  }
  extras_ = new extras(opts, use_time);
  note_event();
  if (opts.limiter != nullptr) {
    opts.limiter->places_->begin(*this, opts.limit);
    extras_->shared = opts.limiter->places_;
    state.fetch_or(placed, std::memory_order_relaxed);
  }
  begin_observed(where, opts.limit);
  if (opts.errors == keep::all) {
    extras_->all.emplace(opts.max_errors);
  }
  if (opts.stop.stop_possible()) {
    extras_->on_stop.emplace(opts.stop, extras::stopper{this});
  }
  attach_to_task();
  if (use_time != nullptr) {
    use_time(*this);
  }
  ERRGROUP_PROBE(group_begin, this, extras_->name.c_str(), opts.limit);
}

group_core::~group_core() noexcept {
  thread_state& self = this_thread();
  bool const is_plain = &self == origin_.maker &&
                        (state.load(std::memory_order_acquire) & (eventful | stopped)) == 0 &&
                        !waiters_.any(true) && is_joined();
  if (!is_plain) [[unlikely]] {
    end(self);
  }
  // A canceller of the parent that still finds the node pins it, under the frame's lock.
  detach();
  if (!is_plain || is_pinned()) [[unlikely]] {
    tidy_up();
  }
  if (task_queue* q = queue_.load(std::memory_order_relaxed)) {
    put_queue(self, *q);
  }
  ERRGROUP_PROBE(group_end, this);
}

[[gnu::noinline, gnu::cold]] void group_core::end(thread_state& self) noexcept {
  if (extras_ && extras_->on_stop) {
    extras_->on_stop.reset();
  }
  if (!is_joined()) {
    if (is_inside(self)) {
      die("a group was destroyed inside one of its own tasks, which it would have to wait for");
    }
    observed_wait const seen(*this, wait_kind::destructor);
    stop_all();
    join();
  }
  await_waiters(self);
}

[[gnu::noinline, gnu::cold]] void group_core::tidy_up() noexcept {
  times* const t = times_.load(std::memory_order_acquire);
  if (t != nullptr) {
    t->stop_for_good();
  }
  token_link* const link = token_.load(std::memory_order_acquire);
  if (link != nullptr && origin_.is_bound) {
    bound_groups::remove(*link);
  }
  await_unpinned();
  if (link != nullptr) {
    if (is_stopped()) {
      link->source.request_stop();  // the canceller may do so later, after its unpin
    }
    delete link;
  }
  if ((state.load(std::memory_order_acquire) & heard) != 0) {
    listener_functions::used.load(std::memory_order_acquire)->forget(*this);
  }
  hand_over_lost_error();
  {
    forgotten errors;
    forget_errors(errors);
  }
  delete t;
  if (is_placed()) {
    extras_->shared->end(*this);
  }
  if (is_observed()) {
    extras_->observed->end();
    delete extras_->observed;
  }
  delete extras_;
}

[[gnu::noinline, gnu::cold]] void group_core::hand_over_lost_error() noexcept {
  if (!first_.is_taken() || (state.load(std::memory_order_relaxed) & told) != 0) {
    return;
  }
  lost_error_handler const tell = current_lost_error_handler();
  if (tell == nullptr) {
    return;
  }
  error const e = outcome();
  if (e.others().empty() && e.dropped() == 0 && e == errc::canceled) {
    return;  // nothing failed
  }
  tell(e);
}

void group_core::reset() {
  thread_state& self = this_thread();
  std::stop_source fresh(std::nostopstate);
  if (token_.load(std::memory_order_acquire) != nullptr) {
    fresh = std::stop_source();  // before the first change, since it may throw
  }
  if (!is_joined() || is_inside(self)) {
    throw std::logic_error("errgroup::group::reset: tasks of the group may still run; wait first");
  }
  // The destructor of the callback waits for a stop request in progress. A stop request that comes
  // later, or came earlier, cancels the group when the callback is registered again below.
  if (extras_ && extras_->on_stop) {
    extras_->on_stop.reset();
  }
  if (times* const t = times_.load(std::memory_order_acquire)) {
    t->take_back();
  }
  await_waiters(self);
  {
    std::unique_lock guard(bound_groups::lock, std::defer_lock);
    if (origin_.is_bound) {
      guard.lock();
    }
    hold();
  }
  await_unpinned();
  // The old errors are destroyed at the end of this function: the destructor of an exception may
  // use the group.
  forgotten errors;
  engine_.context.reset();
  begin_reset();
  if (task_queue* q = queue_.load(std::memory_order_acquire)) {
    lock_type lock(q->lock);
    q->closed = false;
  }
  forget_errors(errors);
  losses_.skipped.store(0, std::memory_order_relaxed);
  losses_.failed.store(0, std::memory_order_relaxed);
  if (is_observed()) {
    extras_->observed->reset();
  }
  if (token_link* link = token_.load(std::memory_order_acquire)) {
    lock_type once(cold_);
    std::swap(link->source, fresh);
  }
  bool const is_below_stopped = restart();
  state.fetch_and(~resetting, std::memory_order_release);
  if (is_below_stopped || is_raw_parent_canceled()) {
    record(errc::canceled, true);
  }
  if (extras_ && extras_->stop.stop_possible()) {
    extras_->on_stop.emplace(extras_->stop, extras::stopper{this});
  }
  if (extras_ && extras_->use_time != nullptr) {
    extras_->use_time(*this);
  }
}

// A cancellation records an error and stops the group. `reset` takes both back: it comes before
// both or after both.
void group_core::pin_against_reset() noexcept {
  for (;;) {
    pin();
    std::atomic_thread_fence(std::memory_order_seq_cst);  // with begin_reset
    if ((state.load(std::memory_order_acquire) & resetting) == 0) {
      return;
    }
    unpin();
    std::this_thread::yield();
  }
}

// The group is held. No user code runs until `resetting` is taken back: it might cancel the group.
void group_core::begin_reset() noexcept {
  for (;;) {
    await_unpinned();
    state.fetch_or(resetting, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // with pin_against_reset
    if (!is_pinned()) {
      return;
    }
    state.fetch_and(~resetting, std::memory_order_relaxed);
  }
}

// Moves the errors of the group to `into`.
[[gnu::noinline, gnu::cold]] void group_core::forget_errors(forgotten& into) noexcept {
  state.fetch_and(~(told | due_waits), std::memory_order_acquire);
  into.first = first_.take();
  if (extras_) {
    if (extras_->all) {
      into.others.emplace(extras_->all->clear());
    }
    into.cause = std::exchange(extras_->cause, {});
  }
}

void group_core::set_limit(int limit) {
  thread_source* const own = extras_ != nullptr ? extras_->places.threads() : nullptr;
  check_new_limit(limit, own != nullptr);
  if (extras_ == nullptr || !extras_->places.is_limited()) {
    throw std::logic_error(
        "errgroup::group::set_limit: the group was made without a limit, and cannot get one; give "
        "it options::limit, which may be high");
  }
  lock_type const once(cold_);
  if (own != nullptr) {
    own->raise_to(limit);
  }
  change_limit(limit);
  if (is_observed()) {
    extras_->observed->limit.now.store(limit, std::memory_order_relaxed);
  }
}

// As `set_limit`, under `cold_`, for a limit that the group can have.
void group_core::change_limit(int limit) {
  task_queue* const q = queue_.load(std::memory_order_acquire);
  if (q == nullptr) {
    extras_->places.set_limit(limit);
    return;
  }
  if (is_placed()) {
    extras_->shared->set_limit(*this, limit);
    return;
  }
  reserved_arena* unused = extras_->places.larger_arena(limit);
  wake_list awake;
  lock_type lock(q->lock);
  unused = extras_->places.set_limit(*q, limit, unused);
  if (q->running.load(std::memory_order_relaxed) > q->limits.slots) {
    state.fetch_or(over_limit, std::memory_order_relaxed);
  }
  if (q->limits.room != task_queue::unbounded) {
    q->sleepers.wake_all(awake);  // submitters that wait for room
  }
  announce(*q, lock);
  if (unused != nullptr) {
    unused->give_back();
  }
}

// A thread that has finished a task in a session, while `over_limit` is set: true if it has to
// leave its slot.
[[gnu::noinline, gnu::cold]] bool group_core::leaves_slot(task_queue& q) noexcept {
  if ((state.load(std::memory_order_relaxed) & over_limit) == 0) {
    return false;
  }
  lock_type const lock(q.lock);
  bool const is_over = q.running.load(std::memory_order_relaxed) > q.limits.slots;
  if (!is_over) {
    state.fetch_and(~over_limit, std::memory_order_relaxed);
  }
  return is_over;
}

bool group_core::is_joined() const noexcept {
  task_queue const* const q = queue_.load(std::memory_order_acquire);
  return spawns_.is_joined() && (q == nullptr || q->is_joined());
}

void group_core::refuse_period() {
  throw std::invalid_argument(
      "errgroup::group::run_every was given a period that is not positive: the task would run "
      "without a pause; give it more than 0, or loop in a task");
}

void refuse_null() {
  throw std::invalid_argument(
      "errgroup::group was given an empty function to run: a null pointer or a std::function "
      "without a target");
}

}  // namespace errgroup::inline v1::detail
