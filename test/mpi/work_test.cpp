// SPDX-License-Identifier: Apache-2.0
#include "mpi/ranks.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include <errgroup/errgroup.hpp>
#include <errgroup/mpi.hpp>

#include <gmock/gmock.h>
#include <mpi.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <vector>

namespace {

using errgroup::keep;
using errgroup::on_error;
using std::chrono::milliseconds;
using support::texts_of_all;
using support::world_rank;
using support::world_size;
using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

/// One type for all calls: see CONTRIBUTING.md.
using fn = std::function<errgroup::error(std::size_t)>;
using add = std::function<errgroup::result<double>(double, std::size_t)>;
using both = std::function<errgroup::result<double>(double, double)>;

/// All tests run on every rank; `rank_` is this one.
class MpiWork : public testing::Test {
 protected:
  MpiWork() { errgroup::mpi::set_poll(milliseconds(1)); }

  static errgroup::error each(errgroup::mpi::options const& opts, std::size_t count, fn const& f) {
    return errgroup::mpi::for_each(MPI_COMM_WORLD, opts, count, f);
  }
  static errgroup::result<double> sum(errgroup::mpi::options const& opts, std::size_t count,
                                      add const& f, both const& combine) {
    return errgroup::mpi::reduce(MPI_COMM_WORLD, opts, count, 0.0, f, combine);
  }
  /// Adds up the counts of all ranks. Collective.
  static std::vector<int> over_ranks(std::vector<int> counts) {
    MPI_Allreduce(MPI_IN_PLACE, counts.data(), static_cast<int>(counts.size()), MPI_INT, MPI_SUM,
                  MPI_COMM_WORLD);
    return counts;
  }
  static int over_ranks(int count) { return over_ranks(std::vector<int>{count}).front(); }

