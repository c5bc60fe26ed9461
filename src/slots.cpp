// SPDX-License-Identifier: Apache-2.0
#include "slots.hpp"

#include <errgroup/detail/spin_mutex.hpp>

#include <algorithm>  // max, min
#include <atomic>     // memory_order
#include <cstddef>    // size_t
#include <utility>    // exchange

namespace errgroup::inline v1::detail {

namespace {

/// The spare arenas of the process.
struct spare_arenas {
  spin_mutex lock;
  reserved_arena* first = nullptr;
  std::size_t number = 0;
  std::size_t users = 0;
};

// More spare arenas would cost the groups that are alive (see `slots`).
constexpr std::size_t most_spare = 16;

constinit spare_arenas spare;

/// The size of an arena for so many threads. One slot more is for a thread from outside that waits
/// for tasks that were spawned inside (engine_wait). If the arena has a single slot, oneTBB adds a
/// second slot itself.
int size_for(int threads) noexcept { return threads == 1 ? 1 : threads + 1; }

}  // namespace

reserved_arena& reserved_arena::take(int places) {
  {
    spin_mutex::scoped_lock const held(spare.lock);
    for (reserved_arena** p = &spare.first; *p != nullptr; p = &(*p)->next_) {
      if ((*p)->places_ == places) {
        --spare.number;
        return *std::exchange(*p, (*p)->next_);
      }
    }
  }
  return *new reserved_arena(places);
}

void reserved_arena::give_back() noexcept {
  if (older_ != nullptr) [[unlikely]] {
    std::exchange(older_, nullptr)->give_back();
  }
  {
    spin_mutex::scoped_lock const held(spare.lock);
    if (spare.number != most_spare) {
      ++spare.number;
      next_ = std::exchange(spare.first, this);
      return;
    }
  }
  delete this;
}

void reserved_arena::begin_user() noexcept {
  spin_mutex::scoped_lock const held(spare.lock);
  ++spare.users;
}

void reserved_arena::end_user() noexcept {
  reserved_arena* rest = nullptr;
  {
    spin_mutex::scoped_lock const held(spare.lock);
    if (--spare.users == 0) {
      rest = std::exchange(spare.first, nullptr);
      spare.number = 0;
    }
  }
  while (rest != nullptr) {
    delete std::exchange(rest, rest->next_);
  }
}

[[gnu::noinline, gnu::cold]] void slots::open(task_queue& q, bool is_nested) {
  if (given_ == nullptr && threads_ == nullptr) {
    home_.reset();
    if (is_nested) {
      home_.emplace();
    } else {
      home_.emplace(tbb::task_arena::attach{});
    }
    home_->initialize();
  }
  int const threads = std::max(
      1, given_ != nullptr ? given_->max_concurrency() : tbb::this_task_arena::max_concurrency());
  if (is_limited_) {
    bool const has_workers = given_ == nullptr && threads_ == nullptr;
    most_slots_ = has_workers ? std::max(64, 4 * threads) : task_queue::many - 1;
    q.limits.slots = slots_for(limit_);
    if (given_ == nullptr) {
      arena_size_.store(size_for(q.limits.slots), std::memory_order_relaxed);
      pool_ = q.life();
      reserved_arena::begin_user();
    }
  } else if (queue_ != npos) {
    q.limits.slots = threads;
  }
  if (queue_ != npos) {
    q.limits.room = room_beside(static_cast<std::size_t>(is_limited_ ? limit_ : q.limits.slots));
  }
}

int slots::slots_for(int limit) const noexcept { return std::min(limit, most_slots_); }

[[gnu::noinline, gnu::cold]] reserved_arena* slots::larger_arena(int limit) const {
  int const size = size_for(slots_for(limit));
  bool const is_larger = has_arena() && size > arena_size_.load(std::memory_order_relaxed);
  return is_larger ? &reserved_arena::take(size) : nullptr;
}

[[gnu::noinline, gnu::cold]] reserved_arena* slots::set_limit(task_queue& q, int limit,
                                                              reserved_arena* larger) noexcept {
  limit_ = limit;
  q.limits.slots = slots_for(limit);
  if (queue_ != npos) {
    q.limits.room = room_beside(static_cast<std::size_t>(limit));
  }
  if (!has_arena()) {
    return larger;
  }
  if (q.is_idle()) {
    // No thread is in the arena.
    arena_size_.store(size_for(q.limits.slots), std::memory_order_relaxed);
    reserved_arena* const old = leave();
    if (larger != nullptr) {
      larger->replace(old);
    }
    return larger != nullptr ? larger : old;
  }
  if (larger != nullptr) {
    arena_size_.store(size_for(q.limits.slots), std::memory_order_relaxed);
    larger->replace(borrowed_.exchange(larger, std::memory_order_acq_rel));
  }
  return nullptr;
}

slots::~slots() {
  delete threads_;  // first: a thread may be about to leave the arena
  if (has_arena()) {
    if (reserved_arena* const mine = leave()) {
      mine->give_back();
    }
    reserved_arena::end_user();
  }
}

// The group's arena. Several threads may take one at the same time; one of them wins.
reserved_arena& slots::arena() {
  reserved_arena* mine = borrowed_.load(std::memory_order_acquire);
  if (mine == nullptr) {
    reserved_arena& fresh = reserved_arena::take(arena_size_.load(std::memory_order_relaxed));
    if (borrowed_.compare_exchange_strong(mine, &fresh, std::memory_order_acq_rel)) {
      return fresh;
    }
    fresh.give_back();
  }
  return *mine;
}

}  // namespace errgroup::inline v1::detail
