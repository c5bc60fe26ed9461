// SPDX-License-Identifier: Apache-2.0

// The part task_queue in every order of its accesses, without a group and without oneTBB's threads.
//
// The functions of `world` use the queue in the same steps as the engine does. Each is named after
// the engine's function.

#define ERRGROUP_EXPLORED "support/explorer.hpp"

// The part itself, compiled into the namespace of the explored parts.
#include "../../src/task_queue.cpp"  // NOLINT(bugprone-suspicious-include)

#include "../../src/task_queue.hpp"
#include "support/explorer.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>

#include <gtest/gtest.h>

#include <algorithm>   // is_sorted
#include <array>       // array
#include <atomic>      // memory_order
#include <chrono>      // seconds
#include <cstddef>     // size_t
#include <cstdint>     // uint32_t
#include <functional>  // function
#include <memory>      // construct_at, make_shared
#include <new>         // launder
#include <optional>    // optional
#include <set>         // set
#include <utility>     // exchange, pair
#include <vector>      // vector

namespace {

using errgroup::detail::batch;
using errgroup::detail::group_core;
using errgroup::detail::node;
using errgroup::detail::page;
using errgroup::detail::queue_guest;
using errgroup::detail::queue_life;
using errgroup::detail::sleeper;
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

enum class kind { runner, waiter, submitter, timed };

/// A thread that takes tasks from the queue, as `group_core::session`.
struct session {
  explicit session(kind k) : of(k) {}

  kind of;
  node* next = nullptr;
  batch taken;
  std::size_t done = 0;
  bool call = false;
  bool over = false;
  bool retires = false;
  bool stays = false;
  bool idle = false;
};

/// A queue, its tasks, and what its threads do. Tasks are numbered.
class world {
 public:
  world() {
    q.emplace();
    q->head = q->tail = page::make(fresh_node());
    q->begin_life(as_core());
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
    if (q->unfinished >= q->room && !q->closed) {
      make_room(lock);
    }
    ++q->unfinished;
    check(q->unfinished <= q->room || q->closed, "more tasks than there is room for");
    number();
    append(lock, n);
  }
  bool reserve() {
    lock_type const lock(q->lock);
    if (q->closed || q->unfinished >= q->room) {
      return false;
    }
    ++q->unfinished;
    return true;
  }
  void unreserve() {
    wake_list awake;
    lock_type const lock(q->lock);
    --q->unfinished;
    q->wake_one(awake, sleeper::room);
    if (q->is_idle()) {
      q->wake_all(awake);
    }
  }
  void submit_reserved(int id) {
    node* const n = make(id);
    lock_type lock(q->lock);
    number();
    append(lock, n);
  }
  void append(lock_type& lock, node* n) {
    wake_list awake;
    if (q->closed) {
      lock.release();
      n->consume(*n, nullptr);
      put_node(n);
      lock.acquire(q->lock);
      --q->unfinished;
      if (q->is_idle()) {
        q->wake_all(awake);
      }
      lock.release();
      return;
    }
    if (q->is_page_full()) {
      q->add_page(fresh_node());
    }
    q->push(n);
    bool const call = q->take_request();
    if (q->sleepers != nullptr && q->may_start()) {
      q->wake_one(awake, sleeper::work);
    }
    queue_life const life = q->life();
    lock.release();
    if (call) {
      send_request(life);
    }
  }
  void make_room(lock_type& lock) {
    while (q->unfinished >= q->room && !q->closed) {
      if (q->may_start()) {
        session s(kind::submitter);
        begin_session(s);
        lock.release();
        run_session(s);
        lock.acquire(q->lock);
      } else {
        lock.release();
        sleeper s(helps, sleeper::room);
        lock.acquire(q->lock);
        if (q->unfinished >= q->room && !q->closed && !q->may_start()) {
          sleep(lock, s);
        }
      }
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
      ++n;
      w.consume(w, nullptr);
    };
    for (page* p = rest.first; p != rest.last && p != nullptr; p = p->next) {
      for (std::uint32_t i = p == rest.first ? rest.first_at : 0; i != page::capacity; ++i) {
        skip_one(*p->of[i]);
      }
    }
    for (std::uint32_t i = 0; i != rest.number_of_others; ++i) {
      skip_one(*rest.others[i]);
    }
    for (timed_task const& t : rest.due) {
      skip_one(*t.task);
    }
    wake_list awake;
    lock_type const lock(q->lock);
    q->unfinished -= n;
    q->give_back(rest);
    q->wake_all(awake);
  }
  /// As `defer`: a task that is not due yet.
  void defer() {
    lock_type const lock(q->lock);
    ++q->timed;
  }
  /// As `dispatch`: it is due now.
  void dispatch(int id, int due) {
    node* const n = make(id);
    std::vector<timed_task> spare;
    lock_type lock;
    q->acquire_for_due(lock, spare);
    --q->timed;
    ++q->unfinished;
    number();
    wake_list awake;
    q->push_due({errgroup::clock::time_point(std::chrono::seconds(due)), pushed(), n});
    due_.emplace(due, id);
    bool const call = q->take_request();
    if (q->sleepers != nullptr && q->may_start()) {
      q->wake_one(awake, sleeper::work);
    }
    queue_life const life = q->life();
    lock.release();
    if (call) {
      send_request(life);
    }
  }

