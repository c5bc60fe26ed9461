// SPDX-License-Identifier: Apache-2.0
#include <errgroup/detail/cancel_node.hpp>

#include <atomic>  // atomic, memory_order

namespace errgroup::detail::inline ERRGROUP_PART {

namespace {

// Stacks are only ever added, so the list needs no lock.
constinit std::atomic<frame_stack*> all_stacks{nullptr};

}  // namespace

frame_stack* frame_stack::first() noexcept { return all_stacks.load(std::memory_order_seq_cst); }

void frame_stack::publish() noexcept {
  next = all_stacks.load(std::memory_order_relaxed);
  while (!all_stacks.compare_exchange_weak(next, this, std::memory_order_seq_cst)) {
    // `next` is the first stack now
  }
}

void cancel_node::end_task(task_frame& frame) noexcept {
  for (;;) {
    cancel_node* busy = nullptr;
    {
      spin_mutex::scoped_lock const held(frame.lock);
      while (cancel_node* const child = frame.children.load(std::memory_order_relaxed)) {
        if (child->is_busy()) {
          child->pin();
          busy = child;
          break;
        }
        child->unlink(frame);
      }
    }
    if (busy == nullptr) {
      break;
    }
    busy->join();
    busy->unpin();
  }
  while (frame.pins.load(std::memory_order_acquire) != 0) {
    yield();
  }
}

bool cancel_node::is_stopped_above() const noexcept {
  for (cancel_node const* n = above(); n != nullptr; n = n->above()) {
    if (n->is_stopped()) {
      return true;
    }
  }
  return false;
}

bool cancel_node::stop(stopped_nodes& nodes) noexcept {
  pin();
  if ((state.fetch_or(stopped, std::memory_order_seq_cst) & stopped) != 0) {
    unpin();
    return false;
  }
  nodes.add(*this);
  if (has_children_.load(std::memory_order_seq_cst)) {
    stop_children(nodes);
  }
  return true;
}

// Stops each child of a stopped group, in passes over all frames of the process, until a pass stops
// no group that may have children of its own. If another thread stops a group at the same time,
// this thread may find that group's children, and stop them in its place.
void cancel_node::stop_children(stopped_nodes& nodes) noexcept {
  for (bool again = true; again;) {
    again = false;
    for (frame_stack* s = frame_stack::first(); s != nullptr; s = s->next) {
      for (task_frame* f = s->base.above.load(std::memory_order_acquire);
           f != nullptr && f->owner.load(std::memory_order_seq_cst) != nullptr;
           f = f->above.load(std::memory_order_acquire)) {
        spin_mutex::scoped_lock const held(f->lock);
        cancel_node* child = f->children.load(std::memory_order_relaxed);
        // With a child, the task in the frame cannot end, so its group is alive.
        if (child == nullptr || !f->owner.load(std::memory_order_relaxed)->is_stopped()) {
          continue;
        }
        for (; child != nullptr; child = child->next_) {
          if (child->is_stopped()) {
            continue;
          }
          child->pin();
          child->mark();
          if ((child->state.fetch_or(stopped, std::memory_order_seq_cst) & stopped) != 0) {
            child->unpin();
            continue;
          }
          nodes.add(*child);
          again = again || child->has_children_.load(std::memory_order_seq_cst);
        }
      }
    }
  }
}

bool cancel_node::restart() noexcept {
  task_frame* const f = parent();
  spin_mutex::scoped_lock held;
  if (f != nullptr) {
    held.acquire(f->lock);
  }
  state.fetch_and(~stopped, std::memory_order_seq_cst);
  if (f == nullptr || parent() != f) {
    return false;
  }
  return (f->owner.load(std::memory_order_relaxed)->state.load(std::memory_order_seq_cst) &
          stopped) != 0;
}

}  // namespace errgroup::detail::inline ERRGROUP_PART
