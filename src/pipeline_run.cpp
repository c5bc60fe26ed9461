// SPDX-License-Identifier: Apache-2.0
#include "bound.hpp"
#include "lanes.hpp"
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/pipeline_run.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/group.hpp>
#include <errgroup/progress.hpp>

#include <algorithm>   // max, min
#include <cstddef>     // byte, max_align_t, size_t
#include <limits>      // numeric_limits
#include <memory>      // make_unique
#include <new>         // align_val_t, bad_array_new_length
#include <optional>    // optional
#include <stop_token>  // stop_callback, stop_source, stop_token
#include <utility>     // move
#include <vector>      // vector

// What `errgroup::pipeline` does with the parts in lanes.hpp: a group that runs the lanes, memory
// for the slots, errors and statistics.

namespace errgroup::inline v1::detail {
namespace {

/// The runs in whose lanes this thread is, the innermost first.
struct lane_frame {
  explicit lane_frame(void const* its_run) noexcept : run(its_run), outer(top) { top = this; }
  lane_frame(lane_frame const&) = delete;
  lane_frame& operator=(lane_frame const&) = delete;
  ~lane_frame() { top = outer; }

  [[nodiscard]] static bool is_in(void const* run) noexcept {
    for (lane_frame const* f = top; f != nullptr; f = f->outer) {
      if (f->run == run) {
        return true;
      }
    }
    return false;
  }

  void const* run;
  lane_frame* outer;
  static thread_local lane_frame* top;
};
thread_local lane_frame* lane_frame::top = nullptr;

/// As many lanes as the limit allows, and as there are threads for: in the arena, or in the group.
std::size_t lanes_for(options const& opts) {
  return opts.blocking ? limit_for(opts) : std::min(limit_for(opts), threads_for(opts));
}

std::size_t most_items(options const& opts) {
  std::size_t const limit = limit_for(opts);
  std::size_t const queue = queue_for(opts);
  if (queue > std::numeric_limits<std::size_t>::max() - limit) {
    throw std::bad_array_new_length();
  }
  return limit + queue;
}

options for_group(options opts) {
  opts.queue = npos;        // of the group's tasks, which are lanes
  opts.progress = nullptr;  // the pipeline counts, not its group
  return opts;
}

/// The memory of the slots.
class slot_memory {
 public:
  slot_memory(std::size_t slots, std::size_t item_size, std::size_t item_align)
      : align_(std::max(item_align, alignof(slot))),
        offset_(round_up(sizeof(slot))),
        stride_(round_up(offset_ + item_size)) {
    if (slots > std::numeric_limits<std::size_t>::max() / 2 / stride_) {
      throw std::bad_array_new_length();
    }
    memory_ = static_cast<std::byte*>(::operator new(slots * stride_, std::align_val_t(align_)));
    slots_ = slots;
  }
  slot_memory(slot_memory const&) = delete;
  slot_memory& operator=(slot_memory const&) = delete;
  ~slot_memory() { ::operator delete(memory_, std::align_val_t(align_)); }

  [[nodiscard]] slot_store slots() const noexcept { return {memory_, slots_, stride_, offset_}; }

 private:
  [[nodiscard]] std::size_t round_up(std::size_t n) const noexcept {
    return (n + align_ - 1) / align_ * align_;
  }

