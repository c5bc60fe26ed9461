// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TASK_OPTIONS_HPP
#define ERRGROUP_TASK_OPTIONS_HPP

#include <chrono>       // nanoseconds
#include <concepts>     // convertible_to, same_as
#include <cstdint>      // int64_t, int8_t
#include <optional>     // optional
#include <string_view>  // string_view

namespace errgroup::inline v1 {

/// The level of a task among the waiting tasks of its group: `task_options::priority`.
enum class priority : std::int8_t {
  low = -1,    ///< Starts after the others; but see `task_options::priority`: no level starves.
  normal = 0,  ///< The level of a task without this option.
  high = 1     ///< Starts before the others.
};

/// The settings of a single task. Functions that run a task, such as `group::run`, take the
/// settings before the callable. Write them with designated initializers:
///
///     g.run({.name = "row 7"}, [&] { return read(7); });
///
/// New options are appended, never inserted. The functions copy the options: a text that they refer
/// to may be gone when the call returns.
///
/// Instead of options with nothing but a name, the functions take the name alone: a string literal,
/// a `std::string`, a `std::string_view`.
struct task_options {
  /// The task's name. It stands in the error of a task that fails: `error::origin().name`, the last
  /// part of `error::origin().path`, and so a part of `error::message()`; and in dumps, traces,
  /// debuggers and `task_view::name`. If the name is empty, the task
  /// has no name, and costs as much as a task without options. Otherwise the name costs an
  /// allocation, and a second one if it has more than 15 characters.
  std::string_view name = {};
  /// The number of places of the group's limiter that the task takes while it runs, from 1 to the
  /// capacity of the limiter. A task with another weight than 1 needs a group with
  /// `options::limiter`: a limit counts each task as one. In any other case the function throws
  /// `std::invalid_argument`. A weight of 1 costs nothing. Any other weight takes 16 of the 40
  /// bytes that a task has for its callable.
  std::int64_t weight = 1;
  /// The time that the task has, from its start: the time that it waits does not count. When the
  /// time has passed, the `std::stop_token` that the task takes is stopped, and the groups and
  /// algorithms that the task has started are cancelled, as when the group is cancelled. The task
  /// fails with `errc::deadline_exceeded`, even if it returns success or another failure
  /// afterwards. A failure from before that moment stays the task's failure. The group reacts as to
  /// any other failure: `options::policy`. A task that does not look at its stop token is not
  /// interrupted: it fails when it returns.
  ///
  /// If the task has made a group, and returns while that group is busy, the task ends when that
  /// group ends, and its time goes on until then. Tasks that the task submits to its own group are
  /// siblings: they are not cancelled with it, and this time does not apply to them. If the time is
  /// not positive, the task fails when it would start, and its callable is not called. With
  /// `run_every`, each run has this time.
  ///
  /// Cost: a task without a timeout pays nothing. Otherwise, two allocations or three, and an alarm
  /// in the library's timer, whose thread the first timeout starts. If no thread can be started,
  /// the task fails with that `std::system_error`.
  std::optional<std::chrono::nanoseconds> timeout = {};
  /// Among the waiting tasks of a group, a task of a higher level starts before those of a lower
  /// level. Within a level, tasks that one thread submits to a limited group start in the order of
  /// their submission. No level starves: if tasks of higher levels have started eight times while a
  /// level had waiting tasks, that level comes next (of two such levels, the higher). So of ten
  /// starts in a row, each level that has waiting tasks has one or more. A task that is due
  /// (`run_after`, `run_every`) goes before all others, whatever its level.
  ///
  /// The level counts among tasks that wait in the group: in a group with a limit, a bounded queue,
  /// a limiter or an arena, these are all tasks that have not started. In a group without any of
  /// them, tasks of the level `normal` that a task submits go to oneTBB directly, and have no
  /// order; tasks of the other levels wait in the group. Without a limit, a thread that has taken
  /// several tasks at once, at most six, starts the rest of them first. No running task is
  /// interrupted, and nothing else of a task depends on its level. For a value that is none of the
  /// three levels, the function throws `std::invalid_argument`.
  ///
  /// Cost: none for `normal`, in a group that has no task of another level. A task of another level
  /// has 16 bytes less for its callable, and while such a task waits, threads take one task at a
  /// time.
  errgroup::priority priority = errgroup::priority::normal;
};

namespace detail {

/// The argument before a task's callable: the task's options, or its name alone.
///
/// A function has one template for both, and not an overload for each: a call with `{}` would be
/// ambiguous otherwise.
template <class L>
concept task_label =
    std::same_as<L, task_options> || std::convertible_to<L const&, std::string_view>;

[[nodiscard]] constexpr std::string_view name_of(task_options const& opts) noexcept {
  return opts.name;
}
[[nodiscard]] constexpr std::string_view name_of(std::string_view name) noexcept { return name; }

/// What decides when a waiting task starts.
struct task_rank {
  std::int64_t weight = 1;
  priority level = priority::normal;

  [[nodiscard]] constexpr bool is_usual() const noexcept {
    return weight == 1 && level == priority::normal;
  }
};

[[nodiscard]] constexpr task_rank rank_of(task_options const& opts) noexcept {
  return {opts.weight, opts.priority};
}
[[nodiscard]] constexpr task_rank rank_of(std::string_view /*name*/) noexcept { return {}; }
[[nodiscard]] constexpr std::optional<std::chrono::nanoseconds> timeout_of(
    task_options const& opts) noexcept {
  return opts.timeout;
}
[[nodiscard]] constexpr std::optional<std::chrono::nanoseconds> timeout_of(
    std::string_view /*name*/) noexcept {
  return {};
}

}  // namespace detail
}  // namespace errgroup::inline v1

#endif  // ERRGROUP_TASK_OPTIONS_HPP
