// SPDX-License-Identifier: Apache-2.0
#include "json_text.hpp"
#include "observation.hpp"
#include "place_text.hpp"
#include <errgroup/dump.hpp>

#include <algorithm>  // max, ranges::none_of, ranges::replace_if, ranges::sort
#include <array>      // array
#include <cstdio>     // snprintf
#include <ostream>    // ostream, streamsize

// Reads what observation.hpp keeps, and writes it.

namespace errgroup::inline v1 {
namespace {

/// The parts, one after the other. (Since GCC 12 warns of `"text" + std::string` without a reason.)
template <class... Part>
std::string text_of_parts(Part const&... parts) {
  std::string text;
  (text.append(parts), ...);
  return text;
}

/// A name in one line.
std::string printable(std::string_view name) {
  std::string text(name);
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
  return text;
}

struct shown_thread {
  std::uint32_t number;
  long system_number;  // 0: not known
};

struct shown_task {
  detail::observed_task::snapshot is;
  shown_thread thread;
};

struct shown_group {
  std::uint64_t id;
  std::uint64_t parent;
  std::size_t parent_task;
  std::string name;
  int limit;
  std::source_location where;
  group_counts counts;
  detail::group_core::place_use places;
  std::vector<shown_task> tasks;
};

/// All that is alive, as values: groups and tasks may end afterwards.
struct picture {
  std::vector<shown_group> groups;
  std::vector<shown_task> waiting;  // waits that are not part of an observed task
  std::int64_t now = 0;
};

void add_task(picture& p, shown_task const& t) {
  for (shown_group& g : p.groups) {
    if (g.id == t.is.group) {
      g.tasks.push_back(t);
      return;
    }
  }
}

picture take_picture() {
  picture p;
  {
    std::scoped_lock const held(detail::observed_groups::lock);
    for (auto const* o = detail::observed_groups::first; o != nullptr; o = o->next) {
      p.groups.push_back({o->id,
                          o->parent,
                          o->parent_task,
                          std::string(o->name),
                          o->limit.now.load(std::memory_order_relaxed),
                          o->where,
                          o->group->count_tasks(),
                          o->group->places_now(),
                          {}});
    }
  }
  std::ranges::sort(p.groups, {}, &shown_group::id);
  for (auto const* s = detail::frame_stack::first(); s != nullptr; s = s->next) {
    auto const& t = static_cast<detail::thread_state const&>(*s);
    for (detail::task_frame const* f = &s->base; f != nullptr;
         f = f->above.load(std::memory_order_acquire)) {
      auto const* const shown = f->shown.load(std::memory_order_acquire);
      if (shown == nullptr) {
        continue;
      }
      shown_task const task{shown->read(),
                            {t.number, t.system_number.load(std::memory_order_relaxed)}};
      if (task.is.group != 0) {
        add_task(p, task);
      } else if (task.is.awaited != 0) {
        p.waiting.push_back(task);
      }
    }
  }
  for (shown_group& g : p.groups) {
    std::ranges::sort(g.tasks, {}, [](shown_task const& t) { return t.is.index; });
  }
  p.now = detail::coarse_now();
  return p;
}

std::int64_t milliseconds_of(picture const& p, shown_task const& t) {
  return std::max<std::int64_t>(p.now - t.is.begun, 0) / 1'000'000;
}

// --- text ---------------------------------------------------------------------------------------

struct row {
  std::string left;
  std::string middle;
  std::string right;
};

std::string name_of(picture const& p, std::uint64_t id) {
  for (shown_group const& g : p.groups) {
    if (g.id == id && !g.name.empty()) {
      return text_of_parts("\"", printable(g.name), "\"");
    }
  }
  return std::to_string(id);
}

std::string wait_of(picture const& p, shown_task const& t) {
  std::string const group = text_of_parts("the group ", name_of(p, t.is.awaited));
  switch (t.is.kind) {
    case wait_kind::end:
      return text_of_parts("waits for ", group);
    case wait_kind::room:
      return text_of_parts("waits for room in ", group);
    case wait_kind::handle:
      return text_of_parts("waits for a task of ", group);
    case wait_kind::destructor:
      return text_of_parts("waits in the destructor of ", group);
  }
  return {};
}

std::string thread_of(shown_task const& t) {
  std::string text = text_of_parts("thread ", std::to_string(t.thread.number));
  if (t.thread.system_number != 0) {
    text.append(" (LWP ").append(std::to_string(t.thread.system_number)).append(")");
  }
  return text;
}

std::string counts_of(shown_group const& g) {
  std::string text = std::to_string(g.counts.running);
  if (g.limit != unlimited) {
    text.append(" of ").append(std::to_string(g.limit));
  }
  text.append(" running, ").append(std::to_string(g.counts.waiting)).append(" waiting, ");
  text.append(std::to_string(g.counts.failed)).append(" failed");
  if (g.counts.timed != 0) {
    text.append(", ").append(std::to_string(g.counts.timed)).append(" timed");
  }
  if (g.counts.skipped != 0) {
    text.append(", ").append(std::to_string(g.counts.skipped)).append(" skipped");
  }
  return text;
}

std::string at(char const* words, std::source_location const& where) {
  return where.line() == 0 ? std::string() : text_of_parts(words, detail::place_text(where));
}

void add_rows(std::vector<row>& rows, picture const& p, shown_group const& g, std::size_t depth);

/// The groups that were made in a task of `g`: in the task `task`, or in those that are not shown.
template <class Wanted>
void add_groups_below(std::vector<row>& rows, picture const& p, shown_group const& g,
                      std::size_t depth, Wanted const& is_wanted) {
  for (shown_group const& below : p.groups) {
    if (below.parent == g.id && is_wanted(below.parent_task)) {
      add_rows(rows, p, below, depth);
    }
  }
}

void add_rows(std::vector<row>& rows, picture const& p, shown_group const& g, std::size_t depth) {
  std::string const made = at("made at ", g.where);
  bool const has_places = g.places.capacity != 0;
  std::string right = g.limit != unlimited || has_places ? "" : "no limit";
  if (has_places) {
    right.append(std::to_string(g.places.in_use)).append(" of ");
    right.append(std::to_string(g.places.capacity)).append(" places in use");
  }
  right.append(right.empty() || made.empty() ? "" : ", ").append(made);
  std::string const title =
      g.name.empty() ? text_of_parts("group ", std::to_string(g.id)) : printable(g.name);
  rows.push_back({std::string(2 * depth, ' ') + title, counts_of(g), right});
  for (shown_task const& t : g.tasks) {
    std::string left(2 * depth + 2, ' ');
    left += t.is.index == npos ? "task" : text_of_parts("task ", std::to_string(t.is.index));
    if (!t.is.name.empty()) {
      left.append(" \"").append(printable(t.is.name)).append("\"");
    }
    std::string middle = detail::thousandths(milliseconds_of(p, t), 1) + " s, " + thread_of(t);
    if (t.is.awaited != 0) {
      middle.append(", ").append(wait_of(p, t));
    }
    rows.push_back({left, middle, at("run at ", t.is.where)});
    add_groups_below(rows, p, g, depth + 2,
                     [&t](std::size_t parent) { return parent == t.is.index; });
  }
  add_groups_below(rows, p, g, depth + 1, [&g](std::size_t parent) {
    return std::ranges::none_of(g.tasks, [&](shown_task const& t) { return t.is.index == parent; });
  });
}

bool has_group(picture const& p, std::uint64_t id) {
  return std::ranges::any_of(p.groups, [id](shown_group const& g) { return g.id == id; });
}

std::string text_of(picture const& p) {
  std::vector<row> rows;
  for (shown_group const& g : p.groups) {
    if (!has_group(p, g.parent)) {
      add_rows(rows, p, g, 0);
    }
  }
  for (shown_task const& t : p.waiting) {
    rows.push_back({thread_of(t), wait_of(p, t), ""});
  }
  if (rows.empty()) {
    return "no observed group\n";
  }
  std::size_t left = 0;
  std::size_t middle = 0;
  for (row const& r : rows) {
    left = std::max(left, r.left.size());
    middle = std::max(middle, r.right.empty() ? 0 : r.middle.size());
  }
  std::string text;
  for (row const& r : rows) {
    text.append(r.left).append(left - r.left.size() + 2, ' ').append(r.middle);
    if (!r.right.empty()) {
      text.append(middle - r.middle.size() + 2, ' ').append(r.right);
    }
    text += '\n';
  }
  return text;
}

// --- JSON ---------------------------------------------------------------------------------------

/// `"name":value`, with a comma behind it unless it is the last.
std::string member(char const* name, std::string const& value, char const* after = ",") {
  return std::string("\"").append(name).append("\":").append(value).append(after);
}

std::string number(std::uint64_t n, bool is_known = true) {
  return is_known ? std::to_string(n) : "null";
}

std::string place_json(std::source_location const& where) {
  if (where.line() == 0) {
    return "null";
  }
  return detail::quoted(
      std::string(where.file_name()).append(":").append(std::to_string(where.line())));
}

char const* kind_of(wait_kind kind) {
  switch (kind) {
    case wait_kind::end:
      return "end";
    case wait_kind::room:
      return "room";
    case wait_kind::handle:
      return "handle";
    case wait_kind::destructor:
      return "destructor";
  }
  return "";
}

std::string thread_json(shown_task const& t) {
  std::string waits = "null";
  if (t.is.awaited != 0) {
    waits = text_of_parts("{", member("group", number(t.is.awaited)),
                          member("kind", detail::quoted(kind_of(t.is.kind)), "}"));
  }
  auto const lwp = static_cast<std::uint64_t>(t.thread.system_number);
  return member("thread", number(t.thread.number)) + member("lwp", number(lwp, lwp != 0)) +
         member("waits_for", waits, "");
}

std::string task_json(picture const& p, shown_task const& t) {
  return text_of_parts(
      "{", member("index", number(t.is.index, t.is.index != npos)),
      member("name", detail::quoted(t.is.name)), member("where", place_json(t.is.where)),
      member("seconds", detail::thousandths(milliseconds_of(p, t), 3)), thread_json(t), "}");
}

/// `write(one)` of each, in brackets.
template <class Many, class Write>
std::string list_json(Many const& many, Write const& write) {
  std::string text = "[";
  char const* before = "\n";
  for (auto const& one : many) {
    text.append(before).append(write(one));
    before = ",\n";
  }
  return text.append("]");
}

std::string group_json(picture const& p, shown_group const& g) {
  group_counts const& c = g.counts;
  auto const limit = static_cast<std::uint64_t>(g.limit);
  bool const has_places = g.places.capacity != 0;
  auto const places = static_cast<std::uint64_t>(g.places.capacity);
  auto const in_use = static_cast<std::uint64_t>(g.places.in_use);
  return text_of_parts(
      "{", member("id", number(g.id)), member("name", detail::quoted(g.name)),
      member("parent", number(g.parent, g.parent != 0)),
      member("parent_task", number(g.parent_task, g.parent_task != npos)),
      member("limit", number(limit, g.limit != unlimited)), member("where", place_json(g.where)),
      member("places", number(places, has_places)),
      member("places_in_use", number(in_use, has_places)), member("submitted", number(c.submitted)),
      member("running", number(c.running)), member("waiting", number(c.waiting)),
      member("timed", number(c.timed)), member("failed", number(c.failed)),
      member("skipped", number(c.skipped)),
      member("tasks", list_json(g.tasks, [&p](shown_task const& t) { return task_json(p, t); }),
             "}"));
}

std::string json_of(picture const& p) {
  auto const group = [&p](shown_group const& g) { return group_json(p, g); };
  auto const thread = [](shown_task const& t) { return text_of_parts("{", thread_json(t), "}"); };
  return text_of_parts("{", member("groups", list_json(p.groups, group)), "\n",
                       member("waiting_threads", list_json(p.waiting, thread), "}\n"));
}

}  // namespace

void dump(std::ostream& out, dump_format format) {
  picture const p = take_picture();
  std::string const text = format == dump_format::json ? json_of(p) : text_of(p);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
}

}  // namespace errgroup::inline v1