  // --- runner.cpp ---

  void take(session& s) {
    if (s.of != kind::timed && q->pop(s.taken)) {
      s.next = s.taken.next();
    } else {
      s.next = q->pop();
    }
    if (!due_.empty()) {
      check(s.next != nullptr && id_of(*s.next) == due_.begin()->second,
            "a task was taken before one that was due, or due earlier");
      due_.erase(due_.begin());
    }
  }
  void begin_session(session& s) {
    q->running.store(q->running.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    take(s);
    s.call = q->take_request();
  }
  void end_session(session& s, wake_list& awake) {
    q->running.store(q->running.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    s.over = true;
    s.idle = q->is_idle();
    if (s.call) {
      q->request.store(false, std::memory_order_relaxed);
    }
    s.stays =
        s.of == kind::runner && !q->closed && !q->request.exchange(true, std::memory_order_relaxed);
    s.call = !q->closed && q->take_request();
    if (q->sleepers != nullptr) {
      if (s.idle) {
        q->wake_all(awake);
      } else if (q->may_start()) {
        q->wake_one(awake, sleeper::work);
      }
    }
  }
  void run_session(session& s) {
    task_queue& of = *q;
    for (;;) {
      drain(s);
      if (s.over) {
        return;
      }
      wake_list awake;
      lock_type lock(of.lock);
      if (wants_more(s)) {
        take(s);
      }
      if (s.next == nullptr) {
        end_session(s, awake);
        queue_life const life = of.life();
        lock.release();
        if (s.call) {
          send_request(life);
        }
        return;
      }
      s.call = s.call || of.take_request();
    }
  }
  void drain(session& s) {
    task_queue& of = *q;
    wake_list awake;
    lock_type lock;
    while (s.next != nullptr) {
      if (std::exchange(s.call, false)) {
        send_request(of.life());
      }
      node* const n = std::exchange(s.next, nullptr);
      n->consume(*n, as_core_pointer());
      ++s.done;
      s.next = s.taken.next();
      if (s.next != nullptr) {
        continue;
      }
      lock.acquire(of.lock);
      finish(s, n, awake);
      s.retires = retires && s.of == kind::runner;
      if (wants_more(s)) {
        take(s);
      }
      if (s.next != nullptr) {
        s.call = of.take_request();
      } else if (s.of == kind::waiter) {
        end_session(s, awake);
      }
      lock.release();
      awake.now();
    }
  }
  bool wants_more(session const& s) {
    return !s.retires && (s.of != kind::submitter || q->unfinished >= q->room) &&
           (s.of != kind::timed || !done.load(std::memory_order_acquire));
  }
  void finish(session& s, node* n, wake_list& awake) {
    std::size_t const finished_now = std::exchange(s.done, 0);
    if (s.taken) {
      q->unfinished -= finished_now;
      q->give_back(s.taken);
      return;
    }
    --q->unfinished;
    if (q->sleepers != nullptr && q->unfinished < q->room) {
      q->wake_one(awake, sleeper::room);
    }
    q->give_back(n);
  }

  // --- waiting.cpp ---

  void sleep(lock_type& lock, sleeper& s) {
    q->enlist(s);
    lock.release();
    s.sleep();
    lock.acquire(q->lock);
  }
  /// As `drain_and_sleep`: returns when all is over.
  void wait() {
    lock_type lock(q->lock);
    for (;;) {
      if (q->may_start()) {
        session s(kind::waiter);
        begin_session(s);
        lock.release();
        run_session(s);
        if (s.idle) {
          return;
        }
        lock.acquire(q->lock);
      } else if (q->is_idle()) {
        return;
      } else {
        lock.release();
        sleeper s(helps, sleeper::work);
        lock.acquire(q->lock);
        if (!q->may_start() && !q->is_idle()) {
          sleep(lock, s);
        }
      }
    }
  }
  /// As `wait_until_at`, without a time: leaves the tasks to others, unless they are stranded.
  void wait_for_others() {
    for (;;) {
      lock_type lock(q->lock);
      bool const takes_part = q->stranded.load(std::memory_order_relaxed);
      if (takes_part && q->may_start()) {
        session s(kind::timed);
        begin_session(s);
        lock.release();
        run_session(s);
        continue;
      }
      bool const is_idle = q->is_idle();
      if (is_idle) {
        return;
      }
      lock.release();
      sleeper s(takes_part && helps, takes_part ? sleeper::work : sleeper::nothing);
      lock.acquire(q->lock);
      bool const has_work = takes_part && q->may_start();
      if (!has_work && takes_part == q->stranded.load(std::memory_order_relaxed) &&
          q->is_idle() == is_idle) {
        sleep(lock, s);
      }
    }
  }
  /// As `help_until`, of a thread that takes part.
  void help_until_done() {
    wake_list awake;
    lock_type lock(q->lock);
    while (!done.load(std::memory_order_acquire)) {
      if (q->may_start()) {
        session s(kind::timed);
        begin_session(s);
        lock.release();
        run_session(s);
        lock.acquire(q->lock);
      } else {
        lock.release();
        sleeper s(helps, sleeper::work);
        lock.acquire(q->lock);
        if (!done.load(std::memory_order_acquire) && !q->may_start()) {
          sleep(lock, s);
        }
      }
    }
    if (q->may_start()) {
      q->wake_one(awake, sleeper::work);
    }
    lock.release();
  }
  void notify() {
    wake_list awake;
    lock_type lock(q->lock);
    q->wake_all(awake);
    lock.release();
  }

  // --- helpers.cpp ---

  void send_request(queue_life const& life) {
    check(life.serial == serial_of_life, "a request for another life");
    sent_.push_back(life);
    requests_.fetch_add(1);
  }
  void strand() {
    wake_list awake;
    lock_type lock(q->lock);
    if (!q->stranded.exchange(true, std::memory_order_relaxed)) {
      q->wake_all(awake);
    }
    lock.release();
  }
  static bool watch(task_queue const& of, queue_life const& life, int& looks) {
    for (;;) {
      bool const has_work = of.waiting.load(std::memory_order_relaxed) != 0;
      std::uint32_t const taken = of.taken();
      if (has_work && of.running.load(std::memory_order_relaxed) == 0) {
        return true;
      }
      if (of.serial.load(std::memory_order_acquire) != life.serial) {
        return false;
      }
      if (!has_work) {
        if (--looks <= 0 || of.batches.load(std::memory_order_relaxed) != nullptr) {
          return true;
        }
      } else if (of.taken() - taken < 2) {
        return true;
      }
    }
  }
  void answer(queue_life const& life) {
    task_queue& of = *life.of;
    if (of.serial.load(std::memory_order_acquire) != life.serial) {
      return;
    }
    int looks = 1;
    while (watch(of, life, looks)) {
      lock_type lock(of.lock);
      if (of.serial.load(std::memory_order_relaxed) != life.serial) {
        return;
      }
      of.stranded.store(false, std::memory_order_relaxed);
      if (!of.may_start()) {
        if (looks > 0 && of.waiting.load(std::memory_order_relaxed) == 0) {
          continue;
        }
        of.request.store(false, std::memory_order_relaxed);
        return;
      }
      of.request.store(false, std::memory_order_relaxed);
      session s(kind::runner);
      check(life.serial == serial_of_life, "a request was answered in another life");
      begin_session(s);
      lock.release();
      run_session(s);
      if (!s.stays) {
        return;
      }
      looks = 1;
    }
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
      answer(sent_[static_cast<std::size_t>(answered_++)]);
    }
  }
  void leave() { leaves_.store(true); }

  // --- the scenarios ---

  /// A runner that has come before the scenario begins.
  void begin_runner(session& s) {
    lock_type const lock(q->lock);
    begin_session(s);
    s.call = false;
  }
  /// The waiter destroys the queue: the explorer finds each access after that.
  void wait_and_destroy() {
    wait();
    check(now == 0, "a task runs after the wait for it");
    q.reset();
  }

  std::optional<task_queue> q;
  std::uint64_t serial_of_life = 1;
  bool helps = true;     // threads sleep in oneTBB's loop
  bool retires = false;  // runners leave after a task
  session first{kind::runner};
  session second{kind::runner};
  explored::atomic<bool> done{false};  // as a test needs it
  explored::atomic<int> some{0};       // as a test needs it
  explored::atomic<sleeper*> alarm{nullptr};
  explored::atomic<task_queue*> made{nullptr};

 private:
  struct task {
    world* of;
    int id;
  };

  static task& task_of(node& n) { return *std::launder(reinterpret_cast<task*>(n.storage)); }
  static int id_of(node& n) { return task_of(n).id; }
  static void consume(node& n, group_core* runner) noexcept {
    task const t = task_of(n);
    if (runner != nullptr) {
      t.of->run(t.id);
    } else {
      ++t.of->dropped[static_cast<std::size_t>(t.id)];
    }
  }
  void run(int id) {
    auto const t = static_cast<std::size_t>(id);
    ++ran[t];
    order.push_back(id);
    ++now;
    check(now <= q->slots, "more tasks at once than there are slots");
    if (bodies[t]) {
      bodies[t]();
    }
    --now;
    ++finished;
  }

  node* make(int id) {
    node* const n = fresh_node();
    n->consume = consume;
    n->index = static_cast<std::size_t>(id);
    std::construct_at(reinterpret_cast<task*>(n->storage), task{this, id});
    return n;
  }
  node* fresh_node() { return &nodes_[used_++]; }
  void put_node(node* n) { unused_.insert(n); }

  std::uint64_t pushed() { return q->pushed.load(std::memory_order_relaxed); }
  void number() { q->pushed.store(pushed() + 1, std::memory_order_relaxed); }

  void check_nodes() {
    check(q->unfinished == 0 && q->running.load() == 0 && q->waiting.load() == 0,
          "the counts are wrong at the end");
    check(q->sleepers == nullptr, "a sleeper was left behind");
    check(q->batches.load() == nullptr, "a batch was left behind");
    std::set<void const*> all(unused_.begin(), unused_.end());
    std::size_t n = all.size();
    for (page* p = q->head;; p = p->next) {
      all.insert(p);
      ++n;
      if (p == q->tail) {
        break;
      }
    }
    while (!q->spare.is_empty()) {
      all.insert(q->spare.pop());
      ++n;
    }
    check(all.size() == n, "a node is there twice");
    check(n == used_, "a node was lost");
  }

  // The queue passes the owner on, and uses nothing of it.
  group_core* as_core_pointer() { return reinterpret_cast<group_core*>(this); }
  group_core& as_core() { return *as_core_pointer(); }

  std::array<node, 2 * most_tasks> nodes_{};
  std::size_t used_ = 0;
  std::set<node*> unused_;
  std::set<std::pair<int, int>> due_;  // when, and which task
  std::vector<queue_life> sent_;
  explored::atomic<int> requests_{0};
  int answered_ = 0;
  explored::atomic<bool> leaves_{false};
};

/// Explores a scenario with a `world`. Each of `bodies` is a thread.
template <class SetUp, class AtEnd, class... Bodies>
void expect_within(limits const& bounds, SetUp const& set_up, AtEnd const& at_end,
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
  EXPECT_GT(found.runs, 100U);
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
      {.preemptions = 2, .delays = 0}, [](world& w) { w.q->slots = 1; },
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
          w.q->slots = slots;
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
        {.preemptions = 2, .delays = 0}, [slots](world& w) { w.q->slots = slots; }, all_ran<2>,
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

// --- batches ---

/// The first runner has a batch of all tasks of the first page, and more tasks are in the queue.
void take_batch(world& w) {
  submit_some(w, page_size + 1);
  w.begin_runner(w.first);
  check(static_cast<bool>(w.first.taken), "the page was not taken as a batch");
}

/// The same, where one task of the page was taken alone.
void take_smaller_batch(world& w) {
  submit_some(w, page_size);
  w.begin_runner(w.second);
  w.submit(page_size);
  w.begin_runner(w.first);
  check(static_cast<bool>(w.first.taken), "the page was not taken as a batch");
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

TEST(TaskQueue, W1_what_a_thread_has_in_its_batch_strands_nobody) {
  expect_within(
      {.preemptions = 2, .delays = 0},
      [](world& w) {
        take_batch(w);
        // The first task waits for all others.
        w.bodies[0] = [&w] { await_some(w, page_size); };
        for (std::size_t i = 1; i != page_size + 1; ++i) {
          w.bodies[i] = [&w] { w.some.fetch_add(1); };
        }
      },
      all_ran<page_size + 1>, run_first, wait);
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
          std::size_t const finished = w.q->finished_in_batches();
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
        std::size_t const finished = w.q->finished_in_batches();
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
          w.q->slots = slots;
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

// --- sleep and wake ---

TEST(TaskQueue, W1_a_sleeping_waiter_is_woken_for_a_task) {
  for (bool const helps : {false, true}) {
    expect_in_each_order(
        [helps](world& w) {
          w.helps = helps;
          w.q->slots = 2;
          w.bodies[0] = [&w] { await_some(w, 1); };
          w.bodies[1] = [&w] { w.some.store(1); };
          w.submit(0);
          w.begin_runner(w.first);
        },
        all_ran<2>, run_first, wait, [](world& w) { w.submit(1); });
  }
}

TEST(TaskQueue, W1_a_runner_that_leaves_work_wakes_a_sleeping_waiter) {
  expect_in_each_order(
      [](world& w) {
        w.q->slots = 1;
        w.retires = true;
        submit_some(w, 2);
        w.begin_runner(w.first);
      },
      all_ran<2>, run_first, wait);
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

TEST(TaskQueue, W2_a_thread_that_helps_until_a_flag_is_set_leaves_no_task_behind) {
  expect_within(
      {.preemptions = 1, .delays = 1},
      [](world& w) {
        w.q->slots = 2;
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
            w.q->wake(awake, *s);
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
          w.q->slots = 1;
          w.q->room = 1;
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
        w.q->slots = 2;
        w.q->room = 2;
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
        w.q->slots = 1;
        w.q->room = 1;
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
        w.q->slots = 1;
        w.q->room = 1;
        check(w.reserve() && !w.reserve(), "not exactly one place");
      },
      all_ran<1>, [](world& w) { w.unreserve(); },
      [](world& w) {
        w.submit(0);
        w.wait();
      },
      wait);
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
        w.q->slots = 1;
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
          w.q->slots = 1;
          w.q->room = 1;
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

// --- due tasks ---

TEST(TaskQueue, L5_due_tasks_start_before_the_tasks_that_wait_and_the_earliest_first) {
  for (int const slots : {1, task_queue::many}) {
    expect_within(
        {.preemptions = 2, .delays = 0},
        [slots](world& w) {
          w.q->slots = slots;
          submit_some(w, page_size + 1);
          w.defer();
          w.defer();
        },
        all_ran<page_size + 3>,
        [](world& w) {
          w.dispatch(page_size + 1, 9);
          w.dispatch(page_size + 2, 5);
          w.wait();
        },
        wait);
  }
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
        w.q->end_life();
        ++w.serial_of_life;
        w.q->begin_life(*w.q->owner);
        w.q->slots = 1;
        w.submit(1);
        w.wait_for_others();
        w.leave();
      },
      work);
}

}  // namespace
