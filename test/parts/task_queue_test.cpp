// SPDX-License-Identifier: Apache-2.0

// The parts task_queue, runner, helpers and waiting in every order of their accesses, without a
// group and without oneTBB's threads.
//
// `world` stands for the group. Its functions submit tasks in the same steps as the engine does;
// each is named after the engine's function. Tasks are taken, and threads wait, by the parts.

#define ERRGROUP_EXPLORED "support/explorer.hpp"

// The part itself, compiled into the namespace of the explored parts.
#include "../../src/task_queue.cpp"  // NOLINT(bugprone-suspicious-include)

#include "../../src/helpers.hpp"
#include "../../src/runner.hpp"
#include "../../src/task_queue.hpp"
#include "../../src/waiting.hpp"
#include "support/explorer.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>

#include <gtest/gtest.h>

#include <algorithm>   // all_of, equal, find, is_sorted
#include <array>       // array
#include <atomic>      // memory_order
#include <chrono>      // seconds
#include <cstddef>     // size_t
#include <cstdint>     // uint64_t
#include <deque>       // deque
#include <functional>  // function
#include <memory>      // construct_at, make_shared
#include <new>         // launder
#include <optional>    // optional
#include <random>      // mt19937
#include <set>         // set
#include <utility>     // exchange, pair
#include <vector>      // vector

namespace {

using errgroup::detail::batch;
using errgroup::detail::batch_list;
using errgroup::detail::goal;
using errgroup::detail::node;
using errgroup::detail::page;
using errgroup::detail::queue_guest;
using errgroup::detail::queue_life;
using errgroup::detail::queue_owner;
using errgroup::detail::revoke_request;
using errgroup::detail::session;
using errgroup::detail::sleep_mode;
using errgroup::detail::sleeper;
using errgroup::detail::task_list;
using errgroup::detail::task_queue;
using errgroup::detail::timed_task;
using errgroup::detail::wake_list;
using explored::check;
using explored::explore;
using explored::limits;
using explored::scenario;
using lock_type = errgroup::detail::spin_mutex::scoped_lock;

constexpr int most_tasks = 12;
constexpr int page_size = static_cast<int>(page::capacity);

class world;

/// A thread that takes the tasks of a world, or waits for them: as `group_core::worker`.
class worker {
 public:
  /// A sleeper without an alarm.
  class nap {
   public:
    nap(worker& w, task_queue& q, goal const& g, sleep_mode const& mode);
    [[nodiscard]] sleep_mode const& mode() const { return mode_; }
    void sleep(lock_type& lock) {
      q_.sleepers.add(sleeper_);
      lock.release();
      sleeper_.sleep();
      lock.acquire(q_.lock);
    }

   private:
    sleep_mode mode_;
    sleeper sleeper_;
    task_queue& q_;
  };

  explicit worker(queue_owner& o, bool leaves_tasks = false);

  // runner.hpp
  template <class Work>
  void enter(session const& s, Work& work);
  [[nodiscard]] static bool ends_in_context(session const& s) {
    return s.of_kind() == session::waiter;
  }
  static void begin_task() {}
  void run(node& n);
  [[nodiscard]] bool refuse(node& n);
  [[nodiscard]] bool has_news() const;
  [[nodiscard]] bool is_over_limit(task_queue& q);
  void run_due();
  void send_request(task_queue& q);

  // helpers.hpp
  void answer(task_queue& q, session& s) { run_session(q, s, *this); }

  // waiting.hpp
  [[nodiscard]] bool is_reached(task_queue& q, goal const& g) const;
  [[nodiscard]] bool takes_part(task_queue const& q) const {
    return !leaves_tasks_ || q.is_stranded();
  }
  [[nodiscard]] static bool waits_in_line() { return false; }
  [[nodiscard]] static bool wait_in_line(goal const& /*g*/) { return false; }
  [[nodiscard]] bool cancellation_is_due() const;
  void note_cancellation();
  void drop_timed(task_queue& q);
  [[nodiscard]] static session session_for(goal const& g) {
    if (g.leaves_tasks) {
      return session(g);
    }
    return g.what == goal::room ? session(session::submitter, g) : session(session::waiter);
  }
  void serve(goal const& /*g*/, task_queue& q, session& s) { run_session(q, s, *this); }
  [[nodiscard]] sleep_mode mode(task_queue const& q, goal const& g, bool takes_part) const;

 private:
  world& w_;
  bool leaves_tasks_;
  bool has_dropped_ = false;
};

/// A queue, its tasks, and what its threads do. Tasks are numbered.
class world : public queue_owner {
 public:
  world() {
    q.emplace();
    q->tasks.open(fresh_node());
    q->begin_life(*this);
  }

  // --- what tasks do ---

  std::array<std::function<void()>, most_tasks> bodies;
  std::array<int, most_tasks> ran{};
  std::array<int, most_tasks> dropped{};
  std::vector<int> order;  // in which tasks were begun
  int finished = 0;
  int now = 0;  // tasks that run

  /// Has each of the tasks 0 … n - 1 run or dropped once? Is no node lost?
  void check_all(int n) {
    for (int i = 0; i != n; ++i) {
      auto const t = static_cast<std::size_t>(i);
      check(ran[t] + dropped[t] != 0, "a task was lost");
      check(ran[t] + dropped[t] == 1, "a task has run twice");
    }
    if (q) {
      check_nodes();
    }
  }
  void check_all_ran(int n) {
    check_all(n);
    check(static_cast<int>(order.size()) == n, "a task was dropped");
  }

  // --- submission.cpp, deadline.cpp ---

  void submit(int id) {
    node* const n = make(id);
    lock_type lock(q->lock);
    while (q->is_full()) {
      lock.release();
      worker me(*this);
      (void)wait_for(*q, {.what = goal::room}, me);
      lock.acquire(q->lock);
    }
    ++q->unfinished;
    check(q->unfinished <= q->limits.room || q->closed, "more tasks than there is room for");
    number();
    append(lock, n);
  }
  bool reserve() {
    lock_type const lock(q->lock);
    if (q->closed || q->unfinished >= q->limits.room) {
      return false;
    }
    ++q->unfinished;
    return true;
  }
  /// The limit of `try_run`: a free slot, or room in a bounded queue.
  [[nodiscard]] bool has_slot() const {
    std::size_t const slots = static_cast<std::size_t>(q->limits.slots) + q->batches.finished();
    return q->unfinished < (q->limits.room < task_queue::unbounded - 1 ? q->limits.room : slots);
  }
  /// As `reserve_within` and `submit_reserved`. Returns false if the wait for room has ended first.
  bool offer(int id, goal const& g) {
    lock_type lock(q->lock);
    while (g.what == goal::room ? q->is_full() : !has_slot()) {
      if (g.what == goal::slot) {
        q->take_singly();
      }
      lock.release();
      worker me(*this, g.leaves_tasks);
      if (!wait_for(*q, g, me)) {
        return false;
      }
      lock.acquire(q->lock);
    }
    ++q->unfinished;
    lock.release();
    submit_reserved(id);
    return true;
  }
  /// As the callback of a stop token that ends a wait.
  void give_up() {
    done.store(true);
    notify();
  }
  void unreserve() {
    wake_list awake;
    lock_type const lock(q->lock);
    --q->unfinished;
    q->sleepers.wake_one(awake, sleeper::room);
    q->tell_sleepers(awake);
  }
  /// Submits a task; there is no memory for a request.
  void submit_without_request(int id) {
    node* const n = make(id);
    lock_type lock(q->lock);
    ++q->unfinished;
    number();
    q->tasks.push(n);
    announce(lock, false);
  }
  /// As `append_unusual`, of a task with a level.
  void submit_ranked(int id, int level) {
    node* const n = make(id, level);
    lock_type lock(q->lock);
    ++q->unfinished;
    number();
    if (q->closed) {
      append(lock, n);
      return;
    }
    q->due.push(n);
    announce(lock);
  }
  void submit_reserved(int id) {
    node* const n = make(id);
    lock_type lock(q->lock);
    number();
    append(lock, n);
  }
  void append(lock_type& lock, node* n) {
    if (q->closed) {
      lock.release();
      n->consume(*n, nullptr);
      put_node(n);
      wake_list awake;
      lock.acquire(q->lock);
      --q->unfinished;
      q->tell_sleepers(awake);
      lock.release();
      return;
    }
    if (q->tasks.is_page_full()) {
      q->tasks.add_page(fresh_node());
    }
    q->tasks.push(n);
    announce(lock);
  }
  /// As `queue_request`: a node that is no task, and is counted nowhere.
  void submit_request() {
    node* const n = fresh_node();
    n->index = node::request;
    n->consume = [](node& me, queue_owner* runner) noexcept {
      world& w = *task_of(me).of;
      check(!w.is_over, "a request was run after the end");
      w.requests_run += runner != nullptr ? 1 : 0;
    };
    std::construct_at(reinterpret_cast<task*>(n->storage + node::rank_size), task{this, 0});
    lock_type lock(q->lock);
    ++requests_made;
    append(lock, n);
  }
  void check_requests() const { check(requests_run == requests_made, "a request was not run"); }
  void announce(lock_type& lock, bool has_memory = true) {
    wake_list awake;
    bool const call = q->take_request();
    q->tell_sleepers(awake);
    queue_life const life = q->life();
    lock.release();
    if (call && has_memory) {
      send_request(life);
    } else if (call) {
      lock.acquire(q->lock);
      q->close_request();
      lock.release();
    }
  }
  void drop_waiting() {
    task_queue::contents rest;
    {
      lock_type const lock(q->lock);
      q->closed = true;
      rest = q->empty();
    }
    std::size_t n = 0;
    auto const skip_one = [&n](node& w) {
      n += w.is_task() ? 1U : 0U;
      w.consume(w, nullptr);
    };
    rest.tasks.for_each(skip_one);
    for (timed_task const& t : rest.due) {
      skip_one(*t.task);
    }
    for (node* w = rest.ranked; w != nullptr; w = w->get_rank().next) {
      skip_one(*w);
    }
    wake_list awake;
    lock_type const lock(q->lock);
    q->unfinished -= n;
    q->give_back(rest);
    q->sleepers.wake_all(awake);
  }
  /// As `defer`: a task that is not due yet.
  void defer() {
    lock_type const lock(q->lock);
    ++q->due.later;
    ++deferred_;
  }
  /// As `take_all` and the rest of `drop_timed`.
  [[nodiscard]] std::size_t take_deferred() { return std::exchange(deferred_, 0); }
  void drop_deferred(std::size_t n) {
    wake_list awake;
    lock_type const lock(q->lock);
    q->due.later -= n;
    if (q->is_idle()) {
      q->sleepers.wake_all(awake);
    }
  }
  /// As `dispatch`: it is due now.
  void dispatch(int id, int due) {
    node* const n = make(id);
    std::vector<timed_task> spare;
    lock_type lock;
    q->acquire_for_due(lock, spare);
    check(deferred_-- != 0, "a task becomes due that was dropped");
    --q->due.later;
    ++q->unfinished;
    number();
    q->due.push({errgroup::clock::time_point(std::chrono::seconds(due)), pushed(), n});
    due_.emplace(due, id);
    announce(lock);
  }

