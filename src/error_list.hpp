// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_ERROR_LIST_HPP
#define ERRGROUP_SRC_ERROR_LIST_HPP

#include <errgroup/error.hpp>

#include <cstddef>  // size_t
#include <memory>   // unique_ptr
#include <mutex>    // mutex

namespace errgroup::inline v1::detail {

/// The note that all copies of an error with others share: the list of the failures, the first
/// failure in front. Errors are only ever appended. So an error that was given n others keeps
/// seeing the same n errors.
struct several : error_note {
  several() = default;
  several(several const&) = delete;
  several& operator=(several const&) = delete;
  ~several() override;

  std::unique_ptr<error[]> room;
  std::size_t capacity = 0;  // for others
  bool has_first = false;
};

/// The failures of a group after its first error, with `keep::all`.
///
/// Threads: any, for all members. The list allocates memory when it has to keep a failure. A
///     failure without memory is counted as dropped.
class error_list {
 public:
  /// Keeps at most `most` errors, the first error included.
  explicit error_list(std::size_t most) noexcept : most_(most) {}
  error_list(error_list const&) = delete;
  error_list& operator=(error_list const&) = delete;
  ~error_list() { (void)clear(); }

  /// Appends `e` and its others. If the group was stopped before, cancellations are only counted.
  /// False if nothing but cancellations was counted.
  bool add(error const& e, bool stopped) noexcept;
  /// Moves the others of `first`, the group's first error from now on, into the list. `first` is
  /// then a single failure.
  void take_others(error& first) noexcept;
  /// Gives all errors of the list to `first`, the group's first error, as its others.
  void give_others(error& first) noexcept;
  /// Empties the list and returns its contents. The caller destroys the contents without holding a
  /// lock, because the destructors of exceptions are user code. Errors that were handed out keep
  /// their others.
  [[nodiscard]] note_ptr clear() noexcept;

 private:
  void add_others(error const& e, bool stopped) noexcept;
  void add_one(error const& e, bool stopped) noexcept;
  [[nodiscard]] bool grow() noexcept;

  std::mutex lock_;
  std::size_t most_;
  several* all_ = nullptr;
  std::size_t size_ = 0;
  std::size_t dropped_ = 0;
  std::size_t echoes_ = 0;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_ERROR_LIST_HPP
