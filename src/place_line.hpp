// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_PLACE_LINE_HPP
#define ERRGROUP_SRC_PLACE_LINE_HPP

#include "place_turns.hpp"
#include "task_queue.hpp"
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <atomic>   // memory_order
#include <cstdint>  // int64_t, uint32_t
#include <utility>  // exchange

// The places of a limiter, and the line in which groups wait for places. How threads take places,
// run tasks and give the places back: place_loops.hpp.
//
// A task of a group with a limiter waits twice. It waits in the queue of its group, like any task.
// And its group stands in the line of the limiter, with one *turn* for each task that waits. The
// turn at the head of the line is the next that is served: its group's next task starts as soon as
// that task's places are free. So places are given in the order in which tasks asked for places,
// over all groups, and the order within a group remains the group's own.

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// The places of a limiter, and the groups that wait for places.
///
/// The *host* is a hidden group, whose arena the tasks run in, and whose requests bring threads.
/// The threads in its arena are counted in `running` of the host's queue. A thread that comes for
/// the line takes a *call* from that queue: a node that is no task. At most one call waits there.
///
/// Invariants:
/// - `in_use <= capacity`, except after the capacity was lowered, and while a task that weighs more
///   than the capacity runs alone.
/// - A group has a turn for each of its tasks that waits, and that its own limit has a slot for:
///   `turns == wanted()`. A submitter puts the task into the queue first, and asks afterwards. A
///   task that is taken without a turn leaves one turn too many. A thread removes the oldest turn
///   of the group when it settles, or when that turn is at the head of the line.
/// - `asked` is the sum of the weights of all turns, and of the reservations of `try_run`.
/// - If the head of the line may start, a call waits, or a thread is about to look at the line.
/// - If the first request may have its places, a thread that holds the lock is about to `grant`.
///
/// Lock order: the lock of the host's queue guards the line and the askers; then the lock of the
/// queue of a group, of one group at a time. `running` of a group's queue changes under both.
///
/// No deadlock: a turn needs nothing but places. A task that waits for a slot of its own group's
/// limit has no turn, so it holds up no other task. A thread that holds places never waits for
/// more: it runs the tasks of nested groups on the places that it has (`borrow`).
class place_line {
 public:
  explicit place_line(std::int64_t capacity) noexcept : capacity_(capacity) {}
  place_line(place_line const&) = delete;
  place_line& operator=(place_line const&) = delete;
  ~place_line() {
    while (blocks_ != nullptr) {
      delete std::exchange(blocks_, blocks_->next);
    }
  }

  /// `on_call` is what a thread does with a call.
  void open(task_queue& host, void (*on_call)(node&, queue_owner*) noexcept) noexcept {
    call_ = on_call;
    host_ = &host;
  }
  [[nodiscard]] task_queue& host() const noexcept { return *host_; }

  // Threads: any, without the lock.

  [[nodiscard]] std::int64_t capacity() const noexcept {
    return capacity_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t in_use() const noexcept {
    return in_use_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t waiting() const noexcept {
    return waiting_.load(std::memory_order_relaxed);
  }

  // Under the lock of the host's queue.

  /// True if there is memory for what the other functions may do. Otherwise the caller releases the
  /// lock, allocates, and adds the spares under the lock.
  [[nodiscard]] bool has_spares() const noexcept {
    return spare_ != nullptr && !host_->tasks.spare.is_empty();
  }
  void add_spares(turn_block* b, node* n) noexcept {
    b->next = std::exchange(blocks_, b);
    for (turn& t : b->turns) {
      add_spare(t);
    }
    host_->tasks.spare.push(n);
  }

  void resize(std::int64_t capacity) noexcept {
    capacity_.store(capacity, std::memory_order_relaxed);
  }

  /// A task was put into the group's queue. There are spares.
  void ask(place_asker& a, std::int64_t weight) noexcept {
    if (a.turns < a.wanted()) {
      push(a, weight);
    }
  }
  /// A group that was made in a task that holds places sends its request. There are spares. If a
  /// request at the end of the line belongs to a group that no longer exists, the new request
  /// replaces it: otherwise a task that makes one short-lived group after the other, while all
  /// places are taken, would fill the line.
  void ask_request(queue_life const& request) noexcept {
    int looks = 8;
    for (turn* t = last_; t != nullptr && t->of == nullptr && looks != 0; t = t->before, --looks) {
      if (!t->request.of->serves(t->request.serial)) {
        t->request = request;
        return;
      }
    }
    turn& t = append();
    t.request = request;
    t.weight = 1;
    asked_.add(1);
  }

  /// Reserves places for a task that will ask for them later. Returns false if the task would have
  /// to wait: if the places are not free, or waiting tasks or an earlier request need them.
  [[nodiscard]] bool reserve(std::int64_t weight) noexcept {
    if (requests_ != nullptr || !is_free(weight)) {
      return false;
    }
    asked_.add(weight);
    return true;
  }
  void unreserve(std::int64_t weight) noexcept { asked_.subtract(weight); }

  /// As `reserve`, but `r` waits behind the requests that came earlier. The caller calls
  /// `end_request` before `r` is destroyed.
  void request(place_request& r) noexcept {
    if (reserve(r.weight)) {
      r.is_granted.store(true, std::memory_order_relaxed);
      return;
    }
    place_request** p = &requests_;
    while (*p != nullptr) {
      p = &(*p)->next;
    }
    *p = &r;
  }
  /// The thread of `r` stops waiting. Returns true if the places are reserved. If not, another
  /// request may be the first now, so the caller calls `grant`.
  [[nodiscard]] bool end_request(place_request& r) noexcept {
    place_request** p = &requests_;
    while (*p != nullptr && *p != &r) {
      p = &(*p)->next;
    }
    if (*p != nullptr) {
      *p = r.next;
    }
    return r.is_granted.load(std::memory_order_relaxed);
  }
  /// Reserves the places of the first requests, as far as places are free and no task waits for
  /// them. The release of the lock of a group's queue is the last access to a granted request.
  void grant(wake_list& awake) noexcept {
    while (requests_ != nullptr && is_free(requests_->weight)) {
      place_request& r = *requests_;
      spin_mutex::scoped_lock const held(r.of->queue->lock);
      requests_ = r.next;
      asked_.add(r.weight);
      r.is_granted.store(true, std::memory_order_release);  // with the acquire in `is_reached`
      // Another thread may wait for places in the same queue.
      while (r.of->queue->sleepers.wake_one(awake, sleeper::places)) {
      }
    }
  }

  /// The tasks that wait, or the slots of the group's own limit, have changed. Returns false if
  /// there is no spare turn: the caller adds one, and calls again. `is_locked`: the caller holds
  /// the lock of the group's queue.
  [[nodiscard]] bool settle(place_asker& a, bool is_locked) noexcept {
    while (a.turns > a.wanted()) {
      drop(*a.oldest);
    }
    // Without a limit of its own, the submitter of each task asks for that task.
    while (a.is_limited && a.turns < a.wanted()) {
      if (spare_ == nullptr) {
        return false;
      }
      push(a, weight_of(a, a.turns, is_locked));
    }
    return true;
  }

  /// Takes the task or request at the head of the line, if its places are free. `only`: takes only
  /// a task of this group. `is_counted`: the thread is in a session of that group, and counted in
  /// `running` of its queue; otherwise the task is taken out of turn if no places are in use.
  [[nodiscard]] bool take(started& s, place_asker* only = nullptr,
                          bool is_counted = false) noexcept {
    while (turn* const t = is_counted ? head() : next_for(only)) {
      if (is_counted && t->of != only) {
        return false;
      }
      if (t->of == nullptr) {
        if (!fits(1)) {
          return false;
        }
        s = {.request = t->request};
        drop(*t);
        hold(s, 1);
        return true;
      }
      place_asker& a = *t->of;
      spin_mutex::scoped_lock held(a.queue->lock);
      node const* const next = a.queue->peek(0);
      std::int64_t const weight = next != nullptr ? next->weight() : 0;
      if (next != nullptr && !fits(weight)) {
        return false;
      }
      if (next != nullptr) {
        s = {.of = &a, .task = a.queue->pop()};
        if (!is_counted) {
          count(*a.queue, 1);
        }
      }
      held.release();
      drop(*t);
      if (next != nullptr) {
        hold(s, weight);
        return true;
      }
    }
    return false;
  }
  /// For a thread that holds places: takes a task of the group, whatever it weighs.
  [[nodiscard]] bool borrow(started& s, place_asker& a, bool is_counted = false) noexcept {
    spin_mutex::scoped_lock const held(a.queue->lock);
    if (a.queue->waiting() == 0 ||
        (!is_counted && a.queue->running.load(std::memory_order_relaxed) >= a.limit)) {
      return false;
    }
    s = {.of = &a, .task = a.queue->pop(), .is_borrowed = true};
    if (!is_counted) {
      count(*a.queue, 1);
    }
    if (a.turns > a.wanted()) {
      drop(*a.oldest);
    }
    return true;
  }
  /// True if the thread should look for another task of the same group before it leaves the group.
  /// (A group with a limit of its own gets its next turn only when the thread has left the slot.)
  /// Called without the lock.
  [[nodiscard]] bool may_go_on(started const& s) const noexcept {
    return !s.of->is_limited && (s.is_borrowed || next_.load(std::memory_order_relaxed) == s.of);
  }
  /// A task or a request is finished.
  void give_back(std::int64_t places) noexcept {
    in_use_.store(in_use() - places, std::memory_order_relaxed);
  }
  static void count(task_queue& q, int threads) noexcept {
    q.running.store(q.running.load(std::memory_order_relaxed) + threads, std::memory_order_relaxed);
  }

  /// True if the head of the line may start.
  [[nodiscard]] bool is_ready() noexcept {
    if (!fits(1)) {
      return false;  // without a look at the head, whose memory another thread is using
    }
    turn const* const t = head();
    return t != nullptr && fits(t->of != nullptr ? weight_of(*t->of, 0, false) : 1);
  }
  /// If the head of the line may start, calls a thread. Returns true if the caller has to send the
  /// request of the host.
  [[nodiscard]] bool call() noexcept {
    if (!is_ready()) {
      return false;
    }
    if (host_->tasks.size() == 0) {
      node* const n = host_->tasks.spare.pop();
      n->index = node::request;
      n->consume = call_;
      host_->tasks.push(n);
    }
    return host_->take_request();
  }
  /// If the head of the line may start, wakes a waiter that may take it. The waiter sleeps in the
  /// queue of the group for which it waits.
  void tell(wake_list& awake) noexcept {
    for (place_asker** p = &helpers_; *p != nullptr && is_ready();) {
      place_asker& a = **p;
      if (a.is_isolated && first_->of != &a && in_use() != 0) {
        p = &a.next_helper;
        continue;
      }
      {
        spin_mutex::scoped_lock const held(a.queue->lock);
        if (a.queue->sleepers.wake_one(awake, sleeper::work) ||
            a.queue->sleepers.wake_one(awake, sleeper::room)) {
          return;
        }
      }
      *p = a.next_helper;
      a.is_helper = false;
    }
  }
  /// If a task of the group waits, wakes a waiter that holds places.
  void tell_holder(place_asker& a, wake_list& awake) noexcept {
    if (a.has_holder && a.queue->waiting() != 0) {
      spin_mutex::scoped_lock const held(a.queue->lock);
      a.has_holder = a.queue->sleepers.wake_one(awake, sleeper::own);
    }
  }
  /// A waiter of this group is about to sleep, under the lock of the group's queue.
  void add_helper(place_asker& a) noexcept {
    if (!std::exchange(a.is_helper, true)) {
      a.next_helper = std::exchange(helpers_, &a);
    }
  }
  /// The group ends.
  void leave(place_asker& a) noexcept {
    while (a.turns != 0) {
      drop(*a.oldest);
    }
    if (a.is_helper) {
      forget(a);
    }
  }

 private:
  // One task with more weight than the capacity runs alone.
  [[nodiscard]] bool fits(std::int64_t weight) const noexcept {
    return weight <= capacity() - in_use() || in_use() == 0;
  }
  // True if a task of this weight would start at once: no other task waits for places.
  [[nodiscard]] bool is_free(std::int64_t weight) const noexcept {
    // After `resize`, `capacity() - in_use()` may be negative.
    std::int64_t const left = capacity() - in_use();
    return (weight <= left && asked_.is_at_most(left - weight)) ||
           (in_use() == 0 && asked_.is_at_most(0));
  }
  void hold(started& s, std::int64_t places) noexcept {
    s.places = places;
    in_use_.store(in_use() + places, std::memory_order_relaxed);
    s.call = call();
  }

  // The weight of the task that waits as the i-th of the group.
  [[nodiscard]] static std::int64_t weight_of(place_asker const& a, std::uint32_t i,
                                              bool is_locked) noexcept {
    if (!a.has_weights) {
      return 1;
    }
    spin_mutex::scoped_lock held;
    if (!is_locked) {
      held.acquire(a.queue->lock);
    }
    node const* const n = a.queue->peek(i);
    return n != nullptr ? n->weight() : 1;
  }

  // The head of the line, without the turns that are too many.
  [[nodiscard]] turn* head() noexcept {
    while (first_ != nullptr && is_stale(*first_)) {
      drop(*first_);
    }
    return first_;
  }
  [[nodiscard]] static bool is_stale(turn const& t) noexcept {
    return t.of != nullptr ? t.of->turns > t.of->wanted() : !t.request.of->serves(t.request.serial);
  }
  [[nodiscard]] turn* next_for(place_asker* only) noexcept {
    turn* const t = head();
    if (only == nullptr || t == nullptr || t->of == only) {
      return t;
    }
    if (in_use() != 0) {
      return nullptr;
    }
    while (only->oldest != nullptr && is_stale(*only->oldest)) {
      drop(*only->oldest);
    }
    return only->oldest;
  }

  void push(place_asker& a, std::int64_t weight) noexcept {
    ++a.turns;
    asked_.add(weight);
    waiting_.store(waiting() + 1, std::memory_order_relaxed);
    if (last_ != nullptr && last_->of == &a && last_->weight == weight) {
      ++last_->tasks;
      return;
    }
    turn& t = append();
    t.of = &a;
    t.weight = weight;
    t.tasks = 1;
    note_next();
    (a.latest != nullptr ? a.latest->next : a.oldest) = &t;
    a.latest = &t;
  }
  // Drops one task of a turn, which is the oldest of its group; or a request.
  void drop(turn& t) noexcept {
    asked_.subtract(t.weight);
    if (place_asker* const a = t.of) {
      --a->turns;
      waiting_.store(waiting() - 1, std::memory_order_relaxed);
      if (--t.tasks != 0) {
        return;
      }
      a->oldest = t.next;
      if (a->oldest == nullptr) {
        a->latest = nullptr;
      }
    }
    remove(t);
  }
  turn& append() noexcept {
    turn& t = *std::exchange(spare_, spare_->next);
    t = {.before = last_};
    (last_ != nullptr ? last_->behind : first_) = &t;
    last_ = &t;
    return t;
  }
  void add_spare(turn& t) noexcept { t.next = std::exchange(spare_, &t); }
  void note_next() noexcept {
    next_.store(first_ != nullptr ? first_->of : nullptr, std::memory_order_relaxed);
  }
  void remove(turn& t) noexcept {
    (t.before != nullptr ? t.before->behind : first_) = t.behind;
    (t.behind != nullptr ? t.behind->before : last_) = t.before;
    note_next();
    add_spare(t);
  }
  void forget(place_asker& a) noexcept {
    place_asker** p = &helpers_;
    while (*p != &a) {
      p = &(*p)->next_helper;
    }
    *p = a.next_helper;
    a.is_helper = false;
  }

  atomic<std::int64_t> capacity_;
  atomic<std::int64_t> in_use_{0};
  atomic<std::int64_t> waiting_{0};  // the number of tasks in the line
  weight_sum asked_;                 // the weights of the turns and reservations
  task_queue* host_ = nullptr;
  void (*call_)(node&, queue_owner*) noexcept = nullptr;
  turn* first_ = nullptr;
  turn* last_ = nullptr;
  turn* spare_ = nullptr;
  turn_block* blocks_ = nullptr;        // the memory of all turns
  atomic<place_asker*> next_{nullptr};  // the group at the head, as seen without the lock
  place_asker* helpers_ = nullptr;      // groups with a waiter that sleeps, and would run tasks
  place_request* requests_ = nullptr;   // of threads that wait, the oldest first
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_PLACE_LINE_HPP
