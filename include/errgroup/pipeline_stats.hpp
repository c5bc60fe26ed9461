// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_PIPELINE_STATS_HPP
#define ERRGROUP_PIPELINE_STATS_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/export.hpp>

#include <chrono>   // nanoseconds
#include <cstddef>  // size_t
#include <cstdint>  // uint64_t, uint8_t
#include <iosfwd>   // ostream
#include <span>     // span
#include <string>   // string
#include <vector>   // vector

namespace errgroup::inline v1 {

/// The kinds of stages of a pipeline: see `errgroup::stage`.
enum class stage_kind : std::uint8_t {
  source,    ///< made by `stage::source`
  parallel,  ///< made by `stage::parallel`
  serial,    ///< made by `stage::serial`
  in_order,  ///< made by `stage::in_order`
  many,      ///< made by `stage::many`
};

/// What a stage of a pipeline has done.
struct stage_stats {
  std::string name;                      ///< empty if the stage has no name
  stage_kind kind = stage_kind::source;  ///< the function of `errgroup::stage` that made it
  std::uint64_t calls = 0;               ///< of a source: with the call that found the end
  std::uint64_t dropped = 0;             ///< items for which the stage returned an empty optional
  std::uint64_t failed = 0;              ///< calls that failed
  /// The time of all calls together. Calls that run at once count each.
  std::chrono::nanoseconds inside = {};
  /// The time that all items together have waited before the stage. For the source: the time in
  /// which the source could not be read, because as many items as may be were under way.
  std::chrono::nanoseconds waiting = {};
  std::size_t most_waiting = 0;  ///< items that waited before the stage at once
};

/// What a pipeline as a whole has done.
struct pipeline_totals {
  /// The time of the pipeline's run, from the call to the end.
  std::chrono::nanoseconds elapsed = {};
  std::size_t lanes = 0;       ///< the most lanes that were out at once
  std::size_t most_lanes = 0;  ///< the lanes that might have been out at once
  std::size_t most_items = 0;  ///< the most items that were under way at once
  std::uint64_t items = 0;     ///< the items that were read
};

namespace detail {

ERRGROUP_API stage_stats const* find_bottleneck(pipeline_totals const& all,
                                                std::span<stage_stats const> stages) noexcept;
ERRGROUP_API void write_stats(std::ostream& out, pipeline_totals const& all,
                              std::span<stage_stats const> stages);

}  // namespace detail

/// What a pipeline has done, and how long it took. `errgroup::pipeline(options, stats, …)` fills
/// it, also if the pipeline fails.
///
///     errgroup::pipeline_stats stats;
///     auto err = errgroup::pipeline({.name = "pack"}, stats, …);
///     std::cerr << stats;
struct pipeline_stats : pipeline_totals {
  std::vector<stage_stats> stages;  ///< the source first

  /// The stage that limits the speed of the whole pipeline; null if none does. Valid as long as
  /// `stages`.
  ///
  /// Of the source and the stages that are called with one item at a time, it is the busiest, if
  /// that was busy for four fifths of the time. Otherwise, if the calls of all stages have kept all
  /// lanes busy for four fifths of the time, it is the stage with the most time inside: more
  /// processors would help, or less work. Otherwise it is none: the lanes have waited for each
  /// other, or for processors that did other work.
  [[ERRGROUP_NODISCARD_ANSWER, gnu::always_inline]] stage_stats const* bottleneck() const noexcept {
    return detail::find_bottleneck(*this, {stages.data(), stages.size()});
  }

  /// Writes a table: a line for each stage, and the bottleneck.
  [[gnu::always_inline]] friend std::ostream& operator<<(std::ostream& out,
                                                         pipeline_stats const& stats) {
    detail::write_stats(out, stats, {stats.stages.data(), stats.stages.size()});
    return out;
  }
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_PIPELINE_STATS_HPP
