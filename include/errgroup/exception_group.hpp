// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_EXCEPTION_GROUP_HPP
#define ERRGROUP_EXCEPTION_GROUP_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/error.hpp>

#include <exception>  // exception_ptr
#include <stdexcept>  // runtime_error
#include <utility>    // move
#include <vector>     // vector

namespace errgroup::inline v1 {

/// All errors of a group as one exception, for code that catches several errors: `error::raise_all`
/// throws an exception_group. Python calls its counterpart ExceptionGroup.
///
/// A task that throws an exception_group has failed with the error in it, and with all others of
/// this error.
///
/// `what()` is `error::message()`. Copies do not throw.
class ERRGROUP_API exception_group : public std::runtime_error {
 public:
  /// Throws `std::bad_alloc`.
  explicit exception_group(errgroup::error all);
  exception_group(exception_group const&) noexcept = default;
  exception_group& operator=(exception_group const&) noexcept = default;
  ~exception_group() override;

  /// The first error, with the other errors as its others.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error const& error() const& noexcept { return all_; }
  /// The same by value, for a temporary exception.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::error error() const&& noexcept { return all_; }

  /// The exception of each error, beginning with the first error. Throws `std::bad_alloc`.
  [[ERRGROUP_NODISCARD_ANSWER, gnu::always_inline]] std::vector<std::exception_ptr> exceptions()
      const {
    std::vector<std::exception_ptr> all;
    all.reserve(all_.all().size());
    for (errgroup::error const& one : all_.all()) {
      all.push_back(one.exception());
    }
    return all;
  }

 private:
  errgroup::error all_;
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_EXCEPTION_GROUP_HPP
