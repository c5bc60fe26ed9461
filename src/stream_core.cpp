// SPDX-License-Identifier: Apache-2.0
#include "bound.hpp"
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/stream_core.hpp>
#include <errgroup/extend.hpp>

#include <cstddef>    // size_t
#include <deque>      // deque
#include <exception>  // current_exception
#include <memory>     // unique_ptr
#include <new>        // bad_alloc
#include <optional>   // optional
#include <utility>    // exchange, move

namespace errgroup::inline v1::detail {
namespace {

options with_bound(options opts) {
  opts.queue = queue_for(opts);
  return opts;
}

}  // namespace

parked_result::~parked_result() = default;

stream_consumer::~stream_consumer() = default;

class stream_core::state {
 public:
  using result_ptr = std::unique_ptr<parked_result>;

  state(options const& opts, stream_consumer& consumer, std::source_location where)
      : consumer_(consumer), where_(where), group_(with_bound(opts), where) {}

  [[nodiscard]] group& in() noexcept { return group_; }

  [[nodiscard]] turn begin_turn(std::size_t number) noexcept {
    bool const is_next = is_turn_of(number);
    // After the lock: if the consumer has failed for the result before, the group is cancelled
    // here.
    if (group_.is_canceling()) {
      drop_parked();
      return turn::never;
    }
    return is_next ? turn::now : turn::later;
  }

  void end_turn(std::size_t number, error failure) noexcept {
    for (;;) {
      if (failure) {
        extend::fail_item(group_, std::move(failure), number, where_, {});
      }
      std::optional<result_ptr> next = take_next();
      if (!next) {
        return;
      }
      ++number;
      failure = {};
      if (*next != nullptr && !group_.is_canceling()) {
        failure = consumer_.consume(**next);
      }
      next->reset();
      extend::give_room(group_);
    }
  }

  void park(std::size_t number, result_ptr result) noexcept {
    try {
      if (!put_or_take_turn(number, result)) {
        return;
      }
    } catch (std::bad_alloc const&) {
      // The results behind this one could never be handed over.
      group_.cancel(extend::describe(group_, std::current_exception(), number, where_));
    }
    if (group_.is_canceling()) {
      drop_parked();
      return;
    }
    error failure;
    if (result != nullptr) {
      failure = consumer_.consume(*result);
      result.reset();
    }
    end_turn(number, std::move(failure));
  }

  /// Destroys the parked results of a cancelled stream, and gives their places back. Later results
  /// are destroyed by their tasks. Needs no memory: the constructor of a `std::deque` may need it.
  void drop_parked() noexcept {
    for (;;) {
      std::optional<result_ptr> dropped;
      {
        spin_mutex::scoped_lock const lock(mutex_);
        is_over_ = true;
        if (parked_.empty()) {
          return;
        }
        dropped = std::move(parked_.front());
        parked_.pop_front();
      }
      if (dropped) {
        dropped->reset();
        extend::give_room(group_);
      }
    }
  }

  void reset() {
    group_.reset();
    turn_ = extend::submitted(group_);
    is_over_ = false;
  }

 private:
  [[nodiscard]] bool is_turn_of(std::size_t number) noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    return number == turn_;
  }

  /// Parks `result`, and returns false; or returns true if it is its turn. Throws `std::bad_alloc`;
  /// then nothing has changed.
  [[nodiscard]] bool put_or_take_turn(std::size_t number, result_ptr& result) {
    spin_mutex::scoped_lock const lock(mutex_);
    if (is_over_) {
      return false;
    }
    if (number == turn_) {
      return true;
    }
    std::size_t const place = number - turn_ - 1;
    if (parked_.size() <= place) {
      parked_.resize(place + 1);
    }
    parked_[place].emplace(std::move(result));
    extend::keep_room(group_);
    return false;
  }

  /// The caller's result was handed over: it is the turn of the next result, which is returned if
  /// it is parked.
  [[nodiscard]] std::optional<result_ptr> take_next() noexcept {
    spin_mutex::scoped_lock const lock(mutex_);
    ++turn_;
    std::optional<result_ptr> next;
    if (!parked_.empty()) {
      next = std::move(parked_.front());
      parked_.pop_front();
    }
    return next;
  }

  stream_consumer& consumer_;
  std::source_location where_;
  spin_mutex mutex_;  // guards the members up to the group
  // The number whose result is handed over next, or now. Only the task of that number, or the task
  // that has taken its parked result, hands results over.
  std::size_t turn_ = 0;
  bool is_over_ = false;                          // no further result is handed over
  std::deque<std::optional<result_ptr>> parked_;  // of `turn_ + 1` and later; null: no result
  group group_;                                   // the last member: its tasks use the others
};

stream_core::stream_core(options const& opts, stream_consumer& consumer, std::source_location where)
    : consumer_(consumer), state_(new state(opts, consumer, where)) {}

stream_core::~stream_core() { delete state_; }

group& stream_core::in() noexcept { return state_->in(); }
group const& stream_core::in() const noexcept { return state_->in(); }

stream_core::turn stream_core::begin_turn(std::size_t number) noexcept {
  return state_->begin_turn(number);
}

void stream_core::end_turn(std::size_t number, error failure) noexcept {
  state_->end_turn(number, std::move(failure));
}

void stream_core::park(std::size_t number, std::unique_ptr<parked_result> result) noexcept {
  state_->park(number, std::move(result));
}

void stream_core::leave_out(std::size_t number) noexcept {
  if (state_->in().is_canceling()) {
    state_->drop_parked();
  } else if (number != npos) {
    state_->park(number, nullptr);
  }
}

void stream_core::reset() { state_->reset(); }

}  // namespace errgroup::inline v1::detail
