// SPDX-License-Identifier: Apache-2.0
#include "mpi/ranks.hpp"
#include "mpi/requests.hpp"
#include "support/gate.hpp"
#include "support/watchdog.hpp"
#include <errgroup/errgroup.hpp>
#include <errgroup/mpi.hpp>

#include <gmock/gmock.h>
#include <mpi.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using errgroup::keep;
using errgroup::on_error;
using std::chrono::hours;
using std::chrono::milliseconds;
using support::texts_of_all;
using support::world_rank;
using support::world_size;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

/// All tests run on every rank; `rank_` is this one.
class MpiGroup : public testing::Test {
 protected:
  MpiGroup() { errgroup::mpi::set_poll(milliseconds(1)); }

  int const rank_ = world_rank();
  int const size_ = world_size();
  support::watchdog watchdog_{"the test on several ranks"};
};

/// A task that ends when its group is cancelled, and not before.
void until_stopped(std::stop_token const& stop) {
  support::await([&] { return stop.stop_requested(); }, "a task to be cancelled from another rank");
}

TEST_F(MpiGroup, M1_all_ranks_run_their_tasks_and_succeed) {
  std::atomic<int> ran{0};
  errgroup::mpi::group g(MPI_COMM_WORLD, {.limit = 2});
  EXPECT_EQ(g.rank(), rank_);
  EXPECT_EQ(g.size(), size_);
  for (int i = 0; i != 10; ++i) {
    g.run([&] { ++ran; });
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, 10);
}

TEST_F(MpiGroup, M1_W1_a_group_that_succeeded_is_used_again) {
  errgroup::mpi::group g(MPI_COMM_WORLD);
  for (int round = 0; round != 20; ++round) {
    std::atomic<int> ran{0};
    g.run([&] { ++ran; });
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(ran, 1);
  }
  g.run([] { return std::make_error_code(std::errc::io_error); });
  EXPECT_EQ(g.wait(), std::errc::io_error);
}

TEST_F(MpiGroup, M1_E1_each_rank_as_the_culprit_cancels_all_and_all_get_the_same_error) {
  for (int culprit = 0; culprit != size_; ++culprit) {
    errgroup::mpi::group g(MPI_COMM_WORLD, {.name = "solve"});
    if (rank_ == culprit) {
      g.run("row 7", [] { return std::make_error_code(std::errc::no_space_on_device); });
    } else {
      g.run(until_stopped);
    }
    auto const err = g.wait();
    EXPECT_EQ(err, std::errc::no_space_on_device);
    EXPECT_EQ(errgroup::mpi::rank_of(err), culprit);
    EXPECT_EQ(err.origin().path, "rank " + std::to_string(culprit) + "/solve/row 7");
    EXPECT_EQ(err.get_if<errgroup::mpi::remote_error>() != nullptr, rank_ != culprit);
    EXPECT_THAT(err.message(), HasSubstr("run at group_test.cpp:"));
    EXPECT_THAT(texts_of_all(err.message()), SizeIs(1));
    // It stays failed, without communication.
    EXPECT_EQ(g.wait(), std::errc::no_space_on_device);
  }
}

TEST_F(MpiGroup, M1_E3_a_rank_whose_tasks_had_all_succeeded_gets_the_error) {
  errgroup::mpi::group g(MPI_COMM_WORLD);
  if (rank_ == size_ - 1) {
    g.run([] { throw std::runtime_error("late"); });
  }
  auto const err = g.wait();
  EXPECT_EQ(err, errgroup::errc::exception);
  EXPECT_EQ(err.what(), "late");
  bool ran = false;
  g.run([&] { ran = true; });
  EXPECT_TRUE(g.wait());
}

