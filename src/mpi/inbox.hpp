// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_INBOX_HPP
#define ERRGROUP_SRC_MPI_INBOX_HPP

#include "verdict.hpp"
#include <errgroup/error.hpp>

#include <cstddef>  // size_t
#include <cstdint>  // uint32_t
#include <map>      // map
#include <span>     // span
#include <utility>  // move
#include <vector>   // vector

namespace errgroup::inline v1::mpi::detail {

/// The errors that other ranks have told a group, for each round of the group.
///
/// A round ends with a `wait` that succeeds. Another rank may begin its next round, and fail in it,
/// before this rank has left its `wait`: such an error is kept until the round begins here. An
/// error of a round that has ended is dropped.
class inbox {
 public:
  [[nodiscard]] std::uint32_t round() const noexcept { return round_; }

  /// Keeps an error that `rank` has told. `is_quiet`: the error cancels no other rank. Returns true
  /// if the error is of the present round.
  bool take(int rank, std::uint32_t round, error e, bool is_final, bool is_quiet = false) {
    if (round < round_) {
      return false;
    }
    entry& kept = told_[round][rank];
    if (!kept.is_final) {
      kept = {std::move(e), is_final, is_quiet};
    }
    return round == round_;
  }

  /// Begins the next round.
  void next_round() {
    told_.erase(round_);
    ++round_;
  }

  /// The error of the lowest rank that has told one in this round, or null.
  [[nodiscard]] error const* lowest() const noexcept {
    auto const found = told_.find(round_);
    return found == told_.end() || found->second.empty() ? nullptr
                                                         : &found->second.begin()->second.what;
  }
  /// An error of this round that cancels this rank, or null.
  [[nodiscard]] error const* canceling() const noexcept {
    auto const found = told_.find(round_);
    if (found != told_.end()) {
      for (auto const& [rank, kept] : found->second) {
        if (!kept.is_quiet) {
          return &kept.what;
        }
      }
    }
    return nullptr;
  }
  /// True if the last word of `rank` for this round is there.
  [[nodiscard]] bool has_final(int rank) const noexcept {
    auto const found = told_.find(round_);
    if (found == told_.end()) {
      return false;
    }
    auto const kept = found->second.find(rank);
    return kept != found->second.end() && kept->second.is_final;
  }
  /// What `rank` has told in this round; success if it has told nothing.
  [[nodiscard]] error told_by(int rank) const {
    auto const found = told_.find(round_);
    if (found == told_.end()) {
      return {};
    }
    auto const kept = found->second.find(rank);
    return kept == found->second.end() ? error() : kept->second.what;
  }

 private:
  struct entry {
    error what;
    bool is_final = false;
    bool is_quiet = false;
  };

  std::map<std::uint32_t, std::map<int, entry>> told_;
  std::uint32_t round_ = 1;
};

/// The error of all ranks: the error of the lowest rank in front, and its others, and the errors of
/// the other ranks in the order of the ranks behind it if `all`. `of_rank[r]` is the error of rank
/// r; success if the rank did not fail by itself.
inline error choose(std::span<error const> of_rank, bool all, std::size_t most) {
  if (all) {
    return combine(of_rank, most);
  }
  for (error const& e : of_rank) {
    if (e) {
      return e;
    }
  }
  return {};
}

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_INBOX_HPP
