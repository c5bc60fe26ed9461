// SPDX-License-Identifier: Apache-2.0

// Many rounds of what handles go through: waited for by many, cancelled at every point, dropped,
// outliving their groups.

#include "support/callables.hpp"
#include "support/gate.hpp"
#include "support/sanitizers.hpp"
#include "support/watchdog.hpp"
#include <errgroup/group.hpp>
#include <errgroup/spawn.hpp>

#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control

#include <array>         // array
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <memory>        // make_shared, make_unique, shared_ptr
#include <optional>      // optional
#include <random>        // mt19937
#include <stop_token>    // stop_token
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <thread>        // thread
#include <utility>       // move
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::handle;
using errgroup::options;
using errgroup::result;
using errgroup::spawn;
using errgroup::unlimited;
using support::counted;
using support::rendezvous;
using support::watchdog;

constexpr int slow = support::thread_sanitizer ? 10 : support::address_sanitizer ? 4 : 1;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

constexpr std::array limits{1, 2, unlimited};

class SpawnStress : public support::no_leaks {
 protected:
  static constexpr int rounds = 2000 / slow;
  std::mt19937 random{42};

  /// Lets some time pass; less than a round takes.
  void a_while(unsigned most = 300) {
    for (auto n = random() % most; n != 0; --n) {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    }
  }
};

TEST_F(SpawnStress, Many_wait_for_one) {
  watchdog const guard("many that wait for one");
  for (int i = 0; i != rounds / 10; ++i) {
    for (int const limit : limits) {
      group g{{.limit = limit}};
      rendezvous met(5);
      auto h = spawn(g, [a = counted()] { return std::make_unique<int>(7); });
      auto inside = spawn(g, [&] { h.wait(); });
      std::vector<std::thread> all;
      for (int t = 0; t != 4; ++t) {
        all.emplace_back([&] {
          met.arrive_and_wait();
          h.wait();
          ASSERT_TRUE(h.ready());
          ASSERT_EQ(counted::live(), 0);
        });
      }
      met.arrive_and_wait();
      h.wait();
      for (auto& t : all) {
        t.join();
      }
      ASSERT_TRUE(inside.get());
      ASSERT_EQ(*h.get().value(), 7);
      ASSERT_FALSE(g.wait());
    }
  }
}

TEST_F(SpawnStress, A_cancel_at_every_point_of_one_task) {
  watchdog const guard("tasks that are cancelled");
  std::array<int, 3> seen{};
  for (int i = 0; i != rounds; ++i) {
    for (int const limit : limits) {
      std::atomic<int> ran{0};
      group g{{.limit = limit}};
      rendezvous met(2);
      auto h = spawn(g, [&, a = counted()](std::stop_token t) {
        ++ran;
        group inner;
        auto deep = spawn(inner, [t] { return t.stop_requested() ? 1 : 2; });
        (void)inner.wait();
        return deep.get();
      });
      auto sibling = spawn(g, [&h] {
        h.wait();
        return 3;
      });
      std::thread canceler([&] {
        met.arrive_and_wait();
        h.cancel();
      });
      met.arrive_and_wait();
      a_while();
      switch (i % 3) {
        case 0:
          h.wait();
          break;
        case 1:
          ASSERT_FALSE(g.wait());
          break;
        default:
          sibling.wait();
      }
      h.wait();
      ASSERT_EQ(counted::live(), 0);
      canceler.join();
      sibling.wait();
      auto const r = h.get();
      ASSERT_TRUE(r || r.error() == errc::canceled) << r.error();
      ASSERT_TRUE(!r || *r == 2);
      ASSERT_LE(ran, 1);
      ++seen[r ? 0 : ran == 1 ? 1 : 2];
      error const e = g.wait();
      ASSERT_FALSE(e) << e;
      ASSERT_EQ(e.skipped(), 0U);
    }
  }
  RecordProperty("finished", seen[0]);
  RecordProperty("cancelled while it ran", seen[1]);
  RecordProperty("never ran", seen[2]);
}

