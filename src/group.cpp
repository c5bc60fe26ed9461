// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "timed.hpp"
#include <errgroup/lost_error.hpp>

#include <tbb/task.h>  // current_context

#include <array>      // array
#include <memory>     // construct_at, destroy_at, make_unique
#include <mutex>      // scoped_lock
#include <new>        // bad_alloc, nothrow
#include <optional>   // optional
#include <stdexcept>  // invalid_argument, logic_error
#include <string>     // to_string
#include <thread>     // yield
#include <utility>    // move

// Life, errors, cancellation and waiting. How tasks get to threads is in schedule.cpp; what a group
// belongs to is in lineage.cpp.

namespace errgroup {

// --- life ---

group::group(options const& opts) : group(parentage{.belongs = !opts.detached}, nullptr) {
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
    state_.store(unguarded, std::memory_order_relaxed);
  }
  counted_ =
      opts.limit != unlimited || opts.queue != npos || opts.isolated || opts.arena != nullptr;
  if (counted_) {
    // Its limits are set when it is known where it is used.
    if (queue* q = queue_.exchange(nullptr, std::memory_order_relaxed)) {
      detail::put_queue(*maker_, *q);
    }
  }
  if (!counted_ && opts.policy == on_error::cancel && opts.errors == keep::first &&
      opts.name.empty() && !opts.stop.stop_possible() && !opts.timeout) {
    return;
  }
  extras_ = new extras;
  eventful_.store(true, std::memory_order_relaxed);
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
  start_timeout();
}

void group::start_timeout() {
  if (extras_ && extras_->timeout) {
    set_deadline_at(detail::after(clock::now(), detail::saturated(*extras_->timeout)));
  }
}

group::~group() noexcept {
  thread_state& self = detail::this_thread();
  detail::tether* t = tether_.load(std::memory_order_acquire);
  bool const at_home = &self == maker_ && made_in_lives();
  if (&self != maker_ || eventful_.load(std::memory_order_acquire) ||
      visitors_.load(std::memory_order_acquire) != 0 || !is_joined()) {
    end(self);
    if (t != nullptr && !at_home && !hold_tether(*t)) {
      t = nullptr;
    }
    tidy_up(self);
  }
  if (queue* q = queue_.load(std::memory_order_relaxed)) {
    detail::put_queue(self, *q);
  }
  if (tie_.load(std::memory_order_relaxed) != tie::gone) {
    std::destroy_at(&engine_);
  }
  // Not before the engine: its parent may go right after.
  if (t != nullptr) {
    t->of.store(nullptr, std::memory_order_release);
    if (at_home) {
      detail::drop_loose_ends(self, *made_in_);
    }
  }
}

void group::end(thread_state& self) noexcept {
  if (extras_ && extras_->on_stop) {
    extras_->on_stop.reset();
  }
  if (!is_joined()) {
    if (is_inside(self)) {
      detail::die(
          "a group was destroyed inside one of its own tasks, which it would have to wait for");
    }
    stop();
    join();
  }
}