  // --- runner.hpp, waiting.hpp ---

  void run_session(session& s) {
    worker me(*this);
    errgroup::detail::run_session(*q, s, me);
  }
  void sleep(lock_type& lock, sleeper& s) {
    q->sleepers.add(s);
    lock.release();
    s.sleep();
    lock.acquire(q->lock);
  }
  /// Returns when all is over.
  void wait() {
    worker me(*this);
    check(wait_for(*q, {}, me), "the wait has ended too early");
  }
  /// The same, if no other thread submits tasks or waits meanwhile.
  void wait_alone() {
    is_joined = false;
    wait();
    check(is_joined || q->current.joined.load() == pushed(), "a task is not noted as waited for");
  }
  /// The same, of a thread that leaves the tasks to others, unless they are stranded.
  void wait_for_others() {
    worker me(*this, true);
    check(wait_for(*q, {.leaves_tasks = true}, me), "the wait has ended too early");
    check(spawned.load() == 0, "the wait has ended before the spawned tasks");
  }
  /// The same, with an end time that another thread may change.
  void wait_until_end_time() {
    worker me(*this, true);
    (void)wait_for(*q, end_time, me);
  }
  /// As `help_until`, of a thread that takes part.
  void help_until_done() {
    worker me(*this);
    check(wait_for(*q, {.what = goal::flag, .leaves_tasks = true, .is_set = &done}, me),
          "the wait has ended too early");
    check(done.load(), "the flag is not set");
  }
  void notify() {
    wake_list awake;
    lock_type lock(q->lock);
    q->sleepers.wake_all(awake);
    lock.release();
  }

  // --- helpers.hpp ---

  void send_request(queue_life const& life) {
    check(life.serial == serial_of_life, "a request for another life");
    check(unanswered() == 0, "two requests are open");
    sent_.push_back(life);
    requests_.fetch_add(1);
  }
  /// As `take_back_at_exit`: takes back the request, unless a thread has taken the request.
  void take_back_request() {
    if (unanswered() != 0) {
      revoke_request(std::exchange(sent_.back(), {}));
    }
  }
  /// The number of requests of this life that no thread has taken.
  [[nodiscard]] std::size_t unanswered() const {
    std::size_t n = 0;
    for (std::size_t i = static_cast<std::size_t>(answered_); i < sent_.size(); ++i) {
      n += sent_[i].serial == serial_of_life ? 1U : 0U;
    }
    return n;
  }
  [[nodiscard]] std::size_t requests() const { return sent_.size(); }
  void strand() {
    wake_list awake;
    lock_type lock(q->lock);
    q->strand_request(awake);
    lock.release();
  }
  /// One of oneTBB's workers: answers requests until `leave` is called.
  void work() {
    for (;;) {
      while (requests_.load() == answered_) {
        if (leaves_.load()) {
          return;
        }
        explored::yield();
      }
      queue_life const life = sent_[static_cast<std::size_t>(answered_++)];
      if (life.of != nullptr) {
        errgroup::detail::answer_request<worker>(life);
      }
    }
  }
  void leave() { leaves_.store(true); }

  // --- the lives of the queue ---

  /// The idle queue ends its life and begins another life.
  void begin_other_life() {
    q->end_life();
    ++serial_of_life;
    check(!q->closed && q->limits.slots == task_queue::many &&
              q->limits.room == task_queue::unbounded && q->waiting() == 0,
          "a group leaves something of its own behind");
    q->begin_life(*this);
    check(pushed() == 0 && q->current.joined.load() == 0, "tasks of another life are counted");
  }

  // --- the scenarios ---

  /// A runner that has come before the scenario begins.
  void begin_runner(session& s) {
    lock_type const lock(q->lock);
    s.begin(*q);
    s.call = false;
  }
  /// The same, if the runner answers the open request.
  void answer_with(session& s) {
    answered_ = static_cast<int>(sent_.size());
    lock_type const lock(q->lock);
    q->close_request();
    s.begin(*q);
  }
  /// The waiter destroys the queue: the explorer finds each access after that.
  void wait_and_destroy() {
    wait_alone();
    check(now == 0, "a task runs after the wait for it");
    q.reset();
  }

  std::optional<task_queue> q;
  std::uint64_t serial_of_life = 1;
  bool helps = true;       // threads sleep in oneTBB's loop
  bool one_taker = false;  // one thread runs all tasks
  bool is_over = false;    // a waiter has seen the end
  int requests_made = 0;
  int requests_run = 0;
  session first{session::runner};
  session second{session::runner};
  explored::atomic<bool> done{false};  // as a test needs it
  goal const until_done{.what = goal::flag, .leaves_tasks = true, .is_set = &done};
  session passer{until_done};
  goal const room_until_done{.what = goal::room, .is_set = &done};
  goal const slot_until_done{.what = goal::slot, .leaves_tasks = true, .is_set = &done};
  goal end_time{.leaves_tasks = true,
                .until = errgroup::clock::time_point::max() - std::chrono::seconds(1)};
  explored::atomic<int> spawned{0};  // tasks in oneTBB
  bool is_canceled = false;          // oneTBB has cancelled the context, which lets no task in
  bool is_noted = false;             // the group has noted the cancellation
  bool is_joined = false;            // a wait has ended outside of a session
  explored::atomic<bool> is_over_limit{false};
  explored::atomic<int> some{0};  // as a test needs it
  explored::atomic<sleeper*> alarm{nullptr};
  explored::atomic<task_queue*> made{nullptr};

 private:
  struct task {
    world* of;
    int id;
  };