TEST_F(MpiGroup, M1_C1_C2_cancelling_on_one_rank_reaches_nested_groups_on_all) {
  errgroup::mpi::group g(MPI_COMM_WORLD);
  errgroup::error const cause = errgroup::make_error("enough");
  support::gate inside("the task to be inside");
  g.run([&] {
    errgroup::group inner;
    inner.run([&](std::stop_token const& stop) {
      inside.open();
      until_stopped(stop);
    });
    return inner.wait();
  });
  inside.wait();
  support::meet();
  if (rank_ == size_ / 2) {
    g.cancel(cause);
  }
  auto const err = g.wait();
  EXPECT_EQ(err.what(), "enough");
  EXPECT_TRUE(g.is_canceling());
  EXPECT_EQ(errgroup::mpi::rank_of(err), size_ / 2);
  EXPECT_THAT(texts_of_all(err.message()), SizeIs(1));
}

/// Keeps the constructor of a group until another group is cancelled.
class slow_making : public errgroup::observer {
 public:
  explicit slow_making(errgroup::mpi::group const& other) : other_(other) {}

  void group_begin(errgroup::group_view /*unused*/) noexcept override {
    support::await([&] { return other_.is_canceling(); }, "the other group to be cancelled");
  }

 private:
  errgroup::mpi::group const& other_;
};

TEST_F(MpiGroup, M1_a_failure_that_comes_while_a_rank_makes_the_group_is_not_lost) {
  errgroup::mpi::group earlier(MPI_COMM_WORLD);
  slow_making slow(earlier);
  if (rank_ == 0 && size_ > 1) {
    errgroup::observe(&slow);
  }
  errgroup::mpi::group g(MPI_COMM_WORLD);
  errgroup::observe(nullptr);
  if (rank_ == size_ - 1) {
    g.cancel(std::make_error_code(std::errc::io_error));
    earlier.cancel(std::make_error_code(std::errc::timed_out));  // a later message
  }
  EXPECT_EQ(g.wait(), std::errc::io_error);
  EXPECT_EQ(earlier.wait(), std::errc::timed_out);
}

TEST_F(MpiGroup, M1_a_deadline_and_a_stop_token_on_one_rank_cancel_all) {
  {
    errgroup::mpi::options opts;
    if (rank_ == 0) {
      opts.timeout = milliseconds(20);
    }
    errgroup::mpi::group g(MPI_COMM_WORLD, opts);
    g.run(until_stopped);
    EXPECT_EQ(g.wait(), errgroup::errc::deadline_exceeded);
  }
  {
    std::stop_source source;
    errgroup::mpi::group g(MPI_COMM_WORLD, {.stop = source.get_token()});
    g.run(until_stopped);
    if (rank_ == size_ - 1) {
      source.request_stop();
    }
    EXPECT_EQ(g.wait(), errgroup::errc::canceled);
  }
  {
    std::stop_source source;
    if (rank_ == 0) {
      source.request_stop();  // before the group is made
    }
    errgroup::mpi::group g(MPI_COMM_WORLD, {.stop = source.get_token()});
    g.run(until_stopped);
    EXPECT_EQ(g.wait(), errgroup::errc::canceled);
  }
}

TEST_F(MpiGroup, M2_of_ranks_that_fail_at_once_the_lowest_is_told) {
  // No rank looks for messages before all have failed: each fails by itself.
  errgroup::mpi::group g(MPI_COMM_WORLD, {.policy = on_error::keep_going});
  g.run([&] { return errgroup::make_error("of rank " + std::to_string(rank_)); });
  auto const err = g.wait();
  EXPECT_EQ(err.what(), "of rank 0");
  EXPECT_TRUE(err.others().empty());
  EXPECT_THAT(texts_of_all(err.message()), SizeIs(1));
}

