// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_CALLS_HPP
#define ERRGROUP_TEST_SUPPORT_CALLS_HPP

// What `join`, `all` and the like are given, and what comes back: callables that count their
// copies, ranges of every kind, values that are hard to keep.

#include "support/callables.hpp"

#include <atomic>      // atomic
#include <cstddef>     // ptrdiff_t, size_t
#include <functional>  // invoke
#include <iterator>    // default_sentinel_t, input_iterator_tag
#include <utility>     // forward, move
#include <vector>      // vector

namespace support {

/// A callable whose copies are counted, and are no fewer than they need to be: moving it may throw,
/// as far as a container knows.
template <class F>
class counts_copies {
 public:
  explicit counts_copies(F f) : f_(std::move(f)) {}
  counts_copies(counts_copies const& other) : f_(other.f_) { ++copies; }
  // NOLINTNEXTLINE(*noexcept-move*)
  counts_copies(counts_copies&& other) noexcept(false) : f_(std::move(other.f_)) { ++moves; }
  counts_copies& operator=(counts_copies const&) = delete;
  counts_copies& operator=(counts_copies&&) = delete;
  ~counts_copies() = default;

  auto operator()() { return f_(); }

  static inline std::atomic<int> copies{0};
  static inline std::atomic<int> moves{0};

 private:
  counted alive_;
  F f_;
};

/// A range that can be passed through once: its iterators hand out what they are at, and go on.
template <class T>
class single_pass {
 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    explicit iterator(single_pass* of) : of_(of) {}
    iterator(iterator const&) = delete;
    iterator(iterator&&) = default;
    iterator& operator=(iterator const&) = delete;
    iterator& operator=(iterator&&) = default;
    ~iterator() = default;

    T operator*() const { return std::move(of_->items_[of_->at_]); }
    iterator& operator++() {
      ++of_->at_;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(iterator const& i, std::default_sentinel_t /*unused*/) {
      return i.is_at_end();
    }

   private:
    [[nodiscard]] bool is_at_end() const { return of_->at_ == of_->items_.size(); }

    single_pass* of_;
  };

  explicit single_pass(std::vector<T> items) : items_(std::move(items)) {}

  iterator begin() { return iterator(this); }
  [[nodiscard]] static std::default_sentinel_t end() { return {}; }

 private:
  std::vector<T> items_;
  std::size_t at_ = 0;
};

/// A value that can be moved, and nothing else: no default, no copy, no assignment.
class just_moved {
 public:
  explicit just_moved(int n) : n_(n) {}
  just_moved(just_moved&&) noexcept = default;
  just_moved(just_moved const&) = delete;
  just_moved& operator=(just_moved&&) = delete;
  just_moved& operator=(just_moved const&) = delete;
  ~just_moved() = default;

  [[nodiscard]] int get() const { return n_; }
  friend bool operator==(just_moved const& a, just_moved const& b) { return a.n_ == b.n_; }

 private:
  counted alive_;
  int n_;
};

/// A value whose copies are counted, and which a container copies wherever it can do so instead of
/// a move that may throw.
class rather_copied {
 public:
  explicit rather_copied(int n) : n_(n) {}
  rather_copied(rather_copied const& other) : n_(other.n_) { ++copies; }
  rather_copied(rather_copied&& other) noexcept(false) : n_(other.n_) {}  // NOLINT(*noexcept-move*)
  rather_copied& operator=(rather_copied const&) = delete;
  rather_copied& operator=(rather_copied&&) = delete;
  ~rather_copied() = default;

  [[nodiscard]] int get() const { return n_; }
  friend bool operator==(rather_copied const& a, rather_copied const& b) { return a.n_ == b.n_; }

  static inline std::atomic<int> copies{0};

 private:
  counted alive_;
  int n_;
};

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_CALLS_HPP
