// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_CANCEL_NODE_HPP
#define ERRGROUP_DETAIL_CANCEL_NODE_HPP

#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>
#include <errgroup/detail/task_frame.hpp>

#include <atomic>   // memory_order
#include <cstdint>  // uint32_t
#include <utility>  // exchange

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

class stopped_nodes;

/// A group as a node of the cancellation tree. It knows the task that made the group, and whether
/// the group is stopped.
///
/// The parent of a node is a *frame*, not a group: the frame of the task that made the group. The
/// children of a group are the children of all frames in which its tasks run. A node without a
/// parent frame is a root.
///
/// Invariants:
/// 1. A node with a parent frame is in the list of that frame, and the task of that frame runs. The
///    end of the task detaches every child; it waits for a busy child first.
/// 2. If a group is stopped, so is every group below it, as soon as the call of `stop` that stopped
///    the group has returned. A node that is attached while its parent group is being stopped is
///    stopped either by that call or by the caller of `attach`.
/// 3. While a node is pinned, it is not destroyed and not reset. A canceller pins each node that it
///    stops.
///
/// Why no child is missed: a child's thread locks the frame, links the child and reads whether the
/// owner of the frame is stopped. The canceller sets `stopped` of the owner first, and locks each
/// frame of its tasks afterwards. If the canceller locks the frame after the child's thread, it
/// finds the child. If the canceller locks the frame earlier, the child's thread finds the owner
/// stopped. The canceller passes over a frame without a lock only if it sees the frame unused, or
/// the owner without children. Both values are written before the child's thread takes the lock,
/// which is a full barrier (`fence_after_lock`), and `stopped` is set by a sequentially consistent
/// operation: if the canceller sees the old value, the child's thread sees `stopped`.
///
/// If a canceller finds a child that another canceller has stopped, the groups below that child may
/// not be stopped yet, and this canceller may have passed their frames. So it makes further passes
/// until the child is *swept*: the child's canceller has made a pass over all frames since it
/// stopped the child. A canceller marks its nodes as swept after each pass, so two cancellers do
/// not wait for each other.
///
/// Lock order: a thread holds at most one frame's lock, or the lock of the lists (`clean_ups`), at
/// a time. Under it, there is no user code, no call of oneTBB, no allocation and no other lock.
/// `mark` and `is_busy` are called under a frame's lock.
///
/// May be destroyed when the node is detached, and `await_unpinned` has returned after that.
class cancel_node {
 public:
  struct layout;  // for debuggers: layout.cpp

  /// In `state`: the group is stopped. The other bits belong to the group. They share the word, so
  /// a task tests all bits with one load.
  static constexpr std::uint32_t stopped = 1;

  cancel_node(cancel_node const&) = delete;
  cancel_node& operator=(cancel_node const&) = delete;

  /// Makes the node a child of the task that runs in `frame`. Returns true if the group of that
  /// task is stopped: the caller has to stop this node, too. The node must be ready for `mark`.
  /// Threads: that of the frame.
  [[nodiscard]] bool attach(task_frame& frame) noexcept;

  /// Makes the node a root. Threads: any, beside the end of the parent's task, too.
  void detach() noexcept;

  /// Stops this node, and every node below it. Adds the nodes that this call has stopped to
  /// `nodes`, pinned; returns false if this node was stopped already. The caller has to call
  /// `interrupt` and `clean_up` of the list.
  [[nodiscard]] bool stop(stopped_nodes& nodes) noexcept;

  /// Makes each canceller pass over the node until `restart`. Comes before `await_unpinned` if the
  /// group is used again afterwards. No group is below the node.
  void hold() noexcept;

  /// Takes back `stopped` and `hold`. Returns true if the group of the parent's task is stopped:
  /// the caller has to stop this node again. No thread has the node pinned.
  [[nodiscard]] bool restart() noexcept;

  /// Keeps the node from being destroyed or reset. The caller knows that it is alive now.
  void pin() noexcept { pins_.fetch_add(1, std::memory_order_relaxed); }
  /// The last access of the pinning thread to the node.
  void unpin() noexcept { pins_.fetch_sub(1, std::memory_order_release); }
  [[nodiscard]] bool is_pinned() const noexcept {
    return pins_.load(std::memory_order_acquire) != 0;
  }
  /// Returns when no thread has the node pinned. The node may wait in the list of a canceller that
  /// runs user code for other nodes. Then this function takes the node out of the list and runs the
  /// node's `clean_up` itself: that user code may be the caller, or may wait for the caller. In
  /// every other case, a thread that has the node pinned must not call this function.
  void await_unpinned() noexcept;

  [[nodiscard]] bool is_stopped() const noexcept {
    return (state.load(std::memory_order_acquire) & stopped) != 0;
  }

  /// The frame of the task that the group was made in; null for a root.
  [[nodiscard]] task_frame* parent() const noexcept {
    return parent_.load(std::memory_order_acquire);
  }
  /// The group of that task; null for a root. For a thread that keeps the parent's task from
  /// ending, by a `parent_pin` or by an unfinished task of this group.
  [[nodiscard]] cancel_node* above() const noexcept {
    task_frame const* const f = parent();
    return f != nullptr ? f->owner.load(std::memory_order_relaxed) : nullptr;
  }

  /// Ends the link between the task that runs in `frame` and each group that it has made. Waits for
  /// the groups that are busy. Threads: that of the frame, at the end of the task.
  static void end_task(task_frame& frame) noexcept;

  /// Called after the node was stopped: cancels the context and wakes the sleepers. No user code.
  virtual void interrupt() noexcept = 0;
  /// Called after the node was stopped: destroys the tasks that wait, stops the tokens, unpins the
  /// node. User code runs here.
  virtual void clean_up() noexcept = 0;

