// SPDX-License-Identifier: Apache-2.0
#include "group_parts.hpp"
#include "insist.hpp"
#include "place_line.hpp"
#include "place_loops.hpp"
#include "queue_pool.hpp"
#include "worker.hpp"
#include <errgroup/detail/thread_state.hpp>
#include <errgroup/limiter.hpp>

#include <algorithm>  // min
#include <atomic>     // atomic, memory_order
#include <cstddef>    // size_t
#include <cstdint>    // int64_t
#include <memory>     // make_unique, unique_ptr
#include <mutex>      // mutex, scoped_lock
#include <optional>   // optional
#include <stdexcept>  // invalid_argument
#include <string>     // string, to_string
#include <utility>    // move

// A limiter: the line for its places (place_line.hpp, place_loops.hpp), and a hidden group, its
// *host*. The host has no tasks. It lends its arena, its home arena and its requests: threads come
// to the host's queue as to the queue of any limited group, and find a call for the line there. The
// frames of the tasks name the host's queue as their pool. So a group that is made inside such a
// task finds the host, as it would find a limited group.

namespace errgroup::inline v1::detail {

namespace {

int as_limit(std::int64_t capacity) noexcept {
  return static_cast<int>(std::min<std::int64_t>(capacity, task_queue::many - 1));
}

void check_capacity(std::int64_t capacity, char const* where) {
  if (capacity >= 1) {
    return;
  }
  std::string text = where;
  text += std::to_string(capacity);
  text += ": a limiter without places could never let a task run; give it 1 or more";
  throw std::invalid_argument(text);
}

}  // namespace

// The host. It belongs to no task, and no observer is told of it.
group_core::group_core(shared_places& places, int limit) : group_core(false) {
  state.fetch_or(counted, std::memory_order_relaxed);
  if (task_queue* q = queue_.exchange(nullptr, std::memory_order_relaxed)) {
    put_queue(*origin_.maker, *q);
  }
  extras_ = new extras({.limit = limit, .name = "limiter", .detached = true});
  extras_->shared = &places;
  note_event();
  attach_to_task();
}

class group_core::limiter_core final : public shared_places {
 public:
  explicit limiter_core(std::int64_t capacity)
      : line_(capacity), host_(*this, as_limit(capacity)) {}
  limiter_core(limiter_core const&) = delete;
  limiter_core& operator=(limiter_core const&) = delete;
  virtual ~limiter_core() {
    if (users_.load(std::memory_order_acquire) != 0) {
      die("a limiter was destroyed while a group uses it; destroy the groups first");
    }
    if (host_.queue_.load(std::memory_order_acquire) != nullptr) {
      host_.join();  // threads that have run the last tasks may still be about to leave
    }
  }

  [[nodiscard]] place_line const& line() const noexcept { return line_; }

  void resize(std::int64_t capacity) {
    std::scoped_lock const one(opening_);
    if (capacity > line_.capacity()) {
      host_.set_limit(as_limit(capacity));
    }
    if (host_.queue_.load(std::memory_order_acquire) == nullptr) {
      line_.resize(capacity);
      return;
    }
    lock_type lock;
    lock_line(line_, lock, *this);
    line_.resize(capacity);
    tell_line(line_, lock, nullptr, *this);
  }

  // --- shared_places ---

