// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_AGREEMENT_HPP
#define ERRGROUP_SRC_MPI_AGREEMENT_HPP

#include "verdict.hpp"

#include <mpi.h>

#include <cstddef>       // size_t
#include <cstdint>       // uint32_t, uint64_t
#include <optional>      // optional
#include <system_error>  // error_code
#include <vector>        // vector

namespace errgroup::inline v1::mpi::detail {

/// One agreement of all ranks of a channel: a `wait`, a group that was left, or the end of the
/// channel.
///
/// First an or of 4 bytes (verdict.hpp). If it tells of a failure, a second or tells which ranks
/// have failed by themselves. Both go by dissemination: in round k, each rank sends what it knows
/// to the rank 2^k above, and receives from the rank 2^k below, so that after log2(ranks) rounds
/// each rank knows the words of all. An or may count a word twice, so any number of ranks will do.
/// With two ranks this takes three quarters of the time of an MPI_Allreduce; an MPI_Iallreduce
/// takes twice its time.
///
/// MPI keeps the order of messages from one rank with one tag. So the n-th agreements of all ranks
/// meet, as collective operations of MPI would, as long as each rank runs its agreements one after
/// the other. The channel sees to that.
///
/// Threads: under the lock of the channel.
class agreement {
 public:
  agreement(std::uint64_t generation, std::uint32_t round, std::uint32_t call, bool failed) noexcept
      : generation_(generation), round_(round), mine_(call, failed), failed_(failed) {}

  /// Goes on as far as the messages allow. True at the end. Throws `std::bad_alloc`, before
  /// anything has changed.
  bool advance(MPI_Comm comm, int rank, int ranks, std::error_code& problem);

  [[nodiscard]] bool is_done() const noexcept { return step_ == step::done; }
  /// At the end: what the ranks have agreed on.
  [[nodiscard]] verdict result() const noexcept { return verdict(word_); }
  /// At the end, if the result is a failure in one call: the ranks that have failed by themselves.
  [[nodiscard]] rank_set const& failed_ranks() const noexcept { return *set_; }

  [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }
  [[nodiscard]] std::uint32_t round() const noexcept { return round_; }

 private:
  enum class step { begin, verdicts, sets, done };

  void post(MPI_Comm comm, int rank, int ranks, std::error_code& problem);
  [[nodiscard]] bool has_arrived(std::error_code& problem);
  bool share(MPI_Comm comm, int rank, int ranks, std::error_code& problem);

  std::uint64_t generation_;
  std::uint32_t round_;
  verdict mine_;
  bool failed_;
  step step_ = step::begin;
  int distance_ = 1;
  int tag_ = 0;
  bool is_posted_ = false;
  std::uint32_t word_ = 0;
  std::uint32_t out_ = 0;
  std::uint32_t in_ = 0;
  std::optional<rank_set> set_;
  std::vector<std::uint32_t> set_out_;
  std::vector<std::uint32_t> set_in_;
  MPI_Request requests_[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
};

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_AGREEMENT_HPP
