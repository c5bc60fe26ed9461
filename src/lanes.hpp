// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_LANES_HPP
#define ERRGROUP_SRC_LANES_HPP

#include "gate.hpp"
#include <errgroup/detail/slot.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <algorithm>  // max
#include <atomic>     // memory_order
#include <cstddef>    // size_t
#include <cstdint>    // uint64_t
#include <limits>     // numeric_limits
#include <memory>     // make_unique, unique_ptr
#include <utility>    // exchange
#include <vector>     // vector

// The lanes of a pipeline: the tasks that carry items through its stages.
//
// A lane takes an item, from a gate or from the source, and carries it as far as it can: to the
// end, or to a gate at which the item has to wait. Then it looks for other work. Items that are
// further on come first, so that few items are under way.
//
// A lane without work ends. A lane that leaves work behind sends another lane, unless as many lanes
// as may be are out. Work is left behind where a gate is given back although an item may go
// through, and where the source may be read. So while there is work, a lane is on its way to it:
//
// - The lane that leaves work changes the gate under its lock, and then reads the number of lanes.
// - A lane that ends lowers the number first, and then looks at each gate under its lock. So either
//   the one lane sees the lower number and sends a lane, or the other sees the work and goes on.
//
// Not done: a lane for each item, which costs a submission and a steal for each; lanes that wait at
// a gate, which deadlock if the lane in the gate waits for a task that the waiting thread should
// run.

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// What a lane knows of itself, and counts. One task at a time uses it.
struct lane {
  std::size_t number = 0;
  bool is_nested = false;  // its thread is in a stage of the same pipeline, further down the stack
  std::uint64_t finished = 0;  // items that came to the end
  std::uint64_t left_out = 0;  // items that were dropped, have failed, or were cut off
  clock::time_point time;      // with statistics: the end of its last call, unless it has waited
};

/// The lanes that are out: sent, and not ended.
class lane_crew {
 public:
  explicit lane_crew(std::size_t most) : most_(most), lanes_(most) {
    free_.reserve(most);
    for (std::size_t i = most; i-- != 0;) {
      lanes_[i].number = i;
      free_.push_back(&lanes_[i]);
    }
  }

  /// Counts a lane that the caller sends. False if the most lanes are out.
  [[nodiscard]] bool send() noexcept {
    if (out_.load(std::memory_order_relaxed) == most_) [[likely]] {
      return false;
    }
    spin_mutex::scoped_lock const lock(mutex_);
    return add();
  }
  /// The lane that was counted could not be sent.
  void take_back() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    set_out(out() - 1);
  }

  /// A lane that was sent begins.
  [[nodiscard]] lane& begin() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    return *pop();
  }
  /// A lane ends.
  void end(lane& l) noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    free_.push_back(&l);
    set_out(out() - 1);
  }
  /// A lane that has ended goes on after all. Null if the most lanes are out.
  [[nodiscard]] lane* begin_again() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    return add() ? pop() : nullptr;
  }

  /// The most lanes that were out at once. Threads: no lane runs. So the next function.
  [[nodiscard]] std::size_t most_out() const noexcept { return most_out_; }
  [[nodiscard]] std::vector<lane> const& all() const noexcept { return lanes_; }

  [[nodiscard]] std::size_t out() const noexcept { return out_.load(std::memory_order_relaxed); }

 private:
  void set_out(std::size_t n) noexcept { out_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] bool add() noexcept {
    std::size_t const n = out();
    if (n == most_) {
      return false;
    }
    set_out(n + 1);
    most_out_ = std::max(most_out_, n + 1);
    return true;
  }
  [[nodiscard]] lane* pop() noexcept {
    lane* const l = free_.back();
    free_.pop_back();
    return l;
  }

  std::size_t const most_;
  atomic<std::size_t> out_{0};  // written under the lock
  spin_mutex mutex_;            // guards the members below
  std::size_t most_out_ = 0;
  std::vector<lane> lanes_;
  std::vector<lane*> free_;
};

/// How a stage of a pipeline is called.
enum class passage { parallel, one_at_a_time, in_order };

/// How long a lane waits for work. In pauses of the processor, some 20 to 40 ns each: no clock is
/// read. A test that explores schedules has other times.
struct lane_times {
  int step = 8;                   // between two looks for work
  int idle = 64;                  // then a lane without work ends; about the cost of sending a lane
  int watcher = 1024;             // between two looks of the lane that watches
  std::uint64_t short_item = 16;  // items that take fewer pauses of each lane are short
};

