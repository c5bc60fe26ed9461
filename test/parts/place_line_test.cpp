// SPDX-License-Identifier: Apache-2.0

// The places of a limiter, with the queues of its groups, in every order of their accesses, without
// a group and without oneTBB's threads. `world` stands for the limiter, `member` for a group.

#define ERRGROUP_EXPLORED "support/explorer.hpp"

// The part itself, compiled into the namespace of the explored parts.
#include "../../src/place_line.hpp"

#include "../../src/helpers.hpp"
#include "../../src/place_loops.hpp"
#include "../../src/runner.hpp"
#include "../../src/task_queue.cpp"  // NOLINT(bugprone-suspicious-include)
#include "support/explorer.hpp"
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>

#include <gtest/gtest.h>

#include <algorithm>   // is_sorted
#include <array>       // array
#include <cstddef>     // size_t
#include <cstdint>     // int64_t
#include <deque>       // deque
#include <functional>  // function
#include <memory>      // construct_at, make_shared
#include <new>         // launder
#include <optional>    // optional
#include <utility>     // pair
#include <vector>      // vector

namespace {

using errgroup::detail::goal;
using errgroup::detail::node;
using errgroup::detail::place_asker;
using errgroup::detail::place_line;
using errgroup::detail::queue_life;
using errgroup::detail::queue_owner;
using errgroup::detail::ranked_tasks;
using errgroup::detail::session;
using errgroup::detail::sleep_mode;
using errgroup::detail::sleeper;
using errgroup::detail::task_queue;
using errgroup::detail::turn_block;
using errgroup::detail::wake_list;
using explored::check;
using explored::explore;
using explored::limits;
using explored::scenario;
using lock_type = errgroup::detail::spin_mutex::scoped_lock;

constexpr int most_tasks = 10;

class world;

/// A group that uses the limiter.
class member : public queue_owner {
 public:
  explicit member(world& w, int limit = task_queue::many)
      : of(w), asker(limit != task_queue::many, limit) {
    q.emplace();
    q->limits.slots = 0;
    asker.queue = &*q;
  }

  world& of;
  std::optional<task_queue> q;
  place_asker asker;
};

/// A group's side of the loops, of one thread.
class owner {
 public:
  class nap {
   public:
    nap(owner& /*w*/, task_queue& q, goal const& /*g*/, sleep_mode const& mode)
        : mode_(mode), sleeper_(mode.helps, mode.wanted), q_(q) {}
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

  explicit owner(member& m, bool takes_part = true) : m_(m), takes_part_(takes_part) {}

  static void begin_task() {}
  void run(node& n) { n.consume(n, &m_); }
  [[nodiscard]] static bool refuse(node& /*n*/) { return false; }
  template <class Work>
  static void enter_context(Work& work) {
    work();
  }
  [[nodiscard]] bool takes_only_its_own() const { return m_.asker.is_isolated; }

  [[nodiscard]] static bool is_reached(task_queue& q, goal const& g) {
    if (g.what == goal::places) {
      return q.closed || g.is_granted->load();
    }
    return g.what == goal::room ? !q.is_full() : q.is_idle();
  }
  [[nodiscard]] bool takes_part(task_queue const& /*q*/) const { return takes_part_; }
  [[nodiscard]] static bool cancellation_is_due() { return false; }
  static void note_cancellation() {}
  static void drop_timed(task_queue& /*q*/) {}
  [[nodiscard]] sleep_mode mode(task_queue const& /*q*/, goal const& g, bool /*part*/) const {
    if (g.what == goal::room) {
      return {true, sleeper::room, false};
    }
    if (g.what == goal::places) {
      return {true, takes_part_ ? sleeper::work_or_places : sleeper::places, false};
    }
    return {true, takes_part_ ? sleeper::work : sleeper::nothing, false};
  }

 private:
  member& m_;
  bool takes_part_;
};

/// The limiter as the loops see it, from a thread that holds places or not.
class host_side {
 public:
  host_side(world& w, bool is_holding) : w_(w), is_holding_(is_holding) {}

