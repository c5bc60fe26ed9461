// SPDX-License-Identifier: Apache-2.0
#include "chrome.hpp"

#include "json_text.hpp"
#include "place_text.hpp"
#include <errgroup/error.hpp>
#include <errgroup/version.hpp>

#include <unistd.h>  // getpid

#include <algorithm>      // max, min, ranges::sort
#include <cstdint>        // int64_t, uint64_t
#include <map>            // map
#include <string_view>    // string_view
#include <tuple>          // tie
#include <unordered_map>  // unordered_map
#include <utility>        // pair
#include <vector>         // vector

namespace errgroup::inline v1::detail {
namespace {

constexpr std::size_t most_counters = 100;
constexpr std::int64_t run_ns = 1000;  // the length of a submission's slice, if there is room

/// An event with times in ns.
struct event {
  event_kind kind;
  std::uint8_t flags;
  std::uint32_t thread;
  std::int64_t begin;
  std::int64_t end;
  std::uint64_t group;
  std::uint64_t index;
  std::source_location where;
  std::string_view name;
  std::string_view group_name;
  std::string message;
  std::uint64_t flow = 0;  // of a submission and its task; 0: no arrow
};

using task_key = std::pair<std::uint64_t, std::uint64_t>;  // group and index

struct hash_of_task {
  std::size_t operator()(task_key const& k) const noexcept {
    return static_cast<std::size_t>(k.first * 0x9E3779B97F4A7C15U + k.second);
  }
};

std::vector<event> events_of(recorder::picture& p) {
  trace_clock::scale const ns(p.from, p.to);
  // The parts of messages, by thread and time of their event.
  std::map<std::tuple<std::uint32_t, trace_clock::ticks, std::uint64_t>, std::string_view> texts;
  std::vector<event> all;
  all.reserve(p.events.size());
  for (record& r : p.events) {
    record::header const h = r.get_header();
    if (h.kind == event_kind::text) {
      texts[{h.thread, r.end(), r.index()}] = r.text().substr(0, h.name_size);
    }
  }
  for (record& r : p.events) {
    record::header const h = r.get_header();
    if (h.kind == event_kind::text) {
      continue;
    }
    event e{.kind = h.kind,
            .flags = h.flags,
            .thread = h.thread,
            .begin = ns(r.begin()),
            .end = ns(r.end()),
            .group = r.group(),
            .index = r.index(),
            .where = {},
            .name = r.text().substr(0, h.name_size),
            .group_name = r.text().substr(h.name_size, h.group_size),
            .message = {}};
    if (h.kind == event_kind::task) {
      e.where = r.where();
    }
    for (auto at = texts.lower_bound({h.thread, r.end(), 0});
         !texts.empty() && at != texts.end() && std::get<0>(at->first) == h.thread &&
         std::get<1>(at->first) == r.end();
         ++at) {
      e.message += at->second;
    }
    all.push_back(std::move(e));
  }
  // By thread, and there a slice before the slices in it.
  std::ranges::sort(all, [](event const& a, event const& b) {
    return std::tie(a.thread, a.begin, b.end) < std::tie(b.thread, b.begin, a.end);
  });
  return all;
}

/// Numbers the pairs of a submission and a task.
void find_flows(std::vector<event>& all) {
  std::unordered_map<task_key, event*, hash_of_task> submitted;
  for (event& e : all) {
    if (e.kind == event_kind::run) {
      submitted[{e.group, e.index}] = &e;
    }
  }
  std::uint64_t last = 0;
  for (event& e : all) {
    if (e.kind == event_kind::task) {
      auto const at = submitted.find({e.group, e.index});
      if (at != submitted.end() && at->second->begin <= e.begin) {
        e.flow = at->second->flow = ++last;
      }
    }
  }
}

/// Gives each submission a short slice, so that its arrow has a place to begin. The slice ends
/// before anything else happens on the thread.
void stretch_runs(std::vector<event>& all) {
  std::vector<event const*> around;  // slices that contain the event
  for (std::size_t i = 0; i != all.size(); ++i) {
    event& e = all[i];
    while (!around.empty() &&
           (around.back()->thread != e.thread || around.back()->end <= e.begin)) {
      around.pop_back();
    }
    if (e.kind == event_kind::task || e.kind == event_kind::wait) {
      around.push_back(&e);
    } else if (e.kind == event_kind::run) {
      std::int64_t end = e.begin + run_ns;
      if (!around.empty()) {
        end = std::min(end, around.back()->end);
      }
      if (i + 1 != all.size() && all[i + 1].thread == e.thread) {
        end = std::min(end, all[i + 1].begin);
      }
      e.end = std::max(end, e.begin);
    }
  }
}

// --- JSON ------------------------------------------------------------------------------------

std::string microseconds(std::int64_t ns) { return thousandths(ns, 3); }

std::string place_of(std::source_location const& where) {
  return where.line() == 0 ? std::string() : place_text(where);
}

std::string group_title(event const& e) {
  return e.group_name.empty() ? "group " + std::to_string(e.group) : std::string(e.group_name);
}

std::string version() {
  return std::to_string(ERRGROUP_VERSION_MAJOR) + "." + std::to_string(ERRGROUP_VERSION_MINOR) +
         "." + std::to_string(ERRGROUP_VERSION_PATCH) + ERRGROUP_VERSION_SUFFIX;
}

/// One object of `traceEvents`.
class entry {
 public:
  entry(char const* phase, int process, std::uint32_t thread, std::int64_t ns) {
    text_ = std::string("{\"ph\":\"") + phase + "\",\"pid\":" + std::to_string(process) +
            ",\"tid\":" + std::to_string(thread) + ",\"ts\":" + microseconds(ns);
  }
  entry& add(char const* name, std::string_view json) {
    text_.append(",\"").append(name).append("\":").append(json);
    return *this;
  }
  entry& add_text(char const* name, std::string_view value) { return add(name, quoted(value)); }
  entry& add_number(char const* name, std::uint64_t value) {
    return add(name, std::to_string(value));
  }
  [[nodiscard]] std::string end() const { return text_ + "}"; }

