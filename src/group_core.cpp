// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "timed.hpp"
#include <errgroup/lost_error.hpp>

#include <tbb/task.h>  // current_context

#include <memory>     // make_unique
#include <mutex>      // defer_lock, scoped_lock, unique_lock
#include <new>        // bad_alloc, nothrow
#include <optional>   // optional
#include <stdexcept>  // invalid_argument, logic_error
#include <string>     // to_string
#include <thread>     // yield
#include <utility>    // move

// Life, errors, cancellation and waiting. How tasks get to threads is in schedule.cpp; the task to
// which a group belongs is in place.cpp.

namespace errgroup::detail {

// --- life ---

group_core::group_core() : group_core(true) { attach_to_task(); }

group_core::group_core(options const& opts) : group_core(!opts.detached) {
  if (opts.limit == 0) {
    throw std::invalid_argument(
        "errgroup::options::limit is 0: a group with no slot could never run a task; give it 1 or "
        "more, or errgroup::unlimited");
  }
  if (opts.limit < unlimited) {
    throw std::invalid_argument("errgroup::options::limit is " + std::to_string(opts.limit) +
                                ": give it 1 or more, or errgroup::unlimited");
  }
  if (opts.max_errors == 0) {
    throw std::invalid_argument(
        "errgroup::options::max_errors is 0: a group keeps the first error at least; give it 1 or "
        "more");
  }
  policy_ = opts.policy;
  if (opts.exceptions == on_exception::terminate) {
    state.fetch_or(unguarded, std::memory_order_relaxed);
  }
  counted_ =
      opts.limit != unlimited || opts.queue != npos || opts.isolated || opts.arena != nullptr;
  if (counted_) {
    // Its limits are set when it is known where it is used.
    if (queue* q = queue_.exchange(nullptr, std::memory_order_relaxed)) {
      put_queue(*origin_.maker, *q);
    }
  }
  if (!counted_ && opts.policy == on_error::cancel && opts.errors == keep::first &&
      opts.name.empty() && !opts.stop.stop_possible() && !opts.timeout) {
    attach_to_task();
    return;
  }
  extras_ = new extras;
  note_event();
  extras_->name = opts.name;
  if (opts.errors == keep::all) {
    extras_->all.emplace(opts.max_errors);
  }
  extras_->limit = opts.limit;
  extras_->queue = opts.queue;
  extras_->isolated = opts.isolated;
  extras_->arena = opts.arena;
  extras_->stop = opts.stop;
  if (opts.stop.stop_possible()) {
    extras_->on_stop.emplace(opts.stop, extras::stopper{this});
  }
  extras_->timeout = opts.timeout;
  attach_to_task();
  start_timeout();
}

void group_core::start_timeout() {
  if (extras_ && extras_->timeout) {
    set_deadline_at(after(clock::now(), saturated(*extras_->timeout)));
  }
}

group_core::~group_core() noexcept {
  thread_state& self = this_thread();
  bool const is_plain = &self == origin_.maker &&
                        (state.load(std::memory_order_acquire) & (eventful | stopped)) == 0 &&
                        !waiters_.any(true) && is_joined();
  if (!is_plain) [[unlikely]] {
    end(self);
  }
  // A canceller of the parent that finds the node pins it, under the frame's lock.
  detach();
  if (!is_plain || is_pinned()) [[unlikely]] {
    tidy_up();
  }
  if (queue* q = queue_.load(std::memory_order_relaxed)) {
    put_queue(self, *q);
  }
}

[[gnu::noinline, gnu::cold]] void group_core::end(thread_state& self) noexcept {
  if (extras_ && extras_->on_stop) {
    extras_->on_stop.reset();
  }
  if (!is_joined()) {
    if (is_inside(self)) {
      die("a group was destroyed inside one of its own tasks, which it would have to wait for");
    }
    stop_all();
    join();
  }
  await_waiters(self);
}

[[gnu::noinline, gnu::cold]] void group_core::tidy_up() noexcept {
  timed* const t = timed_.load(std::memory_order_acquire);
  if (t != nullptr) {
    {
      // A thread that cancels the group may still be about to set its alarm anew.
      std::scoped_lock const held(t->lock);
      t->ended = true;
    }
    t->stop();
  }
  token_link* const link = token_.load(std::memory_order_acquire);
  if (link != nullptr && origin_.is_bound) {
    bound_groups::remove(*link);
  }
  await_unpinned();
  if (link != nullptr) {
    if (is_stopped()) {
      link->source.request_stop();  // the canceller has a copy of the source, and may be late
    }
    delete link;
  }
  hand_over_lost_error();
  {
    forgotten errors;
    forget_errors(errors);
  }
  delete t;
  delete extras_;
}

void group_core::hand_over_lost_error() noexcept {
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

// Threads that have the answer of `wait` may still be about to leave it.
void group_core::await_waiters(thread_state const& self) const noexcept {
  while (waiters_.any(&self == origin_.maker)) {
    std::this_thread::yield();
  }
}

void group_core::refuse_period() {
  throw std::invalid_argument(
      "errgroup::group_core::run_every was given a period that is not positive: the task would run "
      "without a pause; give it more than 0, or loop in a task");
}

void refuse_null() {
  throw std::invalid_argument(
      "errgroup::group was given an empty function to run: a null pointer or a std::function "
      "without a target");
}

void group_core::reset() {
  thread_state& self = this_thread();
  std::stop_source fresh(std::nostopstate);
  if (token_.load(std::memory_order_acquire) != nullptr) {
    fresh = std::stop_source();  // before anything is changed: it may throw
  }
  if (!is_joined() || is_inside(self)) {
    throw std::logic_error("errgroup::group::reset: tasks of the group may still run; wait first");
  }
  // A request to stop that goes on is waited for; one that comes later, or came before, cancels
  // when its callback is there again.
  if (extras_ && extras_->on_stop) {
    extras_->on_stop.reset();
  }
  if (timed* const t = timed_.load(std::memory_order_acquire)) {
    t->stop();
    std::scoped_lock const held(t->lock);
    t->next = clock::time_point::max();
    t->deadline.store(clock::time_point::max(), std::memory_order_relaxed);
    t->expired = false;
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
  if (queue* q = queue_.load(std::memory_order_acquire)) {
    lock_type lock(q->lock);
    q->closed = false;
  }
  forget_errors(errors);
  skipped_.store(0, std::memory_order_relaxed);
  if (token_link* link = token_.load(std::memory_order_acquire)) {
    lock_type once(cold_);
    std::swap(link->source, fresh);
  }
  if (restart()) {
    record(errc::canceled, true);
  }
  if (extras_ && extras_->stop.stop_possible()) {
    extras_->on_stop.emplace(extras_->stop, extras::stopper{this});
  }
  start_timeout();
}

// --- errors and cancellation ---

// Moves the errors of the group to `into`.
void group_core::forget_errors(forgotten& into) noexcept {
  state.fetch_and(stopped | unguarded | context_given | bound | unbound | eventful,
                  std::memory_order_acquire);
  into.first = first_.take();
  if (extras_) {
    if (extras_->all) {
      into.others.emplace(extras_->all->clear());
    }
    into.cause = std::exchange(extras_->cause, {});
  }
}

void group_core::fail(error e, submission const& from) noexcept {
  error_list* const all = extras_ && extras_->all ? &*extras_->all : nullptr;
  bool late = first_.is_taken() && (policy_ == on_error::keep_going || is_stopped());
  if ((!late || all != nullptr) && !is_stopped() && (is_canceling() || is_canceled_above())) {
    record(errc::canceled, true);  // that came first, and may be why the task failed
    late = true;
  }
  if (late && all == nullptr) {
    return;
  }
  if (!late && is_stopped() && e == std::errc::operation_canceled) {
    e = errc::canceled;  // an echo of the destructor, which claims nothing
  }
  describe(e, from);
  if ((late || !record(e, policy_ == on_error::cancel)) && all != nullptr) {
    add_other(e, is_stopped());
  }
}

// With keep::all: an error after the first one, of which somebody has to be told.
void group_core::add_other(error const& e, bool was_stopped) noexcept {
  if (extras_->all->add(e, was_stopped)) {
    state.fetch_and(~told, std::memory_order_relaxed);
  }
}

namespace {

void add_name(std::string& names, std::string_view name) {
  if (!name.empty()) {
    names.append(names.empty() ? "" : "/").append(name);
  }
}

}  // namespace

// The names of the groups above, and its own. For a thread that may call `above`.
void group_core::add_names(std::string& names) const {
  if (group_core const* const parent_group = outer()) {
    parent_group->add_names(names);
  }
  if (extras_) {
    add_name(names, extras_->name);
  }
}

// Tells `e` where it comes from, unless it comes from a task further in. Without memory it tells
// less: a failure without its origin is better than no failure.
void group_core::describe(error& e, submission const& from) const noexcept {
  task_origin const& known = e.origin();
  bool const is_placed = from.where.line() != 0;
  bool const is_known = known.where.line() != 0 || known.index != npos;
  if (is_known || (!is_placed && !known.path.empty())) {
    return;
  }
  std::string names;
  parent_pin const parent(*this);
  try {
    add_names(names);
    add_name(names,
             from.note != nullptr ? std::string_view(from.note->origin.name) : std::string_view());
    bool const is_on_the_way =
        names.starts_with(known.path) && (known.path.empty() || names.size() == known.path.size() ||
                                          names[known.path.size()] == '/');
    if (!is_on_the_way) {
      names = known.path;  // of a group further in
    }
  } catch (std::bad_alloc const&) {
    names.clear();
  }
  if (names.empty() && !is_placed && from.index == npos) {
    return;  // nothing to tell
  }
  note_ptr const made(from.note == nullptr ? new (std::nothrow) error_note : nullptr);
  error_note* const note = from.note != nullptr ? from.note : made.get();
  if (note != nullptr) {
    note->origin.where = from.where;
    note->origin.index = from.index;
    note->origin.path = std::move(names);
    error_access::give_note(e, *note);
  }
}

error group_core::described(error e, std::size_t index, std::source_location where) const noexcept {
  if (e) {
    describe(e, {where, nullptr, index});
  }
  return e;
}

// True if it was the first.
bool group_core::record(error const& e, bool stop_too) noexcept {
  note_event();
  // Publish the error before the cancellation: a task that reacts to the cancellation by failing
  // must not take the place of the cause.
  bool const is_first = first_.offer(e, [this](error& mine) noexcept {
    if (extras_ && extras_->all) {
      extras_->all->take_others(mine);
    }
  });
  if (!is_first && stop_too) {
    note_cause(e);
  }
  if (stop_too) {
    stop_all();
  }
  return is_first;
}

// Why the group is about to be stopped, if that is not its first error.
void group_core::note_cause(error const& e) noexcept {
  if (extras_ && policy_ == on_error::keep_going) {
    std::scoped_lock const held(extras_->cause_lock);
    if (!extras_->cause && !is_stopped()) {
      extras_->cause = e;
    }
  }
}

error group_core::cause() const noexcept {
  {
    parent_pin const parent(*this);
    group_core const* const parent_group = outer();
    if (parent_group != nullptr && parent_group->is_canceling()) {
      if (error e = parent_group->cause()) {
        return e;
      }
    }
  }
  if (!is_stopped()) {
    return is_canceling() ? errc::canceled : error();
  }
  if (extras_ && policy_ == on_error::keep_going) {
    std::scoped_lock const held(extras_->cause_lock);
    if (extras_->cause) {
      return extras_->cause;
    }
  }
  error e = first_.get();
  return e ? e : errc::canceled;  // without an error: by its destructor
}

void group_core::stop_all() noexcept {
  stopped_nodes nodes;
  if (stop(nodes)) {
    interrupt_all(nodes);
    nodes.clean_up();
  }
}

// Interrupts the groups in the list, and those below raw oneTBB tasks that oneTBB has cancelled
// with them, which it adds to the list.
void group_core::interrupt_all(stopped_nodes& nodes) noexcept {
  cancel_node* last = nullptr;
  for (;;) {
    cancel_node* const before = last;
    last = nodes.interrupt(last);
    if (last == before || bound_groups::count.load(std::memory_order_seq_cst) == 0) {
      return;
    }
    bound_groups::stop_canceled(nodes);
  }
}

// Under the lock of the parent's frame.
void group_core::mark() noexcept {
  note_event();
  // The error comes before the node is stopped: a task that fails because it sees the cancellation
  // must not take its place.
  first_.offer(errc::canceled);
}

bool group_core::is_busy() const noexcept { return !is_joined(); }

void group_core::interrupt() noexcept {
  note_event();
  engine_.context.cancel_group_execution();
  // seq_cst: with make_queue(). Either this load finds the queue, or make_queue() finds the group
  // stopped.
  if (queue* const q = queue_.load(std::memory_order_seq_cst)) {
    wake_list awake;
    lock_type lock(q->lock);
    q->closed = true;
    q->wake_all(awake);
    lock.release();
  }
}

void group_core::clean_up() noexcept {
  if (queue* const q = queue_.load(std::memory_order_seq_cst)) {
    close(*q);
  }
  // A copy: the group may be gone when it is unpinned, and a callback may destroy it.
  std::stop_source own = token_source();
  unpin();
  own.request_stop();
}

// True if `clean_up` would run user code.
bool group_core::needs_clean_up() const noexcept {
  if (token_.load(std::memory_order_seq_cst) != nullptr) {
    return true;
  }
  queue* const q = queue_.load(std::memory_order_seq_cst);
  if (q == nullptr) {
    return false;
  }
  lock_type const lock(q->lock);
  return q->has_work() || q->timed != 0;
}

void group_core::cancel(error cause) noexcept {
  if (!cause) {
    cause = errc::canceled;
  }
  pin();  // reset() takes back what is set here
  describe(cause, {{}, nullptr, npos});
  bool const is_plain = cause == errc::canceled && cause.others().empty() && cause.dropped() == 0;
  if (!record(cause, false)) {
    note_cause(cause);
    if (extras_ && extras_->all && !is_plain) {
      add_other(cause, false);
    }
  }
  stopped_nodes nodes;
  bool const is_first = stop(nodes);
  unpin();
  if (is_first) {
    interrupt_all(nodes);
    nodes.clean_up();
  }
}

void group_core::skip(std::size_t n) noexcept {
  skipped_.fetch_add(n, std::memory_order_relaxed);
  if (!is_stopped()) {
    // oneTBB dropped it: the context was cancelled.
    record(errc::canceled, true);
  }
}

bool group_core::is_joined(queue const& q) noexcept {
  return q.pushed.load(std::memory_order_acquire) == q.joined.load(std::memory_order_relaxed);
}

error group_core::first_error() const noexcept {
  error e = first_.get();
  return e || !is_canceling() ? e : errc::canceled;
}

error group_core::outcome() noexcept {
  error e = first_.get();
  if (!e) {
    return {};
  }
  if ((state.load(std::memory_order_relaxed) & told) == 0) {
    state.fetch_or(told, std::memory_order_relaxed);
  }
  if (extras_ && extras_->all) {
    extras_->all->give_others(e);
  }
  error_access::set_skipped(e, skipped_.load(std::memory_order_relaxed));
  return e;
}

std::stop_token group_core::get_stop_token() const {
  auto& me = const_cast<group_core&>(*this);
  if (token_.load(std::memory_order_acquire) == nullptr) {
    auto fresh = std::make_unique<token_link>(me);
    token_link* mine = nullptr;
    {
      lock_type once(cold_);
      if (token_.load(std::memory_order_relaxed) == nullptr) {
        note_event();
        mine = fresh.release();
        // seq_cst: either a canceller finds the source, or this thread finds the group stopped.
        token_.store(mine, std::memory_order_seq_cst);
      }
    }
    if (mine != nullptr && origin_.is_bound) {
      if (is_unbound()) {
        me.bind(this_thread(), tbb::task::current_context());
      }
      bound_groups::add(*mine);
    }
  }
  std::stop_source source = token_source();
  if (!is_stopped() && is_canceling()) {
    me.record(errc::canceled, true);
  }
  if ((state.load(std::memory_order_seq_cst) & stopped) != 0) {
    source.request_stop();
  }
  return source.get_token();
}

std::stop_source group_core::token_source() const noexcept {
  token_link const* const link = token_.load(std::memory_order_seq_cst);
  if (link == nullptr) {
    return std::stop_source(std::nostopstate);
  }
  lock_type const once(cold_);
  return link->source;
}

error group_core::check_here() noexcept {
  tbb::task_group_context* here = tbb::task::current_context();
  if (here == nullptr) {
    return {};
  }
  if (here->is_group_execution_cancelled()) {
    return errc::canceled;
  }
  // The group is stopped before oneTBB has told its context.
  task_frame const& top = *this_thread().top;
  cancel_node const* const n = top.owner.load(std::memory_order_relaxed);
  bool const is_in_task = n != nullptr && here == top.context.load(std::memory_order_relaxed);
  return is_in_task && (n->is_stopped() || n->is_stopped_above()) ? errc::canceled : error();
}

// --- groups below raw oneTBB tasks ---

void group_core::bound_groups::stop_canceled(stopped_nodes& nodes) noexcept {
  std::scoped_lock const guard(lock);
  for (token_link* l = first; l != nullptr; l = l->next) {
    group_core& g = l->owner;
    if (!g.is_stopped() && g.is_canceling()) {
      (void)g.record(errc::canceled, false);
      (void)g.stop(nodes);
    }
  }
}

void group_core::bound_groups::add(token_link& link) noexcept {
  std::scoped_lock const guard(lock);
  link.next = first;
  if (first != nullptr) {
    first->previous = &link;
  }
  first = &link;
  count.fetch_add(1, std::memory_order_seq_cst);
}

void group_core::bound_groups::remove(token_link& link) noexcept {
  std::scoped_lock const guard(lock);
  (link.previous != nullptr ? link.previous->next : first) = link.next;
  if (link.next != nullptr) {
    link.next->previous = link.previous;
  }
  count.fetch_sub(1, std::memory_order_relaxed);
}

// --- waiting ---

error group_core::wait() {
  thread_state& self = this_thread();
  if (is_at_home(self) && is_private()) [[likely]] {
    // A group that one task makes, uses and waits for: no other thread has submitted tasks.
    waiters_.enter(true);
    if (spawns_.any()) {
      engine_wait();
    }
    if (is_private()) [[likely]] {  // its tasks may have made other threads submit some
      spawns_.join_alone();
      if (((state.load(std::memory_order_acquire) |
            above()->state.load(std::memory_order_relaxed)) &
           (stopped | context_given | bound)) != 0) [[unlikely]] {
        notice_at_home();
      }
      if (!first_.is_taken()) [[likely]] {
        waiters_.leave(true);
        return {};
      }
      error e = outcome();
      waiters_.leave(true);
      return e;
    }
    waiters_.leave(true);
  }
  if (is_inside(self)) {
    return errc::would_deadlock;
  }
  waiting here(*this, self);
  join();
  return outcome();
}

// oneTBB has no callback for a cancellation of a context: of this group's, or of its parent's.
void group_core::notice_at_home() noexcept {
  if (!is_stopped() && (is_canceling() || origin_.under->is_group_execution_cancelled())) {
    record(errc::canceled, true);
  }
}

error group_core::run_here_and_wait(thread_state& self,
                                    tbb::task_handle (*make)(group_core&, void*), void* task) {
  waiting here(*this, self);
  if (is_unbound()) {
    bind_unless_at_home(self, tbb::task::current_context());
  }
  auto is_unqueued = [this]() noexcept {
    queue const* const q = queue_.load(std::memory_order_acquire);
    return q == nullptr || queued(*q) == 0;
  };
  bool const was_unqueued = is_unqueued();
  // oneTBB counts the task from here on until its callable is destroyed, whether it runs or not.
  // `note_any` makes other waiters ask oneTBB.
  tbb::task_handle handle = make(*this, task);
  spawns_.note_any();
  note_spawn(self);
  std::uint64_t const before = spawns_.all();
  engine_run_and_wait(handle);
  if (is_unbound()) {
    note_bound();
  }
  spawns_.join(before);
  // A task of the queue may have spawned another task just after oneTBB's count was zero. Only
  // oneTBB counts that task, so a group with queued tasks waits again, in `join`.
  if (was_unqueued && is_unqueued() && is_joined()) {
    notice_cancellation();
  } else {
    join();
  }
  return outcome();
}

void group_core::join() noexcept {
  for (;;) {
    queue* const q = queue_.load(std::memory_order_acquire);
    std::uint64_t const pushed = q != nullptr ? drain_and_sleep(*q) : 0;
    if (!spawns_.any()) {
      break;
    }
    std::uint64_t const before = spawns_.all();
    engine_wait();
    spawns_.join(before);
    // When oneTBB's tasks were done, ours were, too, unless there are new ones.
    if (before == spawns_.all() && queue_.load(std::memory_order_acquire) == q &&
        (q == nullptr || q->pushed.load(std::memory_order_acquire) == pushed)) {
      break;
    }
  }
  notice_cancellation();
}

// If oneTBB cancelled the context, records `errc::canceled` and stops the group. oneTBB has no
// callback for that.
void group_core::notice_cancellation() noexcept {
  if (!is_stopped() && (is_canceling() || is_canceled_above())) {
    record(errc::canceled, true);
  }
}

}  // namespace errgroup::detail

namespace errgroup {

error check() noexcept { return detail::group_core::check_here(); }

}  // namespace errgroup
