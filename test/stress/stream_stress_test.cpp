// SPDX-License-Identifier: Apache-2.0

// Many streams, and streams of many tasks, that end in every way at every moment.

#include "support/calls.hpp"
#include "support/census.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/stream.hpp>

#include <gtest/gtest.h>
#include <tbb/task_group.h>  // task_group

#include <algorithm>     // min
#include <atomic>        // atomic
#include <chrono>        // nanoseconds
#include <cstddef>       // size_t
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <random>        // mt19937
#include <stop_token>    // stop_source
#include <system_error>  // errc, error_code, make_error_code
#include <thread>        // thread
#include <utility>       // move
#include <vector>        // vector

namespace {

using errgroup::clock;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::on_error;
using errgroup::options;
using errgroup::result;
using errgroup::stream;
using errgroup::unlimited;
using std::chrono::nanoseconds;
using support::counted;
using support::just_moved;
using support::watchdog;
using support::with_workers;

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

class StreamStress : public support::no_leaks {
 protected:
  static constexpr int rounds = 3000;

  [[nodiscard]] int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  [[nodiscard]] options some_options() {
    static constexpr int limits[] = {1, 2, 3, unlimited};
    options opts;
    opts.limit = limits[below(4)];
    opts.queue = static_cast<std::size_t>(below(4));
    opts.isolated = below(4) == 0;
    return opts;
  }
  /// Spends up to some microseconds.
  static void spend(int n) {
    static std::atomic<int> sink;
    for (int i = 0; i < n; ++i) {
      sink.load();
    }
  }

 private:
  std::mt19937 random_{42};
};

/// Expects results without a gap.
class checked {
 public:
  void take(int n) { ASSERT_EQ(n, next_++); }
  [[nodiscard]] int count() const { return next_; }