  int const rank_ = world_rank();
  int const size_ = world_size();
  support::watchdog watchdog_{"the test on several ranks"};
};

double plus(double a, double b) { return a + b; }

TEST_F(MpiWork, M8_split_gives_each_rank_its_part_in_order) {
  for (std::size_t const count : {0U, 1U, 3U, 10U, 1000U}) {
    std::vector<int> all(count);
    std::iota(all.begin(), all.end(), 0);
    std::vector<int> counts(count);
    auto const mine = errgroup::mpi::split(all, MPI_COMM_WORLD);
    for (int const i : mine) {
      ++counts[static_cast<std::size_t>(i)];
    }
    EXPECT_THAT(over_ranks(counts), Each(1));
    auto const least = count / static_cast<std::size_t>(size_);
    EXPECT_GE(mine.size(), least);
    EXPECT_LE(mine.size(), least + 1);
    // The parts are in the order of the ranks: before the first are the parts of lower ranks.
    int const size = static_cast<int>(mine.size());
    int before = 0;
    MPI_Scan(&size, &before, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    EXPECT_EQ(mine.data() - all.data(), before - size);
  }
  auto const numbers = errgroup::mpi::split(std::views::iota(0, 7), MPI_COMM_SELF);
  EXPECT_EQ(numbers.size(), 7U);
  EXPECT_THROW((void)errgroup::mpi::split(std::views::iota(0, 7), MPI_COMM_NULL),
               std::invalid_argument);
}

TEST_F(MpiWork, M8_each_element_is_called_once_on_some_rank) {
  for (int const limit : {errgroup::unlimited, 1, 2}) {
    for (std::size_t const count : {0U, 1U, 5U, 63U, 64U, 65U, 10000U}) {
      std::vector<std::atomic<int>> counts(count);
      EXPECT_FALSE(each({.limit = limit}, count, [&](std::size_t i) {
        ++counts.at(i);
        return errgroup::error();
      }));
      EXPECT_THAT(over_ranks(std::vector<int>(counts.begin(), counts.end())), Each(1));
    }
  }
}

TEST_F(MpiWork, M8_a_rank_that_is_busy_takes_no_chunks) {
  // Each rank in turn stays in its first element until the other ranks have done all elements but
  // three chunks of ten: the chunk that the busy rank is in, and two in hand. With a fixed division
  // it would wait for ever.
  for (int busy = 0; busy != size_ && size_ > 1; ++busy) {
    int const count = 160 * size_;
    int heard = 0;
    std::atomic<int> told{0};
    bool is_first = true;
    EXPECT_FALSE(each({.limit = 1}, static_cast<std::size_t>(count), [&](std::size_t) {
      if (rank_ != busy) {
        int const one = 1;
        MPI_Send(&one, 1, MPI_INT, busy, 5, MPI_COMM_WORLD);
        ++told;
      } else if (is_first) {
        for (is_first = false; heard != count - 30; ++heard) {
          int one = 0;
          MPI_Recv(&one, 1, MPI_INT, MPI_ANY_SOURCE, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
      }
      return errgroup::error();
    }));
    for (int const all = over_ranks(told.load()); rank_ == busy && heard < all; ++heard) {
      int one = 0;
      MPI_Recv(&one, 1, MPI_INT, MPI_ANY_SOURCE, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
  }
}

TEST_F(MpiWork, M8_E1_the_index_of_the_error_is_that_of_the_element_on_every_rank) {
  for (std::size_t const culprit : {std::size_t{0}, std::size_t{333}, std::size_t{999}}) {
    auto const err = each({.name = "solve"}, 1000, [&](std::size_t i) -> errgroup::error {
      if (i == culprit) {
        return std::make_error_code(std::errc::no_space_on_device);
      }
      return {};
    });
    EXPECT_EQ(err, std::errc::no_space_on_device);
    EXPECT_EQ(err.origin().index, culprit);
    EXPECT_THAT(err.origin().path, StartsWith("rank "));
    EXPECT_THAT(err.origin().path, HasSubstr("/solve"));
    EXPECT_THAT(err.message(), HasSubstr("task " + std::to_string(culprit)));
    EXPECT_THAT(texts_of_all(err.message()), SizeIs(1));
  }
}

TEST_F(MpiWork, M8_C1_the_failure_of_one_element_stops_the_elements_of_all_ranks) {
  std::atomic<int> calls{0};
  auto const err = errgroup::mpi::for_each(
      MPI_COMM_WORLD, {}, 100000,
      [&](std::size_t i, std::stop_token const& stop) -> std::error_code {
        ++calls;
        if (i == 0) {
          return std::make_error_code(std::errc::io_error);
        }
        support::await([&] { return stop.stop_requested(); }, "the element to be cancelled");
        return {};
      });
  EXPECT_EQ(err, std::errc::io_error);
  EXPECT_EQ(err.origin().index, 0U);
  EXPECT_LT(over_ranks(calls.load()), 1000);
}

TEST_F(MpiWork, M8_E5_with_keep_going_every_element_is_called_and_every_error_is_there) {
  std::vector<std::atomic<int>> counts(640);
  auto const err = each({.policy = on_error::keep_going, .errors = keep::all}, counts.size(),
                        [&](std::size_t i) -> errgroup::error {
                          ++counts[i];
                          return i % 64 == 7
                                     ? errgroup::error(std::make_error_code(std::errc::io_error))
                                     : errgroup::error();
                        });
  EXPECT_THAT(over_ranks(std::vector<int>(counts.begin(), counts.end())), Each(1));
  std::vector<int> told(counts.size());
  for (errgroup::error const& one : err.all()) {
    EXPECT_EQ(one, std::errc::io_error);
    ++told.at(one.origin().index);
  }
  for (std::size_t i = 0; i != told.size(); ++i) {
    EXPECT_EQ(told[i], i % 64 == 7 ? 1 : 0) << i;
  }
  EXPECT_THAT(texts_of_all(err.message()), SizeIs(1));
}

TEST_F(MpiWork, M8_E3_skipped_counts_the_elements_of_chunks_that_this_rank_had_begun) {
  // Ten elements in each chunk; the fourth of a chunk fails.
  auto const count = static_cast<std::size_t>(160 * size_);
  int called = 0;
  auto const err = each({.limit = 1}, count, [&](std::size_t i) -> errgroup::error {
    ++called;
    return i == 3 ? errgroup::error(std::make_error_code(std::errc::io_error)) : errgroup::error();
  });
  EXPECT_EQ(err, std::errc::io_error);
  // Chunks that were not finished are the only ones with elements left.
  EXPECT_EQ((static_cast<std::size_t>(called) + err.skipped()) % 10, 0U);
  EXPECT_EQ(over_ranks(errgroup::mpi::rank_of(err) == rank_ ? static_cast<int>(err.skipped()) : 0),
            6);
}

TEST_F(MpiWork, M8_E5_max_failures_counts_the_failures_of_each_chunk) {
  auto const count = static_cast<std::size_t>(160 * size_);
  for (std::size_t const most : {1U, 3U}) {
    int called = 0;
    auto const err = each({.limit = 1, .policy = on_error::keep_going, .max_failures = most}, count,
                          [&](std::size_t) -> errgroup::error {
                            ++called;
                            return std::make_error_code(std::errc::io_error);
                          });
    EXPECT_EQ(err, std::errc::io_error);
    EXPECT_EQ(over_ranks(called), 16 * size_ * static_cast<int>(most));
    EXPECT_EQ(over_ranks(called + static_cast<int>(err.skipped())), 160 * size_);
  }
}

TEST_F(MpiWork, M8_an_exception_arrives_and_a_later_call_succeeds) {
  for (int round = 0; round != 50; ++round) {
    auto const culprit = static_cast<std::size_t>(round * 7 % 100);
    auto const err = each({}, 100, [&](std::size_t i) -> errgroup::error {
      if (i == culprit) {
        throw std::runtime_error("element " + std::to_string(i));
      }
      return {};
    });
    EXPECT_EQ(err.what(), "element " + std::to_string(culprit));
    EXPECT_FALSE(each({}, 100, [](std::size_t) { return errgroup::error(); }));
  }
}

TEST_F(MpiWork, M8_a_stop_request_on_one_rank_ends_the_work_of_all) {
  std::stop_source source;
  errgroup::mpi::options opts;
  if (rank_ == size_ - 1) {
    opts.stop = source.get_token();
  }
  // Each element waits for the cancellation: otherwise the other ranks may do all of the work
  // before the last rank gets an element.
  auto const err = each(opts, 1000000, [&](std::size_t) {
    source.request_stop();
    support::await([] { return static_cast<bool>(errgroup::check()); }, "the work to be cancelled");
    return errgroup::check();
  });
  EXPECT_EQ(err, errgroup::errc::canceled);
}

TEST_F(MpiWork, M8_M7_different_numbers_of_elements_are_an_error_on_all_ranks) {
  auto const count = static_cast<std::size_t>(rank_ == size_ - 1 ? 11 : 10);
  auto const err = each({}, count, [](std::size_t) { return errgroup::error(); });
  if (size_ == 1) {
    EXPECT_FALSE(err);
  } else {
    EXPECT_EQ(err, std::errc::invalid_argument);
    EXPECT_THAT(err.what(), HasSubstr("the number of elements is 1"));
    EXPECT_THAT(texts_of_all(err.message()), SizeIs(1));
  }
  EXPECT_THROW((void)each({}, 10, fn()), std::invalid_argument);
}

TEST_F(MpiWork, M9_reduce_gives_the_same_bits_on_every_rank_and_for_any_number_of_ranks) {
  for (std::size_t const count : {0U, 1U, 100U, 4096U, 5000U, 30000U}) {
    add const f = [](double so_far, std::size_t i) {
      return so_far + 1.0 / static_cast<double>(3 * i + 1);
    };
    // One rank does what all ranks together do.
    auto const alone = errgroup::mpi::reduce(MPI_COMM_SELF, {.limit = 1}, count, 0.0, f, plus);
    for (int const limit : {errgroup::unlimited, 2}) {
      auto const value = sum({.limit = limit}, count, f, plus);
      ASSERT_TRUE(value.has_value()) << value.error();
      EXPECT_EQ(std::bit_cast<std::uint64_t>(*value), std::bit_cast<std::uint64_t>(*alone));
      EXPECT_THAT(texts_of_all(std::to_string(std::bit_cast<std::uint64_t>(*value))), SizeIs(1));
    }
  }
}

/// The numbers from `first` to `last`, if all were folded in order.
struct interval {
  std::size_t first;
  std::size_t last;
  bool in_order;
};

TEST_F(MpiWork, M9_reduce_folds_and_combines_in_the_order_of_the_elements) {
  auto const value = errgroup::mpi::reduce(
      MPI_COMM_WORLD, {}, 20000, [] { return interval{0, 0, true}; },
      [](interval const& so_far, std::size_t i) {
        return so_far.last == 0
                   ? interval{i, i + 1, true}
                   : interval{so_far.first, i + 1, so_far.in_order && so_far.last == i};
      },
      [](interval const& a, interval const& b) {
        return interval{a.first, b.last, a.in_order && b.in_order && a.last == b.first};
      });
  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(value->first, 0U);
  EXPECT_EQ(value->last, 20000U);
  EXPECT_TRUE(value->in_order);
}

TEST_F(MpiWork, M9_E1_a_failure_of_a_reduce_is_the_error_on_all_ranks) {
  for (auto const policy : {on_error::cancel, on_error::keep_going}) {
    auto const of_element = sum(
        {.policy = policy}, 5000,
        [](double so_far, std::size_t i) -> errgroup::result<double> {
          if (i == 4321) {
            return std::make_error_code(std::errc::io_error);
          }
          return so_far;
        },
        plus);
    ASSERT_FALSE(of_element.has_value());
    EXPECT_EQ(of_element.error(), std::errc::io_error);
    EXPECT_EQ(of_element.error().origin().index, 4321U);
    EXPECT_THAT(texts_of_all(of_element.error().message()), SizeIs(1));

    add const keep_it = [](double so_far, std::size_t) { return so_far; };
    auto const of_combine = sum({.policy = policy}, 5000, keep_it, [](double, double) {
      return std::make_error_code(std::errc::value_too_large);
    });
    ASSERT_FALSE(of_combine.has_value());
    EXPECT_EQ(of_combine.error(), std::errc::value_too_large);
    EXPECT_EQ(of_combine.error().origin().index, errgroup::npos);
    EXPECT_THAT(texts_of_all(of_combine.error().message()), SizeIs(1));

    auto const thrown = sum({.policy = policy}, 5000, keep_it,
                            [](double, double) -> double { throw std::runtime_error("no sum"); });
    ASSERT_FALSE(thrown.has_value());
    EXPECT_EQ(thrown.error().what(), "no sum");
  }
}

TEST_F(MpiWork, M8_M9_work_inside_a_task_and_on_a_part_of_the_ranks) {
  MPI_Comm half = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, rank_ % 2, 0, &half);
  errgroup::group outer;
  outer.run([&] {
    std::atomic<int> mine{0};
    auto err = errgroup::mpi::for_each(half, {}, 200, [&](std::size_t) { ++mine; });
    int all = mine;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_SUM, half);
    EXPECT_EQ(all, 200);
    return err;
  });
  EXPECT_FALSE(outer.wait());
  MPI_Comm_free(&half);
}

}  // namespace