  static task& task_of(node& n) {
    return *std::launder(reinterpret_cast<task*>(n.storage + node::rank_size));
  }
  static int id_of(node& n) { return task_of(n).id; }
  static void consume(node& n, queue_owner* runner) noexcept {
    task const t = task_of(n);
    if (runner != nullptr) {
      t.of->run(t.id);
    } else {
      ++t.of->dropped[static_cast<std::size_t>(t.id)];
    }
  }
  void run(int id) {
    auto const t = static_cast<std::size_t>(id);
    begin_in_order(id);
    ++ran[t];
    order.push_back(id);
    ++now;
    check(now <= q->limits.slots, "more tasks at once than there are slots");
    if (bodies[t]) {
      bodies[t]();
    }
    --now;
    ++finished;
    if (one_taker) {
      must_come_ = due_;
    }
  }
  // The tasks that were due at the end of the previous task come first, the earliest before the
  // others.
  void begin_in_order(int id) {
    for (auto const& [due, which] : due_) {
      if (which == id) {
        check(must_come_.empty() || due <= must_come_.begin()->first,
              "a task was taken before one that was due earlier");
        due_.erase({due, which});
        return;
      }
    }
    check(must_come_.empty(), "a task was taken before one that was due");
  }

  node* make(int id, int level = 0) {
    node* const n = fresh_node();
    n->consume = consume;
    n->index =
        static_cast<std::size_t>(id) + 1;  // no null pointer for a thief that reads behind a page
    if (level != 0) {
      n->index |= node::has_rank;
      n->keep_rank({1, {level}});
    }
    std::construct_at(reinterpret_cast<task*>(n->storage + node::rank_size), task{this, id});
    return n;
  }
  node* fresh_node() { return &nodes_[used_++]; }
  void put_node(node* n) { unused_.insert(n); }

  std::uint64_t pushed() { return q->pushed.load(std::memory_order_relaxed); }
  void number() { q->pushed.store(pushed() + 1, std::memory_order_relaxed); }

  void check_nodes() {
    check(q->due.later == 0, "a task was forgotten before it was due");
    check(q->unfinished == 0 && q->running.load() == 0 && q->waiting() == 0,
          "the counts are wrong at the end");
    check(q->sleepers.is_empty(), "a sleeper was left behind");
    check(q->batches.is_empty(), "a batch was left behind");
    std::set<void const*> all(unused_.begin(), unused_.end());
    std::size_t n = all.size();
    ++n;  // the page of the empty queue
    while (!q->tasks.spare.is_empty()) {
      all.insert(q->tasks.spare.pop());
      ++n;
    }
    check(all.size() + 1 == n, "a node is there twice");
    check(n == used_, "a node was lost");
  }

  std::array<node, 2 * most_tasks> nodes_{};
  std::size_t used_ = 0;
  std::set<node*> unused_;
  std::size_t deferred_ = 0;
  std::set<std::pair<int, int>> due_;  // when, and which task
  std::set<std::pair<int, int>> must_come_;
  std::vector<queue_life> sent_;
  explored::atomic<int> requests_{0};
  int answered_ = 0;
  explored::atomic<bool> leaves_{false};
};

worker::worker(queue_owner& o, bool leaves_tasks)
    : w_(static_cast<world&>(o)), leaves_tasks_(leaves_tasks) {}

template <class Work>
void worker::enter(session const& /*s*/, Work& work) {
  if (!w_.is_canceled) {
    work();
  }
}

bool worker::refuse(node& n) {
  if (!w_.is_canceled) {
    return false;
  }
  note_cancellation();
  n.consume(n, nullptr);
  return true;
}

bool worker::is_reached(task_queue& q, goal const& g) const {
  switch (g.what) {
    case goal::room:
      return !q.is_full();
    case goal::slot:
      return q.closed || w_.has_slot();
    case goal::flag:
      return g.has_ended();
    case goal::places:
    case goal::idle:
      break;
  }
  if (!q.is_idle() || (g.leaves_tasks && w_.spawned.load() != 0)) {
    return false;
  }
  w_.is_joined = true;
  return true;
}

bool worker::cancellation_is_due() const { return w_.is_canceled && !w_.is_noted; }

void worker::note_cancellation() {
  if (!std::exchange(w_.is_noted, true)) {
    w_.drop_waiting();
  }
}

void worker::drop_timed(task_queue& /*q*/) {
  check(!std::exchange(has_dropped_, true), "a waiter drops the tasks again and again");
  w_.drop_deferred(w_.take_deferred());
}

void worker::run(node& n) { n.consume(n, &w_); }

bool worker::has_news() const { return w_.q->due.size() != 0 || w_.is_over_limit.load(); }

bool worker::is_over_limit(task_queue& q) {
  lock_type const lock(q.lock);
  if (q.running.load() <= q.limits.slots) {
    w_.is_over_limit.store(false);
  }
  return w_.is_over_limit.load();
}

void worker::run_due() {
  wake_list awake;
  lock_type lock(w_.q->lock);
  bool const has_levels = w_.q->limits.slots != task_queue::many;
  while (node* const n = has_levels ? w_.q->pop_before_batch() : w_.q->due.pop()) {
    lock.release();
    run(*n);
    lock.acquire(w_.q->lock);
    session::finish_one(*w_.q, n, awake);
  }
  w_.q->tell_sleepers(awake);
  lock.release();
}

void worker::send_request(task_queue& q) { w_.send_request(q.life()); }

sleep_mode worker::mode(task_queue const& /*q*/, goal const& g, bool takes_part) const {
  if (g.what == goal::room) {
    return {w_.helps, sleeper::room, false};
  }
  if (g.what == goal::slot) {
    return {takes_part && w_.helps, takes_part ? sleeper::any : sleeper::room, false};
  }
  return {takes_part && w_.helps, takes_part ? sleeper::work : sleeper::nothing, false};
}

worker::nap::nap(worker& /*w*/, task_queue& q, goal const& /*g*/, sleep_mode const& mode)
    : mode_(mode), sleeper_(mode.helps, mode.wanted), q_(q) {}

/// Explores a scenario with a `world`. Each of `bodies` is a thread. Returns the number of runs.
template <class SetUp, class AtEnd, class... Bodies>
std::uint64_t explore_world(limits const& bounds, SetUp const& set_up, AtEnd const& at_end,
                            Bodies const&... bodies) {
  auto const found = explore(
      [&](scenario& s) {
        auto w = std::make_shared<world>();
        set_up(*w);
        (s.thread([w, &bodies] { bodies(*w); }), ...);
        s.at_end([w, &at_end] { at_end(*w); });
      },
      bounds);
  EXPECT_TRUE(found) << found.what << ": " << found.schedule;
  return found.runs;
}

/// A scenario of several threads.
template <class SetUp, class AtEnd, class... Bodies>
void expect_within(limits const& bounds, SetUp const& set_up, AtEnd const& at_end,
                   Bodies const&... bodies) {
  EXPECT_GT(explore_world(bounds, set_up, at_end, bodies...), 100U);
}

/// A scenario of one thread: its accesses have one order.
template <class SetUp, class AtEnd, class Body>
void expect_alone(SetUp const& set_up, AtEnd const& at_end, Body const& body) {
  EXPECT_EQ(explore_world({.preemptions = 0, .delays = 0}, set_up, at_end, body), 1U);
}

/// The same, in two ways: with more preemptions, and with a delayed store.
template <class SetUp, class AtEnd, class... Bodies>
void expect_in_each_order(SetUp const& set_up, AtEnd const& at_end, Bodies const&... bodies) {
  constexpr int more = sizeof...(bodies) == 2 ? 1 : 0;
  expect_within({.preemptions = 2 + more, .delays = 0}, set_up, at_end, bodies...);
  expect_within({.preemptions = 1 + more, .delays = 1}, set_up, at_end, bodies...);
}

void nothing(world& /*w*/) {}
void wait(world& w) { w.wait(); }
void wait_and_destroy(world& w) { w.wait_and_destroy(); }
void run_first(world& w) { w.run_session(w.first); }
void run_second(world& w) { w.run_session(w.second); }
void work(world& w) { w.work(); }

template <int N>
void all_ran(world& w) {
  w.check_all_ran(N);
}
template <int N>
void all_over(world& w) {
  w.check_all(N);
}

void submit_some(world& w, int n) {
  for (int i = 0; i != n; ++i) {
    w.submit(i);
  }
}

/// A point of the scenario inside a task.
void look(world& w) { (void)w.some.load(); }

void await_some(world& w, int n) {
  while (w.some.load() < n) {
    explored::yield();
  }
}

// --- push and take ---

TEST(TaskQueue, L5_tasks_of_one_thread_start_in_order_with_one_slot) {
  expect_within(
      {.preemptions = 2, .delays = 0}, [](world& w) { w.q->limits.slots = 1; },
      [](world& w) {
        w.check_all_ran(3);
        check(std::is_sorted(w.order.begin(), w.order.end()), "a task has overtaken another");
      },
      [](world& w) {
        for (int i = 0; i != 3; ++i) {
          w.bodies[static_cast<std::size_t>(i)] = [&w] { look(w); };
          w.submit(i);
        }
        w.wait();
        w.leave();
      },
      work);
}

TEST(TaskQueue, W1_no_task_is_lost_if_two_threads_submit_and_wait_at_the_end_of_a_page) {
  for (int const slots : {2, task_queue::many}) {
    expect_within(
        {.preemptions = 2, .delays = 0},
        [slots](world& w) {
          w.q->limits.slots = slots;
          submit_some(w, page_size - 1);
        },
        all_ran<page_size + 2>,
        [](world& w) {
          w.submit(page_size - 1);
          w.submit(page_size);
          w.wait();
        },
        [](world& w) {
          w.submit(page_size + 1);
          w.wait();
        });
  }
}

TEST(TaskQueue, W1_a_request_is_sent_for_each_task_that_no_thread_comes_to) {
  for (int const slots : {1, task_queue::many}) {
    expect_within(
        {.preemptions = 2, .delays = 0}, [slots](world& w) { w.q->limits.slots = slots; },
        all_ran<2>,
        [](world& w) {
          w.submit(0);
          w.submit(1);
          w.wait_for_others();
          w.leave();
        },
        work);
  }
}

TEST(TaskQueue, W1_a_request_is_sent_for_tasks_that_a_second_thread_submits) {
  expect_within(
      {.preemptions = 1, .delays = 0}, nothing, all_ran<3>,
      [](world& w) {
        w.submit(0);
        w.submit(1);
        await_some(w, 1);
        w.wait_for_others();
        w.leave();
      },
      [](world& w) {
        w.submit(2);
        w.some.store(1);
      },
      work);
}

// --- requests ---

TEST(TaskQueue, L3_a_request_is_sent_if_there_is_a_task_a_free_slot_and_no_request) {
  expect_alone([](world& w) { w.q->limits.slots = 2; }, all_ran<4>,
               [](world& w) {
                 w.submit(0);
                 check(w.requests() == 1, "no request was sent");
                 w.submit(1);
                 check(w.requests() == 1, "a second request was sent");
                 w.answer_with(w.first);
                 check(std::exchange(w.first.call, false),
                       "a thread leaves a task and sends no request");
                 w.answer_with(w.second);
                 check(!w.second.call, "a request is sent without a task");
                 w.submit(2);
                 check(w.requests() == 1, "a request was sent without a slot");
                 w.run_session(w.first);
                 w.run_session(w.second);
                 w.submit(3);
                 w.wait_alone();
               });
}

TEST(TaskQueue, L3_a_request_is_sent_before_the_task_that_may_be_long) {
  for (int const slots : {2, task_queue::many}) {
    expect_within(
        {.preemptions = 1, .delays = 0},
        [slots](world& w) {
          w.q->limits.slots = slots;
          w.bodies[0] = [&w] { await_some(w, 1); };
          w.bodies[1] = [&w] { w.some.store(1); };
        },
        all_ran<2>,
        [](world& w) {
          w.submit(0);
          w.submit(1);
          w.wait_for_others();
          w.leave();
        },
        work, work);
  }
}

TEST(TaskQueue, L3_a_request_for_which_there_was_no_memory_is_sent_by_the_next_thread) {
  expect_within(
      {.preemptions = 1, .delays = 0},
      [](world& w) {
        w.q->limits.slots = 2;
        w.submit(0);
        w.bodies[1] = [&w] { await_some(w, 1); };
        w.bodies[2] = [&w] { w.some.store(1); };
      },
      all_ran<3>,
      [](world& w) {
        w.submit_without_request(1);
        w.submit_without_request(2);
        lock_type lock(w.q->lock);
        bool const is_served = w.q->running.load() != 0 && w.q->waiting() == 2;
        lock.release();
        if (is_served) {
          w.wait_for_others();  // the runner takes the first task, and sends a request
        } else {
          w.wait();  // this thread takes the task, and sends a request
        }
        w.leave();
      },
      work, work);
}

TEST(TaskQueue, L3_a_request_is_sent_for_a_task_after_a_wait) {
  expect_within(
      {.preemptions = 2, .delays = 0}, nothing, all_ran<2>,
      [](world& w) {
        w.submit(0);
        w.wait_alone();
        w.submit(1);
        w.wait_for_others();
        w.leave();
      },
      work);
}

TEST(TaskQueue, L3_a_thread_that_leaves_work_sends_a_request) {
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        w.q->limits.slots = 1;
        w.bodies[0] = [&w] { w.done.store(true); };
        submit_some(w, 2);
        w.begin_runner(w.passer);
      },
      all_ran<2>, [](world& w) { w.run_session(w.passer); },
      [](world& w) {
        w.wait_for_others();
        w.leave();
      },
      work);
}

