// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_PROGRESS_HPP
#define ERRGROUP_PROGRESS_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/error.hpp>  // npos

#include <chrono>      // milliseconds, nanoseconds
#include <concepts>    // integral, same_as
#include <cstddef>     // size_t
#include <functional>  // function
#include <iosfwd>      // ostream
#include <memory>      // shared_ptr
#include <optional>    // optional
#include <utility>     // cmp_less, move

namespace errgroup::inline v1 {
namespace detail {

class progress_core;

[[noreturn]] ERRGROUP_API void refuse_negative_total();

}  // namespace detail

/// How far the work has come, at one moment.
struct progress_view {
  std::size_t done = 0;                   ///< the sum of all `progress::add`
  std::size_t total = npos;               ///< `npos` if the total is unknown
  std::chrono::nanoseconds elapsed = {};  ///< since the progress was made, by `errgroup::clock`
  bool is_final = false;                  ///< true in the last call

  /// `done / total`, from 0 to 1: also 1 if more was done than the total, and if the total is 0.
  /// Empty if the total is unknown.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::optional<double> fraction() const noexcept;
  /// How much was done in a second, on average since the progress was made. 0 if no time has
  /// passed.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API double rate() const noexcept;
  /// The time that the rest takes at the average rate; 0 if nothing is left. Empty if the total is
  /// unknown, and while the rate is 0.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::optional<std::chrono::nanoseconds> time_left()
      const noexcept;

  /// Writes one short line without a line end, as one text, so that `std::setw` applies to it:
  ///
  ///     1,234 of 5,000 (24 %), 410/s, 9 s left
  ///     5,000 of 5,000 (100 %), 410/s, in 12 s     (the final call)
  ///     1,234 done, 410/s                          (the total is unknown)
  ///
  /// The share is rounded down: 100 % means that nothing is left.
  friend ERRGROUP_API std::ostream& operator<<(std::ostream& out, progress_view const& p);
};

/// How a progress calls its function. New options are appended, never inserted.
struct progress_options {
  /// The shortest time between the starts of two calls. The final call may come earlier.
  std::chrono::nanoseconds interval = std::chrono::milliseconds(200);
};

/// Counts what is done, and calls a function from time to time, to show it.
///
///     errgroup::progress shown(files.size(), [](errgroup::progress_view const& p) {
///       std::cerr << '\r' << std::left << std::setw(60) << p;
///     });
///     auto err = errgroup::for_each({.progress = &shown}, files, check);
///     shown.finish();
///
/// `for_each`, `transform`, `reduce` and `pipeline` count in the progress that
/// `options::progress` points to. Other code calls `add`. Several calls, and several threads, may
/// count in one progress. So such a function does not call `finish`: only the owner knows that no
/// more work comes.
///
/// The function is called
///
/// - one `interval` after the construction, and every `interval` until `finish`, also while all
///   workers are busy, and while nothing is added: a thread beside oneTBB's workers calls it. No
///   thread that waits for the work calls it;
/// - by one thread at a time, and not again before `interval` has passed since the last call began.
///   If a call takes longer than that, the next call follows soon after its end;
/// - a last time by `finish`, or else by the destructor. The final call sees every `add` that
///   happened before it. No call follows.
///
/// The function may write, block and take locks. A call that blocks delays the calls that follow
/// and `finish`, but no deadline and no other progress. It must not call `finish` for its own
/// progress, and must not destroy it. An exception that leaves the function terminates the process,
/// as from a `noexcept` function: no caller could handle the exception. The function is destroyed
/// after the final call, before `finish` returns.
///
/// The calls are made by the threads that also run the callbacks of passed deadlines. If there is
/// no such thread and none can be started, the timer's thread makes the call. If the timer's thread
/// has ended and cannot be started again, only the final call is made.
///
/// In a test, the calls follow `errgroup::testing::test_clock`. Make the clock before the progress.
///
/// The progress has to outlive the functions that count in it.
class progress {
 public:
  /// The type of the function that shows the progress.
  using function = std::function<void(progress_view const&)>;

  /// A progress of `total` steps; `npos` if their number is unknown.
  ///
  /// Throws: `std::invalid_argument` for a negative total, for an empty function, and for an
  ///     interval that is not positive; `std::bad_alloc`; `std::system_error` if the timer's thread
  ///     cannot be started.
  template <std::integral N>
    requires(!std::same_as<N, bool>)
  progress(progress_options const& opts, N total, function call)
      : progress(opts, std::move(call), total_of(total)) {}
  /// The same, with the interval of `progress_options`.
  template <std::integral N>
    requires(!std::same_as<N, bool>)
  progress(N total, function call) : progress({}, std::move(call), total_of(total)) {}

  /// A progress whose total is unknown: it counts, and has no share and no time left.
  progress(progress_options const& opts, function call) : progress(opts, std::move(call), npos) {}
  /// The same, with the interval of `progress_options`.
  explicit progress(function call) : progress({}, std::move(call), npos) {}

  progress(progress const&) = delete;
  progress& operator=(progress const&) = delete;

  /// Calls `finish`.
  ERRGROUP_API ~progress();

  /// Counts `n` steps as done. More than the total may be done.
  ///
  /// Threads: any, the function included.
  /// Ordering: the final call sees it if it happened before `finish`. It makes nothing else visible
  ///     to the function: the function reads other data with locks or atomics of its own.
  /// Cost: some nanoseconds; no lock. Threads count in different cache lines.
  ERRGROUP_API void add(std::size_t n = 1) noexcept;

  /// Makes the final call in the calling thread, after a call that is running, and returns when it
  /// has returned. Does nothing if the final call was made before; if another thread is about to
  /// make it, waits for that.
  ///
  /// Hold no lock that the function takes. What is added later is counted, and not shown.
  ///
  /// Throws: `std::logic_error` if the function calls it.
  /// Threads: any but the function's.
  ERRGROUP_API void finish();

  /// How far the work has come now. Threads: any, the function included.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API progress_view view() const noexcept;

 private:
  ERRGROUP_API progress(progress_options const& opts, function call, std::size_t total);

  template <class N>
  static std::size_t total_of(N total) {
    if (std::cmp_less(total, 0)) {
      detail::refuse_negative_total();
    }
    return static_cast<std::size_t>(total);
  }

  // A call that is due may still wait for its thread when the progress is destroyed.
  std::shared_ptr<detail::progress_core> core_;
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_PROGRESS_HPP
