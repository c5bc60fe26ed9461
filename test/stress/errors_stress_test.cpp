// SPDX-License-Identifier: Apache-2.0

// Many tasks that fail in many threads at once, in groups that keep all errors: every failure is
// told, and told once. A failure prints the seed; ERRGROUP_STRESS_SEED=<seed> starts with it again,
// and ERRGROUP_STRESS_ROUNDS=<factor> makes it that many times longer.

#include "support/census.hpp"
#include "support/watchdog.hpp"
#include <errgroup/group.hpp>

#include <gtest/gtest.h>

#include <algorithm>     // adjacent_find, sort
#include <array>         // array
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <cstdlib>       // getenv, strtoul
#include <exception>     // make_exception_ptr
#include <random>        // minstd_rand, random_device
#include <string>        // string
#include <system_error>  // errc
#include <thread>        // thread
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::npos;
using errgroup::on_error;
using errgroup::options;

unsigned number_from(char const* variable, unsigned otherwise) {
  char const* const text = std::getenv(variable);
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

class dice {
 public:
  explicit dice(unsigned seed) : engine_(seed) { (void)engine_(); }

  unsigned roll() { return static_cast<unsigned>(engine_()); }
  int below(int n) { return static_cast<int>(roll() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return below(n) == 0; }

 private:
  std::minstd_rand engine_;
};

/// Calls `round` with dice of its own, many times.
template <class Round>
void many_rounds(unsigned rounds, Round round) {
  support::watchdog const guard("a round of failing tasks");
  unsigned const first = number_from("ERRGROUP_STRESS_SEED", std::random_device()());
  rounds *= number_from("ERRGROUP_STRESS_ROUNDS", 1);
  for (unsigned seed = first; seed != first + rounds && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "ERRGROUP_STRESS_SEED=" << seed);
    dice d(seed);
    round(d);
  }
}

/// Hands out failures, each with a number of its own.
struct failures {
  std::atomic<int> real{0};
  /// Tasks that have told a cancellation.
  std::atomic<std::size_t> cancellations{0};

  [[noreturn]] void fail() { throw real++; }
  [[nodiscard]] error cause() { return std::make_exception_ptr(real++); }
};

/// A task: one that fails, or does not, or has a group with such tasks inside.
error work(group& g, failures& f, dice d, int depth) {
  switch (d.below(depth == 0 ? 4 : 7)) {
    case 0:
      return {};
    case 1:
      if (error canceled = errgroup::check()) {
        ++f.cancellations;
        return canceled;
      }
      return {};
    case 2:
    case 3:
      f.fail();
    case 4: {
      group inner{{.limit = d.one_in(2) ? errgroup::unlimited : 2,
                   .policy = on_error::keep_going,
                   .errors = keep::all,
                   .max_errors = npos,
                   .name = "inner"}};
      int const n = d.below(5);
      for (int i = 0; i != n; ++i) {
        inner.run("inner task", [&, mine = dice(d.roll())] { return work(inner, f, mine, 0); });
      }
      error e = inner.wait();
      // What the inner group itself has to say of its cancellation, besides what its tasks do.
      if (e && e.origin().where.line() == 0 && e.origin().name.empty() &&
          e == std::errc::operation_canceled) {
        ++f.cancellations;
      }
      if (e && d.one_in(2)) {
        e.raise_all();
      }
      return e;
    }
    default:
      for (int i = 0; i != 2; ++i) {
        g.run([&g, &f, mine = dice(d.roll()), depth] { return work(g, f, mine, depth - 1); });
      }
      return {};
  }
}

/// The numbers of the real failures that `e` tells of.
std::vector<int> numbers(error const& e) {
  std::vector<int> all;
  (void)e.find_if([&all](error const& one) {
    try {
      one.raise();
    } catch (int n) {
      all.push_back(n);
    } catch (...) {
    }
    return false;
  });
  std::sort(all.begin(), all.end());
  return all;
}

/// An error as it was told.
struct snapshot {
  error e;
  std::size_t others;
  std::vector<int> numbers_then;
};

void play(dice& d, bool everything_is_kept) {
  constexpr std::array<std::size_t, 5> most{1, 2, 9, 64, npos};
  options o{.limit = d.one_in(2) ? errgroup::unlimited : 1 + d.below(4),
            .policy = d.one_in(3) ? on_error::cancel : on_error::keep_going,
            .errors = keep::all,
            .max_errors = everything_is_kept ? npos : most[static_cast<std::size_t>(d.below(5))],
            .name = d.one_in(2) ? "outer" : ""};
  if (o.limit != errgroup::unlimited && d.one_in(2)) {
    o.queue = static_cast<std::size_t>(d.below(4));
  }
  group g(o);
  for (int life = 0; life != 2; ++life) {
    failures f;
    std::vector<std::thread> threads;
    for (int t = 0; t != 3; ++t) {
      threads.emplace_back([&, mine = dice(d.roll())]() mutable {
        for (int i = 0; i != 12; ++i) {
          auto const task = [&g, &f, his = dice(mine.roll())] { return work(g, f, his, 2); };
          if (mine.one_in(2)) {
            g.run(task);
          } else {
            g.run("outer task", task);
          }
        }
      });
    }
    std::vector<std::vector<snapshot>> told(2);
    for (auto& mine : told) {
      threads.emplace_back([&g, &mine] {
        for (int i = 0; i != 8; ++i) {
          error const e = g.wait();
          mine.push_back({e, e.others().size(), numbers(e)});
          EXPECT_EQ(e.message().empty(), !e);
        }
      });
    }
    bool const cancels = d.one_in(2);
    bool const with_a_cause = d.one_in(2);
    if (cancels) {
      threads.emplace_back([&, pauses = d.below(50)] {
        support::dawdle(pauses);
        if (with_a_cause) {
          g.cancel(f.cause());
        } else {
          g.cancel();
        }
      });
    }
    for (auto& t : threads) {
      t.join();
    }

    error const e = g.wait();
    std::vector<int> const all = numbers(e);
    EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end()) << "one was told twice";
    auto const real = static_cast<std::size_t>(f.real.load());
    EXPECT_EQ(bool(e), real + f.cancellations != 0 || cancels) << e;
    if (e) {
      EXPECT_LE(e.others().size(), o.max_errors - 1);
      std::size_t const added = 1 + e.others().size() + e.dropped() + e.echoes();
      bool const by_the_group = cancels && !with_a_cause && e == errc::canceled;
      EXPECT_GE(added, real + f.cancellations);
      EXPECT_LE(added, real + f.cancellations + (by_the_group ? 1 : 0));
    }
    if (everything_is_kept) {
      EXPECT_EQ(e.dropped(), 0U);
      EXPECT_EQ(all.size(), real) << "one was lost: " << e;
    }
    for (auto const& mine : told) {
      for (snapshot const& s : mine) {
        EXPECT_TRUE(!s.e || s.e == e) << "not the first error";
        EXPECT_EQ(s.e.others().size(), s.others);
        EXPECT_EQ(numbers(s.e), s.numbers_then) << "what was told has changed";
      }
    }
    g.reset();
    EXPECT_FALSE(g.wait());
  }
}

