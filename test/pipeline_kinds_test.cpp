// SPDX-License-Identifier: Apache-2.0

// What the stages of a pipeline can do beside passing an item on: end the input (`no_more`), read
// in batches, make parts of an item (`many`), have a state for each lane (`with_state`).

#include "support/assembly.hpp"
#include "support/bulk.hpp"
#include "support/callables.hpp"
#include "support/census.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>
#include <errgroup/pipeline.hpp>
#include <errgroup/result.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <functional>    // function
#include <memory>        // make_unique, unique_ptr
#include <optional>      // nullopt, optional
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_callback, stop_token
#include <string>        // string, to_string
#include <system_error>  // error_code, make_error_code, system_error
#include <type_traits>   // is_same_v
#include <utility>       // move
#include <vector>        // vector

namespace {

namespace stage = errgroup::stage;
using errgroup::errc;
using errgroup::error;
using errgroup::group;
using errgroup::no_more;
using errgroup::on_error;
using errgroup::options;
using errgroup::pipeline;
using errgroup::result;
using stage::emitter;
using support::assembly;
using support::failure;
using support::item;
using support::numbers;
using support::up_to;
using support::watchdog;
using support::with_all_options;
using support::with_workers;
using testing::ElementsAre;
using at = assembly::at;

class PipelineKinds : public support::no_leaks {};

// --- no_more ---------------------------------------------------------------------------------

TEST_F(PipelineKinds, no_more_of_any_stage_ends_the_input_as_a_success) {
  watchdog const guard("a pipeline that is ended by a stage");
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    for (at const where : assembly::stages) {
      for (bool const throws : {false, true}) {
        SCOPED_TRACE(std::string(assembly::name(where)) + (throws ? ", thrown" : ""));
        with_all_options(
            [&](options const& opts) {
              assembly line(1000, [&](at s, int number, auto const&) {
                if (s != where || number != 10) {
                  return std::error_code();
                }
                if (throws) {
                  throw std::system_error(no_more);
                }
                return make_error_code(no_more);
              });
              error const e = line.run(opts, true);
              EXPECT_FALSE(e) << e;
              EXPECT_EQ(line.items_written(), 10);
              EXPECT_EQ(line.live_items(), 0);
              if (opts.limit == 1) {
                EXPECT_EQ(line.calls(at::read), 11) << "the source is not called again";
              }
              // Stages in order up to the stage that ended the input have got its item.
              EXPECT_EQ(line.written(), up_to(where == at::write ? 11 : 10));
              bool const has_come = where == at::order || where == at::split || where == at::write;
              EXPECT_EQ(line.ordered().size() > 10, has_come);
              for (auto const& s : line.stats().stages) {
                EXPECT_EQ(s.failed, 0U) << s.name;
              }
            },
            {.policy = policy});
      }
    }
  }
}

TEST_F(PipelineKinds, items_that_are_parked_behind_the_end_of_the_input_are_destroyed) {
  watchdog const guard("a pipeline that is ended with everything parked");
  with_workers(1, [] {
    constexpr int most = 8;
    support::gate parked("all other items to be parked");
    std::atomic<int> queued{0};
    assembly line(1000, [&](at s, int number, auto const&) {
      if (s == at::queue && ++queued == most - 1) {
        parked.open();
      }
      if (s == at::work && number == 2) {
        parked.wait();  // 0 and 1 are through, 3 to 9 are parked: as many slots as there are
        return make_error_code(no_more);
      }
      return std::error_code();
    });
    error const e = line.run({.limit = 2, .queue = most - 2});
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(line.ordered(), up_to(2));
    EXPECT_EQ(line.written(), up_to(2));
    EXPECT_EQ(line.live_items(), 0);
  });
}

TEST_F(PipelineKinds, of_two_ends_of_the_input_the_first_item_counts) {
  // Items 3 and 5 end the input, while item 4 waits for its turn in the last stage. Item 2 is there
  // until one of the two has left the parallel stage; then the other leaves, too.
  watchdog const guard("a pipeline that is ended twice");
  for (int const first : {3, 5}) {
    with_workers(2, [first] {
      support::gate both("both items to be in the stage");
      support::gate gone("the other item to have ended the input");
      std::atomic<int> inside{0};
      std::vector<int> v;
      error const e = pipeline({.limit = 3}, stage::source(numbers(1000)),
                               stage::parallel([&](int n) -> result<int> {
                                 if (n != 3 && n != 5) {
                                   return n;
                                 }
                                 if (++inside == 2) {
                                   both.open();
                                 }
                                 both.wait();
                                 if (n != first) {
                                   gone.wait();
                                 }
                                 return no_more;
                               }),
                               stage::in_order([&](int n) {
                                 v.push_back(n);
                                 if (n == 2) {
                                   // The lane of item `first` leaves the stage, and has nothing
                                   // else to do.
                                   both.wait();
                                   support::dawdle();
                                   gone.open();
                                   support::dawdle();
                                 }
                               }));
      EXPECT_FALSE(e) << e;
      EXPECT_EQ(v, up_to(3));
    });
  }
}

