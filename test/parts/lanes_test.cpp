// SPDX-License-Identifier: Apache-2.0

// The parts gate and lanes in every order of their accesses, without a group and without oneTBB.
//
// `world` stands for the pipeline: it is the owner of the lanes. Its source and its stages do what
// a `plan` says, and check how they are called. A lane that is sent runs in the next free thread of
// the scenario. There is one thread more than there may be lanes: a new lane may begin while an
// earlier lane still looks for work at its end.

#define ERRGROUP_EXPLORED "support/explorer.hpp"

#include "../../src/lanes.hpp"

#include "../../src/gate.hpp"
#include "support/explorer.hpp"
#include <errgroup/detail/slot.hpp>

#include <gtest/gtest.h>

#include <algorithm>  // max, min
#include <cstddef>    // byte, max_align_t, size_t
#include <cstdint>    // uint64_t
#include <memory>     // construct_at, destroy_at, make_shared, make_unique, unique_ptr
#include <vector>     // vector

namespace {

using errgroup::detail::gate;
using errgroup::detail::lane;
using errgroup::detail::lane_crew;
using errgroup::detail::lane_times;
using errgroup::detail::lanes;
using errgroup::detail::passage;
using errgroup::detail::slot;
using errgroup::detail::slot_store;
using errgroup::detail::source_gate;
using errgroup::detail::step;
using explored::check;
using explored::explore;
using explored::limits;
using explored::outcome;
using explored::scenario;
using enum passage;

/// A lane without work ends at once.
constexpr lane_times no_patience{.step = 1, .idle = 0, .watcher = 1, .short_item = 0};
/// A lane without work looks so many times, and never watches.
constexpr lane_times looks(int n) { return {.step = 1, .idle = n, .watcher = 1, .short_item = 0}; }
/// Items are short if one is read while a lane looks for work.
constexpr lane_times watches{.step = 1, .idle = 1, .watcher = 1, .short_item = 16};

constexpr std::size_t source = static_cast<std::size_t>(-1);

/// What becomes of an item in a stage, if it does not pass.
struct event {
  std::size_t stage;
  std::uint64_t item;
  step what;
};

/// A call of a stage that returns when another item was read, or has come to its end.
struct long_call {
  std::size_t stage;
  std::uint64_t item;
  std::uint64_t until;
  bool until_read = false;
};

/// What a scenario is about.
struct plan {
  std::vector<passage> stages;
  std::uint64_t items = 2;
  std::size_t slots = 2;
  std::size_t lanes = 2;
  lane_times times = no_patience;
  std::vector<event> events{};
  std::vector<long_call> long_calls{};
  bool goes_on = true;
  bool cancels = false;        // a thread cancels the pipeline, at any time
  bool nests = false;          // a call of a stage runs the lanes that were sent and wait
  unsigned failing_sends = 0;  // bit i: there is no memory for the lane that is sent as number i
  bool is_timed = false;
};

/// What has happened in any of the runs of an exploration.
struct sightings {
  std::size_t most_lanes = 0;
  std::size_t most_slots = 0;
  std::size_t most_waiting = 0;
  bool nested = false;       // a nested lane has called a stage
  bool send_failed = false;  // a lane could not be sent
  bool left_behind = false;  // a cancellation has left an item in a slot
  bool cut_off = false;      // an item was destroyed as it came behind the end of the input
};

class world {
 public:
  world(plan const& p, sightings& seen)
      : plan_(p),
        seen_(seen),
        is_inside_(p.stages.size(), false),
        calls_(p.stages.size()),
        memory_(std::make_unique<std::max_align_t[]>(p.slots * stride / sizeof(std::max_align_t))),
        is_waiting_(p.lanes + 1, true),
        is_in_call_(p.lanes, false),
        has_called_late_(p.lanes, false),
        lanes_(*this, p.stages, p.lanes, p.slots, slots(), p.is_timed, p.times) {
    lanes_.begin();
    sent_ = 1;
  }

  /// A thread of the scenario: runs lanes until no lane is left. It begins when it may go on.
  void run_lanes(std::size_t thread) {
    while (sent_ != 0) {
      is_waiting_[thread] = false;
      run_lane(false);
      is_waiting_[thread] = true;
      explored::detail::engine::current()->block([this, thread] { return may_go_on(thread); });
    }
    is_waiting_[thread] = false;
  }
  /// True if there is a lane for the thread, or no lane is left. Only the first of the threads that
  /// wait goes on: which of them it is makes no difference.
  [[nodiscard]] bool may_go_on(std::size_t thread) const {
    for (std::size_t i = 0; i != thread; ++i) {
      if (is_waiting_[i]) {
        return false;
      }
    }
    return sent_ != 0 || running_ == 0;
  }
  void cancel() { is_cancelled_ = true; }

  // --- the owner of the lanes ---

  [[nodiscard]] bool send() {
    unsigned const number = sends_++;
    if (number < 32 && (plan_.failing_sends >> number & 1U) != 0) {
      seen_.send_failed = true;
      point();
      return false;
    }
    ++sent_;
    return true;
  }
  [[nodiscard]] bool is_canceling() {
    check(++steps_ < 500, "a lane goes round in circles");
    if (plan_.cancels) {
      point();
    }
    return is_cancelled_;
  }
  [[nodiscard]] bool goes_on() const { return plan_.goes_on; }

