// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_PIPELINE_RUN_HPP
#define ERRGROUP_DETAIL_PIPELINE_RUN_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/slot.hpp>
#include <errgroup/error.hpp>
#include <errgroup/options.hpp>
#include <errgroup/pipeline_stats.hpp>

#include <cstddef>          // size_t
#include <memory>           // unique_ptr
#include <source_location>  // source_location
#include <span>             // span
#include <stop_token>       // stop_token
#include <string_view>      // string_view

namespace errgroup::inline v1::detail {

class stage_call;

/// A stage of a pipeline, as the lanes see it: its callable, and what becomes of the items.
///
/// Several lanes call a parallel stage at once; the other stages are called by one lane at a time.
class ERRGROUP_API stage_body {
 public:
  stage_body(stage_kind kind, std::string_view name, std::source_location where,
             bool takes_token) noexcept
      : kind_(kind), takes_token_(takes_token), name_(name), where_(where) {}
  stage_body(stage_body const&) = delete;
  stage_body& operator=(stage_body const&) = delete;
  virtual ~stage_body();

  /// Calls the callable with the item in `s`, and puts the result there. For a source: reads an
  /// item into `s`. If the answer is not `passed`, there is no item in `s` any more. A failure is
  /// told to `call`.
  virtual step run(slot& s, stage_call& call) noexcept = 0;
  /// Destroys the item in `s`, which has not gone into this stage.
  virtual void destroy(slot& s) noexcept = 0;
  /// Before the first call: makes room for the states of so many lanes, and keeps the token, which
  /// is the group's if the callable takes one. Throws `std::bad_alloc`.
  virtual void prepare(std::size_t lanes, std::stop_token const& token) = 0;

  [[nodiscard]] stage_kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool takes_token() const noexcept { return takes_token_; }
  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] std::source_location const& where() const noexcept { return where_; }

 private:
  stage_kind kind_;
  bool takes_token_;
  std::string_view name_;
  std::source_location where_;
};

/// The statistics that a run fills; null if there are none.
struct statistics {
  pipeline_totals* totals = nullptr;
  stage_stats* stages = nullptr;  // as many as the pipeline has
};

/// One run of a pipeline: its group, its slots and its lanes.
class pipeline_run {
 public:
  /// `stages`: the source first. `item_size`, `item_align`: for an item of every stage. Throws
  /// `std::invalid_argument` for invalid options; `std::bad_alloc`.
  ERRGROUP_API pipeline_run(options const& opts, std::span<stage_body* const> stages,
                            std::size_t item_size, std::size_t item_align, statistics stats);
  pipeline_run(pipeline_run const&) = delete;
  pipeline_run& operator=(pipeline_run const&) = delete;
  ERRGROUP_API ~pipeline_run();

  /// Carries all items, and waits. When it returns, nothing runs, and every item is destroyed.
  [[nodiscard]] ERRGROUP_API error run();

 private:
  friend class stage_call;
  class state;

  std::unique_ptr<state> state_;
};

/// A call of a stage with one item.
class stage_call {
 public:
  stage_call(pipeline_run::state& run, std::size_t stage, std::size_t number, std::size_t lane,
             bool leaves_exceptions) noexcept
      : run_(run),
        stage_(stage),
        number_(number),
        lane_(lane),
        leaves_exceptions_(leaves_exceptions) {}

  /// The number of the lane that calls: less than the number given to `stage_body::prepare`.
  [[nodiscard]] std::size_t lane() const noexcept { return lane_; }
  /// With `on_exception::terminate`, an exception of the callable is not caught.
  [[nodiscard]] bool leaves_exceptions() const noexcept { return leaves_exceptions_; }
  /// The item has failed with `e`; `errgroup::no_more` is no failure.
  [[nodiscard]] ERRGROUP_API step fail(error e) noexcept;

 private:
  pipeline_run::state& run_;
  std::size_t stage_;
  std::size_t number_;
  std::size_t lane_;
  bool leaves_exceptions_;
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_PIPELINE_RUN_HPP
