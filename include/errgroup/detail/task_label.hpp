// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_TASK_LABEL_HPP
#define ERRGROUP_DETAIL_TASK_LABEL_HPP

#include <errgroup/error.hpp>

#include <bit>              // bit_cast
#include <cstddef>          // size_t
#include <cstdint>          // uintptr_t
#include <source_location>  // source_location

namespace errgroup::inline v1::detail {

/// The facts that errors need of a task: the place of its submission, the note of a task with a
/// name, and the task's index.
struct submission {
  std::source_location where;
  error_note* note;
  std::size_t index;
  bool is_item = false;  // `index` is the number of an item of a pipeline
};

/// What a frame shows of its task (`task_frame::label`): the place of the submission, or the note
/// of a task with a name, with the lowest bit set.
[[nodiscard]] inline void const* label_of(std::source_location const& where) noexcept {
  return std::bit_cast<void const*>(where);
}
[[nodiscard]] inline void const* label_of(error_note const* note) noexcept {
  return reinterpret_cast<char const*>(note) + 1;
}

[[nodiscard]] inline bool has_note(void const* label) noexcept {
  return reinterpret_cast<std::uintptr_t>(label) % 2 != 0;
}
[[nodiscard]] inline error_note* note_in(void const* label) noexcept {
  return const_cast<error_note*>(
      reinterpret_cast<error_note const*>(static_cast<char const*>(label) - 1));
}

/// The name of the task; empty if the task has none.
[[nodiscard]] inline char const* name_in(void const* label) noexcept {
  return has_note(label) ? note_in(label)->origin.name.c_str() : "";
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_TASK_LABEL_HPP
