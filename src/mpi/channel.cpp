// SPDX-License-Identifier: Apache-2.0
#include "channel.hpp"

#include "registry.hpp"
#include "verdict.hpp"
#include <errgroup/mpi/error.hpp>

#include <algorithm>  // erase_if, find_if
#include <new>        // bad_alloc
#include <thread>     // sleep_for, yield

namespace errgroup::inline v1::mpi::detail {
namespace {

constexpr int letter_tag = 0;

/// Pauses of a thread that waits for messages: short ones first.
class backoff {
 public:
  void pause() noexcept {
    if (++times_ > 64) {
      std::this_thread::sleep_for(std::chrono::microseconds(times_ < 256 ? 10 : 100));
    } else {
      std::this_thread::yield();
    }
  }

 private:
  int times_ = 0;
};

}  // namespace

std::shared_ptr<channel> channel::of(MPI_Comm parent,
                                     std::optional<clock::time_point> const& until) {
  registry& all = registry::get();
  if (auto known = all.find(parent)) {
    return known;
  }
  // Nonblocking, so that a rank that waits in vain can say so.
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  auto const require = [](int rc, char const* what) {
    if (std::error_code const problem = mpi::check(rc)) {
      throw std::system_error(problem, what);
    }
  };
  require(MPI_Comm_idup(parent, &comm, &request), "errgroup::mpi::group: MPI_Comm_idup");
  backoff waits;
  for (int is_made = 0;;) {
    require(MPI_Test(&request, &is_made, MPI_STATUS_IGNORE), "errgroup::mpi::group: MPI_Comm_idup");
    if (is_made != 0) {
      break;
    }
    if (until && clock::now() >= *until) {
      throw std::system_error(
          errc::lost_rank,
          "errgroup::mpi::group: a rank did not come to make the first group on this communicator");
    }
    waits.pause();
  }
  require(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "errgroup::mpi::group");
  int rank = 0;
  int ranks = 0;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  auto made = std::make_shared<channel>(comm, rank, ranks);
  all.add(made, parent);
  return made;
}

std::uint64_t channel::next_generation() {
  std::scoped_lock const held(lock_);
  in_the_making_.insert(generations_ + 1);
  return ++generations_;
}

void channel::join(std::uint64_t generation, std::shared_ptr<listener> const& l) {
  std::vector<letter> mine;
  {
    std::scoped_lock const held(lock_);
    listeners_.emplace(generation, l);
    in_the_making_.erase(generation);
    std::erase_if(early_, [&](letter& e) {
      if (e.generation != generation) {
        return false;
      }
      mine.push_back(std::move(e));
      return true;
    });
    update_busy();
  }
  for (letter const& e : mine) {
    l->receive(e);
  }
  registry::get().wake();
}

void channel::part(std::uint64_t generation) noexcept {
  std::scoped_lock const held(lock_);
  listeners_.erase(generation);
  in_the_making_.erase(generation);
  std::erase_if(early_, [&](letter const& l) { return l.generation == generation; });
  std::erase_if(come_, [&](auto const& c) { return c.first == generation; });
  update_busy();
}

void channel::tell(kind what, std::uint64_t generation, std::uint32_t round, std::string_view body,
                   int to) {
  {
    std::scoped_lock const held(lock_);
    if (is_closed() || problem_) {
      return;
    }
    send(seal(what, generation, round, body), to);
    update_busy();
  }
  registry::get().wake();
}

void channel::send(std::string bytes, int to) {
  outgoing& mine = outgoing_.emplace_back();
  mine.bytes = std::move(bytes);
  mine.requests.reserve(static_cast<std::size_t>(ranks_));
  for (int rank = to < 0 ? 0 : to; rank != (to < 0 ? ranks_ : to + 1); ++rank) {
    if (rank != rank_) {
      MPI_Request request = MPI_REQUEST_NULL;
      note_problem(check(MPI_Issend(mine.bytes.data(), static_cast<int>(mine.bytes.size()),
                                    MPI_BYTE, rank, letter_tag, comm_, &request)));
      mine.requests.push_back(request);
    }
  }
}

std::shared_ptr<agreement const> channel::agree(std::uint64_t generation, std::uint32_t round,
                                                std::uint32_t call, bool failed) {
  auto mine = std::make_shared<agreement>(generation, round, call, failed);
  std::unique_lock held(lock_);
  agreements_.push_back(mine);
  std::erase_if(come_, [&](auto const& c) { return c.first == generation; });
  come_.emplace(generation, round);
  if (!is_closed() && !problem_ && agreements_.size() == 1) {
    advance_agreements();
  }
  if (!mine->is_done()) {
    update_busy();
    held.unlock();
    registry::get().wake();
  }
  return mine;
}

bool channel::is_done(agreement const& a) noexcept {
  std::scoped_lock const held(lock_);
  return a.is_done();
}

std::error_code channel::problem() noexcept {
  std::scoped_lock const held(lock_);
  return problem_;
}

void channel::note_problem(std::error_code problem) noexcept {
  if (problem && !problem_) {
    problem_ = problem;
  }
}

void channel::update_busy() noexcept {
  busy_.store(
      !is_closed() && !(problem_ && is_problem_told_) && ranks_ > 1 &&
          !(listeners_.empty() && agreements_.empty() && outgoing_.empty() && incoming_.empty()),
      std::memory_order_relaxed);
}

// Agreements run one after the other: see `agreement`.
void channel::advance_agreements() {
  while (!agreements_.empty()) {
    std::error_code problem;
    bool const is_done = agreements_.front()->advance(comm_, rank_, ranks_, problem);
    note_problem(problem);
    if (!is_done) {
      return;
    }
    agreements_.pop_front();
  }
}

void channel::advance_sends() {
  std::erase_if(outgoing_, [&](outgoing& o) {
    int is_done = 0;
    note_problem(check(MPI_Testall(static_cast<int>(o.requests.size()), o.requests.data(), &is_done,
                                   MPI_STATUSES_IGNORE)));
    return is_done != 0;
  });
}

void channel::receive_letters(deliveries& found) {
  // Two looks: Open MPI looks first and fetches afterwards, so the first look does not find what
  // has just come.
  for (int in_vain = 0; in_vain != 2;) {
    int is_there = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    note_problem(
        check(MPI_Improbe(MPI_ANY_SOURCE, letter_tag, comm_, &is_there, &message, &status)));
    if (problem_) {
      break;
    }
    if (is_there == 0) {
      ++in_vain;
      continue;
    }
    int size = 0;
    MPI_Get_count(&status, MPI_BYTE, &size);
    incoming& mine = incoming_.emplace_back();
    mine.bytes.resize(static_cast<std::size_t>(size));
    mine.from = status.MPI_SOURCE;
    note_problem(check(MPI_Imrecv(mine.bytes.data(), size, MPI_BYTE, &message, &mine.request)));
  }
  for (auto next = incoming_.begin(); next != incoming_.end() && !problem_;) {
    int is_done = 0;
    note_problem(check(MPI_Test(&next->request, &is_done, MPI_STATUS_IGNORE)));
    if (is_done == 0) {
      ++next;
      continue;
    }
    sort_letter(open(next->bytes, next->from), found);
    next = incoming_.erase(next);
  }
}

// A letter goes to its group. If the group is gone, the letter is dropped; if this rank has not
// made the group yet, the letter is kept.
void channel::sort_letter(letter&& l, deliveries& found) {
  if (l.what == kind::asks) {
    kind const answer =
        come_.contains({l.generation, l.round}) ? kind::has_come : kind::has_not_come;
    send(seal(answer, l.generation, l.round, {}), l.from);
    return;
  }
  auto const mine = listeners_.find(l.generation);
  if (mine != listeners_.end()) {
    found.emplace_back(mine->second, std::move(l));
  } else if (l.generation > generations_ || in_the_making_.contains(l.generation)) {
    early_.push_back(std::move(l));
  }
}

void channel::advance(bool is_hasty) noexcept {
  deliveries found;
  std::vector<std::shared_ptr<listener>> lost;
  std::error_code problem;
  {
    std::unique_lock const held(lock_, std::try_to_lock);
    if (!held.owns_lock() || is_closed()) {
      return;
    }
    try {
      if (!problem_) {
        advance_agreements();
        if (!is_hasty) {
          advance_sends();
          receive_letters(found);
        }
      }
      if (problem_ && !is_problem_told_) {
        is_problem_told_ = true;
        problem = problem_;
        for (auto const& [generation, l] : listeners_) {
          lost.push_back(l);
        }
      }
    } catch (std::bad_alloc const&) {
      // The next call may have more memory. A letter that was received and lost is one that has no
      // room: the agreement tells this rank that there was a failure.
    }
    update_busy();
  }
  for (auto const& [l, what] : found) {
    l->receive(what);
  }
  for (auto const& l : lost) {
    l->lose(problem);
  }
}

void channel::close() noexcept {
  auto const is_idle = [this] {
    std::scoped_lock const held(lock_);
    return problem_ || (agreements_.empty() && outgoing_.empty() && incoming_.empty());
  };
  auto const settle = [&] {
    for (backoff waits; !is_idle(); waits.pause()) {
      advance();
    }
  };
  // Before a rank comes to the last agreement, its letters were received. A rank that waits for a
  // group meanwhile learns from the agreement that this rank does not come; then the agreement is
  // tried again.
  try {
    for (bool is_last = false; !is_last && !problem();) {
      settle();
      auto const a = agree(0, 0, verdict::closing, false);
      for (backoff waits; !is_done(*a) && !problem(); waits.pause()) {
        advance();
      }
      is_last = problem() || a->result().is_same_call();
    }
    settle();
  } catch (std::bad_alloc const&) {
    note_problem(check(MPI_ERR_NO_MEM));  // the duplicate is not freed
  }
  std::scoped_lock const held(lock_);
  is_closed_.store(true, std::memory_order_release);
  update_busy();
  if (!problem_) {
    MPI_Comm_free(&comm_);
  }
}

}  // namespace errgroup::inline v1::mpi::detail