// --- batches ---------------------------------------------------------------------------------

TEST_F(PipelineKinds, a_source_in_batches_gives_vectors_of_up_to_so_many) {
  watchdog const guard("batches");
  with_all_options([](options const& opts) {
    for (std::size_t const size : {1U, 3U, 4U, 100U}) {
      for (int const n : {0, 1, 4, 12, 13}) {
        std::vector<int> v;
        std::vector<std::size_t> sizes;
        error const e = pipeline(opts, stage::source("read", numbers(n), stage::batches(size)),
                                 stage::parallel([](std::vector<int>&& b) { return std::move(b); }),
                                 stage::in_order([&](std::vector<int>&& b) {
                                   v.insert(v.end(), b.begin(), b.end());
                                   sizes.push_back(b.size());
                                 }));
        EXPECT_FALSE(e) << e;
        EXPECT_EQ(v, up_to(n));
        auto const count = static_cast<std::size_t>(n);
        ASSERT_EQ(sizes.size(), (count + size - 1) / size);
        for (std::size_t i = 0; i != sizes.size(); ++i) {
          EXPECT_EQ(sizes[i], i + 1 != sizes.size() || count % size == 0 ? size : count % size);
        }
      }
    }
  });
}

TEST_F(PipelineKinds, batches_of_a_range_refer_to_its_elements_or_own_them) {
  std::vector<int> numbers_there(10, 1);
  EXPECT_FALSE(
      pipeline(stage::source(numbers_there, stage::batches(3)), stage::parallel([](auto b) {
                 for (int& i : b) {
                   ++i;
                 }
               })));
  EXPECT_EQ(numbers_there, std::vector<int>(10, 2));
  std::vector<std::unique_ptr<int>> given;
  for (int i = 0; i != 10; ++i) {
    given.push_back(std::make_unique<int>(i));
  }
  std::vector<int> got;
  EXPECT_FALSE(pipeline(stage::source("given", std::move(given), stage::batches(4)),
                        stage::in_order([&](std::vector<std::unique_ptr<int>>&& b) {
                          for (auto const& p : b) {
                            got.push_back(*p);
                          }
                        })));
  EXPECT_EQ(got, up_to(10));
}

TEST_F(PipelineKinds, a_batch_is_one_item_in_the_origin_and_for_the_bound) {
  error const e = pipeline({.limit = 1}, stage::source(numbers(100), stage::batches(10)),
                           stage::in_order([](std::vector<int> const& b) {
                             return b.front() == 30 ? failure() : std::error_code();
                           }));
  EXPECT_EQ(e.origin().index, 3U);
  support::highest census;
  int n = 0;
  EXPECT_FALSE(
      pipeline({.limit = 1, .queue = 1},
               stage::source(
                   [&] {
                     return n == 50 ? std::optional<item>()
                                    : std::optional<item>(std::in_place, n++, census);
                   },
                   stage::batches(5)),
               stage::in_order([](std::vector<item> const& b) { EXPECT_EQ(b.size(), 5U); })));
  EXPECT_EQ(n, 50);
  EXPECT_LE(census.most(), 10);
  EXPECT_EQ(census.now(), 0);
}

TEST_F(PipelineKinds, a_source_fails_or_ends_within_a_batch) {
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    for (bool const fails : {false, true}) {
      int n = 0;
      std::vector<int> v;
      auto source = stage::source(
          [&]() -> result<std::optional<int>> {
            if (n == 8) {
              return fails ? error(failure()) : error(no_more);
            }
            return std::optional<int>(n++);
          },
          stage::batches(5));
      auto last = stage::in_order(
          [&](std::vector<int> const& b) { v.insert(v.end(), b.begin(), b.end()); });
      bool const is_cut = fails && policy == on_error::cancel;
      error const e = pipeline({.limit = 1, .policy = policy}, source, last);
      EXPECT_EQ(e.code(), fails ? failure() : std::error_code());
      EXPECT_EQ(e.origin().index, fails ? 1U : errgroup::npos);
      EXPECT_EQ(e.skipped(), is_cut ? 1U : 0U) << "the batch that was begun";
      EXPECT_EQ(v, up_to(is_cut ? 5 : 8));
      // Again: a source in batches that has ended begins anew.
      n = 0;
      v.clear();
      (void)pipeline({.limit = 1, .policy = policy}, source, last).code();
      EXPECT_EQ(v, up_to(is_cut ? 5 : 8));
    }
  }
}

