// SPDX-License-Identifier: Apache-2.0

// The part cancel_node in every order of its accesses, without a group.

#define ERRGROUP_EXPLORED "support/explorer.hpp"

// The part itself, compiled into the namespace of the explored parts.
#include "../../src/cancel_node.cpp"  // NOLINT(bugprone-suspicious-include)

#include "support/explorer.hpp"
#include <errgroup/detail/cancel_node.hpp>
#include <errgroup/detail/task_frame.hpp>

#include <gtest/gtest.h>

#include <atomic>    // memory_order
#include <memory>    // make_shared
#include <optional>  // optional

namespace {

using errgroup::detail::cancel_node;
using errgroup::detail::frame_stack;
using errgroup::detail::parent_pin;
using errgroup::detail::process_wide;
using errgroup::detail::stopped_nodes;
using errgroup::detail::task_frame;
using explored::check;
using explored::explore;
using explored::limits;
using explored::scenario;

/// A node, and how often each hook was called. The counts outlive the node.
class node {
 public:
  /// A group that is made outside of all tasks.
  void make() { of_.emplace(*this); }

  /// A group that is made in the task that runs in `frame`. The constructor of a group does the
  /// same.
  void make_in(task_frame& frame) {
    make();
    if (of_->attach(frame)) {
      stop();
    }
  }

  /// Destroys the group, as `~group` does.
  void destroy() {
    of_->detach();
    of_->await_unpinned();
    of_.reset();
  }

  /// Cancels the group, as `group::cancel` does. Returns true if this call has stopped it.
  bool stop() {
    stopped_nodes nodes;
    if (!of_->stop(nodes)) {
      return false;
    }
    clean_up(nodes);
    return true;
  }

  static void clean_up(stopped_nodes& nodes) {
    nodes.interrupt(nullptr);
    nodes.clean_up();
  }

  /// As `group::reset` does.
  void restart() {
    of_->hold();
    of_->await_unpinned();
    cause.store(false, std::memory_order_relaxed);
    if (of_->restart()) {
      cause.store(true, std::memory_order_relaxed);
      stop();
    }
  }

  [[nodiscard]] bool is_alive() const { return of_.has_value(); }
  [[nodiscard]] bool is_stopped() const { return of_->is_stopped(); }
  cancel_node& operator*() { return *of_; }
  cancel_node* operator->() { return &*of_; }

  explored::atomic<bool> busy{false};
  explored::atomic<bool> cause{false};  // the error is there
  int joins = 0;
  int interrupts = 0;
  int clean_ups = 0;
  node* destroyed_by_clean_up = nullptr;

 private:
  class hooks final : public cancel_node {
   public:
    explicit hooks(node& n) noexcept : n_(n) {}
    hooks(hooks const&) = delete;
    hooks& operator=(hooks const&) = delete;
    ~hooks() = default;

   private:
    void interrupt() noexcept override {
      check(is_stopped(), "a node was interrupted that is not stopped");
      check(is_pinned(), "a node was interrupted that is not pinned");
      ++n_.interrupts;
      check(n_.interrupts == n_.clean_ups + 1, "a node was interrupted twice");
    }
    void clean_up() noexcept override {
      check(is_stopped(), "a node was cleaned up that is not stopped");
      check(is_pinned(), "a node was cleaned up that is not pinned");
      ++n_.clean_ups;
      check(n_.interrupts == n_.clean_ups, "a node was cleaned up twice, or not interrupted");
      node* const other = n_.destroyed_by_clean_up;
      unpin();
      if (other != nullptr) {
        other->destroy();
      }
    }
    void mark() noexcept override { n_.cause.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool is_busy() const noexcept override {
      return n_.busy.load(std::memory_order_acquire);
    }
    void join_and_unpin() noexcept override {
      ++n_.joins;
      while (is_busy()) {
        explored::yield();
      }
      unpin();
    }

    node& n_;
  };

  std::optional<hooks> of_;
};

/// The frames of a thread, and what the thread does with them (`task_scope` does the same).
class thread {
 public:
  thread() {
    task_frame* below = &stack_.base;
    for (task_frame& f : frames_) {
      f.below = below;
      below->above.store(&f, std::memory_order_relaxed);
      below = &f;
    }
  }

