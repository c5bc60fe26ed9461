// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_FIRST_ERROR_HPP
#define ERRGROUP_DETAIL_FIRST_ERROR_HPP

#include <errgroup/detail/sync.hpp>
#include <errgroup/error.hpp>

#include <atomic>   // memory_order
#include <cstdint>  // uint8_t
#include <memory>   // construct_at, destroy_at
#include <utility>  // move

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// Keeps the first of many errors that threads offer at the same time.
///
/// Invariants:
/// - `state_` goes from empty to claimed to published. Only `take` goes back to empty.
/// - The thread that changes `state_` from empty to claimed writes the error. No other thread
///   writes it.
/// - A thread reads the error only after it has seen published.
///
/// Lock order: there is no lock. A reader that comes between claim and publication waits for the
/// claiming thread, which only copies an error meanwhile (a reference count).
///
/// May be destroyed when no thread is in a member function. `take` has the same condition.
class first_error {
 public:
  struct layout;  // for debuggers: layout.cpp

  first_error() noexcept {}  // NOLINT(modernize-use-equals-default): the union has no default
  first_error(first_error const&) = delete;
  first_error& operator=(first_error const&) = delete;
  ~first_error() {
    if (state_.load(std::memory_order_acquire) == published) {
      std::destroy_at(&error_);
    }
  }

  /// Keeps `e` and returns true if no error was offered before. Then the error is published when
  /// `offer` returns: `get` finds it in this thread, and in every thread that learns from this
  /// thread that `offer` has returned. `prepare` gets the copy before any other thread can see the
  /// copy. `prepare` must not throw.
  template <class Prepare>
  bool offer(error const& e, Prepare const& prepare) noexcept {
    // Relaxed: a thread that loses reads nothing that the winner wrote.
    std::uint8_t expected = empty;
    if (state_.load(std::memory_order_relaxed) != empty ||
        !state_.compare_exchange_strong(expected, claimed, std::memory_order_relaxed)) {
      return false;
    }
    prepare(*std::construct_at(&error_, e));
    state_.store(published, std::memory_order_release);  // with the acquire in `get`
    return true;
  }

  bool offer(error const& e) noexcept {
    return offer(e, [](error&) noexcept {});
  }

  /// True if an error was offered. `get` may have to wait for its publication.
  [[nodiscard]] bool is_taken() const noexcept {
    return state_.load(std::memory_order_relaxed) != empty;
  }

  /// The error; success if none was offered.
  [[nodiscard]] error get() const noexcept {
    for (;;) {
      switch (state_.load(std::memory_order_acquire)) {
        case empty:
          return {};
        case published:
          return error_;
        default:
          yield();
      }
    }
  }

  /// Moves the error out. Afterwards the object is empty again.
  [[nodiscard]] error take() noexcept {
    if (state_.load(std::memory_order_acquire) != published) {
      return {};
    }
    error e = std::move(error_);
    std::destroy_at(&error_);
    state_.store(empty, std::memory_order_release);
    return e;
  }

 private:
  static constexpr std::uint8_t empty = 0;
  static constexpr std::uint8_t claimed = 1;
  static constexpr std::uint8_t published = 2;

  atomic<std::uint8_t> state_{empty};
  union {
    error error_;
  };
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_DETAIL_FIRST_ERROR_HPP