TEST(TaskQueue, L3_a_request_is_stranded_only_while_it_is_open) {
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        for (std::size_t i = 0; i != 2; ++i) {
          w.bodies[i] = [&w] { w.some.fetch_add(1); };
        }
      },
      all_ran<2>,
      [](world& w) {
        w.submit(0);
        w.strand();
        w.submit(1);
        await_some(w, 2);  // outside of a wait, which would take part
        w.wait_for_others();
        w.leave();
      },
      work);
}

TEST(TaskQueue, L3_a_request_is_sent_after_a_request_was_taken_back) {
  expect_within(
      {.preemptions = 2, .delays = 0}, [](world& w) { w.q->limits.slots = 1; }, all_ran<2>,
      [](world& w) {
        w.submit(0);
        w.take_back_request();
        w.submit(1);
        w.wait_for_others();
        w.leave();
      },
      work);
}

TEST(TaskQueue, L3_a_request_of_another_life_that_is_taken_back_leaves_the_open_request) {
  expect_within(
      {.preemptions = 2, .delays = 0}, nothing, all_ran<3>,
      [](world& w) {
        w.submit(0);
        queue_life const before = w.q->life();
        w.wait_alone();
        w.begin_other_life();
        w.submit(1);
        revoke_request(before);
        w.submit(2);
        w.wait_for_others();
        w.leave();
      },
      work);
}

TEST(TaskQueue, C1_a_request_that_was_not_sent_since_the_context_let_no_task_in_is_sent_later) {
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        w.is_canceled = true;
        submit_some(w, 2);
      },
      [](world& w) {
        w.check_all(3);
        check(w.ran[2] == 1, "a task was dropped after the reset");
      },
      [](world& w) {
        w.wait_alone();
        {  // reset
          w.is_canceled = w.is_noted = false;
          lock_type const lock(w.q->lock);
          w.q->closed = false;
        }
        w.submit(2);
        w.wait_for_others();
        w.leave();
      },
      work);
}

TEST(TaskQueue, W1_a_request_that_waits_in_the_queue_is_not_counted_as_a_task) {
  for (int const slots : {1, task_queue::many}) {
    expect_within(
        {.preemptions = 2, .delays = 0},
        [slots](world& w) {
          w.q->limits.slots = slots;
          w.submit(0);
          w.submit_request();
          w.begin_runner(w.first);
        },
        all_ran<1>, run_first,
        [](world& w) {
          w.wait_alone();
          w.check_requests();
        });
  }
}

TEST(TaskQueue, W1_a_request_that_waits_in_a_batch_is_not_counted_as_a_task) {
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        w.submit(0);
        w.submit_request();
        for (int i = 1; i != page_size; ++i) {
          w.submit(i);
        }
        w.begin_runner(w.first);
        check(w.first.has_batch(), "the page was not taken as a batch");
      },
      all_ran<page_size>, run_first,
      [](world& w) {
        w.wait_alone();
        w.check_requests();
      });
}

// --- pages ---

/// A list of tasks, and two threads that take batches, beside simple lists with the same tasks.
class checked_list {
 public:
  checked_list() { list_.open(fresh()); }