  void publish() { stack_.publish(); }

  void begin_task(node& owner) {
    stack_.top = stack_.top->above.load(std::memory_order_relaxed);
    stack_.top->owner.store(&*owner, std::memory_order_relaxed);
  }
  void end_task() {
    task_frame& f = *stack_.top;
    if (f.is_kept()) {
      cancel_node::end_task(f);
    }
    f.owner.store(nullptr, std::memory_order_relaxed);
    stack_.top = f.below;
  }

  [[nodiscard]] task_frame& frame() { return *stack_.top; }

 private:
  frame_stack stack_;
  task_frame frames_[2];
};

/// Two threads that run tasks, and the groups of the tree: `root` has the children `left` and
/// `right`, and `left` has the child `leaf`.
struct world {
  world() { process_wide::of_this_run = &shared; }

  void publish() {
    b.publish();
    a.publish();  // a canceller looks at the frames of `a` first
  }

  node* all[4] = {&root, &left, &right, &leaf};

  process_wide shared;
  thread a;
  thread b;
  node root;
  node left;
  node right;
  node leaf;
  explored::atomic<bool> is_done{false};  // as a test needs it
};

/// At the end of a run: destroys the nodes, each of which has to be stopped if it is `expected`.
void check_at_end(world& w, bool expected) {
  for (node* const n : w.all) {
    check(n->interrupts == n->clean_ups, "a node was interrupted and not cleaned up");
    if (n->is_alive()) {
      check(n->is_stopped() == expected, "a node was missed");
      check(!n->is_stopped() || n->clean_ups != 0, "a node was stopped and not cleaned up");
      check(!(*n)->is_pinned(), "a node is pinned at the end");
    }
  }
  for (node* const n : {&w.leaf, &w.right, &w.left, &w.root}) {
    if (n->is_alive()) {
      n->destroy();
    }
  }
}

/// Explores a scenario with a `world`. Each of `bodies` is a thread.
template <class SetUp, class... Bodies>
void expect_in_each_order(limits const& bounds, bool stopped, SetUp const& set_up,
                          Bodies const&... bodies) {
  auto const found = explore(
      [&](scenario& s) {
        auto w = std::make_shared<world>();
        w->publish();
        w->root.make();
        set_up(*w);
        (s.thread([w, &bodies] { bodies(*w); }), ...);
        s.at_end([w, stopped] { check_at_end(*w, stopped); });
      },
      bounds);
  EXPECT_TRUE(found) << found.what << ": " << found.schedule;
  EXPECT_GT(found.runs, 100U);
}

void nothing(world& /*w*/) {}

/// The whole tree stands: thread `a` runs a task of `left`, and thread `b` a task of `root`.
void grow_left_above(world& w) {
  w.b.begin_task(w.root);
  w.left.make_in(w.b.frame());
  w.right.make_in(w.b.frame());
  w.a.begin_task(w.left);
  w.leaf.make_in(w.a.frame());
}

/// The same, with the threads exchanged: a canceller looks at the task of `root` first.
void grow_root_above(world& w) {
  w.a.begin_task(w.root);
  w.left.make_in(w.a.frame());
  w.right.make_in(w.a.frame());
  w.b.begin_task(w.left);
  w.leaf.make_in(w.b.frame());
}

void stop_root(world& w) {
  w.root.stop();
  for (node* const n : w.all) {
    check(!n->is_alive() || n->is_stopped(), "a node was not stopped when `stop` had returned");
  }
}

// --- no child is missed ---

TEST(CancelNode,
     C2_a_child_is_stopped_that_is_made_while_its_task_starts_and_its_parent_is_stopped) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 2}, true, nothing,
      [](world& w) {
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
      },
      [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C2_a_child_is_stopped_that_is_made_in_a_task_above_another_task) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 2}, true, [](world& w) { w.right.make(), w.right.stop(); },
      [](world& w) {
        w.a.begin_task(w.right);  // an unrelated group
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
      },
      [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C2_a_child_is_stopped_that_is_made_on_a_new_thread) {
  struct with_stack {
    world w;
    thread fresh;
  };
  auto const found = explore(
      [](scenario& s) {
        auto all = std::make_shared<with_stack>();
        all->w.publish();
        all->w.root.make();
        s.thread([all] {
          all->fresh.publish();
          all->fresh.begin_task(all->w.root);
          all->w.left.make_in(all->fresh.frame());
        });
        s.thread([all] { all->w.root.stop(); });
        s.at_end([all] { check_at_end(all->w, true); });
      },
      {.preemptions = 2, .delays = 2});
  EXPECT_TRUE(found) << found.what << ": " << found.schedule;
}