  step read(slot& s, lane& me) {
    check(!me.is_nested, "a nested lane reads");
    check(!is_over_, "the source is called after its end");
    check(!is_in_source_, "two lanes are in the source");
    check(s.number == fates_.size(), "the items are not numbered in their order");
    begin_call(me);
    is_in_source_ = true;
    point();
    is_in_source_ = false;
    end_call(me);
    step const what = s.number == plan_.items ? step::dropped : result(source, s.number);
    if (what != step::passed) {
      is_over_ = true;
      return what;
    }
    check(!s.is_full, "the source gets a slot with an item");
    std::construct_at(item_of(s), item{s.number, 0});
    fates_.push_back(fate::under_way);
    ++items_;
    check(items_ <= plan_.slots, "more items than slots");
    return step::passed;
  }

  step call(slot& s, lane& me) {
    std::size_t const stage = s.stage;
    check(s.is_full, "a stage is called without an item");
    item& i = *item_of(s);
    check(i.number == s.number, "the item of another slot");
    check(i.stage == stage, "a stage is called twice or left out");
    std::vector<std::uint64_t>& calls = calls_[stage];
    if (plan_.stages[stage] == in_order) {
      check(calls.empty() || calls.back() < s.number, "a stage in order gets items out of order");
    }
    if (plan_.stages[stage] != parallel) {
      check(!is_inside_[stage], "two lanes are in a stage that takes one item at a time");
    }
    calls.push_back(s.number);
    seen_.nested |= me.is_nested;
    begin_call(me);
    is_inside_[stage] = true;
    point();
    while (plan_.nests && sent_ != 0) {
      run_lane(true);
    }
    for (long_call const& c : plan_.long_calls) {
      if (c.stage == stage && c.item == s.number) {
        wait_for(c.until, c.until_read);
      }
    }
    is_inside_[stage] = false;
    end_call(me);
    step const what = result(stage, s.number);
    ++i.stage;
    if (what != step::passed) {
      end_item(s, fate::left_out);
    } else if (i.stage == plan_.stages.size()) {
      end_item(s, fate::finished);
    }
    if (what == step::failed && !plan_.goes_on) {
      is_cancelled_ = true;  // as `fail_item` of a group does
      ++failed_;
    }
    return what;
  }

  void destroy(slot& s) {
    check(s.is_full && item_of(s)->stage == s.stage, "an item is destroyed that is not there");
    seen_.cut_off = true;
    end_item(s, fate::cut_off);
  }

  // --- at the end ---

  void check_all() {
    seen_.most_lanes = std::max(seen_.most_lanes, lanes_.crew().most_out());
    seen_.most_slots = std::max(seen_.most_slots, lanes_.source().most_used());
    for (std::size_t i = 0; i != plan_.stages.size(); ++i) {
      if (gate const* const g = lanes_.gate_of(i)) {
        seen_.most_waiting = std::max(seen_.most_waiting, g->most_waiting());
        check(g->most_waiting() < plan_.slots, "more items wait at a gate than can");
      } else {
        check(plan_.stages[i] == parallel, "a stage has no gate");
      }
    }
    check(lanes_.crew().out() == 0, "a lane is counted that has ended");
    check(lanes_.crew().most_out() <= plan_.lanes, "too many lanes");
    check(lanes_.source().most_used() <= plan_.slots, "too many slots");
    check(lanes_.source().read() == fates_.size(), "the items are counted wrongly");
    std::uint64_t finished = 0;
    std::uint64_t left_out = 0;
    for (lane const& l : lanes_.crew().all()) {
      finished += l.finished;
      left_out += l.left_out;
    }
    check(finished == count(fate::finished), "the items that are finished are counted wrongly");
    if (is_cancelled_) {
      // Holes that are under way are not counted.
      check(failed_ <= left_out && left_out <= count(fate::left_out) + count(fate::cut_off),
            "the items that are left out are counted wrongly");
      check_rest();
      return;
    }
    check(is_over_ || end_of_input() != none, "the source is not read to its end");
    check(lanes_.source().is_over(), "the source does not know its end");
    check(count(fate::under_way) == 0, "an item is left behind");
    check(items_ == 0, "an item was not destroyed");
    check(left_out == count(fate::left_out) + count(fate::cut_off),
          "the items that are left out are counted wrongly");
    check_calls();
    std::size_t free = 0;
    while (free <= plan_.slots && lanes_.source().slots().get() != nullptr) {
      ++free;
    }
    check(free == plan_.slots, "a slot was lost, or is in the list of free slots twice");
  }

 private:
  enum class fate { under_way, finished, left_out, cut_off };
  struct item {
    std::uint64_t number;
    std::size_t stage;  // to which it comes next
  };

  static constexpr std::uint64_t none = static_cast<std::uint64_t>(-1);
  static constexpr std::size_t offset = sizeof(slot);
  static constexpr std::size_t stride = (offset + sizeof(item) + sizeof(std::max_align_t) - 1) /
                                        sizeof(std::max_align_t) * sizeof(std::max_align_t);

