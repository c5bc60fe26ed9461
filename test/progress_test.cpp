// SPDX-License-Identifier: Apache-2.0

// progress: who calls its function, how often, and what is counted.

#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/all.hpp>
#include <errgroup/for_each.hpp>
#include <errgroup/group.hpp>
#include <errgroup/pipeline.hpp>
#include <errgroup/progress.hpp>
#include <errgroup/reduce.hpp>
#include <errgroup/stream.hpp>
#include <errgroup/testing.hpp>
#include <errgroup/transform.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>        // atomic
#include <chrono>        // hours, milliseconds, nanoseconds, seconds
#include <cstddef>       // size_t
#include <functional>    // function, plus
#include <iomanip>       // left, setw
#include <list>          // list
#include <memory>        // make_shared
#include <mutex>         // mutex, scoped_lock
#include <numeric>       // iota
#include <optional>      // optional
#include <ostream>       // ostream
#include <set>           // set
#include <sstream>       // istringstream, ostringstream
#include <stdexcept>     // invalid_argument, logic_error, runtime_error
#include <stop_token>    // stop_source
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <thread>        // this_thread, thread
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;
using errgroup::npos;
using errgroup::on_error;
using errgroup::options;
using errgroup::progress;
using errgroup::progress_options;
using errgroup::progress_view;
using errgroup::testing::test_clock;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using support::await;
using support::gate;
using support::watchdog;

/// Keeps the view of each call. Fails if two calls run at once, or if a call follows the final one.
class recorder {
 public:
  progress::function function() {
    return [this](progress_view const& p) { record(p); };
  }

  [[nodiscard]] std::vector<progress_view> calls() const {
    std::scoped_lock const held(mutex_);
    return calls_;
  }
  [[nodiscard]] std::size_t count() const { return calls().size(); }

  void await_calls(std::size_t n) const {
    await([&] { return count() >= n; }, "the function to be called");
  }

  /// Called in each call, after the view was kept.
  std::function<void(progress_view const&)> inside = [](progress_view const& /*p*/) {};

 private:
  void record(progress_view const& p) {
    EXPECT_FALSE(is_inside_.exchange(true)) << "two calls at once";
    {
      std::scoped_lock const held(mutex_);
      if (!calls_.empty()) {
        EXPECT_FALSE(calls_.back().is_final) << "a call after the final call";
        EXPECT_GE(p.done, calls_.back().done);
      }
      calls_.push_back(p);
    }
    inside(p);
    is_inside_ = false;
  }

  mutable std::mutex mutex_;
  std::vector<progress_view> calls_;
  std::atomic<bool> is_inside_{false};
};

std::string text_of(progress_view const& p) {
  std::ostringstream out;
  out << p;
  return out.str();
}

/// What the constructor says when it throws.
template <class... A>
std::string refusal(A&&... arguments) {
  try {
    progress const p(std::forward<A>(arguments)...);
  } catch (std::invalid_argument const& e) {
    return e.what();
  }
  return "no std::invalid_argument";
}

// --- calls ---

TEST(Progress, V1_it_is_called_while_all_threads_are_blocked_in_the_work) {
  watchdog const guard("calls while all threads work");
  support::with_workers(1, [] {
    test_clock clock;
    recorder r;
    gate third("the third call");
    std::set<std::thread::id> callers;
    r.inside = [&](progress_view const& p) {
      if (!p.is_final) {
        EXPECT_EQ(p.done, 0U);
        callers.insert(std::this_thread::get_id());
      }
      if (r.count() == 3) {
        third.open();
      }
    };
    progress shown(2, r.function());
    support::rendezvous both(3, "both elements to begin");
    std::thread time([&] {
      both.arrive_and_wait();
      for (std::size_t n = 1; n != 4; ++n) {
        clock.advance(milliseconds(200));
        r.await_calls(n);
      }
    });
    std::mutex mutex;
    std::set<std::thread::id> workers;
    error const e = errgroup::for_each({.limit = 2, .progress = &shown}, 2, [&](int /*i*/) {
      {
        std::scoped_lock const held(mutex);
        workers.insert(std::this_thread::get_id());
      }
      both.arrive_and_wait();
      third.wait();
    });
    EXPECT_FALSE(e) << e;
    time.join();
    shown.finish();
    EXPECT_EQ(r.calls().back().done, 2U);
    for (std::thread::id const id : callers) {
      EXPECT_EQ(workers.count(id), 0U) << "a thread of the work has made a call";
    }
  });
}