/// Carries items through the stages.
///
/// The pipeline is the `owner`. It has these functions, none of which throws. The lanes keep
/// `slot.is_full`.
///
///   send()                a task will call `work`, in a thread of the owner's choice. False if
///                         there is no memory for the task
///   is_canceling()        the lanes end, and leave the items where they are
///   read(slot, lane)      calls the source. `passed`: there is an item in the slot now
///   call(slot, lane)      calls the stage `slot.stage` with the item. `passed`: the stage's result
///                         is in the slot, or the stage is the last. Otherwise the item is gone
///   destroy(slot)         destroys the item
///   goes_on()             a failed item is left out, and the lanes go on
template <class Owner>
class lanes {
 public:
  /// `stages`: of the stages behind the source.
  lanes(Owner& owner, std::vector<passage> const& stages, std::size_t most_lanes,
        std::size_t most_items, slot_store slots, bool is_timed, lane_times const& times = {})
      : owner_(owner),
        times_(times),
        crew_(most_lanes),
        source_(slots, is_timed),
        gates_(stages.size()) {
    for (std::size_t i = 0; i != stages.size(); ++i) {
      if (stages[i] != passage::parallel) {
        all_gates_.push_back(std::make_unique<gate>(stages[i] == passage::in_order, most_items));
        gates_[i] = all_gates_.back().get();
        if (stages[i] == passage::in_order) {
          last_in_order_ = i + 1;
        }
      }
    }
  }

  /// Counts the first lane. The caller calls `work` then.
  void begin() noexcept { (void)crew_.send(); }

  /// A lane. `is_nested`: the thread is already in a lane of this pipeline.
  void work(bool is_nested) noexcept {
    lane* me = &crew_.begin();
    while (me != nullptr) {
      me->is_nested = is_nested;
      me->time = {};
      slot* mine = nullptr;  // a free slot that this lane owns
      while (move(*me, mine)) {
      }
      give_back(mine);
      me = end(*me);
    }
  }

  [[nodiscard]] lane_crew const& crew() const noexcept { return crew_; }
  [[nodiscard]] source_gate& source() noexcept { return source_; }
  /// The gate before a stage; null for a parallel stage.
  [[nodiscard]] gate const* gate_of(std::size_t stage) const noexcept { return gates_[stage]; }

 private:
  /// Carries one item. False if there is no work.
  bool move(lane& me, slot*& mine) noexcept {
    if (owner_.is_canceling()) {
      return false;
    }
    slot* s = take_waiting();
    bool const in_gate = s != nullptr;
    if (in_gate) {
      give_back(mine);
      if (may_have_work()) {
        send();  // for work that was left behind while a lane watched
      }
    } else {
      s = me.is_nested ? nullptr : source_.begin(std::exchange(mine, nullptr));
      if (s == nullptr) {
        me.time = {};
        return wait_for_work(me);
      }
      if (!read(*s, me)) {
        return true;  // there may be items left in the gates
      }
    }
    mine = carry(*s, in_gate, me);
    return true;
  }

  /// Takes an item that may go through a gate, the furthest first.
  [[nodiscard]] slot* take_waiting() noexcept {
    for (std::size_t i = all_gates_.size(); i-- != 0;) {
      if (all_gates_[i]->may_have_work()) {
        if (slot* const s = all_gates_[i]->take()) {
          return s;
        }
      }
    }
    return nullptr;
  }

  /// Reads an item into `s`. False if there is none.
  [[nodiscard]] bool read(slot& s, lane& me) noexcept {
    switch (owner_.read(s, me)) {
      case step::passed:
        s.stage = 0;
        s.is_full = true;
        if (source_.end()) {
          send();
        }
        return true;
      case step::dropped:
      case step::failed:
      case step::ended:
        source_.end_of_input(s);
        return false;
    }
    return false;
  }

  /// Carries `s` on, and returns it when it is free. Null if it waits at a gate, or stays where it
  /// is as the pipeline is cancelled. `in_gate`: this lane holds the gate before the stage.
  [[nodiscard]] slot* carry(slot& first, bool in_gate, lane& me) noexcept {
    slot* s = &first;
    while (!is_at_end(*s)) {
      gate* const g = gates_[s->stage];
      if (g == nullptr || (!s->is_full && !g->is_in_order())) {
        if (!pass(*s, me)) {
          return nullptr;
        }
      } else {
        if (!in_gate && !g->enter(*s)) {
          return nullptr;
        }
        in_gate = false;
        if (!pass(*s, me)) {
          return nullptr;  // no lane goes through this gate again
        }
        if (!is_at_end(*s)) {
          if (g->leave()) {
            send();
          }
        } else if (slot* const next = g->next()) {
          // Nothing is left to do for `s`, so this lane takes the next item through the gate.
          finish(*s, me);
          give_back(s);
          s = next;
          in_gate = true;
        }
      }
    }
    finish(*s, me);
    return s;
  }

  /// True if no stage follows that is to be called with the item. For a hole: that counts it.
  [[nodiscard]] bool is_at_end(slot const& s) const noexcept {
    return s.stage >= (s.is_full ? gates_.size() : last_in_order_);
  }

  void finish(slot& s, lane& me) noexcept {
    if (s.is_full) {
      ++me.finished;
      s.is_full = false;
    }
  }
  /// The item in `s` is gone: dropped, failed, or cut off.
  void leave_out(slot& s, lane& me) noexcept {
    ++me.left_out;
    s.is_full = false;
  }