  void begin(group_core& g, int limit) override {
    bool const is_limited = limit != unlimited;
    auto a = std::make_unique<place_asker>(is_limited, is_limited ? limit : task_queue::many);
    a->is_isolated = g.is_isolated();
    g.extras_->asker = a.release();
    users_.fetch_add(1, std::memory_order_relaxed);
  }
  void end(group_core& g) noexcept override {
    std::unique_ptr<place_asker> const a(g.extras_->asker);
    if (a->queue != nullptr) {
      wake_list awake;
      lock_type const lock(line_.host().lock);
      line_.leave(*a);
      line_.grant(awake);
    }
    users_.fetch_sub(1, std::memory_order_release);
  }
  void open(group_core& g, thread_state& self, task_queue& q) override {
    {
      std::scoped_lock const one(opening_);
      if (host_.queue_.load(std::memory_order_acquire) == nullptr) {
        line_.open(host_.queue(self), &take_call);
      }
    }
    slots& own = g.extras_->places;
    q.limits.slots = 0;  // no thread takes a task without the line
    if (own.is_bounded()) {
      place_asker const& a = *g.extras_->asker;
      q.limits.room = own.room_beside(
          static_cast<std::size_t>(a.is_limited ? a.limit : as_limit(line_.capacity())));
    }
    g.extras_->asker->queue = &q;
    g.pool_ = host_.pool_;
  }

  void check(std::int64_t weight) const override {
    if (weight >= 1 && weight <= line_.capacity()) {
      return;
    }
    std::string text = "errgroup::task_options::weight is ";
    text += std::to_string(weight);
    text += weight < 1 ? ": a task takes a place at least; give it 1 or more"
                       : ", and the limiter has " + std::to_string(line_.capacity()) +
                             " places: the task could never start; give it less, or resize the "
                             "limiter";
    throw std::invalid_argument(text);
  }
  bool reserve(std::int64_t weight) noexcept override {
    lock_type const lock(line_.host().lock);
    return line_.reserve(weight);
  }
  void unreserve(std::int64_t weight) noexcept override {
    wake_list awake;
    lock_type const lock(line_.host().lock);
    line_.unreserve(weight);
    line_.grant(awake);
  }
  void ask(group_core& g, std::int64_t weight, bool is_reserved) noexcept override {
    detail::ask(line_, *g.extras_->asker, weight, is_reserved, *this);
  }
  void settle(group_core& g) noexcept override { detail::settle(line_, *g.extras_->asker, *this); }
  void set_limit(group_core& g, int limit) noexcept override {
    place_asker& a = *g.extras_->asker;
    {
      wake_list awake;
      lock_type const lock(line_.host().lock);
      lock_type const held(a.queue->lock);
      a.limit = limit;
      slots& own = g.extras_->places;
      own.set_limit(limit);
      if (own.is_bounded()) {
        a.queue->limits.room = own.room_beside(static_cast<std::size_t>(limit));
      }
      a.queue->sleepers.wake_all(awake);  // submitters that wait for room or for a slot
    }
    settle(g);
  }
  bool wait_for(worker& me, group_core& g, goal const& what) override {
    member owner(me, g);
    return wait_in_line(line_, *g.extras_->asker, what, owner, *this);
  }
  void ask_request(queue_life const& life) noexcept override {
    lock_type lock;
    lock_line(line_, lock, *this);
    line_.ask_request(life);
    tell_line(line_, lock, nullptr, *this);
  }
  bool wait_for_places(worker& me, group_core& g, std::int64_t weight, goal const& end) override {
    member owner(me, g);
    return detail::wait_for_places(line_, *g.extras_->asker, weight, end, owner, *this);
  }

  [[nodiscard]] place_use use() const noexcept override {
    return {line_.in_use(), line_.capacity()};
  }

  // --- place_loops.hpp ---

