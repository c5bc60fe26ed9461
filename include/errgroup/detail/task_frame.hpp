// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_TASK_FRAME_HPP
#define ERRGROUP_DETAIL_TASK_FRAME_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <tbb/task_group.h>  // task_group_context

#include <atomic>   // atomic, memory_order
#include <cstddef>  // size_t
#include <cstdint>  // uint32_t

namespace errgroup::inline v1::detail {

struct observed_task;

}  // namespace errgroup::inline v1::detail

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

class cancel_node;

/// A task that a thread is running, as other threads see it.
///
/// Each thread has a stack of frames, one frame for each task that the thread has begun and not
/// ended.
///
/// Invariants:
/// - `owner` is null if and only if no task runs in the frame. Only the frame's thread writes
///   `owner`.
/// - Each node in `children` has this frame as its parent. Only the frame's thread adds nodes.
/// - While `children` is not empty, the frame's task does not end: its end locks the frame first
///   (`cancel_node::end_task`). So a thread that holds `lock` and sees a child may use `owner`.
///
/// Lock order: see cancel_node.hpp.
///
/// Never destroyed: frames are recycled. So a thread may lock a frame whose task has ended
/// meanwhile, and find out by reading the frame.
struct task_frame {
  /// The `index` where no task runs: a callable is destroyed that was skipped, or another group's
  /// request is answered.
  static constexpr std::size_t no_task = static_cast<std::size_t>(-2);

  atomic<cancel_node*> owner{nullptr};                // the group whose task runs here
  atomic<tbb::task_group_context*> context{nullptr};  // of the oneTBB task; null: there is none
  spin_mutex lock;                                    // guards `children`
  atomic<cancel_node*> children{nullptr};             // groups that the task has made
  atomic<std::uint32_t> pins{0};                      // threads that keep the task from ending
  queue_life pool;  // the limited group in whose arena the task runs
  // For debuggers, dumps and counts: the place or the note of the task (`label_of`; null: not
  // known), and its index in its group. (Not explored: they decide nothing.)
  std::atomic<void const*> label{nullptr};
  std::atomic<std::size_t> index{no_task};
  std::atomic<observed_task*> shown{nullptr};  // made for the first observed task in the frame
  task_frame* below = nullptr;
  atomic<task_frame*> above{nullptr};

  /// True if the task has to call `cancel_node::end_task` before it ends. If another thread has
  /// detached the last child, a third thread may still have the task pinned. Threads: the frame's.
  [[nodiscard]] bool is_kept() const noexcept {
    // acquire: on their way to the children, cancellers read from the owner. These reads come
    // before the end of the task.
    return children.load(std::memory_order_acquire) != nullptr ||
           pins.load(std::memory_order_acquire) != 0;
  }
};

/// The frames of one thread. The lowest frame stands for "no task". Recycled when the thread ends,
/// never destroyed.
struct frame_stack {
  task_frame base;
  task_frame* top = &base;
  frame_stack* next = nullptr;  // in the list of all stacks

  /// The first of all stacks in the process. Threads: any.
  [[nodiscard]] static frame_stack* first() noexcept;
  /// Adds this stack to the list of all stacks, for ever.
  void publish() noexcept;
};

/// The data that all threads of the process share.
struct process_wide {
  atomic<frame_stack*> stacks{nullptr};  // only grows, so the list needs no lock
  spin_mutex clean_ups;                  // guards the lists of `stopped_nodes::clean_up`

#ifdef ERRGROUP_EXPLORED
  static inline process_wide* of_this_run = nullptr;  // a test provides one for each run
#endif
};

#ifndef ERRGROUP_EXPLORED
extern constinit process_wide the_process;
#endif

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_DETAIL_TASK_FRAME_HPP
