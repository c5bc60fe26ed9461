// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_VERDICT_HPP
#define ERRGROUP_SRC_MPI_VERDICT_HPP

#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t
#include <vector>   // vector

namespace errgroup::inline v1::mpi::detail {

/// The 4 bytes that a rank contributes to an agreement. The ranks combine their words by a bitwise
/// or.
///
/// A word has the number of the call for which the rank has come, twice: as it is, and inverted. If
/// all ranks have come for the same call, each bit is set in exactly one of the two copies. If two
/// ranks differ in a bit, the bit is set in both copies: so every rank sees that the calls differ.
class verdict {
 public:
  /// The call of a rank that closes its channel.
  static constexpr std::uint32_t closing = (1U << 15U) - 1;

  /// The call number of a `wait`: the group's generation, and the number of the wait in its life.
  /// Neighbours differ: the number of a call far away may be the same.
  [[nodiscard]] static constexpr std::uint32_t call_of(std::uint64_t generation,
                                                       std::uint32_t round) noexcept {
    return static_cast<std::uint32_t>((generation * 8 + round % 8) % closing);
  }

  constexpr verdict(std::uint32_t call, bool failed) noexcept
      : word_(call | (~call & mask) << 15U | (failed ? failed_bit : 0U)) {}
  /// The or of several words.
  constexpr explicit verdict(std::uint32_t combined) noexcept : word_(combined) {}

  [[nodiscard]] constexpr std::uint32_t word() const noexcept { return word_; }
  /// False if the ranks have come for different calls.
  [[nodiscard]] constexpr bool is_same_call() const noexcept {
    return (word_ & mask & word_ >> 15U) == 0;
  }
  /// True if a rank has failed by itself.
  [[nodiscard]] constexpr bool has_failed() const noexcept { return (word_ & failed_bit) != 0; }

 private:
  static constexpr std::uint32_t mask = (1U << 15U) - 1;
  static constexpr std::uint32_t failed_bit = 1U << 30U;

  std::uint32_t word_;
};

/// A set of ranks, as words that can be combined by a bitwise or.
class rank_set {
 public:
  explicit rank_set(int ranks) : words_((static_cast<std::size_t>(ranks) + 31) / 32) {}

  void insert(int rank) noexcept {
    words_[static_cast<std::size_t>(rank) / 32] |= 1U << static_cast<unsigned>(rank) % 32U;
  }
  [[nodiscard]] bool contains(int rank) const noexcept {
    return (words_[static_cast<std::size_t>(rank) / 32] >> static_cast<unsigned>(rank) % 32U &
            1U) != 0;
  }
  [[nodiscard]] std::vector<std::uint32_t>& words() noexcept { return words_; }

 private:
  std::vector<std::uint32_t> words_;
};

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_VERDICT_HPP
