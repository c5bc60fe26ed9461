// SPDX-License-Identifier: Apache-2.0
#include <errgroup/detail/cancel_node.hpp>

#include <atomic>   // memory_order
#include <utility>  // exchange

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

#ifdef ERRGROUP_EXPLORED
namespace {

process_wide& the() noexcept { return *process_wide::of_this_run; }

}  // namespace
#else
constinit process_wide the_process;

namespace {

process_wide& the() noexcept { return the_process; }

}  // namespace
#endif

frame_stack* frame_stack::first() noexcept { return the().stacks.load(std::memory_order_seq_cst); }

void frame_stack::publish() noexcept {
  atomic<frame_stack*>& stacks = the().stacks;
  next = stacks.load(std::memory_order_relaxed);
  while (!stacks.compare_exchange_weak(next, this, std::memory_order_seq_cst)) {
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
    busy->join_and_unpin();
  }
  while (frame.pins.load(std::memory_order_acquire) != 0) {
    yield();
  }
}

bool cancel_node::stop(stopped_nodes& nodes) noexcept {
  pin();
  if ((state.fetch_or(stopped, std::memory_order_seq_cst) & stopped) != 0) {
    unpin();
    return false;
  }
  nodes.add(*this);
  if (has_children_.load(std::memory_order_seq_cst)) {
    stop_children(nodes, *this);
  }
  mark_swept(this, nodes.last());
  return true;
}

void cancel_node::mark_swept(cancel_node* from, cancel_node const* last) noexcept {
  for (cancel_node* n = from; n != nullptr; n = n != last ? n->next_stopped : nullptr) {
    n->is_swept_.store(true, std::memory_order_release);
  }
}

// Stops each group below `top`, in passes over all frames of the process. The last pass is a pass
// that finds no group below which another group may be left. If another canceller stops a group at
// the same time, this canceller may find that group's children, and stop them in its place.
void cancel_node::stop_children(stopped_nodes& nodes, cancel_node& top) noexcept {
  for (bool again = true; again;) {
    again = false;
    cancel_node* const last = nodes.last();
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
          again = child->stop_below(nodes) || again;
        }
      }
    }
    mark_swept(&top, last);
    if (again && last == nodes.last()) {
      yield();  // to the canceller that has stopped the rest
    }
  }
}

// Stops a child of a stopped group. Returns true if groups below the child may be left. Under the
// lock of the parent frame.
bool cancel_node::stop_below(stopped_nodes& nodes) noexcept {
  if ((state.load(std::memory_order_seq_cst) & stopped) == 0) {
    pin();
    mark();
    if ((state.fetch_or(stopped, std::memory_order_seq_cst) & stopped) == 0) {
      nodes.add(*this);
    } else {
      unpin();
    }
  }
  return has_children_.load(std::memory_order_seq_cst) &&
         !is_swept_.load(std::memory_order_acquire);
}

void cancel_node::await_unpinned() noexcept {
  while (is_pinned()) {
    if (stopped_nodes::withdraw(*this)) {
      clean_up();
    } else {
      yield();
    }
  }
}

void stopped_nodes::clean_up() noexcept {
  if (first_ != nullptr && first_->next_stopped == nullptr) {
    std::exchange(first_, nullptr)->clean_up();  // no user code runs while another node waits
    return;
  }
  {
    spin_mutex::scoped_lock const held(the().clean_ups);
    for (cancel_node* n = first_; n != nullptr; n = n->next_stopped) {
      n->cleaner.store(this, std::memory_order_relaxed);
    }
  }
  for (;;) {
    cancel_node* n = nullptr;
    {
      spin_mutex::scoped_lock const held(the().clean_ups);
      n = first_;
      if (n == nullptr) {
        return;
      }
      first_ = n->next_stopped;
      n->cleaner.store(nullptr, std::memory_order_relaxed);
    }
    n->clean_up();
  }
}

bool stopped_nodes::withdraw(cancel_node& node) noexcept {
  if (node.cleaner.load(std::memory_order_relaxed) == nullptr) {
    return false;
  }
  spin_mutex::scoped_lock const held(the().clean_ups);
  stopped_nodes* const list = node.cleaner.load(std::memory_order_relaxed);
  if (list == nullptr) {
    return false;  // the canceller has reached the node meanwhile
  }
  node.cleaner.store(nullptr, std::memory_order_relaxed);
  cancel_node** at = &list->first_;
  while (*at != &node) {
    at = &(*at)->next_stopped;
  }
  *at = node.next_stopped;
  return true;
}

void cancel_node::hold() noexcept {
  task_frame* const f = parent();
  spin_mutex::scoped_lock held;
  if (f != nullptr) {
    held.acquire(f->lock);
  }
  is_swept_.store(true, std::memory_order_relaxed);
  state.fetch_or(stopped, std::memory_order_seq_cst);
}

bool cancel_node::restart() noexcept {
  task_frame* const f = parent();
  spin_mutex::scoped_lock held;
  if (f != nullptr) {
    held.acquire(f->lock);
  }
  is_swept_.store(false, std::memory_order_relaxed);
  state.fetch_and(~stopped, std::memory_order_seq_cst);
  if (f == nullptr || parent() != f) {
    return false;
  }
  return (f->owner.load(std::memory_order_relaxed)->state.load(std::memory_order_seq_cst) &
          stopped) != 0;
}

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART
