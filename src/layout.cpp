// SPDX-License-Identifier: Apache-2.0
#include "layout.hpp"

#include "group_parts.hpp"
#include "observation.hpp"
#include <errgroup/error.hpp>
#include <errgroup/observer.hpp>

#include <source_location>  // source_location
#include <string>           // string

// The classes have base classes and private members. offsetof is defined for such classes by the
// compilers that errgroup supports, as long as no base is virtual.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace errgroup::inline v1::detail {

// Each `layout` may name the private members of its class.

struct cancel_node::layout {
  static constexpr std::size_t parent = offsetof(cancel_node, parent_);
  static constexpr std::size_t next = offsetof(cancel_node, next_);
};

struct first_error::layout {
  static constexpr std::size_t state = offsetof(first_error, state_);
  static constexpr std::size_t kept = offsetof(first_error, error_);
  static constexpr std::uint64_t is_kept = published;
};

struct due_list::layout {
  static constexpr std::size_t size = offsetof(due_list, size_);
};

struct task_list::layout {
  static constexpr std::size_t size = offsetof(task_list, size_);
};

struct slots::layout {
  static constexpr std::size_t limit = offsetof(slots, limit_);
};

struct error_access::layout {
  static constexpr std::size_t code = offsetof(error, code_);
  static constexpr std::size_t exception = offsetof(error, exception_);
  static constexpr std::size_t note = offsetof(error, note_);
  static constexpr std::size_t others = offsetof(error, others_);
};

namespace {

/// What a `std::source_location` points to: the compilers' `std::source_location::__impl`.
struct place_data {
  char const* file;
  char const* function;
  unsigned line;
  unsigned column;
};
static_assert(sizeof(std::source_location) == sizeof(place_data*));

/// A `std::error_code` of libstdc++ and of libc++.
struct code {
  int value;
  void const* category;
};
static_assert(sizeof(std::error_code) == sizeof(code));

/// A `std::string`, if it begins with a pointer to its text and the length, as libstdc++'s does.
struct text {
  char const* begin;
  std::size_t size;
};
#if defined(_GLIBCXX_USE_CXX11_ABI) && _GLIBCXX_USE_CXX11_ABI
constexpr bool has_plain_strings = true;
#else
constexpr bool has_plain_strings = false;  // a debugger shows no names
#endif

template <class T>
constexpr bool is_plain = sizeof(std::atomic<T>) == sizeof(T);
static_assert(is_plain<void*> && is_plain<std::uint64_t> && is_plain<std::uint32_t> &&
              is_plain<long> && is_plain<std::uint8_t>);

}  // namespace

struct group_core::observation::layout {
  static constexpr std::size_t base = offsetof(observation, id) - offsetof(observed_group, id);
  static constexpr std::size_t accepted = offsetof(observation, submitted_);
  static constexpr std::size_t dropped = offsetof(observation, dropped_);
  static constexpr std::size_t ended = offsetof(observation, ended_);
};

