// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TRACE_EVENT_STORE_HPP
#define ERRGROUP_TRACE_EVENT_STORE_HPP

#include "record.hpp"

#include <atomic>   // atomic
#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t
#include <memory>   // unique_ptr
#include <vector>   // vector

namespace errgroup::inline v1::detail {

/// Where the events of all threads are: a ring of chunks.
///
/// A thread takes a chunk and fills it alone. When the chunk is full, the thread closes it and
/// takes the chunk that was taken longest ago, of whichever thread; its events are dropped then.
/// Chunks that are open are passed over. So all threads together have a fixed number of events,
/// those that remain are the newest, and a thread that comes late finds room. If every chunk is
/// open, there are more threads than chunks, and the event is dropped.
///
/// Readers do not stop writers. A record does not change while its chunk keeps its generation:
/// - the writer fills the record and then increases `count` (release); a reader loads `count`
///   (acquire) and reads records below it;
/// - who recycles the chunk makes `generation` odd, then a release fence, before it writes
/// anything;
///   a reader reads the records, then an acquire fence, then loads `generation` again. If it has
///   read a single new word, it sees another generation, and ignores the chunk.
/// (This is a seqlock with a count; H.-J. Boehm, "Can seqlocks get along with programming language
/// memory models?", 2012.)
///
/// A store is never destroyed, because a thread may be about to write when the session ends.
class event_store {
 public:
  static constexpr std::size_t chunk_records = 32;  // one page
  static constexpr std::size_t least_chunks = 16;

  struct alignas(64) chunk {
    std::atomic<bool> is_open{false};
    std::atomic<std::uint32_t> count{0};
    std::atomic<std::uint32_t> tasks{0};  // of these events
    std::atomic<std::uint64_t> generation{0};
    std::atomic<std::uint64_t> session{0};
    record* records = nullptr;
  };

  /// Throws `std::bad_alloc`.
  explicit event_store(std::size_t chunks);
  event_store(event_store const&) = delete;
  event_store& operator=(event_store const&) = delete;
  ~event_store() = default;

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Uses the first `chunks` chunks from now on, and counts dropped events from 0.
  void restart(std::size_t chunks) noexcept;

  /// A chunk for the calling thread; null if there is none. Threads: any.
  [[nodiscard]] chunk* take(std::uint64_t session) noexcept;
  static void close(chunk& c) noexcept { c.is_open.store(false, std::memory_order_release); }
  void drop(bool is_task) noexcept {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    dropped_tasks_.fetch_add(is_task ? 1 : 0, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t dropped() const noexcept {
    return dropped_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t dropped_tasks() const noexcept {
    return dropped_tasks_.load(std::memory_order_relaxed);
  }
  /// Appends the events of the session. Threads: any.
  void read(std::uint64_t session, std::vector<record>& to) const;

 private:
  std::unique_ptr<chunk[]> chunks_;
  std::size_t capacity_;
  std::atomic<std::size_t> used_;
  alignas(64) std::atomic<std::size_t> next_{0};
  alignas(64) std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> dropped_tasks_{0};
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_TRACE_EVENT_STORE_HPP