TEST_F(MpiGroup, M2_of_ranks_that_cancel_at_once_with_causes_the_lowest_is_told) {
  for (int i = 0; i != 100; ++i) {
    errgroup::mpi::group g(MPI_COMM_WORLD);
    std::string const cause = "cause of rank " + std::to_string(rank_);
    bool const cancels = rank_ == 0 || rank_ == size_ - 1;
    support::meet();
    if (cancels) {
      g.cancel(errgroup::make_error(cause));
    }
    // A rank that has heard of the other cause first has not failed by itself.
    bool const is_own = cancels && g.local().cause().what() == cause;
    int lowest = is_own ? rank_ : size_;
    MPI_Allreduce(MPI_IN_PLACE, &lowest, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    auto const err = g.wait();
    ASSERT_EQ(err.what(), "cause of rank " + std::to_string(lowest));
    ASSERT_EQ(errgroup::mpi::rank_of(err), lowest);
    ASSERT_THAT(texts_of_all(err.message()), SizeIs(1));
  }
}

TEST_F(MpiGroup, M2_E5_with_keep_all_the_other_ranks_are_the_others_in_their_order) {
  errgroup::mpi::group g(MPI_COMM_WORLD, {.policy = on_error::keep_going, .errors = keep::all});
  for (int i = 0; i != 3; ++i) {
    g.run([&, i] {
      return rank_ == 0 && size_ > 1 ? errgroup::error()
                                     : errgroup::make_error(std::to_string(rank_ * 10 + i));
    });
  }
  auto const err = g.wait();
  std::size_t const failed = static_cast<std::size_t>(size_ > 1 ? size_ - 1 : 1);
  EXPECT_THAT(err.all(), SizeIs(3 * failed));
  int last = -1;
  for (auto const& e : err.all()) {
    EXPECT_LE(last, errgroup::mpi::rank_of(e));
    last = errgroup::mpi::rank_of(e);
  }
  EXPECT_THAT(texts_of_all(err.message()), SizeIs(1));
}

TEST_F(MpiGroup, M2_E1_an_echo_is_never_told) {
  int const culprit = size_ - 1;
  errgroup::mpi::group g(MPI_COMM_WORLD, {.errors = keep::all});
  if (rank_ == culprit) {
    g.run([] { return std::make_error_code(std::errc::io_error); });
  } else {
    // Fails only because it is cancelled, on lower ranks, and with an error that is not a
    // cancellation.
    g.run([](std::stop_token const& stop) {
      until_stopped(stop);
      return std::make_error_code(std::errc::broken_pipe);
    });
  }
  auto const err = g.wait();
  EXPECT_EQ(err, std::errc::io_error);
  EXPECT_THAT(err.all(), SizeIs(1));
  EXPECT_EQ(errgroup::mpi::rank_of(err), culprit);
}

TEST_F(MpiGroup, M1_E5_with_keep_going_every_task_of_every_rank_runs) {
  std::atomic<int> ran{0};
  errgroup::mpi::group g(MPI_COMM_WORLD, {.policy = on_error::keep_going});
  errgroup::mpi::group later(MPI_COMM_WORLD);
  if (rank_ == 0) {
    g.run([] { return std::make_error_code(std::errc::io_error); });
  }
  EXPECT_EQ(static_cast<bool>(g.local().wait()), rank_ == 0);
  // A message of rank 0 behind the failure: a message with the failure would be there before.
  if (rank_ == 0) {
    later.cancel();
  }
  support::await([&] { return later.is_canceling(); }, "a message of rank 0");
  for (int i = 0; i != 50; ++i) {
    g.run([&] { ++ran; });
  }
  EXPECT_EQ(g.wait(), std::errc::io_error);
  EXPECT_EQ(ran, 50);
  EXPECT_FALSE(g.is_canceling());
  EXPECT_EQ(later.wait(), errgroup::errc::canceled);
}

TEST_F(MpiGroup, M1_E4_every_waiter_of_a_rank_gets_the_same_error) {
  errgroup::mpi::group g(MPI_COMM_WORLD);
  support::rendezvous all_in(3);
  std::vector<errgroup::error> got(3);
  std::vector<std::thread> waiters;
  g.run([&] { return errgroup::make_error("one"); });
  for (auto& e : got) {
    waiters.emplace_back([&] {
      all_in.arrive_and_wait();
      e = g.wait();
    });
  }
  for (auto& w : waiters) {
    w.join();
  }
  for (auto const& e : got) {
    EXPECT_EQ(e.what(), "one");
    EXPECT_EQ(errgroup::mpi::rank_of(e), errgroup::mpi::rank_of(got[0]));
  }
  EXPECT_THAT(texts_of_all(got[0].message()), SizeIs(1));
}

TEST_F(MpiGroup, M3_a_group_destroyed_without_a_wait_ends_the_wait_of_the_others) {
  int const culprit = size_ / 2;
  std::optional<errgroup::mpi::group> g(std::in_place, MPI_COMM_WORLD);
  g->run(until_stopped);
  if (rank_ == culprit) {
    g.reset();
  } else {
    auto const err = g->wait();
    EXPECT_EQ(err, errgroup::mpi::errc::left);
    EXPECT_EQ(errgroup::mpi::rank_of(err), culprit);
  }
  g.reset();
  // The next group is not confused by that.
  errgroup::mpi::group next(MPI_COMM_WORLD);
  EXPECT_FALSE(next.wait());
}

TEST_F(MpiGroup, M3_an_exception_that_leaves_the_scope_of_a_group_on_one_rank_ends_all) {
  bool thrown = false;
  bool failed = false;
  try {
    errgroup::mpi::group outer(MPI_COMM_WORLD);
    errgroup::mpi::group inner(MPI_COMM_WORLD);
    if (rank_ == 0) {
      throw std::runtime_error("in the middle");
    }
    inner.run(until_stopped);
    EXPECT_EQ(inner.wait(), errgroup::mpi::errc::left);
    EXPECT_EQ(outer.wait(), errgroup::mpi::errc::left);
    failed = true;
  } catch (std::runtime_error const&) {
    thrown = true;
  }
  EXPECT_EQ(thrown, rank_ == 0);
  EXPECT_EQ(failed, rank_ != 0);
  errgroup::mpi::group next(MPI_COMM_WORLD);
  EXPECT_FALSE(next.wait());
}

TEST_F(MpiGroup, M3_all_ranks_may_leave_and_nothing_is_left_over) {
  for (int i = 0; i != 20; ++i) {
    errgroup::mpi::group g(MPI_COMM_WORLD);
    g.run(until_stopped);
  }
  errgroup::mpi::group next(MPI_COMM_WORLD);
  EXPECT_FALSE(next.wait());
}

TEST_F(MpiGroup, M3_a_rank_fails_before_the_others_have_made_their_group) {
  int const culprit = size_ - 1;
  std::optional<errgroup::mpi::group> g;
  if (rank_ == culprit) {
    g.emplace(MPI_COMM_WORLD);
    g->run([] { return errgroup::make_error("early"); });
    EXPECT_TRUE(g->local().wait());
  }
  support::meet();
  if (rank_ != culprit) {
    g.emplace(MPI_COMM_WORLD);
    g->run(until_stopped);
  }
  EXPECT_EQ(g->wait().what(), "early");
}

TEST_F(MpiGroup, M3_a_rank_fails_after_the_others_have_joined_their_tasks) {
  int const culprit = 0;
  errgroup::mpi::group g(MPI_COMM_WORLD);
  g.run([] {});
  EXPECT_FALSE(g.local().wait());
  support::meet();
  if (rank_ == culprit) {
    g.run([] { return errgroup::make_error("late"); });
  }
  auto const err = g.wait();
  EXPECT_EQ(err.what(), "late");
  EXPECT_EQ(errgroup::mpi::rank_of(err), culprit);
}

TEST_F(MpiGroup, M3_a_constructor_that_fails_on_one_rank_cancels_the_others) {
  int const culprit = size_ - 1;
  errgroup::mpi::options opts;
  opts.limit = rank_ == culprit ? 0 : 2;
  if (rank_ == culprit) {
    EXPECT_THROW(errgroup::mpi::group(MPI_COMM_WORLD, opts), std::invalid_argument);
  } else {
    errgroup::mpi::group g(MPI_COMM_WORLD, opts);
    g.run(until_stopped);
    auto const err = g.wait();
    EXPECT_EQ(errgroup::mpi::rank_of(err), culprit);
    EXPECT_THAT(err.what(), HasSubstr("limit is 0"));
  }
  errgroup::mpi::group next(MPI_COMM_WORLD);
  EXPECT_FALSE(next.wait());
}

TEST_F(MpiGroup, M3_a_split_communicator_is_freed_and_its_groups_do_not_meet_the_others) {
  for (int i = 0; i != 5; ++i) {
    MPI_Comm half = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, rank_ % 2, rank_, &half);
    {
      errgroup::mpi::group g(half);
      errgroup::mpi::group world(MPI_COMM_WORLD);
      if (rank_ == 0) {
        g.run([] { return errgroup::make_error("of the even ranks"); });
      }
      world.run([] {});
      EXPECT_EQ(static_cast<bool>(g.wait()), rank_ % 2 == 0);
      EXPECT_FALSE(world.wait());
      // A letter may be under way to a group that is gone when the communicator is freed.
      errgroup::mpi::group left(half);
    }
    MPI_Comm_free(&half);
  }
}