TEST(Progress, V1_it_is_called_while_nothing_is_added_and_by_the_clock_of_the_test) {
  test_clock clock;
  recorder r;
  progress shown({.interval = hours(1)}, 5, r.function());
  shown.add(2);
  for (std::size_t n = 1; n != 5; ++n) {
    clock.advance(hours(1));
    r.await_calls(n);
    EXPECT_EQ(r.calls().back().elapsed, hours(n));
    EXPECT_EQ(r.calls().back().done, 2U);
    EXPECT_EQ(r.calls().back().total, 5U);
    EXPECT_FALSE(r.calls().back().is_final);
  }
}

TEST(Progress, V1_a_function_that_blocks_delays_no_deadline_and_no_other_progress) {
  watchdog const guard("a deadline and a progress beside a function that blocks");
  test_clock clock;
  gate begun("the first call");
  gate goes_on("the first call to go on");
  progress blocked([&](progress_view const& p) {
    if (!p.is_final) {
      begun.open();
      goes_on.wait();
    }
  });
  support::opens_at_end const opens(goes_on);
  recorder r;
  progress other(r.function());
  errgroup::group g{{.timeout = milliseconds(500)}};
  clock.advance(milliseconds(200));
  begun.wait();
  r.await_calls(1);
  clock.advance(milliseconds(200));
  r.await_calls(2);
  clock.advance(milliseconds(200));
  EXPECT_EQ(g.wait(), errc::deadline_exceeded);
}

TEST(Progress, V2_calls_begin_at_least_the_interval_apart_also_after_a_late_one) {
  watchdog const guard("calls at their times");
  test_clock clock;
  recorder r;
  gate goes_on("the second call to go on");
  r.inside = [&](progress_view const& /*p*/) {
    if (r.count() == 2) {
      goes_on.wait();
    }
  };
  progress shown(1, r.function());
  auto const step = milliseconds(50);
  for (int i = 0; i != 8; ++i) {
    clock.advance(step);
    if (i == 3) {
      r.await_calls(1);
    }
  }
  r.await_calls(2);
  clock.advance(milliseconds(450));  // 850 ms: two times have passed
  goes_on.open();
  r.await_calls(3);
  while (r.count() < 6) {
    clock.advance(step);
    std::this_thread::yield();
  }
  auto const calls = r.calls();
  EXPECT_EQ(calls[0].elapsed, milliseconds(200));
  EXPECT_EQ(calls[1].elapsed, milliseconds(400));
  EXPECT_EQ(calls[2].elapsed, milliseconds(850));
  for (std::size_t i = 1; i != calls.size(); ++i) {
    EXPECT_GE(calls[i].elapsed - calls[i - 1].elapsed, milliseconds(200)) << i;
  }
}

TEST(Progress, V2_the_final_call_waits_for_a_call_that_is_running) {
  watchdog const guard("the end of a progress");
  test_clock clock;
  recorder r;  // looks for two calls at once
  gate begun("the first call");
  gate goes_on("the first call to go on");
  r.inside = [&](progress_view const& p) {
    if (!p.is_final) {
      begun.open();
      goes_on.wait();
    }
  };
  progress shown(1, r.function());
  clock.advance(milliseconds(200));
  begun.wait();
  gate finishes("another thread to finish the progress");
  std::thread other([&] {
    finishes.open();
    shown.finish();
    EXPECT_EQ(r.count(), 2U);
  });
  finishes.wait();
  for (int i = 0; i != 10'000; ++i) {
    std::this_thread::yield();  // finish would make its call meanwhile if it did not wait
  }
  EXPECT_EQ(r.count(), 1U);
  goes_on.open();
  other.join();
}