  void send_request();
  static void answer(queue_life const& /*request*/) {}
  template <class F>
  void with(place_asker const& a, F const& f);
  template <class F>
  static void enter(F const& f) {
    f();
  }
  template <class F>
  static void pass(bool /*is_other*/, F const& f) {
    f();
  }
  [[nodiscard]] bool is_holding() const { return is_holding_; }
  [[nodiscard]] turn_block* make_turns();
  [[nodiscard]] node* make_node();

 private:
  world& w_;
  bool is_holding_;
};

/// A limiter, its groups, and what its threads do. Tasks are numbered.
class world : public queue_owner {
 public:
  explicit world(std::int64_t capacity) : line(capacity) {
    open(host);
    host.limits.slots = task_queue::many - 1;
    host.begin_life(*this);
    line.open(host, [](node& /*n*/, queue_owner* runner) noexcept {
      auto& w = static_cast<world&>(*runner);
      host_side here(w, false);
      serve(w.line, here);
    });
  }
  world(world const&) = delete;
  world& operator=(world const&) = delete;
  ~world() = default;

  member& add(int limit = task_queue::many) {
    member& m = members.emplace_back(*this, limit);
    open(*m.q);
    m.q->begin_life(m);
    return m;
  }

  // --- submission.cpp ---

  void submit(member& m, int id, std::int64_t weight = 1, bool is_reserved = false,
              int level = ranked_tasks::usual) {
    node* const n = fresh_node();
    n->index = static_cast<std::size_t>(id) | node::has_rank;
    n->keep_rank({weight, {level}});
    n->consume = consume;
    std::construct_at(reinterpret_cast<task*>(n->storage + node::rank_size), task{this, id});
    {
      wake_list awake;
      lock_type lock(m.q->lock);
      if (m.q->closed) {  // as `append`
        n->consume(*n, nullptr);
      } else {
        ++m.q->unfinished;
        m.q->pushed.store(m.q->pushed.load() + 1);
        if (level == ranked_tasks::usual) {
          m.q->tasks.push(n);
        } else {
          m.q->due.push(n);
        }
      }
      m.q->tell_sleepers(awake);
      lock.release();
    }
    host_side here(*this, false);
    ask(line, m.asker, weight, is_reserved, here);
  }
  /// As `drop_waiting`.
  void cancel(member& m) {
    task_queue::contents rest;
    {
      lock_type const lock(m.q->lock);
      m.q->closed = true;
      rest = m.q->empty();
    }
    std::size_t n = 0;
    auto const drop = [&n](node& w) {
      ++n;
      w.consume(w, nullptr);
    };
    rest.tasks.for_each(drop);
    for (node* w = rest.ranked; w != nullptr; w = w->get_rank().next) {
      drop(*w);
    }
    host_side here(*this, false);
    settle(line, m.asker, here);
    wake_list awake;
    lock_type const lock(m.q->lock);
    m.q->unfinished -= n;
    m.q->give_back(rest);
    m.q->sleepers.wake_all(awake);
  }
  void resize(std::int64_t capacity) {
    host_side here(*this, false);
    lock_type lock;
    lock_line(line, lock, here);
    line.resize(capacity);
    tell_line(line, lock, nullptr, here);
  }
  [[nodiscard]] bool reserve(std::int64_t weight) {
    lock_type const lock(host.lock);
    return line.reserve(weight);
  }
  /// As `group_core::await_places`: counts the task, and waits for its places until it has them,
  /// the group is cancelled, or `ends` is set. Then submits the task, if it has the places.
  bool submit_within(member& m, int id, std::int64_t weight, bool takes_part = false,
                     explored::atomic<bool> const* ends = nullptr) {
    {
      lock_type const lock(m.q->lock);
      ++m.q->unfinished;
    }
    owner me(m, takes_part);
    host_side here(*this, false);
    bool const has_places =
        wait_for_places(line, m.asker, weight, {.leaves_tasks = true, .is_set = ends}, me, here);
    if (has_places) {
      submit(m, id, weight, true);
    } else {
      dropped[static_cast<std::size_t>(id)] = 1;
    }
    wake_list awake;
    lock_type const lock(m.q->lock);
    --m.q->unfinished;
    m.q->tell_sleepers(awake);
    return has_places;
  }
  /// As `group_core::notify`.
  static void notify(member& m) {
    wake_list awake;
    lock_type const lock(m.q->lock);
    m.q->sleepers.wake_all(awake);
  }
  /// A task that is not due yet, and that task when it is due.
  static void defer(member& m) {
    lock_type const lock(m.q->lock);
    ++m.q->due.later;
  }
  void submit_deferred(member& m, int id) {
    {
      lock_type const lock(m.q->lock);
      --m.q->due.later;
      ++m.q->unfinished;
    }
    submit(m, id);
    lock_type const lock(m.q->lock);
    --m.q->unfinished;
  }

