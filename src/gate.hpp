// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_GATE_HPP
#define ERRGROUP_SRC_GATE_HPP

#include <errgroup/clock.hpp>
#include <errgroup/detail/slot.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <algorithm>  // max
#include <atomic>     // memory_order
#include <bit>        // bit_ceil
#include <cstddef>    // size_t
#include <cstdint>    // uint64_t
#include <utility>    // exchange
#include <vector>     // vector

// The gates of a pipeline: the places where one lane at a time goes on.
//
// No lane waits for a gate. A lane that finds the gate taken leaves its item there, and looks for
// other work. A lane that gives the gate back learns whether an item may go through, and then sends
// a lane for that item (lanes.hpp). At the last stage, the lane takes that item itself.

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// The gate before a stage that is called with one item at a time: in the order of the source, or
/// in the order in which the items come.
class gate {
 public:
  /// `most_items`: the number of slots.
  gate(bool in_order, std::size_t most_items)
      : in_order_(in_order), ring_(in_order ? std::bit_ceil(most_items) : 0) {}

  [[nodiscard]] bool is_in_order() const noexcept { return in_order_; }

  /// The caller comes with `s`. True: the caller holds the gate, and takes `s` through. False: `s`
  /// stays here, and belongs to the gate. If the gate is free then, the caller looks for work.
  [[nodiscard]] bool enter(slot& s) noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    // The gate may be free although items wait: `s` does not overtake them.
    if (!is_taken_ && (in_order_ ? s.number == turn_ : first_ == nullptr)) {
      is_taken_ = true;
      has_work_.store(false, std::memory_order_relaxed);
      return true;
    }
    put(s);
    most_waiting_ = std::max(most_waiting_, ++waiting_);
    return false;
  }

  /// Takes a free gate and an item that may go through. Null if there is none.
  [[nodiscard]] slot* take() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    if (is_taken_) {
      return nullptr;
    }
    slot* const s = pop();
    is_taken_ = s != nullptr;
    has_work_.store(false, std::memory_order_relaxed);
    return s;
  }

  /// The caller's item has gone through. Returns the next item that may go through; if there is
  /// none, the caller gives the gate back.
  [[nodiscard]] slot* next() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    ++turn_;
    slot* const s = pop();
    is_taken_ = s != nullptr;
    return s;
  }

  /// The caller's item has gone through, and the caller gives the gate back. True if another item
  /// may go through: work for another lane.
  [[nodiscard]] bool leave() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    ++turn_;
    is_taken_ = false;
    bool const more = top() != nullptr;
    has_work_.store(more, std::memory_order_relaxed);
    return more;
  }

  /// True if `take` would find an item.
  [[nodiscard]] bool has_work() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    return !is_taken_ && top() != nullptr;
  }
  /// The same without the lock. The answer may be late.
  [[nodiscard]] bool may_have_work() const noexcept {
    return has_work_.load(std::memory_order_relaxed);
  }

  /// The most items that were left here at once. Threads: no lane runs.
  [[nodiscard]] std::size_t most_waiting() const noexcept { return most_waiting_; }

 private:
  [[nodiscard]] slot*& place(std::uint64_t number) noexcept {
    // Each slot is the slot of one item, also of an item that was dropped. So the numbers that wait
    // here differ by less than the number of slots, and have different places.
    return ring_[static_cast<std::size_t>(number) & (ring_.size() - 1)];
  }
  void put(slot& s) noexcept {
    if (in_order_) {
      place(s.number) = &s;
      return;
    }
    s.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &s;
    last_ = &s;
  }
  [[nodiscard]] slot* top() noexcept { return in_order_ ? place(turn_) : first_; }
  [[nodiscard]] slot* pop() noexcept {
    slot* const s = top();
    if (s == nullptr) {
      return nullptr;
    }
    --waiting_;
    if (in_order_) {
      place(turn_) = nullptr;
    } else {
      first_ = s->next;
    }
    return s;
  }

  bool const in_order_;
  atomic<bool> has_work_{false};  // the gate is free, and an item may go through
  spin_mutex mutex_;              // guards the members below
  bool is_taken_ = false;
  std::uint64_t turn_ = 0;   // in order: the number of the item that goes through next
  std::vector<slot*> ring_;  // in order: the items that wait, each at its number
  slot* first_ = nullptr;    // not in order: the items that wait, a list
  slot* last_ = nullptr;
  std::size_t waiting_ = 0;
  std::size_t most_waiting_ = 0;
};

/// The slots of a pipeline. One lane at a time uses it, under the lock of the source's gate.
class slot_store {
 public:
  /// The memory of `most` slots from `first` on, `stride` bytes each. The item of a slot is
  /// `offset` bytes behind its beginning.
  slot_store(std::byte* first, std::size_t most, std::size_t stride, std::size_t offset) noexcept
      : first_(first), stride_(stride), offset_(offset), most_(most) {}