TEST_F(PipelineKinds, no_more_wakes_a_source_that_blocks_by_its_token) {
  watchdog const guard("a source that is woken by no_more");
  with_workers(2, [] {
    int n = 0;
    support::gate asks("the source to block");
    error const e =
        pipeline({.limit = 2}, stage::source([&](std::stop_token token) -> std::optional<int> {
                   if (n < 2) {
                     return n++;
                   }
                   support::gate woken("the source's token to be stopped");
                   std::stop_callback const wakes(token, [&woken] { woken.open(); });
                   asks.open();
                   woken.wait();
                   return std::nullopt;
                 }),
                 stage::in_order([&](int i) -> error {
                   if (i == 1) {
                     asks.wait();
                     return no_more;
                   }
                   return {};
                 }));
    EXPECT_FALSE(e) << e;
  });
}

TEST_F(PipelineKinds, what_a_failed_source_gave_before_is_the_last_batch) {
  for (bool const throws : {false, true}) {
    for (int const end : {5, 8, 10}) {
      int n = 0;
      std::vector<int> v;
      errgroup::pipeline_stats stats;
      error const e = pipeline(
          {.limit = 2, .policy = on_error::keep_going, .errors = errgroup::keep::all}, stats,
          stage::source(
              [&]() -> result<std::optional<int>> {
                if (n == end && throws) {
                  throw std::runtime_error("torn");
                }
                if (n == end) {
                  return error(failure());
                }
                return std::optional<int>(n++);
              },
              stage::batches(5)),
          stage::in_order(
              [&](std::vector<int> const& b) { v.insert(v.end(), b.begin(), b.end()); }));
      EXPECT_TRUE(e);
      EXPECT_EQ(e.others().size(), 0U);
      EXPECT_EQ(e.origin().index, static_cast<std::size_t>(end / 5));
      EXPECT_EQ(e.skipped(), 0U);
      EXPECT_EQ(v, up_to(end));
      EXPECT_EQ(stats.stages[0].failed, 1U);
    }
  }
}

// --- many ------------------------------------------------------------------------------------

void halve(int n, emitter<std::string> emit) {
  emit(std::to_string(n) + "a");
  emit(std::to_string(n) + "b");
}

TEST_F(PipelineKinds, the_type_of_the_parts_is_read_from_the_callable_or_named) {
  watchdog const guard("parts");
  auto const with = [](char const* what, auto split) {
    SCOPED_TRACE(what);
    std::string all;
    error const e = pipeline({.limit = 2}, stage::source(numbers(3)), std::move(split),
                             stage::parallel([](auto&& s) {
                               static_assert(std::is_same_v<decltype(s), std::string&&>);
                               return std::move(s);
                             }),
                             stage::in_order([&](std::string&& s) { all += s; }));
    EXPECT_FALSE(e) << e;
    EXPECT_EQ(all, "0a0b1a1b2a2b");
  };
  with("a function", stage::many(halve));
  with("a pointer to a function", stage::many("split", &halve));
  with("a lambda", stage::many([](int n, emitter<std::string> emit) { halve(n, emit); }));
  with("a lambda that does not throw",
       stage::many([](int n, emitter<std::string> const& emit) noexcept { halve(n, emit); }));
  with("a std::function", stage::many(std::function<void(int, emitter<std::string>)>(halve)));
  with("a generic lambda", stage::many<std::string>([](int n, auto emit) { halve(n, emit); }));
  with("a generic lambda with a name",
       stage::many<std::string>("split", [](int n, auto const& emit) { halve(n, emit); }));
  with("a state",
       stage::many(stage::with_state(
           [] { return 0; }, [](int&, int n, emitter<std::string> emit) { halve(n, emit); })));
  with("a conversion", stage::many<std::string>([](int n, auto emit) {
         emit(n == 0 ? "0a" : n == 1 ? "1a" : "2a");
         emit(std::to_string(n) + 'b');
       }));
}

/// `n` parts of `n`: 10 n, 10 n + 1, …
auto const some_parts = [](int n, emitter<int> emit) {
  for (int i = 0; i != n; ++i) {
    emit(10 * n + i);
  }
};