  void send_request() noexcept { host_.send_request(line_.host()); }
  void answer(queue_life const& request) noexcept {
    thread_state& self = this_worker();
    task_scope inside(self, host_, &host_.engine_.context, *host_.pool_, nullptr,
                      task_frame::no_task);
    group_core::answer(request);
  }
  template <class F>
  void with(place_asker const& a, F const& f) noexcept {
    member owner(worker(*a.queue->current.owner),
                 static_cast<group_core&>(*a.queue->current.owner));
    f(owner);
  }
  template <class F>
  void enter(F const& f) noexcept {
    auto run = [&]() noexcept { run_in(host_.engine_.context, [&]() noexcept { hold_while(f); }); };
    host_.extras_->places.enter(run);
  }
  template <class F>
  static void pass(bool is_other, F const& f) noexcept {
    std::optional<passing_by> guest;
    if (is_other) {
      guest.emplace(this_worker(), false);
    }
    f();
  }
  [[nodiscard]] bool is_holding() const noexcept {
    thread_state const& self = this_worker();
    held_places const* h = self.places;
    while (h != nullptr && h->of != this) {
      h = h->below;
    }
    // A thread that waits in the arena for a group that was made there works for a task that holds
    // places.
    return h != nullptr || self.top->pool == *host_.pool_ || is_below_holder(self);
  }
  // True if this thread runs a task that was started inside a task that holds places, on a thread
  // without places: in a group with `options::blocking` or `options::arena`. The task that holds
  // the places may wait for that group, so the places would never become free.
  [[nodiscard]] bool is_below_holder(thread_state const& self) const noexcept {
    for (task_frame const* f = self.top; f != &self.base; f = f->below) {
      // As in `is_inside`: the groups above end after the caller. The frame's own group does not
      // count: the frame may be that of a task that is skipped, which has no places.
      cancel_node const* n = f->owner.load(std::memory_order_relaxed);
      while (n != nullptr && (n = n->above()) != nullptr) {
        extras const* const e = static_cast<group_core const*>(n)->extras_;
        if (e != nullptr && e->shared == this) {
          return true;
        }
      }
    }
    return false;
  }
  [[nodiscard]] static turn_block* make_turns() noexcept {
    turn_block* made = nullptr;
    insist([&] { made = new turn_block; });
    return made;
  }
  [[nodiscard]] static node* make_node() noexcept {
    node* made = nullptr;
    insist([&] { made = new node; });
    return made;
  }

 private:
  /// The group's side of the loops.
  class member : public group_core::worker {
   public:
    member(worker const& me, group_core& g) noexcept : worker(me), group_(g) {}

    template <class Work>
    void enter_context(Work& work) noexcept {
      run_in(group_.engine_.context, [&]() noexcept { group_.in_isolation(work); });
    }
    [[nodiscard]] bool takes_only_its_own() const noexcept { return group_.is_isolated(); }

   private:
    group_core& group_;
  };

  // While `f` runs, this thread holds places of the limiter.
  template <class F>
  void hold_while(F const& f) noexcept {
    thread_state& self = this_worker();
    held_places const mine{this, self.places};
    self.places = &mine;
    f();
    self.places = mine.below;
  }

  // A thread has come to the host's queue, and is in the arena of the host.
  static void take_call(node& /*n*/, queue_owner* runner) noexcept {
    if (auto* const host = static_cast<group_core*>(runner)) {
      auto& self = static_cast<limiter_core&>(*host->extras_->shared);
      self.hold_while([&]() noexcept { serve(self.line_, self); });
    }
  }

  place_line line_;
  std::mutex opening_;
  std::atomic<std::size_t> users_{0};
  group_core host_;
};

}  // namespace errgroup::inline v1::detail

namespace errgroup::inline v1 {

namespace {

detail::place_line const& line_of(detail::group_core::shared_places const& places) noexcept {
  return static_cast<detail::group_core::limiter_core const&>(places).line();
}

}  // namespace

limiter::limiter(std::int64_t capacity) {
  detail::check_capacity(capacity, "errgroup::limiter was given a capacity of ");
  places_ = new detail::group_core::limiter_core(capacity);
}

limiter::~limiter() { delete static_cast<detail::group_core::limiter_core*>(places_); }

void limiter::resize(std::int64_t capacity) {
  detail::check_capacity(capacity, "errgroup::limiter::resize was given a capacity of ");
  static_cast<detail::group_core::limiter_core*>(places_)->resize(capacity);
}

std::int64_t limiter::capacity() const noexcept { return line_of(*places_).capacity(); }
std::int64_t limiter::in_use() const noexcept { return line_of(*places_).in_use(); }
std::int64_t limiter::waiting() const noexcept { return line_of(*places_).waiting(); }

}  // namespace errgroup::inline v1
