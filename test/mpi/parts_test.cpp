// SPDX-License-Identifier: Apache-2.0
// The parts of errgroup::mpi that need no ranks.

#include "mpi/inbox.hpp"
#include "mpi/letter.hpp"
#include "mpi/packing.hpp"
#include "mpi/verdict.hpp"
#include <errgroup/errgroup.hpp>
#include <errgroup/mpi/error.hpp>

#include <gmock/gmock.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace mpi = errgroup::mpi;

namespace {

struct disk_full {
  int blocks = 0;
  [[nodiscard]] std::string what() const { return std::to_string(blocks) + " blocks are missing"; }
};

struct too_large {
  [[nodiscard]] static std::string what() { return "too large"; }
};

class foreign_category : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "foreign"; }
  [[nodiscard]] std::string message(int value) const override {
    return "foreign " + std::to_string(value);
  }
  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    return value == 5 ? std::error_condition(std::errc::io_error)
                      : std::error_condition(value, *this);
  }
};

}  // namespace

template <>
struct errgroup::mpi::error_traits<disk_full> {
  static constexpr std::string_view name = "disk_full";
  static std::string pack(disk_full const& e) {
    if (e.blocks < 0) {
      throw std::runtime_error("cannot be packed");
    }
    return std::to_string(e.blocks);
  }
  static disk_full unpack(std::string_view bytes) { return {std::stoi(std::string(bytes))}; }
};

template <>
struct errgroup::mpi::error_traits<too_large> {
  static constexpr std::string_view name = "too_large";
  static std::string pack(too_large const& /*unused*/) { return std::string(17 << 10, 'x'); }
  static too_large unpack(std::string_view /*unused*/) { return {}; }
};