 private:
  std::string text_;
};

class arguments {
 public:
  arguments& add(char const* name, std::string_view json) {
    text_.append(text_.empty() ? "{\"" : ",\"").append(name).append("\":").append(json);
    return *this;
  }
  [[nodiscard]] std::string end() const { return text_.empty() ? "{}" : text_ + "}"; }

 private:
  std::string text_;
};

class chrome_file {
 public:
  explicit chrome_file(text_sink& to) : to_(to) {}

  void write(recorder::picture& p);

 private:
  static constexpr std::size_t piece = std::size_t{1} << 16U;

  void put(std::string const& json) {
    text_.append(is_first_ ? "\n" : ",\n").append(json);
    is_first_ = false;
    if (text_.size() >= piece) {
      to_.write(text_);
      text_.clear();
    }
  }
  void put_threads(recorder::picture const& p);
  void put_event(event const& e);
  void put_task(event const& e, arguments& args);
  void put_wait(event const& e, arguments& args);
  void put_instant(event const& e, char const* name, arguments& args);
  void put_counters(std::vector<event> const& all);

  [[nodiscard]] entry begin(char const* phase, event const& e) const {
    return {phase, process_, e.thread, e.begin};
  }

  text_sink& to_;
  int process_ = static_cast<int>(::getpid());
  std::string text_ = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
  bool is_first_ = true;
};

void chrome_file::put_threads(recorder::picture const& p) {
  for (auto const& t : p.threads) {
    std::string const name =
        t.name == "main" ? t.name
                         : (t.name.empty() ? "thread" : t.name) + " " + std::to_string(t.number);
    put(entry("M", process_, t.number, 0)
            .add_text("name", "thread_name")
            .add("args", arguments().add("name", quoted(name)).end())
            .end());
  }
}

void chrome_file::put_task(event const& e, arguments& args) {
  std::string const place = place_of(e.where);
  std::string name(e.name);
  if (name.empty()) {
    name = !e.group_name.empty() ? std::string(e.group_name) : place;
  }
  if (e.index != npos) {
    args.add("index", std::to_string(e.index));
  }
  if (!place.empty()) {
    args.add("run_at", quoted(place));
  }
  if ((e.flags & record::failed) != 0) {
    args.add("failed", e.message.empty() ? "true" : quoted(e.message));
  }
  put(begin("X", e)
          .add("dur", microseconds(e.end - e.begin))
          .add_text("cat", "task")
          .add_text("name", name.empty() ? "task" : name)
          .add("args", args.end())
          .end());
  if (e.flow != 0) {
    put(begin("f", e)
            .add_text("bp", "e")
            .add_number("id", e.flow)
            .add_text("cat", "run")
            .add_text("name", "run")
            .end());
  }
}

void chrome_file::put_wait(event const& e, arguments& args) {
  std::string name;
  switch (static_cast<wait_kind>(e.index)) {
    case wait_kind::end:
      name = "wait for " + group_title(e);
      break;
    case wait_kind::room:
      name = "wait for room in " + group_title(e);
      break;
    case wait_kind::handle:
      name = "wait for a task of " + group_title(e);
      break;
    case wait_kind::destructor:
      name = "wait in the destructor of " + group_title(e);
      break;
  }
  put(begin("X", e)
          .add("dur", microseconds(e.end - e.begin))
          .add_text("cat", "wait")
          .add_text("name", name)
          .add("args", args.end())
          .end());
}

void chrome_file::put_instant(event const& e, char const* name, arguments& args) {
  if (!e.message.empty()) {
    args.add("message", quoted(e.message));
  }
  put(begin("i", e)
          .add_text("s", "t")
          .add_text("cat", "group")
          .add_text("name", name)
          .add("args", args.end())
          .end());
}

void chrome_file::put_event(event const& e) {
  arguments args;
  args.add("group_id", std::to_string(e.group));
  if (!e.group_name.empty()) {
    args.add("group", quoted(e.group_name));
  }
  if ((e.flags & record::unfinished) != 0) {
    args.add("unfinished", "true");
  }
  switch (e.kind) {
    case event_kind::task:
      return put_task(e, args);
    case event_kind::wait:
      return put_wait(e, args);
    case event_kind::run:
      put(begin("X", e)
              .add("dur", microseconds(e.end - e.begin))
              .add_text("cat", "run")
              .add_text("name", "run")
              .add("args", args.add("index", std::to_string(e.index)).end())
              .end());
      if (e.flow != 0) {
        put(begin("s", e)
                .add_number("id", e.flow)
                .add_text("cat", "run")
                .add_text("name", "run")
                .end());
      }
      return;
    case event_kind::first_error:
      return put_instant(e, "first error", args);
    case event_kind::cancelled:
      return put_instant(e, "cancelled", args);
    case event_kind::skipped:
      return put_instant(e, "tasks skipped", args.add("count", std::to_string(e.index)));
    case event_kind::text:
      return;
  }
}

/// The number of running tasks of each group, from the slices of its tasks.
void chrome_file::put_counters(std::vector<event> const& all) {
  struct counted {
    std::string title;
    std::size_t tasks = 0;
    std::vector<std::pair<std::int64_t, int>> steps;
  };
  std::unordered_map<std::uint64_t, counted> groups;
  for (event const& e : all) {
    if (e.kind == event_kind::task) {
      counted& g = groups[e.group];
      if (++g.tasks == 1) {
        g.title = e.group_name.empty()
                      ? group_title(e)
                      : group_title(e) + " (group " + std::to_string(e.group) + ")";
      }
    }
  }
  std::vector<std::pair<std::size_t, std::uint64_t>> by_tasks;
  by_tasks.reserve(groups.size());
  for (auto const& [id, g] : groups) {
    by_tasks.emplace_back(g.tasks, id);
  }
  std::ranges::sort(by_tasks, [](auto const& a, auto const& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  if (by_tasks.size() > most_counters) {
    for (std::size_t i = most_counters; i != by_tasks.size(); ++i) {
      groups.erase(by_tasks[i].second);
    }
    by_tasks.resize(most_counters);
  }
  for (event const& e : all) {
    if (e.kind != event_kind::task) {
      continue;
    }
    if (auto const at = groups.find(e.group); at != groups.end()) {
      at->second.steps.emplace_back(e.begin, 1);
      if ((e.flags & record::unfinished) == 0) {
        at->second.steps.emplace_back(e.end, -1);
      }
    }
  }
  for (auto const& [tasks, id] : by_tasks) {
    counted& g = groups[id];
    std::ranges::sort(g.steps);
    std::string const name = "running tasks: " + g.title;
    int running = 0;
    for (std::size_t i = 0; i != g.steps.size(); ++i) {
      running += g.steps[i].second;
      if (i + 1 != g.steps.size() && g.steps[i + 1].first == g.steps[i].first) {
        continue;
      }
      put(entry("C", process_, 0, g.steps[i].first)
              .add_text("name", name)
              .add("args", arguments().add("running", std::to_string(running)).end())
              .end());
    }
  }
}

void chrome_file::write(recorder::picture& p) {
  std::vector<event> all = events_of(p);
  find_flows(all);
  stretch_runs(all);
  put_threads(p);
  if (p.dropped != 0) {
    std::int64_t first = all.empty() ? 0 : all.front().begin;
    for (event const& e : all) {
      first = std::min(first, e.begin);
    }
    std::string const dropped = std::to_string(p.dropped);
    put(entry("i", process_, 0, first)
            .add_text("s", "g")
            .add_text("cat", "trace")
            .add_text("name", dropped + " events were dropped before this")
            .add("args", arguments()
                             .add("dropped_events", dropped)
                             .add("dropped_tasks", std::to_string(p.dropped_tasks))
                             .end())
            .end());
  }
  for (event const& e : all) {
    put_event(e);
  }
  put_counters(all);
  text_.append("\n],\n\"otherData\":")
      .append(arguments()
                  .add("writer", quoted("errgroup " + version()))
                  .add("dropped_events", std::to_string(p.dropped))
                  .add("dropped_tasks", std::to_string(p.dropped_tasks))
                  .end())
      .append("}\n");
  to_.write(text_);
}

}  // namespace

void write_chrome(recorder::picture& p, text_sink& to) { chrome_file(to).write(p); }

}  // namespace errgroup::inline v1::detail