TEST(Progress, V3_the_final_call_is_made_once_and_sees_what_was_added_before) {
  recorder r;
  {
    progress shown({.interval = hours(1)}, 40'000, r.function());
    std::vector<std::thread> threads;
    for (int t = 0; t != 20; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i != 1000; ++i) {
          shown.add();
        }
        shown.add(1000);
      });
    }
    for (std::thread& t : threads) {
      t.join();
    }
    EXPECT_EQ(shown.view().done, 40'000U);
    EXPECT_FALSE(shown.view().is_final);
    EXPECT_EQ(r.count(), 0U);
    shown.finish();
    ASSERT_EQ(r.count(), 1U);
    EXPECT_TRUE(r.calls()[0].is_final);
    EXPECT_EQ(r.calls()[0].done, 40'000U);
    shown.add();
    shown.finish();
    EXPECT_EQ(shown.view().done, 40'001U);
  }
  EXPECT_EQ(r.count(), 1U);
}

TEST(Progress, V3_the_destructor_makes_the_final_call_if_finish_has_not) {
  recorder r;
  {
    progress shown(r.function());
    shown.add(3);
  }
  ASSERT_EQ(r.count(), 1U);
  EXPECT_TRUE(r.calls()[0].is_final);
  EXPECT_EQ(r.calls()[0].done, 3U);
  EXPECT_EQ(r.calls()[0].total, npos);
}

TEST(Progress, V3_of_several_threads_that_finish_each_returns_after_the_final_call) {
  recorder r;
  progress shown(1, r.function());
  std::vector<std::thread> threads;
  for (int t = 0; t != 4; ++t) {
    threads.emplace_back([&] {
      shown.finish();
      auto const calls = r.calls();
      ASSERT_FALSE(calls.empty());
      EXPECT_TRUE(calls.back().is_final);
    });
  }
  for (std::thread& t : threads) {
    t.join();
  }
}

TEST(Progress, V3_no_call_follows_the_final_call_whenever_it_comes) {
  for (int round = 0; round != 500; ++round) {
    recorder r;
    progress shown({.interval = nanoseconds(1 + round * 200)}, 1, r.function());
    if (round % 2 == 0) {
      r.await_calls(1);
    }
    shown.finish();
    EXPECT_TRUE(r.calls().back().is_final);
  }
}

TEST(Progress, V3_a_call_that_waits_for_its_thread_is_not_made_after_the_final_call) {
  watchdog const guard("a progress that is finished while a call waits for its thread");
  test_clock clock;
  for (int round = 0; round != 100; ++round) {
    recorder r;
    {
      progress shown(1, r.function());
      clock.advance(milliseconds(200));  // the call was handed over, and may have begun or not
    }
    std::vector<progress_view> const calls = r.calls();
    EXPECT_LE(calls.size(), 2U);
    EXPECT_TRUE(calls.back().is_final);
  }
}

TEST(Progress, V3_the_function_is_destroyed_when_finish_returns) {
  auto const alive = std::make_shared<int>(0);
  progress shown(1, [alive](progress_view const& /*p*/) {});
  EXPECT_EQ(alive.use_count(), 2);
  shown.finish();
  EXPECT_EQ(alive.use_count(), 1);
}

TEST(Progress, the_function_may_add_and_look_but_not_finish) {
  recorder r;
  progress* p = nullptr;
  std::string said;
  r.inside = [&](progress_view const& view) {
    p->add();
    EXPECT_EQ(p->view().done, view.done + 1);
    try {
      p->finish();
    } catch (std::logic_error const& e) {
      said = e.what();
    }
  };
  progress shown(1, r.function());
  p = &shown;
  shown.finish();
  EXPECT_THAT(said, testing::HasSubstr("was called by the function of the same progress"));
}

TEST(ProgressDeathTest, V2_an_exception_of_the_function_terminates) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto const finish = [] {
    progress shown(1, [](progress_view const& /*p*/) { throw std::runtime_error("no terminal"); });
    shown.finish();
  };
  EXPECT_DEATH(finish(), "no terminal");
}

// --- what is counted ---

/// A way in which a bulk algorithm works on elements. `f` returns a failure for some elements.
struct algorithm {
  char const* name;
  error (*run)(options const& opts, int n, std::function<std::error_code(int)> const& f);
};