  [[nodiscard]] slot_store slots() const {
    return {reinterpret_cast<std::byte*>(memory_.get()), plan_.slots, stride, offset};
  }
  static item* item_of(slot const& s) { return static_cast<item*>(s.item); }

  void wait_for(std::uint64_t number, bool read) {
    explored::detail::engine::current()->block([this, number, read] {
      return number < fates_.size() && (read || fates_[number] != fate::under_way);
    });
  }
  static void point() { explored::detail::engine::current()->point(); }

  void run_lane(bool is_nested) {
    --sent_;
    ++running_;
    lanes_.work(is_nested);
    --running_;
  }

  void begin_call(lane const& me) {
    check(me.number < plan_.lanes, "a lane has the number of none");
    check(!is_in_call_[me.number], "two lanes have one number");
    is_in_call_[me.number] = true;
    if (is_cancelled_) {
      // The cancellation may come between the lane's look and the call.
      check(!has_called_late_[me.number], "a lane goes on after the cancellation");
      has_called_late_[me.number] = true;
    }
  }
  void end_call(lane const& me) { is_in_call_[me.number] = false; }

  void end_item(slot& s, fate f) {
    fate& of = fates_[static_cast<std::size_t>(s.number)];
    check(of == fate::under_way, "an item comes to its end twice");
    of = f;
    std::destroy_at(item_of(s));
    --items_;
  }

  [[nodiscard]] step result(std::size_t stage, std::uint64_t number) const {
    for (event const& e : plan_.events) {
      if (e.stage == stage && e.item == number) {
        return e.what;
      }
    }
    return step::passed;
  }
  [[nodiscard]] std::size_t count(fate f) const {
    return static_cast<std::size_t>(std::count(fates_.begin(), fates_.end(), f));
  }

  /// The items that a cancellation has left behind are where the slots say.
  void check_rest() {
    lanes_.source().slots().for_each([this](slot& s) {
      if (s.is_full) {
        check(item_of(s)->number == s.number, "a slot has the item of another slot");
        check(item_of(s)->stage == s.stage, "a slot does not know where its item is");
        check(s.stage < plan_.stages.size(), "a slot is full behind the last stage");
        end_item(s, fate::cut_off);
        seen_.left_behind = true;
      }
    });
    check(items_ == 0, "an item is in no slot");
    check(count(fate::under_way) == 0, "an item was lost");
  }

  /// The first item for which a stage said that no more items should come; `none` if there is none.
  [[nodiscard]] std::uint64_t end_of_input() const {
    std::uint64_t first = none;
    for (event const& e : plan_.events) {
      if (e.what == step::ended && e.stage != source) {
        first = std::min(first, e.item);
      }
    }
    return first;
  }
  [[nodiscard]] std::size_t stage_of_end() const {
    for (event const& e : plan_.events) {
      if (e.what == step::ended && e.item == end_of_input()) {
        return e.stage;
      }
    }
    return source;
  }

  /// Each stage was called with the items that came to it, once with each.
  void check_calls() const {
    std::uint64_t const last = end_of_input();
    std::size_t const ends_in = stage_of_end();
    bool is_cut = false;                  // a stage in order comes behind the end, or is the end
    std::vector<std::uint64_t> expected;  // the items that came for certain
    for (std::uint64_t n = 0; n != std::min<std::uint64_t>(fates_.size(), last); ++n) {
      expected.push_back(n);
    }
    check(last == none ? expected.size() == fates_.size() : last < fates_.size(),
          "the source was not read far enough");
    check(plan_.lanes != 1 || last == none || last + 1 == fates_.size(),
          "the source was read behind the end of the input");
    for (std::size_t i = 0; i != plan_.stages.size(); ++i) {
      std::vector<std::uint64_t> called = calls_[i];
      std::sort(called.begin(), called.end());
      check(std::unique(called.begin(), called.end()) == called.end(),
            "a stage is called twice with one item");
      is_cut = is_cut || (last != none && i > ends_in && plan_.stages[i] == in_order);
      std::erase_if(called, [=](std::uint64_t n) {
        return n >= last && !is_cut && (n != last || i <= ends_in);
      });
      check(called == expected, "a stage was called with other items than came to it");
      is_cut = is_cut || (i == ends_in && plan_.stages[i] == in_order);
      std::erase_if(expected, [this, i](std::uint64_t n) { return result(i, n) != step::passed; });
    }
    for (std::uint64_t n = 0; n != fates_.size(); ++n) {
      fate const f = fates_[static_cast<std::size_t>(n)];
      if (n < last) {
        bool const came = std::binary_search(expected.begin(), expected.end(), n);
        check(f == (came ? fate::finished : fate::left_out), "an item had another end");
      } else if (n == last || is_cut) {
        check(f != fate::finished, "an item behind the end of the input has come to the end");
      }
    }
  }

