// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_OBSERVATION_HPP
#define ERRGROUP_SRC_OBSERVATION_HPP

#include "group_parts.hpp"
#include <errgroup/detail/config.hpp>
#include <errgroup/detail/task_frame.hpp>
#include <errgroup/error.hpp>
#include <errgroup/observer.hpp>

#include <array>            // array
#include <atomic>           // atomic
#include <cstddef>          // size_t
#include <cstdint>          // int64_t, uint32_t, uint64_t
#include <mutex>            // mutex
#include <source_location>  // source_location
#include <string>           // string
#include <vector>           // vector

// What the library keeps of groups that an observer is told of, and of their tasks; the reader is
// dump.cpp. A group that is not observed has none of this.

namespace errgroup::inline v1::detail {

/// The time that tasks are stamped with, in ns: cheap to read, and some milliseconds late.
[[nodiscard]] std::int64_t coarse_now() noexcept;

/// A counter that several threads increase at the same time.
class spread_count {
 public:
  void add_one(std::uint32_t thread) noexcept {
    cells_[thread % cells_.size()].n.fetch_add(1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t sum() const noexcept {
    std::size_t all = 0;
    for (cell const& c : cells_) {
      all += c.n.load(std::memory_order_relaxed);
    }
    return all;
  }

 private:
  struct alignas(64) cell {
    std::atomic<std::size_t> n{0};
  };

  std::array<cell, 8> cells_;
};

/// The limit of an observed group, which `set_limit` changes.
struct observed_limit {
  observed_limit(int limit) noexcept : now(limit) {}
  observed_limit(observed_limit const& other) noexcept : now(other.now.load()) {}
  observed_limit& operator=(observed_limit const&) = delete;

  std::atomic<int> now;
};

/// What other threads may know of an observed group. It is in the list of observed groups from
/// its `group_begin` to its `group_end`.
struct observed_group {
  std::uint64_t id;
  std::uint64_t parent;
  std::size_t parent_task;
  std::string_view name;
  observed_limit limit;
  std::source_location where;
  group_core const* group;
  observed_group* previous = nullptr;
  observed_group* next = nullptr;
};

/// Observed groups. `lock` keeps each of them alive; under it, a reader takes the locks of queues.
struct observed_groups {
  static inline std::mutex lock;
  static inline observed_group* first = nullptr;

  static void add(observed_group& one) noexcept;
  static void remove(observed_group& one) noexcept;
};

/// The observed task in a frame, and what its thread waits for. It is made for the first observed
/// task in the frame, and is kept with it for ever.
///
/// Other threads read the first members while the frame's thread changes them: `show` makes
/// `version` odd while it writes, and different afterwards. (`hide` and a wait store one member
/// each, and leave `version` as it is.) (This is a seqlock; H.-J. Boehm, "Can seqlocks get along
/// with programming language memory models?", 2012.)
struct observed_task {
  static constexpr std::size_t name_words = 6;
  static constexpr std::size_t name_bytes = name_words * sizeof(std::uint64_t) - 1;

  /// What other threads may read.
  struct snapshot {
    std::uint64_t group = 0;  // the id; 0: no observed task runs in the frame
    std::size_t index = 0;
    std::source_location where;
    std::int64_t begun = 0;
    std::string name;
    std::uint64_t awaited = 0;  // the id of the group that the thread waits for; 0: none
    wait_kind kind = wait_kind::end;
  };

  /// The frame's thread only.
  void show(std::uint64_t id, std::size_t i, void const* label) noexcept;
  void show_name(std::string_view text) noexcept;
  void hide() noexcept;
  /// True if an observed task runs in the frame.
  [[nodiscard]] bool is_open() const noexcept { return group.load(std::memory_order_relaxed) != 0; }
  /// Threads: any.
  [[nodiscard]] snapshot read() const;

  std::atomic<std::uint64_t> version{0};
  std::atomic<std::uint64_t> group{0};
  std::atomic<std::size_t> index{0};
  std::atomic<void const*> where{nullptr};
  std::atomic<std::int64_t> begun{0};
  std::array<std::atomic<std::uint64_t>, name_words> name{};
  std::atomic<std::uint64_t> awaited{0};  // the group's id, and the kind in the lowest two bits

  // The frame's thread only.
  error_note* note = nullptr;
  bool has_failed = false;
  error failure;
};

/// A group that an observer is told of: keeps the order of what is told.
class group_core::observation : public observed_group {
 public:
  struct layout;  // for debuggers: layout.cpp

  observation(group_core& g, observer& o, int most, std::source_location made_at);
  observation(observation const&) = delete;
  observation& operator=(observation const&) = delete;

  void begin() noexcept;
  /// The destructor of the group calls this last.
  void end() noexcept;

  /// Tells of the submission of a task, and returns the task's index.
  [[nodiscard]] std::size_t next_index() noexcept;
  /// The task of `frame` begins, and ends.
  void begin_task(task_frame& frame) noexcept;
  void end_task(observed_task& task) noexcept;

  void tell_first_error() noexcept;
  void tell_cancelled() noexcept;
  void tell_skipped(std::size_t n) noexcept;
  void reset() noexcept;

  void begin_wait(wait_kind kind) noexcept { observer_.wait_begin(view(), kind); }
  void end_wait(wait_kind kind) noexcept { observer_.wait_end(view(), kind); }

  [[nodiscard]] std::size_t accepted() const noexcept {
    return submitted_.load(std::memory_order_relaxed);
  }
  /// `n` accepted tasks will not run.
  void count_dropped(std::size_t n) noexcept { dropped_.fetch_add(n, std::memory_order_relaxed); }
  /// The number of tasks that wait, if `running` tasks run and `timed` tasks are not due.
  [[nodiscard]] std::size_t waiting(std::size_t running, std::size_t timed) const noexcept;

 private:
  [[nodiscard]] group_view view() const noexcept { return group_view(*this); }
  void tell_first_error_in_order() noexcept;
  void tell_cancelled_in_order(error const& cause) noexcept;

  group_core& of_;
  observer& observer_;
  alignas(64) std::atomic<std::size_t> submitted_{0};
  spread_count ended_;
  std::atomic<std::size_t> dropped_{0};
  std::mutex order_;  // held while the observer is told of the error, the cancellation, the skipped
  bool has_told_error_ = false;
  bool has_told_cancellation_ = false;
};

/// The probes at the begin and at the end of a wait, for a group that is not observed.
class probed_wait {
 public:
  explicit probed_wait(group_core const& g) noexcept : g_(&g) {
    ERRGROUP_PROBE(wait_begin, g_, static_cast<int>(wait_kind::end));
  }
  probed_wait(probed_wait const&) = delete;
  probed_wait& operator=(probed_wait const&) = delete;
  ~probed_wait() { ERRGROUP_PROBE(wait_end, g_, static_cast<int>(wait_kind::end)); }

 private:
  [[maybe_unused]] group_core const* g_;
};

/// While it lives, the observer of `g` and the dump know that this thread waits.
class group_core::observed_wait {
 public:
  observed_wait(group_core& g, wait_kind kind) noexcept : g_(g), kind_(kind) {
    ERRGROUP_PROBE(wait_begin, &g_, static_cast<int>(kind_));
    if (g.is_observed()) [[unlikely]] {
      begin();
    }
  }
  observed_wait(observed_wait const&) = delete;
  observed_wait& operator=(observed_wait const&) = delete;
  ~observed_wait() {
    if (task_ != nullptr) [[unlikely]] {
      end();
    }
    ERRGROUP_PROBE(wait_end, &g_, static_cast<int>(kind_));
  }

 private:
  void begin() noexcept;
  void end() noexcept;

  group_core& g_;
  wait_kind kind_;
  observed_task* task_ = nullptr;
  std::uint64_t before_ = 0;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_OBSERVATION_HPP
