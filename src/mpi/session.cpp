// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include "packing.hpp"
#include "verdict.hpp"
#include <errgroup/extend.hpp>
#include <errgroup/mpi/error.hpp>

#include <algorithm>  // max
#include <cstring>    // memcpy
#include <new>        // bad_alloc
#include <sstream>    // istringstream
#include <string>     // string, to_string
#include <thread>     // sleep_for, yield
#include <utility>    // move
#include <vector>     // vector

namespace errgroup::inline v1::mpi {

/// The numbers, each behind a space.
template <>
struct error_traits<lost_ranks> {
  static constexpr std::string_view name = "errgroup::mpi::lost_ranks";
  static std::string pack(lost_ranks const& lost) {
    std::string text;
    for (int const rank : lost.ranks) {
      text.append(" ").append(std::to_string(rank));
    }
    return text;
  }
  static lost_ranks unpack(std::string_view bytes) {
    lost_ranks lost;
    std::istringstream text{std::string(bytes)};
    for (int rank = 0; text >> rank;) {
      lost.ranks.push_back(rank);
    }
    return lost;
  }
};

}  // namespace errgroup::inline v1::mpi

namespace errgroup::inline v1::mpi::detail {
namespace {

/// How long a rank waits for the answers of the other ranks, once its patience is over.
constexpr std::chrono::milliseconds time_to_answer{500};

/// The pauses of a thread in `wait`. The other ranks are often only microseconds away, so it begins
/// without any.
class patience_loop {
 public:
  /// True in the rounds in which letters can be left alone.
  [[nodiscard]] bool is_hasty() const noexcept { return times_ < 1000 && times_ % 16 != 15; }
  void pause() noexcept {
    ++times_;
    if (times_ > 3000) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    } else if (times_ > 1000) {
      std::this_thread::yield();
    }
  }

 private:
  int times_ = 0;
};

}  // namespace

session::session(std::shared_ptr<channel> c, options const& opts)
    : channel_(std::move(c)),
      generation_(channel_->next_generation()),
      keeps_all_(opts.errors == keep::all),
      max_errors_(opts.max_errors),
      patience_(opts.patience) {
  carry<lost_ranks>();
}

void session::begin(errgroup::group& local) {
  {
    std::scoped_lock const held(lock_);
    local_ = &local;
  }
  if (channel_->ranks() > 1) {
    channel_->join(generation_, shared_from_this());
  } else {
    channel_->part(generation_);  // there are no letters
  }
}

void session::fail_to_begin(error const& why) noexcept {
  channel_->part(generation_);
  if (channel_->ranks() == 1) {
    return;
  }
  try {
    std::scoped_lock const held(lock_);
    tell_failure(why, true);
    (void)channel_->agree(generation_, inbox_.round(),
                          verdict::call_of(generation_, inbox_.round()), true);
  } catch (std::bad_alloc const&) {
    // The other ranks find out when this rank comes to its next call.
  }
}

// --- failures of this rank
// -------------------------------------------------------------------------

// Under the lock.
bool session::came_from_afar(error const& e) const noexcept {
  return from_afar_ && errgroup::detail::error_access::thrown(from_afar_) != nullptr &&
         e == from_afar_;
}

// Under the lock. True if the local group's error is its own, and no echo of another rank's.
bool session::is_own(error const& mine) const noexcept { return mine && !came_from_afar(mine); }

// Under the lock.
void session::tell_failure(error const& mine, bool is_last) {
  std::string const bytes = pack(mine);
  bool const keeps_going = local_ != nullptr && !local_->is_canceling();
  kind const last = keeps_going ? kind::quiet_failure : kind::last_failure;
  channel_->tell(is_last ? last : kind::failure, generation_, own_round_, bytes);
  own_ = mine;
  is_told_ = true;
  is_told_finally_ = is_last;
}

void session::on_cancel() noexcept {
  std::scoped_lock const held(lock_);
  if (local_ == nullptr || is_told_ || channel_->ranks() == 1 || came_from_afar(local_->cause())) {
    return;
  }
  error e = local_->first_error();
  if (!is_own(e)) {
    return;
  }
  try {
    tell_failure(e, !keeps_all_);
  } catch (std::bad_alloc const&) {
    // `wait` or the destructor tries again.
  }
}

// Under the lock. Tells the other ranks what they do not know yet of the error of this rank's
// joined group. True if this rank has failed by itself.
bool session::tell_own(error const& mine) {
  if (!is_own(mine)) {
    return false;
  }
  if (!is_told_ || (keeps_all_ && !is_told_finally_)) {
    std::vector<error> list;
    for (error const& one : mine.all()) {
      if (!came_from_afar(one)) {
        list.push_back(one);
      }
    }
    error all = combine(list);
    errgroup::detail::error_access::set_others(all, all.others().size(), mine.dropped(),
                                               mine.echoes());
    tell_failure(all, true);
  }
  return true;
}

// --- failures of other ranks
// -----------------------------------------------------------------------