  void push() {
    node* const n = fresh();
    if (list_.is_page_full()) {
      list_.add_page(fresh());
    }
    list_.push(n);
    tasks_.push_back(n);
  }
  void pop() {
    if (!tasks_.empty()) {
      node* const n = list_.pop();
      expect_first(tasks_, n);
      list_.spare.push(n);
    }
  }
  void pop_batch(std::size_t which) {
    owner& o = owners_[which];
    if (!o.taken && list_.has_batch()) {
      list_.pop(o.taken, batches_);
      while (tasks_.size() > list_.size()) {
        o.tasks.push_back(tasks_.front());
        tasks_.pop_front();
      }
      check(!o.tasks.empty(), "a batch without a task");
    }
  }
  /// The owner of a batch takes a task, or gives the empty batch back.
  void take(std::size_t which) {
    owner& o = owners_[which];
    node* const n = o.taken.next();
    if (n != nullptr) {
      expect_first(o.tasks, n);
    } else if (o.taken) {
      check(o.tasks.empty(), "a task is left in a batch");
      batches_.remove(o.taken, list_.spare);
    }
  }
  void steal() {
    node* const n = batches_.steal();
    for (owner& o : owners_) {
      if (!o.tasks.empty() && (n == nullptr || n == o.tasks.front())) {
        expect_first(o.tasks, n);
        list_.spare.push(n);
        return;
      }
    }
    check(n == nullptr, "a task was stolen that is not the next of a batch");
  }
  void empty() {
    auto const all = list_.empty();
    all.for_each([this](node& n) { expect_first(tasks_, &n); });
    check(tasks_.empty(), "a task stays in a list that was emptied");
    list_.give_back(all);
  }

  void check_it() {
    check(list_.size() == tasks_.size(), "the number of tasks is wrong");
    auto const latest = list_.latest();
    check(latest.size() <= tasks_.size() && latest.empty() == tasks_.empty() &&
              std::equal(latest.rbegin(), latest.rend(), tasks_.rbegin()),
          "the tasks of the last page are not the last tasks");
    check(batches_.has_work() == (!owners_[0].tasks.empty() || !owners_[1].tasks.empty()),
          "the batches have work and do not tell it, or tell it and have none");
    check(batches_.is_empty() == (!owners_[0].taken && !owners_[1].taken), "a batch was forgotten");
  }
  void end() {
    empty();
    for (std::size_t which = 0; which != 2; ++which) {
      while (owners_[which].taken) {
        take(which);
      }
    }
    std::set<node*> all;
    std::size_t n = 1;  // the page of the empty list
    for (; !list_.spare.is_empty(); ++n) {
      all.insert(list_.spare.pop());
    }
    check(all.size() + 1 == n, "a node is there twice");
    check(n == nodes_.size(), "a node was lost");
  }

 private:
  struct owner {
    batch taken;
    std::deque<node*> tasks;
  };

  static void expect_first(std::deque<node*>& tasks, node const* n) {
    check(!tasks.empty() && n == tasks.front(), "a task is not the next");
    tasks.pop_front();
  }
  node* fresh() {
    if (!list_.spare.is_empty()) {
      return list_.spare.pop();
    }
    return &nodes_.emplace_back();
  }

  std::deque<node> nodes_;
  task_list list_;
  batch_list batches_;
  std::deque<node*> tasks_;
  std::array<owner, 2> owners_;
};

TEST(TaskQueue, L5_a_list_keeps_its_tasks_in_their_order_whatever_is_done_with_it) {
  auto const at_random = [](unsigned seed) {
    checked_list list;
    std::mt19937 random(seed);  // the same each time
    for (int i = 0; i != 1000; ++i) {
      std::size_t const which = random() % 2;
      auto const what = random() % 40;
      if (what < 16) {
        list.push();
      } else if (what < 24) {
        list.pop();
      } else if (what < 28) {
        list.pop_batch(which);
      } else if (what < 34) {
        list.take(which);
      } else if (what < 39) {
        list.steal();
      } else {
        list.empty();
      }
      list.check_it();
    }
    list.end();
  };
  auto const found = explore(
      [&](scenario& s) {
        s.thread([&] {
          for (unsigned seed = 0; seed != 10; ++seed) {
            at_random(seed);
          }
        });
      },
      {.preemptions = 0, .delays = 0});
  EXPECT_TRUE(found) << found.what;
}

// --- batches ---

/// The first runner has a batch of all tasks of the first page, and more tasks are in the queue.
void take_batch(world& w) {
  submit_some(w, page_size + 1);
  w.begin_runner(w.first);
  check(w.first.has_batch(), "the page was not taken as a batch");
  check(w.q->waiting() == 1, "not exactly one task is left");
}

/// The same, where one task of the page was taken alone.
void take_smaller_batch(world& w) {
  submit_some(w, page_size);
  w.begin_runner(w.second);
  w.submit(page_size);
  w.begin_runner(w.first);
  check(w.first.has_batch(), "the page was not taken as a batch");
  check(w.q->waiting() == 1, "not exactly one task is left");
}

TEST(TaskQueue, W1_a_batch_is_run_by_its_thread_and_by_another_that_steals) {
  expect_within({.preemptions = 3, .delays = 0}, take_batch, all_ran<page_size + 1>, run_first,
                wait);
  expect_within({.preemptions = 1, .delays = 1}, take_batch, all_ran<page_size + 1>, run_first,
                wait);
}

TEST(TaskQueue, W1_a_batch_is_run_by_its_thread_and_by_two_that_steal) {
  expect_within({.preemptions = 1, .delays = 1}, take_smaller_batch, all_ran<page_size + 1>,
                run_first, run_second, wait);
}

/// The first task of the batch waits for all other tasks.
void block_batch(world& w) {
  take_batch(w);
  w.bodies[0] = [&w] { await_some(w, page_size); };
  for (std::size_t i = 1; i != page_size + 1; ++i) {
    w.bodies[i] = [&w] { w.some.fetch_add(1); };
  }
}

TEST(TaskQueue, W1_what_a_thread_has_in_its_batch_strands_nobody) {
  expect_within({.preemptions = 2, .delays = 0}, block_batch, all_ran<page_size + 1>, run_first,
                wait);
  // The queue itself is empty when the waiter comes.
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        block_batch(w);
        w.done.store(true);
        w.begin_runner(w.passer);
        w.run_session(w.passer);  // takes one task
        check(w.q->waiting() == 0, "a task is left beside the batch");
      },
      all_ran<page_size + 1>, run_first, wait);
}

TEST(TaskQueue, L4_a_task_of_a_bounded_queue_is_finished_before_its_thread_takes_the_next) {
  expect_within(
      {.preemptions = 1, .delays = 0},
      [](world& w) {
        w.q->limits.slots = 1;
        w.q->limits.room = page_size + 1;
        w.bodies[1] = [&w] { await_some(w, 1); };
        submit_some(w, page_size + 1);
        w.begin_runner(w.first);
      },
      all_ran<page_size + 2>, run_first,
      [](world& w) {
        w.submit(page_size + 1);  // sleeps until the first task is finished
        w.some.store(1);
        w.wait();
      });
}

TEST(TaskQueue, L5_with_a_limit_the_tasks_of_a_batch_start_before_the_tasks_behind_it) {
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        w.q->limits.slots = 2;
        submit_some(w, 2 * page_size + 1);
        w.begin_runner(w.first);
        w.begin_runner(w.second);
        check(w.first.has_batch() && !w.second.has_batch(), "not exactly one batch");
      },
      [](world& w) {
        w.check_all_ran(2 * page_size + 1);
        // Two threads run tasks: a task may be overtaken by the task that is taken next.
        for (std::size_t i = 0; i != w.order.size(); ++i) {
          check(w.order[i] <= static_cast<int>(i) + 1, "a task has overtaken two others");
        }
      },
      run_first, run_second);
}

TEST(TaskQueue, C1_the_tasks_of_a_batch_that_the_context_does_not_let_in_are_dropped) {
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        take_batch(w);
        w.is_canceled = true;
      },
      [](world& w) {
        w.check_all(page_size + 1);
        check(w.order.empty(), "a task has run");
      },
      run_first, wait_and_destroy);
}

TEST(TaskQueue, L1_finished_in_batches_counts_no_task_that_is_unfinished) {
  expect_in_each_order(
      [](world& w) {
        take_batch(w);
        for (std::size_t i = 0; i != page_size + 1; ++i) {
          w.bodies[i] = [&w] { look(w); };
        }
      },
      all_ran<page_size + 1>, run_first,
      [](world& w) {
        for (int i = 0; i != 2; ++i) {
          lock_type const lock(w.q->lock);
          std::size_t const finished = w.q->batches.finished();
          check(w.q->unfinished - finished >= static_cast<std::size_t>(page_size + 1 - w.finished),
                "an unfinished task was counted as finished");
        }
      });
  expect_in_each_order(
      [](world& w) {
        take_smaller_batch(w);
        for (std::size_t i = 0; i != page_size + 1; ++i) {
          w.bodies[i] = [&w] { look(w); };
        }
      },
      all_ran<page_size + 1>, run_first, run_second,
      [](world& w) {
        lock_type const lock(w.q->lock);
        std::size_t const finished = w.q->batches.finished();
        check(w.q->unfinished - finished >= static_cast<std::size_t>(page_size + 1 - w.finished),
              "an unfinished task was counted as finished");
      });
}

