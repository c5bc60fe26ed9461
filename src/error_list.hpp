// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_ERROR_LIST_HPP
#define ERRGROUP_SRC_ERROR_LIST_HPP

#include <errgroup/error.hpp>

#include <cstddef>  // size_t
#include <memory>   // unique_ptr
#include <mutex>    // mutex

namespace errgroup::detail {

/// Several errors, the first one in front, as what copies of that share. Errors are only ever
/// appended, so one that was told of n others goes on seeing these n.
struct several : error_note {
  several() = default;
  several(several const&) = delete;
  several& operator=(several const&) = delete;
  ~several() override;

  std::unique_ptr<error[]> room;
  std::size_t capacity = 0;  // for others
  bool has_first = false;
};

/// What failed in a group after the first error, with `keep::all`.
///
/// All members may be called from any thread. It takes memory when there is a failure to keep: what
/// there is no memory for is counted as dropped.
class error_list {
 public:
  /// For `most` errors, the first one included.
  explicit error_list(std::size_t most) noexcept : most_(most) {}
  error_list(error_list const&) = delete;
  error_list& operator=(error_list const&) = delete;
  ~error_list() { (void)clear(); }

  /// Lists `e`, and its others. After the group was stopped, cancellations are counted only. False
  /// if that was all.
  bool add(error const& e, bool stopped) noexcept;
  /// Lists the others of what becomes the group's first error, and leaves that alone.
  void take_others(error& first) noexcept;
  /// Gives `first`, the group's first error, all others so far.
  void give_others(error& first) noexcept;
  /// Empties the list and returns its contents. The caller destroys them without holding a lock,
  /// because the destructors of exceptions are user code. Errors that were handed out keep their
  /// others.
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

}  // namespace errgroup::detail

#endif  // ERRGROUP_SRC_ERROR_LIST_HPP