void session::receive(letter const& l) noexcept {
  error cause;
  try {
    std::scoped_lock const held(lock_);
    if (l.what == kind::has_come || l.what == kind::has_not_come) {
      answered_.insert(l.from);
      if (l.what == kind::has_come) {
        has_come_.insert(l.from);
      }
      return;
    }
    if (receive_work(l)) {
      return;
    }
    error e = unpack(l.body, l.from);
    bool const is_quiet = l.what == kind::quiet_failure;
    bool const is_now = inbox_.take(l.from, l.round, e, l.what != kind::failure, is_quiet);
    if (!is_now || is_quiet || local_ == nullptr) {
      return;
    }
    cause = e;
  } catch (std::bad_alloc const&) {
    // The group is cancelled all the same. In `wait` it will be without this error.
    cause = errgroup::errc::canceled;
  }
  cancel_from_afar(cause);
}

void session::lose(std::error_code problem) noexcept { cancel_from_afar(problem); }

void session::cancel_from_afar(error const& cause) noexcept {
  errgroup::group* local = nullptr;
  {
    std::scoped_lock const held(lock_);
    if (local_ == nullptr || from_afar_) {
      return;
    }
    // Known before the cancellation: `on_cancel` has to see that it is not this rank's own.
    from_afar_ = cause;
    local = local_;
    ++visitors_;
  }
  local->cancel(cause);
  std::scoped_lock const held(lock_);
  if (--visitors_ == 0) {
    changed_.notify_all();
  }
}

// --- work that the ranks divide
// ----------------------------------------------------------------------

namespace {

std::string bytes_of(std::uint64_t number) {
  return {reinterpret_cast<char const*>(&number), sizeof number};
}

std::uint64_t number_in(std::string_view bytes) noexcept {
  std::uint64_t number = session::differs;
  if (bytes.size() == sizeof number) {
    std::memcpy(&number, bytes.data(), sizeof number);
  }
  return number;
}

}  // namespace

// Under the lock. Rank 0 may be asked before its own thread has come to the work: the first size
// that it hears of is the size.
std::uint64_t session::hand_out_chunk(std::uint64_t size) noexcept {
  if (!size_of_work_) {
    size_of_work_ = size;
  }
  return *size_of_work_ == size ? chunks_given_++ : differs;
}

// Under the lock. True if the letter is about work. Rank 0 answers in any thread that advances the
// channel: its own tasks may be long.
bool session::receive_work(letter const& l) {
  switch (l.what) {
    case kind::takes:
      channel_->tell(kind::gives, generation_, l.round, bytes_of(hand_out_chunk(number_in(l.body))),
                     l.from);
      return true;
    case kind::gives:
      chunks_.push_back(number_in(l.body));
      return true;
    case kind::parcel:
      parcels_.push_back(l.body);
      return true;
    default:
      return false;
  }
}

void session::take_chunk(std::uint64_t size) {
  std::scoped_lock const held(lock_);
  if (channel_->rank() == 0) {
    chunks_.push_back(hand_out_chunk(size));
  } else {
    channel_->tell(kind::takes, generation_, inbox_.round(), bytes_of(size), 0);
  }
}

std::optional<std::uint64_t> session::next_chunk() {
  std::scoped_lock const held(lock_);
  if (chunks_.empty()) {
    return {};
  }
  std::uint64_t const number = chunks_.front();
  chunks_.pop_front();
  return number;
}

void session::send_parcel(std::string_view body, int to) {
  std::scoped_lock const held(lock_);
  if (to == channel_->rank()) {
    parcels_.emplace_back(body);
  } else if (channel_->ranks() > 1) {
    channel_->tell(kind::parcel, generation_, inbox_.round(), body, to);
  }
}

std::optional<std::string> session::next_parcel() {
  std::scoped_lock const held(lock_);
  if (parcels_.empty()) {
    return {};
  }
  std::string bytes = std::move(parcels_.front());
  parcels_.pop_front();
  return bytes;
}

// --- the end
// ---------------------------------------------------------------------------------------

error session::wait() {
  if (extend::is_inside(*local_)) {
    return errgroup::errc::would_deadlock;
  }
  error mine = local_->wait();
  std::unique_lock held(lock_);
  if (is_waiting_) {
    // Another thread is waiting for the ranks, for this thread as well.
    changed_.wait(held, [this] { return !is_waiting_; });
    return outcome_;
  }
  if (has_failed_) {
    return outcome_;
  }
  is_waiting_ = true;
  held.unlock();
  error result;
  try {
    result = channel_->ranks() == 1 ? (mine ? on_rank(mine, 0) : error()) : join_ranks(mine);
  } catch (...) {
    held.lock();
    is_waiting_ = false;
    changed_.notify_all();
    throw;
  }
  if (result) {
    errgroup::detail::error_access::set_skipped(result, mine.skipped());
  }
  held.lock();
  outcome_ = result;
  has_failed_ = static_cast<bool>(result);
  is_waiting_ = false;
  changed_.notify_all();
  return result;
}

