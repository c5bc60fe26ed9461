// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_CLOCK_HPP
#define ERRGROUP_CLOCK_HPP

#include <errgroup/detail/export.hpp>

#include <chrono>       // duration, nanoseconds, steady_clock, system_clock
#include <type_traits>  // is_floating_point_v

namespace errgroup {

/// The clock that groups go by: `std::chrono::steady_clock`, unless a test has replaced it
/// (errgroup/testing.hpp). Its times are those of the steady clock.
///
/// It does not stop while the machine sleeps only if the steady clock does not.
struct clock {
  using duration = std::chrono::steady_clock::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr bool is_steady = true;

  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API static time_point now() noexcept;
};

namespace detail {

/// As many of the clock's ticks as fit: what is longer than the clock can tell is for ever.
template <class Rep, class Period>
[[nodiscard]] constexpr clock::duration saturated(
    std::chrono::duration<Rep, Period> const& d) noexcept {
  // In floating point, which has the range; exact conversion where that is far from the ends.
  using approximate = std::chrono::duration<long double, clock::period>;
  auto const ticks = std::chrono::duration_cast<approximate>(d).count();
  constexpr auto most = static_cast<long double>(clock::duration::max().count());
  if (!(ticks < most)) {
    return ticks >= most ? clock::duration::max() : clock::duration::zero();  // no number
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

/// The time that is `d` after `t`, or the first or last that there is.
[[nodiscard]] constexpr clock::time_point after(clock::time_point t, clock::duration d) noexcept {
  if (d > clock::duration::zero()) {
    return t > clock::time_point::max() - d ? clock::time_point::max() : t + d;
  }
  return t < clock::time_point::min() - d ? clock::time_point::min() : t + d;
}

/// The clock's time for one of the steady clock, of this clock, or of the system's clock: of that,
/// how far away it is now, whatever happens to the system's clock later.
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
}  // namespace errgroup

#endif  // ERRGROUP_CLOCK_HPP