TEST_F(MpiGroup, M3_a_letter_that_is_found_late_is_received_before_the_communicator_is_freed) {
  if (size_ == 1) {
    GTEST_SKIP() << "needs two ranks";
  }
  MPI_Comm own = support::reversed_world();  // by whose order the probe knows it
  {
    errgroup::mpi::group first(own);
    EXPECT_FALSE(first.wait());
  }
  if (rank_ != 0) {
    support::blind_probes(own, 400);
  }
  // The end of the group is told to the other ranks: first that of rank 0, which has not heard of
  // another end.
  if (rank_ != 0) {
    support::meet();
  }
  {
    errgroup::mpi::group left(own);
  }
  if (rank_ == 0) {
    support::meet();
  }
  MPI_Comm_free(&own);
  support::blind_probes(MPI_COMM_NULL, 0);
}

TEST_F(MpiGroup, M3_a_thousand_groups_in_a_row_with_random_failures) {
  std::mt19937 fate(17);  // the same on all ranks
  for (int i = 0; i != 1000; ++i) {
    unsigned const what = fate() % 8;
    int const culprit = static_cast<int>(fate() % static_cast<unsigned>(size_));
    errgroup::mpi::group g(MPI_COMM_WORLD);
    if (what == 0 && rank_ == culprit) {
      continue;  // destroyed without a wait
    }
    g.run([&] {
      bool const fails = (what == 1 && rank_ == culprit) || what == 2;
      return fails ? errgroup::make_error(std::to_string(i)) : errgroup::error();
    });
    if (what == 3 && rank_ == culprit) {
      g.cancel(errgroup::make_error(std::to_string(i)));
    }
    auto const err = g.wait();
    ASSERT_EQ(static_cast<bool>(err), what < 4) << i;
    if (err) {
      ASSERT_EQ(err.what(),
                what == 0 ? "the group was destroyed without a wait" : std::to_string(i));
    }
    if (what == 1 || what == 3) {
      ASSERT_EQ(errgroup::mpi::rank_of(err), culprit);
    }
  }
}