  // --- waiting ---

  void wait(member& m, bool is_holding = false) {
    owner me(m);
    host_side here(*this, is_holding);
    check(wait_in_line(line, m.asker, {}, me, here), "the wait has ended too early");
  }
  void wait_for_others(member& m) {
    owner me(m, false);
    host_side here(*this, false);
    check(wait_in_line(line, m.asker, {.leaves_tasks = true}, me, here),
          "the wait has ended too early");
  }
  /// The waiter destroys the group: the explorer finds each access after that.
  void wait_and_destroy(member& m) {
    wait(m);
    {
      lock_type const lock(host.lock);
      line.leave(m.asker);
    }
    m.q.reset();
  }

  // --- oneTBB's workers ---

  /// Answers requests until `leave` is called.
  void work();
  void leave() { leaves_.store(true); }
  void send_request() {
    check(sent_.load() == answered_.load(), "two requests are open");
    sent_.fetch_add(1);
  }

  // --- the tasks ---

  std::array<std::function<void()>, most_tasks> bodies;
  std::array<int, most_tasks> ran{};
  std::array<int, most_tasks> dropped{};
  std::vector<int> order;         // in which tasks were begun
  std::int64_t used = 0;          // the places of the tasks that run, and do not wait
  std::int64_t most = 0;          // that may be used at once; 0: the capacity
  explored::atomic<int> some{0};  // as a test needs it
  explored::atomic<bool> gives_up{false};
  std::deque<member> members;

  void check_all(int n) {
    for (int i = 0; i != n; ++i) {
      auto const t = static_cast<std::size_t>(i);
      check(ran[t] + dropped[t] != 0, "a task was lost");
      check(ran[t] + dropped[t] == 1, "a task has run twice");
    }
    check(line.in_use() == 0 && used == 0, "places are in use at the end");
    {
      lock_type const lock(host.lock);
      (void)line.is_ready();  // drops the turns that are too many
    }
    check(line.waiting() == 0, "a turn was left behind");
    check(line.reserve(line.capacity()), "places are reserved at the end");
    check(host.running.load() == 0, "a thread is counted at the end");
  }
  void check_all_ran(int n) {
    check_all(n);
    check(static_cast<int>(order.size()) == n, "a task was dropped");
  }
  void check_order(std::vector<int> const& expected) {
    check(order == expected, "a task has overtaken another");
  }

  node* fresh_node() { return &nodes_[used_nodes_++]; }

  place_line line;
  task_queue host;

 private:
  struct task {
    world* of;
    int id;
  };

  void open(task_queue& q) { q.tasks.open(fresh_node()); }

  static void consume(node& n, queue_owner* runner) noexcept {
    task const t = *std::launder(reinterpret_cast<task*>(n.storage + node::rank_size));
    auto const id = static_cast<std::size_t>(t.id);
    if (runner == nullptr) {
      ++t.of->dropped[id];
      return;
    }
    world& w = *t.of;
    std::int64_t const weight = n.weight();
    w.order.push_back(t.id);
    ++w.ran[id];
    w.used += weight;
    std::int64_t const most = w.most != 0 ? w.most : w.line.capacity();
    check(w.used <= most || w.used == weight, "more places are in use than there are");
    (void)w.some.load();  // a point of the scenario
    if (w.bodies[id]) {
      w.bodies[id]();
    }
    w.used -= weight;
  }

