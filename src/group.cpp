#include <errgroup/group.hpp>

#include "queue.hpp"

#include <tbb/blocked_range.h>  // blocked_range
#include <tbb/cache_aligned_allocator.h>  // cache_aligned_allocator
#include <tbb/enumerable_thread_specific.h>  // enumerable_thread_specific, ets_suspend_aware
#include <tbb/parallel_for.h>   // parallel_for
#include <tbb/partitioner.h>    // simple_partitioner
#include <tbb/task.h>           // current_context
#include <tbb/task_arena.h>     // isolate, max_concurrency, task_arena

#include <algorithm>   // max, min
#include <array>       // array
#include <cstdio>      // fputs
#include <functional>  // function
#include <limits>      // numeric_limits
#include <mutex>       // mutex, scoped_lock
#include <optional>    // optional
#include <stdexcept>   // invalid_argument, logic_error
#include <string>      // string, to_string
#include <thread>      // yield

// How a task gets to a thread.
//
// Inside a task, a group spawns: one oneTBB task each, in the worker's own deque (group::spawn).
// From outside, and always if the group counts its tasks, it queues: the task is a node in the
// group's queue, and threads come to take nodes from there one after the other (a session). These
// threads are
//   - whoever waits for the group, or needs room in its queue;
//   - runners: oneTBB tasks that stand for nobody's task, only for "come to this queue". One that
//     has not started yet is the queue's ticket. There is at most one; a runner that finds more
//     tasks than its own sends the next.
// Tickets do not count as tasks of the group and hold nothing of it but the life of its queue: one
// that comes too late finds that life over and goes away. So nobody has to wait for a ticket that
// sits in the deque of a thread that does something else.

namespace errgroup {

using detail::queue;
using detail::queue_life;
using detail::thread_state;
using lock_type = tbb::spin_mutex::scoped_lock;

namespace {

/// Runs `body` in this thread, with `context` as what oneTBB runs: what it starts is cancelled with
/// it. False if it did not run, because `context` is cancelled. Binds `context`, if it is not bound
/// yet, to what runs here now.
///
/// An algorithm is the one way that neither waits for other tasks of the context nor takes its
/// cancellation back at the end, as task_group::run_and_wait does.
template <class Body>
bool run_in(tbb::task_group_context& context, Body const& body) noexcept {
  bool ran = false;
  try {
    tbb::parallel_for(
        tbb::blocked_range<int>(0, 1),
        [&](tbb::blocked_range<int> const&) noexcept {
          ran = true;
          body();
        },
        tbb::simple_partitioner{}, context);
  } catch (...) {
    // `body` does not throw. It is an exception that a user's algorithm left in the context, and
    // that algorithm has thrown it to its caller; or oneTBB has no memory, and then `ran` says so.
  }
  return ran;
}

/// Where tickets go that have no better place: an arena like any outside thread's.
tbb::task_arena& default_arena() {
  static auto& arena = *new tbb::task_arena;  // oneTBB may be gone before static destructors run
  return arena;
}

/// An engine for tickets: tasks without a parent that nobody cancels or waits for.
struct ticket_engine {
  tbb::task_group_context context{tbb::task_group_context::isolated};
  tbb::task_group tasks{context};
};

constexpr std::uint32_t closing = 1U << 31;  // in visitors_: the engine is being destroyed

// How long a runner looks for the next task before it leaves: about a microsecond, which is what
// calling it back costs.
constexpr int linger_rounds = 64;

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace

// --- what only some groups have -----------------------------------------------------------------

struct group::extras {
  struct stopper {
    group* g;
    void operator()() const noexcept { g->cancel(); }
  };

  std::string name;
  int limit = unlimited;
  std::size_t queue = npos;
  bool isolated = false;
  tbb::task_arena* arena = nullptr;

  queue_life pool;                        // what tasks of a group with an arena of its own run in
  std::optional<tbb::task_arena> slots;   // that arena: as many slots as the limit
  std::optional<tbb::task_arena> home;    // where its runners come from
  std::stop_token stop;
  std::optional<std::stop_callback<stopper>> on_stop;
};

// All groups that handed out a stop token are in one list: oneTBB has no callback for cancellation,
// but it propagates one before cancel_group_execution returns. So whoever cancelled looks through
// the list for groups that are cancelled now.
struct group::token_link {
  std::stop_source source;
  group* owner = nullptr;
  bool fired = false;
  token_link* previous = nullptr;
  token_link* next = nullptr;
};

struct group::tokens {
  static inline std::mutex lock;
  static inline token_link* first = nullptr;
  static inline std::atomic<std::size_t> count{0};

