// SPDX-License-Identifier: Apache-2.0
#include <errgroup/pipeline_stats.hpp>

#include <algorithm>  // max
#include <array>      // array
#include <cmath>      // lround
#include <cstddef>    // size_t
#include <cstdio>     // snprintf
#include <ostream>    // ostream
#include <string>     // string, to_string

namespace errgroup::inline v1 {
namespace detail {
namespace {

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

bool is_one_at_a_time(stage_stats const& s) noexcept {
  return s.kind == stage_kind::source || s.kind == stage_kind::serial ||
         s.kind == stage_kind::in_order;
}

char const* kind_in_words(stage_kind kind) noexcept {
  switch (kind) {
    case stage_kind::source:
      return "source";
    case stage_kind::parallel:
      return "parallel";
    case stage_kind::serial:
      return "serial";
    case stage_kind::in_order:
      return "in order";
    case stage_kind::many:
      return "many";
  }
  return "";
}

std::string name_of(stage_stats const& s, std::size_t index) {
  return s.name.empty() ? "stage " + std::to_string(index) : s.name;
}

std::string time_in_words(std::chrono::nanoseconds time) {
  double const s = seconds(time);
  std::array<char, 32> text{};
  if (s >= 1) {
    std::snprintf(text.data(), text.size(), "%.2f s", s);
  } else if (s >= 1e-3) {
    std::snprintf(text.data(), text.size(), "%.2f ms", s * 1e3);
  } else {
    std::snprintf(text.data(), text.size(), "%.2f us", s * 1e6);
  }
  return text.data();
}

}  // namespace

stage_stats const* find_bottleneck(pipeline_totals const& all,
                                   std::span<stage_stats const> stages) noexcept {
  double const enough = 0.8 * seconds(all.elapsed);
  stage_stats const* busiest = nullptr;
  stage_stats const* longest = nullptr;
  double inside = 0;
  for (stage_stats const& s : stages) {
    inside += seconds(s.inside);
    if (longest == nullptr || s.inside > longest->inside) {
      longest = &s;
    }
    if (is_one_at_a_time(s) && (busiest == nullptr || s.inside > busiest->inside)) {
      busiest = &s;
    }
  }
  if (enough <= 0) {
    return nullptr;
  }
  if (busiest != nullptr && seconds(busiest->inside) >= enough) {
    return busiest;
  }
  return inside >= enough * static_cast<double>(all.most_lanes) ? longest : nullptr;
}

void write_stats(std::ostream& out, pipeline_totals const& all,
                 std::span<stage_stats const> stages) {
  std::size_t width = 5;
  for (std::size_t i = 0; i != stages.size(); ++i) {
    width = std::max(width, name_of(stages[i], i).size());
  }
  std::string text = std::to_string(all.items) + " items in " + time_in_words(all.elapsed) + ", " +
                     std::to_string(all.lanes) + " of " + std::to_string(all.most_lanes) +
                     " lanes, at most " + std::to_string(all.most_items) + " items under way\n";
  auto const line = [&](std::string const& name, char const* kind, std::string const& calls,
                        std::string const& dropped, std::string const& failed,
                        std::string const& inside, std::string const& busy,
                        std::string const& waiting, std::string const& most) {
    auto const cell = [&text](std::string const& s, std::size_t size, bool is_number) {
      std::string const space(size > s.size() ? size - s.size() : 0, ' ');
      text += is_number ? space + s : s + space;
    };
    cell(name, width + 2, false);
    cell(kind, 8, false);
    cell(calls, 12, true);
    cell(dropped, 9, true);
    cell(failed, 8, true);
    cell(inside, 12, true);
    cell(busy, 7, true);
    cell(waiting, 12, true);
    cell(most, 6, true);
    text += '\n';
  };
  line("stage", "kind", "calls", "dropped", "failed", "inside", "busy", "waiting", "most");
  for (std::size_t i = 0; i != stages.size(); ++i) {
    stage_stats const& s = stages[i];
    double const share =
        all.elapsed.count() > 0 ? 100 * seconds(s.inside) / seconds(all.elapsed) : 0;
    line(name_of(s, i), kind_in_words(s.kind), std::to_string(s.calls), std::to_string(s.dropped),
         std::to_string(s.failed), time_in_words(s.inside),
         std::to_string(std::lround(share)) + "%", time_in_words(s.waiting),
         std::to_string(s.most_waiting));
  }
  stage_stats const* const slowest = find_bottleneck(all, stages);
  text += "bottleneck: ";
  text += slowest == nullptr ? "none"
                             : name_of(*slowest, static_cast<std::size_t>(slowest - stages.data()));
  text += '\n';
  out << text;
}

}  // namespace detail
}  // namespace errgroup::inline v1
