// SPDX-License-Identifier: Apache-2.0
#include "helpers.hpp"

#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/thread_state.hpp>

#include <tbb/enumerable_thread_specific.h>  // enumerable_thread_specific, ets_suspend_aware
#include <tbb/global_control.h>              // global_control
#include <tbb/task.h>                        // current_context
#include <tbb/task_arena.h>                  // task_arena
#include <tbb/task_group.h>                  // task_group, task_group_context

#include <atomic>   // atomic, atomic_thread_fence, memory_order
#include <cstdint>  // uint64_t
#include <memory>   // allocator
#include <new>      // bad_alloc
#include <utility>  // exchange

namespace errgroup::inline v1::detail {

bool has_no_workers() noexcept {
  return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism) == 1;
}

bool has_no_workers(thread_state& self) noexcept {
  if (self.top == &self.base || self.asked_at != self.tasks_begun) {
    self.asked_at = self.tasks_begun;
    self.lacks_workers = has_no_workers();
  }
  return self.lacks_workers;
}

bool nobody_comes(thread_state& self) noexcept {
  return tbb::this_task_arena::max_concurrency() == 1 || has_no_workers(self);
}

tbb::task_arena& default_arena() {
  static auto& arena = *new tbb::task_arena;
  return arena;
}

namespace {

/// The arena of this thread. It tells how many of its slots are for workers.
class attached_arena : public tbb::task_arena {
 public:
  attached_arena() : tbb::task_arena(attach{}) {}

  [[nodiscard]] bool has_workers() const noexcept {
    return my_max_concurrency > static_cast<int>(my_num_reserved_slots);
  }
};

/// True if a thread comes for a task that this thread spawns: oneTBB has workers, and has slots for
/// them in this arena.
bool somebody_comes(thread_state& self) {
  return !has_no_workers(self) && attached_arena().has_workers();
}

/// A number of this thread, which no other thread has had.
std::uint64_t number_of_this_thread() noexcept {
  static constinit std::atomic<std::uint64_t> last{0};
  thread_local std::uint64_t const mine = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return mine;
}

/// A request that was spawned from a slot of an arena. If it is still pending when the slot spawns
/// the next request, and its own group is gone, it serves the next group instead. So a thread that
/// makes one short-lived group after the other does not fill its deque with pending requests.
struct alignas(64) spawned_request {
  spin_mutex lock;
  bool pending = false;
  bool has_takers = false;       // workers come to the arena from which it was spawned
  std::uint64_t spawned_by = 0;  // number_of_this_thread()
  queue_life life;
  spawned_request* next = this;  // of the same slot, in a ring
  tbb::task_group_context context{tbb::task_group_context::isolated};
  tbb::task_group tasks{context};

  /// Under the lock: makes it a request for `to`, unless it is a request for another group. A
  /// request that another thread has spawned where no worker comes may be gone with its arena, and
  /// another arena may have taken the address.
  [[nodiscard]] bool take_over(queue_life const& to, thread_state& self) {
    bool const is_free =
        !pending ||
        ((life.of == nullptr || !life.of->serves(life.serial)) &&
         (has_takers || (spawned_by == number_of_this_thread() && !somebody_comes(self))));
    if (is_free) {
      life = to;
    }
    return is_free;
  }
};

/// The last request that each slot has spawned. "Suspend-aware" is oneTBB's word for one element
/// per slot. (oneTBB's own allocators hide the memory that is reached from there from
/// LeakSanitizer.)
using spawned_requests =
    tbb::enumerable_thread_specific<spawned_request*, std::allocator<spawned_request*>,
                                    tbb::ets_suspend_aware>;

spawned_requests& requests_of_slots() {
  static auto& all = *new spawned_requests;  // oneTBB may be gone before static destructors run
  return all;
}

/// Takes back the requests that a thread leaves in its deque when the thread ends, if there are no
/// workers to take them. oneTBB keeps all its data of that thread as long as the requests are
/// there.
class take_back_at_exit {
 public:
  take_back_at_exit() = default;
  take_back_at_exit(take_back_at_exit const&) = delete;
  take_back_at_exit& operator=(take_back_at_exit const&) = delete;
  ~take_back_at_exit() {
    // A worker ends together with oneTBB, and must not ask oneTBB for its settings then.
    if (tbb::this_task_arena::current_thread_index() == tbb::task_arena::not_initialized ||
        !has_no_workers()) {
      return;
    }
    spawned_request* const last = requests_of_slots().local();
    for (spawned_request* t = last; t != nullptr; t = t->next != last ? t->next : nullptr) {
      spin_mutex::scoped_lock lock(t->lock);
      if (!t->pending || t->spawned_by != number_of_this_thread()) {
        continue;
      }
      queue_life const life = std::exchange(t->life, {});
      lock.release();
      if (life.of != nullptr) {
        revoke_request(life);
      }
      t->tasks.wait();
    }
  }
};

}  // namespace

bool spawn_request(thread_state& self, queue_life const& life, void (*answer)(queue_life const&)) {
  spawned_request*& last = requests_of_slots().local();
  spin_mutex::scoped_lock lock;
  spawned_request* mine = last;
  // Look at a few pending requests each time; there may be many.
  for (int looks = mine != nullptr ? 4 : 0;; mine = mine->next) {
    if (looks-- == 0) {
      auto* const fresh = new spawned_request;
      if (mine != nullptr) {
        fresh->next = std::exchange(mine->next, fresh);
      }
      mine = fresh;
    }
    lock.acquire(mine->lock);
    if (mine->take_over(life, self)) {
      break;
    }
    lock.release();
  }
  last = mine;
  bool const is_there = std::exchange(mine->pending, true);
  bool const has_takers = is_there ? mine->has_takers : somebody_comes(self);
  mine->has_takers = has_takers;
  if (!is_there) {
    mine->spawned_by = number_of_this_thread();
  }
  lock.release();
  if (is_there) {
    return has_takers;
  }
  bool const in_task = tbb::task::current_context() != nullptr;  // maybe of a worker
  if (!has_takers && !in_task && has_no_workers()) {
    [[maybe_unused]] thread_local take_back_at_exit const at_end;
  }
  try {
    mine->tasks.run([mine, answer]() noexcept {
      spin_mutex::scoped_lock here(mine->lock);
      mine->pending = false;
      queue_life const mine_now = mine->life;
      here.release();
      if (mine_now.of != nullptr) {
        answer(mine_now);
      }
    });
  } catch (...) {
    lock.acquire(mine->lock);
    mine->pending = false;
    throw;
  }
  if (!has_takers) {
    return false;
  }
  // oneTBB may overlook a task that is spawned while the last worker goes to sleep: oneTBB has no
  // fence there, since it never promises that a worker comes. The next spawn makes oneTBB look
  // again.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  try {
    mine->tasks.run([]() noexcept {});
  } catch (std::bad_alloc const&) {
    // Without the second task, oneTBB has most likely seen the request.
  }
  return true;
}

}  // namespace errgroup::inline v1::detail
