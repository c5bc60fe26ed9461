// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_CLOCK_HPP
#define ERRGROUP_CLOCK_HPP

#include <errgroup/detail/export.hpp>

#include <chrono>       // duration, nanoseconds, steady_clock, system_clock
#include <type_traits>  // is_floating_point_v

namespace errgroup::inline v1 {

/// The clock of all groups: `std::chrono::steady_clock`, unless a test has replaced it
/// (errgroup/testing.hpp). Its time points are time points of the steady clock.
///
/// While the machine sleeps, this clock runs on only if the steady clock does.
struct clock {
  /// A distance of two time points, in ticks of the steady clock.
  using duration = std::chrono::steady_clock::duration;
  /// The number type of `duration`.
  using rep = duration::rep;
  /// The length of a tick, in seconds: a `std::ratio`.
  using period = duration::period;
  /// A time point of the steady clock.
  using time_point = std::chrono::steady_clock::time_point;
  /// The clock never goes back.
  static constexpr bool is_steady = true;

  /// The present time; in a test with a `testing::test_clock`, the time of that clock.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API static time_point now() noexcept;
};

namespace detail {

/// `d` in ticks of the clock, rounded up. A duration out of range becomes the shortest or the
/// longest duration of the clock; the longest means "for ever".
template <class Rep, class Period>
[[nodiscard]] constexpr clock::duration saturated(
    std::chrono::duration<Rep, Period> const& d) noexcept {
  // The comparison uses floating point, which has the range. The exact conversion follows only if
  // `d` is within the range.
  using approximate = std::chrono::duration<long double, clock::period>;
  auto const ticks = std::chrono::duration_cast<approximate>(d).count();
  constexpr auto most = static_cast<long double>(clock::duration::max().count());
  if (!(ticks < most)) {
    return ticks >= most ? clock::duration::max() : clock::duration::zero();  // not a number
  }
  if (!(ticks > static_cast<long double>(clock::duration::min().count()))) {
    return clock::duration::min();
  }
  if constexpr (std::is_floating_point_v<Rep>) {
    auto const whole = static_cast<clock::rep>(ticks);
    return clock::duration(static_cast<long double>(whole) < ticks ? whole + 1 : whole);
  } else {
    return std::chrono::ceil<clock::duration>(d);
  }
}

/// `t + d`, or the first or last time point of the clock if the sum is out of range.
[[nodiscard]] constexpr clock::time_point after(clock::time_point t, clock::duration d) noexcept {
  if (d > clock::duration::zero()) {
    return t > clock::time_point::max() - d ? clock::time_point::max() : t + d;
  }
  return t < clock::time_point::min() - d ? clock::time_point::min() : t + d;
}

/// Converts a time point of the steady clock, of this clock, or of the system's clock. For the
/// system's clock, the distance from now counts: later changes of the system's clock have no
/// effect.
template <class Duration>
[[nodiscard]] clock::time_point to_clock(
    std::chrono::time_point<std::chrono::steady_clock, Duration> const& t) noexcept {
  return clock::time_point(saturated(t.time_since_epoch()));
}
template <class Duration>
[[nodiscard]] clock::time_point to_clock(
    std::chrono::time_point<std::chrono::system_clock, Duration> const& t) noexcept {
  clock::duration const now = std::chrono::system_clock::now().time_since_epoch();
  clock::duration const then = saturated(t.time_since_epoch());
  if (then == clock::duration::max()) {
    return clock::time_point::max();
  }
  clock::duration const away = then > clock::duration::zero() || then > clock::duration::min() + now
                                   ? then - now
                                   : clock::duration::min();
  return after(clock::now(), away);
}

}  // namespace detail
}  // namespace errgroup::inline v1

#endif  // ERRGROUP_CLOCK_HPP