TEST_F(PipelineKinds, the_parts_keep_the_place_of_their_item_and_their_order) {
  watchdog const guard("parts in order");
  with_all_options([](options const& opts) {
    std::vector<int> v;
    int calls = 0;
    error const e = pipeline(opts, stage::source(numbers(5)), stage::many(some_parts),
                             stage::parallel([](int n) { return n; }), stage::serial([&](int n) {
                               ++calls;
                               return n;
                             }),
                             stage::in_order([&](int n) { v.push_back(n); }));
    EXPECT_FALSE(e) << e;
    EXPECT_THAT(v, ElementsAre(10, 20, 21, 30, 31, 32, 40, 41, 42, 43));
    EXPECT_EQ(calls, 10) << "item 0 has no parts, and calls no stage";
  });
}

TEST_F(PipelineKinds, parts_have_parts) {
  std::vector<int> v;
  EXPECT_FALSE(pipeline(stage::source(numbers(4)), stage::many(some_parts),
                        stage::many([](int n, emitter<int> emit) {
                          if (n != 20) {
                            emit(n);
                            emit(-n);
                          }
                        }),
                        stage::in_order([&](int n) { v.push_back(n); })));
  EXPECT_THAT(v, ElementsAre(10, -10, 21, -21, 30, -30, 31, -31, 32, -32));
}

TEST_F(PipelineKinds, a_part_that_is_dropped_is_left_out) {
  std::vector<int> v;
  errgroup::pipeline_stats stats;
  EXPECT_FALSE(pipeline(
      {}, stats, stage::source(numbers(5)), stage::many(some_parts),
      stage::parallel([](int n) { return n % 2 == 0 ? std::nullopt : std::optional<int>(n); }),
      stage::in_order([&](int n) { v.push_back(n); })));
  EXPECT_THAT(v, ElementsAre(21, 31, 41, 43));
  EXPECT_EQ(stats.stages[2].dropped, 0U) << "items, not parts";
  EXPECT_EQ(stats.stages[3].calls, 5U);
}

TEST_F(PipelineKinds, if_a_part_fails_the_item_has_failed) {
  for (bool const is_last : {false, true}) {
    std::vector<int> v;
    auto const fails = [&](bool here, int n) {
      return here && n == 31 ? failure() : std::error_code();
    };
    auto run = [&](on_error policy) {
      v.clear();
      return pipeline({.limit = 1, .policy = policy, .name = "p"}, stage::source(numbers(6)),
                      stage::many(some_parts),
                      stage::parallel("middle",
                                      [&](int n) -> result<int> {
                                        if (auto e = fails(!is_last, n)) {
                                          return e;
                                        }
                                        return n;
                                      }),
                      stage::in_order("last", [&](int n) {
                        v.push_back(n);
                        return fails(is_last, n);
                      }));
    };
    error const e = run(on_error::cancel);
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(e.origin().index, 3U);
    EXPECT_EQ(e.origin().path, is_last ? "p/last" : "p/middle");
    if (is_last) {
      EXPECT_THAT(v, ElementsAre(10, 20, 21, 30, 31));
    } else {
      EXPECT_THAT(v, ElementsAre(10, 20, 21));
    }
    EXPECT_EQ(run(on_error::keep_going).code(), failure());
    EXPECT_EQ(v.size(), is_last ? 14U : 12U);
    EXPECT_EQ(v.back(), 54);
  }
}

TEST_F(PipelineKinds, a_stage_that_makes_parts_fails_and_its_parts_are_destroyed) {
  support::highest census;
  for (bool const throws : {false, true}) {
    int written = 0;
    error const e = pipeline({.limit = 1}, stage::source(numbers(6)),
                             stage::many("split",
                                         [&](int n, emitter<item> emit) -> std::error_code {
                                           emit(item(n, census));
                                           emit(item(n, census));
                                           if (n == 3 && throws) {
                                             throw std::system_error(failure());
                                           }
                                           return n == 3 ? failure() : std::error_code();
                                         }),
                             stage::in_order([&](item&&) { ++written; }));
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(e.origin().index, 3U);
    EXPECT_EQ(e.origin().name, "split");
    EXPECT_EQ(written, 6);
    EXPECT_EQ(census.now(), 0);
  }
}

TEST_F(PipelineKinds, parts_of_one_item_count_as_one_for_the_bound) {
  errgroup::pipeline_stats stats;
  int parts = 0;
  EXPECT_FALSE(pipeline({.limit = 1, .queue = 0}, stats, stage::source(numbers(3)),
                        stage::many([](int n, emitter<int> emit) {
                          for (int i = 0; i != 1000; ++i) {
                            emit(n);
                          }
                        }),
                        stage::in_order([&](int) { ++parts; })));
  EXPECT_EQ(parts, 3000);
  EXPECT_EQ(stats.most_items, 1U);
  EXPECT_EQ(stats.items, 3U);
}