// --- the end ---

TEST(TaskQueue, W1_the_waiter_wakes_at_the_end_and_may_destroy_the_queue) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.submit(0);
          w.begin_runner(w.first);
        },
        all_ran<1>, run_first, wait_and_destroy);
  }
}

TEST(TaskQueue, W1_the_last_of_two_runners_wakes_the_waiter) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.submit(0);
          w.begin_runner(w.first);
          w.submit(1);
          w.begin_runner(w.second);
        },
        all_ran<2>, run_first, run_second, wait_and_destroy);
  }
}

TEST(TaskQueue, W1_two_waiters_wake_at_the_end) {
  expect_in_each_order(
      [](world& w) {
        w.submit(0);
        w.begin_runner(w.first);
      },
      all_ran<1>, run_first,
      [](world& w) {
        w.wait();
        w.some.store(1);
      },
      [](world& w) {
        w.wait_for_others();
        await_some(w, 1);  // as `await_waiters`
        w.q.reset();
      });
}

TEST(TaskQueue, W1_a_task_that_a_task_submits_is_waited_for) {
  for (int const slots : {1, task_queue::many}) {
    expect_in_each_order(
        [slots](world& w) {
          w.q->limits.slots = slots;
          w.bodies[0] = [&w] { w.submit(1); };
          w.submit(0);
          w.begin_runner(w.first);
        },
        all_ran<2>, run_first, wait_and_destroy);
  }
}

TEST(TaskQueue, W1_a_guest_is_waited_for_and_gets_in_only_before_the_end) {
  expect_in_each_order(
      [](world& w) {
        w.submit(0);
        w.begin_runner(w.first);
      },
      all_ran<1>, run_first,
      [](world& w) {
        queue_guest const guest(queue_life{&*w.q, 1});
        if (guest) {
          check(!w.done.load(), "a guest uses a group that has ended");
        }
      },
      [](world& w) {
        w.wait();
        w.done.store(true);
        w.q->end_life();
      });
}

void leave_request(world& w) {
  queue_guest const guest(queue_life{&*w.q, 1});
  if (guest) {
    w.submit_request();
  }
}

// The request of a group inside comes when the last task is finished.
TEST(TaskQueue, W1_a_request_that_a_guest_leaves_is_run_before_the_end) {
  auto all_run = [](world& w) { w.check_requests(); };
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        w.q->limits.slots = 1;
        w.submit(0);
        w.begin_runner(w.first);
      },
      all_run, run_first, leave_request,
      [](world& w) {
        w.wait();
        w.is_over = true;  // from here on, no request may be run
      });
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        w.q->limits.slots = 1;
        w.submit(0);
      },
      all_run, work, leave_request,
      [](world& w) {
        w.wait_for_others();
        w.is_over = true;
        w.leave();
      });
}

TEST(TaskQueue, W1_a_guest_of_another_life_does_not_get_in) {
  expect_within(
      {.preemptions = 2, .delays = 0}, nothing, all_ran<2>,
      [](world& w) {
        w.submit(0);
        w.wait_alone();
        w.begin_other_life();
        w.submit(1);
        w.wait_alone();
      },
      [](world& w) {
        queue_guest const guest(queue_life{&*w.q, 1});
        if (guest) {
          check(w.serial_of_life == 1, "a guest uses the group of another life");
          (void)w.some.load();
          check(w.serial_of_life == 1, "a group ends although it has a guest");
        }
      });
}

// --- sleep and wake ---

TEST(TaskQueue, W1_a_sleeping_waiter_is_woken_for_a_task) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.q->limits.slots = 2;
          w.bodies[0] = [&w] { await_some(w, 1); };
          w.bodies[1] = [&w] { w.some.store(1); };
          w.submit(0);
          w.begin_runner(w.first);
        },
        all_ran<2>, run_first, wait, [](world& w) { w.submit(1); });
  }
}

TEST(TaskQueue, W1_a_thread_that_leaves_work_wakes_a_sleeping_waiter) {
  expect_in_each_order(
      [](world& w) {
        w.q->limits.slots = 1;
        w.bodies[0] = [&w] { w.done.store(true); };
        submit_some(w, 2);
        w.begin_runner(w.passer);
      },
      all_ran<2>, [](world& w) { w.run_session(w.passer); }, wait);
}

TEST(TaskQueue, W1_a_thread_that_waits_for_others_takes_part_if_the_tasks_are_stranded) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          ++w.q->unfinished;  // a reserved place
        },
        all_ran<2>, [](world& w) { w.wait_for_others(); },
        [](world& w) {
          w.submit_reserved(0);
          w.submit(1);
          w.strand();
        });
  }
}

TEST(TaskQueue, W2_a_thread_that_is_about_to_sleep_takes_part_if_the_request_is_stranded) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          ++w.q->unfinished;    // a reserved place
          w.q->open_request();  // for a task that is finished
        },
        all_ran<1>, [](world& w) { w.wait_for_others(); },
        [](world& w) {
          w.strand();
          w.submit_reserved(0);
        });
  }
}

TEST(TaskQueue, W2_a_thread_whose_end_time_comes_leaves_no_task_behind) {
  for (bool const helps : {false, true}) {
    expect_within(
        {.preemptions = 2, .delays = 0},
        [helps](world& w) {
          w.helps = helps;
          ++w.q->unfinished;  // a reserved place
          w.q->open_request();
          w.strand();
        },
        all_ran<1>, wait, [](world& w) { w.wait_until_end_time(); },
        [](world& w) {
          w.end_time.until = {};
          w.submit_reserved(0);
        });
  }
}

TEST(TaskQueue, W2_a_thread_runs_no_task_after_its_end_time) {
  expect_alone(
      [](world& w) {
        w.submit(0);
        w.strand();
        w.end_time.until = {};
      },
      all_ran<1>,
      [](world& w) {
        worker me(w, true);
        check(!wait_for(*w.q, w.end_time, me), "the end time has come, and the wait goes on");
        check(w.order.empty(), "a task was begun after the end time");
        w.wait_alone();
      });
}

TEST(TaskQueue,
     W2_a_thread_that_leaves_tasks_to_others_leaves_after_the_task_that_reaches_its_goal) {
  expect_alone(
      [](world& w) {
        w.bodies[1] = [&w] { w.done.store(true); };
        submit_some(w, page_size + 1);
        w.begin_runner(w.passer);
      },
      all_ran<page_size + 1>,
      [](world& w) {
        w.run_session(w.passer);
        check(w.order.size() == 2, "a thread goes on although its goal is reached");
        w.wait_alone();
      });
}

TEST(TaskQueue, W2_a_thread_that_helps_until_a_flag_is_set_stays_when_the_tasks_are_finished) {
  expect_in_each_order([](world& w) { w.submit(0); }, all_ran<1>,
                       [](world& w) { w.help_until_done(); },
                       [](world& w) {
                         w.wait();
                         w.done.store(true, std::memory_order_release);
                         w.notify();
                       });
}

TEST(TaskQueue, W2_a_thread_that_helps_until_a_flag_is_set_notes_no_cancellation) {
  expect_in_each_order(
      [](world& w) { w.is_canceled = true; }, all_ran<0>, [](world& w) { w.help_until_done(); },
      [](world& w) {
        w.done.store(true, std::memory_order_release);
        w.notify();
        check(!w.is_noted, "callbacks of stop tokens run in a thread that waits for a flag");
      });
}

TEST(TaskQueue, W1_a_thread_with_an_end_time_waits_for_spawned_tasks_too) {
  expect_in_each_order(
      [](world& w) {
        w.bodies[0] = [&w] { w.spawned.store(1); };
        w.submit(0);
        w.strand();
      },
      all_ran<1>, [](world& w) { w.wait_for_others(); },
      [](world& w) {
        w.wait();
        w.spawned.store(0);
        w.notify();  // as the timer's thread, which polls
      });
}