  std::array<node, 32> nodes_{};
  std::size_t used_nodes_ = 0;
  explored::atomic<int> sent_{0};
  explored::atomic<int> answered_{0};
  explored::atomic<bool> leaves_{false};
};

void host_side::send_request() { w_.send_request(); }

template <class F>
void host_side::with(place_asker const& a, F const& f) {
  owner me(static_cast<member&>(*a.queue->current.owner));
  f(me);
}

turn_block* host_side::make_turns() { return new turn_block; }

node* host_side::make_node() { return w_.fresh_node(); }

/// A thread in the host's queue.
class runner {
 public:
  explicit runner(queue_owner& o) : w_(static_cast<world&>(o)) {}

  template <class Work>
  static void enter(session const& /*s*/, Work& work) {
    work();
  }
  [[nodiscard]] static bool ends_in_context(session const& /*s*/) { return false; }
  static void begin_task() {}
  void run(node& n) { n.consume(n, &w_); }
  [[nodiscard]] static bool refuse(node& /*n*/) { return false; }
  [[nodiscard]] static bool has_news() { return false; }
  static void run_due() {}
  [[nodiscard]] static bool is_over_limit(task_queue& /*q*/) { return false; }
  void send_request(task_queue& /*q*/) { w_.send_request(); }
  void answer(task_queue& q, session& s) { run_session(q, s, *this); }

