// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_BULK_HPP
#define ERRGROUP_TEST_SUPPORT_BULK_HPP

// What for_each, transform and reduce are tested with: ranges of every kind, and the ways in which
// their elements get to a thread.

#include <errgroup/group.hpp>

#include <gtest/gtest.h>

#include <array>         // array
#include <atomic>        // atomic
#include <cstddef>       // ptrdiff_t
#include <functional>    // function
#include <iterator>      // default_sentinel_t, input_iterator_tag
#include <list>          // list
#include <numeric>       // iota
#include <ranges>        // filter, iota, subrange, transform
#include <sstream>       // istringstream
#include <stdexcept>     // runtime_error
#include <string>        // string, to_string
#include <system_error>  // errc, error_code
#include <thread>        // yield
#include <vector>        // vector

namespace support {

inline std::error_code failure() { return std::make_error_code(std::errc::no_space_on_device); }

/// Calls `body(options)` for each way that elements take to a thread.
void with_all_options(std::function<void(errgroup::options const&)> const& body,
                      errgroup::options const& base = {});

/// Numbers that can be read once, and are given away.
class read_once {
 public:
  explicit read_once(int n) : n_(n) {}

  class iterator {
   public:
    using value_type = int;
    using difference_type = std::ptrdiff_t;

    explicit iterator(int left) : left_(left), total_(left) {}
    iterator(iterator&&) = default;
    iterator& operator=(iterator&&) = default;
    iterator(iterator const&) = delete;
    iterator& operator=(iterator const&) = delete;
    ~iterator() = default;

    int operator*() const { return total_ - left_; }
    iterator& operator++() {
      --left_;
      return *this;
    }
    void operator++(int) { --left_; }
    friend bool operator==(iterator const& a, std::default_sentinel_t) { return a.left_ == 0; }

   private:
    int left_;
    int total_;
  };

  [[nodiscard]] iterator begin() const { return iterator(n_); }
  [[nodiscard]] static std::default_sentinel_t end() { return {}; }

 private:
  int n_;
};

/// Calls `body(range)` with the numbers from 0 to n - 1 in ranges of every kind.
template <class Body>
void with_all_ranges(int n, Body body) {
  auto const trace = [n](char const* what) {
    return std::string(what) + " of " + std::to_string(n);
  };
  {
    SCOPED_TRACE(trace("a vector"));
    std::vector<int> v(static_cast<std::size_t>(n));
    std::iota(v.begin(), v.end(), 0);
    body(v);
  }
  {
    SCOPED_TRACE(trace("an iota"));
    body(std::views::iota(0, n));
  }
  {
    SCOPED_TRACE(trace("a list"));
    std::list<int> l(static_cast<std::size_t>(n));
    std::iota(l.begin(), l.end(), 0);
    body(l);
  }
  {
    SCOPED_TRACE(trace("a filtered range"));
    body(std::views::iota(0, n) | std::views::filter([](int) { return true; }));
  }
  {
    SCOPED_TRACE(trace("a stream"));
    std::string text;
    for (int i = 0; i != n; ++i) {
      text += std::to_string(i) + ' ';
    }
    std::istringstream in(text);
    body(std::ranges::subrange(std::istream_iterator<int>(in), std::istream_iterator<int>()));
  }
  {
    SCOPED_TRACE(trace("a range to be read once"));
    body(read_once(n));
  }
}

/// Counts the calls of a function of a view, and the threads that are in it at once.
class watched_calls {
 public:
  void enter() {
    int const now = inside_.fetch_add(1) + 1;
    int most = most_.load();
    while (most < now && !most_.compare_exchange_weak(most, now)) {
    }
    ++calls_;
    std::this_thread::yield();  // another thread may come in
    --inside_;
  }

  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] int most_at_once() const { return most_; }

 private:
  std::atomic<int> inside_{0};
  std::atomic<int> most_{0};
  std::atomic<int> calls_{0};
};

/// Calls `work(options, range)` for each way that elements take to a thread, with the numbers from
/// 0 to n - 1 behind a `views::filter`, and expects that iterators were incremented once for each
/// element, by one thread at a time.
template <class Work>
void expect_one_walk(int n, Work work) {
  with_all_options([&](errgroup::options const& opts) {
    watched_calls predicate;
    work(opts, std::views::iota(0, n) | std::views::filter([&predicate](int) {
                 predicate.enter();
                 return true;
               }));
    EXPECT_EQ(predicate.calls(), n);
    EXPECT_EQ(predicate.most_at_once(), 1);

    watched_calls behind;
    work(opts, std::views::iota(0, n) | std::views::filter([&behind](int i) {
                 behind.enter();
                 return i >= 0;
               }) | std::views::transform([](int i) { return i; }));
    EXPECT_EQ(behind.calls(), n);
    EXPECT_EQ(behind.most_at_once(), 1);
  });
}

/// Calls `work(options, range)` for each way that elements take to a thread, with `n` numbers
/// behind a `views::transform`, and expects that the iterator of each element was dereferenced
/// once.
template <class Work>
void expect_one_reading(int n, Work work) {
  std::list<int> numbers(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  with_all_options([&](errgroup::options const& opts) {
    watched_calls function;
    work(opts, numbers | std::views::transform([&function](int i) {
                 function.enter();
                 return i;
               }));
    EXPECT_EQ(function.calls(), n);
  });
}

/// Calls `body(range)` with only two kinds of ranges, one for each way. For tests that are compiled
/// with many types.
template <class Body>
void with_some_ranges(int n, Body body) {
  {
    SCOPED_TRACE("an iota of " + std::to_string(n));
    body(std::views::iota(0, n));
  }
  {
    SCOPED_TRACE("a range to be read once of " + std::to_string(n));
    body(read_once(n));
  }
}

/// A forward range of the numbers from 0 on, whose iterators throw when they leave `bad`.
class throws_at {
 public:
  throws_at(int n, int bad) : n_(n), bad_(bad) {}

  class iterator {
   public:
    using value_type = int;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    iterator(int at, int bad) : at_(at), bad_(bad) {}

    int operator*() const { return at_; }
    iterator& operator++() {
      if (at_ == bad_) {
        throw std::runtime_error("a bad iterator");
      }
      ++at_;
      return *this;
    }
    iterator operator++(int) {
      iterator const before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(iterator const& a, iterator const& b) { return a.at_ == b.at_; }

   private:
    int at_ = 0;
    int bad_ = 0;
  };

  [[nodiscard]] iterator begin() const { return {0, bad_}; }
  [[nodiscard]] iterator end() const { return {n_, bad_}; }

 private:
  int n_;
  int bad_;
};

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_BULK_HPP