TEST(TaskQueue, W2_a_thread_that_helps_until_a_flag_is_set_leaves_no_task_behind) {
  expect_within(
      {.preemptions = 1, .delays = 1},
      [](world& w) {
        w.q->limits.slots = 2;
        w.bodies[0] = [&w] { await_some(w, 1); };
        w.bodies[1] = [&w] { w.some.store(1); };
        w.submit(0);
        w.begin_runner(w.first);
      },
      all_ran<2>, run_first,
      [](world& w) {
        w.help_until_done();
        w.wait();
      },
      [](world& w) {
        w.done.store(true, std::memory_order_release);
        w.notify();
        w.submit(1);
      });
  // Two sleep, and a task wakes the one that is about to leave.
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        ++w.q->unfinished;  // a reserved place
      },
      all_ran<1>, wait, [](world& w) { w.help_until_done(); },
      [](world& w) {
        w.submit_reserved(0);
        w.done.store(true, std::memory_order_release);
        w.notify();
      });
}

TEST(TaskQueue, W1_a_sleeper_may_be_woken_by_its_alarm_and_at_the_end) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.submit(0);
          w.begin_runner(w.first);
        },
        all_ran<1>, run_first,
        [](world& w) {
          sleeper s(w.helps, sleeper::nothing);
          explored::atomic<sleeper*>* const alarm = &w.alarm;
          alarm->store(&s);
          {
            lock_type lock(w.q->lock);
            if (!w.q->is_idle()) {
              w.sleep(lock, s);
            }
          }
          // As an alarm is stopped: it does not ring any more, or it has rung.
          if (alarm->exchange(nullptr) == nullptr) {
            await_some(w, 1);
          }
          w.wait();
        },
        [](world& w) {
          if (sleeper* const s = w.alarm.exchange(nullptr)) {
            wake_list awake;
            lock_type lock(w.q->lock);
            w.q->sleepers.wake(awake, *s);
            lock.release();
            awake.now();
            w.some.store(1);
          }
        });
  }
}

// --- room ---

TEST(TaskQueue, L3_a_submitter_that_sleeps_for_room_is_woken_by_the_end_of_a_task) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.q->limits.slots = 1;
          w.q->limits.room = 1;
          w.submit(0);
          w.begin_runner(w.first);
        },
        all_ran<2>, run_first,
        [](world& w) {
          w.submit(1);
          w.wait();
        });
  }
}

TEST(TaskQueue, L3_a_submitter_that_sleeps_for_room_is_woken_although_another_task_goes_on) {
  expect_in_each_order(
      [](world& w) {
        w.q->limits.slots = 2;
        w.q->limits.room = 2;
        w.bodies[1] = [&w] { await_some(w, 1); };
        w.submit(0);
        w.begin_runner(w.first);
        w.submit(1);
        w.begin_runner(w.second);
      },
      all_ran<3>, run_first, run_second,
      [](world& w) {
        w.submit(2);
        w.some.store(1);
        w.wait();
      });
}

TEST(TaskQueue, L3_two_submitters_that_sleep_for_room_are_woken_one_after_the_other) {
  expect_within(
      {.preemptions = 1, .delays = 1},
      [](world& w) {
        w.q->limits.slots = 1;
        w.q->limits.room = 1;
        w.submit(0);
        w.begin_runner(w.first);
      },
      all_ran<3>, run_first,
      [](world& w) {
        w.submit(1);
        w.wait();
      },
      [](world& w) {
        w.submit(2);
        w.wait();
      });
}

TEST(TaskQueue, L3_a_place_that_is_given_back_wakes_a_submitter_and_a_waiter) {
  expect_in_each_order(
      [](world& w) {
        w.q->limits.slots = 1;
        w.q->limits.room = 1;
        check(w.reserve() && !w.reserve(), "not exactly one place");
      },
      all_ran<1>, [](world& w) { w.unreserve(); },
      [](world& w) {
        w.submit(0);
        w.wait();
      },
      wait);
}

TEST(TaskQueue, L4_a_submitter_that_gives_up_gets_a_place_or_takes_none) {
  for (bool const is_timed : {false, true}) {
    for (bool const is_bounded : {false, true}) {
      if (!is_timed && !is_bounded) {
        continue;  // it does not wait
      }
      expect_within(
          {.preemptions = 2, .delays = 0},
          [is_bounded](world& w) {
            w.q->limits.slots = 1;
            if (is_bounded) {
              w.q->limits.room = 1;
            }
            w.submit(0);
            w.begin_runner(w.first);
          },
          [](world& w) { w.check_all_ran(w.order.size() == 2 ? 2 : 1); }, run_first,
          [is_timed](world& w) {
            if (!w.offer(1, is_timed ? w.slot_until_done : w.room_until_done)) {
              check(w.done.load(), "the wait has ended before its end");
            }
            w.wait();
          },
          [](world& w) { w.give_up(); });
    }
  }
}

TEST(TaskQueue, L3_a_submitter_that_gives_up_leaves_the_room_to_another) {
  for (bool const is_timed : {false, true}) {
    expect_within(
        {.preemptions = 1, .delays = 0},
        [](world& w) {
          w.q->limits.slots = 1;
          w.q->limits.room = 1;
          w.submit(0);
          w.begin_runner(w.first);
        },
        [](world& w) { check(w.ran[0] == 1 && w.ran[1] == 1, "a task was lost"); }, run_first,
        [](world& w) {
          w.submit(1);
          w.wait();
        },
        [is_timed](world& w) {
          if (w.offer(2, is_timed ? w.slot_until_done : w.room_until_done)) {
            w.wait();
          }
        },
        [](world& w) { w.give_up(); });
  }
}

TEST(TaskQueue, L3_a_submitter_that_waits_for_a_slot_takes_part_if_the_tasks_are_stranded) {
  expect_in_each_order(
      [](world& w) {
        w.q->limits.slots = 1;
        w.submit(0);
        w.submit(1);
      },
      all_ran<3>, [](world& w) { w.strand(); },
      [](world& w) {
        check(w.offer(2, w.slot_until_done), "the wait has ended before its end");
        w.wait();
      });
}

TEST(TaskQueue, L3_no_batch_is_taken_while_a_submitter_waits_for_a_slot) {
  expect_alone(
      [](world& w) {
        w.q->limits.slots = 1;
        submit_some(w, page_size + 1);
        w.q->take_singly();
        w.begin_runner(w.first);
      },
      all_ran<page_size + 1>,
      [](world& w) {
        check(w.q->batches.is_empty(), "a thread has taken a batch");
        w.run_session(w.first);
        w.wait();
      });
}

// --- close ---

TEST(TaskQueue, C1_a_task_that_is_submitted_while_the_queue_closes_runs_or_is_dropped) {
  expect_in_each_order(
      nothing, all_over<3>,
      [](world& w) {
        w.submit(0);
        w.submit(1);
        bool const is_closed = w.done.load();
        w.submit(2);
        check(!is_closed || w.dropped[2] == 1, "a task of a closed queue was not dropped");
        w.wait();
      },
      [](world& w) {
        w.drop_waiting();
        w.done.store(true);
      });
}

TEST(TaskQueue, C1_the_waiter_of_a_closed_queue_waits_for_the_tasks_that_are_dropped) {
  expect_in_each_order(
      [](world& w) {
        w.q->limits.slots = 1;
        submit_some(w, page_size + 2);  // two pages
        w.begin_runner(w.first);
      },
      [](world& w) { w.check_all(page_size + 2); }, run_first, [](world& w) { w.drop_waiting(); },
      [](world& w) {
        w.wait();
        for (std::size_t i = 0; i != page_size + 2; ++i) {
          check(w.ran[i] + w.dropped[i] == 1, "the wait is over, and a task is not");
        }
      });
}

TEST(TaskQueue, C1_a_queue_closes_while_a_thread_has_a_batch) {
  expect_within({.preemptions = 1, .delays = 1}, take_batch, all_over<page_size + 1>, run_first,
                wait, [](world& w) { w.drop_waiting(); });
}

TEST(TaskQueue, C1_a_submitter_that_sleeps_for_room_is_woken_when_the_queue_closes) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.q->limits.slots = 1;
          w.q->limits.room = 1;
          w.bodies[0] = [&w] { await_some(w, 1); };
          w.submit(0);
          w.begin_runner(w.first);
        },
        [](world& w) {
          w.check_all(2);
          check(w.dropped[1] == 1, "a task of a closed queue has run");
        },
        run_first, [](world& w) { w.drop_waiting(); },
        [](world& w) {
          w.submit(1);
          w.some.store(1);
          w.wait();
        });
  }
}