  plan const& plan_;
  sightings& seen_;
  bool is_cancelled_ = false;
  bool is_over_ = false;  // the source has ended
  bool is_in_source_ = false;
  std::vector<bool> is_inside_;                    // of each stage: a lane is in a call
  std::vector<std::vector<std::uint64_t>> calls_;  // of each stage: the items it was called with
  std::vector<fate> fates_;                        // of each item that was read
  std::size_t failed_ = 0;                         // items, if the pipeline does not go on then
  std::size_t items_ = 0;                          // that exist
  int steps_ = 0;
  unsigned sends_ = 0;
  std::size_t sent_ = 0;     // lanes that have not begun
  std::size_t running_ = 0;  // lanes
  std::unique_ptr<std::max_align_t[]> memory_;
  std::vector<bool> is_waiting_;       // of each thread
  std::vector<bool> is_in_call_;       // of each lane
  std::vector<bool> has_called_late_;  // of each lane: after the cancellation
  lanes<world> lanes_;
};

/// Explores a plan. What has happened is in `seen`.
outcome explore_plan(plan const& p, limits const& bounds, sightings& seen) {
  return explore(
      [&p, &seen](scenario& s) {
        auto shared = std::make_shared<world>(p, seen);
        for (std::size_t i = 0; i != p.lanes + 1; ++i) {
          s.thread([shared, i] { shared->run_lanes(i); },
                   [shared, i] { return shared->may_go_on(i); });
        }
        if (p.cancels) {
          s.thread([shared] { shared->cancel(); });
        }
        s.at_end([shared] { shared->check_all(); });
      },
      bounds);
}

// Some need two switches, some a switch and a delayed store.
constexpr limits three_switches{.preemptions = 3, .delays = 0};
constexpr limits two_switches{.preemptions = 2, .delays = 0};
constexpr limits one_switch{.preemptions = 1, .delays = 0};
constexpr limits switch_and_delay{.preemptions = 1, .delays = 1};

/// Explores a plan within each of the bounds. All runs have to be right.
sightings expect_right(plan const& p,
                       std::vector<limits> const& all_bounds = {two_switches, switch_and_delay}) {
  static std::uint64_t runs = 0;
  sightings seen;
  for (limits const& bounds : all_bounds) {
    outcome const found = explore_plan(p, bounds, seen);
    EXPECT_TRUE(found) << found.what << ": " << found.schedule;
    runs += found.runs;
    if (!found) {
      break;
    }
  }
  testing::Test::RecordProperty("runs_so_far", std::to_string(runs));
  return seen;
}

std::vector<std::vector<passage>> const all_kinds{
    {parallel}, {one_at_a_time}, {in_order}, {parallel, in_order}, {in_order, in_order}};

// --- the parts of the lanes, without another thread ---

/// Runs `f` once, without another thread.
template <class F>
void alone(F const& f) {
  outcome const found = explore([&f](scenario&) { f(); });
  EXPECT_TRUE(found) << found.what;
  EXPECT_EQ(found.runs, 1U);
}

slot numbered(std::uint64_t n) {
  slot s;
  s.number = n;
  return s;
}

TEST(Gate, In_order_lets_the_items_through_by_their_numbers) {
  alone([] {
    gate g(true, 3);
    EXPECT_TRUE(g.is_in_order());
    slot zero = numbered(0);
    slot one = numbered(1);
    slot two = numbered(2);
    slot three = numbered(3);
    EXPECT_FALSE(g.enter(two));
    EXPECT_FALSE(g.enter(one));
    EXPECT_FALSE(g.has_work()) << "it is the turn of 0";
    EXPECT_EQ(g.take(), nullptr);
    EXPECT_TRUE(g.enter(zero));
    EXPECT_EQ(g.next(), &one);
    EXPECT_FALSE(g.enter(three)) << "1 is inside";
    EXPECT_EQ(g.next(), &two);
    EXPECT_EQ(g.next(), &three);
    EXPECT_EQ(g.next(), nullptr);
    EXPECT_EQ(g.most_waiting(), 2U);
    slot four = numbered(4);
    EXPECT_TRUE(g.enter(four)) << "the gate was given back";
  });
}

TEST(Gate, In_order_has_a_place_for_each_number_that_can_wait) {
  alone([] {
    gate g(true, 5);
    slot waiting[4];
    for (std::uint64_t first = 0; first != 20; ++first) {
      for (std::uint64_t i = 4; i != 0; --i) {
        waiting[i - 1].number = first + i;
        EXPECT_FALSE(g.enter(waiting[i - 1]));
      }
      slot s = numbered(first);
      EXPECT_TRUE(g.enter(s));
      for (slot& w : waiting) {
        EXPECT_EQ(g.next(), &w);
        ++first;
      }
      EXPECT_EQ(g.next(), nullptr);
    }
    EXPECT_EQ(g.most_waiting(), 4U);
  });
}

TEST(Gate, One_at_a_time_lets_the_items_through_as_they_come) {
  alone([] {
    gate g(false, 3);
    EXPECT_FALSE(g.is_in_order());
    slot zero = numbered(0);
    slot one = numbered(1);
    slot two = numbered(2);
    two.next = &one;  // from the list of the free slots
    EXPECT_TRUE(g.enter(two));
    EXPECT_FALSE(g.enter(one));
    EXPECT_FALSE(g.enter(zero));
    EXPECT_EQ(g.next(), &one);
    EXPECT_FALSE(g.enter(two));
    EXPECT_EQ(g.next(), &zero);
    EXPECT_EQ(g.next(), &two);
    EXPECT_EQ(g.next(), nullptr);
    EXPECT_TRUE(g.enter(zero));
    EXPECT_FALSE(g.enter(one));
    EXPECT_EQ(g.next(), &one);
  });
}

TEST(Gate, A_lane_that_leaves_says_whether_it_leaves_work) {
  for (bool const ordered : {false, true}) {
    alone([ordered] {
      gate g(ordered, 3);
      slot zero = numbered(0);
      slot one = numbered(1);
      slot two = numbered(2);
      EXPECT_EQ(g.take(), nullptr);
      EXPECT_TRUE(g.enter(zero));
      EXPECT_FALSE(g.enter(one));
      EXPECT_FALSE(g.has_work()) << "the gate is taken";
      EXPECT_FALSE(g.may_have_work());
      EXPECT_EQ(g.take(), nullptr);
      EXPECT_TRUE(g.leave());
      EXPECT_TRUE(g.has_work());
      EXPECT_TRUE(g.may_have_work());
      EXPECT_EQ(g.take(), &one);
      EXPECT_FALSE(g.may_have_work());
      EXPECT_FALSE(g.leave());
      EXPECT_FALSE(g.has_work());
      EXPECT_FALSE(g.may_have_work());
      EXPECT_EQ(g.take(), nullptr);
      EXPECT_TRUE(g.enter(two)) << "the gate was given back";
      EXPECT_EQ(g.next(), nullptr);
      EXPECT_FALSE(g.may_have_work());
      EXPECT_EQ(g.most_waiting(), 1U);
    });
  }
}

TEST(Gate, An_item_does_not_overtake_the_items_that_wait) {
  alone([] {
    gate g(false, 3);
    slot zero = numbered(0);
    slot one = numbered(1);
    slot two = numbered(2);
    EXPECT_TRUE(g.enter(zero));
    EXPECT_FALSE(g.enter(one));
    EXPECT_TRUE(g.leave());
    EXPECT_FALSE(g.enter(two)) << "the gate is free, but an item waits";
    EXPECT_TRUE(g.may_have_work());
    EXPECT_EQ(g.take(), &one);
    EXPECT_FALSE(g.may_have_work());
    EXPECT_EQ(g.next(), &two);
    EXPECT_FALSE(g.enter(zero));
    EXPECT_TRUE(g.leave());
    EXPECT_EQ(g.take(), &zero);
    EXPECT_FALSE(g.enter(one)) << "the gate is taken";
    EXPECT_FALSE(g.enter(two));
    EXPECT_EQ(g.take(), nullptr);
    EXPECT_EQ(g.next(), &one);
  });
}

/// The memory of so many slots, with an int each.
struct int_slots {
  struct place {
    slot s;
    int i;
  };

