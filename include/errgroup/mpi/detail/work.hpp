// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_DETAIL_WORK_HPP
#define ERRGROUP_MPI_DETAIL_WORK_HPP

#include <errgroup/error.hpp>
#include <errgroup/mpi/group.hpp>
#include <errgroup/mpi/options.hpp>
#include <errgroup/options.hpp>

#include <mpi.h>

#include <cstddef>          // size_t
#include <functional>       // function
#include <source_location>  // source_location
#include <string>           // string
#include <string_view>      // string_view

namespace errgroup::inline v1::mpi::detail {

/// The elements from `first` to `last`, without `last`.
struct part {
  std::size_t first;
  std::size_t last;

  [[nodiscard]] std::size_t size() const noexcept { return last - first; }
};

/// Part number `i` of `count` elements that are divided into `parts` parts of nearly equal size.
constexpr part part_of(std::size_t count, std::size_t parts, std::size_t i) noexcept {
  std::size_t const size = count / parts;
  std::size_t const larger = count % parts;  // this many parts have one element more
  std::size_t const first = i * size + (i < larger ? i : larger);
  return {first, first + size + (i < larger ? 1 : 0)};
}

/// The options of the groups that work on the elements of a chunk.
errgroup::options options_of_chunk(options const& opts);

/// One call of `for_each` or `reduce` over ranks: a group over ranks, in which each rank has a task
/// that takes one chunk after the other.
///
/// Rank 0 counts the chunks that were taken. A rank asks for its next chunks by a message. It asks
/// for two before it begins, and for one more at each chunk. So the answer to a question comes
/// while the rank works. With 16 chunks for each rank, a rank that is late has at most a sixteenth
/// of its share left when the other ranks are done.
class work {
 public:
  /// `count` elements, which have to be as many on all ranks, in `units` that are not divided.
  work(MPI_Comm comm, options const& opts, std::size_t count, std::size_t units,
       std::source_location where);

  /// Calls `each(units)` for all chunks of this rank, and then `last()`, in tasks of the group, and
  /// waits for all ranks. After a failure under `on_error::keep_going`, goes on with the next
  /// chunk.
  [[nodiscard]] error run(std::function<error(part)> const& each,
                          std::function<error()> const& last);

  [[nodiscard]] int rank() const noexcept { return group_.rank(); }
  /// Cancels all ranks for a failure that belongs to no element.
  void cancel(error cause) noexcept;
  /// Sends a part of the result to the rank `to`, or to all other ranks.
  void send(std::string_view bytes, int to);
  /// Waits, in `each` or `last`, for a part of the result. An error if the group is cancelled.
  [[nodiscard]] error receive(std::string& bytes);

 private:
  error take_chunks(std::function<error(part)> const& each, std::function<error()> const& last);
  void ask();
  error next(std::size_t& number);
  template <class Look>
  error look_until(Look const& is_there);

  std::size_t count_;
  std::size_t units_;
  std::size_t chunks_;
  std::size_t skipped_ = 0;  // elements without a call, in chunks that this rank had begun
  int awaited_ = 0;          // questions without an answer so far
  bool is_over_ = false;     // an answer has said that there is no chunk left
  bool keeps_going_;
  std::source_location where_;
  group group_;
};

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_MPI_DETAIL_WORK_HPP
