// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_RANKED_TASKS_HPP
#define ERRGROUP_SRC_RANKED_TASKS_HPP

#include <errgroup/detail/node.hpp>
#include <errgroup/detail/sync.hpp>

#include <cstdint>  // uint32_t
#include <utility>  // exchange

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// The waiting tasks of one queue with another level than 0 (`task_options::priority`), and the
/// rule by which levels take turns. The tasks of level 0 are in `task_list`.
///
/// A level is passed over when it has a task, and a task of a higher level starts. A level that was
/// passed over `patience` times comes next; of two such levels, the higher. So of ten starts in a
/// row, each level that has tasks has one or more.
///
/// Invariant: `passed_usual_` and `passed_low_` are 0 for a level without tasks, and both are 0 if
/// all tasks are of level 0. So the rule begins anew in the next group that uses the queue.
///
/// Lock order: the queue's lock guards everything. Pushing needs no memory: the nodes are linked.
class ranked_tasks {
 public:
  static constexpr int high = 1;
  static constexpr int usual = 0;
  static constexpr int low = -1;
  static constexpr std::uint32_t patience = 8;

  [[nodiscard]] std::uint32_t size() const noexcept { return high_.size + low_.size; }
  [[nodiscard]] bool has_high() const noexcept { return high_.size != 0; }

  /// `n` has a rank, and its level is not 0.
  void push(node* n) noexcept {
    level& l = n->level() > 0 ? high_ : low_;
    n->link(nullptr);
    if (l.size++ == 0) {
      l.first = n;
    } else {
      l.last->link(n);
    }
    l.last = n;
  }

  /// The level of the task that starts next. `has_usual`: a task of level 0 waits. There is a task.
  [[nodiscard]] int next(bool has_usual) const noexcept {
    if (has_usual && passed_usual_ >= patience) {
      return usual;
    }
    if (low_.size != 0 && passed_low_ >= patience) {
      return low;
    }
    if (high_.size != 0) {
      return high;
    }
    return has_usual ? usual : low;
  }
  /// A task of that level starts.
  void note_start(int of, bool has_usual) noexcept {
    if (of == low) {
      passed_low_ = 0;
      return;
    }
    passed_low_ += low_.size != 0 ? 1U : 0U;
    passed_usual_ = of == high && has_usual ? passed_usual_ + 1 : 0;
  }
  /// The oldest task of the level, which has a task.
  [[nodiscard]] node* pop(int of) noexcept {
    level& l = of == high ? high_ : low_;
    --l.size;
    if (size() == 0) {
      passed_usual_ = 0;
    }
    return std::exchange(l.first, l.first->get_rank().next);  // null behind the last
  }
  /// The i-th task of the level; null if there are not so many.
  [[nodiscard]] node const* peek(int of, std::uint32_t i) const noexcept {
    level const& l = of == high ? high_ : low_;
    if (i >= l.size) {
      return nullptr;
    }
    node const* n = l.first;
    for (; i != 0; --i) {
      n = n->get_rank().next;
    }
    return n;
  }
  /// Takes all tasks, and returns the first. They are linked.
  [[nodiscard]] node* take_all() noexcept {
    if (high_.size != 0) {
      high_.last->link(low_.first);
    }
    node* const first = high_.size != 0 ? high_.first : low_.first;
    *this = {};
    return first;
  }
  [[nodiscard]] std::uint32_t number_of_high() const noexcept { return high_.size; }

 private:
  struct level {
    node* first = nullptr;
    node* last = nullptr;
    std::uint32_t size = 0;
  };

  level high_;
  level low_;
  std::uint32_t passed_usual_ = 0;
  std::uint32_t passed_low_ = 0;
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_RANKED_TASKS_HPP
