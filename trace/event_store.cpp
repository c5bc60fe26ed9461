// SPDX-License-Identifier: Apache-2.0
#include "event_store.hpp"

#include <sys/mman.h>  // mmap

#include <limits>  // numeric_limits
#include <new>     // bad_alloc

namespace errgroup::inline v1::detail {
namespace {

/// The number, if the size of so many chunks can be told in bytes. (Not every `new[]` finds that
/// out.)
std::size_t possible(std::size_t chunks) {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 2;
  if (chunks > most / (event_store::chunk_records * sizeof(record))) {
    throw std::bad_alloc();
  }
  return chunks;
}

/// Pages of zeros, which take memory when they are first written.
record* reserve(std::size_t records) {
  void* const pages = ::mmap(nullptr, records * sizeof(record), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) {
    throw std::bad_alloc();
  }
  return static_cast<record*>(pages);
}

}  // namespace

event_store::event_store(std::size_t chunks)
    : chunks_(new chunk[possible(chunks)]), capacity_(chunks), used_(chunks) {
  record* const all = reserve(chunks * chunk_records);
  for (std::size_t i = 0; i != chunks; ++i) {
    chunks_[i].records = all + i * chunk_records;
  }
}

void event_store::restart(std::size_t chunks) noexcept {
  used_.store(chunks, std::memory_order_relaxed);
  next_.store(0, std::memory_order_relaxed);
  dropped_.store(0, std::memory_order_relaxed);
  dropped_tasks_.store(0, std::memory_order_relaxed);
}

event_store::chunk* event_store::take(std::uint64_t session) noexcept {
  std::size_t const used = used_.load(std::memory_order_relaxed);
  for (std::size_t tries = 0; tries != used; ++tries) {
    chunk& c = chunks_[next_.fetch_add(1, std::memory_order_relaxed) % used];
    // The acquire pairs with `close`: the counts of the thread that had the chunk are visible.
    if (c.is_open.load(std::memory_order_relaxed) ||
        c.is_open.exchange(true, std::memory_order_acquire)) {
      continue;
    }
    if (c.session.load(std::memory_order_relaxed) == session) {
      dropped_.fetch_add(c.count.load(std::memory_order_relaxed), std::memory_order_relaxed);
      dropped_tasks_.fetch_add(c.tasks.load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
    std::uint64_t const generation = c.generation.load(std::memory_order_relaxed);
    c.generation.store(generation + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // pairs with the fence in `read`
    c.session.store(session, std::memory_order_relaxed);
    c.count.store(0, std::memory_order_relaxed);
    c.tasks.store(0, std::memory_order_relaxed);
    c.generation.store(generation + 2, std::memory_order_release);
    return &c;
  }
  return nullptr;
}

void event_store::read(std::uint64_t session, std::vector<record>& to) const {
  std::size_t const used = used_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i != used; ++i) {
    chunk const& c = chunks_[i];
    std::uint64_t const generation = c.generation.load(std::memory_order_acquire);
    if (generation % 2 != 0 || c.session.load(std::memory_order_relaxed) != session) {
      continue;
    }
    std::size_t const before = to.size();
    std::uint32_t const count = c.count.load(std::memory_order_acquire);
    for (std::size_t k = 0; k != count; ++k) {
      to.emplace_back().copy_from(c.records[k]);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (c.generation.load(std::memory_order_relaxed) != generation) {
      to.resize(before);
    }
  }
}

}  // namespace errgroup::inline v1::detail
