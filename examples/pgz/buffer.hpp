#ifndef ERRGROUP_EXAMPLES_PGZ_BUFFER_HPP
#define ERRGROUP_EXAMPLES_PGZ_BUFFER_HPP

#include <cstddef>  // size_t
#include <memory>   // make_unique_for_overwrite, unique_ptr
#include <span>     // span
#include <utility>  // exchange, move

namespace pgz {

/// Bytes on the heap, filled from the front. Unlike a `std::vector`, a buffer does not set its
/// bytes to zero before the real data arrive.
class buffer {
 public:
  buffer() noexcept = default;
  explicit buffer(std::size_t capacity)
      : bytes_(std::make_unique_for_overwrite<unsigned char[]>(capacity)), capacity_(capacity) {}
  buffer(buffer&& other) noexcept
      : bytes_(std::move(other.bytes_)),
        capacity_(std::exchange(other.capacity_, 0)),
        size_(std::exchange(other.size_, 0)) {}
  buffer& operator=(buffer&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    capacity_ = std::exchange(other.capacity_, 0);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  [[nodiscard]] std::span<unsigned char> filled() const noexcept { return {bytes_.get(), size_}; }
  [[nodiscard]] std::span<unsigned char> room() const noexcept {
    return {bytes_.get() + size_, capacity_ - size_};
  }

  /// Counts the first `n` bytes of `room()` as filled.
  void add(std::size_t n) noexcept { size_ += n; }

 private:
  std::unique_ptr<unsigned char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_BUFFER_HPP
