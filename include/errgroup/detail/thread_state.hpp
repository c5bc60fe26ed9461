// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_THREAD_STATE_HPP
#define ERRGROUP_DETAIL_THREAD_STATE_HPP

#include <errgroup/detail/cancel_node.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/task_frame.hpp>

#include <tbb/task_group.h>  // task_group_context

#include <atomic>   // atomic, memory_order
#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t

namespace errgroup::inline v1::detail {

/// Places of a limiter that a thread has taken, for what it runs now. On the thread's stack.
struct held_places {
  void const* of;  // the limiter
  held_places const* below;
};

/// The state that the library keeps for each thread. Recycled when the thread ends, never freed:
/// other threads may walk through the frames at any time.
struct thread_state : frame_stack {
  node_stack nodes;                   // free nodes
  task_queue* spare_queue = nullptr;  // a free queue
  std::uint64_t tasks_begun = 0;      // by this thread
  bool is_alone = false;              // no other thread would take tasks that this thread spawns
  bool lacks_workers = false;         // the answer of `has_no_workers` …
  std::uint64_t asked_at = 0;         // … when so many tasks had begun
  thread_state* next_free = nullptr;
  held_places const* places = nullptr;
  std::uint32_t number = 0;            // from 1
  std::atomic<long> system_number{0};  // of the thread, in the operating system; 0: not known
};

// constinit on the declaration: the access is a plain load, without a wrapper call.
extern ERRGROUP_API constinit thread_local thread_state* current_thread_state;

/// Writes `words` to the standard error stream, and terminates.
[[noreturn]] ERRGROUP_API void die(char const* words) noexcept;

ERRGROUP_API thread_state& adopt_thread();
ERRGROUP_API thread_state& adopt_worker() noexcept;
ERRGROUP_API task_frame* grow_frames(thread_state& self) noexcept;
ERRGROUP_API void end_task(task_frame& frame) noexcept;

inline thread_state& this_thread() {
  thread_state* self = current_thread_state;
  return self != nullptr ? *self : adopt_thread();
}

/// As `this_thread`, for a thread that is about to run a task. No caller could be told of an
/// exception, so the process terminates if there is no memory.
inline thread_state& this_worker() noexcept {
  thread_state* self = current_thread_state;
  return self != nullptr ? *self : adopt_worker();
}

/// A free node, from this thread's cache or from `operator new`.
[[nodiscard]] inline node* take_node(thread_state& self) {
  if (self.nodes.is_empty()) [[unlikely]] {
    return new node;
  }
  return self.nodes.pop();
}

inline void put_node(thread_state& self, node* n) noexcept { self.nodes.push(n); }

/// Makes sure that the cache has a node: a submitter that has taken a node for its task may need a
/// second node for a page of the queue.
inline void reserve_node(thread_state& self) {
  if (self.nodes.is_empty()) [[unlikely]] {
    self.nodes.push(new node);
  }
}

/// While it lives, this thread runs a task of `owner`, in a frame of its own.
class task_scope {
 public:
  /// `context` is the context of the task that oneTBB runs in this thread; null if it runs none.
  /// `label` and `index` are what the frame shows of the task.
  task_scope(thread_state& self, cancel_node& owner, tbb::task_group_context* context,
             queue_life pool, void const* label, std::size_t index) noexcept
      : self_(self) {
    task_frame* f = self.top->above.load(std::memory_order_relaxed);
    if (f == nullptr) [[unlikely]] {
      f = grow_frames(self);
    }
    ++self.tasks_begun;
    f->pool = pool;
    f->label.store(label, std::memory_order_relaxed);
    f->index.store(index, std::memory_order_relaxed);
    f->context.store(context, std::memory_order_relaxed);
    f->owner.store(&owner, std::memory_order_relaxed);  // ordered by cancel_node::attach
    self.top = f;
  }
  task_scope(task_scope const&) = delete;
  task_scope& operator=(task_scope const&) = delete;
  ~task_scope() {
    task_frame& f = *self_.top;
    if (f.is_kept()) [[unlikely]] {
      end_task(f);
    }
    f.owner.store(nullptr, std::memory_order_relaxed);
    self_.top = f.below;
  }

 private:
  thread_state& self_;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_THREAD_STATE_HPP