void PrintTo(algorithm const& a, std::ostream* out) { *out << a.name; }

std::vector<int> up_to(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

using body = std::function<std::error_code(int)>;

error each_number(options const& opts, int n, body const& f) {
  return errgroup::for_each(opts, n, f);
}
error each_of_list(options const& opts, int n, body const& f) {
  auto const v = up_to(n);
  return errgroup::for_each(opts, std::list<int>(v.begin(), v.end()), f);
}
error transform_values(options const& opts, int n, body const& f) {
  return errgroup::transform(opts, up_to(n),
                             [&f](int i) -> errgroup::result<int> {
                               if (auto const ec = f(i)) {
                                 return ec;
                               }
                               return i;
                             })
      .error();
}
error transform_strings(options const& opts, int n, body const& f) {
  return errgroup::transform(opts, up_to(n),
                             [&f](int i) -> errgroup::result<std::string> {
                               if (auto const ec = f(i)) {
                                 return ec;
                               }
                               return std::string();
                             })
      .error();
}
error reduce_values(options const& opts, int n, body const& f) {
  return errgroup::reduce(
             opts, up_to(n), 0,
             [&f](int so_far, int i) -> errgroup::result<int> {
               if (auto const ec = f(i)) {
                 return ec;
               }
               return so_far + i;
             },
             std::plus<>())
      .error();
}
/// Items that are even are dropped by the second stage.
error carry(options const& opts, int n, body const& f) {
  namespace stage = errgroup::stage;
  int next = 0;
  return errgroup::pipeline(
      opts, stage::source([&]() -> std::optional<int> {
        return next == n ? std::optional<int>() : std::optional<int>(next++);
      }),
      stage::parallel([](int i) { return i % 2 == 0 ? std::optional<int>() : i; }),
      stage::parallel([&f](int i) -> errgroup::result<int> {
        if (auto const ec = f(i)) {
          return ec;
        }
        return i;
      }),
      stage::in_order([](int /*i*/) {}));
}

class ProgressCounts : public testing::TestWithParam<algorithm> {
 protected:
  static constexpr int n = 500;

  /// Runs the algorithm and returns what was counted.
  std::size_t count(options opts, body const& f) {
    recorder r;
    progress shown({.interval = hours(1)}, n, r.function());
    opts.progress = &shown;
    err = GetParam().run(opts, n, f);
    EXPECT_EQ(r.count(), 0U) << "the algorithm has finished the progress";
    return shown.view().done;
  }

  error err;
};

TEST_P(ProgressCounts, V4_each_element_is_counted_once) {
  auto const succeed = [](int /*i*/) { return std::error_code(); };
  for (int const limit : {1, 3, errgroup::unlimited}) {
    EXPECT_EQ(count({.limit = limit}, succeed), std::size_t{n});
    EXPECT_FALSE(err) << err;
  }
  support::with_workers(3, [&] {
    EXPECT_EQ(count({}, succeed), std::size_t{n});
    EXPECT_FALSE(err) << err;
  });
}

TEST_P(ProgressCounts, V4_elements_that_fail_are_counted_and_skipped_ones_are_not) {
  bool const is_pipeline = GetParam().run == carry;
  auto const fail_at = [](int first) {
    return [first](int i) {
      if (i == first) {
        return make_error_code(std::errc::io_error);
      }
      if (i > first && i % 7 == 0) {
        throw std::runtime_error("seven");
      }
      return std::error_code();
    };
  };
  for (int const limit : {1, 3, errgroup::unlimited}) {
    std::size_t const all = count({.limit = limit, .policy = on_error::keep_going}, fail_at(101));
    EXPECT_TRUE(err);
    EXPECT_EQ(all, std::size_t{n});
    EXPECT_EQ(err.skipped(), 0U);
    std::size_t const some = count({.limit = limit}, fail_at(101));
    EXPECT_TRUE(err);
    if (is_pipeline) {
      EXPECT_LE(some + err.skipped(), std::size_t{n});  // the source was not read to its end
      EXPECT_GE(some, limit == 1 ? 102U : 1U);
    } else {
      EXPECT_EQ(some + err.skipped(), std::size_t{n});
    }
    EXPECT_GE(some, 1U);
  }
}

TEST_P(ProgressCounts, V4_what_a_cancellation_skips_is_not_counted) {
  std::stop_source source;
  std::size_t const some = count({.limit = 1, .stop = source.get_token()}, [&](int i) {
    if (i == 11) {
      source.request_stop();
    }
    return std::error_code();
  });
  EXPECT_EQ(err, errc::canceled);
  EXPECT_GE(some, 11U);
  EXPECT_LT(some, std::size_t{n});
  if (GetParam().run != carry) {
    EXPECT_EQ(some + err.skipped(), std::size_t{n});
  }
}

INSTANTIATE_TEST_SUITE_P(All, ProgressCounts,
                         testing::Values(algorithm{"for_each", each_number},
                                         algorithm{"for_each_of_a_list", each_of_list},
                                         algorithm{"transform", transform_values},
                                         algorithm{"transform_in_parts", transform_strings},
                                         algorithm{"reduce", reduce_values},
                                         algorithm{"pipeline", carry}),
                         [](auto const& each) { return std::string(each.param.name); });

TEST(Progress, V4_a_block_is_counted_when_it_ends_and_not_when_the_call_ends) {
  progress shown({.interval = hours(1)}, 2, [](progress_view const& /*p*/) {});
  // An element of unknown length is a block of its own, and there is one thread.
  error const e = errgroup::for_each({.limit = 1, .progress = &shown}, 2, [&](int i) {
    EXPECT_EQ(shown.view().done, static_cast<std::size_t>(i));
  });
  EXPECT_FALSE(e) << e;
}

TEST(Progress, V4_items_behind_the_end_of_input_are_not_counted) {
  namespace stage = errgroup::stage;
  progress shown({.interval = hours(1)}, [](progress_view const& /*p*/) {});
  std::atomic<int> written = 0;
  int next = 0;
  error const e = errgroup::pipeline({.limit = 4, .progress = &shown},
                                     stage::source([&]() -> std::optional<int> { return next++; }),
                                     stage::parallel([](int i) -> errgroup::result<int> {
                                       if (i == 100) {
                                         return errgroup::no_more;
                                       }
                                       return i;
                                     }),
                                     stage::in_order([&](int /*i*/) { ++written; }));
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(written, 100);
  EXPECT_GE(shown.view().done, 100U);
}

TEST(Progress, V4_several_calls_may_count_in_one_progress) {
  progress shown({.interval = hours(1)}, 30, [](progress_view const& /*p*/) {});
  options const opts{.progress = &shown};
  EXPECT_FALSE(errgroup::for_each(opts, 10, [](int /*i*/) {}));
  EXPECT_FALSE(errgroup::for_each(opts, 15, [](int /*i*/) {}));
  shown.add(5);
  EXPECT_EQ(shown.view().done, 30U);
}

// --- bad input ---

TEST(Progress, V5_bad_input_is_refused_in_words) {
  auto const call = [](progress_view const& /*p*/) {};
  EXPECT_THAT(refusal(3, progress::function()), testing::HasSubstr("empty function"));
  EXPECT_THAT(refusal(std::function<void(progress_view)>()), testing::HasSubstr("empty function"));
  EXPECT_THAT(refusal(-1, call), testing::HasSubstr("negative total"));
  EXPECT_THAT(refusal(progress_options{.interval = seconds(0)}, 3, call),
              testing::HasSubstr("interval is 0 ns"));
  EXPECT_THAT(refusal(progress_options{.interval = nanoseconds(-5)}, call),
              testing::HasSubstr("interval is -5 ns"));
  progress const longest({.interval = nanoseconds::max()}, 3, call);
}

TEST(Progress, V5_what_does_not_count_refuses_the_option) {
  progress shown(3, [](progress_view const& /*p*/) {});
  options const opts{.progress = &shown};
  auto const words = testing::ThrowsMessage<std::invalid_argument>(
      testing::HasSubstr("errgroup::options::progress is set, and no function counts in it"));
  EXPECT_THAT([&] { errgroup::group const g(opts); }, words);
  EXPECT_THAT([&] { (void)errgroup::all(opts, [] { return 1; }); }, words);
  EXPECT_THAT([&] { errgroup::stream<int> const s(opts, [](int /*i*/) {}); }, words);
}

// --- the view ---

TEST(ProgressView, V6_a_share_and_a_time_left_come_from_a_total) {
  progress_view p{.done = 25, .total = 100, .elapsed = seconds(10)};
  EXPECT_EQ(p.fraction(), 0.25);
  EXPECT_EQ(p.rate(), 2.5);
  EXPECT_EQ(p.time_left(), seconds(30));
  p.total = npos;
  EXPECT_EQ(p.fraction(), std::nullopt);
  EXPECT_EQ(p.time_left(), std::nullopt);
  EXPECT_EQ(p.rate(), 2.5);
}

TEST(ProgressView, V6_a_total_that_is_wrong_gives_no_nonsense) {
  progress_view p{.done = 120, .total = 100, .elapsed = seconds(10)};
  EXPECT_EQ(p.fraction(), 1.0);
  EXPECT_EQ(p.time_left(), nanoseconds(0));
  EXPECT_EQ(text_of(p), "120 of 100 (100 %), 12/s, 0 s left");
  p = {.done = 0, .total = 0, .elapsed = seconds(1)};
  EXPECT_EQ(p.fraction(), 1.0);
  EXPECT_EQ(p.time_left(), nanoseconds(0));
  p = {.done = 0, .total = 5, .elapsed = seconds(1)};
  EXPECT_EQ(p.fraction(), 0.0);
  EXPECT_EQ(p.rate(), 0);
  EXPECT_EQ(p.time_left(), std::nullopt);
  p = {.done = 1, .total = 5, .elapsed = nanoseconds(0)};
  EXPECT_EQ(p.rate(), 0);
  EXPECT_EQ(p.time_left(), std::nullopt);
  p = {.done = 1, .total = npos - 1, .elapsed = hours(1)};
  EXPECT_EQ(p.time_left(), nanoseconds::max());
}

TEST(ProgressView, V6_it_is_written_as_one_short_line) {
  using std::chrono::minutes;
  auto const left = [](nanoseconds rest) {  // half is done
    return text_of({.done = 5, .total = 10, .elapsed = rest});
  };
  EXPECT_EQ(text_of({.done = 1234, .total = 5000, .elapsed = milliseconds(3010)}),
            "1,234 of 5,000 (24 %), 410/s, 10 s left");
  EXPECT_EQ(text_of({.done = 0, .total = 5000}), "0 of 5,000 (0 %)");
  EXPECT_EQ(text_of({.done = 999, .total = 1000, .elapsed = seconds(1)}),
            "999 of 1,000 (99 %), 999/s, 1 s left");
  EXPECT_EQ(text_of({.done = 1'234'567, .elapsed = seconds(1)}), "1,234,567 done, 1,234,567/s");
  EXPECT_EQ(text_of({.done = 5000, .total = 5000, .elapsed = seconds(12), .is_final = true}),
            "5,000 of 5,000 (100 %), 417/s, in 12 s");
  EXPECT_EQ(text_of({.done = 3, .elapsed = milliseconds(400), .is_final = true}),
            "3 done, 7.5/s, in 0.4 s");
  EXPECT_EQ(left(seconds(59)), "5 of 10 (50 %), 5.1/min, 59 s left");
  EXPECT_EQ(left(seconds(200)), "5 of 10 (50 %), 1.5/min, 3 min 20 s left");
  EXPECT_EQ(left(minutes(60)), "5 of 10 (50 %), 5.0/h, 1 h left");
  EXPECT_EQ(left(minutes(125)), "5 of 10 (50 %), 2.4/h, 2 h 5 min left");
  EXPECT_EQ(left(hours(76)), "5 of 10 (50 %), 0.1/h, 3 d 4 h left");
  std::ostringstream wide;
  wide << std::left << std::setw(12) << progress_view{.done = 3} << '|';
  EXPECT_EQ(wide.str(), "3 done      |");
}

}  // namespace