  explicit int_slots(std::size_t n) : memory(n * sizeof(place)), most(n) {}
  [[nodiscard]] slot_store store() {
    return {memory.data(), most, sizeof(place), offsetof(place, i)};
  }

  std::vector<std::byte> memory;
  std::size_t most;
};

TEST(SlotStore, Gives_as_many_slots_as_it_has_and_those_that_were_put_back_first) {
  int_slots memory(3);
  slot_store store = memory.store();
  std::size_t used = 0;
  store.for_each([&](slot&) { ++used; });
  EXPECT_EQ(used, 0U);
  EXPECT_TRUE(store.has_room());
  slot* const a = store.get();
  slot* const b = store.get();
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_FALSE(a->is_full);
  EXPECT_EQ(static_cast<std::byte*>(a->item), memory.memory.data() + offsetof(int_slots::place, i));
  EXPECT_EQ(static_cast<std::byte*>(b->item),
            static_cast<std::byte*>(a->item) + sizeof(int_slots::place));
  store.put(*a);
  EXPECT_EQ(store.get(), a);
  store.for_each([&](slot& s) { EXPECT_EQ(&s, used++ == 0 ? a : b); });
  EXPECT_EQ(used, 2U) << "the third was never used";
  EXPECT_TRUE(store.has_room());
  EXPECT_NE(store.get(), nullptr);
  EXPECT_FALSE(store.has_room());
  EXPECT_EQ(store.get(), nullptr);
  store.put(*a);
  store.put(*b);
  EXPECT_TRUE(store.has_room());
  EXPECT_EQ(store.get(), b);
  EXPECT_EQ(store.get(), a);
  EXPECT_EQ(store.get(), nullptr);
}

TEST(SourceGate, One_lane_at_a_time_gets_a_slot_with_the_number_of_the_next_item) {
  alone([] {
    int_slots memory(2);
    source_gate g(memory.store(), false);
    EXPECT_TRUE(g.has_work());
    slot* const zero = g.begin(nullptr);
    ASSERT_NE(zero, nullptr);
    EXPECT_EQ(zero->number, 0U);
    EXPECT_FALSE(g.has_work());
    EXPECT_EQ(g.begin(nullptr), nullptr) << "it is taken";
    EXPECT_EQ(g.read(), 0U);
    EXPECT_TRUE(g.end());
    EXPECT_TRUE(g.has_work());
    EXPECT_TRUE(g.may_have_work());
    EXPECT_EQ(g.read(), 1U);
    slot* const one = g.begin(nullptr);
    ASSERT_NE(one, nullptr);
    EXPECT_EQ(one->number, 1U);
    EXPECT_FALSE(g.may_have_work());
    EXPECT_FALSE(g.end()) << "no slot is free";
    EXPECT_FALSE(g.has_work());
    EXPECT_FALSE(g.may_have_work());
    EXPECT_EQ(g.begin(nullptr), nullptr);
    EXPECT_TRUE(g.give_back(*zero));
    EXPECT_TRUE(g.has_work());
    EXPECT_TRUE(g.may_have_work());
    EXPECT_EQ(g.begin(one), one) << "the slot that the lane brings";
    EXPECT_EQ(one->number, 2U);
    EXPECT_EQ(g.most_used(), 2U);
    EXPECT_FALSE(g.is_over());
  });
}

TEST(SourceGate, A_slot_that_is_given_back_while_a_lane_reads_is_work_when_it_has_read) {
  alone([] {
    int_slots memory(2);
    source_gate g(memory.store(), false);
    slot* const zero = g.begin(nullptr);
    EXPECT_TRUE(g.end());
    EXPECT_NE(g.begin(nullptr), nullptr);
    EXPECT_FALSE(g.give_back(*zero));
    EXPECT_FALSE(g.may_have_work());
    EXPECT_TRUE(g.end());
    EXPECT_TRUE(g.may_have_work());
  });
}

TEST(SourceGate, A_slot_that_a_lane_brings_while_another_reads_is_taken_back) {
  alone([] {
    int_slots memory(2);
    source_gate g(memory.store(), false);
    slot* const zero = g.begin(nullptr);
    EXPECT_TRUE(g.end());
    slot* const one = g.begin(nullptr);
    EXPECT_EQ(g.begin(zero), nullptr);
    EXPECT_TRUE(g.end());
    EXPECT_EQ(g.begin(nullptr), zero);
    EXPECT_EQ(g.most_used(), 2U);
    EXPECT_NE(one, zero);
  });
}

TEST(SourceGate, After_the_end_of_the_input_no_lane_reads) {
  alone([] {
    int_slots memory(2);
    source_gate g(memory.store(), false);
    slot* const zero = g.begin(nullptr);
    EXPECT_TRUE(g.end());
    slot* const one = g.begin(nullptr);
    g.end_of_input(*one);
    EXPECT_TRUE(g.is_over());
    EXPECT_EQ(g.read(), 1U);
    EXPECT_FALSE(g.has_work());
    EXPECT_FALSE(g.may_have_work());
    EXPECT_FALSE(g.give_back(*zero));
    EXPECT_FALSE(g.may_have_work());
    EXPECT_EQ(g.begin(nullptr), nullptr);
  });
}

TEST(SourceGate, After_it_was_closed_no_lane_reads) {
  alone([] {
    int_slots memory(3);
    source_gate g(memory.store(), false);
    slot* const zero = g.begin(nullptr);
    EXPECT_TRUE(g.end());
    g.close();
    EXPECT_TRUE(g.is_over());
    EXPECT_FALSE(g.has_work());
    EXPECT_FALSE(g.may_have_work());
    EXPECT_EQ(g.begin(nullptr), nullptr);
    EXPECT_EQ(g.begin(zero), nullptr);
  });
}

TEST(SourceGate, It_may_be_closed_while_a_lane_reads) {
  alone([] {
    int_slots memory(3);
    source_gate g(memory.store(), false);
    EXPECT_NE(g.begin(nullptr), nullptr);
    g.close();
    EXPECT_FALSE(g.end());
    EXPECT_FALSE(g.may_have_work());
    EXPECT_EQ(g.read(), 1U) << "the item that was read counts";
    EXPECT_EQ(g.begin(nullptr), nullptr);
  });
}

TEST(LaneCrew, Counts_the_lanes_that_are_out) {
  alone([] {
    lane_crew crew(2);
    EXPECT_TRUE(crew.send());
    EXPECT_EQ(crew.out(), 1U) << "a lane is out before it begins";
    EXPECT_TRUE(crew.send());
    EXPECT_FALSE(crew.send());
    lane& a = crew.begin();
    crew.take_back();
    EXPECT_EQ(crew.out(), 1U);
    EXPECT_TRUE(crew.send());
    lane& b = crew.begin();
    EXPECT_NE(a.number, b.number);
    crew.end(a);
    EXPECT_EQ(crew.out(), 1U);
    lane* const again = crew.begin_again();
    EXPECT_EQ(again, &a);
    EXPECT_EQ(crew.out(), 2U);
    crew.end(b);
    EXPECT_TRUE(crew.send());
    crew.end(*again);
    EXPECT_TRUE(crew.send());
    EXPECT_EQ(crew.begin_again(), nullptr) << "two lanes were sent";
    EXPECT_EQ(crew.most_out(), 2U);
    EXPECT_EQ(crew.all().size(), 2U);
  });
}

// --- the lanes ---

TEST(Lanes, Two_lanes_carry_each_item_to_the_end) {
  for (std::vector<passage> const& stages : all_kinds) {
    for (std::size_t const slots : {2U, 3U}) {
      sightings const seen = expect_right({.stages = stages, .items = 3, .slots = slots});
      bool const has_gate = stages.back() != parallel;
      EXPECT_EQ(seen.most_lanes, 2U);
      EXPECT_EQ(seen.most_slots, has_gate ? slots : 2U);
      EXPECT_EQ(seen.most_waiting, has_gate ? slots - 1 : 0U);
    }
  }
}

TEST(Lanes, Two_lanes_carry_each_item_to_the_end_in_more_schedules) {
  for (passage const kind : {one_at_a_time, in_order}) {
    (void)expect_right({.stages = {kind}}, {three_switches});
  }
}

TEST(Lanes, With_one_slot_there_is_one_lane) {
  for (std::vector<passage> const& stages : all_kinds) {
    sightings const seen = expect_right({.stages = stages, .items = 3, .slots = 1});
    EXPECT_EQ(seen.most_lanes, 1U);
    EXPECT_EQ(seen.most_slots, 1U);
  }
}

TEST(Lanes, One_lane_carries_all_items) {
  for (std::vector<passage> const& stages : all_kinds) {
    sightings const seen = expect_right({.stages = stages, .items = 3, .slots = 3, .lanes = 1});
    EXPECT_EQ(seen.most_lanes, 1U);
  }
}

TEST(Lanes, Three_lanes_carry_each_item_to_the_end) {
  for (std::vector<passage> const& stages : all_kinds) {
    sightings const seen =
        expect_right({.stages = stages, .items = 3, .slots = 3, .lanes = 3}, {switch_and_delay});
    EXPECT_EQ(seen.most_lanes, 3U);
  }
  for (passage const kind : {one_at_a_time, in_order}) {
    (void)expect_right({.stages = {kind}, .slots = 3, .lanes = 3}, {two_switches});
  }
}

TEST(Lanes, A_pipeline_without_items_ends) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right({.stages = stages, .items = 0});
  }
}