TEST(CancelNode, C2_no_child_is_missed_if_two_tasks_make_groups_on_two_levels) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 0}, true,
      [](world& w) {
        w.b.begin_task(w.root);
        w.left.make_in(w.b.frame());
      },
      [](world& w) {
        w.a.begin_task(w.left);
        w.leaf.make_in(w.a.frame());
      },
      [](world& w) { w.right.make_in(w.b.frame()); }, [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C2_a_group_that_is_made_below_a_stopped_one_is_stopped_when_it_is_made) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 1}, true,
      [](world& w) {
        w.b.begin_task(w.root);
        w.left.make_in(w.b.frame());
      },
      [](world& w) {
        w.a.begin_task(w.left);
        w.leaf.make_in(w.a.frame());
        // `leaf` is attached: from here on, a `stop` that has returned has stopped it.
        check(!w.is_done.load() || w.leaf.is_stopped(), "the leaf was missed");
      },
      [](world& w) {
        w.root.stop();
        w.is_done.store(true);
      });
}

// --- two cancellations ---

TEST(CancelNode, C2_two_cancellations_above_each_other_stop_all_that_is_below_each) {
  for (auto* const grow : {grow_left_above, grow_root_above}) {
    expect_in_each_order({.preemptions = 2, .delays = 0}, true, grow, stop_root, [](world& w) {
      w.left.stop();
      check(w.left.is_stopped(), "a stopped node is not stopped");
    });
  }
}

TEST(CancelNode, C2_the_call_that_has_stopped_a_group_has_stopped_all_that_is_below) {
  for (auto* const grow : {grow_left_above, grow_root_above}) {
    expect_in_each_order({.preemptions = 2, .delays = 0}, true, grow, stop_root, [](world& w) {
      if (w.left.stop()) {
        check(w.leaf.is_stopped(), "the leaf was not stopped when `stop` had returned");
      }
    });
  }
}

TEST(CancelNode, C2_two_cancellations_of_one_group_stop_each_node_once) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 0}, true, grow_left_above, [](world& w) { w.root.stop(); },
      [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C2_never_the_parent_and_never_a_sibling) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 0}, false, grow_left_above,
      [](world& w) {
        w.left.stop();
        while (!w.is_done.load()) {
          explored::yield();
        }
        w.a.end_task();
        w.left.destroy();
      },
      [](world& w) {
        w.leaf.stop();
        check(!w.root.is_stopped() && !w.right.is_stopped(),
              "a node was stopped that is not below");
        w.leaf.destroy();
        w.is_done.store(true);
      });
}

// --- destruction ---