  static void fire() noexcept {
    if (count.load(std::memory_order_seq_cst) == 0) {
      return;
    }
    // In portions: callbacks are the user's code, which may do anything with any group.
    for (bool more = true; more;) {
      std::array<std::stop_source, 16> sources{
          {std::stop_source(std::nostopstate), std::stop_source(std::nostopstate),
           std::stop_source(std::nostopstate), std::stop_source(std::nostopstate),
           std::stop_source(std::nostopstate), std::stop_source(std::nostopstate),
           std::stop_source(std::nostopstate), std::stop_source(std::nostopstate),
           std::stop_source(std::nostopstate), std::stop_source(std::nostopstate),
           std::stop_source(std::nostopstate), std::stop_source(std::nostopstate),
           std::stop_source(std::nostopstate), std::stop_source(std::nostopstate),
           std::stop_source(std::nostopstate), std::stop_source(std::nostopstate)}};
      std::size_t n = 0;
      {
        std::scoped_lock guard(lock);
        for (token_link* l = first; l != nullptr && n != sources.size(); l = l->next) {
          if (!l->fired && l->owner->is_canceled_itself()) {
            l->fired = true;
            sources[n++] = l->source;
          }
        }
      }
      for (std::size_t i = 0; i != n; ++i) {
        sources[i].request_stop();
      }
      more = n == sources.size();
    }
  }
};

// --- life ----------------------------------------------------------------------------------------

group::group() noexcept {
  thread_state& self = detail::this_thread();
  maker_ = &self;
  made_in_ = self.top;
  made_task_ = self.top->task.load(std::memory_order_relaxed);
  made_under_ = tbb::task::current_context();
  made_pool_ = self.top->pool;
  bool const outside = made_under_ == nullptr;
  tie_.store(outside ? tie::bound : tie::none, std::memory_order_relaxed);
  if (made_task_ != 0) {
    detail::tether* t = self.tethers;
    if (t != nullptr) {
      self.tethers = t->next;
    } else {
      t = detail::new_tether();
    }
    if (t != nullptr) {
      t->of.store(this, std::memory_order_relaxed);
      t->next = std::exchange(self.top->tethers, t);
      tether_.store(t, std::memory_order_relaxed);
    }
    unlinks_at_wait_ =
        t == nullptr || made_under_ != self.top->context.load(std::memory_order_relaxed);
  } else {
    unlinks_at_wait_ = !outside;
  }
  std::construct_at(&engine_, outside ? tbb::task_group_context::isolated
                                      : tbb::task_group_context::bound);
}

group::group(options const& opts) : group() {
  if (opts.limit == 0) {
    throw std::invalid_argument(
        "errgroup::options::limit is 0: a group with no slot could never run a task; give it 1 or "
        "more, or errgroup::unlimited");
  }
  if (opts.limit < unlimited) {
    throw std::invalid_argument("errgroup::options::limit is " + std::to_string(opts.limit) +
                                ": give it 1 or more, or errgroup::unlimited");
  }
  policy_ = opts.policy;
  counted_ = opts.limit != unlimited || opts.queue != npos || opts.isolated;
  if (!counted_ && opts.name.empty() && opts.arena == nullptr && !opts.stop.stop_possible()) {
    return;
  }
  extras_ = std::make_unique<extras>();
  extras_->name = opts.name;
  extras_->limit = opts.limit;
  extras_->queue = opts.queue;
  extras_->isolated = opts.isolated;
  extras_->arena = opts.arena;
  extras_->stop = opts.stop;
  if (opts.stop.stop_possible()) {
    extras_->on_stop.emplace(opts.stop, extras::stopper{this});
  }
}

group::~group() {
  thread_state& self = detail::this_thread();
  if (extras_ && extras_->on_stop) {
    extras_->on_stop.reset();
  }
  if (!is_joined()) {
    if (is_inside(self)) {
      die("a group was destroyed inside one of its own tasks, which it would have to wait for");
    }
    stop();
    join(self);
  }
  // Others may still be on their way out of a wait.
  while ((&self != maker_ && maker_waits_.load(std::memory_order_acquire) != 0) ||
         visitors_.load(std::memory_order_acquire) != 0) {
    std::this_thread::yield();
  }
  drop_tether(self);
  if (token_link* link = token_.load(std::memory_order_acquire)) {
    {
      std::scoped_lock guard(tokens::lock);
      (link->previous != nullptr ? link->previous->next : tokens::first) = link->next;
      if (link->next != nullptr) {
        link->next->previous = link->previous;
      }
      tokens::count.fetch_sub(1, std::memory_order_relaxed);
    }
    delete link;
  }
  if (queue* q = queue_.load(std::memory_order_acquire)) {
    detail::put_queue(self, *q);
  }
  if (tie_.load(std::memory_order_relaxed) != tie::gone) {
    std::destroy_at(&engine_);
  }
}

void group::die(char const* words) noexcept {
  std::fputs("errgroup: ", stderr);
  std::fputs(words, stderr);
  std::fputs("\n", stderr);
  std::terminate();
}

void group::refuse_null() {
  throw std::invalid_argument(
      "errgroup::group was given an empty function to run: a null pointer or a std::function "
      "without a target");
}

void group::reset() {
  thread_state& self = detail::this_thread();
  queue* q = queue_.load(std::memory_order_acquire);
  bool const idle = is_joined() && !is_inside(self);
  if (!idle) {
    throw std::logic_error("errgroup::group::reset: tasks of the group may still run; wait first");
  }
  if (made_under_ != nullptr) {
    unlink();
  } else {
    engine_.context.reset();
  }
  if (q != nullptr) {
    lock_type lock(q->lock);
    q->closed = false;
  }
  first_ = error();
  skipped_.store(0, std::memory_order_relaxed);
  state_.store(0, std::memory_order_release);
  if (token_link* link = token_.load(std::memory_order_acquire)) {
    std::stop_source fresh;
    std::scoped_lock guard(tokens::lock);
    link->source = std::move(fresh);
    link->fired = false;
  }
  if (extras_ && extras_->stop.stop_requested()) {
    cancel();
  }
}

// --- errors and cancellation ---------------------------------------------------------------------

void group::fail(error e, std::string_view task) noexcept {
  detail::error_access::set_origin(e, extras_ ? std::string_view(extras_->name) : "", task);
  record(std::move(e), policy_ == on_error::cancel);
}

void group::record(error e, bool stop_too) noexcept {
  // The first to claim the slot fills it. Publish before the cancellation: a task that reacts to
  // the cancellation by failing must not take the slot from what caused it.
  if ((state_.load(std::memory_order_relaxed) & claimed) == 0 &&
      (state_.fetch_or(claimed, std::memory_order_relaxed) & claimed) == 0) {
    first_ = std::move(e);
    // Release: pairs with the acquire in outcome().
    state_.fetch_or(published, std::memory_order_release);
  }
  if (stop_too) {
    stop();
  }
}

void group::stop() noexcept {
  // seq_cst: with the store of tie::bound in bind(). Either that sees that the group is stopped, or
  // the cancellation here comes after the context got its parent.
  if ((state_.fetch_or(stopped, std::memory_order_seq_cst) & stopped) != 0) {
    return;
  }
  // Our own word comes first: tasks that start from now on see it without oneTBB's walk over all
  // contexts of the process, which only what runs already needs.
  if (tie_.load(std::memory_order_acquire) != tie::gone) {
    engine_.context.cancel_group_execution();
  }
  if (queue* q = queue_.load(std::memory_order_acquire)) {
    close(*q);
  }
  tokens::fire();
}

void group::cancel() noexcept { cancel(error(errc::canceled)); }

void group::cancel(error cause) noexcept {
  visit guest(*this, detail::this_thread());
  if (!cause) {
    cause = errc::canceled;
  }
  detail::error_access::set_origin(cause, extras_ ? std::string_view(extras_->name) : "", {});
  record(std::move(cause), true);
}

void group::skip(std::size_t n) noexcept {
  skipped_.fetch_add(n, std::memory_order_relaxed);
  if (!is_stopped()) {
    // oneTBB dropped it: something above was cancelled, or the context itself.
    record(errc::canceled, true);
  }
}

bool group::is_canceled_itself() const noexcept {
  return is_stopped() || (tie_.load(std::memory_order_acquire) == tie::bound &&
                          const_cast<tbb::task_group_context&>(engine_.context)
                              .is_group_execution_cancelled());
}

bool group::made_in_lives() const noexcept {
  return made_task_ != 0 && made_in_->task.load(std::memory_order_acquire) == made_task_;
}

bool group::is_canceled_from_above() const noexcept {
  if (made_under_ == nullptr || !made_in_lives()) {
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

bool group::is_joined() const noexcept {
  if (maker_spawned_.load(std::memory_order_relaxed) ||
      spawns_begun_.load(std::memory_order_acquire) !=
          spawns_joined_.load(std::memory_order_relaxed)) {
    return false;
  }
  queue* q = queue_.load(std::memory_order_acquire);
  if (q == nullptr) {
    return true;
  }
  lock_type lock(q->lock);
  return q->is_idle();
}

error group::outcome() const noexcept {
  std::uint32_t state = state_.load(std::memory_order_acquire);
  if (state == 0) {
    return {};
  }
  while ((state & published) == 0) {
    std::this_thread::yield();  // whoever claimed the slot is about to fill it
    state = state_.load(std::memory_order_acquire);
  }
  error e = first_;
  detail::error_access::set_skipped(e, skipped_.load(std::memory_order_relaxed));
  return e;
}

std::stop_token group::get_stop_token() const {
  if (token_link* link = token_.load(std::memory_order_acquire)) {
    std::scoped_lock guard(tokens::lock);  // reset() replaces the source
    return link->source.get_token();
  }
  thread_state& self = detail::this_thread();
  auto& me = const_cast<group&>(*this);
  visit guest(*this, self);
  auto fresh = std::make_unique<token_link>();
  fresh->owner = &me;
  std::stop_token token;
  {
    lock_type once(cold_);
    token_link* link = token_.load(std::memory_order_relaxed);
    if (link == nullptr) {
      link = fresh.release();
      std::scoped_lock guard(tokens::lock);
      link->next = tokens::first;
      if (link->next != nullptr) {
        link->next->previous = link;
      }
      tokens::first = link;
      tokens::count.fetch_add(1, std::memory_order_seq_cst);
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
  if (is_canceled_itself() || is_canceled_from_above()) {
    if (!is_stopped()) {
      me.record(errc::canceled, true);
    }
    tokens::fire();
  }
  return token;
}

error check() noexcept {
  tbb::task_group_context* here = tbb::task::current_context();
  if (here == nullptr) {
    return {};
  }
  if (here->is_group_execution_cancelled()) {
    return errc::canceled;
  }
  detail::frame const& top = *detail::this_thread().top;
  group* g = top.owner.load(std::memory_order_relaxed);
  if (g != nullptr && here == top.context.load(std::memory_order_relaxed) && g->is_canceling()) {
    return errc::canceled;
  }
  return {};
}

// --- what a group was made in ----------------------------------------------------------------------

bool group::is_inside(thread_state const& self) const noexcept {
  detail::frame const* f = self.top;
  if (f == &self.base || (made_task_ != 0 && f->task.load(std::memory_order_relaxed) == made_task_)) {
    return false;  // outside of all tasks; or in the very task that made the group
  }
  // Everything on this thread's stack, and what made that: none of it ends before the caller does.
  for (; f != &self.base; f = f->below) {
    for (group const* g = f->owner.load(std::memory_order_relaxed); g != nullptr;) {
      if (g == this) {
        return true;
      }
      g = g->made_in_lives() ? g->made_in_->owner.load(std::memory_order_relaxed) : nullptr;
    }
  }
  return false;
}

void group::enter() const noexcept {
  while ((visitors_.fetch_add(1, std::memory_order_acquire) & closing) != 0) {
    visitors_.fetch_sub(1, std::memory_order_relaxed);
    std::this_thread::yield();
  }
}

void group::leave() const noexcept { visitors_.fetch_sub(1, std::memory_order_release); }

void group::drop_tether(thread_state& self) noexcept {
  detail::tether* t = tether_.load(std::memory_order_acquire);
  if (t == nullptr) {
    return;
  }
  if (&self == maker_ && made_in_lives()) {
    if (made_in_->tethers == t) {
      made_in_->tethers = t->next;
      t->next = std::exchange(self.tethers, t);
    } else {
      t->of.store(nullptr, std::memory_order_relaxed);
    }
    return;
  }
  group* me = this;
  if (!t->of.compare_exchange_strong(me, nullptr, std::memory_order_acq_rel)) {
    // The task is ending right now, and is cutting this very tether.
    while (tether_.load(std::memory_order_acquire) != nullptr) {
      std::this_thread::yield();
    }
  }
}

void detail::cut_tethers(thread_state& self, frame& f) noexcept {
  while (tether* t = f.tethers) {
    f.tethers = t->next;
    if (group* g = t->of.exchange(nullptr, std::memory_order_acq_rel)) {
      g->unlink();
      g->tether_.store(nullptr, std::memory_order_release);  // the last access to the group
    }
    t->next = std::exchange(self.tethers, t);
  }
}

void group::unlink() noexcept {
  std::uint32_t nobody = 0;
  if (tie_.load(std::memory_order_acquire) != tie::bound ||
      !visitors_.compare_exchange_strong(nobody, closing, std::memory_order_acquire)) {
    return;
  }
  if (is_joined()) {
    auto destroy = [this]() noexcept {
      std::destroy_at(&engine_);
      spawned_.store(false, std::memory_order_relaxed);
      tie_.store(tie::gone, std::memory_order_release);
    };
    if (token_.load(std::memory_order_acquire) != nullptr) {
      std::scoped_lock guard(tokens::lock);  // who looks for cancelled groups reads the engine
      destroy();
    } else {
      destroy();
    }
  }
  visitors_.fetch_sub(closing, std::memory_order_release);
}

void group::rebuild() noexcept {
  lock_type once(cold_);
  if (tie_.load(std::memory_order_relaxed) == tie::gone) {
    std::construct_at(&engine_, tbb::task_group_context::bound);
    tie_.store(tie::none, std::memory_order_release);
  }
}

void group::bind(thread_state& self, tbb::task_group_context* here) noexcept {
  lock_type once(cold_);
  if (tie_.load(std::memory_order_relaxed) == tie::bound) {
    return;
  }
  auto bind_here = [this]() noexcept { run_in(engine_.context, []() noexcept {}); };
  bool const at_home = &self == maker_ && here != nullptr && here == made_under_ &&
                       self.top->task.load(std::memory_order_relaxed) == made_task_;
  bool bound = false;
  if (at_home) {
    bind_here();
    bound = true;
  } else if (made_in_lives()) {
    // Somebody else uses it first: go to where it was made.
    bound = run_in(*made_in_->context.load(std::memory_order_relaxed), bind_here);
  }
  if (!bound) {
    // What it was made in is over, or cancelled, or unknown to us: no parent. An arena's own
    // context is none.
    default_arena().execute(bind_here);
  }
  tie_.store(tie::bound, std::memory_order_seq_cst);
  if ((state_.load(std::memory_order_seq_cst) & stopped) != 0) {
    engine_.context.cancel_group_execution();
  }
}

group::path group::route(thread_state& self) {
  detail::frame const& top = *self.top;
  tie const l = tie_.load(std::memory_order_acquire);
  bool in_task = top.owner.load(std::memory_order_relaxed) != nullptr;
  tbb::task_group_context* here = nullptr;
  if (!in_task || l != tie::bound) {
    here = tbb::task::current_context();
    in_task = in_task || here != nullptr;
  }
  // In a limited group's arena, only what was made there is spawned: the arena has no threads but
  // those that come through that group, so another group's task could stay there for ever.
  bool const direct = !counted_ && in_task && top.pool == made_pool_;
  if (l != tie::bound) {
    prepare_engine(self, here, direct);
  }
  if (direct) {
    return path::spawn;
  }
  need_queue(self);
  return path::queue;
}

// Sees to it that the engine is there, and has the parent it should have, or gets it from what the
// caller is about to do: the first thing that oneTBB runs in a context binds it to what runs there.
void group::prepare_engine(thread_state& self, tbb::task_group_context* here,
                           bool runs_at_once) noexcept {
  if (tie_.load(std::memory_order_acquire) == tie::gone) {
    rebuild();
  }
  bool const at_home = &self == maker_ && here == made_under_ &&
                       self.top->task.load(std::memory_order_relaxed) == made_task_;
  if (!runs_at_once || !at_home) {
    bind(self, here);
  }
}

void group::spawned_first() noexcept {
  if (tie_.load(std::memory_order_relaxed) != tie::bound) {
    tie_.store(tie::bound, std::memory_order_release);
    // A cancellation that came before this was overwritten by the parent's state. (One that comes
    // unseen right now is no loss: a task that starts later finds the group stopped.)
    if (is_stopped()) {
      engine_.context.cancel_group_execution();
    }
  }
}

tbb::task_group_context& group::context() noexcept {
  thread_state& self = detail::this_thread();
  visit guest(*this, self);
  if (tie_.load(std::memory_order_acquire) != tie::bound) {
    rebuild();
    bind(self, tbb::task::current_context());
  }
  return engine_.context;
}

// --- the queue -------------------------------------------------------------------------------------

queue& group::need_queue(thread_state& self) {
  if (queue* q = queue_.load(std::memory_order_acquire)) {
    return *q;
  }
  lock_type once(cold_);
  if (queue* q = queue_.load(std::memory_order_relaxed)) {
    return *q;
  }
  queue& q = detail::take_queue(*this);
  int const threads =
      std::max(1, extras_ && extras_->arena != nullptr ? extras_->arena->max_concurrency()
                                                       : tbb::this_task_arena::max_concurrency());
  if (counted_) {
    extras& x = *extras_;
    if (x.limit != unlimited) {
      q.slots = x.limit;
      if (x.arena == nullptr) {
        // All slots are reserved, so the arena asks oneTBB for no threads of its own: those come as
        // runners, from where the group was first used, and only with a slot of the limit in hand.
        // (An arena that has workers runs two tasks at once for a limit of 1, and prints a warning
        // for a limit above the machine.) Beyond this size it makes no difference but memory.
        q.slots = std::min(x.limit, std::max(64, 4 * threads));
        x.slots.emplace(q.slots, static_cast<unsigned>(q.slots));
        x.pool = q.life();
        pool_ = &x.pool;
      }
    } else if (x.queue != npos) {
      q.slots = threads;
    }
    if (x.queue != npos) {
      auto const held = static_cast<std::size_t>(x.limit != unlimited ? x.limit : q.slots);
      q.room = x.queue > npos - 1 - held ? npos : x.queue + held;
    }
    if (x.arena == nullptr) {
      if (self.top->pool.of == nullptr) {
        x.home.emplace(tbb::task_arena::attach{});
      } else {
        x.home.emplace();
      }
      x.home->initialize();
    }
  }
  q.runners = std::min(q.slots, threads);
  q.closed = is_stopped();
  queue_.store(&q, std::memory_order_release);
  return q;
}

struct group::ticket {
  queue_life life;

  void operator()() const noexcept { use_ticket(life); }
};

namespace {

/// The ticket that was spawned last from a slot of an arena. If it is still there when the next is
/// wanted from the same place, and its own group is gone, then it is sent to the next group: a
/// thread that makes one short-lived group after the other does not fill its deque with tickets
/// that nobody came to take.
struct spawned_ticket {
  tbb::spin_mutex lock;
  bool pending = false;
  queue_life life;
};

// One for each place that can run tasks, which is what oneTBB calls "suspend-aware": thread, arena
// and slot.
using spawned_tickets =
    tbb::enumerable_thread_specific<spawned_ticket, tbb::cache_aligned_allocator<spawned_ticket>,
                                    tbb::ets_suspend_aware>;

spawned_tickets& tickets_of_places() {
  static auto& all = *new spawned_tickets;
  return all;
}

tbb::task_group& ticket_tasks(thread_state& self) {
  if (self.tickets == nullptr) {
    self.tickets = &(new ticket_engine)->tasks;
  }
  return *self.tickets;
}

}  // namespace

void group::launch_ticket(queue& q) noexcept {
  thread_state& self = detail::this_thread();
  ticket t{q.life()};
  try {
    if (extras_ && extras_->arena != nullptr) {
      extras_->arena->enqueue(t);
      return;
    }
    if (made_pool_.of != nullptr) {
      // Made inside a limited group: its threads are that group's threads. The ticket waits in that
      // group's queue for one of its slots.
      queue& outer = *made_pool_.of;
      detail::node* n = detail::take_node(self);
      std::construct_at(reinterpret_cast<ticket*>(n->storage), t);
      n->consume = &consume_ticket;
      lock_type lock(outer.lock);
      if (outer.serial.load(std::memory_order_relaxed) == made_pool_.serial && !outer.closed &&
          !outer.is_idle()) {
        outer.push(n);
        bool const call = outer.wants_ticket();
        outer.ticket = outer.ticket || call;
        detail::wake_list awake;
        if (outer.may_start()) {
          outer.wake_one(awake, false);
        }
        group* const above = outer.owner;
        lock.release();
        if (call) {
          above->launch_ticket(outer);
        }
        return;
      }
      lock.release();
      detail::put_node(self, n);
    }
    if (extras_ && extras_->home) {
      extras_->home->enqueue(t);
    } else if (self.top->pool.of != nullptr) {
      default_arena().enqueue(t);
    } else {
      spawned_ticket& last = tickets_of_places().local();
      lock_type hold(last.lock);
      if (last.pending) {
        queue_life const other = last.life;
        if (other.of->serial.load(std::memory_order_acquire) != other.serial) {
          last.life = t.life;
          return;
        }
        hold.release();
        ticket_tasks(self).run(t);
      } else {
        last.life = t.life;
        last.pending = true;
        hold.release();
        ticket_tasks(self).run([&last]() noexcept {
          lock_type mine(last.lock);
          last.pending = false;
          queue_life const life = last.life;
          mine.release();
          use_ticket(life);
        });
      }
    }
  } catch (...) {
    // No memory for it. Nothing is lost: the task is in the queue, where the next ticket or whoever
    // waits for the group finds it.
    lock_type lock(q.lock);
    q.ticket = false;
  }
}

void group::consume_ticket(detail::node& n, group* runner) noexcept {
  ticket const t = *std::launder(reinterpret_cast<ticket*>(n.storage));
  if (runner != nullptr) {
    // What the ticket's group runs here is inside the runner, as the task that made it is.
    thread_state& self = detail::this_thread();
    detail::task_scope inside(self, *runner, runner->engine_.context,
                              runner->pool_ != nullptr ? *runner->pool_ : self.top->pool);
    use_ticket(t.life);
    return;
  }
  lock_type lock(t.life.of->lock);
  if (t.life.of->serial.load(std::memory_order_relaxed) == t.life.serial) {
    t.life.of->ticket = false;
  }
}

void group::use_ticket(queue_life life) noexcept {
  queue& q = *life.of;
  if (q.serial.load(std::memory_order_acquire) != life.serial) {
    return;  // the group is gone; do not disturb the next one
  }
  lock_type lock(q.lock);
  if (q.serial.load(std::memory_order_relaxed) != life.serial) {
    return;  // the group is gone
  }
  q.ticket = false;
  if (!q.may_start()) {
    return;
  }
  ++q.running;  // from here on the group cannot end
  group& g = *q.owner;
  lock.release();
  g.run_session(q, helper::runner);
}

// Takes tasks from the queue in this thread. The caller has counted itself in `running`.
void group::run_session(queue& q, helper who) noexcept {
  bool const until_room = who == helper::submitter;
  for (;;) {
    bool entered = false;
    auto work = [&]() noexcept {
      entered = true;
      drain(q, until_room);
    };
    if (!counted_) {
      if (who == helper::waiter) {
        engine_wait(&work);  // cheaper, and it has to wait for what the tasks spawn anyway
      } else {
        run_in(engine_.context, work);
      }
    } else {
      auto enter = [&]() noexcept {
        run_in(engine_.context, [&]() noexcept {
          if (extras_->isolated) {
            tbb::this_task_arena::isolate(work);
          } else {
            work();
          }
        });
      };
      if (extras_->slots) {
        extras_->slots->execute(enter);
      } else {
        enter();
      }
    }
    if (!entered) {
      if (is_canceled_itself()) {
        record(errc::canceled, true);  // which empties the queue
      } else {
        std::this_thread::yield();  // oneTBB has no memory: try again
      }
    }
    detail::wake_list awake;
    lock_type lock(q.lock);
    bool const enough = until_room && q.unfinished < q.room;
    if (q.has_work() && !enough) {
      continue;
    }
    --q.running;
    bool const call = q.wants_ticket();  // only where the caller is in run(): so the group stays
    q.ticket = q.ticket || call;
    if (q.is_idle()) {
      q.wake_all(awake);
    } else if (q.may_start()) {
      q.wake_one(awake, false);
    }
    lock.release();
    if (call) {
      launch_ticket(q);
    }
    return;
  }
}

void group::drain(queue& q, bool until_room) noexcept {
  lock_type lock(q.lock);
  for (;;) {
    if (until_room && q.unfinished < q.room) {
      return;
    }
    detail::node* n = q.pop();
    if (n == nullptr) {
      if (until_room || q.closed || q.joiners.load(std::memory_order_relaxed) != 0) {
        return;
      }
      lock.release();
      for (int i = 0; i != linger_rounds && !q.has_work() &&
                      q.joiners.load(std::memory_order_relaxed) == 0;
           ++i) {
        pause();
      }
      lock.acquire(q.lock);
      if (!q.has_work()) {
        return;
      }
      continue;
    }
    bool const call = q.wants_ticket();
    q.ticket = q.ticket || call;
    lock.release();
    if (call) {
      launch_ticket(q);
    }
    bool const counts = n->consume != &consume_ticket;
    if (!is_stopped() && engine_.context.is_group_execution_cancelled()) {
      record(errc::canceled, true);
    }
    n->consume(*n, this);
    detail::wake_list awake;
    lock.acquire(q.lock);
    q.give_back(n);
    if (counts) {
      --q.unfinished;
      if (q.sleepers != nullptr && q.unfinished < q.room) {
        q.wake_one(awake, true);
      }
    }
    if (!awake.empty()) {
      lock.release();
      awake.now();
      lock.acquire(q.lock);
    }
  }
}

// Runs a task on the slot that the caller, a task of this group, holds already.
void group::run_inline(detail::node* n) noexcept {
  if (!run_in(engine_.context, [&]() noexcept { n->consume(*n, this); })) {
    if (engine_.context.is_group_execution_cancelled()) {
      record(errc::canceled, true);
    }
    n->consume(*n, this);
  }
}

void group::submit(thread_state& self, detail::node* n) noexcept {
  queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  if (q.unfinished >= q.room && !q.closed && !make_room(self, q, lock, n)) {
    return;
  }
  if (!q.closed) {
    ++q.unfinished;
  }
  append(self, q, lock, n);
}

bool group::reserve(thread_state& self) {
  if (tie_.load(std::memory_order_acquire) != tie::bound ||
      queue_.load(std::memory_order_acquire) == nullptr) {
    (void)route(self);
  }
  queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  if (q.closed || q.unfinished >= q.room) {
    return false;
  }
  ++q.unfinished;
  return true;
}

void group::unreserve() noexcept {
  queue& q = *queue_.load(std::memory_order_acquire);
  detail::wake_list awake;
  lock_type lock(q.lock);
  --q.unfinished;
  q.wake_one(awake, true);
  if (q.is_idle()) {
    q.wake_all(awake);
  }
  lock.release();
}

void group::submit_reserved(thread_state& self, detail::node* n) noexcept {
  queue& q = *queue_.load(std::memory_order_acquire);
  lock_type lock(q.lock);
  if (q.closed) {
    --q.unfinished;
  }
  append(self, q, lock, n);
}

// Puts a task that is counted in `unfinished` into the queue, and has somebody come for it.
void group::append(thread_state& self, queue& q, lock_type& lock, detail::node* n) noexcept {
  detail::wake_list awake;
  if (q.closed) {
    lock.release();
    n->consume(*n, nullptr);
    detail::put_node(self, n);
    skip(1);
    return;
  }
  q.push(n);
  ++q.pushed;
  bool const call = q.wants_ticket();
  q.ticket = q.ticket || call;
  if (q.sleepers != nullptr && q.running < q.slots) {
    q.wake_one(awake, false);
  }
  if (self.nodes == nullptr) {
    self.nodes = std::exchange(q.spare, nullptr);
    self.node_count = std::exchange(q.spare_count, 0);
  }
  lock.release();
  if (call) {
    launch_ticket(q);
  }
}

// Returns, with the lock, when there is room or the queue is closed; or false, without it, when it
// has run the task itself.
bool group::make_room(thread_state& self, queue& q, lock_type& lock, detail::node* n) noexcept {
  bool const inside = is_inside(self);
  while (q.unfinished >= q.room && !q.closed) {
    if (inside) {
      detail::node* oldest = q.pop();
      lock.release();
      run_inline(oldest != nullptr ? oldest : n);
      if (oldest == nullptr) {
        detail::put_node(self, n);
        return false;
      }
      detail::wake_list awake;
      lock.acquire(q.lock);
      if (oldest->consume != &consume_ticket) {
        --q.unfinished;
      }
      q.give_back(oldest);
    } else if (q.may_start()) {
      ++q.running;
      lock.release();
      run_session(q, helper::submitter);
      lock.acquire(q.lock);
    } else {
      lock.release();
      detail::sleeper s(!(extras_ && extras_->isolated), true);
      lock.acquire(q.lock);
      if (q.unfinished >= q.room && !q.closed && !q.may_start()) {
        q.enlist(s);
        lock.release();
        s.sleep();
        lock.acquire(q.lock);
        q.delist(s);
      }
    }
  }
  if (q.closed && q.sleepers != nullptr) {
    detail::wake_list awake;
    q.wake_all(awake);
    lock.release();
    awake.now();
    lock.acquire(q.lock);
  }
  return true;
}

void group::close(queue& q) noexcept {
  detail::node* rest = nullptr;
  {
    lock_type lock(q.lock);
    q.closed = true;
    rest = q.head.exchange(nullptr, std::memory_order_relaxed);
  }
  std::size_t n = 0;
  for (detail::node* w = rest; w != nullptr; w = w->next) {
    n += w->consume != &consume_ticket ? 1U : 0U;
    w->consume(*w, nullptr);
  }
  skipped_.fetch_add(n, std::memory_order_relaxed);
  detail::wake_list awake;
  lock_type lock(q.lock);
  q.unfinished -= n;
  for (detail::node* w = rest; w != nullptr;) {
    q.give_back(std::exchange(w, w->next));
  }
  q.wake_all(awake);
  lock.release();
}

// --- waiting -----------------------------------------------------------------------------------------

// A thread in wait(). The thread that made the group, which is the usual one, says so with plain
// stores; the others count themselves.
class group::waiting {
 public:
  waiting(group& g, thread_state& self) noexcept : g_(g), is_maker_(&self == g.maker_) {
    if (is_maker_) {
      g_.maker_waits_.store(g_.maker_waits_.load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
    } else {
      g_.enter();
    }
  }
  waiting(waiting const&) = delete;
  waiting& operator=(waiting const&) = delete;
  // The last access to the group: whoever destroys it waits for this.
  ~waiting() {
    if (!is_maker_) {
      g_.leave();
      return;
    }
    std::uint32_t const others = g_.maker_waits_.load(std::memory_order_relaxed) - 1;
    if (others == 0 && g_.unlinks_at_wait_) {
      g_.unlink();
    }
    g_.maker_waits_.store(others, std::memory_order_release);
  }

 private:
  group& g_;
  bool is_maker_;
};

error group::wait() {
  thread_state& self = detail::this_thread();
  if (is_inside(self)) {
    return errc::would_deadlock;
  }
  waiting here(*this, self);
  join(self);
  return outcome();
}

error group::run_here_and_wait(thread_state& self, void (*call)(void*) noexcept, void* argument) {
  waiting here(*this, self);
  if (tie_.load(std::memory_order_acquire) != tie::bound) {
    prepare_engine(self, tbb::task::current_context(), true);
  }
  bool ran = false;
  auto body = [&]() noexcept {
    ran = true;
    spawned_first();
    call(argument);
  };
  engine_wait(&body);
  if (!ran) {
    spawned_first();
    skip(1);
  }
  join(self);
  return outcome();
}

template <class Body>
void group::engine_wait(Body const* body) noexcept {
  tbb::task_group_status status = tbb::canceled;
  try {
    status = body != nullptr ? engine_.tasks.run_and_wait(*body) : engine_.tasks.wait();
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

void group::join(thread_state& self) noexcept {
  for (;;) {
    // Done before begun: equal numbers mean that no spawn is under way.
    std::uint32_t const done = spawns_done_.load(std::memory_order_acquire);
    std::uint32_t const begun = spawns_begun_.load(std::memory_order_acquire);
    queue* q = queue_.load(std::memory_order_acquire);
    std::uint64_t const pushed = q != nullptr ? drain_and_sleep(*q) : 0;
    if (!spawned_.load(std::memory_order_acquire)) {
      break;
    }
    engine_wait<void()>(nullptr);
    if (begun == done) {
      spawns_joined_.store(begun, std::memory_order_relaxed);
    }
    queue* const then = queue_.load(std::memory_order_acquire);
    if (then == nullptr) {
      break;
    }
    lock_type lock(then->lock);
    if (then == q && then->pushed == pushed) {
      break;  // when oneTBB's tasks were done, ours were, too
    }
  }
  if (&self == maker_) {
    maker_spawned_.store(false, std::memory_order_relaxed);
  }
  if (!is_stopped() && (is_canceled_itself() || is_canceled_from_above())) {
    record(errc::canceled, true);
  }
}

std::uint64_t group::drain_and_sleep(queue& q) noexcept {
  q.joiners.fetch_add(1, std::memory_order_relaxed);
  detail::wake_list awake;
  lock_type lock(q.lock);
  for (;;) {
    if (q.may_start()) {
      ++q.running;
      lock.release();
      run_session(q, helper::waiter);
      lock.acquire(q.lock);
    } else if (q.is_idle()) {
      break;
    } else {
      lock.release();
      detail::sleeper s(!(extras_ && extras_->isolated), false);
      lock.acquire(q.lock);
      if (!q.may_start() && !q.is_idle()) {
        q.enlist(s);
        lock.release();
        s.sleep();
        lock.acquire(q.lock);
        q.delist(s);
      }
    }
  }
  q.wake_all(awake);
  std::uint64_t const pushed = q.pushed;
  q.joiners.fetch_sub(1, std::memory_order_relaxed);
  lock.release();
  return pushed;
}

}  // namespace errgroup
