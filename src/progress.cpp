// SPDX-License-Identifier: Apache-2.0
#include "cleanup.hpp"
#include "timer.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/progress.hpp>

#include <algorithm>     // max, min
#include <array>         // array
#include <atomic>        // atomic
#include <cmath>         // ceil, lround
#include <cstdint>       // uint64_t
#include <cstdio>        // snprintf
#include <memory>        // enable_shared_from_this, make_shared, shared_ptr
#include <mutex>         // call_once, mutex, once_flag, scoped_lock
#include <new>           // bad_alloc
#include <ostream>       // ostream
#include <stdexcept>     // invalid_argument, logic_error
#include <string>        // string, to_string
#include <system_error>  // system_error
#include <thread>        // this_thread, thread

namespace errgroup::inline v1 {
namespace detail {
namespace {

constexpr std::size_t shard_count = 16;

/// A counter for some of the threads, in a cache line of its own.
struct alignas(64) shard {
  std::atomic<std::size_t> count{0};
};

/// The number of the shard in which this thread counts. Threads get their numbers in turns.
std::size_t shard_here() noexcept {
  static constinit std::atomic<std::size_t> threads{0};
  constinit static thread_local std::size_t mine = 0;  // 1 more than the number
  if (mine == 0) [[unlikely]] {
    mine = 1 + threads.fetch_add(1, std::memory_order_relaxed) % shard_count;
  }
  return mine - 1;
}

}  // namespace

// The mechanism: an alarm rings on the timer's thread, which runs no user code. So `ring` hands a
// cleanup over to a cleanup thread, and that thread calls the function and then sets the alarm
// again.
//
// Invariants:
// - Either the alarm is set, or a call waits for its thread or runs, or no call follows.
// - `calls_` is held during each call but the final one, and while the alarm is set again.
// - After `is_finished_` is set, only the final call is made, and the alarm is not set again.
//
// Not done: an alarm that sets itself again when it rings. Calls come later than their alarms by
// different times, so two calls could come closer than the interval.
class progress_core final : public std::enable_shared_from_this<progress_core>,
                            private alarm,
                            private cleanup {
 public:
  progress_core(std::chrono::nanoseconds interval, progress::function call, std::size_t total)
      : alarm(use_timer()),
        cleanup(&run),
        interval_(interval),
        total_(total),
        call_(std::move(call)) {}

  /// Sets the alarm for the first time. Throws `std::system_error`.
  void start() { set(after(begin_, interval_)); }

  void add(std::size_t n) noexcept {
    // relaxed: `view` needs no more than the count. The final call follows the additions that
    // happened before `finish`.
    shards_[shard_here()].count.fetch_add(n, std::memory_order_relaxed);
  }

  [[nodiscard]] progress_view view(clock::time_point now, bool is_final) const noexcept {
    std::size_t done = 0;
    for (shard const& s : shards_) {
      done += s.count.load(std::memory_order_relaxed);
    }
    return {done, total_, std::max(now - begin_, clock::duration::zero()), is_final};
  }

  void finish() {
    if (caller_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
      throw std::logic_error(
          "errgroup::progress::finish was called by the function of the same progress, which would "
          "wait for itself: finish the progress after the work");
    }
    std::call_once(once_, [this]() noexcept {
      {
        std::scoped_lock const held(calls_);  // waits for a call that is running
        is_finished_ = true;
      }
      stop();  // without the lock: if the system has no thread, `ring` itself comes to `tick`
      call(clock::now(), true);
      call_ = nullptr;
    });
  }

 private:
  /// On the timer's thread. The owner keeps this object until `stop` has returned.
  void ring(clock::time_point /*now*/) noexcept override {
    self_ = shared_from_this();
    hand_over();
  }

  /// On a cleanup thread.
  static void run(cleanup& c) noexcept {
    auto& core = static_cast<progress_core&>(c);
    auto const self = std::move(core.self_);  // before the alarm can ring again
    core.tick();
  }

  void tick() noexcept {
    std::scoped_lock const held(calls_);
    if (is_finished_) {
      return;
    }
    clock::time_point const begin = clock::now();
    call(begin, false);
    try {
      set(after(begin, interval_));
    } catch (std::system_error const&) {
      // The system has no thread for the timer: the final call is the next.
    } catch (std::bad_alloc const&) {
      // The same.
    }
  }

  void call(clock::time_point now, bool is_final) noexcept {
    caller_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    call_(view(now, is_final));
    caller_.store({}, std::memory_order_relaxed);
  }

  std::array<shard, shard_count> shards_;
  clock::time_point const begin_ = clock::now();
  std::chrono::nanoseconds const interval_;
  std::size_t const total_;
  std::mutex calls_;
  progress::function call_;
  bool is_finished_ = false;
  std::once_flag once_;
  std::atomic<std::thread::id> caller_{};  // a thread looks only for its own id
  std::shared_ptr<progress_core> self_;    // from `ring` to `run`
};

void refuse_negative_total() {
  throw std::invalid_argument(
      "errgroup: a progress with a negative total: give it the number of steps, or errgroup::npos "
      "if the number is unknown");
}

namespace {

std::shared_ptr<progress_core> make_core(progress_options const& opts, progress::function&& call,
                                         std::size_t total) {
  if (!call) {
    throw std::invalid_argument("errgroup: a progress with an empty function has nothing to call");
  }
  if (opts.interval <= std::chrono::nanoseconds::zero()) {
    std::string text = "errgroup::progress_options::interval is ";
    text += std::to_string(opts.interval.count());
    text += " ns: give it the shortest time between two calls, more than 0, such as 200 ms";
    throw std::invalid_argument(text);
  }
  auto core = std::make_shared<progress_core>(opts.interval, std::move(call), total);
  core->start();
  return core;
}

double in_seconds(std::chrono::nanoseconds time) noexcept {
  return std::chrono::duration<double>(time).count();
}

/// "1,234,567"
std::string grouped(std::uint64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t at = text.size(); at > 3; at -= 3) {
    text.insert(at - 3, 1, ',');
  }
  return text;
}

/// With one digit behind the point if the number is small.
std::string short_number(double n) {
  if (n >= 9.95) {
    return grouped(static_cast<std::uint64_t>(std::min(n + 0.5, 1e18)));
  }
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.1f", n);
  return text.data();
}

std::string rate_in_words(double rate) {
  if (rate >= 1) {
    return short_number(rate) + "/s";
  }
  return rate * 60 >= 1 ? short_number(rate * 60) + "/min" : short_number(rate * 3600) + "/h";
}

/// "9 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"
std::string time_in_words(std::uint64_t s) {
  auto const two = [](std::uint64_t n, char const* unit, std::uint64_t rest, char const* smaller) {
    std::string text = grouped(n) + ' ' + unit;
    if (rest != 0) {
      text += ' ' + std::to_string(rest) + ' ' + smaller;
    }
    return text;
  };
  if (s < 60) {
    return std::to_string(s) + " s";
  }
  if (s < 3600) {
    return two(s / 60, "min", s % 60, "s");
  }
  if (s < 86400) {
    return two(s / 3600, "h", s % 3600 / 60, "min");
  }
  return two(s / 86400, "d", s % 86400 / 3600, "h");
}

}  // namespace
}  // namespace detail

