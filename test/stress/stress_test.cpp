// SPDX-License-Identifier: Apache-2.0

// Everything at once, in many short rounds: what a round does is drawn from its seed, when it does
// it is up to the machine. A failure prints the seed; ERRGROUP_STRESS_SEED=<seed> starts with it
// again, and ERRGROUP_STRESS_ROUNDS=<factor> makes it that many times longer.

#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/sanitizers.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/scope.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/task_arena.h>      // task_arena
#include <tbb/task_group.h>      // is_current_task_group_canceling, task_group

#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <cstdint>       // uint64_t
#include <cstdlib>       // getenv, strtoull
#include <memory>        // make_unique, unique_ptr
#include <mutex>         // mutex, scoped_lock
#include <optional>      // optional
#include <random>        // random_device
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_source, stop_token
#include <string>        // string, to_string
#include <system_error>  // errc, error_code
#include <thread>        // thread
#include <utility>       // move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::npos;
using errgroup::options;
using support::counted;
using support::dawdle;
using support::task_census;
using support::watchdog;

std::uint64_t number_from(char const* variable, std::uint64_t otherwise) {
  char const* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// splitmix64: one for each round and each task, so that what is drawn does not depend on who is
/// first.
class dice {
 public:
  explicit dice(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t roll() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  int below(int n) noexcept { return static_cast<int>(roll() % static_cast<std::uint64_t>(n)); }
  bool one_in(int n) noexcept { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

options draw_options(dice& d) {
  options o;
  constexpr int limits[] = {errgroup::unlimited, errgroup::unlimited, 1, 2, 3, 1000};
  constexpr std::size_t queues[] = {npos, npos, 0, 1, 5};
  o.limit = limits[d.below(6)];
  o.queue = queues[d.below(5)];
  o.policy = d.one_in(3) ? errgroup::on_error::keep_going : errgroup::on_error::cancel;
  o.isolated = d.one_in(6);
  if (d.one_in(8)) {
    o.name = "stressed";
  }
  return o;
}

/// A group, and what is known about it.
struct world {
  group& g;
  int limit;
  bool may_fail;  // if not, nothing may go wrong
  std::atomic<std::size_t> submitted{0};
  std::atomic<std::size_t> ran{0};
  task_census census{};

  world(group& the_group, options const& o, bool fails) noexcept
      : g(the_group), limit(o.limit), may_fail(fails) {}
};

void submit(world& w, std::uint64_t seed, int depth, bool inside);

/// A group inside a task, in all that a task may do with one.
void use_nested_group(std::uint64_t seed, bool may_fail, int depth) {
  dice d(seed);
  options const o = draw_options(d);
  group nested(o);
  world w(nested, o, may_fail);
  int const n = d.below(5);
  for (int i = 0; i != n; ++i) {
    submit(w, d.roll(), depth - 1, false);
  }
  if (d.one_in(6) && may_fail) {
    return;  // not waited for
  }
  error const err = nested.wait();
  if (w.limit != errgroup::unlimited) {
    EXPECT_LE(w.census.most(), w.limit);
  }
  EXPECT_EQ(w.ran + err.skipped(), w.submitted) << "nested: " << err;
}

/// What a task does. Where nothing may fail, it does not.
error act(world& w, std::uint64_t seed, int depth) {
  dice d(seed);
  switch (d.below(12)) {
    case 0:
      dawdle(d.below(5));
      return {};
    case 1:
    case 2:
      if (depth > 0) {
        int const n = d.below(4);
        for (int i = 0; i != n; ++i) {
          submit(w, d.roll(), depth - 1, true);
        }
      }
      return {};
    case 3:
    case 4:
      if (depth > 0) {
        use_nested_group(d.roll(), w.may_fail, depth);
      }
      return {};
    case 5: {
      std::atomic<int> sum{0};
      tbb::parallel_for(0, 20, [&](int) { ++sum; });
      if (sum != 20) {
        EXPECT_TRUE(errgroup::check()) << "a loop gave up, and nobody says why";
      }
      return errgroup::check();
    }
    case 6:
      EXPECT_EQ(w.g.wait(), errc::would_deadlock);
      return {};
    case 7: {
      tbb::task_group raw;
      std::atomic<int> sum{0};
      raw.run([&] { ++sum; });
      raw.run_and_wait([&] { ++sum; });
      return {};
    }
    case 8: {
      std::stop_token const token = w.g.get_stop_token();
      EXPECT_EQ(token.stop_possible(), true);
      return {};
    }
    case 9:
      if (w.may_fail && d.one_in(4)) {
        throw std::runtime_error("drawn");
      }
      return {};
    case 10:
      if (w.may_fail && d.one_in(4)) {
        return std::make_error_code(std::errc::io_error);
      }
      return {};
    default:
      if (w.may_fail && d.one_in(8)) {
        w.g.cancel();
      }
      return {};
  }
}

void submit(world& w, std::uint64_t seed, int depth, bool inside) {
  dice d(seed);
  std::uint64_t const next = d.roll();
  auto task = [&w, next, depth, payload = counted()]() -> error {
    task_census::presence const here(w.census);
    ++w.ran;
    return act(w, next, depth);
  };
  if (d.one_in(5)) {
    // Before: whoever waits may look as soon as it has run.
    ++w.submitted;
    if (!w.g.try_run(task)) {
      --w.submitted;
    }
    return;
  }
  ++w.submitted;
  if (inside) {
    task_census::submit(w.g, task);
  } else if (d.one_in(4)) {
    w.g.run("a name", task);
  } else {
    w.g.run(task);
  }
}

/// At the end, when nobody submits any more.
void check_books(world& w, error const& err) {
  EXPECT_EQ(w.ran + err.skipped(), w.submitted) << err;
  EXPECT_EQ(counted::live(), 0) << err;
  if (w.limit != errgroup::unlimited) {
    EXPECT_LE(w.census.most(), w.limit);
  }
  if (!w.may_fail) {
    EXPECT_FALSE(err) << err;
  }
}

class Stress : public support::no_leaks {
 protected:
  /// Calls `round(dice&)` many times.
  template <class Round>
  void many_rounds(int rounds, Round round) {
    std::uint64_t seed = number_from("ERRGROUP_STRESS_SEED", std::random_device{}());
    rounds *= static_cast<int>(number_from("ERRGROUP_STRESS_ROUNDS", 1));
    for (int i = 0; i != rounds && !HasFailure(); ++i, ++seed) {
      std::string const what = "a round with ERRGROUP_STRESS_SEED=" + std::to_string(seed);
      SCOPED_TRACE(what);
      watchdog const guard(what.c_str());
      dice d(seed);
      round(d);
    }
  }
};

TEST_F(Stress, Many_submit_many_wait_and_nothing_fails) {
  many_rounds(400, [](dice& d) {
    options const o = draw_options(d);
    group g(o);
    world w(g, o, false);
    std::vector<std::thread> threads;
    int const submitters = 1 + d.below(3);
    int const waiters = d.below(3);
    for (int t = 0; t != submitters; ++t) {
      threads.emplace_back([&w, seed = d.roll()] {
        dice mine(seed);
        int const n = mine.below(30);
        for (int i = 0; i != n; ++i) {
          submit(w, mine.roll(), 3, false);
        }
        if (mine.one_in(2)) {
          EXPECT_FALSE(w.g.wait());
        }
      });
    }
    for (int t = 0; t != waiters; ++t) {
      threads.emplace_back([&w] { EXPECT_FALSE(w.g.wait()); });
    }
    if (d.one_in(2)) {
      EXPECT_FALSE(g.wait());
    }
    for (auto& t : threads) {
      t.join();
    }
    check_books(w, g.wait());
  });
}

/// One thread or two that submit fewer than `most` tasks each.
void add_submitters(std::vector<std::thread>& threads, world& w, dice& d, int most) {
  int const submitters = 1 + d.below(2);
  for (int t = 0; t != submitters; ++t) {
    threads.emplace_back([&w, most, seed = d.roll()] {
      dice mine(seed);
      int const n = mine.below(most);
      for (int i = 0; i != n; ++i) {
        submit(w, mine.roll(), 3, false);
      }
    });
  }
}

TEST_F(Stress, Tasks_fail_others_cancel_and_the_books_balance) {
  many_rounds(400, [](dice& d) {
    std::stop_source stop;
    options o = draw_options(d);
    if (d.one_in(4)) {
      o.stop = stop.get_token();
    }
    group g(o);
    for (int life = 0; life != 3; ++life) {
      world w(g, o, true);
      std::vector<std::thread> threads;
      add_submitters(threads, w, d, 30);
      int const cancels = d.below(3);
      for (int t = 0; t != cancels; ++t) {
        threads.emplace_back([&g, seed = d.roll()] {
          dice mine(seed);
          dawdle(mine.below(50));
          if (mine.one_in(2)) {
            g.cancel();
          } else {
            g.cancel(std::make_error_code(std::errc::timed_out));
          }
        });
      }
      if (o.stop.stop_possible() && d.one_in(2)) {
        threads.emplace_back([&stop] { stop.request_stop(); });
      }
      if (d.one_in(2)) {
        threads.emplace_back([&g] { (void)g.wait(); });
      }
      (void)g.wait();
      for (auto& t : threads) {
        t.join();
      }
      error const err = g.wait();
      check_books(w, err);
      EXPECT_EQ(g.wait(), err);
      if (cancels != 0 || stop.stop_requested()) {
        EXPECT_TRUE(err);
      }
      EXPECT_TRUE(err || err.skipped() == 0);
      g.reset();
      EXPECT_EQ(g.is_canceling(), stop.stop_requested());
      if (stop.stop_requested()) {
        break;
      }
    }
  });
}

TEST_F(Stress, The_destructor_joins_whatever_goes_on) {
  many_rounds(600, [](dice& d) {
    options const o = draw_options(d);
    auto g = std::make_unique<group>(o);
    world w(*g, o, true);
    int const n = d.below(40);
    for (int i = 0; i != n; ++i) {
      submit(w, d.roll(), 3, false);
    }
    dawdle(d.below(10));
    if (d.one_in(3)) {
      std::thread([&g] { g.reset(); }).join();
    } else if (d.one_in(3)) {
      // Without a limit, a thread in a wait inside one of g's tasks might take this one, and would
      // wait for what is below it on its stack.
      group other{{.limit = 1}};
      other.run([&g] { g.reset(); });
      EXPECT_FALSE(other.wait());
    } else {
      g.reset();
    }
    EXPECT_LE(w.ran, w.submitted);
    EXPECT_EQ(counted::live(), 0);
  });
}

TEST_F(Stress, Waiters_destroy_the_group_as_soon_as_they_may) {
  many_rounds(2000, [](dice& d) {
    // Everybody who uses the group has a share in it; the last to have waited destroys it, while
    // oneTBB's threads may still be on their way out.
    options const o = draw_options(d);
    auto g = std::make_shared<group>(o);
    std::atomic<int> ran{0};
    int const n = 1 + d.below(4);
    for (int i = 0; i != n; ++i) {
      g->run([&ran, payload = counted()] { ++ran; });
    }
    std::thread other;
    if (d.one_in(4)) {
      other = std::thread([mine = g]() mutable {
        EXPECT_FALSE(mine->wait());
        mine.reset();
      });
    }
    EXPECT_FALSE(g->wait());
    EXPECT_EQ(ran, n);
    g.reset();
    if (other.joinable()) {
      other.join();
    }
  });
}

TEST_F(Stress, A_tree_of_groups_is_cancelled_at_the_root) {
  many_rounds(300, [](dice& d) {
    options const o = draw_options(d);
    group root(o);
    world w(root, o, true);
    for (int i = 0; i != 6; ++i) {
      ++w.submitted;
      root.run([&w, seed = d.roll(), payload = counted()] {
        ++w.ran;
        dice mine(seed);
        for (int k = 0; k != 3; ++k) {
          use_nested_group(mine.roll(), true, 4);
        }
      });
      if (d.one_in(8)) {
        root.cancel();
      }
    }
    dawdle(d.below(20));
    if (d.one_in(2)) {
      root.cancel();
    }
    check_books(w, root.wait());
  });
}

/// Groups made in tasks, which stay when those have ended. Idle then, but for what the group's end
/// waits for.
class survivors {
 public:
  void make_one(std::uint64_t seed) {
    dice d(seed);
    auto made = std::make_unique<group>(draw_options(d));
    int const n = d.below(4);
    for (int i = 0; i != n; ++i) {
      made->run([payload = counted()] { dawdle(1); });
    }
    if (d.one_in(2)) {
      (void)made->wait();
    }
    std::scoped_lock guard(mutex_);
    groups_.push_back(std::move(made));
  }

  void use_all(std::uint64_t seed) {
    dice d(seed);
    for (auto& g : groups_) {
      if (d.one_in(3)) {
        continue;
      }
      (void)g->wait();
      g->reset();
      std::atomic<int> ran{0};
      int const n = d.below(20);
      for (int i = 0; i != n; ++i) {
        g->run([&ran, payload = counted()] { ++ran; });
      }
      error const err = g->wait();
      EXPECT_FALSE(err) << err;
      EXPECT_EQ(ran, n);
    }
    groups_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<group>> groups_;
};

TEST_F(Stress, Long_queues_are_filled_and_taken_by_many_while_workers_come_and_go) {
  many_rounds(300, [](dice& d) {
    options const o = draw_options(d);
    bool const may_fail = d.one_in(2);
    std::optional<tbb::global_control> allowed;
    auto allow = [&allowed](int threads) {
      allowed.reset();
      allowed.emplace(tbb::global_control::max_allowed_parallelism,
                      static_cast<std::size_t>(threads));
    };
    constexpr int threads_allowed[] = {1, 2, 3, 8};
    allow(threads_allowed[d.below(4)]);
    group g(o);
    survivors left;
    for (int life = 0; life != 3; ++life) {
      world w(g, o, may_fail);
      std::vector<std::thread> threads;
      int const submitters = 1 + d.below(3);
      for (int t = 0; t != submitters; ++t) {
        threads.emplace_back([&w, &left, seed = d.roll()] {
          dice mine(seed);
          int const n = mine.below(300);
          int const slow = 1 + mine.below(60);
          for (int i = 0; i != n; ++i) {
            std::uint64_t const next = mine.roll();
            auto task = [&w, &left, next, slow, payload = counted()] {
              task_census::presence const here(w.census);
              ++w.ran;
              dice lot(next);
              if (lot.one_in(slow)) {
                dawdle(lot.below(30));  // keeps the rest of its page from its own thread
              }
              if (lot.one_in(60)) {
                left.make_one(lot.roll());
              }
              if (lot.one_in(100)) {
                use_nested_group(lot.roll(), w.may_fail, 2);
              }
            };
            ++w.submitted;
            if (mine.one_in(4)) {
              if (!w.g.try_run(task)) {
                --w.submitted;
              }
            } else {
              w.g.run(task);
            }
          }
          if (mine.one_in(3)) {
            (void)w.g.wait();
          }
        });
      }
      int const waiters = d.below(4);
      for (int t = 0; t != waiters; ++t) {
        threads.emplace_back([&g, seed = d.roll()] {
          dawdle(dice(seed).below(20));
          (void)g.wait();
        });
      }
      bool const cancels = may_fail && d.one_in(2);
      if (cancels) {
        threads.emplace_back([&g, seed = d.roll()] {
          dice mine(seed);
          dawdle(mine.below(100));
          if (mine.one_in(2)) {
            g.cancel();
          } else {
            g.context().cancel_group_execution();
          }
        });
      }
      if (d.one_in(2)) {
        dawdle(d.below(20));
        allow(threads_allowed[d.below(4)]);
      }
      for (auto& t : threads) {
        t.join();
      }
      error const err = g.wait();
      EXPECT_EQ(w.ran + err.skipped(), w.submitted) << err;
      if (w.limit != errgroup::unlimited) {
        EXPECT_LE(w.census.most(), w.limit);
      }
      if (!may_fail) {
        EXPECT_FALSE(err) << err;
      }
      left.use_all(d.roll());
      EXPECT_EQ(counted::live(), 0) << err;
      g.reset();
    }
    // Whatever there was: tasks of a limited group start without anyone waiting (L3).
    if (o.limit != errgroup::unlimited) {
      support::gate ran("a task to start that nobody waits for");
      g.run([&ran] { ran.open(); });
      ran.wait();
      EXPECT_FALSE(g.wait());
    }
  });
}

// oneTBB may overlook a task that is spawned while its last worker turns away. Each group is one
// chance to meet that moment; without the second look it was met in less than 10^5.
TEST_F(Stress, L3_What_comes_from_outside_starts_though_nobody_waits) {
  support::with_workers(1, [&] {
    constexpr int groups =
        support::thread_sanitizer || support::address_sanitizer ? 10'000 : 100'000;
    many_rounds(3, [](dice& d) {
      group lasting;
      for (int i = 0; i != groups; ++i) {
        group passing;
        group& g = d.one_in(2) ? lasting : passing;
        std::atomic<bool> ran{false};
        g.run([&ran] { ran = true; });
        while (!ran) {
          std::this_thread::yield();
        }
        for (int n = d.below(20'000); n != 0; --n) {
          std::atomic_signal_fence(std::memory_order_seq_cst);
        }
      }
      EXPECT_FALSE(lasting.wait());
    });
  });
}

// The worker serves the arenas of all threads, one after the other: a task may start late, but it
// starts. ERRGROUP_STRESS_ROUNDS=500 makes ten million groups.
TEST_F(Stress, L3_What_many_threads_submit_starts_though_nobody_waits) {
  support::with_workers(1, [&] {
    constexpr int groups = 2'500;
    many_rounds(1, [](dice& /*d*/) {
      std::vector<std::thread> threads;
      for (int t = 0; t != 8; ++t) {
        threads.emplace_back([] {
          tbb::task_arena arena(2);  // with room for a worker, on a machine with one CPU, too
          arena.execute([] {
            for (int i = 0; i != groups; ++i) {
              group g;
              std::atomic<bool> ran{false};
              g.run([&ran] { ran = true; });
              while (!ran) {
                std::this_thread::yield();
              }
            }
          });
        });
      }
      for (auto& t : threads) {
        t.join();
      }
    });
  });
}

TEST_F(Stress, The_same_without_workers) {
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  many_rounds(300, [](dice& d) {
    options const o = draw_options(d);
    bool const may_fail = d.one_in(2);
    group g(o);
    world w(g, o, may_fail);
    std::vector<std::thread> threads;
    add_submitters(threads, w, d, 20);
    for (auto& t : threads) {
      t.join();
    }
    check_books(w, g.wait());
  });
}

}  // namespace
