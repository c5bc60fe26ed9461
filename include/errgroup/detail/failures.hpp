// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_FAILURES_HPP
#define ERRGROUP_DETAIL_FAILURES_HPP

#include <errgroup/error.hpp>
#include <errgroup/group.hpp>

#include <cstddef>       // size_t
#include <map>           // map
#include <system_error>  // errc
#include <utility>       // move
#include <vector>        // vector

namespace errgroup::inline v1::detail {

/// The failures that a joiner reports: only the first, or the first with the others.
class failures {
 public:
  /// Keeps as many failures as a group with these options.
  explicit failures(options const& opts) noexcept
      : most_(opts.errors == keep::all ? opts.max_errors : 1), counts_(opts.errors == keep::all) {}
  /// Keeps all failures, unless the options ask for a bound.
  static failures every(options const& opts) noexcept {
    failures f(opts);
    f.most_ = opts.errors == keep::all ? opts.max_errors : npos;
    f.counts_ = true;
    return f;
  }

  /// Throws `std::bad_alloc`; nothing has changed then.
  void add(error e) {
    if (is_canceled_ && e == std::errc::operation_canceled) {
      ++echoes_;
    } else if (counts_ || kept_.empty()) {
      kept_.push_back(std::move(e));
    }
  }
  /// Adds the cause of a cancellation. Later failures that are cancellations only echo the cause.
  void add_cause(error const& cause) {
    add(cause);
    is_canceled_ = true;
  }

  [[nodiscard]] std::size_t count() const noexcept { return kept_.size(); }
  [[nodiscard]] error all() const noexcept {
    error e = combine(kept_, most_);
    if (counts_) {
      error_access::set_others(e, e.others().size(), e.dropped(), e.echoes() + echoes_);
    }
    return e;
  }
  /// All failures behind `cause`, if that is an error, and before the failures of tasks that are to
  /// be tried again.
  [[nodiscard]] error all_behind(error const& cause) const {
    std::vector<error> list{cause, all()};
    for (auto const& [index, e] : tries_) {
      list.push_back(e);
    }
    return combine(list, most_);
  }

  /// The task at `index` has failed, and is to be tried again.
  void add_try(std::size_t index, error const& e) { tries_.insert_or_assign(index, e); }
  /// The task at `index` has a result.
  void end_tries(std::size_t index) noexcept { tries_.erase(index); }

 private:
  std::vector<error> kept_;
  std::map<std::size_t, error> tries_;
  std::size_t most_;
  bool counts_;
  bool is_canceled_ = false;
  std::size_t echoes_ = 0;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_FAILURES_HPP