TEST(CancelNode, C3_a_child_is_destroyed_while_its_parent_is_stopped) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 1}, true, nothing,
      [](world& w) {
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
        w.left.destroy();
        w.a.end_task();
      },
      [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C3_four_groups_are_made_and_destroyed_while_the_root_is_stopped) {
  expect_in_each_order(
      {.preemptions = 1, .delays = 1}, true,
      [](world& w) {
        w.b.begin_task(w.root);
        w.left.make_in(w.b.frame());
        w.left.busy.store(true);
      },
      [](world& w) {
        w.a.begin_task(w.left);
        w.leaf.make_in(w.a.frame());
        w.leaf.destroy();
        w.a.end_task();
        w.left.busy.store(false);
      },
      [](world& w) {
        w.right.make_in(w.b.frame());
        w.right.destroy();
        w.b.end_task();  // joins `left`
        w.left.destroy();
      },
      [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C3_a_task_ends_while_another_thread_destroys_its_child_and_a_third_cancels) {
  expect_in_each_order(
      {.preemptions = 1, .delays = 1}, true,
      [](world& w) {
        w.b.begin_task(w.root);
        w.left.make_in(w.b.frame());
        w.a.begin_task(w.left);
        w.leaf.make_in(w.a.frame());
      },
      [](world& w) {
        w.a.end_task();
        w.left.destroy();  // no canceller may use it any more
      },
      [](world& w) { w.leaf.destroy(); }, [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C3_a_busy_child_is_joined_before_it_is_detached) {
  expect_in_each_order(
      {.preemptions = 1, .delays = 1}, true,
      [](world& w) {
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
        w.right.make_in(w.a.frame());
        w.left.busy.store(true);
      },
      [](world& w) {
        w.a.end_task();
        check(!w.left.busy.load(), "a task has ended before the group that it has made");
        check(w.left->parent() == nullptr && w.right->parent() == nullptr,
              "a group is below a task that has ended");
        w.left.destroy();
        w.right.destroy();
      },
      [](world& w) {
        check(w.left->parent() != nullptr, "a busy group was detached");
        w.left.busy.store(false, std::memory_order_release);
      },
      [](world& w) { w.root.stop(); });
}

TEST(CancelNode, C3_a_task_does_not_end_while_a_thread_reads_from_the_groups_above) {
  expect_in_each_order(
      {.preemptions = 3, .delays = 1}, false,
      [](world& w) {
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
      },
      [](world& w) {
        w.a.end_task();
        check(w.left->parent() == nullptr, "a group has a parent whose task has ended");
        w.root.destroy();
      },
      [](world& w) {
        parent_pin const pin(*w.left);
        if (cancel_node const* const n = w.left->above()) {
          check(!n->is_stopped(), "the group above is stopped");
        }
      });
}

TEST(CancelNode, C3_a_task_that_is_pinned_does_not_end_if_its_last_child_is_destroyed_meanwhile) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 0}, false,
      [](world& w) {
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
      },
      [](world& w) {
        w.a.end_task();
        w.root.destroy();
      },
      // The timer's thread, for which the destructor of `left` waits after it has detached it.
      [](world& w) {
        w.left->pin();
        {
          parent_pin const pin(*w.left);
          cancel_node const* const n = w.left->above();
          explored::fence();
          check(n == nullptr || !n->is_stopped(), "the group above is stopped");
        }
        w.left->unpin();
        w.is_done.store(true);
      },
      [](world& w) {
        w.left->detach();
        while (!w.is_done.load()) {
          explored::yield();
        }
        w.left.destroy();
      });
}

// --- restart ---

TEST(CancelNode, E4_C2_a_group_is_restarted_while_its_parent_is_stopped) {
  for (bool const is_stopped : {false, true}) {
    expect_in_each_order(
        {.preemptions = 2, .delays = 0}, true,
        [is_stopped](world& w) {
          w.a.begin_task(w.root);
          w.right.make_in(w.a.frame());  // after `left` in the list
          w.left.make_in(w.a.frame());
          if (is_stopped) {
            w.left.stop();
          }
        },
        [](world& w) { w.left.restart(); }, [](world& w) { w.root.stop(); });
  }
}

TEST(CancelNode, E4_C3_a_group_is_restarted_while_its_task_ends) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 1}, false,
      [](world& w) {
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
        w.left.stop();
      },
      [](world& w) { w.left.restart(); },
      [](world& w) {
        w.a.end_task();
        w.root.destroy();
      });
}

// --- errors and user code ---

TEST(CancelNode, E1_the_error_is_there_when_the_group_is_seen_stopped) {
  expect_in_each_order(
      {.preemptions = 2, .delays = 1}, true,
      [](world& w) {
        w.a.begin_task(w.root);
        w.left.make_in(w.a.frame());
      },
      [](world& w) {
        if (w.left.is_stopped()) {
          check(w.left.cause.load(std::memory_order_relaxed), "the cause is not there");
        }
      },
      [](world& w) { w.root.stop(); });
}

TEST(CancelNode, W1_user_code_of_a_cancellation_destroys_a_group_that_was_stopped_with_it) {
  expect_in_each_order(
      {.preemptions = 1, .delays = 1}, true,
      [](world& w) {
        grow_left_above(w);
        w.root.destroyed_by_clean_up = &w.right;
      },
      [](world& w) { w.root.stop(); }, [](world& w) { w.leaf.destroy(); });
}

}  // namespace