  atomic<std::uint32_t> state{0};
  cancel_node* next_stopped = nullptr;      // for the thread that has stopped the node
  atomic<stopped_nodes*> cleaner{nullptr};  // the list that will clean it up; set under `clean_ups`

 protected:
  cancel_node() noexcept = default;
  ~cancel_node() = default;

 private:
  /// Publishes the cause: a group above was stopped, and this node is about to be stopped. Under
  /// the lock of the parent frame.
  virtual void mark() noexcept = 0;
  /// True if the group has unfinished tasks. Under the lock of the parent frame.
  [[nodiscard]] virtual bool is_busy() const noexcept = 0;
  /// Waits for the group's tasks, and unpins the node, which may be gone afterwards. User code may
  /// run here.
  virtual void join_and_unpin() noexcept = 0;

  static void stop_children(stopped_nodes& nodes, cancel_node& top) noexcept;
  [[nodiscard]] bool stop_below(stopped_nodes& nodes) noexcept;
  static void mark_swept(cancel_node* from, cancel_node const* last) noexcept;
  void unlink(task_frame& parent) noexcept;

  atomic<task_frame*> parent_{nullptr};
  cancel_node* previous_ = nullptr;  // siblings: under the parent's lock
  cancel_node* next_ = nullptr;
  atomic<std::uint32_t> pins_{0};
  atomic<bool> has_children_{false};  // a task of the group has made a group
  atomic<bool> is_swept_{false};      // the groups below are stopped, too; false if not stopped
};

inline bool cancel_node::attach(task_frame& frame) noexcept {
  cancel_node& owner = *frame.owner.load(std::memory_order_relaxed);
  if (!owner.has_children_.load(std::memory_order_relaxed)) {
    owner.has_children_.store(true, std::memory_order_relaxed);
  }
  parent_.store(&frame, std::memory_order_release);
  spin_mutex::scoped_lock const held(frame.lock);
  fence_after_lock();
  next_ = frame.children.load(std::memory_order_relaxed);
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  frame.children.store(this, std::memory_order_relaxed);
  return (owner.state.load(std::memory_order_seq_cst) & stopped) != 0;
}

// Under the parent's lock.
inline void cancel_node::unlink(task_frame& parent) noexcept {
  if (previous_ != nullptr) {
    previous_->next_ = next_;
  } else {
    parent.children.store(next_, std::memory_order_release);  // with task_frame::is_kept
  }
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  previous_ = next_ = nullptr;
  parent_.store(nullptr, std::memory_order_release);
}

inline void cancel_node::detach() noexcept {
  if (task_frame* const f = parent()) {
    spin_mutex::scoped_lock const held(f->lock);
    if (parent() == f) {  // otherwise the task has ended meanwhile
      unlink(*f);
    }
  }
}

/// The nodes that one call of `cancel_node::stop` has stopped.
class stopped_nodes {
 public:
  stopped_nodes() = default;
  stopped_nodes(stopped_nodes&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)), last_(other.last_) {}
  stopped_nodes& operator=(stopped_nodes&& other) noexcept {
    first_ = std::exchange(other.first_, nullptr);
    last_ = other.last_;
    return *this;
  }

  template <class Predicate>
  [[nodiscard]] bool any_of(Predicate const& holds) const noexcept {
    cancel_node* n = first_;
    while (n != nullptr && !holds(*n)) {
      n = n->next_stopped;
    }
    return n != nullptr;
  }

  void add(cancel_node& n) noexcept {
    n.next_stopped = nullptr;
    *(first_ == nullptr ? &first_ : &last_->next_stopped) = &n;
    last_ = &n;
  }

  [[nodiscard]] cancel_node* last() const noexcept { return first_ == nullptr ? nullptr : last_; }

  /// Cancels the contexts and wakes the sleepers of the nodes after `last`: of the nodes that were
  /// added since a previous call returned `last`. If `last` is null: of all nodes. Returns the last
  /// node.
  cancel_node* interrupt(cancel_node* last) const noexcept {
    for (cancel_node* n = last == nullptr ? first_ : last->next_stopped; n != nullptr;
         n = n->next_stopped) {
      n->interrupt();
      last = n;
    }
    return last;
  }

  /// Runs the user code that the cancellation leaves, and unpins the nodes. A node may be gone as
  /// soon as it is unpinned. Meanwhile another thread in `await_unpinned` may take its node out of
  /// the list.
  void clean_up() noexcept;

  /// Takes `node` out of the list whose `clean_up` has still to reach the node. Returns false if
  /// there is no such list. Threads: any.
  [[nodiscard]] static bool withdraw(cancel_node& node) noexcept;

 private:
  cancel_node* first_ = nullptr;
  cancel_node* last_ = nullptr;
};

/// Keeps the task that made a group from ending, and so keeps every group above. For a thread that
/// is in a member function of the group, and reads from the groups above.
class parent_pin {
 public:
  explicit parent_pin(cancel_node const& node) noexcept {
    while (task_frame* const f = node.parent()) {
      spin_mutex::scoped_lock const held(f->lock);
      if (node.parent() == f) {
        f->pins.fetch_add(1, std::memory_order_relaxed);
        frame_ = f;
        return;
      }
    }
  }
  parent_pin(parent_pin const&) = delete;
  parent_pin& operator=(parent_pin const&) = delete;
  ~parent_pin() {
    if (frame_ != nullptr) {
      frame_->pins.fetch_sub(1, std::memory_order_release);
    }
  }

 private:
  task_frame* frame_ = nullptr;
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_DETAIL_CANCEL_NODE_HPP
