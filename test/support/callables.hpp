// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_CALLABLES_HPP
#define ERRGROUP_TEST_SUPPORT_CALLABLES_HPP

// Tasks that are hard to keep, and a way to see that each of them is destroyed.

#include <gtest/gtest.h>

#include <atomic>     // atomic
#include <stdexcept>  // runtime_error
#include <utility>    // move

namespace support {

/// A payload whose live objects are counted: what holds one and leaks is found at the end of the
/// test (`no_leaks`).
class counted {
 public:
  counted() noexcept { ++live_; }
  counted(counted const&) noexcept { ++live_; }
  counted(counted&&) noexcept { ++live_; }
  counted& operator=(counted const&) noexcept = default;
  counted& operator=(counted&&) noexcept = default;
  ~counted() { --live_; }

  /// How many there are.
  [[nodiscard]] static int live() noexcept { return live_.load(); }

 private:
  static inline std::atomic<int> live_{0};
};

/// A fixture that asserts after every test that no callable with a `counted` in it is left.
class no_leaks : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(counted::live(), 0) << "left by an earlier test"; }
  void TearDown() override { EXPECT_EQ(counted::live(), 0) << "a callable was not destroyed"; }
};

struct thrown_by_copy : std::runtime_error {
  thrown_by_copy() : std::runtime_error("a callable was copied") {}
};
struct thrown_by_move : std::runtime_error {
  thrown_by_move() : std::runtime_error("a callable was moved") {}
};

/// A task that may be moved as often as one likes, and throws when it is copied.
template <class F>
class throws_on_copy {
 public:
  explicit throws_on_copy(F f) : f_(std::move(f)) {}
  throws_on_copy(throws_on_copy const& other) : f_(other.f_) { throw thrown_by_copy(); }
  throws_on_copy(throws_on_copy&&) noexcept = default;
  throws_on_copy& operator=(throws_on_copy const&) = delete;
  throws_on_copy& operator=(throws_on_copy&&) = delete;
  ~throws_on_copy() = default;

  auto operator()() { return f_(); }

 private:
  counted alive_;
  F f_;
};

/// A task that throws when it is moved, but for the first `allowed` times.
template <class F>
class throws_on_move {
 public:
  explicit throws_on_move(F f, int allowed = 0) : allowed_(allowed), f_(std::move(f)) {}
  throws_on_move(throws_on_move&& other) noexcept(false)
      : allowed_(other.allowed_ - 1), f_(std::move(other.f_)) {
    if (allowed_ < 0) {
      throw thrown_by_move();
    }
  }
  throws_on_move(throws_on_move const&) = delete;
  throws_on_move& operator=(throws_on_move const&) = delete;
  throws_on_move& operator=(throws_on_move&&) = delete;
  ~throws_on_move() = default;

  auto operator()() { return f_(); }

 private:
  counted alive_;
  int allowed_;
  F f_;
};

/// A task that can be moved and not copied.
template <class F>
class move_only {
 public:
  explicit move_only(F f) : f_(std::move(f)) {}
  move_only(move_only&&) noexcept = default;
  move_only& operator=(move_only&&) noexcept = default;
  move_only(move_only const&) = delete;
  move_only& operator=(move_only const&) = delete;
  ~move_only() = default;

  auto operator()() { return f_(); }

 private:
  counted alive_;
  F f_;
};

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_CALLABLES_HPP
