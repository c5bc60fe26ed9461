// SPDX-License-Identifier: Apache-2.0

// stream<T>: results of tasks for a consumer, in the order of `run`.

#include "support/callables.hpp"
#include "support/calls.hpp"
#include "support/census.hpp"
#include "support/failing_new.hpp"
#include "support/gate.hpp"
#include "support/tl_expected.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/exception_group.hpp>
#include <errgroup/group.hpp>
#include <errgroup/stream.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>  // global_control
#include <tbb/parallel_for.h>    // parallel_for
#include <tbb/task_arena.h>      // max_concurrency, task_arena
#include <tbb/task_group.h>      // task_group

#include <atomic>           // atomic
#include <chrono>           // hours, milliseconds, seconds
#include <cstddef>          // size_t
#include <cstdio>           // fputs, stderr
#include <functional>       // function
#include <memory>           // make_shared, make_unique, unique_ptr
#include <mutex>            // mutex, scoped_lock
#include <new>              // bad_alloc
#include <numeric>          // iota
#include <optional>         // optional
#include <source_location>  // source_location
#include <stdexcept>        // invalid_argument, logic_error, runtime_error
#include <stop_token>       // stop_source, stop_token
#include <string>           // string, to_string
#include <system_error>     // errc, error_code, make_error_code
#include <thread>           // thread
#include <utility>          // exchange, move
#include <vector>           // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::keep;
using errgroup::npos;
using errgroup::on_error;
using errgroup::on_exception;
using errgroup::options;
using errgroup::result;
using errgroup::stream;
using errgroup::unlimited;
using support::await;
using support::counted;
using support::dawdle;
using support::failing_new;
using support::gate;
using support::highest;
using support::just_moved;
using support::opens_at_end;
using support::watchdog;
using support::with_workers;
using tbb::global_control;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;

/// Expects at the end of each test that all results and callables are destroyed.
class Stream : public support::no_leaks {};

std::error_code cause() { return std::make_error_code(std::errc::no_space_on_device); }