  [[nodiscard]] bool has_room() const noexcept { return free_ != nullptr || made_ < most_; }

  /// A free slot; null if there is none.
  [[nodiscard]] slot* get() noexcept {
    if (slot* const s = free_) {
      free_ = s->next;
      return s;
    }
    if (made_ == most_) {
      return nullptr;
    }
    // Made at its first use: a pipeline with room for many items that holds a few does not touch
    // the memory of the rest.
    std::byte* const at = first_ + made_ * stride_;
    slot* const s = new (at) slot;
    s->item = at + offset_;
    ++made_;
    return s;
  }
  void put(slot& s) noexcept {
    s.next = free_;
    free_ = &s;
  }

  /// Calls `f(slot)` for each slot that was ever used.
  template <class F>
  void for_each(F const& f) noexcept {
    for (std::size_t i = 0; i != made_; ++i) {
      f(*reinterpret_cast<slot*>(first_ + i * stride_));
    }
  }

 private:
  std::byte* first_;
  std::size_t stride_;
  std::size_t offset_;
  std::size_t most_;
  std::size_t made_ = 0;
  slot* free_ = nullptr;
};

/// The gate before the source. A lane that takes it gets a slot for the next item.
class source_gate {
 public:
  /// `is_timed`: measure how long the source waits for a free slot.
  source_gate(slot_store slots, bool is_timed) noexcept : is_timed_(is_timed), slots_(slots) {}

  /// Takes the source. Returns a slot with the number of the next item; null if the source is
  /// taken, if it has ended, or if no slot is free. `mine`, if not null, is a free slot that the
  /// caller owns: the gate takes it back.
  [[nodiscard]] slot* begin(slot* mine) noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    if (mine != nullptr) {
      put(*mine);
    }
    if (is_taken_ || is_over()) {
      return nullptr;
    }
    slot* const s = slots_.get();
    if (s == nullptr) {
      if (is_timed_ && !std::exchange(is_starved_, true)) {
        starved_at_ = now();
      }
      return nullptr;
    }
    is_taken_ = true;
    has_work_.store(false, std::memory_order_relaxed);
    most_used_ = std::max(most_used_, ++used_);
    s->number = read_.load(std::memory_order_relaxed);
    return s;
  }

  /// The caller has read an item, and gives the source back. True if a lane may read another item:
  /// work for another lane.
  [[nodiscard]] bool end() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    read_.store(read_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    is_taken_ = false;
    bool const more = !is_over() && slots_.has_room();
    has_work_.store(more, std::memory_order_relaxed);
    return more;
  }

  /// The caller has found the end of the input, or the source has failed. `s` is free.
  void end_of_input(slot& s) noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    is_over_.store(true, std::memory_order_relaxed);
    is_taken_ = false;
    put(s);
  }

  /// No lane reads another item.
  void close() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    is_over_.store(true, std::memory_order_relaxed);
    has_work_.store(false, std::memory_order_relaxed);
  }

  /// `s` is free. True if a lane may read an item now: work for another lane.
  [[nodiscard]] bool give_back(slot& s) noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    put(s);
    bool const more = !is_taken_ && !is_over();
    has_work_.store(more, std::memory_order_relaxed);
    return more;
  }

  /// True if `begin` would return a slot.
  [[nodiscard]] bool has_work() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    return !is_taken_ && !is_over() && slots_.has_room();
  }
  /// The same without the lock. The answer may be late.
  [[nodiscard]] bool may_have_work() const noexcept {
    return has_work_.load(std::memory_order_relaxed);
  }
  /// True if no further item will be read.
  [[nodiscard]] bool is_over() const noexcept { return is_over_.load(std::memory_order_relaxed); }
  /// The number of items that were read.
  [[nodiscard]] std::uint64_t read() const noexcept {
    return read_.load(std::memory_order_relaxed);
  }

  // --- threads: no lane runs ---

  [[nodiscard]] std::size_t most_used() const noexcept { return most_used_; }
  [[nodiscard]] clock::duration starved() const noexcept { return starved_; }
  [[nodiscard]] slot_store& slots() noexcept { return slots_; }

 private:
  void put(slot& s) noexcept {
    if (std::exchange(is_starved_, false)) {
      starved_ += now() - starved_at_;
    }
    --used_;
    slots_.put(s);
  }

  bool const is_timed_;
  atomic<bool> has_work_{false};   // written under the lock
  atomic<bool> is_over_{false};    // written under the lock
  atomic<std::uint64_t> read_{0};  // written under the lock
  spin_mutex mutex_;               // guards the members below
  bool is_taken_ = false;
  bool is_starved_ = false;
  std::size_t used_ = 0;
  std::size_t most_used_ = 0;
  clock::time_point starved_at_;
  clock::duration starved_{};
  slot_store slots_;
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_GATE_HPP