TEST_F(MpiGroup, M6_a_rank_that_does_not_come_in_time_is_named) {
  if (size_ == 1) {
    GTEST_SKIP() << "needs two ranks";
  }
  int const sleeper = size_ - 1;
  errgroup::mpi::group g(MPI_COMM_WORLD, {.patience = milliseconds(200)});
  if (rank_ == sleeper) {
    g.run([](std::stop_token const& stop) { until_stopped(stop); });
  }
  auto const err = g.wait();
  EXPECT_EQ(err, errgroup::mpi::errc::lost_rank);
  auto const* const lost = err.get_if<errgroup::mpi::lost_ranks>();
  ASSERT_NE(lost, nullptr);
  EXPECT_THAT(lost->ranks, testing::Contains(sleeper));
  EXPECT_THAT(err.message(), HasSubstr("not the same on all ranks"));
  support::meet();
  errgroup::mpi::group next(MPI_COMM_WORLD);
  EXPECT_FALSE(next.wait());
}

TEST_F(MpiGroup, M6_with_patience_a_slow_task_of_a_rank_is_waited_for_if_it_comes_in_time) {
  errgroup::mpi::group g(MPI_COMM_WORLD, {.patience = hours(1)});
  std::atomic<bool> ran{false};
  if (rank_ == 0) {
    g.run([&] {
      support::meet();  // the other ranks have no task, and come to `wait`
      ran = true;
    });
  } else {
    support::meet();
  }
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(ran, rank_ == 0);
}