TEST(Lanes, A_source_that_fails_ends_the_input) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right({.stages = stages, .items = 3, .events = {{source, 1, step::failed}}});
    (void)expect_right({.stages = stages, .items = 3, .events = {{source, 2, step::ended}}});
  }
}

TEST(Lanes, A_lane_without_work_looks_for_work_for_a_while) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right({.stages = stages, .items = 3, .times = looks(2)});
  }
}

TEST(Lanes, While_items_are_short_one_lane_watches) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right({.stages = stages, .items = 3, .times = watches});
  }
  (void)expect_right({.stages = {one_at_a_time}, .items = 4, .slots = 3, .times = watches});
  (void)expect_right({.stages = {parallel}, .items = 3, .times = watches}, {three_switches});
}

TEST(Lanes, While_items_are_short_one_of_three_lanes_watches) {
  for (passage const kind : {parallel, one_at_a_time}) {
    (void)expect_right({.stages = {kind}, .items = 4, .slots = 3, .lanes = 3, .times = watches},
                       {two_switches});
  }
}

TEST(Lanes, Work_for_which_no_lane_can_be_sent_is_done_by_the_lanes_that_are_out) {
  for (std::vector<passage> const& stages : all_kinds) {
    for (unsigned const failing : {1U, 2U, 6U, ~0U}) {
      sightings const seen = expect_right(
          {.stages = stages, .items = 3, .slots = 3, .lanes = 2, .failing_sends = failing});
      EXPECT_TRUE(seen.send_failed);
    }
  }
}