  /// Takes `s` through one stage. False if the pipeline is cancelled.
  [[nodiscard]] bool pass(slot& s, lane& me) noexcept {
    if (owner_.is_canceling()) {
      return false;
    }
    if (s.is_full) {
      if (s.number > last_.load(std::memory_order_relaxed)) [[unlikely]] {
        owner_.destroy(s);
        leave_out(s, me);
      } else {
        step const done = owner_.call(s, me);
        if (done != step::passed) [[unlikely]] {
          leave_out(s, me);
          if (done == step::failed && !owner_.goes_on()) {
            return false;
          }
          if (done == step::ended) {
            end_input_behind(s.number);
          }
        }
      }
    }
    ++s.stage;
    return true;
  }

  /// The items behind `number` are left out. relaxed: such an item comes into a stage in order
  /// after the item `number`, and the gate's lock makes this store visible to its lane. In other
  /// stages an item behind `number` may still be on its way.
  void end_input_behind(std::uint64_t number) noexcept {
    std::uint64_t last = last_.load(std::memory_order_relaxed);
    while (number < last && !last_.compare_exchange_weak(last, number, std::memory_order_relaxed)) {
    }
    source_.close();
  }

  void give_back(slot* s) noexcept {
    if (s != nullptr && source_.give_back(*s)) {
      send();
    }
  }

  /// Sends a lane for work that this lane leaves behind. relaxed: a lane that has watched lowers
  /// the flag, and then looks at the gates under their locks. If this load comes too early for the
  /// lowered flag, that look finds the work.
  void send() noexcept {
    if (!is_watched_.load(std::memory_order_relaxed) && crew_.send() && !owner_.send()) {
      crew_.take_back();  // the work stays: this lane looks for work before it ends
    }
  }

  /// There is no work. Waits for work, for as long as it takes to send a lane. False if the lane
  /// ends.
  [[nodiscard]] bool wait_for_work(lane const& me) noexcept {
    // A nested lane would hold up the stage below it. At the end, and if no other lane is out, no
    // lane makes work.
    if (me.is_nested || source_.is_over() || crew_.out() == 1) {
      return false;
    }
    std::uint64_t const before = source_.read();
    int waited = 0;
    bool is_light = false;
    while (waited < times_.idle) {
      linger(times_.step);
      waited += times_.step;
      is_light = items_are_short(source_.read() - before, waited);
      if (!is_light && may_have_work()) {
        return true;
      }
    }
    return is_light && watch();
  }

  /// Items so short that two lanes cost more than one: the lanes would spend their time on taking
  /// the gates' cache lines from each other. One lane watches until the items are longer; further
  /// lanes end. While a lane watches, no lane is sent. False if another lane watches.
  [[nodiscard]] bool watch() noexcept {
    if (is_watched_.exchange(true, std::memory_order_relaxed)) {
      return false;
    }
    std::uint64_t before = source_.read();
    for (bool is_light = true; is_light && !owner_.is_canceling();) {
      linger(times_.watcher);
      yield();
      std::uint64_t const now = source_.read();
      is_light = items_are_short(now - before, times_.watcher);
      before = now;
    }
    is_watched_.store(false, std::memory_order_relaxed);
    // The work for which no lane was sent meanwhile. This lane may be about to read, and the source
    // may block.
    if (has_work()) {
      send();
    }
    return true;
  }

  /// True if `items` that were read during so many pauses are short.
  [[nodiscard]] bool items_are_short(std::uint64_t items, int pauses) const noexcept {
    return items * times_.short_item > static_cast<std::uint64_t>(pauses) * crew_.out();
  }

  /// As `has_work`, without the locks. The answer may be late.
  [[nodiscard]] bool may_have_work() const noexcept {
    bool found = source_.may_have_work();
    for (auto const& g : all_gates_) {
      found = found || g->may_have_work();
    }
    return found;
  }

  /// Ends the lane. Returns a lane if there is work after all, for the caller to go on.
  [[nodiscard]] lane* end(lane& me) noexcept {
    bool const is_nested = me.is_nested;
    crew_.end(me);
    if (owner_.is_canceling()) {
      return nullptr;
    }
    bool const is_needed = is_nested ? has_waiting() : has_work();
    return is_needed ? crew_.begin_again() : nullptr;
  }

  /// True if an item may go through a gate. Looks at each gate under its lock.
  [[nodiscard]] bool has_waiting() noexcept {
    bool found = false;
    for (auto const& g : all_gates_) {
      found = found || g->has_work();
    }
    return found;
  }
  /// The same, or if an item may be read.
  [[nodiscard]] bool has_work() noexcept { return source_.has_work() || has_waiting(); }

  static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();

  Owner& owner_;
  lane_times const times_;
  lane_crew crew_;
  source_gate source_;
  std::vector<std::unique_ptr<gate>> all_gates_;
  std::vector<gate*> gates_;  // by stage; null for a parallel stage
  atomic<bool> is_watched_{false};
  std::size_t last_in_order_ = 0;     // the number of stages up to the last stage in order
  atomic<std::uint64_t> last_{none};  // items with a greater number are left out
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_LANES_HPP
