// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_GROUP_TIME_HPP
#define ERRGROUP_SRC_GROUP_TIME_HPP

#include "cleanup.hpp"
#include "deadline.hpp"
#include "group_parts.hpp"

#include <atomic>   // memory_order
#include <utility>  // move

namespace errgroup::inline v1::detail {

/// The timetable of a group.
class group_core::timed final : public times, private timetable {
 public:
  /// The groups that a passed deadline has stopped, and the user code that they leave. The groups
  /// are pinned until a cleanup thread has run that code.
  struct leftover : cleanup {
    leftover() noexcept
        : cleanup([](cleanup& c) noexcept {
            // This object may be gone as soon as the first group is unpinned.
            stopped_nodes mine = std::move(static_cast<leftover&>(c).nodes);
            mine.clean_up();
          }) {}

    stopped_nodes nodes;
  };

  explicit timed(group_core& g) noexcept(false) : owner_(g) {}

  using timetable::get;
  using timetable::keep;
  using timetable::set_to;
  using timetable::take_all;

  void drop_pending(task_queue& q) noexcept override { owner_.drop_pending(*this, q); }
  void take_back() noexcept override { reset(); }
  void stop_for_good() noexcept override { end(); }

  leftover rest;

 private:
  [[nodiscard]] task_queue* queue() const noexcept override {
    return owner_.queue_.load(std::memory_order_acquire);
  }
  void append_due(task_queue& q, lock_type& lock, timed_task const& task) noexcept override {
    owner_.append_due(q, lock, task);
  }
  void expire() noexcept override { owner_.expire(*this); }

  group_core& owner_;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_GROUP_TIME_HPP