  std::size_t align_;
  std::size_t offset_;
  std::size_t stride_;
  std::size_t slots_ = 0;
  std::byte* memory_ = nullptr;
};

/// What a lane counts of a stage. One lane writes it.
struct stage_count {
  std::uint64_t calls = 0;
  std::uint64_t dropped = 0;
  std::uint64_t failed = 0;
  clock::duration inside{};
  clock::duration waiting{};
};

}  // namespace

stage_body::~stage_body() = default;

class pipeline_run::state {
 public:
  state(options const& opts, std::span<stage_body* const> stages, std::size_t item_size,
        std::size_t item_align, statistics stats)
      : stages_(stages.begin(), stages.end()),
        goes_on_(opts.policy == on_error::keep_going),
        leaves_exceptions_(opts.exceptions == on_exception::terminate),
        progress_(opts.progress),
        stats_(stats),
        most_lanes_(lanes_for(opts)),
        memory_(most_items(opts), item_size, item_align),
        lanes_(*this, passages(stages), most_lanes_, most_items(opts), memory_.slots(),
               stats.totals != nullptr),
        group_(for_group(opts), stages.front()->where()) {
    if (stages_.front()->takes_token()) {
      input_.emplace();
      stop_input_.emplace(group_.get_stop_token(), stops{*input_});
    }
    for (stage_body* const s : stages_) {
      s->prepare(most_lanes_, token_for(*s));
    }
    if (stats.totals != nullptr) {
      counts_.resize(most_lanes_ * stages_.size());
      for (std::size_t i = 0; i != stages_.size(); ++i) {
        stats.stages[i].name = stages_[i]->name();  // needs memory, which `fill` must not
        stats.stages[i].kind = stages_[i]->kind();
      }
    }
  }

  error run() {
    clock::time_point const begin = stats_.totals != nullptr ? real_time() : clock::time_point();
    lanes_.begin();
    error e = group_.run_and_wait([this] { work(); }, stages_.front()->where());
    destroy_rest();
    std::uint64_t const read = lanes_.source().read();
    std::uint64_t done = 0;
    for (lane const& l : lanes_.crew().all()) {
      done += l.finished + l.left_out;
    }
    if (stats_.totals != nullptr) {
      fill(real_time() - begin);
    }
    if (!e && (done != read || !lanes_.source().is_over())) {
      e = extend::describe(group_, errc::canceled, npos);
    }
    if (e) {
      error_access::set_skipped(e, read - done);
    }
    return e;
  }

  // --- the owner of the lanes ---

  [[nodiscard]] bool send() noexcept {
    try {
      group_.run([this] { work(); }, stages_.front()->where());
    } catch (std::bad_alloc const&) {
      return false;
    }
    return true;
  }
  [[nodiscard]] bool is_canceling() const noexcept { return group_.is_canceling(); }
  [[nodiscard]] bool goes_on() const noexcept { return goes_on_; }
  [[nodiscard]] step read(slot& s, lane& me) noexcept { return call(0, s, me); }
  [[nodiscard]] step call(slot& s, lane& me) noexcept {
    std::size_t const stage = s.stage + 1;
    step const done = call(stage, s, me);
    if (progress_ != nullptr) [[unlikely]] {
      count_item(done, stage);
    }
    return done;
  }
  void destroy(slot& s) noexcept { stages_[s.stage + 1]->destroy(s); }

  // --- for stage_call ---

  void fail(error e, std::size_t stage, std::size_t number) noexcept {
    stage_body const& failed = *stages_[stage];
    extend::fail_item(group_, std::move(e), number, failed.where(), failed.name());
  }

 private:
  /// A callback of the group's token.
  struct stops {
    std::stop_source& source;

    void operator()() const noexcept { source.request_stop(); }
  };

  /// The token of the source is stopped also if a stage ends the input.
  [[nodiscard]] std::stop_token token_for(stage_body const& s) const {
    if (!s.takes_token()) {
      return {};
    }
    return &s == stages_.front() ? input_->get_token() : group_.get_stop_token();
  }

  static std::vector<passage> passages(std::span<stage_body* const> stages) {
    std::vector<passage> all;
    for (stage_body const* const s : stages.subspan(1)) {
      all.push_back(s->kind() == stage_kind::in_order ? passage::in_order
                    : s->kind() == stage_kind::serial ? passage::one_at_a_time
                                                      : passage::parallel);
    }
    return all;
  }

  void work() noexcept {
    bool const is_nested = lane_frame::is_in(this);
    lane_frame const here(this);
    lanes_.work(is_nested);
  }

