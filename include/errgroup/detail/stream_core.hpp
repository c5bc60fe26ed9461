// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_STREAM_CORE_HPP
#define ERRGROUP_DETAIL_STREAM_CORE_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/options.hpp>

#include <cstddef>          // size_t
#include <cstdint>          // uint8_t
#include <memory>           // unique_ptr
#include <source_location>  // source_location

namespace errgroup::inline v1::detail {

/// A result that waits for its turn.
class ERRGROUP_API parked_result {
 public:
  parked_result() = default;
  parked_result(parked_result const&) = delete;
  parked_result& operator=(parked_result const&) = delete;
  virtual ~parked_result();
};

/// What a stream does with a result: the consumer, and the type of the results.
class ERRGROUP_API stream_consumer {
 public:
  stream_consumer() = default;
  stream_consumer(stream_consumer const&) = delete;
  stream_consumer& operator=(stream_consumer const&) = delete;
  virtual ~stream_consumer();

  /// Hands a result to the consumer. Returns its failure.
  virtual error consume(parked_result& result) noexcept = 0;
};

/// Puts the results of tasks into the order of their submission, and hands them to a consumer, one
/// at a time.
///
/// A task that has a result *delivers* it under the task's number. If it is that number's turn, and
/// no other task is handing results over, the task hands over its result and those that follow
/// without a gap. Otherwise the result is parked. No task waits for its turn.
///
/// A parked result keeps its task's place in the group's bounded queue: the task is finished, but
/// counts as unfinished until its result was handed over. So the bound counts results, and `run`
/// waits, helps and is woken as in any group with a bounded queue.
///
/// After a cancellation, no result is handed over. The parked results are destroyed, and their
/// places given back, by the task whose turn it is: as long as a result is parked, that task is
/// unfinished, so there is always one.
class stream_core {
 public:
  /// `consumer` outlives the core. Throws as the constructor of a group.
  ERRGROUP_API stream_core(options const& opts, stream_consumer& consumer,
                           std::source_location where);
  stream_core(stream_core const&) = delete;
  stream_core& operator=(stream_core const&) = delete;
  /// Cancels and joins the group, if it was not waited for.
  ERRGROUP_API ~stream_core();

  [[nodiscard]] ERRGROUP_API group& in() noexcept;
  [[nodiscard]] ERRGROUP_API group const& in() const noexcept;

  [[nodiscard]] stream_consumer& consumer() const noexcept { return consumer_; }

  /// What becomes of a result.
  enum class turn : std::uint8_t { now, later, never };

  // The next functions are called by a task that delivers the result of `number`, its own.

  /// `now`: the caller hands over its result, and then calls `end_turn`. `later`: it parks its
  /// result. `never`: it destroys its result.
  [[nodiscard]] ERRGROUP_API turn begin_turn(std::size_t number) noexcept;
  /// The consumer has returned `failure` for the result of `number`. Hands over the results that
  /// follow.
  ERRGROUP_API void end_turn(std::size_t number, error failure) noexcept;
  /// Parks the result, or hands it over, if its turn has come meanwhile.
  ERRGROUP_API void park(std::size_t number, std::unique_ptr<parked_result> result) noexcept;
  /// The task `number` ends without a result. `npos`: it has no number, as it was skipped.
  ERRGROUP_API void leave_out(std::size_t number) noexcept;

  /// As `group::reset`.
  ERRGROUP_API void reset();

 private:
  class state;

  stream_consumer& consumer_;
  state* state_;  // no unique_ptr: tasks use it during the destructor, where libc++ sets it to null
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_STREAM_CORE_HPP