// If no lane is on its way to the work that a lane leaves behind, these are deadlocks.
TEST(Lanes, While_a_lane_is_in_a_long_call_another_lane_does_the_work_that_it_has_left) {
  for (std::vector<passage> const& stages :
       std::vector<std::vector<passage>>{{parallel},
                                         {one_at_a_time, parallel},
                                         {in_order, parallel},
                                         {one_at_a_time, in_order, parallel}}) {
    std::size_t const last = stages.size() - 1;
    for (lane_times const& times : {no_patience, looks(1), watches}) {
      (void)expect_right(
          {.stages = stages, .slots = 2, .times = times, .long_calls = {{last, 0, 1}}});
      (void)expect_right(
          {.stages = stages, .items = 3, .slots = 3, .times = times, .long_calls = {{last, 0, 2}}});
    }
    (void)expect_right({.stages = stages,
                        .items = 3,
                        .slots = 3,
                        .lanes = 3,
                        .long_calls = {{last, 0, 2}, {last, 1, 2}}},
                       {one_switch});
  }
}

TEST(Lanes, While_a_lane_is_in_a_long_call_another_lane_reads_into_the_slot_that_it_gave_back) {
  (void)expect_right({.stages = {in_order}, .items = 3, .long_calls = {{0, 1, 2, true}}});
}