// --- with_state ------------------------------------------------------------------------------

/// A state that stays where it was made, and is used by one call at a time.
class workspace {
 public:
  explicit workspace(support::highest& census) : census_(census) { census_.up(); }
  workspace(workspace const&) = delete;
  workspace& operator=(workspace const&) = delete;
  ~workspace() { census_.down(); }

  void use(std::function<void()> const& f) {
    EXPECT_FALSE(is_used_.exchange(true)) << "two calls use a state at once";
    f();
    is_used_ = false;
  }

 private:
  support::counted alive_;
  support::highest& census_;
  std::atomic<bool> is_used_{false};
};

TEST_F(PipelineKinds, a_state_is_made_for_each_lane_at_most_and_destroyed_at_the_end) {
  watchdog const guard("states");
  with_workers(3, [] {
    for (int const limit : {1, 2, 4}) {
      support::highest census;
      std::atomic<int> made{0};
      support::rendezvous met(limit, "all lanes to be in the stage");
      auto const work = stage::with_state(
          [&] {
            ++made;
            return workspace(census);
          },
          [&](workspace& w, int n) {
            if (n < limit) {
              met.arrive_and_wait();
            }
            w.use([] {
              // The wait may run another lane underneath, which has another state.
              group g;
              g.run([] { support::dawdle(1); });
              g.run([] { support::dawdle(1); });
              EXPECT_FALSE(g.wait());
            });
            return n;
          });
      std::vector<int> v;
      auto source = stage::source(numbers(40));
      auto last = stage::in_order([&](int n) { v.push_back(n); });
      EXPECT_FALSE(pipeline({.limit = limit}, source, stage::parallel(work), last));
      EXPECT_EQ(made, limit) << "as many lanes as there are have met in the stage";
      EXPECT_EQ(census.now(), 0);
      EXPECT_EQ(v, up_to(40));
    }
  });
}

TEST_F(PipelineKinds, states_are_for_every_kind_of_stage_and_made_when_they_are_needed) {
  int made = 0;
  std::vector<int> v;
  auto const count = [&] { return ++made; };
  auto const pass = [](int& state, int n) { return n + state - state; };
  error const e = pipeline(
      {.limit = 1}, stage::source(numbers(9)), stage::parallel(stage::with_state(count, pass)),
      stage::serial(stage::with_state(count, pass)),
      stage::in_order("order", stage::with_state([k = 0]() mutable { return ++k; }, pass)),
      stage::parallel([](int) { return std::optional<int>(); }),
      stage::in_order(stage::with_state(count, [&](int&, int n) { v.push_back(n); })));
  EXPECT_FALSE(e) << e;
  EXPECT_EQ(made, 2) << "the last stage was not called";
}

TEST_F(PipelineKinds, if_making_a_state_throws_the_item_has_failed) {
  for (on_error const policy : {on_error::cancel, on_error::keep_going}) {
    int made = 0;
    std::vector<int> v;
    auto const make = [&] {
      if (++made <= 2) {
        throw std::system_error(failure());
      }
      return made;
    };
    error const e =
        pipeline({.limit = 1, .policy = policy}, stage::source(numbers(5)),
                 stage::parallel("work", stage::with_state(make, [](int&, int n) { return n; })),
                 stage::in_order([&](int n) { v.push_back(n); }));
    EXPECT_EQ(e.code(), failure());
    EXPECT_EQ(e.origin().index, 0U);
    EXPECT_EQ(e.origin().name, "work");
    EXPECT_EQ(made, policy == on_error::cancel ? 1 : 3);
    EXPECT_EQ(v.size(), policy == on_error::cancel ? 0U : 3U);
  }
}

TEST_F(PipelineKinds, states_are_destroyed_after_a_failure_too) {
  support::highest census;
  error const e = pipeline({.limit = 2}, stage::source(numbers(100)),
                           stage::parallel(stage::with_state([&] { return workspace(census); },
                                                             [](workspace&, int n) -> result<int> {
                                                               if (n == 50) {
                                                                 return failure();
                                                               }
                                                               return n;
                                                             })),
                           stage::in_order([](int) {}));
  EXPECT_EQ(e.code(), failure());
  EXPECT_EQ(census.now(), 0);
}

}  // namespace