  [[nodiscard]] step call(std::size_t stage, slot& s, lane& me) noexcept {
    stage_call call(*this, stage, s.number, me.number, leaves_exceptions_);
    if (stats_.totals != nullptr) [[unlikely]] {
      return ended_input(timed_call(*stages_[stage], stage, s, me, call));
    }
    return ended_input(stages_[stage]->run(s, call));
  }

  // An item is done when the last stage has passed it, and when it was dropped or has failed.
  void count_item(step done, std::size_t stage) noexcept {
    bool const is_through = stage + 1 == stages_.size();
    if (done == step::passed ? is_through : done != step::ended) {
      progress_->add();
    }
  }

  // A source that blocks is woken when a stage ends the input.
  step ended_input(step done) noexcept {
    if (done == step::ended && input_) [[unlikely]] {
      input_->request_stop();
    }
    return done;
  }

  // Reads the clock once for each call, at its end, unless the lane has waited before the call.
  [[gnu::noinline]] step timed_call(stage_body& body, std::size_t stage, slot& s, lane& me,
                                    stage_call& call) noexcept {
    stage_count& count = counts_[me.number * stages_.size() + stage];
    bool const comes_straight = stage == 0 ? me.time != clock::time_point() : s.since == me.time;
    clock::time_point const begin = comes_straight ? me.time : real_time();
    if (stage != 0) {
      count.waiting += begin - s.since;
    }
    step const done = body.run(s, call);
    me.time = s.since = real_time();
    count.inside += me.time - begin;
    ++count.calls;
    count.dropped += stage != 0 && done == step::dropped ? 1U : 0U;
    count.failed += done == step::failed ? 1U : 0U;
    return done;
  }

  void destroy_rest() noexcept {
    lanes_.source().slots().for_each([this](slot& s) {
      if (s.is_full) {
        destroy(s);
        s.is_full = false;
      }
    });
  }

  void fill(clock::duration elapsed) noexcept {
    pipeline_totals& all = *stats_.totals;
    source_gate& source = lanes_.source();
    all.elapsed = elapsed;
    all.lanes = lanes_.crew().most_out();
    all.most_lanes = most_lanes_;
    all.most_items = source.most_used();
    all.items = source.read();
    for (std::size_t i = 0; i != stages_.size(); ++i) {
      stage_stats& to = stats_.stages[i];
      for (std::size_t l = 0; l != most_lanes_; ++l) {
        stage_count const& from = counts_[l * stages_.size() + i];
        to.calls += from.calls;
        to.dropped += from.dropped;
        to.failed += from.failed;
        to.inside += from.inside;
        to.waiting += from.waiting;
      }
      if (i == 0) {
        to.waiting = source.starved();
      } else if (gate const* const g = lanes_.gate_of(i - 1)) {
        to.most_waiting = g->most_waiting();
      }
    }
  }

  std::vector<stage_body*> stages_;
  bool goes_on_;
  bool leaves_exceptions_;
  errgroup::progress* progress_;
  statistics stats_;
  std::size_t most_lanes_;
  std::vector<stage_count> counts_;        // of each lane, of each stage
  std::optional<std::stop_source> input_;  // if the source takes a token
  std::optional<std::stop_callback<stops>> stop_input_;
  slot_memory memory_;
  lanes<state> lanes_;
  group group_;  // the last member: its tasks use the others
};

pipeline_run::pipeline_run(options const& opts, std::span<stage_body* const> stages,
                           std::size_t item_size, std::size_t item_align, statistics stats)
    : state_(std::make_unique<state>(opts, stages, item_size, item_align, stats)) {}

pipeline_run::~pipeline_run() = default;

error pipeline_run::run() { return state_->run(); }

step stage_call::fail(error e) noexcept {
  if (e == errc::no_more) {
    return step::ended;
  }
  run_.fail(std::move(e), stage_, number_);
  return step::failed;
}

}  // namespace errgroup::inline v1::detail