void group::tidy_up(thread_state& self) noexcept {
  timed* const t = timed_.load(std::memory_order_acquire);
  if (t != nullptr) {
    {
      // A visitor that cancels the group may still be about to set its alarm anew.
      std::scoped_lock const held(t->lock);
      t->ended = true;
    }
    t->stop();
  }
  await_maker(self);
  token_link* const link = token_.load(std::memory_order_acquire);
  if (link != nullptr) {
    std::scoped_lock guard(tokens::lock);
    tokens::remove(*link);
  }
  // Not before that: who cancels what the group was made in finds it there, and comes in.
  while (visitors_.load(std::memory_order_acquire) != 0) {
    std::this_thread::yield();  // so may others
  }
  if (link != nullptr) {
    if (is_stopped() && !link->fired) {
      link->source.request_stop();  // whoever is about to has come too late
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

void group::hand_over_lost_error() noexcept {
  if (!first_.is_taken() || (state_.load(std::memory_order_relaxed) & told) != 0) {
    return;
  }
  lost_error_handler const tell = detail::current_lost_error_handler();
  if (tell == nullptr) {
    return;
  }
  error const e = outcome();
  if (e.others().empty() && e.dropped() == 0 && e == errc::canceled) {
    return;  // nothing failed
  }
  tell(e);
}

// The thread that made the group may still be on its way out of a wait.
void group::await_maker(thread_state const& self) const noexcept {
  while (&self != maker_ && maker_waits_.load(std::memory_order_acquire) != 0) {
    std::this_thread::yield();
  }
}

void group::refuse_period() {
  throw std::invalid_argument(
      "errgroup::group::run_every was given a period that is not positive: the task would run "
      "without a pause; give it more than 0, or loop in a task");
}

void group::refuse_null() {
  throw std::invalid_argument(
      "errgroup::group was given an empty function to run: a null pointer or a std::function "
      "without a target");
}

void group::reset() {
  thread_state& self = detail::this_thread();
  std::stop_source fresh(std::nostopstate);
  if (token_.load(std::memory_order_acquire) != nullptr) {
    fresh = std::stop_source();  // before anything is changed: it may throw
  }
  bool const idle = is_joined() && !is_inside(self);
  // A request to stop that goes on is waited for; one that comes later, or came before, cancels
  // when its callback is there again.
  if (idle && extras_ && extras_->on_stop) {
    extras_->on_stop.reset();
  }
  timed* const t = timed_.load(std::memory_order_acquire);
  if (idle && t != nullptr) {
    t->stop();
    std::scoped_lock const held(t->lock);
    t->next = clock::time_point::max();
    t->deadline.store(clock::time_point::max(), std::memory_order_relaxed);
    t->expired = false;
  }
  // The old errors are destroyed at the end of this function, when the door is open again: the
  // destructor of an exception may use the group.
  forgotten errors;
  bool const closed = idle && close_door();
  if (closed) {
    await_maker(self);
    if (made_under_ != nullptr) {
      destroy_engine();
    }
    if (tie_.load(std::memory_order_relaxed) != tie::gone) {
      engine_.context.reset();
    }
    if (queue* q = queue_.load(std::memory_order_acquire)) {
      lock_type lock(q->lock);
      q->closed = false;
    }
    forget_errors(errors);
    skipped_.store(0, std::memory_order_relaxed);
    if (token_link* link = token_.load(std::memory_order_acquire)) {
      std::scoped_lock guard(tokens::lock);
      link->source = std::move(fresh);
      link->fired = false;
    }
    open_door();
  }
  if (extras_ && !extras_->on_stop && extras_->stop.stop_possible()) {
    extras_->on_stop.emplace(extras_->stop, extras::stopper{this});
  }
  if (!closed) {
    throw std::logic_error("errgroup::group::reset: tasks of the group may still run; wait first");
  }
  start_timeout();
}

// --- errors and cancellation ---

// Moves the errors of the group to `into`.
void group::forget_errors(forgotten& into) noexcept {
  state_.fetch_and(unguarded, std::memory_order_acquire);
  into.first = first_.take();
  if (extras_) {
    if (extras_->all) {
      into.others.emplace(extras_->all->clear());
    }
    into.cause = std::exchange(extras_->cause, {});
  }
}

void group::fail(error e, submission const& from) noexcept {
  detail::error_list* const all = extras_ && extras_->all ? &*extras_->all : nullptr;
  bool late = first_.is_taken() && (policy_ == on_error::keep_going || is_stopped());
  if ((!late || all != nullptr) && !is_stopped() &&
      (is_canceled_itself() || is_canceled_from_above())) {
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
void group::add_other(error const& e, bool was_stopped) noexcept {
  if (extras_->all->add(e, was_stopped)) {
    state_.fetch_and(~told, std::memory_order_relaxed);
  }
}

namespace {

void add_name(std::string& names, std::string_view name) {
  if (!name.empty()) {
    names.append(names.empty() ? "" : "/").append(name);
  }
}

}  // namespace

// The names of what this group was made in, and its own. What that is stays while a task of this
// group runs, or somebody is inside a member function.
void group::add_names(std::string& names) const {
  if (group const* const outer = above()) {
    outer->add_names(names);
  }
  if (extras_) {
    add_name(names, extras_->name);
  }
}

// Tells `e` where it comes from, unless it comes from a task further in. Without memory it tells
// less: a failure without its origin is better than no failure.
void group::describe(error& e, submission const& from) const noexcept {
  task_origin const& known = e.origin();
  bool const is_placed = from.where.line() != 0;
  bool const is_known = known.where.line() != 0 || known.index != npos;
  if (is_known || (!is_placed && !known.path.empty())) {
    return;
  }
  std::string names;
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
  detail::note_ptr const made(from.note == nullptr ? new (std::nothrow) detail::error_note
                                                   : nullptr);
  detail::error_note* const note = from.note != nullptr ? from.note : made.get();
  if (note != nullptr) {
    note->origin.where = from.where;
    note->origin.index = from.index;
    note->origin.path = std::move(names);
    detail::error_access::give_note(e, *note);
  }
}

error group::describe(error e, std::size_t index, std::source_location where) const noexcept {
  if (e) {
    describe(e, {where, nullptr, index});
  }
  return e;
}

// True if it was the first.
bool group::record(error const& e, bool stop_too) noexcept {
  eventful_.store(true, std::memory_order_relaxed);
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
    stop();
  }
  return is_first;
}

// Why the group is about to be stopped, if that is not its first error.
void group::note_cause(error const& e) noexcept {
  if (extras_ && policy_ == on_error::keep_going) {
    std::scoped_lock const held(extras_->cause_lock);
    if (!extras_->cause && !is_stopped()) {
      extras_->cause = e;
    }
  }
}

error group::cause() const noexcept {
  visit guest(*this, detail::this_worker());
  if (is_canceled_from_above()) {
    if (group const* const outer = above()) {
      if (error e = outer->cause()) {
        return e;
      }
    }
  }
  if (!is_stopped()) {
    return is_canceled_itself() ? errc::canceled : error();
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

void group::stop() noexcept {
  if (stop_quietly()) {
    tokens::fire();
  }
}

// True if it was not stopped before. Then the stop tokens are to be fired: that calls the user's
// code, and so nothing may be held meanwhile, not even a visit.
bool group::stop_quietly() noexcept {
  if (!mark_stopped()) {
    return false;
  }
  close_queue();
  return true;
}

// What mark_stopped() leaves to do, which is user's code: callables are destroyed.
void group::close_queue() noexcept {
  // seq_cst: with make_queue(), as in mark_stopped().
  if (queue* const q = queue_.load(std::memory_order_seq_cst)) {
    close(*q);
  }
}

bool group::mark_stopped() noexcept {
  eventful_.store(true, std::memory_order_relaxed);
  // seq_cst: with the store of tie::bound in bind(). Either that sees that the group is stopped, or
  // the cancellation here comes after the context got its parent.
  if ((state_.fetch_or(stopped, std::memory_order_seq_cst) & stopped) != 0) {
    return false;
  }
  // Our own word comes first: tasks that start from now on see it without oneTBB's walk over all
  // contexts of the process, which only what runs already needs.
  if (tie_.load(std::memory_order_acquire) != tie::gone) {
    engine_.context.cancel_group_execution();
  }
  return true;
}

void group::cancel() noexcept { cancel(error(errc::canceled)); }

void group::cancel(error cause) noexcept {
  if (!cause) {
    cause = errc::canceled;
  }
  enter(one_visitor);  // of every group: reset() takes back what is set here
  describe(cause, {{}, nullptr, npos});
  bool const is_plain = cause == errc::canceled && cause.others().empty() && cause.dropped() == 0;
  if (!record(cause, false)) {
    note_cause(cause);
    if (extras_ && extras_->all && !is_plain) {
      add_other(cause, false);
    }
  }
  bool const fire = stop_quietly();
  leave(one_visitor, false);
  if (fire) {
    tokens::fire();
  }
}

void group::skip(std::size_t n) noexcept {
  skipped_.fetch_add(n, std::memory_order_relaxed);
  if (!is_stopped()) {
    // oneTBB dropped it: something above was cancelled, or the context itself.
    record(errc::canceled, true);
  }
}

bool group::is_canceled_itself() const noexcept {
  return is_stopped() ||
         (tie_.load(std::memory_order_acquire) == tie::bound &&
          const_cast<tbb::task_group_context&>(engine_.context).is_group_execution_cancelled());
}

bool group::is_canceled_from_above() const noexcept {
  if (!is_child_ || !made_in_lives()) {
    return false;
  }
  tbb::task_group_context* above = made_in_->context.load(std::memory_order_relaxed);
  return above->is_group_execution_cancelled();
}

bool group::is_canceling() const noexcept {
  if (is_stopped()) {
    return true;
  }
  visit guest(*this, detail::this_thread());
  return is_canceled_itself() || is_canceled_from_above();
}

// What is counted was handed over before it was counted: a wait that begins after that covers it.
bool group::is_joined() const noexcept {
  if (spawns() != spawns_joined_.load(std::memory_order_relaxed)) {
    return false;
  }
  queue* q = queue_.load(std::memory_order_acquire);
  return q == nullptr ||
         q->pushed.load(std::memory_order_acquire) == q->joined.load(std::memory_order_relaxed);
}

error group::first_error() const noexcept {
  error e = first_.get();
  return e || !is_canceling() ? e : errc::canceled;
}

error group::outcome() noexcept {
  error e = first_.get();
  if (!e) {
    return {};
  }
  if ((state_.load(std::memory_order_relaxed) & told) == 0) {
    state_.fetch_or(told, std::memory_order_relaxed);
  }
  if (extras_ && extras_->all) {
    extras_->all->give_others(e);
  }
  detail::error_access::set_skipped(e, skipped_.load(std::memory_order_relaxed));
  return e;
}

std::stop_token group::get_stop_token() const {
  token_link* const there = token_.load(std::memory_order_acquire);
  if (there != nullptr && tie_.load(std::memory_order_acquire) == tie::bound) {
    std::scoped_lock guard(tokens::lock);  // reset() replaces the source
    return there->source.get_token();
  }
  thread_state& self = detail::this_thread();
  auto& me = const_cast<group&>(*this);
  auto fresh = there == nullptr ? std::make_unique<token_link>() : nullptr;
  if (fresh) {
    fresh->owner = &me;
  }
  std::stop_token token;
  bool canceled = false;
  {
    visit guest(*this, self);
    {
      lock_type once(cold_);
      token_link* link = token_.load(std::memory_order_relaxed);
      if (link == nullptr) {
        link = fresh.release();
        std::scoped_lock guard(tokens::lock);
        tokens::add(*link);
        eventful_.store(true, std::memory_order_relaxed);
        token_.store(link, std::memory_order_release);
      }
      std::scoped_lock guard(tokens::lock);
      token = link->source.get_token();
    }
    // A cancellation from above reaches the token through the context: that needs its parent now.
    if (tie_.load(std::memory_order_acquire) != tie::bound) {
      me.rebuild();
      me.bind(self, tbb::task::current_context());
    }
    canceled = is_canceled_itself() || is_canceled_from_above();
    if (canceled && !is_stopped()) {
      me.record(errc::canceled, false);
      (void)me.stop_quietly();
    }
  }
  if (canceled) {
    tokens::fire();
  }
  return token;
}

error group::check_here() noexcept {
  tbb::task_group_context* here = tbb::task::current_context();
  if (here == nullptr) {
    return {};
  }
  if (here->is_group_execution_cancelled()) {
    return errc::canceled;
  }
  detail::frame const& top = *detail::this_thread().top;
  group* g = top.owner.load(std::memory_order_relaxed);
  if (g == nullptr || here != top.context.load(std::memory_order_relaxed)) {
    return {};
  }
  // The groups' own word comes before oneTBB has told all contexts. What the caller is inside of
  // stays where it is. No context is above one that was made in another arena.
  for (; g != nullptr; g = g->made_under_ != nullptr ? g->above() : nullptr) {
    if (g->is_stopped()) {
      return errc::canceled;
    }
  }
  return {};
}

error check() noexcept { return group::check_here(); }

// --- stop tokens ---

void group::tokens::fire() noexcept {
  if (count.load(std::memory_order_seq_cst) == 0) {
    return;
  }
  // In portions, outside of the lock: callbacks are the user's code, which may do anything.
  for (bool more = true; more;) {
    std::array<std::optional<std::stop_source>, 16> sources;
    std::array<group*, 16> timed_ones{};
    std::size_t n = 0;
    {
      std::scoped_lock guard(lock);
      for (token_link* l = first; l != nullptr && n != sources.size(); l = l->next) {
        if (!l->fired && l->owner->is_canceled_itself()) {
          l->fired = true;
          if (l->owner->timed_.load(std::memory_order_acquire) != nullptr &&
              !l->owner->is_stopped() && l->owner->try_enter()) {
            timed_ones[n] = l->owner;
          }
          sources[n++] = l->source;
        }
      }
    }
    for (std::size_t i = 0; i != n; ++i) {
      if (group* const g = timed_ones[i]) {
        // Nothing else would look at its tasks that are not due, and at who waits for them.
        (void)g->record(errc::canceled, false);
        (void)g->stop_quietly();
        g->leave(one_visitor, false);
      }
      sources[i]->request_stop();
    }
    more = n == sources.size();
  }
}

std::stop_source group::tokens::take(group& g) noexcept {
  std::scoped_lock const guard(lock);
  token_link* const link = g.token_.load(std::memory_order_relaxed);
  if (link == nullptr || std::exchange(link->fired, true)) {
    return std::stop_source(std::nostopstate);
  }
  return link->source;
}

void group::tokens::add(token_link& link) noexcept {
  link.next = first;
  if (first != nullptr) {
    first->previous = &link;
  }
  first = &link;
  count.fetch_add(1, std::memory_order_seq_cst);
}

void group::tokens::remove(token_link& link) noexcept {
  (link.previous != nullptr ? link.previous->next : first) = link.next;
  if (link.next != nullptr) {
    link.next->previous = link.previous;
  }
  count.fetch_sub(1, std::memory_order_relaxed);
}

// --- waiting ---

error group::wait() {
  thread_state& self = detail::this_thread();
  auto alone = [this]() noexcept {
    return queue_.load(std::memory_order_acquire) == nullptr &&
           other_spawns_.load(std::memory_order_acquire) == 0;
  };
  if (is_at_home(self) && alone()) {
    // A group that one task makes, uses and waits for: nobody else's spawns to look out for, and
    // the bond to that task stays.
    std::uint32_t const others = maker_waits_.load(std::memory_order_relaxed);
    maker_waits_.store(others + 1, std::memory_order_relaxed);
    if (spawned_.load(std::memory_order_relaxed)) {
      engine_wait<detail::no_body>(nullptr);
    } else if (!is_stopped() && is_canceled_itself()) {
      record(errc::canceled, true);  // by who was given context()
    }
    if (alone()) [[likely]] {  // still: its tasks may have had others submit some
      spawns_joined_.store(maker_spawns_.load(std::memory_order_relaxed),
                           std::memory_order_relaxed);
      if (!is_stopped() && made_under_->is_group_execution_cancelled()) {
        record(errc::canceled, true);
      }
      if (!first_.is_taken()) {
        maker_waits_.store(others, std::memory_order_release);
        return {};
      }
      error e = outcome();
      maker_waits_.store(others, std::memory_order_release);
      return e;
    }
    maker_waits_.store(others, std::memory_order_relaxed);
  }
  if (is_inside(self)) {
    return errc::would_deadlock;
  }
  waiting here(*this, self);
  join();
  return outcome();
}

error group::run_here_and_wait(thread_state& self, tbb::task_handle (*make)(group&, void*),
                               void* task) {
  waiting here(*this, self);
  if (tie_.load(std::memory_order_acquire) != tie::bound) {
    prepare_engine(self, tbb::task::current_context(), true);
  }
  auto is_unqueued = [this]() noexcept {
    queue const* const q = queue_.load(std::memory_order_acquire);
    return q == nullptr || queued(*q) == 0;
  };
  bool const was_unqueued = is_unqueued();
  // oneTBB counts the task from here on until its callable is destroyed, whether it runs or not.
  // `spawned_` makes other waiters ask oneTBB.
  tbb::task_handle handle = make(*this, task);
  spawned_.store(true, std::memory_order_relaxed);
  note_spawn(self);
  std::uint64_t const before = spawns();
  engine_wait(&handle);
  if (tie_.load(std::memory_order_relaxed) != tie::bound) {
    spawned_first();
  }
  note_joined(before);
  // A task of the queue may have spawned another task just after oneTBB's count was zero. Only
  // oneTBB counts that task, so a group with queued tasks waits again, in `join`.
  if (was_unqueued && is_unqueued() && is_joined()) {
    notice_cancellation();
  } else {
    join();
  }
  return outcome();
}

// So many tasks that were spawned have been waited for.
void group::note_joined(std::uint64_t spawns) noexcept {
  std::uint64_t joined = spawns_joined_.load(std::memory_order_relaxed);
  while (joined < spawns &&
         !spawns_joined_.compare_exchange_weak(joined, spawns, std::memory_order_relaxed)) {
    // another waiter knew of others
  }
}

void group::join() noexcept {
  for (;;) {
    queue* const q = queue_.load(std::memory_order_acquire);
    std::uint64_t const pushed = q != nullptr ? drain_and_sleep(*q) : 0;
    if (!spawned_.load(std::memory_order_acquire)) {
      break;
    }
    std::uint64_t const before = spawns();
    engine_wait<detail::no_body>(nullptr);
    note_joined(before);
    // When oneTBB's tasks were done, ours were, too, unless there are new ones.
    if (before == spawns() && queue_.load(std::memory_order_acquire) == q &&
        (q == nullptr || q->pushed.load(std::memory_order_acquire) == pushed)) {
      break;
    }
  }
  notice_cancellation();
}

// If oneTBB cancelled the context, records `errc::canceled` and stops the group. oneTBB has no
// callback for that.
void group::notice_cancellation() noexcept {
  if (!is_stopped() && (is_canceled_itself() || is_canceled_from_above())) {
    record(errc::canceled, true);
  }
}

}  // namespace errgroup