namespace {

using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

errgroup::error travel(errgroup::error const& e, int rank = 3) {
  return mpi::detail::unpack(mpi::detail::pack(e), rank);
}

/// The error that a group tells if a task returns `e`.
errgroup::error of_task(errgroup::error const& e) {
  errgroup::group g{{.name = "solve"}};
  g.run("row 7", [&] { return e; });
  return g.wait();
}

TEST(MpiPacking, M4_codes_of_known_categories_arrive_as_themselves) {
  for (std::error_code const code : {std::make_error_code(std::errc::no_space_on_device),
                                     std::error_code(2, std::system_category()),
                                     make_error_code(errgroup::errc::deadline_exceeded),
                                     make_error_code(mpi::errc::lost_rank)}) {
    EXPECT_EQ(travel(code).code(), code);
    EXPECT_EQ(travel(code).what(), code.message());
  }
  EXPECT_EQ(travel(errgroup::errc::canceled), std::errc::operation_canceled);
}

TEST(MpiPacking, M4_codes_of_other_categories_arrive_with_name_message_and_condition) {
  static foreign_category const here;
  errgroup::error const e = travel(std::error_code(5, here));
  EXPECT_STREQ(e.code().category().name(), "foreign");
  EXPECT_EQ(e.code().value(), 5);
  EXPECT_EQ(e.code().message(), "foreign 5");
  EXPECT_EQ(e, std::errc::io_error);
  EXPECT_EQ(e, travel(std::error_code(5, here)).code());  // one category for one name
  EXPECT_NE(travel(std::error_code(6, here)), std::errc::io_error);
}

TEST(MpiPacking, M4_text_origin_contexts_and_attempts_arrive) {
  errgroup::error const here =
      of_task(errgroup::make_error("no reason").with_context("inner")).with_context("outer");
  errgroup::error const there = travel(here);
  EXPECT_EQ(there.what(), here.what());
  EXPECT_EQ(there.origin().path, "rank 3/solve/row 7");
  EXPECT_EQ(there.origin().name, "row 7");
  EXPECT_EQ(there.origin().index, here.origin().index);
  EXPECT_EQ(there.origin().where.line(), here.origin().where.line());
  EXPECT_STREQ(there.origin().where.file_name(), here.origin().where.file_name());
  EXPECT_STREQ(there.origin().where.function_name(), here.origin().where.function_name());
  EXPECT_THAT(there.message(), StartsWith("outer: rank 3/solve/row 7: inner: no reason (task 0, "
                                          "run at parts_test.cpp:"));
  EXPECT_EQ(there.message(), mpi::detail::on_rank(here, 3).message());
  EXPECT_EQ(mpi::rank_of(there), 3);
  EXPECT_EQ(mpi::rank_of(here), -1);

  auto const tried = errgroup::retry({.attempts = 2, .delay = std::chrono::nanoseconds(1)},
                                     [] { return errgroup::make_error("again"); });
  EXPECT_EQ(travel(tried.error()).attempts(), 2U);
}

TEST(MpiPacking, M4_an_exception_arrives_as_a_remote_error) {
  errgroup::group g;
  g.run([] { throw std::out_of_range("too far"); });
  errgroup::error const there = travel(g.wait());
  auto const* const remote = there.get_if<mpi::remote_error>();
  ASSERT_NE(remote, nullptr);
  EXPECT_EQ(remote->rank(), 3);
  EXPECT_STREQ(remote->what(), "too far");
  EXPECT_EQ(there, errgroup::errc::exception);
  EXPECT_THROW(there.raise(), std::system_error);
}

TEST(MpiPacking, M4_a_type_with_traits_arrives_as_itself_thrown_or_returned) {
  mpi::carry<disk_full>();
  errgroup::error const returned = travel(of_task(errgroup::make_error(disk_full{7})));
  ASSERT_NE(returned.get_if<disk_full>(), nullptr);
  EXPECT_EQ(returned.get_if<disk_full>()->blocks, 7);
  EXPECT_EQ(returned.what(), "7 blocks are missing");
  EXPECT_THROW(returned.raise(), errgroup::bad_result<disk_full>);

  errgroup::group g;
  g.run([] { throw disk_full{8}; });
  errgroup::error const thrown = travel(g.wait());
  ASSERT_NE(thrown.get_if<disk_full>(), nullptr);
  EXPECT_THROW(thrown.raise(), disk_full);
}

TEST(MpiPacking, M4_a_type_that_cannot_be_packed_arrives_as_a_remote_error) {
  mpi::carry<disk_full>();
  mpi::carry<too_large>();
  for (auto const& e : {errgroup::make_error(disk_full{-1}), errgroup::make_error(too_large{})}) {
    errgroup::error const there = travel(e);
    EXPECT_NE(there.get_if<mpi::remote_error>(), nullptr);
    EXPECT_EQ(there.what(), e.what());
  }
}

TEST(MpiPacking, M4_all_errors_arrive_and_the_counts) {
  errgroup::group g{
      {.policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all, .max_errors = 5}};
  for (int i = 0; i != 8; ++i) {
    g.run([i] { return errgroup::make_error(std::to_string(i)); });
  }
  errgroup::error const here = g.wait();
  errgroup::error const there = travel(here);
  EXPECT_THAT(there.all(), SizeIs(5));
  EXPECT_EQ(there.dropped(), 3U);
  EXPECT_EQ(there.message(), mpi::detail::on_rank(here, 3).message());
}

TEST(MpiPacking, M4_an_error_takes_at_most_64_KiB) {
  std::string const much(100'000, 'x');
  errgroup::error const large = of_task(errgroup::make_error(much).with_context(much));
  EXPECT_LE(mpi::detail::pack(large).size(), mpi::detail::most_bytes);
  EXPECT_THAT(travel(large).what(), StartsWith("xxxx"));

  std::vector<errgroup::error> const many(50, large);
  errgroup::error const all = errgroup::combine(many);
  EXPECT_LE(mpi::detail::pack(all).size(), mpi::detail::most_bytes);
  errgroup::error const there = travel(all);
  EXPECT_EQ(there.all().size() + there.dropped(), 50U);
}

TEST(MpiPacking, M4_bytes_that_are_no_error_are_an_error) {
  std::string const good = mpi::detail::pack(of_task(errgroup::make_error("good")));
  for (std::size_t size = 0; size != good.size(); ++size) {
    errgroup::error const e = mpi::detail::unpack(good.substr(0, size), 1);
    EXPECT_TRUE(e);
    EXPECT_EQ(mpi::rank_of(e), 1);
  }
}

TEST(MpiVerdict, M7_words_of_one_call_agree_and_words_of_two_calls_do_not) {
  using mpi::detail::verdict;
  for (std::uint64_t generation = 1; generation != 200; ++generation) {
    for (std::uint32_t round = 1; round != 7; ++round) {
      verdict const mine(verdict::call_of(generation, round), false);
      verdict const failed(verdict::call_of(generation, round), true);
      EXPECT_TRUE(mine.is_same_call() && !mine.has_failed());
      EXPECT_TRUE(verdict(mine.word() | failed.word()).is_same_call());
      EXPECT_TRUE(verdict(mine.word() | failed.word()).has_failed());
      for (verdict const other : {verdict(verdict::call_of(generation + 1, round), false),
                                  verdict(verdict::call_of(generation, round + 1), true),
                                  verdict(verdict::closing, false)}) {
        EXPECT_FALSE(verdict(mine.word() | other.word()).is_same_call());
      }
    }
  }
}

TEST(MpiInbox, M1_errors_of_a_later_round_wait_for_it_and_errors_of_an_earlier_one_are_dropped) {
  mpi::detail::inbox box;
  EXPECT_FALSE(box.take(1, 2, errgroup::errc::failed, true));
  EXPECT_EQ(box.lowest(), nullptr);
  box.next_round();
  ASSERT_NE(box.lowest(), nullptr);
  EXPECT_EQ(box.canceling(), box.lowest());
  EXPECT_TRUE(box.has_final(1));
  EXPECT_FALSE(box.take(0, 1, errgroup::errc::canceled, true));
  EXPECT_EQ(*box.lowest(), errgroup::errc::failed);
  box.next_round();
  EXPECT_EQ(box.lowest(), nullptr);
  EXPECT_TRUE(box.take(0, 3, errgroup::errc::failed, true, true));
  EXPECT_NE(box.lowest(), nullptr);
  EXPECT_EQ(box.canceling(), nullptr);
}

TEST(MpiInbox, M2_the_last_word_of_a_rank_replaces_its_first) {
  mpi::detail::inbox box;
  EXPECT_TRUE(box.take(2, 1, errgroup::errc::failed, false));
  EXPECT_FALSE(box.has_final(2));
  EXPECT_TRUE(box.take(2, 1, std::make_error_code(std::errc::io_error), true));
  EXPECT_TRUE(box.has_final(2));
  EXPECT_EQ(box.told_by(2), std::errc::io_error);
  EXPECT_TRUE(box.take(2, 1, errgroup::errc::canceled, false));
  EXPECT_EQ(box.told_by(2), std::errc::io_error);
  EXPECT_FALSE(box.told_by(1));
}

TEST(MpiChoice, M2_the_lowest_rank_is_first_and_the_others_follow_in_order) {
  std::vector<errgroup::error> of_rank(4);
  of_rank[3] = errgroup::make_error("three");
  of_rank[1] = errgroup::make_error("one");
  EXPECT_EQ(mpi::detail::choose(of_rank, false, 64).what(), "one");
  errgroup::error const alone = mpi::detail::choose(of_rank, false, 64);
  EXPECT_THAT(alone.all(), SizeIs(1));
  errgroup::error const all = mpi::detail::choose(of_rank, true, 64);
  ASSERT_THAT(all.all(), SizeIs(2));
  EXPECT_EQ(all.others()[0].what(), "three");
  EXPECT_EQ(mpi::detail::choose(of_rank, true, 1).dropped(), 1U);
}

TEST(MpiLetter, M1_a_letter_is_what_was_sealed) {
  using mpi::detail::kind;
  auto const l =
      mpi::detail::open(mpi::detail::seal(kind::last_failure, 1ULL << 40U, 7, "body"), 5);
  EXPECT_EQ(l.what, kind::last_failure);
  EXPECT_EQ(l.generation, 1ULL << 40U);
  EXPECT_EQ(l.round, 7U);
  EXPECT_EQ(l.from, 5);
  EXPECT_EQ(l.body, "body");
}

}  // namespace