TEST(TaskQueue, C1_a_queue_that_is_made_while_its_group_is_stopped_is_closed) {
  expect_in_each_order(
      nothing, [](world& w) { check(w.q->closed, "the queue was missed"); },
      [](world& w) {  // make_queue
        w.made.store(&*w.q, std::memory_order_seq_cst);
        if (w.some.load(std::memory_order_seq_cst) != 0) {
          lock_type const lock(w.q->lock);
          w.q->closed = true;
        }
        w.submit(0);
        w.wait();
      },
      [](world& w) {  // stop, clean_up
        w.some.fetch_or(1);
        if (w.made.load(std::memory_order_seq_cst) != nullptr) {
          w.drop_waiting();
        }
      });
}

TEST(TaskQueue, C1_a_waiter_notices_a_cancellation_by_oneTBB) {
  expect_in_each_order(
      [](world& w) {
        w.q->limits.slots = 1;
        w.bodies[0] = [&w] {
          while (!w.is_noted) {
            explored::yield();
          }
        };
        submit_some(w, 2);
        w.begin_runner(w.first);
      },
      all_over<2>, run_first, wait,
      [](world& w) {
        w.is_canceled = true;
        w.notify();  // as the timer's thread, which polls
      });
}

TEST(TaskQueue, C1_the_waiter_of_a_closed_queue_drops_the_tasks_that_are_not_due) {
  for (bool const takes_them : {false, true}) {
    expect_within(
        {.preemptions = 2, .delays = 0},
        [](world& w) {
          w.submit(0);
          w.defer();
        },
        all_over<1>,
        [takes_them](world& w) {  // the canceller
          w.drop_waiting();
          if (takes_them) {
            std::size_t const taken = w.take_deferred();
            look(w);
            w.drop_deferred(taken);
          } else {
            await_some(w, 1);  // in user code, which waits for the waiter
          }
        },
        [](world& w) {
          w.wait();
          w.some.store(1);
        });
  }
}

// --- due tasks ---

TEST(TaskQueue, L5_due_tasks_start_before_the_tasks_that_wait_and_the_earliest_first) {
  for (int const slots : {1, task_queue::many}) {
    expect_within(
        {.preemptions = 2, .delays = 0},
        [slots](world& w) {
          w.q->limits.slots = slots;
          w.one_taker = true;
          submit_some(w, page_size + 1);
          w.defer();
          w.defer();
        },
        all_ran<page_size + 3>,
        [](world& w) {
          w.dispatch(page_size + 1, 9);
          w.dispatch(page_size + 2, 5);
        },
        wait);
  }
}

// --- levels ---

constexpr int high = 1;
constexpr int low = -1;

TEST(TaskQueue, L9_higher_levels_start_first_and_each_level_in_its_order) {
  expect_alone(
      [](world& w) {
        w.q->limits.slots = 1;
        w.one_taker = true;
        w.submit_ranked(0, low);
        w.submit(1);
        w.submit_ranked(2, high);
        w.submit_ranked(3, low);
        w.submit(4);
        w.submit_ranked(5, high);
        w.submit(6);
      },
      [](world& w) {
        w.check_all_ran(7);
        check(w.order == std::vector{2, 5, 1, 4, 6, 0, 3}, "a task has overtaken another");
      },
      wait);
}

TEST(TaskQueue, L9_a_task_of_a_high_level_goes_before_the_rest_of_a_batch) {
  expect_alone(
      [](world& w) {
        w.q->limits.slots = 1;
        w.one_taker = true;
        submit_some(w, page_size + 1);
        w.bodies[1] = [&w] {
          w.submit_ranked(page_size + 1, low);
          w.submit_ranked(page_size + 2, high);
        };
      },
      [](world& w) {
        w.check_all_ran(page_size + 3);
        check(w.order[1] == 1 && w.order[2] == page_size + 2, "the batch went on");
        check(w.order.back() == page_size + 1, "a low task has overtaken another");
      },
      wait);
}

TEST(TaskQueue, L9_no_task_with_a_level_is_lost) {
  for (int const slots : {1, task_queue::many}) {
    expect_in_each_order([slots](world& w) { w.q->limits.slots = slots; }, all_ran<4>,
                         [](world& w) {
                           w.submit_ranked(0, low);
                           w.submit(1);
                           w.submit_ranked(2, high);
                           w.wait();
                         },
                         [](world& w) {
                           w.submit_ranked(3, high);
                           w.wait();
                         });
  }
}

TEST(TaskQueue,
     C1_a_task_with_a_level_that_is_submitted_while_the_queue_closes_runs_or_is_dropped) {
  expect_in_each_order([](world& w) { w.submit_ranked(0, low); }, all_over<3>,
                       [](world& w) { w.drop_waiting(); },
                       [](world& w) {
                         w.submit_ranked(1, high);
                         w.submit(2);
                         w.wait();
                       });
}

/// Tasks of each level, of which none ever lacks.
class three_levels {
 public:
  three_levels() {
    q_.tasks.open(&nodes_[0]);
    for (int level : {low, 0, high}) {
      put(level);
      put(level);
    }
  }

  /// The level of the task that starts next. Another task of that level comes.
  int start() {
    node const* const expected = q_.peek(0);
    node* const n = q_.pop();
    check(n == expected, "`peek` has not foretold the task");
    auto const level = static_cast<int>(n->index % 8) - 2;
    put(level);
    return level;
  }
  /// The same between two tasks of a batch: 0 if the batch goes on.
  int start_before_batch() {
    node* const n = q_.pop_before_batch();
    if (n == nullptr) {
      return 0;
    }
    auto const level = static_cast<int>(n->index % 8) - 2;
    put(level);
    return level;
  }

 private:
  void put(int level) {
    node& n = nodes_[++used_];
    n.index = static_cast<std::size_t>(level + 2);
    if (level != 0) {
      n.index |= node::has_rank;
      n.keep_rank({1, {level}});
      q_.due.push(&n);
      return;
    }
    if (q_.tasks.is_page_full()) {
      q_.tasks.add_page(&nodes_[++used_]);
    }
    q_.tasks.push(&n);
  }

  task_queue q_;
  std::vector<node> nodes_ = std::vector<node>(2000);  // too large for the explorer's stacks
  std::size_t used_ = 0;
};

TEST(TaskQueue, L9_of_ten_starts_in_a_row_each_level_has_one) {
  auto const found = explore(
      [](scenario& s) {
        s.thread([] {
          three_levels all;
          std::vector<int> starts;
          for (int i = 0; i != 500; ++i) {
            starts.push_back(all.start());
          }
          check(std::all_of(starts.begin(), starts.begin() + 8, [](int l) { return l == high; }),
                "a high task was overtaken");
          for (auto first = starts.begin(); first + 10 <= starts.end(); ++first) {
            for (int const level : {low, 0, high}) {
              check(std::find(first, first + 10, level) != first + 10, "a level starves");
            }
          }
        });
      },
      {.preemptions = 0, .delays = 0});
  EXPECT_TRUE(found) << found.what;
}

TEST(TaskQueue, L9_a_batch_goes_on_although_high_tasks_come_without_an_end) {
  auto const found = explore(
      [](scenario& s) {
        s.thread([] {
          three_levels all;
          for (int round = 0; round != 20; ++round) {
            int starts = 0;
            bool has_low = false;
            while (int const level = all.start_before_batch()) {
              has_low = has_low || level == low;
              ++starts;
            }
            check(starts <= 9, "the batch starves");
            check(has_low || round == 0, "the low level starves");
          }
        });
      },
      {.preemptions = 0, .delays = 0});
  EXPECT_TRUE(found) << found.what;
}

TEST(TaskQueue, W1_a_task_that_is_not_due_yet_is_waited_for) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.defer();
          w.submit(0);
        },
        all_ran<2>, [](world& w) { w.dispatch(1, 1); }, wait_and_destroy);
  }
}

TEST(TaskQueue, W1_memory_for_due_tasks_may_be_used_by_another_thread) {
  expect_in_each_order(
      [](world& w) {
        w.defer();
        w.defer();
      },
      all_ran<2>,
      [](world& w) {
        w.dispatch(0, 2);
        w.wait();
      },
      [](world& w) { w.dispatch(1, 1); });
}

// --- the lives of a queue ---

TEST(TaskQueue, W1_a_request_that_is_answered_too_late_disturbs_no_other_life) {
  expect_within(
      {.preemptions = 2, .delays = 0}, nothing, all_ran<2>,
      [](world& w) {
        w.submit(0);
        w.wait();
        w.done.store(false);
        w.begin_other_life();
        w.q->limits.slots = 1;
        w.submit(1);
        w.wait_for_others();
        w.leave();
      },
      work);
}

}  // namespace
