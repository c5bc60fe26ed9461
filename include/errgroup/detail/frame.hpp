// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_FRAME_HPP
#define ERRGROUP_DETAIL_FRAME_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/fwd.hpp>

#include <tbb/task_group.h>  // task_group, task_group_context

#include <atomic>   // atomic
#include <cstdint>  // uint64_t

namespace errgroup::detail {

struct queue;
struct tether;

/// A life of a `queue`: the queue and the serial number it has while it serves one group. Queues
/// are recycled and never freed, so a life that is over can be told from one that is not.
struct queue_life {
  queue* of = nullptr;
  std::uint64_t serial = 0;

  friend bool operator==(queue_life const&, queue_life const&) = default;
};

/// Ties a group to the task that it was made in, which cuts the tie when it ends. Belongs to the
/// thread of that task. Usually the group goes first, in that thread, and takes its tether along;
/// else the two meet in `of`: whoever takes the group out of there first has the say.
struct tether {
  std::atomic<group*> of{nullptr};
  tether* next = nullptr;
};

/// A task that some thread is running, as seen from everywhere.
///
/// Frames form one stack per thread, in memory that is recycled but never freed. So whoever
/// remembers a frame and the serial number of a task may ask at any time, from any thread, whether
/// that task is still running in it: this is how a group knows whether the task that it was made in
/// is alive, without a lock and without a reference count.
struct frame {
  std::atomic<std::uint64_t> task{0};  // unique in the process; 0: nothing runs here
  std::atomic<group*> owner{nullptr};  // whose task
  std::atomic<tbb::task_group_context*> context{nullptr};  // the owner's
  tether* tethers = nullptr;                               // the groups made in this task
  queue_life pool;  // innermost limited group whose arena this runs in
  frame* below = nullptr;
  frame* above = nullptr;
};

/// What a thread has for itself. Recycled when the thread ends, never freed.
struct thread_state {
  frame base;  // stands for "no task"
  frame* top = &base;
  std::uint64_t next_task = 0;
  node_stack nodes;              // free nodes
  queue* spare_queue = nullptr;  // a free queue
  tether* tethers = nullptr;     // free tethers
  bool is_alone = false;         // nobody would come to take what it spawns
  bool lacks_workers = false;    // nobody comes at all, as was asked in …
  std::uint64_t asked_in = 0;    // … this task
  thread_state* next_free = nullptr;
  thread_state* next = nullptr;  // of all
};

// constinit on the declaration: the access is a plain load, without a wrapper call.
extern ERRGROUP_API constinit thread_local thread_state* current_thread_state;

/// Says why on the standard error stream, and terminates.
[[noreturn]] ERRGROUP_API void die(char const* words) noexcept;

ERRGROUP_API thread_state& adopt_thread();
ERRGROUP_API thread_state& adopt_worker() noexcept;
ERRGROUP_API frame* grow_frames(thread_state& self) noexcept;
void drop_loose_ends(thread_state& self, frame& f) noexcept;
ERRGROUP_API void cut_tethers(thread_state& self, frame& f) noexcept;
void find_tethers(thread_state& self, frame& f) noexcept;

inline thread_state& this_thread() {
  thread_state* self = current_thread_state;
  return self != nullptr ? *self : adopt_thread();
}

/// The same where a task is about to run, and nobody could be told of an exception.
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

/// Makes sure that there is a node in the cache: whoever has taken one to queue it may need one
/// more for the queue.
inline void reserve_node(thread_state& self) {
  if (self.nodes.is_empty()) [[unlikely]] {
    self.nodes.push(new node);
  }
}

/// Says, while it lives, that this thread runs a task of `owner`.
class task_scope {
 public:
  task_scope(thread_state& self, group& owner, tbb::task_group_context& context,
             queue_life pool) noexcept
      : task_scope(self, owner, &context, pool) {}
  /// `context` is the context of the task that oneTBB runs here, or null if it runs none.
  task_scope(thread_state& self, group& owner, tbb::task_group_context* context,
             queue_life pool) noexcept
      : self_(self) {
    frame* f = self.top->above;
    if (f == nullptr) [[unlikely]] {
      f = grow_frames(self);
    }
    f->owner.store(&owner, std::memory_order_relaxed);
    f->context.store(context, std::memory_order_relaxed);
    f->pool = pool;
    // Release: a thread that finds the number finds what was written before.
    f->task.store(++self.next_task, std::memory_order_release);
    self.top = f;
  }
  task_scope(task_scope const&) = delete;
  task_scope& operator=(task_scope const&) = delete;
  ~task_scope() {
    frame& f = *self_.top;
    if (f.tethers != nullptr) [[unlikely]] {
      cut_tethers(self_, f);
    }
    f.task.store(0, std::memory_order_release);
    self_.top = f.below;
  }

 private:
  thread_state& self_;
};

}  // namespace errgroup::detail

#endif  // ERRGROUP_DETAIL_FRAME_HPP
