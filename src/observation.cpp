// SPDX-License-Identifier: Apache-2.0
#include "observation.hpp"

#include <algorithm>  // min
#include <bit>        // bit_cast
#include <chrono>     // nanoseconds, steady_clock
#include <cstring>    // memcpy
#include <ctime>      // clock_gettime, timespec
#include <new>        // nothrow
#include <thread>     // this_thread
#include <utility>    // exchange, move

namespace errgroup::inline v1::detail {

std::int64_t coarse_now() noexcept {
#if defined(CLOCK_MONOTONIC_COARSE)
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
#else
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
#endif
}

// --- the list of all observed groups ------------------------------------------------------------

void observed_groups::add(observed_group& one) noexcept {
  std::scoped_lock const held(lock);
  one.next = first;
  if (first != nullptr) {
    first->previous = &one;
  }
  first = &one;
}

void observed_groups::remove(observed_group& one) noexcept {
  std::scoped_lock const held(lock);
  (one.previous != nullptr ? one.previous->next : first) = one.next;
  if (one.next != nullptr) {
    one.next->previous = one.previous;
  }
}

// --- the task in a frame ------------------------------------------------------------------------

void observed_task::show(std::uint64_t id, std::size_t i, void const* label) noexcept {
  std::uint64_t const before = version.load(std::memory_order_relaxed);
  version.store(before + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  group.store(id, std::memory_order_relaxed);
  index.store(i, std::memory_order_relaxed);
  begun.store(coarse_now(), std::memory_order_relaxed);
  if (has_note(label)) {
    note = note_in(label);
    note->share();
    where.store(label_of(note->origin.where), std::memory_order_relaxed);
    show_name(note->origin.name);
  } else {
    where.store(label, std::memory_order_relaxed);
    name[0].store(0, std::memory_order_relaxed);
  }
  version.store(before + 2, std::memory_order_release);
}

[[gnu::noinline]] void observed_task::show_name(std::string_view text) noexcept {
  std::array<std::uint64_t, name_words> words{};
  std::size_t size = std::min(text.size(), name_bytes);
  // Not within a character of UTF-8, which has at most 4 bytes.
  for (int i = 0; i != 3 && size > 3 && size != text.size() &&
                  (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U;
       ++i) {
    --size;
  }
  std::memcpy(words.data(), text.data(), size);
  for (std::size_t k = 0; k != name_words; ++k) {
    name[k].store(words[k], std::memory_order_relaxed);
  }
}

void observed_task::hide() noexcept {
  group.store(0, std::memory_order_relaxed);
  if (note != nullptr) {
    std::exchange(note, nullptr)->release();
  }
}

observed_task::snapshot observed_task::read() const {
  for (;;) {
    snapshot s;
    std::array<std::uint64_t, name_words> words{};
    std::uint64_t const before = version.load(std::memory_order_acquire);
    s.group = group.load(std::memory_order_relaxed);
    s.index = index.load(std::memory_order_relaxed);
    s.where = std::bit_cast<std::source_location>(where.load(std::memory_order_relaxed));
    s.begun = begun.load(std::memory_order_relaxed);
    for (std::size_t k = 0; k != name_words; ++k) {
      words[k] = name[k].load(std::memory_order_relaxed);
    }
    std::uint64_t const waits = awaited.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && version.load(std::memory_order_relaxed) == before) {
      std::array<char, name_bytes + 1> text{};
      std::memcpy(text.data(), words.data(), name_bytes);
      s.name = text.data();
      s.awaited = waits / 4;
      s.kind = static_cast<wait_kind>(waits % 4);
      return s;
    }
    std::this_thread::yield();
  }
}

namespace {

[[gnu::noinline, gnu::cold]] observed_task& make_shown_task(task_frame& frame) noexcept {
  auto* const fresh = new (std::nothrow) observed_task;
  if (fresh == nullptr) {
    die("out of memory for what an observed task needs");
  }
  frame.shown.store(fresh, std::memory_order_release);
  return *fresh;
}

/// The observed task of a frame. Terminates the process without memory.
observed_task& shown_task(task_frame& frame) noexcept {
  observed_task* const known = frame.shown.load(std::memory_order_relaxed);
  return known != nullptr ? *known : make_shown_task(frame);
}

/// The frame of the task that the thread runs. A handle runs a task in a frame above that of the
/// task that waits for it; a task with a timeout has a second frame (task_time.cpp).
task_frame& frame_of_task(thread_state const& self) noexcept {
  task_frame* f = self.top;
  while (f->index.load(std::memory_order_relaxed) == task_frame::no_task && f->below != nullptr) {
    f = f->below;
  }
  return *f;
}

std::atomic<std::uint64_t> last_id{0};

observed_group shape_of(group_core& g, thread_state const& maker, bool is_child, int limit,
                        std::source_location where) {
  observed_group made{
      .id = last_id.fetch_add(1, std::memory_order_relaxed) + 1,
      .parent = 0,
      .parent_task = npos,
      .name = {},
      .limit = limit,
      .where = where,
      .group = &g,
  };
  observed_task const* const task = frame_of_task(maker).shown.load(std::memory_order_relaxed);
  if (is_child && task != nullptr && task->is_open()) {
    made.parent = task->group.load(std::memory_order_relaxed);
    made.parent_task = task->index.load(std::memory_order_relaxed);
  }
  return made;
}

}  // namespace

// --- a group ------------------------------------------------------------------------------------

// Called when the group is made, before other threads can reach it.
[[gnu::noinline, gnu::cold]] void group_core::observe_with(observer& o, std::source_location where,
                                                           int limit) {
  if (extras_ == nullptr) {
    extras_ = new extras(options{});
    note_event();
  }
  extras_->observed = new observation(*this, o, limit, where);
  spawns_.begin_shared();  // the short way to wait tells no observer
  state.fetch_or(observed, std::memory_order_relaxed);
  extras_->observed->begin();
}

group_core::observation::observation(group_core& g, observer& o, int most,
                                     std::source_location made_at)
    : observed_group(shape_of(g, *g.origin_.maker, g.origin_.is_child, most, made_at)),
      of_(g),
      observer_(o) {
  name = g.extras_->name;
}

void group_core::observation::begin() noexcept {
  observer_.group_begin(view());
  observed_groups::add(*this);
}

void group_core::observation::end() noexcept {
  observed_groups::remove(*this);
  observer_.group_end(view());
}

std::size_t group_core::observation::next_index() noexcept {
  std::size_t const index = submitted_.fetch_add(1, std::memory_order_relaxed);
  observer_.task_submitted(view(), index);
  return index;
}

void group_core::observation::begin_task(task_frame& frame) noexcept {
  observed_task& task = shown_task(frame);
  task.show(id, frame.index.load(std::memory_order_relaxed),
            frame.label.load(std::memory_order_relaxed));
  // So the end of the task calls `end_task`. Without a child, no other thread changes `pins`.
  frame.pins.store(1, std::memory_order_relaxed);
  observer_.task_begin(task_view(view(), task));
}

void group_core::observation::end_task(observed_task& task) noexcept {
  if (task.has_failed) [[unlikely]] {
    task.has_failed = false;
    error const failure = std::move(task.failure);
    observer_.task_end(task_view(view(), task), &failure);
  } else {
    observer_.task_end(task_view(view(), task), nullptr);
  }
  task.hide();
  ended_.add_one(current_thread_state->number);
}

void group_core::observation::tell_first_error_in_order() noexcept {
  // A group that its destructor stops is cancelled without an error. An error that comes later is
  // none that `wait` returns.
  if (!has_told_error_ && !has_told_cancellation_) {
    if (error const e = of_.first_.get()) {
      has_told_error_ = true;
      observer_.first_error(view(), e);
    }
  }
}

void group_core::observation::tell_first_error() noexcept {
  std::scoped_lock const held(order_);
  tell_first_error_in_order();
}

void group_core::observation::tell_cancelled_in_order(error const& cause) noexcept {
  tell_first_error_in_order();
  if (!has_told_cancellation_) {
    has_told_cancellation_ = true;
    observer_.cancelled(view(), cause);
  }
}

void group_core::observation::tell_cancelled() noexcept {
  error const cause = of_.cause();
  std::scoped_lock const held(order_);
  tell_cancelled_in_order(cause);
}

void group_core::observation::tell_skipped(std::size_t n) noexcept {
  error const cause = of_.cause();
  std::scoped_lock const held(order_);
  tell_cancelled_in_order(cause);
  observer_.tasks_skipped(view(), n, cause);
}

void group_core::observation::reset() noexcept {
  std::scoped_lock const held(order_);
  has_told_error_ = false;
  has_told_cancellation_ = false;
}

std::size_t group_core::observation::waiting(std::size_t running,
                                             std::size_t timed) const noexcept {
  std::size_t const gone = ended_.sum() + dropped_.load(std::memory_order_relaxed);
  std::size_t const busy = gone + running + timed;
  std::size_t const all = accepted();
  return all > busy ? all - busy : 0;  // the numbers are of slightly different moments
}

// --- what a group does for its observation ------------------------------------------------------

// Flattened, like `end_task`: calls would cost more than what they do.
[[gnu::flatten]] group_core::start_as group_core::begin_unusual() noexcept {
  if (is_stopped()) {
    skip(1);
    return start_as::skipped;
  }
  if (is_observed()) {
    extras_->observed->begin_task(*this_worker().top);
  }
  return exceptions() == on_exception::terminate ? start_as::unguarded : start_as::usual;
}

std::size_t group_core::next_index() noexcept { return extras_->observed->next_index(); }

// There was no memory for a task whose submission the observer was told of.
void group_core::take_back() noexcept {
  if (is_observed()) {
    extras_->observed->count_dropped(1);
  }
}

[[gnu::noinline, gnu::cold]] void group_core::count_refused() noexcept {
  losses_.skipped.fetch_add(1, std::memory_order_relaxed);
  if (is_observed()) {
    extras_->observed->tell_skipped(1);
  }
}

// Tasks that the group has accepted will not run. It is stopped, or its context is cancelled.
void group_core::count_skipped(std::size_t n) noexcept {
  losses_.skipped.fetch_add(n, std::memory_order_relaxed);
  if (n != 0 && is_observed()) {
    extras_->observed->count_dropped(n);
    extras_->observed->tell_skipped(n);
  }
}

// An observed task has failed.
void group_core::note_failure(error& e, submission const& from) noexcept {
  describe(e, from);
  if (!from.is_item) {
    task_frame const& top = *this_worker().top;
    observed_task* const task = top.shown.load(std::memory_order_relaxed);
    if (task != nullptr && task->is_open() && top.owner.load(std::memory_order_relaxed) == this) {
      task->failure = e;
      task->has_failed = true;
    }
  }
}

std::size_t group_core::count_running() const noexcept {
  std::size_t n = 0;
  for (frame_stack* s = frame_stack::first(); s != nullptr; s = s->next) {
    for (task_frame const* f = s->base.above.load(std::memory_order_acquire); f != nullptr;
         f = f->above.load(std::memory_order_acquire)) {
      cancel_node const* const owner = f->owner.load(std::memory_order_acquire);
      if (owner == nullptr) {
        break;
      }
      bool const runs = f->index.load(std::memory_order_relaxed) != task_frame::no_task;
      n += owner == this && runs ? 1U : 0U;
    }
  }
  return n;
}

std::size_t group_core::accepted() const noexcept {
  return is_observed() ? extras_->observed->accepted() : submitted();
}

group_counts group_core::count_tasks() const noexcept {
  group_counts c;
  c.submitted = accepted();
  c.running = count_running();
  if (task_queue* const q = queue_.load(std::memory_order_acquire)) {
    lock_type const held(q->lock);
    c.timed = q->due.later;
    c.waiting = q->waiting() + q->batches.waiting();
  }
  if (is_observed()) {
    c.waiting = extras_->observed->waiting(c.running, c.timed);
  }
  c.failed = losses_.failed.load(std::memory_order_relaxed);
  c.skipped = losses_.skipped.load(std::memory_order_relaxed);
  return c;
}

group_core::place_use group_core::places_now() const noexcept {
  return is_placed() ? extras_->shared->use() : place_use();
}

void group_core::end_observed(task_frame& frame) noexcept {
  auto& g = static_cast<group_core&>(*frame.owner.load(std::memory_order_relaxed));
  g.extras_->observed->end_task(*frame.shown.load(std::memory_order_relaxed));
}

void group_core::observed_wait::begin() noexcept {
  task_ = &shown_task(frame_of_task(this_worker()));
  observation& o = *g_.extras_->observed;
  before_ = task_->awaited.exchange(o.id * 4 + static_cast<std::uint64_t>(kind_),
                                    std::memory_order_relaxed);
  o.begin_wait(kind_);
}

void group_core::observed_wait::end() noexcept {
  task_->awaited.store(before_, std::memory_order_relaxed);
  g_.extras_->observed->end_wait(kind_);
}

// Called at the end of a task whose frame has children or pins.
[[gnu::flatten]] void end_task(task_frame& frame) noexcept {
  observed_task* const task = frame.shown.load(std::memory_order_relaxed);
  if (task == nullptr || !task->is_open()) {
    cancel_node::end_task(frame);
    return;
  }
  if (frame.children.load(std::memory_order_acquire) == nullptr &&
      frame.pins.load(std::memory_order_acquire) == 1) {
    frame.pins.store(0, std::memory_order_relaxed);
  } else {
    frame.pins.fetch_sub(1, std::memory_order_relaxed);
    cancel_node::end_task(frame);
  }
  group_core::end_observed(frame);
  if (frame.is_kept()) {
    cancel_node::end_task(frame);  // the destructor of the task's error has made a group
  }
}

}  // namespace errgroup::inline v1::detail

namespace errgroup::inline v1 {

std::uint64_t group_view::id() const noexcept { return of_->id; }
std::string_view group_view::name() const noexcept { return of_->name; }
std::uint64_t group_view::parent() const noexcept { return of_->parent; }
std::size_t group_view::parent_task() const noexcept { return of_->parent_task; }
int group_view::limit() const noexcept { return of_->limit.now.load(std::memory_order_relaxed); }
group_counts group_view::counts() const noexcept { return of_->group->count_tasks(); }
std::source_location group_view::where() const noexcept { return of_->where; }

std::size_t task_view::index() const noexcept { return of_->index.load(std::memory_order_relaxed); }
std::string_view task_view::name() const noexcept {
  return of_->note != nullptr ? std::string_view(of_->note->origin.name) : std::string_view();
}
std::source_location task_view::where() const noexcept {
  return std::bit_cast<std::source_location>(of_->where.load(std::memory_order_relaxed));
}

void observer::group_begin(group_view /*g*/) noexcept {}
void observer::group_end(group_view /*g*/) noexcept {}
void observer::task_submitted(group_view /*g*/, std::size_t /*index*/) noexcept {}
void observer::task_begin(task_view /*t*/) noexcept {}
void observer::task_end(task_view /*t*/, error const* /*failure*/) noexcept {}
void observer::tasks_skipped(group_view /*g*/, std::size_t /*n*/, error const& /*cause*/) noexcept {
}
void observer::first_error(group_view /*g*/, error const& /*e*/) noexcept {}
void observer::cancelled(group_view /*g*/, error const& /*cause*/) noexcept {}
void observer::wait_begin(group_view /*g*/, wait_kind /*kind*/) noexcept {}
void observer::wait_end(group_view /*g*/, wait_kind /*kind*/) noexcept {}

observer* observe(observer* o) noexcept { return detail::group_core::observe(o); }

}  // namespace errgroup::inline v1
