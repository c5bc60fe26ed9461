// SPDX-License-Identifier: Apache-2.0
#include "listeners.hpp"
#include "observation.hpp"
#include <errgroup/detail/config.hpp>

#include <tbb/task.h>  // current_context

#include <memory>   // make_unique
#include <mutex>    // scoped_lock
#include <new>      // bad_alloc, nothrow
#include <string>   // string
#include <utility>  // move

// The first error of a group, and the cancellation that follows from it. The order within a
// cancellation: publish the error (`record`), stop the group and the groups below
// (`cancel_node::stop`), interrupt them without user code (`interrupt_all`), then run the user code
// (`clean_up`).

namespace errgroup::inline v1::detail {

void group_core::fail(error e, submission const& from) noexcept {
  std::size_t const failures = losses_.failed.fetch_add(1, std::memory_order_relaxed) + 1;
  bool const is_last = extras_ && failures == extras_->max_failures;
  error_list* const all = extras_ && extras_->all ? &*extras_->all : nullptr;
  bool late = first_.is_taken() && (goes_on() || is_stopped());
  if ((!late || all != nullptr) && is_canceled_unseen()) {
    record(errc::canceled, true);  // the cancellation came first, and may be the reason
    late = true;
  }
  if (is_observed()) {
    note_failure(e, from);
  }
  bool const is_heard = (state.load(std::memory_order_acquire) & heard) != 0;
  if (late && all == nullptr && !is_last && !is_heard) {
    return;
  }
  bool const is_echo = is_stopped() && e == std::errc::operation_canceled;
  if (!late && is_stopped() && e == std::errc::operation_canceled) {
    e = errc::canceled;  // an echo of the destructor, which records no error
  }
  describe(e, from);
  if ((late || !record(e, !goes_on())) && all != nullptr) {
    add_other(e, is_stopped());
  }
  if (is_last) {
    // After the error was kept: a task that fails because it sees the cancellation must not come
    // before the failure that caused the cancellation.
    note_cause(e);
    stop_all();
  }
  if (is_heard && !is_echo) {
    listener_functions::used.load(std::memory_order_acquire)->tell(*this, e);
  }
}

// With keep::all: keeps an error after the first error. A later wait has to return it, or the
// destructor hands it over.
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

// Adds the names of the groups above and of this group. For a thread that may call `above`.
void group_core::add_names(std::string& names) const {
  if (group_core const* const parent_group = outer()) {
    parent_group->add_names(names);
  }
  if (extras_) {
    add_name(names, extras_->name);
  }
}

// Gives `e` its origin, unless it has an origin from a task further in. Without memory the origin
// knows less: a failure without its origin is better than no failure.
void group_core::describe(error& e, submission const& from) const noexcept {
  task_origin const& known = e.origin();
  bool const is_placed = from.where.line() != 0;
  bool const is_known = known.where.line() != 0 || known.index != npos;
  if (is_known || (!is_placed && !known.path.empty())) {
    return;
  }
  std::string names;
  std::string name;
  parent_pin const parent(*this);
  try {
    // The name of a task is in its note. The name of an element is in the error itself.
    if (from.note == nullptr) {
      name = known.name;
    }
    add_names(names);
    add_name(names, from.note != nullptr ? from.note->origin.name : name);
    bool const is_on_the_way =
        names.starts_with(known.path) && (known.path.empty() || names.size() == known.path.size() ||
                                          names[known.path.size()] == '/');
    if (!is_on_the_way) {
      names = known.path;  // the path of a group further in
    }
  } catch (std::bad_alloc const&) {
    names.clear();
  }
  if (names.empty() && !is_placed && from.index == npos) {
    return;  // nothing is known
  }
  note_ptr const made(from.note == nullptr ? new (std::nothrow) error_note : nullptr);
  error_note* const note = from.note != nullptr ? from.note : made.get();
  if (note != nullptr) {
    if (from.note == nullptr) {
      note->origin.name = std::move(name);
    }
    note->origin.where = from.where;
    note->origin.index = from.index;
    note->origin.is_item = from.is_item;
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

// Publishes `e` if it is the first error, and returns true then. Stops the group if `stop_too`.
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
  if (is_first) {
    ERRGROUP_PROBE(first_error, this, e.code().value(), e.code().category().name());
  }
  if (is_first && is_observed()) {
    extras_->observed->tell_first_error();
  }
  if (stop_too) {
    stop_all();
  }
  return is_first;
}

// Keeps the reason of the coming stop, if the reason is not the first error.
[[gnu::noinline, gnu::cold]] void group_core::note_cause(error const& e) noexcept {
  if (extras_ && goes_on()) {
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
  if (extras_ && goes_on()) {
    std::scoped_lock const held(extras_->cause_lock);
    if (extras_->cause) {
      return extras_->cause;
    }
  }
  error e = first_.get();
  return e ? e : errc::canceled;  // stopped without an error: by the destructor
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
  error_access::set_skipped(e, losses_.skipped.load(std::memory_order_relaxed));
  return e;
}

void group_core::skip(std::size_t n) noexcept {
  if (!is_stopped()) {
    // oneTBB dropped the task: its context was cancelled.
    record(errc::canceled, true);
  }
  count_skipped(n);
}

void group_core::cancel(error cause) noexcept {
  stopped_nodes nodes;
  if (cancel_into(nodes, cause ? std::move(cause) : errc::canceled, false)) {
    nodes.clean_up();
  }
}

// Records `cause`, stops the group, and interrupts what was stopped. Returns false if the group was
// stopped already. Otherwise the caller has to run the `clean_up` of `nodes`. `is_told_if_idle`: if
// the group is idle, there was nothing to cancel, and the destructor does not tell of the error.
bool group_core::cancel_into(stopped_nodes& nodes, error cause, bool is_told_if_idle) noexcept {
  pin_against_reset();
  describe(cause, {{}, nullptr, npos});
  bool const is_plain = cause == errc::canceled && cause.others().empty() && cause.dropped() == 0;
  if (!record(cause, false)) {
    note_cause(cause);
    if (extras_ && extras_->all && !is_plain) {
      add_other(cause, false);
    }
  } else if (is_told_if_idle && is_joined()) {
    state.fetch_or(told, std::memory_order_relaxed);
  }
  bool const is_first = stop(nodes);
  unpin();
  if (is_first) {
    interrupt_all(nodes);
  }
  return is_first;
}

void group_core::stop_all() noexcept {
  stopped_nodes nodes;
  if (stop(nodes)) {
    interrupt_all(nodes);
    nodes.clean_up();
  }
}

// Interrupts the groups in the list. oneTBB cancels groups below raw oneTBB tasks with them: adds
// those groups to the list, and interrupts them, too.
[[gnu::noinline, gnu::cold]] void group_core::interrupt_all(stopped_nodes& nodes) noexcept {
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
  // Publish the error before the node is stopped: a task that fails because it sees the
  // cancellation must not take its place.
  if (first_.offer(errc::canceled)) {
    ERRGROUP_PROBE(first_error, this, static_cast<int>(errc::canceled), error_category().name());
  }
}

bool group_core::is_busy() const noexcept { return !is_joined(); }

void group_core::interrupt() noexcept {
  note_event();
  ERRGROUP_PROBE(cancelled, this);
  engine_.context.cancel_group_execution();
  if (is_observed()) {
    extras_->observed->tell_cancelled();
  }
  // seq_cst, with make_queue(): either this load finds the queue, or make_queue() finds the group
  // stopped.
  if (task_queue* const q = queue_.load(std::memory_order_seq_cst)) {
    wake_list awake;
    lock_type lock(q->lock);
    q->closed = true;
    q->sleepers.wake_all(awake);
    lock.release();
  }
}

[[gnu::noinline, gnu::cold]] void group_core::clean_up() noexcept {
  if (task_queue* const q = queue_.load(std::memory_order_seq_cst)) {
    close(*q);
  }
  // A copy: the group may be gone once it is unpinned, and a callback may destroy it.
  std::stop_source own = token_source();
  unpin();
  own.request_stop();
}

// True if `clean_up` might run user code.
bool group_core::needs_clean_up() const noexcept {
  if (token_.load(std::memory_order_seq_cst) != nullptr) {
    return true;
  }
  task_queue* const q = queue_.load(std::memory_order_seq_cst);
  if (q == nullptr) {
    return false;
  }
  lock_type const lock(q->lock);
  return q->has_work() || q->due.later != 0;
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
  // A group is stopped before oneTBB has told its context. A context of a group above that the user
  // has cancelled directly does not tell the context of this group.
  task_frame const& top = *this_thread().top;
  cancel_node const* const n = top.owner.load(std::memory_order_relaxed);
  bool const is_in_task = n != nullptr && here == top.context.load(std::memory_order_relaxed);
  if (is_in_task) {
    for (auto const* g = static_cast<group_core const*>(n); g != nullptr; g = g->outer()) {
      if (g->is_canceling()) {
        return errc::canceled;
      }
    }
  }
  return {};
}

[[gnu::noinline, gnu::cold]] void group_core::bound_groups::stop_canceled(
    stopped_nodes& nodes) noexcept {
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

}  // namespace errgroup::inline v1::detail

namespace errgroup::inline v1 {

error check() noexcept { return detail::group_core::check_here(); }

}  // namespace errgroup::inline v1