TEST_F(SpawnStress, A_cancel_is_never_lost) {
  watchdog const guard("a task that was cancelled to end");
  for (int i = 0; i != rounds; ++i) {
    for (int const limit : limits) {
      group g{{.limit = limit}};
      auto h = spawn(g, [](std::stop_token t) {
        while (!t.stop_requested()) {
          std::this_thread::yield();
        }
      });
      a_while(i % 2 == 0 ? 300 : 20'000);
      h.cancel();
      ASSERT_EQ(h.get().error(), errc::canceled);
      error const e = g.wait();
      ASSERT_FALSE(e) << e;
    }
  }
}

// The group may be destroyed as soon as its wait has returned, beside a cancel() of a handle, and
// what the callable holds is gone by then.
TEST_F(SpawnStress, W1_A_cancel_beside_the_end_of_the_group) {
  watchdog const guard("a cancel beside the end of a group");
  for (int i = 0; i != 2 * rounds; ++i) {
    for (int const limit : limits) {
      auto const told = std::make_shared<int>(0);
      auto g = std::make_unique<group>(options{.limit = limit});
      rendezvous met(2);
      auto before = spawn(*g, [] {});
      auto h = spawn(*g, [told, a = counted()] { return *told; });
      std::thread canceler([&] {
        met.arrive_and_wait();
        h.cancel();
      });
      met.arrive_and_wait();
      a_while();
      if (i % 2 == 0) {
        h.wait();
      }
      if (i % 4 != 3) {
        ASSERT_FALSE(g->wait());
      }
      g.reset();
      ASSERT_EQ(counted::live(), 0);
      ASSERT_EQ(told.use_count(), 1);
      canceler.join();
      ASSERT_TRUE(h.ready());
    }
  }
}

TEST_F(SpawnStress, The_group_is_cancelled_fails_or_ends_at_any_moment) {
  watchdog const guard("groups that end");
  for (int i = 0; i != rounds; ++i) {
    for (int const limit : limits) {
      std::vector<handle<std::string>> all;
      std::atomic<std::size_t> ran{0};
      {
        group g{{.limit = limit}};
        std::thread canceler;
        if (i % 3 == 0) {
          canceler = std::thread([&] { g.cancel(cause()); });
        }
        for (int k = 0; k != 8; ++k) {
          auto h = spawn(g, [&, k, a = counted()]() -> result<std::string> {
            ++ran;
            if (i % 3 == 1 && k == 3) {
              return cause();
            }
            return std::string(40, 'x');
          });
          if (k % 4 != 0) {
            all.push_back(std::move(h));
          }
        }
        if (canceler.joinable()) {
          canceler.join();
        }
        if (i % 2 == 0) {
          error const e = g.wait();
          ASSERT_TRUE(!e || e == cause()) << e;
          ASSERT_LE(ran + e.skipped(), 8U);
        }
      }
      ASSERT_EQ(counted::live(), 0);
      for (auto& h : all) {
        ASSERT_TRUE(h.ready());
        auto const r = h.get();
        ASSERT_TRUE(r || r.error() == cause() || r.error() == errc::canceled) << r.error();
      }
    }
  }
}

// Tasks wait for some of those that were spawned before them, and a few of them are cancelled: no
// circle, whatever takes them on whichever stack.
TEST_F(SpawnStress, A_net_of_tasks_that_wait_for_one_another) {
  watchdog const guard("a net of tasks");
  for (int i = 0; i != rounds / 10; ++i) {
    for (int const limit : limits) {
      constexpr std::size_t n = 100;
      std::vector<std::optional<handle<int>>> all(n);
      std::array<std::array<std::size_t, 3>, n> before{};
      for (std::size_t k = 1; k != n; ++k) {
        for (auto& b : before[k]) {
          b = random() % k;
        }
      }
      group g{{.limit = limit}};
      for (std::size_t k = 0; k != n; ++k) {
        all[k] = spawn(g, [&, k] {
          for (std::size_t const b : before[k]) {
            if (k != 0) {
              all[b]->wait();
              EXPECT_TRUE(all[b]->ready());
            }
          }
          auto child = spawn(g, [] { return 1; });
          auto const r = child.get();
          EXPECT_TRUE(r) << r.error();
          return r ? *r : 0;
        });
      }
      for (std::size_t k = 0; k < n; k += 17) {
        all[k]->cancel();
      }
      std::thread other([&] {
        for (auto& h : all) {
          h->wait();
        }
      });
      all[n - 1]->wait();
      other.join();
      error const e = g.wait();
      ASSERT_FALSE(e) << e;
      for (std::size_t k = 0; k != n; ++k) {
        auto const r = all[k]->get();
        if (k % 17 != 0) {
          ASSERT_TRUE(r) << r.error();
        }
      }
    }
  }
}

int fib(group& g, int n) {
  if (n < 2) {
    return n;
  }
  auto left = spawn(g, [&g, n] { return fib(g, n - 1); });
  int const right = fib(g, n - 2);
  return left.get().value() + right;
}

TEST_F(SpawnStress, A_tree_of_handles) {
  watchdog const guard("fib");
  for (int i = 0; i != rounds / 100; ++i) {
    for (int const limit : limits) {
      group g{{.limit = limit}};
      auto h = spawn(g, [&g] { return fib(g, 14); });
      ASSERT_EQ(h.get().value(), 377);
      ASSERT_FALSE(g.wait());
    }
  }
}

TEST_F(SpawnStress, Many_threads_spawn_and_get) {
  watchdog const guard("threads that spawn");
  for (int i = 0; i != rounds / 20; ++i) {
    for (int const limit : limits) {
      for (std::size_t const room : {errgroup::npos, std::size_t(0), std::size_t(3)}) {
        group g{{.limit = limit, .queue = room}};
        std::vector<std::thread> all;
        for (int t = 0; t != 4; ++t) {
          all.emplace_back([&] {
            handle<int> last = spawn(g, [] { return 0; });
            for (int k = 0; k != 20; ++k) {
              auto next = spawn(g, [k] { return k; });
              if (k % 3 == 0) {
                last.cancel();
              }
              (void)last.get();
              last = std::move(next);
            }
            ASSERT_EQ(last.get().value(), 19);
          });
        }
        for (auto& t : all) {
          t.join();
        }
        error const e = g.wait();
        ASSERT_FALSE(e) << e;
      }
    }
  }
}

TEST_F(SpawnStress, W2_Without_workers) {
  watchdog const guard("handles without workers");
  tbb::global_control const one(tbb::global_control::max_allowed_parallelism, 1);
  for (int i = 0; i != rounds / 4; ++i) {
    for (int const limit : limits) {
      group g{{.limit = limit}};
      rendezvous met(2);
      handle<int> a = spawn(g, [&g] { return fib(g, 5); });
      handle<int> b = spawn(g, [&a] { return a.get().value(); });
      std::thread other([&] {
        met.arrive_and_wait();
        b.wait();
      });
      met.arrive_and_wait();
      ASSERT_FALSE(g.wait());
      other.join();
      ASSERT_EQ(b.get().value(), 5);
    }
  }
}

TEST_F(SpawnStress, A_million) {
  watchdog const guard("a million tasks");
  for (int const limit : limits) {
    constexpr int n = 333'334 / slow;
    std::atomic<int> ran{0};
    group g{{.limit = limit}};
    long sum = 0;
    std::vector<handle<int>> some;
    for (int i = 0; i != n; ++i) {
      auto h = spawn(g, [&ran, i] {
        ran.fetch_add(1, std::memory_order_relaxed);
        return i % 2;
      });
      if (i % 1000 == 0) {
        sum += h.get().value();
      } else if (i % 100 == 0) {
        some.push_back(std::move(h));
      }
    }
    ASSERT_FALSE(g.wait());
    ASSERT_EQ(ran, n);
    for (auto& h : some) {
      ASSERT_TRUE(h.ready());
      sum += h.get().value();
    }
    ASSERT_EQ(sum, 0);
  }
}

}  // namespace
