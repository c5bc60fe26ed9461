// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_PIPELINE_HPP
#define ERRGROUP_PIPELINE_HPP

#include <errgroup/detail/later_body.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/pipeline_run.hpp>
#include <errgroup/detail/source_body.hpp>
#include <errgroup/detail/sources.hpp>
#include <errgroup/error.hpp>
#include <errgroup/options.hpp>
#include <errgroup/pipeline_stats.hpp>
#include <errgroup/stage.hpp>

#include <algorithm>    // max
#include <array>        // array
#include <cstddef>      // size_t
#include <tuple>        // get, tie, tuple, tuple_element_t
#include <type_traits>  // is_const_v, remove_cvref_t, remove_reference_t

namespace errgroup::inline v1 {
namespace detail {

/// Makes a body for each stage, on the stack, and calls `go(bodies, size, align)` with all of them.
/// `In` is the flow into stage `I`.
template <std::size_t I, class In, class... S, class Go>
error with_bodies(std::tuple<S&...> const& stages, std::array<stage_body*, sizeof...(S)>& bodies,
                  std::size_t size, std::size_t align, Go const& go) {
  if constexpr (I == sizeof...(S)) {
    return go(bodies, size, align);
  } else {
    using stage = std::tuple_element_t<I, std::tuple<S...>>;
    constexpr bool is_last = I + 1 == sizeof...(S);
    if constexpr (I == 0) {
      using body = source_body<stage, is_last>;
      body b(std::get<I>(stages));
      bodies[I] = &b;
      using stored = typename body::out::stored;
      return with_bodies<I + 1, typename body::out>(stages, bodies, sizeof(stored), alignof(stored),
                                                    go);
    } else {
      using body = later_body<I, stage, In, is_last>;
      body b(std::get<I>(stages));
      bodies[I] = &b;
      using stored = typename body::out::stored;
      return with_bodies<I + 1, typename body::out>(stages, bodies, std::max(size, sizeof(stored)),
                                                    std::max(align, alignof(stored)), go);
    }
  }
}

template <class... S>
constexpr void require_stages() {
  static_assert((is_stage<std::remove_cvref_t<S>> && ...),
                "errgroup: the arguments of pipeline are its options, if any, a pipeline_stats "
                "behind the options, if any, and its stages: errgroup::stage::source(...), "
                "parallel(...), serial(...), in_order(...), many(...)");
  static_assert((!std::is_const_v<std::remove_reference_t<S>> && ...),
                "errgroup: a stage that is kept for several runs must not be const: it calls its "
                "callable as it is");
}

template <class First, class... Rest>
inline constexpr bool begins_with_source = First::kind == stage_kind::source;

template <class... S>
error run_pipeline(options const& opts, pipeline_stats* stats, S&... stages) {
  if constexpr (sizeof...(S) == 0) {
    refuse_argument("errgroup: a pipeline has at least a source and one more stage");
  } else if constexpr ((is_stage<S> && ...)) {
    static_assert(begins_with_source<S...>,
                  "errgroup: the first stage of a pipeline is its source: stage::source(...)");
    if constexpr (begins_with_source<S...>) {
      std::array<stage_body*, sizeof...(S)> bodies{};
      statistics to;
      if (stats != nullptr) {
        *stats = {};
        stats->stages.resize(sizeof...(S));
        to = {stats, stats->stages.data()};
      }
      return with_bodies<0, void>(
          std::tie(stages...), bodies, 0, 1,
          [&opts, to](auto const& all, std::size_t size, std::size_t align) {
            pipeline_run run(opts, all, size, align, to);
            return run.run();
          });
    }
  }
  return {};
}

}  // namespace detail

/// Carries items from a source through stages, in parallel, and waits.
///
///     namespace stage = errgroup::stage;
///     errgroup::error err = errgroup::pipeline(
///         {.limit = 8, .queue = 24, .name = "pack"},
///         stage::source("read", [&]() -> std::optional<block> { return in.next(); }),
///         stage::parallel("deflate", [](block&& b) { return deflate(b); }),
///         stage::in_order("write", [&](packed&& p) -> std::error_code { return out.write(p); }));
///     // No space left on device (pack/write, item 17, stage at pack.cpp:41)
///
/// The first stage is a `stage::source`. Each stage gets what the stage before it returns.
/// stage.hpp lists the kinds of stages; docs/pipelines.md has recipes.
///
/// Lanes are tasks that carry items through the stages. There are at most `options::limit`, and,
/// without `options::blocking`, at most as many as the arena has threads. Without a limit, the
/// limit is the concurrency of the arena. `options::queue` is the number of items that may be read
/// in addition, three times the limit if it is not given: at most `limit + queue` items exist at
/// once. The other options are those of a group. The stages run as tasks of that group: they may
/// use groups, algorithms and other pipelines, and the pipeline may be called in a task.
///
/// The first failure of a stage, returned or thrown, is the error, and cancels the pipeline: no
/// stage is called with another item. `error::origin` tells the number of the item, counted from 0
/// in the order of the source, the pipeline and the stage, and the place of the stage.
/// `error::skipped` is the number of items that were read and did not reach the end, without those
/// that failed or were dropped. With `on_error::keep_going`, a failed item is left out, and the
/// others go on until `max_failures` items have failed; a failed source ends the input.
///
/// A stage that returns or throws `errgroup::no_more` ends the input, as a success: the items
/// before its item go on. The item, and the items behind it that were read already, are destroyed
/// when they come to a stage, and are not counted as skipped. A stage in order gets exactly the
/// items before the item that has ended the input. The stop token of the source is stopped, so that
/// a source that blocks can return.
///
/// When it returns, nothing runs, and every item is destroyed. The stages may be run again.
///
/// No thread waits for a stage that is called with one item at a time. A lane that comes to such a
/// stage while another lane is in it leaves its item there. If a stage waits in oneTBB or in a
/// group, its thread may run another lane meanwhile; that lane does not call the source, which
/// might block. Without a limit and an arena, this may be the only lane that was sent: then no item
/// is read until the stage returns. Give a limit if stages wait for long.
///
/// Throws: `std::invalid_argument` for invalid options, an empty function, and without stages;
///     `std::bad_alloc`.
/// Threads: any, tasks of a group included. The stages are called by the group's threads.
/// Ordering: what a stage has done with an item is visible to the next stage that gets it; what all
///     stages have done is visible afterwards.
/// Cost: some 10 ns for each stage; no allocation for an item. See perf/pipeline.
template <class... S>
[[ERRGROUP_NODISCARD_ERROR]] error pipeline(options const& opts, S&&... stages) {
  detail::require_stages<S...>();
  return detail::run_pipeline(opts, nullptr, stages...);
}

/// The same, and fills `stats`, also after a failure. Cost: about 25 ns more for each call of a
/// stage, for reading the clock.
template <class... S>
[[ERRGROUP_NODISCARD_ERROR]] error pipeline(options const& opts, pipeline_stats& stats,
                                            S&&... stages) {
  detail::require_stages<S...>();
  return detail::run_pipeline(opts, &stats, stages...);
}

/// The same with default options.
template <class... S>
  requires(!detail::begins_with_options<S...>)
[[ERRGROUP_NODISCARD_ERROR]] error pipeline(S&&... stages) {
  detail::require_stages<S...>();
  return detail::run_pipeline(options{}, nullptr, stages...);
}

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_PIPELINE_HPP
