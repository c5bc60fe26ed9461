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
  if (limit_ != unlimited) {
    q.limits.slots = std::min(limit_, task_queue::many - 1);
    if (given_ == nullptr) {
      if (threads_ == nullptr) {
        // Beyond this size more slots would cost memory and change nothing.
        q.limits.slots = std::min(limit_, std::max(64, 4 * threads));
      }
      // One slot more is for a thread from outside that waits for tasks that were spawned inside
      // (engine_wait). If the arena has a single slot, oneTBB adds a second slot itself.
      arena_size_ = q.limits.slots == 1 ? 1 : q.limits.slots + 1;
      pool_ = q.life();
      reserved_arena::begin_user();
    }
  } else if (queue_ != npos) {
    q.limits.slots = threads;
  }
  if (queue_ != npos) {
    auto const held = static_cast<std::size_t>(limit_ != unlimited ? limit_ : q.limits.slots);
    q.limits.room = queue_ > npos - held ? task_queue::unbounded : queue_ + held;
  }
}

slots::~slots() {
  delete threads_;  // first: a thread may be about to leave the arena
  if (arena_size_ != 0) {
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
    reserved_arena& fresh = reserved_arena::take(arena_size_);
    if (borrowed_.compare_exchange_strong(mine, &fresh, std::memory_order_acq_rel)) {
      return fresh;
    }
    fresh.give_back();
  }
  return *mine;
}

}  // namespace errgroup::inline v1::detail