 private:
  world& w_;
};

void world::work() {
  for (;;) {
    int seen = answered_.load();
    while (sent_.load() == seen) {
      if (leaves_.load()) {
        return;
      }
      explored::yield();
      seen = answered_.load();
    }
    if (answered_.compare_exchange_strong(seen, seen + 1)) {
      errgroup::detail::answer_request<runner>(host.life());
    }
  }
}

template <class SetUp, class AtEnd, class... Bodies>
void expect_within(limits const& bounds, std::int64_t capacity, SetUp const& set_up,
                   AtEnd const& at_end, Bodies const&... bodies) {
  auto const found = explore(
      [&](scenario& s) {
        auto w = std::make_shared<world>(capacity);
        set_up(*w);
        (s.thread([w, &bodies] { bodies(*w); }), ...);
        s.at_end([w, &at_end] { at_end(*w); });
      },
      bounds);
  EXPECT_TRUE(found) << found.what << ": " << found.schedule;
  EXPECT_GT(found.runs, 20U);
}

constexpr limits none{.preemptions = 0, .delays = 0};
constexpr limits one{.preemptions = 1, .delays = 0};
constexpr limits two{.preemptions = 2, .delays = 0};

constexpr limits delayed{.preemptions = 1, .delays = 1};

void one_group(world& w) { w.add(); }
void two_groups(world& w) {
  w.add();
  w.add();
}
void work(world& w) { w.work(); }

template <int N>
void all_ran(world& w) {
  w.check_all_ran(N);
}

// --- places ---

TEST(PlaceLine, L5_places_are_given_in_the_order_of_the_submissions_over_all_groups) {
  for (auto const& [bounds, tasks] : {std::pair(one, 4), std::pair(delayed, 2)}) {
    expect_within(
        bounds, 1, two_groups,
        [n = tasks](world& w) {
          w.check_all_ran(n);
          check(std::is_sorted(w.order.begin(), w.order.end()), "a task has overtaken another");
        },
        [n = tasks](world& w) {
          for (int i = 0; i != n; ++i) {
            w.submit(w.members[static_cast<std::size_t>(i % 2)], i);
          }
          w.wait(w.members[0]);
          w.wait(w.members[1]);
          w.leave();
        },
        work);
  }
}

TEST(PlaceLine, L1_no_more_places_are_in_use_than_there_are_with_two_workers) {
  expect_within(
      one, 2, two_groups, all_ran<3>,
      [](world& w) {
        w.submit(w.members[0], 0);
        w.submit(w.members[1], 1, 2);
        w.submit(w.members[0], 2);
        w.wait(w.members[1]);
        w.wait(w.members[0]);
        w.leave();
      },
      work, work);
}

TEST(PlaceLine, L5_a_heavy_task_at_the_head_is_not_overtaken) {
  expect_within(
      one, 2, two_groups,
      [](world& w) {
        w.check_all_ran(4);
        w.check_order({0, 1, 2, 3});
      },
      [](world& w) {
        w.submit(w.members[0], 0);
        w.submit(w.members[1], 1, 2);
        w.submit(w.members[0], 2);
        w.submit(w.members[1], 3, 2);
        w.wait(w.members[0]);
        w.wait(w.members[1]);
        w.leave();
      },
      work);
}

TEST(PlaceLine, L1_a_task_that_is_too_heavy_after_a_resize_runs_alone) {
  expect_within(
      one, 2,
      [](world& w) {
        one_group(w);
        w.most = 2;
      },
      all_ran<3>,
      [](world& w) {
        w.submit(w.members[0], 0);
        w.submit(w.members[0], 1, 2);
        w.submit(w.members[0], 2);
        w.wait(w.members[0]);
        w.leave();
      },
      [](world& w) { w.resize(1); }, work);
}

TEST(PlaceLine, L3_more_places_start_tasks_that_wait) {
  expect_within(
      none, 1,
      [](world& w) {
        one_group(w);
        w.most = 2;
        // Each of the tasks ends when the other has begun.
        auto const meet = [&w] {
          w.some.fetch_add(1);
          while (w.some.load() < 2) {
            explored::yield();
          }
        };
        w.bodies[0] = meet;
        w.bodies[1] = meet;
      },
      all_ran<2>,
      [](world& w) {
        w.submit(w.members[0], 0);
        w.submit(w.members[0], 1);
        w.resize(2);
        w.wait_for_others(w.members[0]);
        w.leave();
      },
      work, work);
}

TEST(PlaceLine, L1_a_reservation_counts_until_its_task_asks) {
  expect_within(
      two, 1, one_group,
      [](world& w) {
        w.check_all(2);
        check(w.some.load() != 0, "two reservations have been refused");
      },
      [](world& w) {
        bool const first = w.reserve(1);
        bool const second = w.reserve(1);
        check(!second || !first || w.ran[0] != 0 || w.ran[1] != 0, "a place was reserved twice");
        w.some.fetch_add(first ? 1 : 0);
        for (int i = 0; i != 2; ++i) {
          if (i == 0 ? first : second) {
            w.submit(w.members[0], i, 1, true);
          } else {
            w.dropped[static_cast<std::size_t>(i)] = 1;
          }
        }
        w.wait(w.members[0]);
        w.leave();
      },
      work);
}

// --- threads that wait for places ---

TEST(PlaceLine, L3_a_thread_that_waits_gets_its_places_when_they_are_free) {
  for (limits const& bounds : {one, delayed}) {
    expect_within(
        bounds, 2,
        [](world& w) {
          two_groups(w);
          w.submit(w.members[0], 0, 2);
        },
        all_ran<2>,
        [](world& w) {
          check(w.submit_within(w.members[1], 1, 2), "the places were refused");
          w.wait_for_others(w.members[1]);
          w.wait_for_others(w.members[0]);
          w.leave();
        },
        work);
  }
}

TEST(PlaceLine, W2_threads_that_wait_run_the_tasks_that_hold_the_places) {
  expect_within(
      one, 1,
      [](world& w) {
        two_groups(w);
        w.submit(w.members[0], 0);
      },
      all_ran<3>,
      [](world& w) {
        check(w.submit_within(w.members[1], 1, 1, true), "the places were refused");
        w.wait(w.members[1]);
      },
      [](world& w) {
        check(w.submit_within(w.members[0], 2, 1, true), "the places were refused");
        w.wait(w.members[0]);
      });
}

TEST(PlaceLine, L3_more_places_are_granted_to_a_thread_that_waits) {
  expect_within(
      two, 1,
      [](world& w) {
        one_group(w);
        w.most = 2;
        check(w.reserve(1), "the places were refused");
      },
      [](world& w) {
        w.line.unreserve(1);
        w.check_all_ran(1);
      },
      [](world& w) {
        check(w.submit_within(w.members[0], 0, 1), "the places were refused");
        w.wait(w.members[0]);
      },
      [](world& w) { w.resize(2); });
}

TEST(PlaceLine, L3_a_thread_that_gives_up_lets_the_next_one_go_on) {
  // Task 0 holds one of three places. The first thread wants three, and the second one wants one.
  expect_within(
      one, 3,
      [](world& w) {
        two_groups(w);
        check(w.reserve(1), "the places were refused");
      },
      [](world& w) {
        w.line.unreserve(1);
        w.check_all(2);
        check(w.dropped[0] == 1 && w.ran[1] == 1, "the wrong thread has got its places");
      },
      [](world& w) {
        check(!w.submit_within(w.members[0], 0, 3, false, &w.gives_up),
              "more places than there are");
      },
      [](world& w) {
        check(w.submit_within(w.members[1], 1, 1), "the places were refused");
        w.wait(w.members[1]);
      },
      [](world& w) {
        w.gives_up.store(true);
        world::notify(w.members[0]);
      });
}

TEST(PlaceLine, C1_a_cancellation_ends_the_wait_for_places_and_keeps_none) {
  expect_within(
      one, 1,
      [](world& w) {
        two_groups(w);
        w.submit(w.members[0], 0);
      },
      [](world& w) { w.check_all(2); },
      [](world& w) {
        (void)w.submit_within(w.members[1], 1, 1);
        w.wait_for_others(w.members[0]);
        w.leave();
      },
      [](world& w) { w.cancel(w.members[1]); }, work);
}

// --- own limits ---

TEST(PlaceLine, L1_a_task_that_waits_for_its_own_limit_holds_up_no_other_group) {
  expect_within(
      one, 2,
      [](world& w) {
        w.add(1);
        w.add();
        // Task 0 ends when task 2, which comes later, has begun.
        w.bodies[0] = [&w] {
          check(w.ran[1] == 0, "more tasks of the group run than its limit allows");
          while (w.some.load() == 0) {
            explored::yield();
          }
        };
        w.bodies[2] = [&w] { w.some.store(1); };
      },
      all_ran<3>,
      [](world& w) {
        w.submit(w.members[0], 0);
        w.submit(w.members[0], 1);
        w.submit(w.members[1], 2);
        w.wait_for_others(w.members[1]);
        w.wait_for_others(w.members[0]);
        w.leave();
      },
      work, work);
}

TEST(PlaceLine, L3_a_group_with_a_limit_asks_for_its_next_task) {
  expect_within(
      two, 2, [](world& w) { w.add(1); }, all_ran<3>,
      [](world& w) {
        for (int i = 0; i != 3; ++i) {
          w.submit(w.members[0], i);
        }
        w.wait_for_others(w.members[0]);
        w.leave();
      },
      work);
}

// --- levels ---

/// A task with a level.
void submit_ranked(world& w, std::size_t m, int id, int level, std::int64_t weight) {
  w.submit(w.members[m], id, weight, false, level);
}

TEST(PlaceLine, L9_the_places_of_a_group_go_to_its_task_of_the_highest_level) {
  expect_within(
      one, 2,
      [](world& w) {
        one_group(w);
        submit_ranked(w, 0, 0, ranked_tasks::low, 1);
        submit_ranked(w, 0, 1, ranked_tasks::usual, 2);
        submit_ranked(w, 0, 2, ranked_tasks::high, 2);
        submit_ranked(w, 0, 3, ranked_tasks::high, 1);
      },
      [](world& w) {
        w.check_all_ran(4);
        w.check_order({2, 3, 1, 0});
      },
      [](world& w) {
        w.wait(w.members[0]);
        w.leave();
      },
      work);
}

TEST(PlaceLine, L9_L1_the_level_whose_turn_it_is_gets_the_places_of_its_own_task) {
  // Task 0 weighs more than the others. It comes after eight tasks of the high level.
  expect_within(
      one, 2,
      [](world& w) {
        one_group(w);
        submit_ranked(w, 0, 0, ranked_tasks::usual, 2);
        for (int i = 1; i != 10; ++i) {
          submit_ranked(w, 0, i, ranked_tasks::high, 1);
        }
      },
      [](world& w) {
        w.check_all_ran(10);
        check(w.order[8] == 0, "a task has not come in its turn");
      },
      [](world& w) {
        w.wait(w.members[0]);
        w.leave();
      },
      work);
}

TEST(PlaceLine, L9_L3_a_heavy_task_that_comes_first_in_its_group_holds_up_none_for_ever) {
  expect_within(
      one, 2,
      [](world& w) {
        two_groups(w);
        submit_ranked(w, 1, 2, ranked_tasks::low, 2);
        submit_ranked(w, 1, 3, ranked_tasks::usual, 1);
      },
      all_ran<4>,
      [](world& w) {
        submit_ranked(w, 0, 0, ranked_tasks::low, 1);
        submit_ranked(w, 0, 1, ranked_tasks::high, 2);
        w.wait_for_others(w.members[0]);
        w.wait_for_others(w.members[1]);
        w.leave();
      },
      work);
}

TEST(PlaceLine, L9_C1_the_turns_of_tasks_of_each_level_end_with_a_cancellation) {
  expect_within(
      one, 1,
      [](world& w) {
        two_groups(w);
        submit_ranked(w, 0, 0, ranked_tasks::low, 1);
        submit_ranked(w, 0, 1, ranked_tasks::high, 3);
        submit_ranked(w, 1, 2, ranked_tasks::low, 1);
      },
      [](world& w) {
        w.check_all(3);
        check(w.ran[2] == 1, "a task of another group was dropped");
      },
      [](world& w) {
        w.wait_for_others(w.members[1]);
        w.wait_for_others(w.members[0]);
        w.leave();
      },
      [](world& w) { w.cancel(w.members[0]); }, work);
}

// --- waiting ---

TEST(PlaceLine, W2_waiters_alone_run_the_tasks_of_their_groups) {
  for (limits const& bounds : {two, delayed}) {
    expect_within(
        bounds, 1, two_groups, all_ran<3>,
        [](world& w) {
          w.submit(w.members[0], 0);
          w.submit(w.members[0], 1);
          w.wait(w.members[0]);
        },
        [](world& w) {
          w.submit(w.members[1], 2);
          w.wait(w.members[1]);
        });
  }
}

TEST(PlaceLine, W2_a_waiter_that_leaves_wakes_another_for_the_task_that_is_next) {
  // The first thread runs task 0 and leaves. The second one sleeps until then: its group has no
  // task in the line, but a task that is not due.
  expect_within(
      one, 1,
      [](world& w) {
        two_groups(w);
        w.add();
        w.defer(w.members[1]);
        w.submit(w.members[0], 0);
        w.submit(w.members[2], 1);
      },
      all_ran<3>, [](world& w) { w.wait(w.members[0]); }, [](world& w) { w.wait(w.members[1]); },
      [](world& w) {
        w.wait_for_others(w.members[2]);
        w.submit_deferred(w.members[1], 2);
        wake_list awake;
        lock_type const lock(w.members[1].q->lock);
        w.members[1].q->tell_sleepers(awake);
      });
}

TEST(PlaceLine, W2_a_waiter_that_goes_on_with_other_groups_leaves_when_its_group_is_done) {
  // Task 2 ends when the wait for the first group has returned.
  expect_within(
      one, 1,
      [](world& w) {
        two_groups(w);
        w.bodies[2] = [&w] {
          while (w.some.load() == 0) {
            explored::yield();
          }
        };
        w.submit(w.members[1], 0);
        w.submit(w.members[0], 1);
        w.submit(w.members[1], 2);
      },
      [](world& w) {
        w.check_all_ran(3);
        w.check_order({0, 1, 2});
      },
      [](world& w) {
        w.wait(w.members[0]);
        w.some.store(1);
      },
      [](world& w) { w.wait(w.members[1]); });
}

TEST(PlaceLine, W2_a_waiter_that_goes_on_wakes_another_for_the_task_that_is_next) {
  // Task 0 holds both places. Each of the other tasks ends when the other has begun.
  expect_within(
      one, 2,
      [](world& w) {
        two_groups(w);
        auto const meet = [&w] {
          w.some.fetch_add(1);
          while (w.some.load() < 2) {
            explored::yield();
          }
        };
        w.bodies[1] = meet;
        w.bodies[2] = meet;
        w.submit(w.members[1], 0, 2);
        w.submit(w.members[0], 1);
        w.submit(w.members[1], 2);
      },
      all_ran<3>, [](world& w) { w.wait(w.members[0]); }, [](world& w) { w.wait(w.members[1]); });
}

TEST(PlaceLine, W1_the_waiter_may_destroy_the_group) {
  for (limits const& bounds : {two, delayed}) {
    expect_within(
        bounds, 1, two_groups, all_ran<2>,
        [](world& w) {
          w.submit(w.members[0], 0);
          w.submit(w.members[1], 1);
          w.wait_and_destroy(w.members[0]);
          w.wait_and_destroy(w.members[1]);
          w.leave();
        },
        work);
  }
}

TEST(PlaceLine, W4_an_isolated_waiter_runs_no_task_of_another_group) {
  expect_within(
      two, 1,
      [](world& w) {
        two_groups(w);
        w.members[1].asker.is_isolated = true;
        w.submit(w.members[0], 0);
        w.submit(w.members[1], 1);
      },
      [](world& w) {
        w.check_all_ran(2);
        w.check_order({1, 0});
      },
      [](world& w) {
        w.wait(w.members[1]);
        check(w.ran[0] == 0, "a task of another group was run");
        w.some.store(1);
      },
      [](world& w) {
        while (w.some.load() == 0) {
          explored::yield();
        }
        w.wait(w.members[0]);
      });
}

// --- nesting ---

TEST(PlaceLine, L4_a_task_that_holds_all_places_waits_for_a_group_of_the_same_limiter) {
  for (limits const& bounds : {one, delayed}) {
    expect_within(
        bounds, 1,
        [](world& w) {
          two_groups(w);
          w.bodies[0] = [&w] {
            w.submit(w.members[1], 2);
            w.submit(w.members[1], 3, 5);
            --w.used;
            w.wait(w.members[1], true);
            ++w.used;
          };
        },
        [](world& w) {
          w.check_all_ran(4);
          w.check_order({0, 2, 3, 1});
        },
        [](world& w) {
          w.submit(w.members[0], 0);
          w.submit(w.members[0], 1);
          w.wait(w.members[0]);
          w.leave();
        },
        work);
  }
}

TEST(PlaceLine, L4_a_waiter_that_holds_places_wakes_for_a_task_of_its_group) {
  expect_within(
      two, 1,
      [](world& w) {
        two_groups(w);
        w.bodies[0] = [&w] {
          w.defer(w.members[1]);
          w.some.store(1);
          --w.used;
          w.wait(w.members[1], true);
          ++w.used;
        };
        w.submit(w.members[0], 0);
      },
      all_ran<2>, [](world& w) { w.wait(w.members[0]); },
      [](world& w) {
        while (w.some.load() == 0) {
          explored::yield();
        }
        w.submit_deferred(w.members[1], 1);
        wake_list awake;
        lock_type const lock(w.members[1].q->lock);
        w.members[1].q->tell_sleepers(awake);
      });
}

TEST(PlaceLine, L1_other_threads_take_tasks_of_a_nested_group_on_places_of_their_own) {
  expect_within(
      one, 2,
      [](world& w) {
        two_groups(w);
        w.bodies[0] = [&w] {
          w.submit(w.members[1], 1);
          w.submit(w.members[1], 2);
          --w.used;
          w.wait(w.members[1], true);
          ++w.used;
        };
      },
      all_ran<3>,
      [](world& w) {
        w.submit(w.members[0], 0);
        w.wait_for_others(w.members[0]);
        w.leave();
      },
      work, work);
}

// --- cancellation ---

TEST(PlaceLine, C1_the_turns_of_a_cancelled_group_hold_up_no_other_group) {
  for (limits const& bounds : {one, delayed}) {
    expect_within(
        bounds, 1,
        [](world& w) {
          two_groups(w);
          w.submit(w.members[0], 0);
          w.submit(w.members[0], 1, 3);
          w.submit(w.members[1], 2);
        },
        [](world& w) { w.check_all(3); },
        [](world& w) {
          w.wait_for_others(w.members[1]);
          w.wait_for_others(w.members[0]);
          w.leave();
        },
        [](world& w) { w.cancel(w.members[0]); }, work);
  }
}

}  // namespace
