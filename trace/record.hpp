// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TRACE_RECORD_HPP
#define ERRGROUP_TRACE_RECORD_HPP

#include <algorithm>        // min
#include <array>            // array
#include <atomic>           // atomic_ref
#include <bit>              // bit_cast
#include <cstddef>          // size_t
#include <cstdint>          // uint8_t, uint32_t, uint64_t
#include <cstring>          // memcpy
#include <source_location>  // source_location
#include <string_view>      // string_view

namespace errgroup::inline v1::detail {

enum class event_kind : std::uint8_t {
  task,         // slice; index: of the task
  wait,         // slice; index: the wait_kind
  run,          // a submission; index: of the task
  first_error,  // instant
  cancelled,    // instant
  skipped,      // instant; index: the number of tasks
  text,         // a part of the message of the event with the same thread and end; index: its place
};

/// One event: two cache lines. An event without a name touches only the first line.
///
/// One thread writes a record while other threads may read it, so all accesses are atomic. The
/// class that has the record tells a reader whether a record was whole (event_store, track).
class record {
 public:
  using word = std::uint64_t;
  static constexpr std::size_t text_bytes = 80;
  static constexpr std::size_t name_bytes = 47;   // of a task
  static constexpr std::size_t group_bytes = 32;  // of a group's name
  static constexpr std::uint8_t failed = 1;
  static constexpr std::uint8_t unfinished = 2;

  struct header {
    event_kind kind;
    std::uint8_t name_size;   // of the first part of the text
    std::uint8_t group_size;  // of the second part
    std::uint8_t flags;
    std::uint32_t thread;
  };
  static_assert(sizeof(header) == sizeof(word));

  // --- for the writer
  void set_header(header const& h) noexcept { set(0, std::bit_cast<word>(h)); }
  void set_begin(std::uint64_t ticks) noexcept { set(1, ticks); }
  void set_end(std::uint64_t ticks) noexcept { set(2, ticks); }
  void set_group(std::uint64_t id) noexcept { set(3, id); }
  void set_index(std::uint64_t index) noexcept { set(4, index); }
  void set_where(std::source_location const& where) noexcept {
    static_assert(sizeof where == sizeof(word), "a source_location is a pointer");
    set(5, std::bit_cast<word>(where));
  }
  /// Writes both parts of the text.
  void set_text(std::string_view name, std::string_view group) noexcept {
    if (std::size_t const size = name.size() + group.size(); size != 0) {
      std::array<word, text_words> words{};
      auto* const bytes = reinterpret_cast<char*>(words.data());
      if (!name.empty()) {
        std::memcpy(bytes, name.data(), name.size());
      }
      if (!group.empty()) {
        std::memcpy(bytes + name.size(), group.data(), group.size());
      }
      for (std::size_t i = 0; i != words_of(size); ++i) {
        set(first_text_word + i, words[i]);
      }
    }
  }
  /// Copies all that is used.
  void copy_from(record& other) noexcept {
    header const h = other.get_header();
    std::size_t const used =
        first_text_word + words_of(std::size_t{h.name_size} + std::size_t{h.group_size});
    for (std::size_t i = 0; i != std::min(used, words_.size()); ++i) {
      set(i, other.get(i));
    }
  }

  // --- for readers
  [[nodiscard]] header get_header() noexcept { return std::bit_cast<header>(get(0)); }
  [[nodiscard]] std::uint64_t begin() noexcept { return get(1); }
  [[nodiscard]] std::uint64_t end() noexcept { return get(2); }
  [[nodiscard]] std::uint64_t group() noexcept { return get(3); }
  [[nodiscard]] std::uint64_t index() noexcept { return get(4); }
  [[nodiscard]] std::source_location where() noexcept {
    return std::bit_cast<std::source_location>(get(5));
  }
  /// All of the text. Only of a record that no thread writes.
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<char const*>(words_.data() + first_text_word), text_bytes};
  }

 private:
  static constexpr std::size_t first_text_word = 6;
  static constexpr std::size_t text_words = text_bytes / sizeof(word);
  static_assert(name_bytes + group_bytes <= text_bytes);

  static constexpr std::size_t words_of(std::size_t bytes) noexcept {
    return (bytes + sizeof(word) - 1) / sizeof(word);
  }
  void set(std::size_t i, word value) noexcept {
    std::atomic_ref<word>(words_[i]).store(value, std::memory_order_relaxed);
  }
  [[nodiscard]] word get(std::size_t i) noexcept {
    return std::atomic_ref<word>(words_[i]).load(std::memory_order_relaxed);
  }

  alignas(64) std::array<word, first_text_word + text_words> words_;
};
static_assert(sizeof(record) == 128);

/// The first `most` bytes at most, cut between characters of UTF-8.
[[nodiscard]] inline std::string_view cut(std::string_view text, std::size_t most) noexcept {
  if (text.size() <= most) {
    return text;
  }
  std::size_t size = most;
  while (size != 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) {
    --size;
  }
  return text.substr(0, size);
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_TRACE_RECORD_HPP