struct group_core::layout {
  static constexpr layout_v1 make() {
    using seen = observation::layout;
    return {
        .magic = {'e', 'r', 'r', 'g', 'r', 'o', 'u', 'p'},
        .version = 1,
        .used = 0,
        .stacks = nullptr,
        .observed = nullptr,
        .all = {{
            {"pointer", sizeof(void*)},
            {"size", sizeof(std::size_t)},
            {"long", sizeof(long)},
            {"place.file", offsetof(place_data, file)},
            {"place.line", offsetof(place_data, line)},
            {"code.value", offsetof(code, value)},
            {"code.category", offsetof(code, category)},
            {"string.known", has_plain_strings ? 1U : 0U},
            {"string.begin", offsetof(text, begin)},
            {"string.size", offsetof(text, size)},

            {"thread.stack", offsetof(thread_state, base) - offsetof(frame_stack, base)},
            {"thread.number", offsetof(thread_state, number)},
            {"thread.lwp", offsetof(thread_state, system_number)},
            {"stack.base", offsetof(frame_stack, base)},
            {"stack.next", offsetof(frame_stack, next)},
            {"frame.owner", offsetof(task_frame, owner)},
            {"frame.children", offsetof(task_frame, children)},
            {"frame.label", offsetof(task_frame, label)},
            {"frame.index", offsetof(task_frame, index)},
            {"frame.no_task", task_frame::no_task},
            {"frame.shown", offsetof(task_frame, shown)},
            {"frame.above", offsetof(task_frame, above)},
            {"node.parent", cancel_node::layout::parent},
            {"node.next", cancel_node::layout::next},
            {"node.state", offsetof(cancel_node, state)},
            {"bit.stopped", stopped},
            {"bit.counted", counted},
            {"bit.observed", observed},

            {"group.node", offsetof(group_core, state) - offsetof(cancel_node, state)},
            {"group.queue", offsetof(group_core, queue_)},
            {"group.extras", offsetof(group_core, extras_)},
            {"group.first", offsetof(group_core, first_)},
            {"group.failed", offsetof(group_core, losses_) + offsetof(losses, failed)},
            {"group.skipped", offsetof(group_core, losses_) + offsetof(losses, skipped)},
            {"group.unlimited", static_cast<std::uint32_t>(unlimited)},
            {"extras.name", offsetof(extras, name)},
            {"extras.limit", offsetof(extras, places) + slots::layout::limit},
            {"extras.observed", offsetof(extras, observed)},
            {"queue.running", offsetof(task_queue, running)},
            {"queue.unfinished", offsetof(task_queue, unfinished)},
            {"queue.tasks", offsetof(task_queue, tasks) + task_list::layout::size},
            {"queue.due", offsetof(task_queue, due) + due_list::layout::size},
            {"queue.later", offsetof(task_queue, due) + offsetof(due_list, later)},

            {"first.state", first_error::layout::state},
            {"first.is_kept", first_error::layout::is_kept},
            {"first.error", first_error::layout::kept},
            {"error.code", error_access::layout::code},
            {"error.exception", error_access::layout::exception},
            {"error.note", error_access::layout::note},
            {"error.others", error_access::layout::others},
            {"note.one", offsetof(error_note, one)},
            {"note.exception", offsetof(error_note, exception)},
            {"note.name", offsetof(error_note, origin) + offsetof(task_origin, name)},
            {"note.path", offsetof(error_note, origin) + offsetof(task_origin, path)},
            {"note.index", offsetof(error_note, origin) + offsetof(task_origin, index)},
            {"note.where", offsetof(error_note, origin) + offsetof(task_origin, where)},

            {"observation.group", seen::base + offsetof(observed_group, group)},
            {"observation.id", seen::base + offsetof(observed_group, id)},
            {"observation.where", seen::base + offsetof(observed_group, where)},
            {"observation.next", seen::base + offsetof(observed_group, next)},
            {"observation.accepted", seen::accepted},
            {"observation.dropped", seen::dropped},
            {"observation.ended", seen::ended},
            {"observation.cell", alignof(spread_count)},
            {"observation.cells", sizeof(spread_count) / alignof(spread_count)},
            {"shown.group", offsetof(observed_task, group)},
            {"shown.begun", offsetof(observed_task, begun)},
            {"shown.awaited", offsetof(observed_task, awaited)},
        }},
    };
  }

  static constexpr layout_v1 complete() {
    layout_v1 made = make();
    while (made.all[made.used].name[0] != 0) {
      ++made.used;
    }
    made.stacks = &the_process.stacks;
    made.observed = static_cast<void const*>(&observed_groups::first);
    return made;
  }
};

}  // namespace errgroup::inline v1::detail

#ifdef ERRGROUP_GDB_SCRIPT
// A copy of the script, which gdb reads if the file with this section is in its safe path. A
// program does not load the section. 4: a script in Python follows, after its name.
asm(".pushsection .debug_gdb_scripts, \"MS\", %progbits, 1\n"
    ".byte 4\n"
    ".ascii \"errgroup-gdb.py\\n\"\n"
    ".incbin \"" ERRGROUP_GDB_SCRIPT
    "\"\n"
    ".byte 0\n"
    ".popsection");
#endif

[[gnu::section("errgroup_layout"),
  gnu::used]] constinit errgroup::detail::layout_v1 const errgroup_layout_v1 =
    errgroup::detail::group_core::layout::complete();