TEST_F(MpiGroup, M7_a_wait_in_a_task_is_answered_at_once) {
  errgroup::mpi::group g(MPI_COMM_WORLD);
  errgroup::error answer;
  g.run([&] { answer = g.wait(); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(answer, errgroup::errc::would_deadlock);
}

TEST_F(MpiGroup, M7_bad_communicators_are_refused_in_words) {
  try {
    errgroup::mpi::group g(MPI_COMM_NULL);
    ADD_FAILURE();
  } catch (std::invalid_argument const& e) {
    EXPECT_THAT(e.what(), HasSubstr("MPI_COMM_NULL"));
  }
  if (size_ > 1) {
    MPI_Comm half = MPI_COMM_NULL;
    MPI_Comm inter = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, rank_ % 2, rank_, &half);
    MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, (rank_ + 1) % 2, 1, &inter);
    try {
      errgroup::mpi::group g(inter);
      ADD_FAILURE();
    } catch (std::invalid_argument const& e) {
      EXPECT_THAT(e.what(), HasSubstr("inter-communicator"));
    }
    MPI_Comm_free(&inter);
    MPI_Comm_free(&half);
  }
  EXPECT_THROW(errgroup::mpi::set_poll(milliseconds(0)), std::invalid_argument);
}

TEST_F(MpiGroup, M7_ranks_that_wait_for_their_groups_in_different_orders_are_told) {
  if (size_ == 1) {
    GTEST_SKIP() << "needs two ranks";
  }
  errgroup::mpi::group a(MPI_COMM_WORLD);
  errgroup::mpi::group b(MPI_COMM_WORLD);
  auto const first = rank_ == 0 ? b.wait() : a.wait();
  auto const second = rank_ == 0 ? a.wait() : b.wait();
  EXPECT_EQ(first, errgroup::mpi::errc::out_of_order);
  EXPECT_TRUE(second);
  EXPECT_THAT(first.what(), HasSubstr("in the same order"));
  // Later groups are in order again.
  errgroup::mpi::group next(MPI_COMM_WORLD);
  EXPECT_FALSE(next.wait());
}

TEST_F(MpiGroup, M7_an_order_that_was_lost_stays_lost_on_its_communicator_only) {
  if (size_ == 1) {
    GTEST_SKIP() << "needs two ranks";
  }
  MPI_Comm own = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &own);
  {
    errgroup::mpi::group first(own);
    EXPECT_FALSE(first.wait());
    if (rank_ == 0) {
      EXPECT_EQ(first.wait(), errgroup::mpi::errc::out_of_order);  // one wait too many
    }
    for (int i = rank_ == 0 ? 1 : 0; i != 5; ++i) {
      errgroup::mpi::group later(own);
      EXPECT_EQ(later.wait(), errgroup::mpi::errc::out_of_order);
    }
  }
  MPI_Comm fresh = MPI_COMM_NULL;
  MPI_Comm_dup(own, &fresh);
  {
    errgroup::mpi::group in_order(fresh);
    EXPECT_FALSE(in_order.wait());
  }
  MPI_Comm_free(&fresh);
  MPI_Comm_free(&own);
}