 private:
  int next_ = 0;  // without a lock
};

TEST_F(StreamStress, S1_S4_100000_results_in_order_within_the_bound) {
  watchdog const guard("a stream of many tasks");
  constexpr int n = 100'000;
  with_workers(3, [&] {
    for (options const& opts : {options{.limit = 1, .queue = 0}, options{.limit = 2, .queue = 3},
                                options{.limit = 3, .queue = 100}, options{}}) {
      support::highest census;
      checked order;
      stream<std::unique_ptr<int>> out(opts, [&](std::unique_ptr<int> p) {
        order.take(*p);
        p.reset();
        census.down();
      });
      for (int i = 0; i != n; ++i) {
        out.run([i, &census] {
          census.up();
          spend(i % 64 == 0 ? 2000 : i % 7);
          return std::make_unique<int>(i);
        });
      }
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(order.count(), n);
      if (opts.limit > 0) {
        EXPECT_LE(census.most(),
                  opts.limit + static_cast<int>(std::min<std::size_t>(opts.queue, 1'000'000)));
      }
    }
  });
}

TEST_F(StreamStress, S5_trees_of_tasks_from_inside_and_outside) {
  watchdog const guard("a stream that its tasks and two threads feed");
  with_workers(3, [&] {
    for (int round = 0; round != 150; ++round) {
      options const opts = some_options();
      std::atomic<int> made{0};
      int got = 0;
      std::optional<stream<just_moved>> out;
      std::function<just_moved(int)> grow = [&](int depth) {
        for (int i = 0; i != (depth > 0 ? 3 : 0); ++i) {
          out->run([&, depth] { return grow(depth - 1); });
        }
        return just_moved(made++);
      };
      out.emplace(opts, [&](just_moved&& one) {
        ++got;
        if (one.get() % 10 == 0 && one.get() < 300) {
          out->run([&] { return grow(0); });
        }
      });
      auto feed = [&] {
        for (int i = 0; i != 4; ++i) {
          out->run([&] { return grow(3); });
        }
      };
      std::thread other(feed);
      feed();
      other.join();
      ASSERT_FALSE(out->wait());
      ASSERT_EQ(got, made);
    }
  });
}

TEST_F(StreamStress, C1_every_end_at_every_moment) {
  watchdog const guard("streams that end in every way");
  int seen[2] = {};
  for (int workers = 0; workers != 3; ++workers) {
    with_workers(workers, [&] {
      for (int round = 0; round != rounds; ++round) {
        int const way = below(9);
        int const at = below(16);
        int const moment = below(4000);
        options opts = some_options();
        std::stop_source source;
        opts.stop = source.get_token();
        opts.policy = below(4) == 0 ? on_error::keep_going : on_error::cancel;
        if (way == 5) {
          opts.timeout = nanoseconds(moment * 10);
        }
        checked order;
        bool has_failed = false;
        std::optional<stream<just_moved>> out;
        auto use = [&](auto const& cancel_parent) {
          out.emplace(opts, [&](just_moved&& one) -> std::error_code {
            spend(moment / 8);
            EXPECT_FALSE(has_failed && opts.policy == on_error::cancel);
            if (opts.policy == on_error::cancel) {
              order.take(one.get());
            }
            if (one.get() == at && way == 0) {
              has_failed = true;
              return cause();
            }
            if (one.get() == at && way == 1) {
              has_failed = true;
              out->cancel();
            }
            return {};
          });
          std::thread canceler;
          if (way == 6) {
            canceler = std::thread([&] {
              spend(moment);
              out->cancel(cause());
            });
          } else if (way == 7) {
            canceler = std::thread([&] {
              spend(moment);
              source.request_stop();
            });
          } else if (way == 8) {
            canceler = std::thread([&] {
              spend(moment);
              cancel_parent();
            });
          }
          for (int i = 0; i != 16; ++i) {
            auto task = [&, i]() -> result<just_moved> {
              spend((i * 7919 + moment) % 3000);
              if (i == at && way == 2) {
                return cause();
              }
              if (i == at && way == 3) {
                out->cancel();
              }
              return just_moved(i);
            };
            if (i % 5 != 4 || !out->try_run(task)) {
              out->run(task);
            }
          }
          if (way == 4) {
            spend(moment);
            out.reset();  // without a wait
          } else {
            error const e = out->wait();
            ++seen[e ? 1 : 0];
            if (!e && opts.policy == on_error::cancel) {
              ASSERT_EQ(order.count(), 16) << way;
            }
          }
          ASSERT_EQ(counted::live(), 0) << way;
          if (canceler.joinable()) {
            canceler.join();
          }
          if (out && way < 8) {
            out->reset();
            if (!source.stop_requested() && way != 5) {
              int got = 0;
              out.emplace(options{.limit = 2}, [&](just_moved&&) { ++got; });
              out->run([] { return just_moved(1); });
              ASSERT_FALSE(out->wait());
              ASSERT_EQ(got, 1);
            }
          }
          out.reset();
        };
        switch (round % 3) {
          case 0:
            use([] {});
            break;
          case 1: {
            group parent{{.limit = round % 2 == 0 ? 2 : unlimited}};
            (void)parent.run_and_wait([&] { use([&] { parent.cancel(); }); });
            break;
          }
          default: {
            tbb::task_group raw;
            raw.run_and_wait([&] { use([&] { raw.cancel(); }); });
          }
        }
      }
    });
  }
  RecordProperty("streams that succeeded", seen[0]);
  RecordProperty("streams that failed", seen[1]);
}

TEST_F(StreamStress, E1_the_next_result_arrives_while_the_consumer_fails) {
  watchdog const guard("results that arrive while the consumer fails");
  with_workers(2, [&] {
    for (int round = 0; round != 3 * rounds; ++round) {
      std::atomic<int> arrived{0};
      int calls = 0;
      int const moment = below(60);
      stream<int> out{{.limit = 2, .queue = 2}, [&](int) {
                        ++calls;
                        spend(moment);
                        return cause();
                      }};
      for (int i = 0; i != 2; ++i) {
        out.run([&, i] {
          ++arrived;
          for (int tries = 0; arrived != 2 && tries != 10'000; ++tries) {
          }
          spend(i * ((moment + round) % 80));
          return i;
        });
      }
      ASSERT_EQ(out.wait(), cause());
      ASSERT_EQ(calls, 1);
    }
  });
}

// The same stream again: what one round leaves behind must not reach the next.
TEST_F(StreamStress, W5_one_stream_that_is_cancelled_and_reset_again_and_again) {
  watchdog const guard("a stream that is reset");
  for (int workers = 0; workers != 3; ++workers) {
    with_workers(workers, [&] {
      for (int kind = 0; kind != 6; ++kind) {
        options const opts = some_options();
        int next = 0;
        stream<just_moved> out(opts, [&](just_moved&& one) { ASSERT_EQ(one.get(), next++); });
        for (int round = 0; round != 500; ++round) {
          next = 0;
          int const moment = below(3000);
          std::thread canceler;
          if (round % 3 == 0) {
            canceler = std::thread([&] {
              spend(moment);
              out.cancel();
            });
          }
          for (int i = 0; i != 8; ++i) {
            out.run([i, moment, round]() -> result<just_moved> {
              spend((i * 7919 + moment) % 2000);
              if (round % 3 == 1 && i == moment % 8) {
                return cause();
              }
              return just_moved(i);
            });
          }
          if (canceler.joinable()) {
            canceler.join();
          }
          error const e = out.wait();
          ASSERT_TRUE(e || next == 8);
          ASSERT_EQ(counted::live(), 0);
          out.reset();
        }
      }
    });
  }
}

}  // namespace