TEST(ErrorsStress, E5_every_failure_is_told_and_told_once) {
  many_rounds(150, [](dice& d) { play(d, true); });
}

TEST(ErrorsStress, E5_every_failure_is_told_or_counted) {
  many_rounds(150, [](dice& d) { play(d, false); });
}

TEST(ErrorsStress, E4_copies_come_and_go_in_many_threads) {
  many_rounds(100, [](dice& d) {
    group g{{.policy = on_error::keep_going, .errors = keep::all, .name = "group"}};
    for (int i = 0; i != 10; ++i) {
      (void)g.run_and_wait("task", [] { throw 1; });
    }
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t) {
      threads.emplace_back([e = g.wait(), mine = dice(d.roll())]() mutable {
        std::vector<error> kept;
        for (int i = 0; i != 30; ++i) {
          kept.push_back(mine.one_in(2) ? e : e.others()[static_cast<std::size_t>(mine.below(9))]);
          if (mine.one_in(3)) {
            kept.erase(kept.begin());
          }
        }
        e = error();
        for (error const& one : kept) {
          EXPECT_NE(one.get_if<int>(), nullptr);
          EXPECT_EQ(one.origin().path, "group/task");
        }
      });
    }
    g.reset();
    for (auto& t : threads) {
      t.join();
    }
  });
}

}  // namespace
