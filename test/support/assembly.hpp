// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_ASSEMBLY_HPP
#define ERRGROUP_TEST_SUPPORT_ASSEMBLY_HPP

// What pipelines are tested with: items that are counted, and a pipeline with a stage of each kind.

#include "support/callables.hpp"
#include "support/census.hpp"
#include <errgroup/error.hpp>
#include <errgroup/options.hpp>
#include <errgroup/pipeline_stats.hpp>

#include <array>         // array
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <functional>    // function
#include <optional>      // optional
#include <stop_token>    // stop_token
#include <system_error>  // error_code
#include <utility>       // exchange
#include <vector>        // vector

namespace support {

/// An item that can be moved, and nothing else. A census counts the items that were not moved from.
class item {
 public:
  item(int number, highest& census) noexcept : census_(&census), number_(number) { census.up(); }
  item(item&& other) noexcept
      : census_(std::exchange(other.census_, nullptr)), number_(other.number_) {}
  item(item const&) = delete;
  item& operator=(item&&) = delete;
  item& operator=(item const&) = delete;
  ~item() {
    if (census_ != nullptr) {
      census_->down();
    }
  }

  [[nodiscard]] int number() const noexcept { return number_; }
  [[nodiscard]] bool is_moved_from() const noexcept { return census_ == nullptr; }

 private:
  counted alive_;
  highest* census_;
  int number_;
};

/// A pipeline with a stage of each kind, and a record of its calls.
class assembly {
 public:
  /// The stages in their order. `work` is a parallel stage, `queue` a serial stage, `order` and
  /// `write` are stages in order. `split` is made by `many`, and emits one part.
  enum class at { read, work, queue, order, split, write };
  static constexpr std::array stages{at::read,  at::work,  at::queue,
                                     at::order, at::split, at::write};

  /// Called in each stage with the number of the item. What it returns or throws, the stage does.
  using hook = std::function<std::error_code(at, int, std::stop_token const&)>;

  explicit assembly(int items, hook h = {}) : items_(items), hook_(std::move(h)) {}

  /// One run, with statistics if `is_timed`. It forgets what the runs before have recorded.
  errgroup::error run(errgroup::options const& opts, bool is_timed = false);

  [[nodiscard]] static char const* name(at stage) noexcept;

  // --- the record of the last run ---

  /// The line at which a stage was made.
  [[nodiscard]] unsigned line(at stage) const { return lines_[index(stage)]; }
  /// The calls of a stage, and of all stages. A call of the source that finds the end counts.
  [[nodiscard]] int calls(at stage) const { return calls_[index(stage)]; }
  [[nodiscard]] int all_calls() const;
  /// The calls that are going on.
  [[nodiscard]] int running() const { return running_; }
  [[nodiscard]] int items_read() const { return read_; }
  /// The items with which the last stage has succeeded.
  [[nodiscard]] int items_written() const { return written_; }
  [[nodiscard]] int most_items() const { return census_.most(); }
  [[nodiscard]] int live_items() const { return census_.now(); }
  /// The numbers that came to `order` and to `write`, in the order of the calls.
  [[nodiscard]] std::vector<int> const& ordered() const { return ordered_; }
  [[nodiscard]] std::vector<int> const& written() const { return in_write_; }
  [[nodiscard]] errgroup::pipeline_stats const& stats() const { return stats_; }

 private:
  static constexpr std::size_t index(at stage) { return static_cast<std::size_t>(stage); }
  std::error_code call(at stage, int number, std::stop_token const& token);

  int items_;
  hook hook_;
  std::array<unsigned, stages.size()> lines_{};
  std::array<std::atomic<int>, stages.size()> calls_{};
  std::atomic<int> running_{0};
  std::atomic<int> read_{0};
  std::atomic<int> written_{0};
  highest census_;
  std::vector<int> ordered_;
  std::vector<int> in_write_;
  errgroup::pipeline_stats stats_;
};

/// The numbers from 0 to n - 1.
[[nodiscard]] std::vector<int> up_to(int n);

/// A callable for a source that gives the numbers from 0 to n - 1.
[[nodiscard]] inline auto numbers(int n) {
  return [n, i = 0]() mutable { return i == n ? std::optional<int>() : std::optional<int>(i++); };
}

/// Returns when the token is stopped.
void wait_for_stop(std::stop_token const& token);

/// Expects what holds after every run: nothing runs, every item is destroyed, every item that was
/// read is accounted for, and the stages in order have received the first items, without a gap.
/// `failed`: the items that failed behind the source.
void expect_end(assembly const& line, errgroup::error const& e, int failed);

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_ASSEMBLY_HPP
