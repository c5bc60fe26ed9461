// SPDX-License-Identifier: Apache-2.0
#include "agreement.hpp"

#include <errgroup/mpi/error.hpp>

namespace errgroup::inline v1::mpi::detail {
namespace {

// Tag 0 is that of the letters. The first round of each or has the tag here.
constexpr int verdict_tag = 1;
constexpr int set_tag = 64;

}  // namespace

void agreement::post(MPI_Comm comm, int rank, int ranks, std::error_code& problem) {
  int const to = (rank + distance_) % ranks;
  int const from = (rank - distance_ + ranks) % ranks;
  void* in = &in_;
  void const* out = &out_;
  int size = 1;
  if (step_ == step::sets) {
    set_out_ = set_->words();
    set_in_.resize(set_out_.size());
    in = set_in_.data();
    out = set_out_.data();
    size = static_cast<int>(set_out_.size());
  } else {
    out_ = word_;
  }
  int rc = MPI_Irecv(in, size, MPI_UINT32_T, from, tag_, comm, &requests_[0]);
  if (rc == MPI_SUCCESS) {
    rc = MPI_Isend(out, size, MPI_UINT32_T, to, tag_, comm, &requests_[1]);
  }
  problem = check(rc);
  is_posted_ = true;
}

bool agreement::has_arrived(std::error_code& problem) {
  int arrived = 0;
  problem = check(MPI_Testall(2, requests_, &arrived, MPI_STATUSES_IGNORE));
  return !problem && arrived != 0;
}

// Shares what this rank knows with the other ranks. True if it knows the words of all.
bool agreement::share(MPI_Comm comm, int rank, int ranks, std::error_code& problem) {
  while (distance_ < ranks) {
    if (!is_posted_) {
      post(comm, rank, ranks, problem);
    }
    if (problem || !has_arrived(problem)) {
      return false;
    }
    word_ |= in_;
    if (step_ == step::sets) {
      for (std::size_t i = 0; i != set_in_.size(); ++i) {
        set_->words()[i] |= set_in_[i];
      }
    }
    is_posted_ = false;
    distance_ *= 2;
    ++tag_;
  }
  return true;
}

bool agreement::advance(MPI_Comm comm, int rank, int ranks, std::error_code& problem) {
  if (step_ == step::begin) {
    word_ = mine_.word();
    tag_ = verdict_tag;
    step_ = step::verdicts;
  }
  if (step_ == step::verdicts) {
    if (!share(comm, rank, ranks, problem)) {
      return false;
    }
    if (!result().is_same_call() || !result().has_failed()) {
      step_ = step::done;
      return true;
    }
    set_.emplace(ranks);
    if (failed_) {
      set_->insert(rank);
    }
    in_ = 0;
    distance_ = 1;
    tag_ = set_tag;
    step_ = step::sets;
  }
  if (step_ == step::sets && share(comm, rank, ranks, problem)) {
    step_ = step::done;
  }
  return step_ == step::done;
}

}  // namespace errgroup::inline v1::mpi::detail
