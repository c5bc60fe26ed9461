// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TRACE_RECORDER_HPP
#define ERRGROUP_TRACE_RECORDER_HPP

#include "clock.hpp"
#include "event_store.hpp"
#include "record.hpp"
#include <errgroup/observer.hpp>

#include <array>        // array
#include <atomic>       // atomic
#include <cstddef>      // size_t
#include <cstdint>      // uint32_t, uint64_t
#include <mutex>        // mutex
#include <string>       // string
#include <string_view>  // string_view
#include <vector>       // vector

// The observer that records. There is one for the life of the process, so that groups may outlive a
// session: a group tells its observer until the group is destroyed.
//
// A slice (a task or a wait) is recorded as one event at its end. From its begin to its end it is
// in the stack of its thread's `track`. So events can be dropped one by one: the remaining slices
// nest.

namespace errgroup::inline v1::detail {

/// What a thread has that records. Only the thread changes it. When the thread has ended, the next
/// thread gets it, and goes on to fill its chunk. Between threads it belongs to the lock of the
/// tracks.
class track {
 public:
  static constexpr std::size_t most_open = 256;

  // --- the thread itself
  void begin(std::uint32_t thread, std::string_view name) noexcept;
  void leave() noexcept;
  [[nodiscard]] bool has_chunk() const noexcept { return chunk_ != nullptr; }
  void close_chunk() noexcept;

  void open_slice(event_kind kind, group_view g, std::size_t index, std::string_view name,
                  std::source_location const& where) noexcept;
  /// Records the slice if `store` is not null. Returns the record's time, 0 if there is none.
  trace_clock::ticks close_slice(event_store* store, std::uint64_t session, event_kind kind,
                                 std::uint8_t flags) noexcept;
  /// Returns the record's time, 0 if there is none.
  trace_clock::ticks add(event_store& store, std::uint64_t session, event_kind kind, group_view g,
                         std::uint64_t index) noexcept;
  /// Adds the message of the event of the time `of`.
  void add_text(event_store& store, std::uint64_t session, trace_clock::ticks of,
                std::string_view message) noexcept;

  // --- threads that read, under the lock of the tracks
  /// The open slices, and the time up to which the thread's events are complete. All events up to
  /// this time can be found in the store, and none of the open slices can.
  struct snapshot {
    std::vector<record> open;
    trace_clock::ticks last;
  };
  [[nodiscard]] snapshot read() const;
  [[nodiscard]] std::uint32_t thread() const noexcept { return thread_; }
  [[nodiscard]] std::string name() const { return name_.data(); }

  track* next = nullptr;       // of all tracks
  track* next_free = nullptr;  // of those without a thread

 private:
  [[nodiscard]] trace_clock::ticks stamp() noexcept;
  [[nodiscard]] record* slot(event_store& store, std::uint64_t session, event_kind kind) noexcept;
  void publish(event_kind kind) noexcept;
  void set_depth(std::size_t depth, trace_clock::ticks at) noexcept;

  std::uint32_t thread_ = 0;
  std::array<char, 16> name_{};

  // The stack of open slices is a seqlock: `version_` is odd while `depth_` changes. A record above
  // the top may change at any time.
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::size_t> depth_{0};  // may be more than `most_open`: the rest is not recorded
  std::atomic<trace_clock::ticks> last_{0};
  std::array<record, most_open> open_;  // not initialised

  event_store::chunk* chunk_ = nullptr;  // open, of the session `session_`
  std::uint64_t session_ = 0;
  std::uint32_t used_ = 0;
};

class recorder final : public observer {
 public:
  static recorder& instance();

  /// Begins a session. Throws `std::bad_alloc`.
  void start(std::size_t events);
  void stop() noexcept;
  [[nodiscard]] std::uint64_t dropped() const noexcept;

  /// What is recorded. Events are not in order.
  struct picture {
    struct named_thread {
      std::uint32_t number;
      std::string name;
    };
    std::vector<record> events;
    std::vector<named_thread> threads;
    std::uint64_t dropped;
    std::uint64_t dropped_tasks;
    trace_clock::pair from;
    trace_clock::pair to;
  };
  /// Of the session that was started last. Threads: any.
  [[nodiscard]] picture read();

  void task_submitted(group_view g, std::size_t index) noexcept override;
  void task_begin(task_view t) noexcept override;
  void task_end(task_view t, error const* failure) noexcept override;
  void tasks_skipped(group_view g, std::size_t n, error const& cause) noexcept override;
  void first_error(group_view g, error const& e) noexcept override;
  void cancelled(group_view g, error const& cause) noexcept override;
  void wait_begin(group_view g, wait_kind kind) noexcept override;
  void wait_end(group_view g, wait_kind kind) noexcept override;

 private:
  struct leaver;

  /// The session that records, and its store; `number` is 0 if there is none.
  struct session {
    std::uint64_t number;
    event_store* store;
  };
  [[nodiscard]] session now() const noexcept;
  /// The track of the calling thread; null if the thread has recorded nothing and need not begin,
  /// or if there is no memory.
  [[nodiscard]] track* here(std::uint64_t number) noexcept;
  [[nodiscard]] track* join() noexcept;
  void leave(track& t) noexcept;
  /// `told`: an error whose text is recorded with the event. Null: none.
  void add(event_kind kind, group_view g, std::uint64_t index, error const* told) noexcept;
  static void add_text(track& t, session const& s, trace_clock::ticks of, error const& e) noexcept;

  std::atomic<std::uint64_t> session_{0};       // 0: none
  std::atomic<event_store*> store_{nullptr};    // of the last session
  std::atomic<std::uint64_t> last_session_{0};  // its number
  trace_clock::pair from_{};
  std::vector<event_store*> stores_;  // all that there were, for further sessions

  std::mutex tracks_lock_;
  track* first_ = nullptr;
  track* free_ = nullptr;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_TRACE_RECORDER_HPP