TEST(Lanes, The_time_in_which_no_slot_is_free_is_measured) {
  (void)expect_right({.stages = {in_order}, .items = 3, .is_timed = true});
}

// --- items that do not pass ---

TEST(Lanes, An_item_that_is_dropped_leaves_a_hole_in_the_order) {
  for (std::vector<passage> const& stages :
       std::vector<std::vector<passage>>{{parallel, in_order},
                                         {in_order, in_order},
                                         {one_at_a_time, in_order},
                                         {parallel, one_at_a_time, in_order},
                                         {parallel, in_order, one_at_a_time, parallel}}) {
    for (std::uint64_t const item : {0U, 1U}) {
      (void)expect_right({.stages = stages, .items = 3, .events = {{0, item, step::dropped}}});
    }
    (void)expect_right({.stages = stages,
                        .items = 3,
                        .slots = 3,
                        .events = {{0, 0, step::dropped}, {1, 1, step::failed}}});
  }
}

TEST(Lanes, An_item_that_is_dropped_in_the_last_stage_is_at_its_end) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right(
        {.stages = stages, .items = 3, .events = {{stages.size() - 1, 1, step::dropped}}});
  }
}

TEST(Lanes, An_item_that_fails_is_left_out_if_the_pipeline_goes_on) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right({.stages = stages, .items = 3, .events = {{0, 1, step::failed}}});
  }
}

TEST(Lanes, An_item_that_fails_ends_the_lanes_if_the_pipeline_does_not_go_on) {
  for (std::vector<passage> const& stages : all_kinds) {
    for (std::uint64_t const item : {0U, 1U}) {
      sightings const seen = expect_right({.stages = stages,
                                           .items = 3,
                                           .slots = 3,
                                           .events = {{0, item, step::failed}},
                                           .goes_on = false});
      EXPECT_TRUE(seen.left_behind || stages.front() != parallel);
    }
  }
}

TEST(Lanes, The_stages_behind_the_end_of_the_input_get_the_items_before_it) {
  for (std::vector<passage> const& stages : std::vector<std::vector<passage>>{
           {parallel, in_order}, {in_order, in_order}, {one_at_a_time, in_order}}) {
    for (std::uint64_t const item : {0U, 1U}) {
      sightings const seen = expect_right(
          {.stages = stages, .items = 4, .slots = 3, .events = {{0, item, step::ended}}});
      EXPECT_TRUE(seen.cut_off);
    }
  }
}

TEST(Lanes, The_end_of_the_input_in_the_last_stage) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right({.stages = stages,
                        .items = 4,
                        .slots = 3,
                        .events = {{stages.size() - 1, 1, step::ended}}});
  }
}

TEST(Lanes, The_first_of_two_ends_of_the_input_counts) {
  std::vector<event> const ends{{0, 2, step::ended}, {0, 0, step::ended}};
  (void)expect_right({.stages = {parallel, in_order}, .items = 3, .slots = 3, .events = ends},
                     {three_switches});
}

TEST(Lanes, After_the_end_of_the_input_a_single_lane_reads_no_item) {
  for (std::vector<passage> const& stages : all_kinds) {
    (void)expect_right({.stages = stages, .items = 4, .lanes = 1, .events = {{0, 1, step::ended}}});
  }
}

// --- cancellation ---

TEST(Lanes, A_cancellation_ends_the_lanes_and_leaves_the_items_where_they_are) {
  for (std::vector<passage> const& stages : all_kinds) {
    sightings const seen = expect_right({.stages = stages, .cancels = true}, {two_switches});
    EXPECT_TRUE(seen.left_behind);
    (void)expect_right({.stages = stages, .items = 3, .slots = 3, .cancels = true},
                       {switch_and_delay});
  }
}

TEST(Lanes, A_cancellation_ends_the_lanes_that_wait_for_work) {
  for (lane_times const& times : {looks(1), watches}) {
    (void)expect_right({.stages = {in_order}, .items = 3, .times = times, .cancels = true},
                       {two_switches});
  }
}

TEST(Lanes, A_cancellation_leaves_holes_where_they_are) {
  (void)expect_right(
      {.stages = {parallel, in_order}, .events = {{0, 0, step::dropped}}, .cancels = true});
}

// --- nested lanes ---

TEST(Lanes, A_lane_may_run_while_a_stage_of_another_lane_waits_in_the_same_thread) {
  for (std::vector<passage> const& stages : all_kinds) {
    for (lane_times const& times : {no_patience, looks(1), watches}) {
      (void)expect_right({.stages = stages, .items = 3, .times = times, .nests = true});
    }
  }
}

TEST(Lanes, A_nested_lane_takes_items_from_the_gates) {
  for (passage const kind : {one_at_a_time, in_order}) {
    for (std::size_t const most : {2U, 3U}) {
      sightings const seen = expect_right(
          {.stages = {kind, parallel}, .items = 3, .slots = 3, .lanes = most, .nests = true});
      EXPECT_TRUE(seen.nested);
    }
  }
}

}  // namespace
