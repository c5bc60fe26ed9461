// SPDX-License-Identifier: Apache-2.0

// The part gate: where the items of a pipeline wait, without a pipeline, in one thread.

#include "../../src/gate.hpp"

#include "../../src/lanes.hpp"
#include <errgroup/detail/slot.hpp>

#include <gtest/gtest.h>

#include <array>       // array
#include <cstddef>     // byte, size_t
#include <functional>  // function
#include <vector>      // vector

namespace {

using errgroup::detail::gate;
using errgroup::detail::lane;
using errgroup::detail::lanes;
using errgroup::detail::passage;
using errgroup::detail::slot;
using errgroup::detail::slot_store;
using errgroup::detail::step;

/// Slots with the numbers 0 to 3.
std::array<slot, 4> four_slots() {
  std::array<slot, 4> s;
  for (std::size_t i = 0; i != s.size(); ++i) {
    s[i].number = i;
  }
  return s;
}

TEST(Gate, R4_an_item_does_not_overtake_the_items_that_wait_at_a_free_gate) {
  auto s = four_slots();
  gate g(false, 4);
  ASSERT_TRUE(g.enter(s[0]));
  ASSERT_FALSE(g.enter(s[1]));
  ASSERT_FALSE(g.enter(s[2]));
  EXPECT_TRUE(g.leave()) << "there is work for another lane";
  EXPECT_FALSE(g.enter(s[3])) << "items 1 and 2 came first";
  EXPECT_TRUE(g.may_have_work());
  EXPECT_EQ(g.take(), &s[1]);
  EXPECT_EQ(g.take(), nullptr) << "the gate is taken";
  EXPECT_EQ(g.next(), &s[2]);
  EXPECT_EQ(g.next(), &s[3]);
  EXPECT_FALSE(g.leave());
  EXPECT_FALSE(g.has_work());
  EXPECT_EQ(g.most_waiting(), 3U);
}

TEST(Gate, R3_in_order_an_item_waits_for_its_turn_also_at_a_free_gate) {
  auto s = four_slots();
  gate g(true, 4);
  ASSERT_FALSE(g.enter(s[2]));
  ASSERT_FALSE(g.enter(s[1]));
  EXPECT_FALSE(g.has_work());
  EXPECT_EQ(g.take(), nullptr);
  ASSERT_TRUE(g.enter(s[0]));
  EXPECT_EQ(g.next(), &s[1]);
  EXPECT_TRUE(g.leave());
  EXPECT_TRUE(g.has_work());
  EXPECT_EQ(g.take(), &s[2]);
  EXPECT_EQ(g.next(), nullptr) << "the gate is given back";
  EXPECT_TRUE(g.enter(s[3]));
}

/// Carries numbers through a stage in order, one after the other in the calling thread. There is no
/// memory for the first `refused` lanes.
struct owner {
  explicit owner(int n, int no_memory) : items(n), refused(no_memory) {}

  bool send() {
    if (refused > 0) {
      --refused;
      return false;
    }
    ++sent;
    return true;
  }
  [[nodiscard]] bool is_canceling() {
    if (on_look) {
      on_look(++looks);
    }
    return false;
  }
  [[nodiscard]] static bool goes_on() { return false; }
  step read(slot& s, lane& /*me*/) {
    s.is_full = read_so_far != items;
    return read_so_far++ != items ? step::passed : step::dropped;
  }
  step call(slot& s, lane& /*me*/) {
    order.push_back(static_cast<int>(s.number));
    return step::passed;
  }
  static void destroy(slot& s) { s.is_full = false; }

  std::function<void(int)> on_look;  // called when a lane asks whether it is cancelled
  int looks = 0;
  int items;
  int refused;
  int sent = 0;
  int read_so_far = 0;
  std::vector<int> order;
};

TEST(Lanes, R7_a_lane_for_which_there_was_no_memory_is_sent_later) {
  for (int const refused : {0, 1, 3, 100}) {
    owner o(20, refused);
    std::vector<std::byte> memory(8 * 64);
    static_assert(sizeof(slot) <= 56);
    lanes<owner> l(o, {passage::parallel, passage::in_order}, 2, 8,
                   slot_store(memory.data(), 8, 64, 56), false);
    l.begin();
    l.work(false);
    EXPECT_EQ(o.read_so_far, 21);
    EXPECT_EQ(o.order.size(), 40U);
    EXPECT_EQ(o.sent, refused == 100 ? 0 : 1) << "a second lane is out, and never begins";
    EXPECT_EQ(l.crew().out(), refused == 100 ? 0U : 1U);
    EXPECT_EQ(l.crew().most_out(), 2U);
  }
}

TEST(Lanes, R5_a_lane_that_ends_looks_again_for_work_that_came_meanwhile) {
  owner o(20, 0);
  std::vector<std::byte> memory(8 * 64);
  lanes<owner> l(o, {passage::parallel}, 1, 8, slot_store(memory.data(), 8, 64, 56), false);
  // Another lane has the source. It reads an item when this lane has found no work, and has just
  // ended.
  ASSERT_NE(l.source().begin(nullptr), nullptr);
  o.on_look = [&](int looks) {
    if (looks == 2) {
      EXPECT_EQ(l.crew().out(), 0U);
      EXPECT_TRUE(l.source().end());
    }
  };
  l.begin();
  l.work(false);
  EXPECT_EQ(o.order.size(), 20U);
  EXPECT_EQ(l.crew().out(), 0U);
}

TEST(Lanes, R4_a_lane_underneath_another_ends_although_the_source_may_be_read) {
  owner o(20, 0);
  std::vector<std::byte> memory(8 * 64);
  lanes<owner> l(o, {passage::parallel}, 1, 8, slot_store(memory.data(), 8, 64, 56), false);
  ASSERT_NE(l.source().begin(nullptr), nullptr);
  ASSERT_TRUE(l.source().end());
  l.begin();
  l.work(true);
  EXPECT_EQ(o.read_so_far, 0);
  EXPECT_EQ(l.crew().out(), 0U);
}

}  // namespace
