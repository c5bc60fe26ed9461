// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_SESSION_HPP
#define ERRGROUP_SRC_MPI_SESSION_HPP

#include "channel.hpp"
#include "inbox.hpp"
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/mpi/options.hpp>

#include <mpi.h>

#include <chrono>              // nanoseconds
#include <condition_variable>  // condition_variable
#include <cstddef>             // size_t
#include <cstdint>             // uint64_t
#include <deque>               // deque
#include <memory>              // enable_shared_from_this, shared_ptr
#include <mutex>               // mutex
#include <optional>            // optional
#include <set>                 // set
#include <string>              // string
#include <string_view>         // string_view

namespace errgroup::inline v1::mpi::detail {

/// What a group over ranks knows of the other ranks, beside its local group.
///
/// The channel owns the session together with the group, because a thread that advances the channel
/// may hand it a letter while the group is destroyed. `leave` waits for such threads.
///
/// Locks: the lock of the session is taken before the lock of the channel. The local group is
/// called without both, except for `cause` and `first_error`.
class session final : public listener, public std::enable_shared_from_this<session> {
 public:
  session(std::shared_ptr<channel> c, options const& opts);

  /// Receives letters from now on, and cancels `local` when another rank has failed.
  void begin(errgroup::group& local);
  /// The local group could not be made: tells the other ranks why. Instead of `begin`.
  void fail_to_begin(error const& why) noexcept;

  /// In the thread that has cancelled the local group: tells the other ranks, unless the
  /// cancellation came from another rank.
  void on_cancel() noexcept;
  error wait();
  /// The end of the group. `is_waited_for`: nothing is left to tell.
  void leave(bool is_waited_for) noexcept;

  void receive(letter const& l) noexcept override;
  void lose(std::error_code problem) noexcept override;

  /// Work that the ranks divide: see `work`. Rank 0 counts the chunks. `take_chunk` asks rank 0 for
  /// the next chunk of a work of `size` elements. The number comes later (`next_chunk`).
  void take_chunk(std::uint64_t size);
  [[nodiscard]] std::optional<std::uint64_t> next_chunk();
  /// The number of a chunk on a rank whose size is not that of rank 0.
  static constexpr std::uint64_t differs = ~std::uint64_t{0};
  /// Sends a part of the result to `to`, or to all other ranks if `to` is -1.
  void send_parcel(std::string_view body, int to);
  [[nodiscard]] std::optional<std::string> next_parcel();
  void advance() noexcept { channel_->advance(); }

  [[nodiscard]] channel const& over() const noexcept { return *channel_; }

 private:
  error join_ranks(error const& mine);
  bool tell_own(error const& mine);
  void tell_failure(error const& mine, bool is_last);
  error agreed(agreement const& a);
  error heard() noexcept;
  error lost(std::set<int> const& missing);
  [[nodiscard]] std::set<int> ask_who_is_missing(agreement const& a);
  void cancel_from_afar(error const& cause) noexcept;
  bool receive_work(letter const& l);
  std::uint64_t hand_out_chunk(std::uint64_t size) noexcept;
  [[nodiscard]] bool is_own(error const& mine) const noexcept;
  [[nodiscard]] bool came_from_afar(error const& e) const noexcept;

  std::shared_ptr<channel> const channel_;
  std::uint64_t const generation_;
  bool const keeps_all_;
  std::size_t const max_errors_;
  std::optional<std::chrono::nanoseconds> const patience_;

  std::mutex lock_;
  std::condition_variable changed_;
  errgroup::group* local_ = nullptr;
  int visitors_ = 0;  // threads that call the local group for a letter
  inbox inbox_;
  error from_afar_;              // what another rank's failure has cancelled the local group with
  error own_;                    // what this rank has told
  std::uint32_t own_round_ = 1;  // the round of which a failure of this rank is told
  bool is_told_ = false;
  bool is_told_finally_ = false;
  bool is_waiting_ = false;
  bool has_failed_ = false;
  error outcome_;
  std::set<int> answered_;  // ranks that have answered `asks`, and of these, those that have come
  std::set<int> has_come_;
  std::optional<std::uint64_t> size_of_work_;  // on rank 0
  std::uint64_t chunks_given_ = 0;             // on rank 0
  std::deque<std::uint64_t> chunks_;           // numbers that rank 0 has given to this rank
  std::deque<std::string> parcels_;
};

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_SESSION_HPP
