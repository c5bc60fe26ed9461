// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_CHANNEL_HPP
#define ERRGROUP_SRC_MPI_CHANNEL_HPP

#include "agreement.hpp"
#include "letter.hpp"
#include <errgroup/clock.hpp>

#include <mpi.h>

#include <atomic>        // atomic
#include <chrono>        // nanoseconds
#include <cstdint>       // uint32_t, uint64_t
#include <deque>         // deque
#include <list>          // list
#include <map>           // map
#include <memory>        // enable_shared_from_this, shared_ptr, unique_ptr
#include <mutex>         // mutex, unique_lock
#include <optional>      // optional
#include <set>           // set
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code
#include <utility>       // pair
#include <vector>        // vector

namespace errgroup::inline v1::mpi::detail {

/// The receiver of a group's letters.
class listener {
 public:
  listener() = default;
  listener(listener const&) = delete;
  listener& operator=(listener const&) = delete;
  virtual ~listener() = default;

  /// Called without a lock, by any thread that advances the channel.
  virtual void receive(letter const& l) noexcept = 0;
  /// MPI has failed on the channel: nothing more will come.
  virtual void lose(std::error_code problem) noexcept = 0;
};

/// The duplicate of a communicator, which all groups on that communicator share, and what travels
/// over it.
///
/// The channel of a communicator is made with the first group on it (MPI_Comm_idup, a collective
/// operation), is kept as an attribute of the communicator, and ends when the communicator is freed
/// or MPI is finalised.
///
/// Only point-to-point operations run on the duplicate, so any thread may advance it. Letters are
/// sent with MPI_Issend: a send that is complete was received. So a channel whose sends are
/// complete on all ranks has no letter under way, and can be freed.
///
/// Threads: any. The lock of the channel is held during calls of MPI that do not block, and never
///     while a listener is called.
class channel : public std::enable_shared_from_this<channel> {
 public:
  /// The channel of `parent`, made if there is none. Waits for the other ranks then, until `until`
  /// if that is given. Throws `std::system_error`, `std::bad_alloc`.
  static std::shared_ptr<channel> of(MPI_Comm parent,
                                     std::optional<clock::time_point> const& until);

  channel(MPI_Comm comm, int rank, int ranks) noexcept : comm_(comm), rank_(rank), ranks_(ranks) {}
  channel(channel const&) = delete;
  channel& operator=(channel const&) = delete;
  ~channel() = default;

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int ranks() const noexcept { return ranks_; }

  /// Takes the next generation for a group on this channel. All ranks number their groups alike.
  /// Letters of the generation are kept until `join` or `part`.
  std::uint64_t next_generation();
  /// Gives letters of a generation to `l` from now on; first those that came before the call.
  void join(std::uint64_t generation, std::shared_ptr<listener> const& l);
  /// Later letters of the generation are dropped.
  void part(std::uint64_t generation) noexcept;

  /// Sends a letter to every other rank, or to `to` alone.
  void tell(kind what, std::uint64_t generation, std::uint32_t round, std::string_view body,
            int to = -1);
  /// Takes part in an agreement of all ranks, behind the earlier agreements of this rank.
  std::shared_ptr<agreement const> agree(std::uint64_t generation, std::uint32_t round,
                                         std::uint32_t call, bool failed);

  /// Sends, receives and hands on whatever is there. Does not wait, not even for the lock. With
  /// `is_hasty` it looks for no letters.
  void advance(bool is_hasty = false) noexcept;
  [[nodiscard]] bool is_done(agreement const& a) noexcept;
  /// The failure of MPI on this channel, if any.
  [[nodiscard]] std::error_code problem() noexcept;

  /// True if somebody has to look for letters.
  [[nodiscard]] bool is_busy() const noexcept { return busy_.load(std::memory_order_relaxed); }
  /// Waits for all other ranks to close the channel as well, and frees the duplicate. Meanwhile it
  /// receives what is under way. Afterwards the channel does nothing.
  void close() noexcept;
  [[nodiscard]] bool is_closed() const noexcept {
    return is_closed_.load(std::memory_order_acquire);
  }

 private:
  struct outgoing {
    std::string bytes;
    std::vector<MPI_Request> requests;
  };
  struct incoming {
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
    int from = -1;
  };
  using deliveries = std::vector<std::pair<std::shared_ptr<listener>, letter>>;

  void advance_agreements();
  void advance_sends();
  void receive_letters(deliveries& found);
  void sort_letter(letter&& l, deliveries& found);
  void send(std::string bytes, int to);
  void note_problem(std::error_code problem) noexcept;
  void update_busy() noexcept;

  std::mutex lock_;
  MPI_Comm comm_;
  int rank_;
  int ranks_;
  std::atomic<bool> is_closed_{false};
  std::atomic<bool> busy_{false};
  std::error_code problem_;
  bool is_problem_told_ = false;
  std::uint64_t generations_ = 0;
  std::map<std::uint64_t, std::shared_ptr<listener>> listeners_;
  std::set<std::uint64_t> in_the_making_;  // generations that were taken, without a listener yet
  std::vector<letter> early_;  // of these, and of generations that this rank has not taken yet
  std::set<std::pair<std::uint64_t, std::uint32_t>>
      come_;  // the waits of the groups that are there
  std::deque<std::shared_ptr<agreement>> agreements_;
  std::list<outgoing> outgoing_;
  std::list<incoming> incoming_;
};

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_CHANNEL_HPP