error session::join_ranks(error const& mine) {
  std::shared_ptr<agreement const> a;
  {
    std::scoped_lock const held(lock_);
    bool const has_failed = tell_own(mine);
    a = channel_->agree(generation_, inbox_.round(), verdict::call_of(generation_, inbox_.round()),
                        has_failed);
    // A cancellation beside this call comes too late for the agreement.
    own_round_ = inbox_.round() + 1;
  }
  auto last = patience_ ? clock::now() : clock::time_point();
  patience_loop waits;
  while (!channel_->is_done(*a)) {
    channel_->advance(waits.is_hasty());
    if (std::error_code const problem = channel_->problem()) {
      return problem;
    }
    if (patience_ && clock::now() - last >= *patience_) {
      std::set<int> const missing = ask_who_is_missing(*a);
      if (!missing.empty()) {
        return lost(missing);
      }
      last = clock::now();
    }
    waits.pause();
  }
  return agreed(*a);
}

// The error of all ranks, or success.
error session::agreed(agreement const& a) {
  if (!a.result().is_same_call()) {
    error e = heard();
    if (!e) {
      e = make_error(
          "the ranks have come for different calls: all ranks have to make and wait for "
          "their groups on a communicator in the same order",
          errc::out_of_order);
    }
    cancel_from_afar(e);
    return e;
  }
  if (!a.result().has_failed()) {
    error e = heard();  // of a rank that has given up waiting for this one
    if (e) {
      return e;
    }
    error early;  // of a rank that is in the next round already, and was cancelled in it
    {
      std::scoped_lock const held(lock_);
      inbox_.next_round();
      if (error const* const found = inbox_.canceling()) {
        early = *found;
      }
    }
    if (early) {
      cancel_from_afar(early);
    }
    return {};
  }
  std::vector<error> of_rank(static_cast<std::size_t>(channel_->ranks()));
  patience_loop waits;
  for (int rank = 0; rank != channel_->ranks(); ++rank) {
    if (!a.failed_ranks().contains(rank)) {
      continue;
    }
    for (;;) {
      {
        std::scoped_lock const held(lock_);
        if (rank == channel_->rank()) {
          of_rank[static_cast<std::size_t>(rank)] = on_rank(own_, rank);
          break;
        }
        if (inbox_.has_final(rank)) {
          of_rank[static_cast<std::size_t>(rank)] = inbox_.told_by(rank);
          break;
        }
      }
      channel_->advance();
      if (std::error_code const problem = channel_->problem()) {
        return problem;
      }
      waits.pause();
    }
    if (!keeps_all_) {
      break;
    }
  }
  return choose(of_rank, keeps_all_, max_errors_);
}

error session::heard() noexcept {
  std::scoped_lock const held(lock_);
  error const* const first = inbox_.lowest();
  return first != nullptr ? *first : error();
}

// Asks the other ranks whether they have come. The ranks that have not, or do not answer; none if
// the agreement has come about meanwhile.
std::set<int> session::ask_who_is_missing(agreement const& a) {
  {
    std::scoped_lock const held(lock_);
    answered_.clear();
    has_come_.clear();
    channel_->tell(kind::asks, generation_, inbox_.round(), {});
  }
  auto const until = clock::now() + time_to_answer;
  for (;;) {
    channel_->advance();
    if (channel_->is_done(a) || channel_->problem()) {
      return {};
    }
    std::scoped_lock const held(lock_);
    if (static_cast<int>(answered_.size()) == channel_->ranks() - 1 || clock::now() >= until) {
      std::set<int> missing;
      for (int rank = 0; rank != channel_->ranks(); ++rank) {
        if (rank != channel_->rank() && !has_come_.contains(rank)) {
          missing.insert(rank);
        }
      }
      return missing;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

// Gives up the wait. The agreement goes on without this thread; the missing ranks hear of it, so
// that they end.
error session::lost(std::set<int> const& missing) {
  error const e = make_error(lost_ranks{{missing.begin(), missing.end()}}, errc::lost_rank);
  {
    std::scoped_lock const held(lock_);
    std::string const bytes = pack(e);
    channel_->tell(kind::last_failure, generation_, inbox_.round(), bytes);
  }
  cancel_from_afar(e);
  return e;
}

void session::leave(bool is_waited_for) noexcept {
  bool const has_ranks = channel_->ranks() > 1;
  bool is_first = false;
  if (!is_waited_for) {
    {
      std::scoped_lock const held(lock_);
      is_first = !has_failed_;
    }
    if (is_first && has_ranks) {
      // The cancellation tells the other ranks (`on_cancel`).
      try {
        local_->cancel(make_error("the group was destroyed without a wait", errc::left));
      } catch (std::bad_alloc const&) {
        local_->cancel(errc::left);
      }
    }
  }
  if (is_first && has_ranks) {
    error const mine = local_->wait();
    try {
      std::scoped_lock const held(lock_);
      bool const has_failed = tell_own(mine);
      (void)channel_->agree(generation_, inbox_.round(),
                            verdict::call_of(generation_, inbox_.round()), has_failed);
    } catch (std::bad_alloc const&) {
      // The other ranks find out when this rank comes to its next call.
    }
  }
  if (has_ranks) {
    channel_->part(generation_);
  }
  std::unique_lock held(lock_);
  local_ = nullptr;
  changed_.wait(held, [this] { return visitors_ == 0; });
}

}  // namespace errgroup::inline v1::mpi::detail