std::vector<int> numbers(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// A task of pseudo-random length. Most are short: on a busy machine each `yield` is long.
void work(int seed) {
  unsigned const n = (static_cast<unsigned>(seed) * 2654435761U) >> 27U;
  dawdle(n < 4 ? static_cast<int>(2 * n) : 0);
}

/// The consumer of most tests. Expects one call at a time.
struct numbers_in_order {
  void operator()(just_moved&& one) {
    EXPECT_FALSE(busy.exchange(true)) << "two calls of the consumer at once";
    got.push_back(one.get());
    if (one.get() % 16 == 0) {
      dawdle(1);
    }
    busy = false;
  }

  std::vector<int> got;
  std::atomic<bool> busy{false};
};

std::string words(options const& opts) {
  auto const text = [](std::size_t n) { return n == npos ? "none" : std::to_string(n); };
  return "limit " + std::to_string(opts.limit) + ", queue " + text(opts.queue) +
         (opts.arena != nullptr ? ", an arena" : "") + (opts.isolated ? ", isolated" : "");
}

/// Calls `body` with the options of every kind of stream.
void with_all_options(std::function<void(options const&)> const& body, options base = {}) {
  tbb::task_arena arena(2);
  for (int const limit : {1, 2, 3, 1000, unlimited}) {
    for (std::size_t const queue : {std::size_t{0}, std::size_t{1}, std::size_t{5}, npos}) {
      for (bool const is_isolated : {false, true}) {
        base.limit = limit;
        base.queue = queue;
        base.isolated = is_isolated;
        base.arena = limit == 2 ? &arena : nullptr;
        SCOPED_TRACE(words(base));
        body(base);
      }
    }
  }
}

/// A result that a census counts: from its making in the task to the end of its consumer's call.
class listed {
 public:
  listed(highest& census, int n) : census_(&census), n_(n) { census.up(); }
  listed(listed&& other) noexcept : census_(std::exchange(other.census_, nullptr)), n_(other.n_) {}
  listed(listed const&) = delete;
  listed& operator=(listed const&) = delete;
  listed& operator=(listed&&) = delete;
  ~listed() {
    if (census_ != nullptr) {
      census_->down();
    }
  }

  [[nodiscard]] int get() const { return n_; }

 private:
  counted alive_;
  highest* census_;
  int n_;
};

// --- the order -------------------------------------------------------------------------------

TEST_F(Stream, S1_results_come_in_the_order_of_run_one_at_a_time) {
  watchdog const guard("a stream");
  with_workers(3, [] {
    with_all_options([](options const& opts) {
      numbers_in_order in;
      stream<just_moved> out(opts, std::ref(in));
      for (int i = 0; i != 200; ++i) {
        out.run([i] {
          work(i);
          return just_moved(i);
        });
      }
      error const e = out.wait();
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(in.got, numbers(200));
    });
  });
}

TEST_F(Stream, S1_without_workers_too) {
  watchdog const guard("a stream without workers");
  global_control const one(global_control::max_allowed_parallelism, 1);
  with_all_options([](options const& opts) {
    numbers_in_order in;
    stream<just_moved> out(opts, std::ref(in));
    for (int i = 0; i != 50; ++i) {
      out.run([i] { return just_moved(i); });
    }
    EXPECT_FALSE(out.wait());
    EXPECT_EQ(in.got, numbers(50));
  });
}

TEST_F(Stream, S1_in_a_task_of_any_group) {
  watchdog const guard("a stream in a task");
  support::on_every_way([](group& g) {
    EXPECT_FALSE(g.run_and_wait([] {
      for (int const limit : {1, 2, unlimited}) {
        numbers_in_order in;
        stream<just_moved> out{{.limit = limit, .queue = 2}, std::ref(in)};
        for (int i = 0; i != 30; ++i) {
          out.run([i] {
            work(i);
            return just_moved(i);
          });
        }
        EXPECT_FALSE(out.wait());
        EXPECT_EQ(in.got, numbers(30));
      }
    }));
  });
}

TEST_F(Stream, S1_two_threads_that_run_at_once_each_have_their_order) {
  watchdog const guard("a stream of two threads");
  with_workers(3, [] {
    with_all_options([](options const& opts) {
      std::vector<int> got[2];
      stream<int> out(opts, [&](int n) { got[n % 2].push_back(n / 2); });
      auto feed = [&out](int thread) {
        for (int i = 0; i != 60; ++i) {
          out.run([i, thread] {
            work(i);
            return 2 * i + thread;
          });
        }
      };
      std::thread other([&] { feed(1); });
      feed(0);
      other.join();
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(got[0], numbers(60));
      EXPECT_EQ(got[1], numbers(60));
    });
  });
}

TEST_F(Stream, S1_tasks_that_a_task_submits_have_their_order) {
  watchdog const guard("a stream that its tasks feed");
  with_workers(3, [] {
    with_all_options([](options const& opts) {
      std::vector<int> first;
      std::vector<int> last;
      stream<int> out(opts, [&](int n) { (n < 100 ? first : last).push_back(n); });
      out.run([&] {
        for (int i = 1; i != 40; ++i) {
          out.run([i] {
            work(i);
            return i;
          });
        }
        return 0;
      });
      EXPECT_FALSE(out.wait());
      out.run([] { return 100; });
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(last, std::vector<int>{100});
      ASSERT_EQ(first.size(), 40U);
      EXPECT_EQ(first.front(), 0);
      // If there is no room, `run` runs an older task first, whose result has its turn first.
      EXPECT_EQ(first, numbers(40));
    });
  });
}

TEST_F(Stream, S2_one_call_of_the_consumer_at_a_time_which_needs_no_lock) {
  watchdog const guard("a stream whose consumer is slow");
  with_workers(3, [] {
    for (int const limit : {2, 4, unlimited}) {
      highest calls;
      long sum = 0;  // without a lock
      stream<int> out{{.limit = limit}, [&](int n) {
                        calls.up();
                        dawdle(1);
                        sum += n;
                        calls.down();
                      }};
      for (int i = 0; i != 200; ++i) {
        out.run([i] { return i; });
      }
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(calls.most(), 1);
      EXPECT_EQ(sum, 199 * 100);
    }
  });
}

// --- as soon as it is its turn ---------------------------------------------------------------

TEST_F(Stream, S3_a_result_is_handed_over_when_its_turn_comes_and_not_before) {
  watchdog const guard("results that come before their turn");
  with_workers(4, [] {
    for (int const limit : {4, unlimited}) {
      std::mutex m;
      std::vector<int> got;
      auto const seen = [&] {
        std::scoped_lock const held(m);
        return got;
      };
      gate first("the first task");
      gate third("the third task");
      gate second_ended("the second task to end");
      gate fourth_ended("the fourth task to end");
      stream<just_moved> out{{.limit = limit, .queue = 4}, [&](just_moved&& one) {
                               std::scoped_lock const held(m);
                               got.push_back(one.get());
                             }};
      opens_at_end const in_any_case(first);
      opens_at_end const this_too(third);
      struct says_ended {
        explicit says_ended(gate& g) : ended(&g) {}
        says_ended(says_ended&& other) noexcept : ended(std::exchange(other.ended, nullptr)) {}
        ~says_ended() {
          if (ended != nullptr) {
            ended->open();
          }
        }
        gate* ended;
      };
      out.run([&] {
        first.wait();
        return just_moved(0);
      });
      out.run([ends = says_ended(second_ended)] { return just_moved(1); });
      out.run([&] {
        third.wait();
        return just_moved(2);
      });
      out.run([ends = says_ended(fourth_ended)] { return just_moved(3); });
      second_ended.wait();
      fourth_ended.wait();
      support::let_others_work();
      EXPECT_THAT(seen(), IsEmpty());
      first.open();
      await([&] { return seen().size() == 2; }, "the results before the one that is missing");
      support::let_others_work();
      EXPECT_THAT(seen(), ElementsAre(0, 1));
      third.open();
      await([&] { return seen().size() == 4; }, "the other results, before a wait");
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(got, numbers(4));
    }
  });
}

TEST_F(Stream, S3_a_task_is_handed_its_turn_while_later_ones_run) {
  watchdog const guard("a result whose turn it is");
  with_workers(3, [] {
    gate consumed("the first result to be handed over");
    stream<int> out{{.limit = 2}, [&](int n) {
                      if (n == 0) {
                        consumed.open();
                      }
                    }};
    out.run([] { return 0; });
    out.run([&] {
      consumed.wait();
      return 1;
    });
    EXPECT_FALSE(out.wait());
  });
}

/// A result that waits for a gate when it is moved for the first time: on its way to be parked.
class slow_to_park {
 public:
  slow_to_park(int n, gate* parks, gate* parked) : n_(n), parks_(parks), parked_(parked) {}
  slow_to_park(slow_to_park&& other) noexcept : n_(other.n_), parks_(nullptr), parked_(nullptr) {
    if (other.parks_ != nullptr) {
      std::exchange(other.parks_, nullptr)->open();
      other.parked_->wait();
    }
  }
  slow_to_park(slow_to_park const&) = delete;
  slow_to_park& operator=(slow_to_park const&) = delete;
  slow_to_park& operator=(slow_to_park&&) = delete;
  ~slow_to_park() = default;

  [[nodiscard]] int get() const { return n_; }

 private:
  counted alive_;
  int n_;
  gate* parks_;
  gate* parked_;
};

TEST_F(Stream, S3_a_result_whose_turn_comes_while_it_is_parked) {
  watchdog const guard("a result that is parked too late");
  with_workers(3, [] {
    for (int const way : {0, 1, 2}) {
      SCOPED_TRACE(way);
      gate parks("the second result to be parked");
      gate parked("the turn of the second result");
      std::vector<int> got;
      std::atomic<bool> first_is_over{false};
      struct opens {
        std::atomic<bool>& flag;
        ~opens() { flag = true; }
      };
      std::optional<stream<slow_to_park>> out;
      out.emplace(options{.limit = 2, .queue = 4}, [&](slow_to_park&& one) -> std::error_code {
        got.push_back(one.get());
        return way == 1 && one.get() == 0 ? cause() : std::error_code();
      });
      out->run([&, over = std::make_unique<opens>(first_is_over)] {
        parks.wait();
        if (way == 2) {
          out->cancel(cause());
        }
        return slow_to_park(0, nullptr, nullptr);
      });
      out->run([&] { return slow_to_park(1, &parks, &parked); });
      // The first task has handed over its result, or has dropped the parked results.
      await([&] { return first_is_over.load(); }, "the first task");
      parked.open();
      EXPECT_EQ(out->wait(), way == 0 ? std::error_code() : cause());
      EXPECT_EQ(got, numbers(2 - way));
      EXPECT_EQ(counted::live(), 0);
    }
  });
}

TEST_F(Stream, S3_no_task_waits_for_its_turn_nor_for_the_consumer) {
  watchdog const guard("tasks behind a busy consumer");
  with_workers(3, [] {
    constexpr int n = 12;
    std::vector<int> got;
    std::atomic<int> ended{0};
    gate others("the other tasks to end while the consumer is busy");
    gate busy("the consumer to be called");
    stream<int> out{{.limit = 2, .queue = n}, [&](int i) {
                      if (i == 0) {
                        busy.open();
                        others.wait();
                      }
                      got.push_back(i);
                    }};
    out.run([] { return 0; });
    busy.wait();
    for (int i = 1; i != n; ++i) {
      out.run([i, &ended, &others] {
        if (++ended == n - 1) {
          others.open();  // by the one slot that is left
        }
        return i;
      });
    }
    EXPECT_FALSE(out.wait());
    EXPECT_EQ(got, numbers(n));
  });
}

// --- the bound -------------------------------------------------------------------------------

TEST_F(Stream, S4_at_most_limit_plus_queue_results_exist) {
  watchdog const guard("a stream with a bound");
  with_workers(3, [] {
    for (int const limit : {1, 2, 3}) {
      for (std::size_t const queue : {0U, 1U, 3U, 7U}) {
        SCOPED_TRACE(words({.limit = limit, .queue = queue}));
        highest census;
        std::vector<int> got;
        stream<listed> out{{.limit = limit, .queue = queue},
                           [&](listed one) { got.push_back(one.get()); }};
        for (int i = 0; i != 300; ++i) {
          out.run([i, &census] {
            listed one(census, i);
            work(i % 7 == 0 ? i : 0);
            return one;
          });
        }
        EXPECT_FALSE(out.wait());
        EXPECT_EQ(got, numbers(300));
        EXPECT_LE(census.most(), limit + static_cast<int>(queue));
        EXPECT_EQ(census.now(), 0);
      }
    }
  });
}

/// A full stream: its first task waits for a gate, and the results of the next `parked` tasks are
/// parked.
class full_stream {
 public:
  explicit full_stream(options const& opts, int parked)
      : out_(opts, [this](listed one) { got.push_back(one.get()); }) {
    out_.run([this] {
      runs.open();
      end.wait();
      return listed(census, 0);
    });
    runs.wait();
    for (int i = 1; i <= parked; ++i) {
      out_.run([this, i] { return listed(census, i); });
    }
    await([this, parked] { return census.now() == parked; }, "results to be parked");
  }
  full_stream(full_stream const&) = delete;
  full_stream& operator=(full_stream const&) = delete;
  ~full_stream() { end.open(); }

  [[nodiscard]] stream<listed>& out() { return out_; }

  std::vector<int> got;
  highest census;
  gate runs{"the first task to run"};
  gate end{"the end of the first task"};

 private:
  stream<listed> out_;
};

TEST_F(Stream, S4_run_from_outside_waits_for_room_which_parked_results_take) {
  watchdog const guard("run of a full stream");
  with_workers(3, [] {
    struct bound {
      int limit;
      std::size_t queue;
      std::size_t all;
    };
    for (bound const b : {bound{1, 0, 1}, bound{2, 0, 2}, bound{2, 3, 5}, bound{3, 1, 4},
                          bound{2, npos, 8}, bound{unlimited, 2, 6}}) {
      SCOPED_TRACE(words({.limit = b.limit, .queue = b.queue}));
      auto const parked = static_cast<int>(b.all) - 1;
      full_stream full({.limit = b.limit, .queue = b.queue}, parked);
      stream<listed>& out = full.out();
      auto untouched = std::make_unique<int>(7);
      auto late = [&, one = std::move(untouched)] { return listed(full.census, *one); };
      EXPECT_FALSE(out.try_run(std::move(late)));
      std::atomic<bool> accepted{false};
      gate comes("the submitter to come");
      std::thread submitter([&] {
        comes.open();
        out.run([&, parked] { return listed(full.census, parked + 1); });
        accepted = true;
      });
      comes.wait();
      support::let_others_work();
      EXPECT_FALSE(accepted);
      EXPECT_THAT(full.got, IsEmpty());
      EXPECT_EQ(full.census.now(), parked);
      full.end.open();
      submitter.join();
      EXPECT_TRUE(accepted);
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(full.got, numbers(parked + 2));
      EXPECT_TRUE(out.try_run(std::move(late)));  // has kept its pointer
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(full.got.back(), 7);
    }
  });
}

TEST_F(Stream, S4_a_result_keeps_its_place_until_the_consumer_has_returned) {
  watchdog const guard("a result in the consumer's hands");
  with_workers(3, [] {
    for (int const busy : {0, 1, 2}) {
      SCOPED_TRACE(busy);
      gate first("the first task to be let go");
      gate called("the consumer to be called");
      gate back("the consumer to return");
      std::atomic<int> ended{0};
      stream<int> out{{.limit = 2, .queue = 1}, [&](int n) {
                        if (n == busy) {
                          called.open();
                          back.wait();
                        }
                      }};
      for (int i = 0; i != 3; ++i) {
        out.run([&, i] {
          ++ended;
          if (i == 0) {
            first.wait();
          }
          return i;
        });
      }
      await([&] { return ended == 3; }, "the tasks");
      dawdle();
      EXPECT_FALSE(out.try_run([] { return 3; }));
      first.open();
      called.wait();
      dawdle();
      // The first task hands over the results of all.
      int room = 0;
      while (out.try_run([] { return 4; })) {
        ++room;
      }
      EXPECT_LE(room, busy == 0 ? 0 : busy - 1);
      back.open();
      EXPECT_FALSE(out.wait());
    }
  });
}

TEST_F(Stream, S4_a_result_makes_room_while_the_next_is_in_the_consumer) {
  watchdog const guard("a submitter beside a chain of results");
  with_workers(3, [] {
    gate begins("the first task to begin");
    gate first("the first task to be let go");
    gate accepted("run to return when a result was handed over");
    std::atomic<int> ended{0};
    stream<int> out{{.limit = 2, .queue = 1}, [&](int n) {
                      if (n == 2) {
                        accepted.wait();
                      }
                    }};
    out.run([&] {
      begins.open();
      first.wait();
      return 0;
    });
    begins.wait();
    for (int i = 1; i != 3; ++i) {
      out.run([&, i] {
        ++ended;
        return i;
      });
    }
    await([&] { return ended == 2; }, "the other tasks");
    gate comes("the submitter to come");
    std::thread submitter([&] {
      comes.open();
      out.run([] { return 3; });
      accepted.open();
    });
    comes.wait();
    support::let_others_work();  // the submitter sleeps
    first.open();
    submitter.join();
    EXPECT_FALSE(out.wait());
  });
}

TEST_F(Stream, S4_each_result_handed_over_makes_room_for_one) {
  watchdog const guard("a full stream, result by result");
  with_workers(3, [] {
    full_stream full({.limit = 2, .queue = 2}, 3);
    // Three submitters: all are let in by the chain of results, none is forgotten.
    std::vector<std::thread> submitters;
    for (int i = 0; i != 3; ++i) {
      submitters.emplace_back([&] { full.out().run([&] { return listed(full.census, 9); }); });
    }
    support::let_others_work();
    full.end.open();
    for (auto& t : submitters) {
      t.join();
    }
    EXPECT_FALSE(full.out().wait());
    EXPECT_THAT(full.got, ElementsAre(0, 1, 2, 3, 9, 9, 9));
  });
}

TEST_F(Stream, S4_run_from_outside_helps_where_no_worker_comes) {
  watchdog const guard("run of a full stream that no worker empties");
  support::no_workers const alone;
  for (int const limit : {1, 2, 3}) {
    for (std::size_t const queue : {0U, 1U, 5U}) {
      SCOPED_TRACE(words({.limit = limit, .queue = queue}));
      int got = 0;
      stream<int> out{{.limit = limit, .queue = queue}, [&](int n) { EXPECT_EQ(n, got++); }};
      for (int i = 0; i != 100; ++i) {
        out.run([i] { return i; });
      }
      EXPECT_GE(got, 100 - limit - static_cast<int>(queue));
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(got, 100);
    }
  }
}

/// `cancels` cancels the stream in some way, which this expects to wake `run` while the first task
/// is still unfinished.
template <class Cancels>
void expect_to_wake(full_stream& full, int parked, Cancels cancels) {
  gate comes("the submitter to come");
  gate back("run to return, at the full queue of a cancelled stream");
  std::thread submitter([&] {
    comes.open();
    full.out().run([]() -> listed {
      ADD_FAILURE() << "cancelled, and run";
      throw std::runtime_error("run");
    });
    back.open();
  });
  comes.wait();
  dawdle(parked * 10);
  cancels();
  submitter.join();
  EXPECT_TRUE(back.is_open());
  full.end.open();
  error const e = full.out().wait();
  EXPECT_TRUE(e == errc::canceled || e == errc::deadline_exceeded) << e;
  EXPECT_THAT(full.got, IsEmpty());
  EXPECT_EQ(full.census.now(), 0);
}

TEST_F(Stream, S4_run_wakes_when_the_stream_is_cancelled) {
  watchdog const guard("run at the full queue of a cancelled stream");
  with_workers(2, [] {
    for (int round = 0; round != 30; ++round) {
      for (int const parked : {1, 3}) {
        options const opts{.limit = 2, .queue = static_cast<std::size_t>(parked) - 1};
        {
          SCOPED_TRACE("by cancel()");
          full_stream full(opts, parked);
          expect_to_wake(full, parked, [&] { full.out().cancel(); });
        }
        {
          SCOPED_TRACE("by options::stop");
          std::stop_source source;
          options stopped = opts;
          stopped.stop = source.get_token();
          full_stream full(stopped, parked);
          expect_to_wake(full, parked, [&] { source.request_stop(); });
        }
        {
          SCOPED_TRACE("by a deadline");
          full_stream full(opts, parked);
          expect_to_wake(full, parked, [&] {
            full.out().set_deadline(errgroup::clock::now() + std::chrono::milliseconds(1));
          });
        }
        {
          SCOPED_TRACE("by a parent");
          group parent;
          error const e = parent.run_and_wait([&] {
            full_stream full(opts, parked);
            expect_to_wake(full, parked, [&] { parent.cancel(); });
          });
          EXPECT_EQ(e, errc::canceled);
        }
        {
          SCOPED_TRACE("by a limited parent");
          group parent{{.limit = 3}};
          parent.run([&] {
            full_stream full(opts, parked);
            expect_to_wake(full, parked, [&] { parent.cancel(); });
          });
          EXPECT_EQ(parent.wait(), errc::canceled);
        }
        {
          SCOPED_TRACE("by a raw parent");
          tbb::task_group raw;
          raw.run_and_wait([&] {
            full_stream full(opts, parked);
            expect_to_wake(full, parked, [&] { raw.cancel(); });
          });
        }
      }
    }
  });
}

TEST_F(Stream, S4_a_raw_parent_that_is_cancelled_ends_the_results_and_wait_tells) {
  watchdog const guard("a stream in a raw task that is cancelled");
  with_workers(2, [] {
    for (int const limit : {1, 2, unlimited}) {
      tbb::task_group raw;
      raw.run_and_wait([&] {
        std::vector<int> got;
        gate end;
        stream<just_moved> out{{.limit = limit, .queue = 4},
                               [&](just_moved&& one) { got.push_back(one.get()); }};
        out.run([&] {
          raw.cancel();
          return just_moved(0);
        });
        EXPECT_EQ(out.wait(), errc::canceled);
        EXPECT_THAT(got, IsEmpty());
        out.reset();
        EXPECT_EQ(out.wait(), errc::canceled) << "the parent is cancelled for good";
      });
    }
  });
}

// --- run from inside -------------------------------------------------------------------------

TEST_F(Stream, S5_run_from_inside_a_full_stream_runs_the_task_at_once) {
  watchdog const guard("tasks that submit tasks to a full stream");
  for (int const workers : {0, 3}) {
    with_workers(workers, [] {
      highest census;
      std::vector<int> got;
      stream<listed> out{{.limit = 1, .queue = 0}, [&](listed one) { got.push_back(one.get()); }};
      int next = 0;
      std::function<listed(int)> grow = [&](int depth) {
        listed mine(census, next++);
        if (depth != 0) {
          int const before = next;
          out.run([&, depth] { return grow(depth - 1); });
          EXPECT_GT(next, before) << "the call has not run the task";
          out.run([&, depth] { return grow(depth - 1); });
        }
        EXPECT_THAT(got, IsEmpty()) << "before the result of the outermost task";
        return mine;
      };
      out.run([&] { return grow(3); });
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(got, numbers(15));
      EXPECT_LE(census.most(), 15);
    });
  }
}

TEST_F(Stream, S5_run_from_inside_never_deadlocks) {
  watchdog const guard("trees of tasks of a stream");
  for (int const workers : {0, 3}) {
    with_workers(workers, [] {
      with_all_options([](options const& opts) {
        int got = 0;
        stream<just_moved> out(opts, [&](just_moved&&) { ++got; });
        std::function<just_moved(int)> grow = [&](int depth) {
          if (depth != 0) {
            for (int i = 0; i != 3; ++i) {
              out.run([&, depth] { return grow(depth - 1); });
            }
          }
          return just_moved(depth);
        };
        for (int i = 0; i != 4; ++i) {
          out.run([&] { return grow(3); });
        }
        EXPECT_FALSE(out.wait());
        EXPECT_EQ(got, 4 * 40);
      });
    });
  }
}

TEST_F(Stream, S5_run_from_loops_and_groups_inside_never_deadlocks) {
  watchdog const guard("loops in tasks of a stream");
  with_workers(3, [] {
    with_all_options([](options const& opts) {
      if (opts.limit == unlimited || opts.arena != nullptr) {
        return;  // oneTBB does not tell which task has called an algorithm (extend::is_inside)
      }
      int got = 0;
      stream<int> out(opts, [&](int) { ++got; });
      for (int i = 0; i != 4; ++i) {
        out.run([&] {
          tbb::parallel_for(0, 8, [&](int k) { out.run([k] { return k; }); });
          group nested{{.limit = 1}};
          for (int k = 0; k != 4; ++k) {
            nested.run([&] { out.run([] { return 0; }); });
          }
          EXPECT_FALSE(nested.wait());
          return 1;
        });
      }
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(got, 4 * 13);
    });
  });
}

TEST_F(Stream, S5_the_consumer_may_run_tasks) {
  watchdog const guard("a consumer that feeds its stream");
  for (int const workers : {0, 3}) {
    with_workers(workers, [] {
      with_all_options([](options const& opts) {
        std::vector<int> got;
        std::atomic<int> next{3};
        std::optional<stream<just_moved>> out;
        out.emplace(opts, [&](just_moved&& one) {
          got.push_back(one.get());
          if (one.get() < 20) {
            for (int i = 0; i != 2; ++i) {
              out->run([n = next++] { return just_moved(n); });
            }
          }
        });
        gate go("the first tasks to be submitted");
        opens_at_end const in_any_case(go);
        for (int i = 0; i != 3; ++i) {
          if (opts.limit >= 3 && opts.queue >= 1) {
            out->run([&, i] {
              go.wait();
              return just_moved(i);
            });
          } else {
            next = 1;
            out->run([] { return just_moved(0); });
            break;
          }
        }
        go.open();
        EXPECT_FALSE(out->wait());
        EXPECT_EQ(got, numbers(static_cast<int>(got.size())));
        EXPECT_GT(got.size(), 40U);
      });
    });
  }
}

/// A part of a task's callable: counts tasks that have delivered their results.
struct counts_at_end {
  explicit counts_at_end(std::atomic<int>& n) : count(n) {}
  ~counts_at_end() { ++count; }
  std::atomic<int>& count;
};

// --- errors ----------------------------------------------------------------------------------

/// The ways in which a task fails.
just_moved throws() { throw std::runtime_error("the disk is on fire"); }
result<just_moved> returns_an_error() { return cause(); }
tl::expected<just_moved, std::error_code> returns_unexpected() { return tl::unexpected(cause()); }

TEST_F(Stream, E1_a_failure_ends_the_results_in_front_of_it) {
  watchdog const guard("a stream whose task fails");
  with_workers(3, [] {
    for (int const bad : {0, 7, 49}) {
      for (int const way : {0, 1, 2}) {
        with_all_options([=](options const& opts) {
          SCOPED_TRACE(testing::Message() << "task " << bad << " fails in way " << way);
          numbers_in_order in;
          stream<just_moved> out(opts, std::ref(in));
          for (int i = 0; i != 50; ++i) {
            if (i != bad) {
              out.run([i] {
                work(i);
                return just_moved(i);
              });
            } else if (way == 0) {
              out.run(throws);
            } else if (way == 1) {
              out.run(returns_an_error);
            } else {
              out.run(returns_unexpected);
            }
          }
          error const e = out.wait();
          ASSERT_TRUE(e);
          EXPECT_EQ(e.origin().index, static_cast<std::size_t>(bad));
          if (way == 0) {
            EXPECT_NE(e.get_if<std::runtime_error>(), nullptr) << e;
          } else {
            EXPECT_EQ(e, cause());
          }
          EXPECT_LE(in.got.size(), static_cast<std::size_t>(bad));
          EXPECT_EQ(in.got, numbers(static_cast<int>(in.got.size())));
          EXPECT_EQ(counted::live(), 0);
        });
      }
    }
  });
}

TEST_F(Stream, E1_nothing_is_handed_over_after_the_first_failure) {
  watchdog const guard("a stream whose later task fails first");
  with_workers(3, [] {
    for (int const limit : {2, 3}) {
      gate failed("the last task to fail");
      numbers_in_order in;
      stream<just_moved> out{{.limit = limit, .queue = 3}, std::ref(in)};
      out.run([&] {
        failed.wait();
        return just_moved(0);
      });
      out.run([] { return just_moved(1); });
      out.run([] { return just_moved(2); });
      out.run(throws);
      await([&] { return out.is_canceling(); }, "the failure");
      failed.open();
      error const e = out.wait();
      EXPECT_EQ(e.origin().index, 3U) << e;
      EXPECT_THAT(in.got, IsEmpty());
    }
  });
}

TEST_F(Stream, E1_with_keep_going_the_other_results_follow) {
  watchdog const guard("a stream that keeps going");
  with_workers(3, [] {
    with_all_options(
        [](options const& opts) {
          numbers_in_order in;
          stream<just_moved> out(opts, std::ref(in));
          std::vector<int> good;
          for (int i = 0; i != 60; ++i) {
            if (i % 10 == 0 || i == 59) {
              out.run(i % 20 == 0
                      ? [](std::stop_token const&) -> result<just_moved> { return cause(); }
                      : [](std::stop_token const&) -> result<just_moved> { return throws(); });
            } else {
              good.push_back(i);
              out.run([i] {
                work(i);
                return just_moved(i);
              });
            }
          }
          error const e = out.wait();
          EXPECT_TRUE(e);
          EXPECT_EQ(e.others().size(), 6U);
          EXPECT_EQ(e.skipped(), 0U);
          EXPECT_EQ(in.got, good);
          EXPECT_EQ(counted::live(), 0);
        },
        {.policy = on_error::keep_going, .errors = keep::all});
  });
}

TEST_F(Stream, E1_a_failed_task_holds_up_no_parked_result) {
  watchdog const guard("results behind a task that fails");
  with_workers(3, [] {
    for (on_error const policy : {on_error::keep_going, on_error::cancel}) {
      gate begins("the first task to begin");
      gate end("the end of the first task");
      std::atomic<int> ended{0};
      std::vector<int> got;
      stream<just_moved> out{{.limit = 2, .queue = 2, .policy = policy},
                             [&](just_moved&& one) { got.push_back(one.get()); }};
      out.run([&]() -> result<just_moved> {
        begins.open();
        end.wait();
        return cause();
      });
      begins.wait();
      for (int i = 1; i != 4; ++i) {
        out.run([i, last = std::make_unique<counts_at_end>(ended)] { return just_moved(i); });
      }
      await([&] { return ended == 3; }, "the other results to be parked");
      end.open();
      error const e = out.wait();
      EXPECT_EQ(e, cause());
      EXPECT_EQ(e.origin().index, 0U);
      EXPECT_EQ(got, policy == on_error::cancel ? std::vector<int>() : std::vector<int>({1, 2, 3}));
      EXPECT_EQ(counted::live(), 0);
    }
  });
}

TEST_F(Stream, E1_a_failure_of_the_consumer_is_the_last_call) {
  watchdog const guard("a stream whose consumer fails");
  with_workers(3, [] {
    for (int const bad : {0, 7, 49}) {
      for (bool const throws_it : {false, true}) {
        with_all_options([=](options const& opts) {
          SCOPED_TRACE(testing::Message() << "result " << bad << ", throws " << throws_it);
          std::vector<int> got;
          std::source_location const here = std::source_location::current();
          stream<just_moved> out(
              opts,
              [&](just_moved one) -> std::error_code {
                got.push_back(one.get());
                if (one.get() != bad) {
                  return {};
                }
                if (throws_it) {
                  throw std::runtime_error("the pipe is closed");
                }
                return cause();
              },
              here);
          for (int i = 0; i != 50; ++i) {
            out.run([i] {
              work(i);
              return just_moved(i);
            });
          }
          error const e = out.wait();
          ASSERT_TRUE(e);
          EXPECT_EQ(throws_it, e.get_if<std::runtime_error>() != nullptr) << e;
          EXPECT_EQ(!throws_it, e == cause()) << e;
          EXPECT_EQ(e.origin().index, static_cast<std::size_t>(bad));
          EXPECT_EQ(e.origin().where.line(), here.line());
          EXPECT_EQ(got, numbers(bad + 1));
          EXPECT_EQ(counted::live(), 0);
        });
      }
    }
  });
}

TEST_F(Stream, E1_with_keep_going_a_consumer_that_fails_is_called_again) {
  watchdog const guard("a stream whose consumer fails, and goes on");
  with_workers(3, [] {
    with_all_options(
        [](options const& opts) {
          std::vector<int> got;
          stream<just_moved> out(opts, [&](just_moved&& one) -> error {
            got.push_back(one.get());
            return one.get() % 10 == 0 ? error(cause()) : error();
          });
          for (int i = 0; i != 50; ++i) {
            out.run([i] { return just_moved(i); });
          }
          error const e = out.wait();
          EXPECT_EQ(e, cause());
          EXPECT_EQ(e.origin().index, 0U);
          EXPECT_EQ(e.others().size(), 4U);
          EXPECT_EQ(got, numbers(50));
        },
        {.policy = on_error::keep_going, .errors = keep::all});
  });
}

TEST_F(Stream, E1_a_consumer_that_returns_a_result_fails_with_its_error) {
  watchdog const guard("consumers of several types");
  auto one_of = [](auto consumer) {
    stream<int> out({}, std::move(consumer));
    out.run([] { return 1; });
    return out.wait();
  };
  EXPECT_EQ(one_of([](int) -> error { return cause(); }), cause());
  EXPECT_EQ(one_of([](int&&) -> result<> { return cause(); }), cause());
  EXPECT_EQ(one_of([](int const&) -> tl::expected<void, std::error_code> {
              return tl::unexpected(cause());
            }),
            cause());
  EXPECT_FALSE(one_of([](int const&) {}));
  EXPECT_FALSE(one_of([](long) -> error { return {}; }));
}

TEST_F(Stream, E1_the_consumer_may_cancel) {
  watchdog const guard("a consumer that cancels");
  with_workers(3, [] {
    for (int const last : {0, 7, 49}) {
      with_all_options([=](options const& opts) {
        SCOPED_TRACE(last);
        std::vector<int> got;
        std::optional<stream<just_moved>> out;
        out.emplace(opts, [&](just_moved&& one) {
          got.push_back(one.get());
          if (one.get() == last) {
            out->cancel(cause());
          }
        });
        for (int i = 0; i != 50; ++i) {
          out->run([i] {
            work(i);
            return just_moved(i);
          });
        }
        EXPECT_EQ(out->wait(), cause());
        EXPECT_EQ(got, numbers(last + 1));
        EXPECT_EQ(counted::live(), 0);
      });
    }
  });
}

TEST_F(Stream, E4_the_origin_tells_the_task) {
  watchdog const guard("a stream with names");
  for (int const limit : {1, 2, unlimited}) {
    group parent{{.name = "job"}};
    error const e = parent.run_and_wait([&] {
      stream<int> out{{.limit = limit, .name = "sums"}, [](int) {}};
      for (int i = 0; i != 5; ++i) {
        out.run("fine", [i] { return i; });
      }
      out.run("broken", []() -> result<int> { return cause(); });
      auto err = out.wait();
      EXPECT_EQ(err.origin().name, "broken");
      EXPECT_EQ(err.origin().path, "job/sums/broken");
      EXPECT_EQ(err.origin().index, 5U);
      EXPECT_THAT(err.origin().where.file_name(), HasSubstr("stream_test"));
      EXPECT_FALSE(err.origin().is_item);
      return err;
    });
    EXPECT_EQ(e, cause());
  }
}

TEST_F(Stream, E4_the_origin_tells_the_result_whose_consumer_failed) {
  watchdog const guard("a consumer in a stream with names");
  group parent{{.name = "job"}};
  error const e = parent.run_and_wait([&] {
    stream<int> out{{.limit = 2, .name = "sums"},
                    [](int n) { return n == 3 ? cause() : std::error_code(); }};
    for (int i = 0; i != 5; ++i) {
      out.run("fine", [i] { return i; });
    }
    return out.wait();
  });
  EXPECT_EQ(e, cause());
  EXPECT_EQ(e.origin().index, 3U);
  EXPECT_EQ(e.origin().path, "job/sums");
}

TEST_F(Stream, E4_the_place_of_each_call) {
  watchdog const guard("a stream with places");
  stream<int> out({}, [](int) {});
  auto const line = std::source_location::current().line() + 1;
  out.run([]() -> result<int> { return cause(); });
  EXPECT_EQ(out.wait().origin().where.line(), line);
}

// --- waiting, again and again ----------------------------------------------------------------

TEST_F(Stream, W3_a_wait_from_inside_is_told_to_deadlock) {
  watchdog const guard("a wait in a task and in the consumer");
  for (int const limit : {1, 2, unlimited}) {
    int told = 0;
    std::optional<stream<int>> out;
    out.emplace(options{.limit = limit}, [&](int) {
      told += out->wait() == errc::would_deadlock ? 1 : 0;
      told += out->wait_for(std::chrono::hours(1)) ? 0 : 1;
    });
    out->run([&] {
      EXPECT_EQ(out->wait(), errc::would_deadlock);
      EXPECT_FALSE(out->wait_for(std::chrono::hours(1)));
      return 1;
    });
    EXPECT_FALSE(out->wait());
    EXPECT_EQ(told, 2);
  }
}

TEST_F(Stream, W4_a_wait_with_an_end_time_waits_for_parked_results) {
  watchdog const guard("a wait with an end time");
  with_workers(3, [] {
    full_stream full({.limit = 2, .queue = 2}, 3);
    EXPECT_FALSE(full.out().wait_for(std::chrono::milliseconds(1)));
    EXPECT_FALSE(full.out().wait_until(errgroup::clock::now()));
    full.end.open();
    EXPECT_TRUE(full.out().wait_for(std::chrono::hours(1)));
    EXPECT_EQ(full.got, numbers(4));
    EXPECT_TRUE(full.out().wait_until(errgroup::clock::now()));
    EXPECT_FALSE(full.out().wait());
  });
}

TEST_F(Stream, W1_when_wait_returns_every_result_was_handed_over) {
  watchdog const guard("waits of several threads");
  with_workers(3, [] {
    for (int round = 0; round != 50; ++round) {
      std::atomic<int> got{0};
      stream<just_moved> out{{.limit = 2, .queue = 3}, [&](just_moved&&) { ++got; }};
      for (int i = 0; i != 20; ++i) {
        out.run([i] {
          work(i);
          return just_moved(i);
        });
      }
      std::thread other([&] {
        EXPECT_FALSE(out.wait());
        EXPECT_EQ(got, 20);
      });
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(got, 20);
      other.join();
    }
  });
}

TEST_F(Stream, S7_a_stream_goes_on_after_a_wait) {
  watchdog const guard("a stream that is waited for again and again");
  with_workers(3, [] {
    with_all_options([](options const& opts) {
      numbers_in_order in;
      stream<just_moved> out(opts, std::ref(in));
      for (int i = 0; i != 60; ++i) {
        out.run([i] { return just_moved(i); });
        if (i % 7 == 0) {
          EXPECT_FALSE(out.wait());
          EXPECT_EQ(in.got, numbers(i + 1));
        }
        if (i % 21 == 0) {
          out.reset();
        }
      }
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(in.got, numbers(60));
    });
  });
}

TEST_F(Stream, S7_reset_is_a_fresh_start_after_each_kind_of_end) {
  watchdog const guard("a stream that is reset");
  with_workers(3, [] {
    with_all_options([](options const& opts) {
      numbers_in_order in;
      bool fails = false;
      stream<just_moved> out(opts, [&](just_moved&& one) -> std::error_code {
        if (fails && one.get() == 3) {
          return cause();
        }
        in(std::move(one));
        return {};
      });
      for (int kind = 0; kind != 6; ++kind) {
        SCOPED_TRACE(kind);
        in.got.clear();
        fails = kind == 2;
        for (int i = 0; i != 20; ++i) {
          if (kind == 1 && i == 5) {
            out.run(throws);
          } else {
            out.run([i] {
              work(i);
              return just_moved(i);
            });
          }
          if (kind == 3 && i == 10) {
            out.cancel();
          }
        }
        error const e = out.wait();
        EXPECT_EQ(bool(e), kind >= 1 && kind <= 3) << e;
        EXPECT_EQ(in.got, numbers(static_cast<int>(in.got.size())));
        if (!e) {
          EXPECT_EQ(in.got.size(), 20U);
        }
        out.reset();
        EXPECT_FALSE(out.first_error());
        EXPECT_FALSE(out.is_canceling());
      }
    });
  });
}

TEST_F(Stream, S7_reset_with_unfinished_tasks_is_refused_and_changes_nothing) {
  watchdog const guard("a reset too early");
  with_workers(3, [] {
    full_stream full({.limit = 2, .queue = 2}, 3);
    EXPECT_THROW(full.out().reset(), std::logic_error);
    full.end.open();
    EXPECT_FALSE(full.out().wait());
    EXPECT_EQ(full.got, numbers(4));
  });
}

TEST_F(Stream, S7_a_stream_that_was_not_waited_for_drops_parked_results) {
  watchdog const guard("the destructor of a stream");
  with_workers(3, [] {
    for (int round = 0; round != 50; ++round) {
      highest census;
      std::vector<int> got;
      gate end("the end of the first task");
      gate begins("the first task to begin");
      std::thread opener;
      {
        stream<listed> out{{.limit = 2, .queue = 8}, [&](listed one) { got.push_back(one.get()); }};
        out.run([&](std::stop_token const& stop) {
          begins.open();
          await([&] { return stop.stop_requested(); }, "the destructor to cancel");
          return listed(census, 0);
        });
        begins.wait();
        for (int i = 1; i != 8; ++i) {
          out.run([&, i] { return listed(census, i); });
        }
        await([&] { return census.now() >= round % 7; }, "some results to be parked");
      }
      EXPECT_EQ(census.now(), 0);
      EXPECT_THAT(got, IsEmpty());
    }
  });
}

TEST_F(Stream, S7_a_stream_without_a_task_ends) {
  watchdog const guard("a stream without tasks");
  {
    stream<int> const unused({}, [](int) {});
  }
  stream<int> out({}, [](int) {});
  EXPECT_FALSE(out.wait());
  out.reset();
  EXPECT_FALSE(out.wait());
  out.cancel();
  EXPECT_EQ(out.wait(), errc::canceled);
  out.run([] { return 1; });
  EXPECT_EQ(out.wait().skipped(), 1U);
}

TEST_F(Stream, C1_a_cancelled_stream_tells_as_a_group) {
  watchdog const guard("a cancelled stream");
  with_workers(2, [] {
    bool called = false;
    full_stream full({.limit = 2, .queue = 2}, 3);
    auto const callback = full.out().on_cancel([&] { called = true; });
    auto const token = full.out().get_stop_token();
    EXPECT_FALSE(token.stop_requested());
    full.out().cancel(cause());
    EXPECT_TRUE(called);
    EXPECT_TRUE(token.stop_requested());
    EXPECT_TRUE(full.out().is_canceling());
    EXPECT_EQ(full.out().first_error(), cause());
    EXPECT_EQ(full.out().cause(), cause());
    EXPECT_FALSE(full.out().try_run([&] { return listed(full.census, 1); }));
    full.end.open();
    EXPECT_EQ(full.out().wait(), cause());
    EXPECT_THAT(full.got, IsEmpty());
  });
}

TEST_F(Stream, C1_skipped_tasks_are_counted_and_their_callables_destroyed) {
  watchdog const guard("the tasks behind a cancelled one");
  with_workers(2, [] {
    gate end("the end of the first task");
    gate begins("the first task to begin");
    numbers_in_order in;
    stream<just_moved> out{{.limit = 1, .queue = 20}, std::ref(in)};
    out.run([&] {
      begins.open();
      end.wait();
      return just_moved(0);
    });
    begins.wait();
    for (int i = 1; i != 11; ++i) {
      out.run([i, c = counted()] { return just_moved(i); });
    }
    out.cancel();
    end.open();
    error const e = out.wait();
    EXPECT_EQ(e, errc::canceled);
    EXPECT_EQ(e.skipped(), 10U);
    EXPECT_THAT(in.got, IsEmpty());
    EXPECT_EQ(counted::live(), 0);
  });
}

TEST_F(Stream, C3_a_deadline_ends_a_stream) {
  watchdog const guard("a stream with a deadline");
  with_workers(2, [] {
    numbers_in_order in;
    stream<just_moved> out{{.limit = 2, .timeout = std::chrono::milliseconds(2)}, std::ref(in)};
    EXPECT_LT(out.deadline(), errgroup::clock::time_point::max());
    out.run([](std::stop_token const& stop) {
      await([&] { return stop.stop_requested(); }, "the deadline");
      return just_moved(0);
    });
    out.run([] { return just_moved(1); });
    EXPECT_EQ(out.wait(), errc::deadline_exceeded);
    EXPECT_THAT(in.got, IsEmpty());
  });
}

// --- results of every kind -------------------------------------------------------------------

TEST_F(Stream, S6_results_are_moved_and_need_nothing_else) {
  watchdog const guard("results that can only be moved");
  with_workers(2, [] {
    std::vector<std::unique_ptr<int>> got;
    {
      stream<std::unique_ptr<int>> out{
          {.limit = 2}, [&](std::unique_ptr<int> p) { got.push_back(std::move(p)); }};
      for (int i = 0; i != 20; ++i) {
        out.run([i] {
          work(i);
          return std::make_unique<int>(i);
        });
        out.run([i]() -> result<std::unique_ptr<int>> { return std::make_unique<int>(i); });
        out.run([i]() -> tl::expected<std::unique_ptr<int>, std::error_code> {
          return std::make_unique<int>(i);
        });
      }
      EXPECT_FALSE(out.wait());
    }
    ASSERT_EQ(got.size(), 60U);
    for (std::size_t i = 0; i != 60; ++i) {
      EXPECT_EQ(*got[i], static_cast<int>(i / 3));
    }
  });
}

TEST_F(Stream, S6_no_result_is_copied) {
  watchdog const guard("results that count their copies");
  with_workers(2, [] {
    support::rather_copied::copies = 0;
    int got = 0;
    stream<support::rather_copied> out{{.limit = 2},
                                       [&](support::rather_copied&& one) { got += one.get(); }};
    gate first("the second task to have its result");
    out.run([&] {
      first.wait();
      return support::rather_copied(1);
    });
    out.run([opens = std::make_shared<opens_at_end>(first)]() -> result<support::rather_copied> {
      return result<support::rather_copied>(std::in_place, 2);
    });
    EXPECT_FALSE(out.wait());
    EXPECT_EQ(got, 3);
    EXPECT_EQ(support::rather_copied::copies, 0);
  });
}

TEST_F(Stream, S6_a_task_that_returns_a_reference_keeps_its_object) {
  watchdog const guard("tasks that return references");
  with_workers(2, [] {
    std::string const text(100, 'x');
    std::string mine = text;
    std::string const constant = text;
    result<std::string> held = text;
    std::vector<std::string> got;
    gate end("the end of the first task");
    stream<std::string> out{{.limit = 2},
                            [&](std::string&& one) { got.push_back(std::move(one)); }};
    for (int round = 0; round != 2; ++round) {
      // With a gap in front, the results are parked; without, they are handed over at once.
      if (round == 1) {
        out.run([&] {
          end.wait();
          return text;
        });
      }
      std::atomic<int> ended{0};
      out.run([&]() -> std::string& { return mine; });
      out.run([&]() -> std::string const& { return constant; });
      out.run([&]() -> result<std::string>& { return held; });
      out.run([&] {
        ++ended;
        return text.c_str();  // what a string is made from
      });
      if (round == 1) {
        await([&] { return ended == 1; }, "the last task");
        end.open();
      }
      EXPECT_FALSE(out.wait());
      EXPECT_EQ(mine, text);
      EXPECT_EQ(constant, text);
      EXPECT_EQ(*held, text);
    }
    EXPECT_EQ(got, std::vector<std::string>(9, text));
  });
}

/// Throws at the n-th move, from 0.
class throws_on_a_move {
 public:
  explicit throws_on_a_move(int n) : left_(n) {}
  throws_on_a_move(throws_on_a_move&& other) noexcept(false) : left_(other.left_ - 1) {
    if (left_ < 0) {
      throw support::thrown_by_move();
    }
  }
  throws_on_a_move(throws_on_a_move const&) = delete;
  throws_on_a_move& operator=(throws_on_a_move const&) = delete;
  throws_on_a_move& operator=(throws_on_a_move&&) = delete;
  ~throws_on_a_move() = default;

 private:
  counted alive_;
  int left_;
};

TEST_F(Stream, E2_a_result_whose_move_throws_is_a_failure_of_its_number) {
  watchdog const guard("results whose move throws");
  with_workers(2, [] {
    for (int moves = 0; moves != 6; ++moves) {
      for (bool const parks : {false, true}) {
        SCOPED_TRACE(testing::Message() << moves << " moves, parks " << parks);
        int got = 0;
        stream<throws_on_a_move> out{
            {.limit = 2, .queue = 4, .policy = on_error::keep_going, .errors = keep::all},
            [&](throws_on_a_move&& one) {
              throws_on_a_move const kept(std::move(one));
              ++got;
            }};
        gate end("the end of the first task");
        std::atomic<int> ended{0};
        if (parks) {
          out.run([&] {
            end.wait();
            return throws_on_a_move(100);
          });
        }
        out.run([moves] { return throws_on_a_move(moves); });
        out.run([&]() -> result<throws_on_a_move> {
          ++ended;
          return result<throws_on_a_move>(std::in_place, 100);
        });
        await([&] { return ended == 1; }, "the last task");
        end.open();
        error const e = out.wait();
        if (e) {
          EXPECT_NE(e.get_if<support::thrown_by_move>(), nullptr) << e;
          EXPECT_EQ(e.origin().index, parks ? 1U : 0U);
          EXPECT_TRUE(e.others().empty());
          EXPECT_LT(moves, 3);
        }
        EXPECT_EQ(got, (parks ? 3 : 2) - (e ? 1 : 0));
        EXPECT_EQ(counted::live(), 0);
      }
    }
  });
}

struct made_from_int {
  made_from_int(int n) : number(n) {
    if (n < 0) {
      throw std::runtime_error("a negative number");
    }
  }
  int number;
};

TEST_F(Stream, E2_a_result_that_cannot_be_made_is_a_failure_of_its_task) {
  watchdog const guard("results that cannot be made");
  with_workers(2, [] {
    for (bool const parks : {false, true}) {
      SCOPED_TRACE(parks);
      std::vector<int> got;
      stream<made_from_int> out{{.limit = 2, .queue = 4, .policy = on_error::keep_going},
                                [&](made_from_int one) { got.push_back(one.number); }};
      gate end("the end of the first task");
      std::atomic<int> ended{0};
      out.run([&] {
        if (parks) {
          end.wait();
        }
        return 0;
      });
      auto const line = std::source_location::current().line() + 1;
      out.run("negative", [] { return -1; });
      out.run([&] {
        ++ended;
        return 2;
      });
      await([&] { return ended == 1; }, "the last task");
      end.open();
      error const e = out.wait();
      EXPECT_NE(e.get_if<std::runtime_error>(), nullptr) << e;
      EXPECT_EQ(e.origin().index, 1U);
      EXPECT_EQ(e.origin().name, "negative");
      EXPECT_EQ(e.origin().where.line(), line);
      EXPECT_THAT(got, ElementsAre(0, 2));
    }
  });
}

TEST_F(Stream, S6_tasks_may_take_a_stop_token_and_may_be_move_only) {
  watchdog const guard("tasks of several types");
  int got = 0;
  stream<int> out({.queue = 8}, [&](int n) { got += n; });
  out.run([](std::stop_token const& stop) { return stop.stop_possible() ? 1 : 0; });
  out.run(support::move_only([] { return 10; }));
  out.run("named", support::move_only([] { return 100; }));
  std::function<int()> const function = [] { return 1000; };
  out.run(function);
  out.run(+[] { return 10'000; });
  EXPECT_TRUE(out.try_run(support::move_only([] { return 100'000; })));
  EXPECT_FALSE(out.wait());
  EXPECT_EQ(got, 111'111);
}

// --- bad arguments ---------------------------------------------------------------------------

template <class F>
std::string told_by(F const& f) {
  try {
    f();
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "nothing";
}

TEST_F(Stream, A_bad_arguments_are_refused_in_words) {
  watchdog const guard("bad arguments");
  EXPECT_THAT(told_by([] { stream<int> const out({}, std::function<void(int)>()); }),
              HasSubstr("the consumer of a stream is an empty function"));
  EXPECT_THAT(told_by([] { stream<int> const out{{.limit = 0}, [](int) {}}; }),
              HasSubstr("errgroup::options::limit is 0"));
  std::vector<int> got;
  stream<int> out({}, [&](int n) { got.push_back(n); });
  std::function<int()> const empty;
  int (*const null)() = nullptr;
  EXPECT_THAT(told_by([&] { out.run(empty); }), HasSubstr("empty function"));
  EXPECT_THAT(told_by([&] { out.run("named", null); }), HasSubstr("empty function"));
  EXPECT_THAT(told_by([&] { (void)out.try_run(empty); }), HasSubstr("empty function"));
  out.run([] { return 1; });
  EXPECT_FALSE(out.wait());
  EXPECT_THAT(got, ElementsAre(1));
}

TEST_F(Stream, E6_an_exception_of_run_leaves_the_stream_as_before) {
  watchdog const guard("a run that throws");
  with_workers(2, [] {
    with_all_options([](options const& opts) {
      std::vector<int> got;
      stream<int> out(opts, [&](int n) { got.push_back(n); });
      support::throws_on_copy const f([] { return 1; });
      for (int i = 0; i != 20; ++i) {
        EXPECT_THROW(out.run(f), support::thrown_by_copy);
        EXPECT_THROW(out.run("named", f), support::thrown_by_copy);
        out.run([i] { return i; });
        EXPECT_FALSE(out.wait());  // there is room
        EXPECT_THROW((void)out.try_run(support::throws_on_move([] { return 1; })),
                     support::thrown_by_move);
      }
      EXPECT_EQ(got, numbers(20));
      EXPECT_EQ(counted::live(), 1);
    });
  });
}

// --- without memory --------------------------------------------------------------------------

TEST_F(Stream, E6_whichever_allocation_of_run_fails_it_throws_and_the_order_stays) {
  watchdog const guard("run without memory");
  global_control const one(global_control::max_allowed_parallelism, 1);
  for (int const limit : {1, 2}) {
    bool more = true;
    for (long n = 0; more; ++n) {
      SCOPED_TRACE(testing::Message() << "limit " << limit << ", allocation " << n);
      ASSERT_LT(n, 1000);
      std::vector<int> got;
      stream<int> out{{.limit = limit, .queue = 100}, [&](int i) { got.push_back(i); }};
      got.reserve(10);
      std::vector<int> accepted;
      accepted.reserve(10);
      {
        failing_new const fails(n);
        for (int i = 0; i != 3; ++i) {
          try {
            out.run([i, c = counted()] { return i; });
            accepted.push_back(i);
          } catch (std::bad_alloc const&) {
            EXPECT_TRUE(failing_new::has_failed());
          }
        }
        more = failing_new::has_failed();
      }
      error const e = out.wait();
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(got, accepted);
      EXPECT_GE(got.size(), 2U);
    }
  }
}

TEST_F(Stream, P_a_result_whose_turn_it_is_needs_no_memory) {
  watchdog const guard("a stream without a result before its turn");
  global_control const one(global_control::max_allowed_parallelism, 1);
  int got = 0;
  stream<int> out{{.limit = 1, .queue = 4}, [&](int) { ++got; }};
  long before = 0;
  for (int i = 0; i != 200; ++i) {
    if (i == 100) {
      before = support::allocations;
    }
    out.run([i] { return i; });
  }
  EXPECT_FALSE(out.wait());
  EXPECT_EQ(got, 200);
  EXPECT_LT(support::allocations - before, 50);  // less than one for each result
}

// Makes the memory that nested tasks need in this thread.
void go_deep(int levels = 16) {
  if (levels != 0) {
    group g;
    EXPECT_FALSE(g.run_and_wait([levels] { go_deep(levels - 1); }));
  }
}

TEST_F(Stream, E2_without_memory_to_park_a_result_the_stream_fails_and_ends) {
  watchdog const guard("a stream without memory for a parked result");
  with_workers(2, [] {
    for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
      for (int const what : {0, 1, 2, 3, 4, 5}) {
        bool const and_after = what % 2 == 0;
        // Parking some of these needs memory for the list of parked results.
        int const bad = what < 2 ? 32 : what < 4 ? 33 : 34;
        bool more = true;
        for (long n = 0; more; ++n) {
          SCOPED_TRACE(testing::Message() << "allocation " << n << ", and after " << and_after);
          ASSERT_LT(n, 1000);
          std::vector<int> got;
          got.reserve(200);
          gate end("the end of the first task");
          gate began("the first task to begin");
          std::atomic<int> ended{0};
          std::atomic<bool> failed{false};
          stream<just_moved> out{{.limit = 2, .queue = 200, .policy = policy},
                                 [&](just_moved&& one) { got.push_back(one.get()); }};
          out.run([&] {
            began.open();
            end.wait();
            return just_moved(0);
          });
          began.wait();
          /// Lives until the task's result is parked.
          class failing {
           public:
            failing(std::atomic<bool>& failed, long n, bool and_after)
                : failed_(failed), n_(n), and_after_(and_after) {}
            void begin() { armed_.emplace(n_, and_after_); }
            ~failing() {
              if (armed_) {
                failed_ = failed_ || failing_new::has_failed();
              }
            }

           private:
            std::atomic<bool>& failed_;
            std::optional<failing_new> armed_;
            long n_;
            bool and_after_;
          };
          for (int i = 1; i != 100; ++i) {
            out.run([&, i, f = std::make_unique<failing>(failed, n, and_after)] {
              ++ended;
              if (i == bad) {
                go_deep();
                f->begin();
              }
              return just_moved(i);
            });
          }
          await([&] { return ended == 99 || out.is_canceling(); }, "the other tasks");
          end.open();
          error const e = out.wait();
          more = failed;
          EXPECT_EQ(bool(e), more) << e;
          if (e) {
            EXPECT_NE(e.get_if<std::bad_alloc>(), nullptr) << e;
            if (!and_after) {  // there was memory for the origin
              EXPECT_EQ(e.origin().index, static_cast<std::size_t>(bad)) << e;
            }
          } else {
            EXPECT_EQ(got, numbers(100));
          }
          if (e && policy == on_error::cancel) {
            EXPECT_THAT(got, IsEmpty());
          }
          EXPECT_EQ(counted::live(), 0);
        }
      }
    }
  });
}

// --- on_exception::terminate -----------------------------------------------------------------

struct says_unwound {
  ~says_unwound() { std::fputs("unwound\n", stderr); }
};

void throw_in_task(options opts) {
  watchdog const guard("a task that throws");
  opts.exceptions = on_exception::terminate;
  stream<int> out(opts, [](int) {});
  out.run([]() -> int {
    says_unwound const on_the_stack;
    throw std::runtime_error("the disk is full");
  });
  (void)out.wait();
}

void throw_in_consumer(int parked) {
  watchdog const guard("a consumer that throws");
  with_workers(2, [parked] {
    gate end("the end of the first task");
    std::atomic<int> ended{0};
    stream<int> out{{.limit = 2, .queue = 2, .exceptions = on_exception::terminate}, [&](int n) {
                      if (n == parked) {
                        says_unwound const on_the_stack;
                        throw std::runtime_error("the disk is full");
                      }
                    }};
    out.run([&] {
      end.wait();
      return 0;
    });
    out.run([&] {
      ++ended;
      return 1;
    });
    await([&] { return ended == 1; }, "the other task");
    dawdle();
    end.open();
    (void)out.wait();
  });
}

void throw_in_conversion() {
  watchdog const guard("a conversion that throws");
  stream<made_from_int> out{{.exceptions = on_exception::terminate}, [](made_from_int const&) {}};
  out.run([] { return -1; });
  error const e = out.wait();
  std::fprintf(stderr, "told: %s\n", e.message().c_str());
}

TEST(StreamDeathTest, E5_an_exception_ends_the_process_where_it_was_thrown) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto const words =
      testing::AllOf(HasSubstr("the disk is full"), testing::Not(HasSubstr("unwound")));
  EXPECT_DEATH(throw_in_task({}), words);
  EXPECT_DEATH(throw_in_task({.limit = 1}), words);
  EXPECT_DEATH(throw_in_consumer(0), words);
  EXPECT_DEATH(throw_in_consumer(1), words);
  EXPECT_DEATH(throw_in_conversion(), HasSubstr("a negative number"));
}

TEST_F(Stream, E5_what_is_returned_ends_no_process) {
  watchdog const guard("failures without exceptions");
  stream<int> out{{.exceptions = on_exception::terminate},
                  [](int) -> std::error_code { return cause(); }};
  out.run([] { return 1; });
  EXPECT_EQ(out.wait(), cause());
  out.reset();
  out.run([]() -> result<int> { return cause(); });
  EXPECT_EQ(out.wait(), cause());
}

// --- hangs -----------------------------------------------------------------------------------

// A cancellation beside everything that a task does with its result.
TEST_F(Stream, C1_a_cancellation_at_any_moment_leaves_a_prefix_and_no_result) {
  watchdog const guard("a stream that is cancelled at any moment");
  for (int const workers : {0, 2}) {
    with_workers(workers, [] {
      for (int round = 0; round != 200; ++round) {
        int const limit = 1 + round % 3;
        std::vector<int> got;
        int const way = round % 5;
        std::optional<stream<just_moved>> out;
        out.emplace(options{.limit = limit, .queue = static_cast<std::size_t>(round) % 4},
                    [&](just_moved&& one) -> std::error_code {
                      got.push_back(one.get());
                      return way == 1 && one.get() == round % 11 ? cause() : std::error_code();
                    });
        std::thread canceler;
        if (way == 0) {
          canceler = std::thread([&] {
            dawdle(round % 17);
            out->cancel();
          });
        }
        for (int i = 0; i != 12; ++i) {
          out->run([&, i]() -> result<just_moved> {
            work(round + i);
            if (way == 2 && i == round % 11) {
              return cause();
            }
            if (way == 3 && i == round % 11) {
              out->cancel();
            }
            return just_moved(i);
          });
        }
        if (way == 4 && round % 2 == 0) {
          out.reset();  // without a wait
        } else {
          error const e = out->wait();
          ASSERT_TRUE(e || got.size() == 12);
          if (way == 1) {
            ASSERT_EQ(got, numbers(round % 11 + 1));  // the consumer's failure is its last call
          }
        }
        ASSERT_EQ(got, numbers(static_cast<int>(got.size())));
        if (canceler.joinable()) {
          canceler.join();
        }
        out.reset();
        ASSERT_EQ(counted::live(), 0);
      }
    });
  }
}

}  // namespace