TEST_F(MpiGroup, M7_a_failure_of_MPI_cancels_the_group_and_is_the_error) {
  if (size_ == 1) {
    GTEST_SKIP() << "needs two ranks";
  }
  MPI_Comm own = support::reversed_world();  // by whose order the probe knows it
  {
    errgroup::mpi::group g(own);
    g.run(until_stopped);
    support::meet();
    support::failing_probe const broken(own);
    auto const err = g.wait();  // also where the watcher has seen the failure before
    EXPECT_EQ(err, errgroup::mpi::check(MPI_ERR_OTHER));
    EXPECT_EQ(g.local().cause(), errgroup::mpi::check(MPI_ERR_OTHER));
    support::meet();
  }
  MPI_Comm_free(&own);
  errgroup::mpi::group next(MPI_COMM_WORLD);
  EXPECT_FALSE(next.wait());
}

TEST_F(MpiGroup, M5_a_receive_that_no_rank_answers_ends_with_the_group) {
  errgroup::mpi::group g(MPI_COMM_WORLD);
  std::vector<int> buffer(4);
  errgroup::error got;
  support::gate begun("the receive to begin");
  g.run([&] {
    begun.open();
    got = errgroup::mpi::recv(std::span(buffer), (rank_ + 1) % size_, 7, MPI_COMM_WORLD);
    return got;
  });
  begun.wait();
  support::meet();
  if (rank_ == 0) {
    g.cancel();
  }
  EXPECT_EQ(g.wait(), errgroup::errc::canceled);
  EXPECT_EQ(got, errgroup::errc::canceled);
}

TEST_F(MpiGroup, M5_send_receive_broadcast_and_reduce_in_tasks) {
  MPI_Comm own = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &own);
  errgroup::mpi::group g(MPI_COMM_WORLD);
  std::vector<double> const out{1.5, rank_ * 2.0};
  std::vector<double> in(2);
  g.run([&] {
    return errgroup::mpi::send(std::span<double const>(out), (rank_ + 1) % size_, 1, own);
  });
  g.run([&] { return errgroup::mpi::recv(std::span(in), (rank_ + size_ - 1) % size_, 1, own); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(in[1], ((rank_ + size_ - 1) % size_) * 2.0);

  std::vector<int> word{rank_ == 0 ? 42 : 0};
  g.run([&] { return errgroup::mpi::bcast(std::span(word), 0, own); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(word[0], 42);

  std::vector<long> sum{rank_ + 1L};
  g.run([&] { return errgroup::mpi::allreduce(std::span(sum), MPI_SUM, own); });
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(sum[0], size_ * (size_ + 1L) / 2);
  MPI_Comm_free(&own);
}

TEST_F(MpiGroup, M5_a_request_ends_with_the_group_and_keeps_its_memory) {
  errgroup::mpi::group g(MPI_COMM_WORLD);
  auto buffer = std::make_shared<int>(0);
  std::weak_ptr<int> const seen = buffer;
  support::gate begun("the receive to begin");
  g.run([&, buffer = std::exchange(buffer, nullptr)]() mutable {
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Irecv(buffer.get(), 1, MPI_INT, (rank_ + 1) % size_, 9, MPI_COMM_WORLD, &request);
    begun.open();
    auto err = errgroup::mpi::wait(request, std::move(buffer));
    EXPECT_EQ(request, MPI_REQUEST_NULL);
    return err;
  });
  begun.wait();
  support::meet();
  if (rank_ == size_ - 1) {
    g.cancel();
  }
  EXPECT_EQ(g.wait(), errgroup::errc::canceled);
  EXPECT_FALSE(seen.expired());
  support::meet();
  int const answer = 1;
  MPI_Send(&answer, 1, MPI_INT, (rank_ + size_ - 1) % size_, 9, MPI_COMM_WORLD);
  support::await([&] { return seen.expired(); }, "the memory to be given back");
}

}  // namespace