std::optional<double> progress_view::fraction() const noexcept {
  if (total == npos) {
    return {};
  }
  return done >= total ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
}

double progress_view::rate() const noexcept {
  double const time = detail::in_seconds(elapsed);
  return time > 0 ? static_cast<double>(done) / time : 0;
}

std::optional<std::chrono::nanoseconds> progress_view::time_left() const noexcept {
  if (total == npos) {
    return {};
  }
  if (done >= total) {
    return std::chrono::nanoseconds::zero();
  }
  if (done == 0 || elapsed <= std::chrono::nanoseconds::zero()) {
    return {};
  }
  double const parts = static_cast<double>(total - done) / static_cast<double>(done);
  return detail::saturated(std::chrono::duration<double>(detail::in_seconds(elapsed) * parts));
}

std::ostream& operator<<(std::ostream& out, progress_view const& p) {
  std::string text = detail::grouped(p.done);
  if (auto const fraction = p.fraction()) {
    int const percent = p.done >= p.total ? 100 : std::min(99, static_cast<int>(*fraction * 100));
    text += " of " + detail::grouped(p.total) + " (" + std::to_string(percent) + " %)";
  } else {
    text += " done";
  }
  if (p.rate() > 0) {
    text += ", " + detail::rate_in_words(p.rate());
  }
  if (p.is_final) {
    double const time = std::max(0.0, detail::in_seconds(p.elapsed));
    text += ", in ";
    text += time < 9.95 ? detail::short_number(time) + " s"
                        : detail::time_in_words(static_cast<std::uint64_t>(std::lround(time)));
  } else if (auto const left = p.time_left()) {
    auto const whole = std::chrono::ceil<std::chrono::seconds>(*left);
    text += ", " + detail::time_in_words(static_cast<std::uint64_t>(whole.count())) + " left";
  }
  return out << text;
}

progress::progress(progress_options const& opts, function call, std::size_t total)
    : core_(detail::make_core(opts, std::move(call), total)) {}

progress::~progress() { finish(); }

void progress::add(std::size_t n) noexcept { core_->add(n); }

void progress::finish() { core_->finish(); }

progress_view progress::view() const noexcept { return core_->view(clock::now(), false); }

}  // namespace errgroup::inline v1
